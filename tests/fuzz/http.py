"""The property of handshakes: whatever a new connection gets, and however it is cut."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from hashlib import sha1
from typing import Any, NamedTuple

from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.opening import MAX_HEAD
from tests.fuzz.stage import Connection, Script, TickingClock, nothing_fails, ticking

STATUSES = frozenset({400, 403, 404, 405, 413, 426, 429, 431, 503, 505})
"""How a connection may be refused. That it is the server's fault (500) is not among them."""

COMPRESS = 0x08
"""The option to agree on compression."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"GET (?:[a-zA-Z][\w+.-]*:/)?/[!-~\x80-\xff]* HTTP/1\.1", re.ASCII)
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[\da-fA-F:.]+\])(?::\d*)?", re.ASCII)
_KEY = re.compile(rb"[0-9A-Za-z+/]{22}==")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]+")
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
    Situation({"origins": ["https://example.com", "https://*.example.org:8443", "null"]}),
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
    - There is no answer as long as the request's head may go on, and not more than that is kept.
      Then there is exactly one.
    - A refusal is a well-formed response with one of the :data:`STATUSES`, without control
      characters, and ends the connection.
    - Only a request that :func:`handshake_key` takes for a handshake becomes a WebSocket.

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
        for piece in script.pieces:
            connection.feed(piece)
            connection.take()
            received += piece
            head, end, _ = received.partition(b"\r\n\r\n")
            if not end and len(received) <= MAX_HEAD:
                assert not connection.sent, "the head may go on"
            else:
                assert connection.sent, "there is no answer"
                _check_answer(connection, head, end)
        connection.end()
        for client in tuple(factory.clients):
            client.abort()
        clock.advance(2)  # for the log to be told what it was not told one by one


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


def _check_answer(connection: Connection, head: bytes, end: bytes) -> None:
    answer, _, rest = connection.sent.partition(b"\r\n\r\n")
    line, *lines = answer.split(b"\r\n")
    status_line = _STATUS_LINE.fullmatch(line)
    assert status_line, line
    fields: dict[bytes, bytes] = {}
    for text in lines:
        field = _ANSWER_FIELD.fullmatch(text)
        assert field, text
        assert field[1].lower() not in fields, f"{field[1]!r} is there twice"
        fields[field[1].lower()] = field[2]
    status = int(status_line[1])
    if status == 101:
        assert end, "the head was not complete"
        key = handshake_key(head)
        assert key is not None, "that was no handshake"
        accept = sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        assert fields[b"sec-websocket-accept"] == b64encode(accept)
        assert fields[b"upgrade"].lower() == b"websocket"
        assert fields[b"connection"].lower() == b"upgrade"
        assert not rest or rest[0] in _FRAMES, rest
    else:
        assert status in STATUSES, line
        assert len(rest) == int(fields[b"content-length"]), rest
        assert re.fullmatch(rb"[ -~]*\n", rest), rest
        assert fields[b"connection"] == b"close"
        assert connection.transport.disconnected, "the connection goes on"
