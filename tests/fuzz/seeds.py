"""What the fuzzer starts from: one input for each kind of frame and each kind of request.

``python -m tests.fuzz.seeds`` writes them into ``corpus/``, a file each.
"""

from __future__ import annotations

import struct
import zlib
from functools import partial
from pathlib import Path

from tests.frames import deflated
from tests.frames import frame as client_frame
from tests.fuzz.frames import COMPRESS, UNREAD
from tests.fuzz.stage import Script

CORPUS = Path(__file__).with_name("corpus")

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SMALL, ANY = 2, 1
"""Options: messages of 30 bytes at the most, and of any size."""


frame = partial(client_frame, mask=bytes(4))
"""A frame whose masking key is 0, so that its payload can be read."""


def close(code: int, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(struct.pack("!H", code) + reason, CLOSE)


def compressed(data: bytes) -> bytes:
    """A compressed message in one frame."""
    return frame(deflated(data), rsv=4)


_VIOLIN = "🎻".encode()
_TUNE = deflated(b"do re mi fa so la ti " * 20)
_write = Script.write

FRAMES = {
    "text": _write(frame(b"hello") + frame(_VIOLIN, mask=b"\x12\x34\x56\x78")),
    "binary": _write(frame(b"\xff\0", BINARY) + frame(b"", BINARY)),
    "burst": _write(b"".join(frame(b"%d" % number) for number in range(150))),
    "cut": _write(frame(b"hello") * 3, cuts=(1, 2, 5, 6, 9, 12, 23)),
    "two-bytes-of-length": _write(frame(b"x" * 126) + frame(b"x" * 300, BINARY), cuts=(3, 7)),
    "eight-bytes-of-length": _write(
        frame(b"x" * 10, length=65536) + b"x" * 100, ANY, cuts=(2, 9), again=5
    ),
    "lengths-too-long": _write(frame(b"x", length_bytes=2) + frame(b"x", length_bytes=8)),
    "2-to-the-63": _write(frame(b"x", length=2**63) + close(1002)),
    "2-to-the-63-minus-1": _write(frame(b"x", length=2**63 - 1), ANY),
    "as-large-as-the-limit": _write(frame(b"x" * 30) + frame(b"x" * 31) + close(1009), SMALL),
    "fragments": _write(
        frame(b"one, ", fin=False) + frame(b"two, ", CONTINUATION, fin=False) + frame(b"", 0)
    ),
    "fragments-of-a-character": _write(
        b"".join(frame(_VIOLIN[n : n + 1], 0 if n else TEXT, fin=n == 3) for n in range(4)),
        cuts=(8, 14),
    ),
    "fragments-without-an-end": _write(
        frame(b"", BINARY, fin=False) + frame(b"", CONTINUATION, fin=False) * 20,
        cuts=(6,),
        again=127,
    ),
    "fragments-beyond-the-limit": _write(
        frame(b"x" * 20, BINARY, fin=False) + frame(b"x" * 11, 0), SMALL, cuts=(30,)
    ),
    "fragment-that-continues-nothing": _write(frame(b"x", CONTINUATION) + close(1002)),
    "message-in-a-message": _write(frame(b"a", fin=False) + frame(b"b") + close(1002)),
    "ping-between-fragments": _write(
        frame(b"a", fin=False) + frame(b"?", PING) + frame(b"b", CONTINUATION) + frame(b"!", PONG)
    ),
    "pings-unread": _write(frame(b"x" * 125, PING) * 20, UNREAD, cuts=(131,), again=100),
    "pings": _write(frame(b"", PING) * 300),
    "ping-too-long": _write(frame(b"x" * 126, PING) + close(1002)),
    "ping-in-fragments": _write(frame(b"x", PING, fin=False) + close(1002)),
    "close": _write(close(1000, b"bye")),
    "close-without-a-code": _write(frame(b"", CLOSE) + frame(b"late"), cuts=(6,)),
    "close-of-ones-own": _write(close(4999, _VIOLIN) + frame(b"late")),
    "close-with-half-a-code": _write(frame(b"\x03", CLOSE)),
    "close-with-a-code-that-is-not-sent": _write(close(1005) + close(1006)),
    "close-with-a-reason-that-is-no-text": _write(close(1000, _VIOLIN[:2])),
    "close-in-a-message": _write(frame(b"a", fin=False) + close(1001) + frame(b"b", 0)),
    "invalid-utf-8": _write(frame(b"\xc3\x28") + close(1007)),
    "invalid-utf-8-late": _write(frame(b"fine", fin=False) + frame(b"\xed\xa0\x80", 0)),
    "invalid-utf-8-at-the-end": _write(frame(b"fine \xf0\x9f") + close(1007)),
    "reserved-bits": _write(frame(b"x", rsv=1) + close(1002)),
    "reserved-opcode": _write(frame(b"x", 3) + frame(b"x", 11) + close(1002)),
    "unmasked": _write(frame(b"x", mask=None) + close(1002)),
    "compressed": _write(compressed(b"do re mi fa so la ti " * 20) + frame(b"plain"), COMPRESS),
    "compressed-but-not-agreed": _write(compressed(b"la" * 50) + close(1002)),
    "compressed-fragments": _write(
        frame(_TUNE[:9], fin=False, rsv=4) + frame(b"?", PING) + frame(_TUNE[9:], 0),
        COMPRESS,
        cuts=(7, 20),
    ),
    "compressed-in-the-middle": _write(
        frame(_TUNE[:9], fin=False, rsv=4) + frame(_TUNE[9:], 0, rsv=4) + close(1002), COMPRESS
    ),
    "compressed-to-its-own-end": _write(
        frame(deflated(b"la" * 50, end=zlib.Z_FINISH), rsv=4) + frame(b"on"), COMPRESS
    ),
    "compressed-ping": _write(frame(b"x", PING, rsv=4) + close(1002), COMPRESS),
    "compressed-beyond-the-limit": _write(compressed(b"x" * 1001), COMPRESS),
    "compressed-nonsense": _write(frame(b"\xff\xff\xff", rsv=4) + close(1007), COMPRESS),
    "compressed-and-more": _write(
        frame(deflated(b"la", end=zlib.Z_FINISH), fin=False, rsv=4)
        + frame(b"x" * 500, 0, fin=False) * 3,
        COMPRESS,
    ),
    "compressed-stored": _write(frame(b"\0\3\0\xfc\xffabc\0", rsv=4), COMPRESS),
}
"""Inputs of :func:`tests.fuzz.frames.check`, by name."""

_FIELDS = {
    "Host": "localhost:8080",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
_BROWSER = {
    "Connection": "keep-alive, Upgrade",
    "Pragma": "no-cache",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)",
    "Origin": "http://localhost:8080",
    "Accept-Language": "en-GB,en;q=0.5",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Cookie": 'seat=12; part="second violin"',
}


def request(
    line: str = "GET / HTTP/1.1", more: str = "", without: str = "", **fields: str
) -> bytes:
    """A request for a WebSocket.

    :param more: put behind its fields as it is.
    :param without: the name of a field that it has not.
    :param fields: by their names with underscores, instead of those that it would have.
    """
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    there = {name: value for name, value in (_FIELDS | named).items() if name != without}
    lines = [line, *(f"{name}: {value}" for name, value in there.items())]
    return ("\r\n".join(lines) + "\r\n" + more + "\r\n").encode("iso-8859-1")


def _browser(**fields: str) -> bytes:
    return request(**{name.replace("-", "_"): value for name, value in _BROWSER.items()} | fields)


_ANY_ORIGIN, _LISTED_ORIGINS, _PROXY, _PROXIES, _ONE_EACH, _FULL, _CLOSED = range(1, 8)

HTTP = {
    "common": _write(request("GET /strings?last=1&echo=0 HTTP/1.1")),
    "common-and-a-frame": _write(request() + frame(b"hello") + frame(b"x", PING), cuts=(60, 180)),
    "common-in-pieces": _write(request(), cuts=(1, 14, 15, 16, 100, 150, 152)),
    "browser": _write(_browser(), COMPRESS),
    "browser-from-elsewhere": _write(_browser(Origin="https://example.com")),
    "browser-from-anywhere": _write(_browser(Origin="https://example.com"), _ANY_ORIGIN),
    "browser-from-below": _write(_browser(Origin="https://a.example.org:8443"), _LISTED_ORIGINS),
    "browser-from-nowhere": _write(_browser(Origin="null"), _LISTED_ORIGINS),
    "origin-that-is-none": _write(request(Origin="file:///etc")),
    "key-missing": _write(request(without="Sec-WebSocket-Key")),
    "key-too-short": _write(request(Sec_WebSocket_Key="dGhl")),
    "key-that-is-none": _write(request(Sec_WebSocket_Key="dGhl!HNhbXBsZSBub25jZQ==")),
    "key-twice": _write(request(more="Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")),
    "version-wrong": _write(request(Sec_WebSocket_Version="7")),
    "version-missing": _write(request(without="Sec-WebSocket-Version")),
    "version-that-is-none": _write(request(Sec_WebSocket_Version="13, 8")),
    "upgrade-missing": _write(request(without="Upgrade")),
    "upgrade-to-something-else": _write(request(Upgrade="h2c")),
    "upgrade-to-one-of-two": _write(request(Upgrade="h2c, websocket")),
    "connection-missing": _write(request(without="Connection")),
    "connection-that-is-kept": _write(request(Connection="keep-alive")),
    "host-missing": _write(request(without="Host")),
    "host-twice": _write(request(more="Host: example.com\r\n")),
    "host-with-a-port-that-is-none": _write(request(Host="localhost:http")),
    "host-of-ipv6": _write(request(Host="[::1]:8080")),
    "method": _write(request("POST / HTTP/1.1", Content_Length="5") + b"hello"),
    "version-of-http": _write(request("GET / HTTP/1.0")),
    "no-version-of-http": _write(request("GET /")),
    "http-2": _write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "tls": _write(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(64)),
    "line-that-is-empty": _write(b"\r\n\r\n"),
    "smuggled": _write(request(more="X-Nothing: 1\x85Transfer-Encoding: chunked\r\n")),
    "smuggled-by-a-line-feed": _write(request(more="X-Nothing: 1\nHost: example.com\r\n")),
    "smuggled-by-a-space": _write(request(more="Transfer-Encoding : chunked\r\n")),
    "folded": _write(request(more="X-Nothing: 1\r\n 2\r\n")),
    "body": _write(request(Content_Length="5") + b"hello"),
    "body-in-chunks": _write(request(Transfer_Encoding="chunked") + b"0\r\n\r\n"),
    "second-request": _write(request() + request("GET /admin HTTP/1.1")),
    "target-absolute": _write(request("GET http://localhost:8080/brass?last=1 HTTP/1.1")),
    "target-absolute-and-wrong": _write(request("GET http://[/ HTTP/1.1")),
    "target-with-two-slashes": _write(request("GET //example.com/x HTTP/1.1")),
    "target-with-a-fragment": _write(request("GET /x#y HTTP/1.1")),
    "target-with-a-bad-escape": _write(request("GET /%ff%zz%c3%28 HTTP/1.1")),
    "target-with-nul": _write(request("GET /%00 HTTP/1.1")),
    "target-with-a-bad-number": _write(request("GET /?last=-1&echo=2 HTTP/1.1")),
    "target-that-is-reserved": _write(request("GET /healthz HTTP/1.1")),
    "target-that-is-long": _write(request(f"GET /{'x' * 300} HTTP/1.1")),
    "nul": _write(request(more="X-Nothing: \0\r\n")),
    "nul-in-the-line": _write(request("GET /\0 HTTP/1.1")),
    "escape": _write(request("GET / HTTP/\x1b[31m")),
    "latin": _write(request("GET /é HTTP/1.1", User_Agent="é")),
    "head-too-long": _write(request(more="X-Nothing: " + "x" * 17000 + "\r\n"), cuts=(16384,)),
    "head-too-long-without-an-end": _write(b"GET /" + b"x" * 2000, cuts=(5,), again=10),
    "extensions": _write(
        request(
            Sec_WebSocket_Extensions="permessage-deflate; server_max_window_bits=8, "
            'permessage-deflate; client_max_window_bits="10"; server_no_context_takeover, '
            "permessage-bzip2; x=y, x; ;=,"
        ),
        COMPRESS,
    ),
    "protocols": _write(request(Sec_WebSocket_Protocol="chat, superchat")),
    "protocol-twice": _write(request(Sec_WebSocket_Protocol="chat, chat")),
    "forwarded-for": _write(request(X_Forwarded_For="203.0.113.7, 127.0.0.1"), _PROXY),
    "forwarded": _write(request(Forwarded='for="[2001:db8::1]:80";by=x, for=unknown'), _PROXIES),
    "forwarded-badly": _write(request(Forwarded='for="'), _PROXY),
    "forwarded-both-ways": _write(
        request(Forwarded="for=203.0.113.7", X_Forwarded_For="203.0.113.8"), _PROXY
    ),
    "too-many-of-an-address": _write(request(), _ONE_EACH),
    "full": _write(request(), _FULL),
    "shutting-down": _write(request(), _CLOSED),
}
"""Inputs of :func:`tests.fuzz.http.check`, by name."""


def _asking(line: str, body: bytes = b"", **fields: str) -> bytes:
    """A request for no WebSocket."""
    if body and "Transfer_Encoding" not in fields:
        fields["Content_Length"] = str(len(body))
    lines = [f"{line} HTTP/1.1", "Host: localhost:8080"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("iso-8859-1") + body


_STREAM = "text/event-stream"
_CHUNKS = b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
_FORM = "application/x-www-form-urlencoded"
_HEALTH = _asking("GET /healthz")

SITE = {
    "stream": _write(_asking("GET /strings?last=1&presence", Accept=_STREAM)),
    "stream-again": _write(_asking("GET /", Accept=_STREAM, Last_Event_ID="1f2e3d4c:42")),
    "stream-since": _write(_asking("GET /?since=1f2e3d4c:42", Accept=_STREAM)),
    "stream-since-nothing": _write(_asking("GET /?since=x", Accept=_STREAM) + _HEALTH),
    "stream-and-more": _write(_asking("GET /", Accept=_STREAM) + _HEALTH),
    "stream-behind-others": _write(_HEALTH + _asking("GET /", Accept=_STREAM), cuts=(9, 60)),
    "stream-of-a-page": _write(
        _asking("GET /", Accept=_STREAM, Origin="https://a.example.org:8443"), _LISTED_ORIGINS
    ),
    "stream-of-another-page": _write(
        _asking("GET /", Accept=_STREAM, Origin="https://example.net") + _HEALTH
    ),
    "head": _write(_asking("HEAD /", Accept=_STREAM) + _asking("HEAD /healthz") + _HEALTH),
    "head-of-what-is-refused": _write(_asking("HEAD /") + _asking("HEAD /api") + _HEALTH),
    "presence": _write(_asking("GET /?presence") + _asking("GET /?presence=count"), cuts=(50,)),
    "presence-of-nobody": _write(_asking("GET /%00?presence") + _HEALTH),
    "page": _write(_asking("GET /", Accept="text/html") + _asking("GET /readyz")),
    "post": _write(_asking("POST /strings", b"hello", Content_Type="text/plain"), cuts=(3, 90)),
    "post-twice": _write(_asking("POST /", b"a", Idempotency_Key='"1"') * 2 + _HEALTH),
    "post-something-else": _write(
        _asking("POST /", b"a", Idempotency_Key="1")
        + _asking("POST /", b"b", Idempotency_Key="1")
        + _HEALTH
    ),
    "post-nothing": _write(_asking("POST /") + _HEALTH),
    "post-in-chunks": _write(
        _asking("POST /", _CHUNKS, Transfer_Encoding="chunked") + _HEALTH, cuts=(70, 75, 80)
    ),
    "post-in-bad-chunks": _write(_asking("POST /", b"x\r\n", Transfer_Encoding="chunked")),
    "post-of-no-text": _write(_asking("POST /", b"\xff", Content_Type="text/plain") + _HEALTH),
    "post-of-a-form": _write(_asking("POST /", b"a=b", Content_Type=_FORM) + _HEALTH),
    "post-that-is-too-large": _write(_asking("POST /", Content_Length="9999999") + b"x" * 99),
    "post-without-an-end": _write(_asking("POST /", Content_Length="9" * 5000)),
    "post-of-two-lengths": _write(
        _asking("POST /", Content_Length="1", Transfer_Encoding="chunked") + b"0\r\n\r\n"
    ),
    "post-that-asks-first": _write(_asking("POST /", b"hello", Expect="100-continue")),
    "post-of-a-handshake": _write(_asking("POST /", request()) + _HEALTH),
    "post-for-a-websocket": _write(_asking("POST /", b"hello", Upgrade="websocket")),
    "options": _write(_asking("OPTIONS /", Origin="http://localhost:8080") + _HEALTH),
    "options-of-all": _write(_HEALTH + _asking("OPTIONS *") + _HEALTH),
    "method-that-is-none": _write(_asking("BREW /pot") + _HEALTH),
    "origin-that-is-odd": _write(
        _HEALTH + _asking("GET /?presence", Origin="\x1b\xe9"), _ANY_ORIGIN
    ),
    "target-of-a-proxy": _write(_asking("GET http://localhost:8080/a?presence") + _HEALTH),
    "handshake-behind-others": _write(_HEALTH * 2 + request() + frame(b"hello"), cuts=(99,)),
    "handshake-of-old": _write(_HEALTH + request("GET / HTTP/1.0")),
    "handshake-with-a-fold": _write(_HEALTH + request(more="X-Nothing: 1\r\n 2\r\n")),
    "handshake-with-a-body": _write(_HEALTH + request(Content_Length="5") + b"hello"),
    "handshake-with-two-keys": _write(
        _HEALTH + request(more="Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
    ),
    "last": _write(_asking("GET /healthz", Connection="close") + _HEALTH),
    "of-old": _write(b"GET /?presence HTTP/1.0\r\nHost: localhost\r\n\r\n" + _HEALTH),
    "wrong-behind-others": _write(_HEALTH + b"nonsense\r\n\r\n" + _HEALTH),
    "line-without-an-end": _write(_HEALTH + b"GET /" + b"x" * 2000, cuts=(60,), again=10),
    "many": _write(_HEALTH * 100, cuts=(999, 2222)),
    "forwarded": _write(_asking("POST /", b"a", X_Forwarded_For="192.0.2.1") * 3, _PROXY),
    "of-one-address": _write(_HEALTH, _ONE_EACH),
    "of-another-address": _write(_HEALTH, _LISTED_ORIGINS),
    "handshake-of-one-address-and-more": _write(request() + _asking("HEAD /"), _ONE_EACH),
    "head-of-one-address": _write(_asking("HEAD /healthz"), _ONE_EACH),
    "full": _write(_asking("GET /", Accept=_STREAM), _FULL),
    "closed": _write(_asking("POST /", b"hello") + _HEALTH, _CLOSED),
}
"""More inputs of :func:`tests.fuzz.http.check`, which begin with no handshake."""

SEEDS = {"frames": FRAMES, "http": HTTP}


def write() -> None:
    """Write the seeds, and remove those that are no more."""
    for target, seeds in SEEDS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, seed in seeds.items():
            (folder / name).write_bytes(seed)


if __name__ == "__main__":
    write()
