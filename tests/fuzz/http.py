"""The property of requests: whatever a new connection gets, and however it is cut."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any, NamedTuple

from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.opening import MAX_HEAD
from tests.fuzz.stage import Connection, Script, TickingClock, nothing_fails, ticking

STATUSES = frozenset(
    {100, 101, 200, 204, 400, 403, 404, 405, 413, 415, 422, 426, 429, 431, 501, 503, 505}
)
"""How a request may be answered. That it is the server's fault (500) is not among them."""

COMPRESS = 0x08
"""The option to agree on compression."""

MOST_FIELDS = 400
"""How many header fields a plain request may have."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"GET (?:[a-zA-Z][\w+.-]*:/)?/[!-~\x80-\xff]* HTTP/1\.1", re.ASCII)
_PLAIN_LINE = re.compile(rb"(" + _TOKEN + rb") (?:https?:/)?/[!-~]* HTTP/1\.([01])")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[\da-fA-F:.]+\])(?::\d*)?", re.ASCII)
_KEY = re.compile(rb"[0-9A-Za-z+/]{22}==")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,6})\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3}) [ -~]+")
_ANSWER_FIELD = re.compile(rb"(" + _TOKEN + rb"): ([ -~]*)")
_FRAMES = frozenset({0x81, 0x82, 0xC1, 0xC2, 0x88, 0x8A})
"""How what comes after a handshake may begin: a message, compressed or not, a close or a pong."""


class Situation(NamedTuple):
    """What a request comes to."""

    options: dict[str, Any]
    """The factory's."""

    prepare: Callable[[OrchestraFactory, TickingClock], object] = lambda factory, clock: None
    """What happens before."""


def _somebody_is_there(factory: OrchestraFactory, clock: TickingClock) -> None:
    Connection(factory, clock).feed(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert len(factory.clients) == 1


SITUATIONS = (
    Situation({}),
    Situation({"origins": ["*"]}),
    Situation(
        {
            "origins": ["https://example.com", "https://*.example.org:8443", "null"],
            "max_connections_per_address": 1,
        }
    ),
    Situation({"trusted_proxies": ["127.0.0.1"], "max_connections_per_address": 1}),
    Situation({"trusted_proxies": ["0.0.0.0/0", "::/0"]}),
    Situation({"max_connections_per_address": 1}, _somebody_is_there),
    Situation({"max_connections": 1}, _somebody_is_there),
    Situation({}, lambda factory, clock: factory.drain(0)),
)
"""By the low bits of the options."""


def check(data: bytes) -> None:
    """Make sure that the property holds for an input.

    - Nothing is raised.
    - There is no answer as long as the first request's head may go on, and not more than that is
      kept. Then there is one, or it is waited for the body.
    - As long as requests are plain (:func:`read_requests`), each has exactly one answer, in order
      and in full, and nothing is answered that was not asked.
    - An answer is a well-formed response with one of the :data:`STATUSES`, without control
      characters. One that says that it is the last one is.
    - Only a request that :func:`handshake_key` takes for a handshake becomes a WebSocket.
    - Nothing is left of a connection that is gone.

    :param data: a :class:`tests.fuzz.stage.Script`.
    :raises AssertionError: if it does not.
    """
    script = Script.read(data)
    situation = SITUATIONS[script.options % len(SITUATIONS)]
    with ticking() as clock, nothing_fails():
        factory = OrchestraFactory(
            compress=bool(script.options & COMPRESS),
            handshake_timeout=0,
            close_timeout=0,
            ping_interval=0,
            reactor=clock,
            **situation.options,
        )
        situation.prepare(factory, clock)
        connection = Connection(factory, clock)
        received = b""
        is_over = False
        for piece in script.pieces:
            connection.feed(piece)
            _take_all(connection, clock)
            received += piece
            head, end, _ = received.partition(b"\r\n\r\n")
            if not end and len(received) <= MAX_HEAD:
                assert not connection.sent, "the head may go on"
            else:
                assert connection.sent or _may_have_body(head), "there is no answer"
                is_over = _check_answers(connection, received)
        if is_over:
            clock.advance(5)
            connection.take()
            assert connection.transport.disconnected, "the connection goes on"
        connection.end()
        for client in tuple(factory.clients):
            client.abort()
        assert factory.countConnections == 0, "it is still counted"
        assert len(factory.admission._per_address) == 0, "it still has a place"
        clock.advance(2)  # for the log to be told what it was not told one by one


def _take_all(connection: Connection, clock: TickingClock) -> None:
    # Of many requests that came at once, one is served in a turn.
    before = -1
    while len(connection.sent) > before:
        before = len(connection.sent)
        clock.advance(0.05)
        connection.take()


def _may_have_body(head: bytes) -> bool:
    return re.search(rb"\r\n(content-length|transfer-encoding)\b", head, re.IGNORECASE) is not None


class Request(NamedTuple):
    """A request that a client has sent."""

    method: bytes
    head: bytes
    """Without the empty line at its end."""

    is_whole: bool
    """Whether its body has come."""

    is_last: bool
    """Whether there can be none behind it."""


def read_requests(data: bytes) -> tuple[list[Request], bool]:
    """Read the requests of a connection, as long as there is no doubt how they are meant.

    Such a plain request is as RFC 9112 wants it to be written, and makes no use of what it wants
    to be read all the same.

    :returns: the requests, and whether that is all that has come.
    """
    requests: list[Request] = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        fields = [_FIELD.fullmatch(text) for text in lines]
        request_line = _PLAIN_LINE.fullmatch(line)
        if not (end and len(head) <= MAX_HEAD and request_line and all(fields)):
            return requests, False
        named: dict[bytes, list[bytes]] = {}
        for field in fields:
            assert field is not None
            named.setdefault(field[1].lower(), []).append(field[2])
        hosts = named.get(b"host", [])
        if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]) or b"expect" in named:
            return requests, False
        size = _body_size(named, rest)
        if size is None or len(fields) > MOST_FIELDS:
            return requests, False
        is_last = request_line[2] == b"0"
        requests.append(Request(request_line[1], head, size <= len(rest), is_last))
        data = rest[size:]
    return requests, True


