"""The property of frames: whatever bytes an open connection gets, and however they are cut.

There are three who read them: the server, the server with nothing but Autobahn's parser in it,
and the ``websockets`` library.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from orchestra.message import Content
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.intake import PIECES
from orchestra.websocket.protocol import OrchestraProtocol
from tests.frames import Plain, parsed
from tests.fuzz.stage import Connection, Script, TickingClock, nothing_fails, ticking

LIMITS = (1000, 0, 30, 126, 65535, 1024 * 1024, 1, 100)
"""The largest messages that are taken, by the low bits of the options; 0 for any."""

COMPRESS = 0x08
"""The option to agree on compression."""

UNREAD = 0x10
"""The option that the client does not read what it is sent."""

LONG = 100_000
"""What would take too long to be sent."""

LARGEST_HEAD = 14
"""The bytes before a frame's payload, at the most."""

_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_CLOSE_FRAME, _PONG_FRAME = 0x88, 0x8A
_CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
_OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


class Recording(OrchestraFactory):
    """Keeps what clients play, and plays it to nobody."""

    def __init__(
        self, protocol: type[OrchestraProtocol], clock: TickingClock, options: int
    ) -> None:
        super().__init__(
            max_message_size=LIMITS[options % len(LIMITS)],
            compress=bool(options & COMPRESS),
            handshake_timeout=0,
            close_timeout=0,
            ping_interval=0,
            reactor=clock,
        )
        self.protocol = protocol
        self.played: list[Content] = []

    def play(self, client: OrchestraProtocol, contents: Sequence[Content]) -> None:
        self.played += contents


def check(data: bytes) -> None:
    """Make sure that the property holds for an input.

    - Nothing is raised, and a client that is told to wait has its turn.
    - It is played and answered what Autobahn's parser would play and answer, after each piece.
    - What is played is what the ``websockets`` library reads, from the first message on; all of
      it, unless the server has closed the connection. The same goes for the pings that are
      answered; those that come while the client does not read may be passed over.
    - Nothing is kept but one message of the size that is allowed.
    - A connection that the server has closed ends when the client has answered.

    :param data: a :class:`tests.fuzz.stage.Script`.
    :raises AssertionError: if it does not.
    """
    script = Script.read(data)
    with ticking() as clock, nothing_fails():
        factories = [Recording(kind, clock, script.options) for kind in (OrchestraProtocol, Plain)]
        both = ours, plain = [Connection(factory, clock) for factory in factories]
        for connection in both:
            connection.feed(_REQUEST + _OFFER + b"\r\n")
            connection.take()
            assert connection.sent.startswith(b"HTTP/1.1 101 "), connection.sent
        for piece in script.pieces:
            for connection in both:
                connection.feed(piece)
                if not script.options & UNREAD:
                    connection.take()
                is_closed = connection.server.state == OrchestraProtocol.STATE_CLOSED
                assert is_closed or connection.transport.reading, "it never has its turn"
                if limit := LIMITS[script.options % len(LIMITS)]:
                    _check_kept(connection.server, limit, max(map(len, script.pieces)))
            assert factories[0].played == factories[1].played
            assert ours.sent + ours.transport.buffer == plain.sent + plain.transport.buffer
            assert parsed(ours.server) == parsed(plain.server)
        reading = read(script)
        is_open = ours.server.state == OrchestraProtocol.STATE_OPEN
        _check_played(factories[0].played, reading.contents, is_open)
        _check_end(ours)
        _check_answers(ours, reading.pings, is_open and not script.options & UNREAD)
        assert not (is_open and reading.is_over), "the connection should have been closed"
        for connection in both:
            connection.end()


def _check_kept(server: Any, limit: int, longest: int) -> None:
    is_closed = server.state == server.STATE_CLOSED  # what came last is not read then
    message = _pieces(server, "message_data", "frame_data")
    control = _pieces(server, "control_frame_data")
    kept = {
        "what is not read": len(server.data) - LARGEST_HEAD - longest * is_closed,
        "the message": sum(map(len, message)) - limit,
        "pieces of it": len(message) - 2 * (PIECES + 1),
        "a control frame": sum(map(len, control)) - 125,
        "what waits to be sent": len(server._outflow._waiting) - 2,
    }
    if server._inflater is not None:
        inflate = server._inflater._decompressor
        kept["what is not inflated"] = len(inflate.unused_data + inflate.unconsumed_tail) - limit
    assert all(more <= 0 for more in kept.values()), kept


def _pieces(server: Any, *names: str) -> list[bytes]:
    # Of lists that are there from the first message on, and None between messages.
    return [piece for name in names for piece in getattr(server, name, None) or ()]


def _check_played(played: Sequence[Content], expected: Sequence[Content], is_open: bool) -> None:
    assert list(played) == list(expected[: len(played)])
    assert len(played) == len(expected) or not is_open


def _check_end(connection: Connection) -> None:
    server = connection.server
    begun = server.current_frame
    rest = begun.length - server.current_frame_masker.pointer() if begun else 0
    is_in_a_head = begun is None and server.data
    if server.state == server.STATE_CLOSING and rest < LONG and not is_in_a_head:
        connection.feed(bytes(rest) + _CLOSE)
        connection.take()
        assert connection.transport.disconnected, "the client has answered"


def _check_answers(connection: Connection, pings: Sequence[bytes], is_all_read: bool) -> None:
    _, _, data = bytes(connection.sent + connection.transport.buffer).partition(b"\r\n\r\n")
    pongs = []
    is_closed = False
    while data:
        assert not is_closed, "something is sent after the close"
        first, size = data[0], data[1]
        assert size <= 125
        payload, data = data[2 : 2 + size], data[2 + size :]
        assert len(payload) == size
        is_closed = first == _CLOSE_FRAME
        if not is_closed:
            assert first == _PONG_FRAME
            pongs.append(payload)
    remaining = iter(pings)
    assert all(pong in remaining for pong in pongs), "nobody has asked for that"
    assert len(pongs) == len(pings) or not is_all_read


class Reading(NamedTuple):
    """What the ``websockets`` library finds in what a client sends."""

    contents: list[Content]
    """The messages, up to the first that is not allowed."""

    pings: list[bytes]
    """What is to be answered."""

    is_over: bool
    """Whether something was wrong, or the client has closed the connection."""


def read(script: Script) -> Reading:
    """Read it all at once."""
    limit = LIMITS[script.options % len(LIMITS)]
    ws = ServerProtocol(state=State.OPEN, max_size=None)
    if script.options & COMPRESS:
        ws.extensions = [PerMessageDeflate(True, True, 15, 15)]
    ws.receive_data(b"".join(script.pieces))
    reading = Reading([], [], ws.parser_exc is not None or ws.close_rcvd is not None)
    fragments: list[bytes] = []
    is_binary = False
    for frame in ws.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode is Opcode.PING:
            reading.pings.append(bytes(frame.data))
        if frame.opcode not in DATA_OPCODES:
            continue
        if frame.opcode is not Opcode.CONT:
            is_binary = frame.opcode is Opcode.BINARY
        fragments.append(bytes(frame.data))
        if frame.fin:
            payload = b"".join(fragments)
            fragments.clear()
            if len(payload) > limit > 0 or not (is_binary or _is_text(payload)):
                return reading._replace(is_over=True)
            reading.contents.append((payload, is_binary))
    return reading


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
