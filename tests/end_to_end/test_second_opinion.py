"""What the ``websockets`` library makes of the server, and what the server makes of it.

Each way to close, to fragment and to compress that this client can be told to use.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.frames import DATA_OPCODES, Close, Frame, Opcode
from websockets.protocol import Event, State
from websockets.sync.client import ClientConnection

from tests.end_to_end.server import PATIENCE, Server, serving


class Noting(ClientConnection):
    """A client that keeps the frames that it gets."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.frames: list[Frame] = []
        self.sizes: list[tuple[bool, int]] = []
        """Of each message: whether it came compressed, and how large it was then."""
        super().__init__(*args, **options)

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame):
            self.frames.append(event)
        super().process_event(event)

    def note_sizes(self) -> None:
        """Look at what comes before it is decompressed, from now on."""
        (extension,) = self.protocol.extensions
        decode = extension.decode

        def noting(frame: Frame, **options: Any) -> Frame:
            if frame.opcode in DATA_OPCODES:
                self.sizes.append((frame.rsv1, len(frame.data)))
            return decode(frame, **options)

        extension.decode = noting


def join(server: Server, path: str, **options: Any) -> Noting:
    """A client that has shaken hands, and waits for the server to end the connection."""
    client = server.connect(
        path, max_queue=None, close_timeout=PATIENCE, create_connection=Noting, **options
    )
    assert isinstance(client, Noting)
    return client


def hear(client: Noting, count: int) -> list[str | bytes]:
    """The next messages, which are frames as they come: whole, one each."""
    heard = [client.recv(timeout=PATIENCE) for _ in range(count)]
    assert all(frame.fin and frame.opcode is not Opcode.CONT for frame in client.frames)
    return heard