def _body_size(fields: dict[bytes, list[bytes]], data: bytes) -> int | None:
    # How many bytes a body has, the beginning of which is in the data; None if that is in doubt.
    lengths, codings = fields.get(b"content-length", []), fields.get(b"transfer-encoding", [])
    if not codings and len(lengths) <= 1:
        length = lengths[0] if lengths else b"0"
        return int(length) if re.fullmatch(rb"[0-9]{1,6}", length) else None
    if lengths or codings != [b"chunked"]:
        return None
    at = 0
    while chunk := _CHUNK.match(data, at):
        size = int(chunk[1], 16)
        at = chunk.end() + size
        if data[at : at + 2] != b"\r\n":
            return None
        at += 2
        if not size:
            return at
    return None


def handshake_key(head: bytes) -> bytes | None:
    """Read a request's head as RFC 6455 section 4.2.1 and RFC 9112 have it, and no other way.

    :param head: without the empty line at its end.
    :returns: the key of a handshake; ``None`` if it is none.
    """
    line, *lines = head.split(b"\r\n")
    fields: dict[bytes, list[bytes]] = {}
    for text in lines:
        field = _FIELD.fullmatch(text)
        if field is None:
            return None
        fields.setdefault(field[1].lower(), []).append(field[2])
    hosts = fields.get(b"host", [])
    keys = fields.get(b"sec-websocket-key", [])
    is_handshake = (
        _REQUEST_LINE.fullmatch(line)
        and len(hosts) == 1
        and _HOST.fullmatch(hosts[0])
        and b"websocket" in _tokens(fields, b"upgrade")
        and b"upgrade" in _tokens(fields, b"connection")
        and fields.get(b"sec-websocket-version") == [b"13"]
        and len(keys) == 1
        and _KEY.fullmatch(keys[0])
        and len(b64decode(keys[0], validate=True)) == 16
        and b"transfer-encoding" not in fields
        and set(fields.get(b"content-length", [])) <= {b"0"}
        and len(fields.get(b"origin", [])) <= 1
    )
    return keys[0] if is_handshake else None


def _tokens(fields: dict[bytes, list[bytes]], name: bytes) -> set[bytes]:
    values = b",".join(fields.get(name, []))
    return {token.strip(b" \t").lower() for token in values.split(b",")}


class _Answer(NamedTuple):
    status: int
    fields: dict[bytes, bytes]
    rest: bytes
    """What is sent behind its head."""

    @property
    def is_stream(self) -> bool:
        return self.fields.get(b"content-type") == b"text/event-stream"


def _check_answers(connection: Connection, received: bytes) -> bool:
    # Whether the connection has to end now.
    requests, is_all = read_requests(received)
    sent = connection.sent
    for request in requests:
        if not sent:
            assert not request.is_whole, "there is no answer"
            return False
        answer = _read_head(sent)
        if answer.status == 101:
            _check_handshake(answer, request)
            return False
        if answer.is_stream and request.method == b"GET":
            assert answer.fields[b"connection"] == b"close"
            assert answer.rest.startswith(b"retry: "), answer.rest
            return False
        sent = _check_body(answer, request.method)
        if request.is_last or answer.fields.get(b"connection") == b"close":
            assert not sent, "something is sent behind the last answer"
            return True
        assert request.is_whole, "there is an answer before the request has come"
    if is_all:
        assert not sent, "nobody has asked for that"
        assert not connection.transport.disconnecting, "the connection has ended"
    elif sent:
        _read_head(sent)  # to whatever it was
    return False


def _read_head(data: bytes) -> _Answer:
    head, end, rest = data.partition(b"\r\n\r\n")
    assert end, "the answer's head is cut"
    line, *lines = head.split(b"\r\n")
    status_line = _STATUS_LINE.fullmatch(line)
    assert status_line, line
    fields: dict[bytes, bytes] = {}
    for text in lines:
        field = _ANSWER_FIELD.fullmatch(text)
        assert field, text
        assert field[1].lower() not in fields, f"{field[1]!r} is there twice"
        fields[field[1].lower()] = field[2]
    status = int(status_line[1])
    assert status in STATUSES, line
    return _Answer(status, fields, rest)


def _check_body(answer: _Answer, method: bytes) -> bytes:
    # Returns what comes behind it.
    if method == b"HEAD" or answer.status == 204:
        return answer.rest
    size = int(answer.fields[b"content-length"])
    body, rest = answer.rest[:size], answer.rest[size:]
    assert len(body) == size, "the answer is cut"
    if answer.status >= 400:
        assert re.fullmatch(rb"[ -~]*\n", body), body
    return rest


def _check_handshake(answer: _Answer, request: Request) -> None:
    key = handshake_key(request.head)
    assert key is not None, "that was no handshake"
    accept = sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    assert answer.fields[b"sec-websocket-accept"] == b64encode(accept)
    assert answer.fields[b"upgrade"].lower() == b"websocket"
    assert answer.fields[b"connection"].lower() == b"upgrade"
    assert not answer.rest or answer.rest[0] in _FRAMES, answer.rest