def echoed(played: str | bytes) -> str | bytes:
    """What is heard of what was played."""
    return "Echo: " + played if isinstance(played, str) else played


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as it is by default."""
    with serving(tmp_path_factory.mktemp("plain")) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.fixture(scope="module")
def compressing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that compresses for those who offer it."""
    with serving(tmp_path_factory.mktemp("compressing"), "--compress") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.fixture(params=["plain", "compressing"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of them."""
    found: Server = request.getfixturevalue(request.param)
    return found


ALLOWED = (*range(1000, 1004), *range(1007, 1014), 3000, 3999, 4000, 4999)
"""The codes that an end may send (RFC 6455 section 7.4)."""

UNHEARD_OF = 1014
"""A code that was registered later; this client sends it, and Autobahn does not know it."""

NOT_ALLOWED = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
"""The codes that must not be on the wire, or that mean nothing."""

GONE = '"peer dropped the TCP connection without previous WebSocket closing handshake"'

REASONS = {
    "none": "",
    "one byte": "x",
    "one character": "ü",
    "all that fits": "x" * 123,
    "all that fits, in two bytes each": "ü" * 61 + "x",
    "all that fits, in four bytes each": "🎻" * 30 + "abc",
}


class TestClosing:
    """The closing handshake, begun by the client."""

    @pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
    @pytest.mark.parametrize("code", ALLOWED)
    def test_it_is_answered_with_the_same(self, plain: Server, code: int, reason: str) -> None:
        """Code and reason come back, and then the server ends the connection, in good order."""
        with join(plain, "/closing") as client:
            client.close(code, reason)
        assert client.protocol.close_rcvd == Close(code, reason)
        assert client.connection_exc is None, "the end was an error, or did not come in time"

    def test_none_is_answered_with_none(self, compressing: Server) -> None:
        """A close frame without a code is answered by one that has none either."""
        with join(compressing, "/closing") as client:
            client.close(None)
        (answer,) = client.frames
        assert (answer.opcode, answer.data) == (Opcode.CLOSE, b"")
        assert client.connection_exc is None

    @pytest.mark.parametrize("reason", [b"", b"because"])
    @pytest.mark.parametrize("code", [*NOT_ALLOWED, UNHEARD_OF])
    def test_a_wrong_code_is_a_protocol_error(
        self, server: Server, code: int, reason: bytes
    ) -> None:
        """It is answered with 1002 and a reason that names it, and the connection ends."""
        answer = answer_to_close(server, struct.pack("!H", code) + reason)
        assert answer == Close(1002, f"invalid close code {code}")

    def test_half_a_code_is_a_protocol_error(self, server: Server) -> None:
        """A close frame of one byte is answered with 1002."""
        assert answer_to_close(server, b"\x03").code == 1002

    @pytest.mark.parametrize("reason", [b"\xff", b"\xed\xa0\x80", "ü".encode()[:1]])
    def test_a_reason_is_text(self, server: Server, reason: bytes) -> None:
        """One that is not UTF-8 is answered with 1007."""
        assert answer_to_close(server, b"\x03\xe8" + reason).code == 1007

    def test_what_was_sent_before_is_heard(self, server: Server) -> None:
        """Who plays and closes at once hears itself before the end, and so does everybody."""
        with join(server, "/closing/last") as other, join(server, "/closing/last") as client:
            with client.send_context():
                client.protocol.send_text(b"the last note")
                client.protocol.send_close(4000, "done")
            assert [frame.opcode for frame in client.frames] == [Opcode.TEXT, Opcode.CLOSE]
            assert hear(client, 1) == hear(other, 1) == ["Echo: the last note"]
            assert client.protocol.close_rcvd == Close(4000, "done")


def answer_to_close(server: Server, payload: bytes) -> Close:
    """What a close frame is answered with that the client would not send by itself."""
    with join(server, "/closing") as client:
        send_close(client, payload)
    assert client.connection_exc is None, "the end was an error, or did not come in time"
    assert client.protocol.close_rcvd is not None
    return client.protocol.close_rcvd


def send_close(client: ClientConnection, payload: bytes) -> None:
    """Send a close frame, right or wrong, and wait for the end."""
    with client.send_context():
        client.protocol.send_frame(Frame(Opcode.CLOSE, payload))
        client.protocol.close_sent = Close(1000, "")
        client.protocol.state = State.CLOSING


def test_the_log_says_who_left_and_how(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The code and the reason are those of whoever closed first, and the peer is the client."""
    expected: dict[int, tuple[int | None, str]] = {}
    closes: list[tuple[int | None, str]] = [(code, f"because of {code}") for code in ALLOWED]
    with serving(tmp_path_factory.mktemp("log"), "--log-format", "json") as server:
        for code, reason in (*closes, (None, ""), (4000, "two\nlines")):
            with join(server, "/log") as client:
                expected[client.local_address[1]] = (code, reason.replace("\n", "\\n"))
                client.close(code, reason)
        for code in NOT_ALLOWED:
            with join(server, "/log") as client:
                expected[client.local_address[1]] = (1002, f"invalid close code {code}")
                send_close(client, struct.pack("!H", code))
        with join(server, "/log") as client:
            expected[client.local_address[1]] = (1006, f"connection was closed uncleanly ({GONE})")
            client.socket.shutdown(socket.SHUT_RDWR)
        for _ in expected:
            server.wait_for('"event": "left"')
        assert server.stop() == 0
    left = [json.loads(line) for line in server.log if '"event": "left"' in line]
    assert {int(e["peer"].rsplit(":", 1)[1]): (e["code"], e["reason"]) for e in left} == expected
    assert {e["channel"] for e in left} == {"log"}


NOTE = "Grüße aus dem Orchester 🎻🎺, immer wieder. " * 3
PATTERNS: dict[str, Sequence[bytes]] = {
    "one": [NOTE.encode()],
    "two": [NOTE[:20].encode(), NOTE[20:].encode()],
    "a byte each": [bytes([byte]) for byte in NOTE.encode()],
    "two bytes each": [NOTE.encode()[n : n + 2] for n in range(0, len(NOTE.encode()), 2)],
    "empty first": [b"", NOTE.encode()],
    "empty in the middle": [NOTE[:9].encode(), b"", b"", NOTE[9:].encode()],
    "empty in a character": ["🎻".encode()[:2], b"", "🎻".encode()[2:]],
    "empty last": [NOTE.encode(), b""],
    "only empty ones": [b"", b"", b""],
    "the sizes where lengths change": [b"x" * n for n in (125, 126, 127, 65535, 65536)],
    "many": [b"%d," % number for number in range(1000)],
    "large": [b"x" * 250_000] * 4,
}


def send_by_iterable(client: ClientConnection, fragments: Sequence[bytes], text: bool) -> int:
    """As the client does it by itself: an empty fragment is the last."""
    client.send(iter(fragments), text=text)
    return 0


def send_by_frames(client: ClientConnection, fragments: Sequence[bytes], text: bool) -> int:
    """These fragments and no other, in one segment if they are small."""
    protocol = client.protocol
    first, *others = fragments
    with client.send_context():
        (protocol.send_text if text else protocol.send_binary)(first, fin=not others)
        for number, fragment in enumerate(others, 1):
            protocol.send_continuation(fragment, fin=number == len(others))
    return 0


def send_between_pings(client: ClientConnection, fragments: Sequence[bytes], text: bool) -> int:
    """A ping goes before each fragment but the first, and the last of them is answered."""
    pongs = []

    def with_pings() -> Iterable[bytes]:
        for number, fragment in enumerate(fragments):
            if number:
                pongs.append(client.ping(f"ping {number}"))
            yield fragment

    client.send(with_pings(), text=text)
    assert all(pong.wait(PATIENCE) for pong in pongs[-1:])
    return len(pongs)


@pytest.mark.parametrize("fragments", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("is_text", [True, False], ids=["text", "binary"])
@pytest.mark.parametrize("send", [send_by_iterable, send_by_frames, send_between_pings])
def test_fragments_are_heard_as_one(
    server: Server, send: Any, is_text: bool, fragments: Sequence[bytes]
) -> None:
    """Everyone hears the whole message once, in one frame, and nothing else of it."""
    whole = b"".join(fragments)
    played = whole.decode() if is_text else whole
    with (
        join(server, "/fragments") as player,
        join(server, "/fragments") as listener,
        join(server, "/fragments", compression=None) as plain_listener,
    ):
        pings = send(player, fragments, is_text)
        player.send("end")
        for client in (player, listener, plain_listener):
            assert hear(client, 2) == [echoed(played), "Echo: end"]
            counts = Counter(frame.opcode for frame in client.frames)
            pongs = counts.pop(Opcode.PONG, 0)
            if client is player and pings:
                assert 0 < pongs <= pings
            else:
                assert pongs == 0
            assert counts == Counter([Opcode.TEXT if is_text else Opcode.BINARY, Opcode.TEXT])


@pytest.mark.parametrize("fragments", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("is_text", [True, False], ids=["text", "binary"])
def test_fragments_that_are_not_there_at_once(
    server: Server, is_text: bool, fragments: Sequence[bytes]
) -> None:
    """The client's asynchronous kind asks for each of them, and others play in between."""

    async def one_by_one(other: AsyncConnection) -> AsyncIterator[bytes]:
        for number, fragment in enumerate(fragments):
            if number < 3:
                await other.send(f"{number}")
                assert await other.recv() == f"Echo: {number}"
            yield fragment

    async def play() -> list[str | bytes]:
        url = server.url("/async")
        async with connect_async(url) as player, connect_async(url) as other:
            await player.send(one_by_one(other), text=is_text)
            for number in range(min(3, len(fragments))):
                assert await player.recv() == f"Echo: {number}"
            return [await player.recv(), await other.recv()]

    whole = b"".join(fragments)
    played = whole.decode() if is_text else whole
    heard = asyncio.run(asyncio.wait_for(play(), PATIENCE))
    assert heard == [echoed(played)] * 2


def test_two_play_fragments_at_once(server: Server) -> None:
    """Fragments of one client's message never get between those of another's."""
    with join(server, "/two") as alice, join(server, "/two") as bob:
        for number in range(10):
            with alice.send_context():
                alice.protocol.send_text(b"alice", fin=False)
            with bob.send_context():
                bob.protocol.send_text(b"bob", fin=False)
            with alice.send_context():
                alice.protocol.send_continuation(b" plays %d" % number, fin=True)
            assert hear(alice, 1) == hear(bob, 1) == [f"Echo: alice plays {number}"]
            with bob.send_context():
                bob.protocol.send_continuation(b" plays %d" % number, fin=True)
            assert hear(alice, 1) == hear(bob, 1) == [f"Echo: bob plays {number}"]


_random = random.Random(7692)
DISTANT = [
    # A window that is too small does not reach back to where the same was before.
    _random.randbytes(size) * 2
    for size in (200, 400, 800, 1600, 3200, 6400, 12800, 30000)
]
TUNE = "do re mi fa so la ti " * 200
PLAYED: list[str | bytes] = ["", "hi", TUNE, TUNE, b"", bytes(5000), _random.randbytes(3000)]

WINDOWS = (None, *range(9, 16))
OFFERS = [
    ClientPerMessageDeflateFactory(*takeover, server_bits, client_bits)
    for takeover in [(False, False), (True, False), (False, True), (True, True)]
    for server_bits in (*WINDOWS, 8)
    for client_bits in (*WINDOWS, True)
]
CHOIR = 9
CHOIRS = [OFFERS[n : n + CHOIR] for n in range(0, len(OFFERS), CHOIR)]


def words(offer: ClientPerMessageDeflateFactory) -> str:
    """An offer, as it stands in the handshake."""
    return ";".join(n if v is None else f"{n}={v}" for n, v in offer.get_request_params())


def check_agreement(client: Noting, offer: ClientPerMessageDeflateFactory) -> None:
    """What was agreed is what was offered, and is without context takeover."""
    (extension,) = client.protocol.extensions
    assert isinstance(extension, PerMessageDeflate)
    assert extension.remote_no_context_takeover
    assert extension.local_no_context_takeover
    assert extension.remote_max_window_bits == (offer.server_max_window_bits or 15)


@pytest.mark.parametrize("choir", CHOIRS, ids=lambda choir: words(choir[0]))
def test_every_offer_is_served(
    server: Server, compressing: Server, choir: Sequence[ClientPerMessageDeflateFactory]
) -> None:
    """Whatever is offered, all hear the same, compressed if the server does and the offer can be.

    Each of them plays, with the window that it offered; one of those who hear it offers nothing.
    """
    with ExitStack() as stack:
        singers = [stack.enter_context(join(server, "/choir", extensions=[o])) for o in choir]
        everyone = [*singers, stack.enter_context(join(server, "/choir", compression=None))]
        agreed = []
        for singer, offer in zip(singers, choir, strict=True):
            if server is compressing and offer.server_max_window_bits != 8:
                check_agreement(singer, offer)
                singer.note_sizes()
                agreed.append(singer)
            else:
                assert singer.protocol.extensions == []
        assert len(agreed) in (0, len(choir))
        played: list[str | bytes] = []
        for number, singer in enumerate(singers):
            mine = [*PLAYED, DISTANT[number % len(DISTANT)], f"{number} has played"]
            for note in mine:
                singer.send(note)
            for client in everyone:
                assert hear(client, len(mine)) == [echoed(note) for note in mine]
            played += mine
    for singer in agreed:
        for note, (is_compressed, size) in zip(played, singer.sizes, strict=True):
            if note == TUNE:
                assert is_compressed
                assert size < len(TUNE) / 5
            else:
                assert size <= len(echoed(note))


LIMIT = 2**20
ROOM = 4096
"""What compression may add to what cannot be compressed: on the wire that counts as well."""

LARGE = {"compressible": b"x" * LIMIT, "random": _random.randbytes(LIMIT - ROOM)}


@pytest.mark.parametrize("bits", [None, 9])
@pytest.mark.parametrize("note", LARGE.values(), ids=LARGE)
def test_a_message_as_large_as_the_limit_is_taken(
    server: Server, note: bytes, bits: int | None
) -> None:
    """1 MiB in one frame or in many, of which the last is not empty."""
    offers = [ClientPerMessageDeflateFactory(client_max_window_bits=bits)]
    with (
        join(server, "/limit", compression=None) as listener,
        join(server, "/limit", extensions=offers) as player,
    ):
        player.send(note)
        pieces = [note[n : n + 50_000] for n in range(0, len(note), 50_000)]
        send_by_frames(player, pieces, text=False)
        for client in (player, listener):
            assert hear(client, 2) == [note, note]


def refusal(server: Server, fragments: Sequence[bytes]) -> int:
    """Send fragments to a server that closes for it, and return the code."""
    with join(server, "/limit") as player:
        send_by_frames(player, fragments, text=False)
        with pytest.raises(ConnectionClosedError) as caught:
            player.recv(timeout=PATIENCE)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


@pytest.mark.parametrize("more", [1, 125, 126, 70_000])
@pytest.mark.parametrize("note", LARGE.values(), ids=LARGE)
def test_more_than_the_limit_is_refused(plain: Server, note: bytes, more: int) -> None:
    """In one frame or in several, it is closed with 1009, and nobody hears anything of it."""
    with join(plain, "/limit") as listener:
        whole = note.ljust(LIMIT, b"x")
        assert refusal(plain, [whole + note[:more]]) == 1009
        assert refusal(plain, [whole, note[:more]]) == 1009
        assert refusal(plain, [whole, b"", note[:more]]) == 1009
        listener.send("end")
        assert hear(listener, 1) == ["Echo: end"]


@pytest.mark.parametrize("more", [1, 5, 100, 257, 258, 300, 70_000])
def test_what_comes_compressed_counts_in_full(compressing: Server, more: int) -> None:
    """A frame of a thousand bytes that says more than 1 MiB is closed with 1009 as well."""
    with join(compressing, "/limit") as listener:
        assert refusal(compressing, [b"x" * (LIMIT + more)]) == 1009
        listener.send("end")
        assert hear(listener, 1) == ["Echo: end"]


def test_the_first_offer_that_can_be_taken_is(compressing: Server) -> None:
    """The first of three is declined, since zlib has no such window; it is the second then."""
    offers = [
        ClientPerMessageDeflateFactory(server_max_window_bits=8),
        ClientPerMessageDeflateFactory(server_max_window_bits=10),
        ClientPerMessageDeflateFactory(server_max_window_bits=12),
    ]
    with join(compressing, "/offers", extensions=offers) as client:
        check_agreement(client, offers[1])
        for note in DISTANT:
            client.send(note)
        assert hear(client, len(DISTANT)) == DISTANT
