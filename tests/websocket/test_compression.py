"""Compressed connections, in memory, with the client of the websockets library."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from orchestra.websocket.factory import OrchestraFactory
from tests.frames import deflated, frame
from tests.memory import MemoryClient, join

TAIL = b"\0\0\xff\xff"
TUNE = "do re mi fa so la ti " * 50


@pytest.fixture
def factory(clock: Clock) -> Iterator[OrchestraFactory]:
    factory = OrchestraFactory(compress=True, reactor=clock)
    yield factory
    for client in tuple(factory.clients):
        client.abort()


def join_compressed(factory: OrchestraFactory, bits: int | None = None) -> MemoryClient:
    offer = ClientPerMessageDeflateFactory(
        server_max_window_bits=bits, client_max_window_bits=True
    )
    return join(factory, extensions=[offer])


def test_everybody_hears_the_same(factory: OrchestraFactory, clock: Clock) -> None:
    """Clients with compression, with a small window, and without are in one channel."""
    clients = [join_compressed(factory), join_compressed(factory, 9), join(factory)]
    assert [bool(client.ws.extensions) for client in clients] == [True, True, False]
    played: list[str | bytes] = [TUNE, "short", b"\x00" * 1000, bytes(range(256)), ""]
    for client in clients:
        client.send(*played)
        clock.advance(0)
        for listener in clients:
            assert listener.read() == [
                note if isinstance(note, bytes) else "Echo: " + note for note in played
            ]


def test_a_message_is_compressed_once(factory: OrchestraFactory, clock: Clock) -> None:
    """All who agreed to the same window are sent the same bytes, and fewer of them."""
    clients = [join_compressed(factory) for _ in range(3)]
    plain, small = join(factory), join_compressed(factory, 9)
    calls = []
    encoding = factory.encoding(15)
    encode, encoding.encode = encoding.encode, lambda *m: calls.append(len(m[0])) or encode(*m)
    for number in range(5):
        factory.broadcast(TUNE.encode() + b"%d" % number)
        clock.advance(0)
        sent = [bytes(client.transport.buffer) for client in clients]
        assert sent[0] == sent[1] == sent[2]
        assert len(sent[0]) < len(plain.transport.buffer) / 5
        for client in (*clients, plain, small):
            assert client.read() == [f"Echo: {TUNE}{number}"]
    assert calls == [1] * 5
    assert factory.encoding(15) is encoding is not factory.encoding(9)


def test_a_bomb_is_stopped_at_the_limit(clock: Clock) -> None:
    """A small frame that would be a huge message is refused with 1009, played to nobody."""
    factory = OrchestraFactory(compress=True, max_message_size=100_000, reactor=clock)
    bomber, other = join_compressed(factory), join(factory)
    bomb = zlib.compressobj(wbits=-15)
    data = b"".join(bomb.compress(bytes(1_000_000)) for _ in range(100))
    data += bomb.flush(zlib.Z_SYNC_FLUSH)[:-4]
    assert len(data) < 100_000
    tracemalloc.start()
    bomber.server.dataReceived(frame(data, opcode=2, rsv=4))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    clock.advance(0)
    bomber.read()
    assert bomber.close_frame is not None
    assert bomber.close_frame[0] == 1009
    assert other.read() == []
    other.vanish()


def test_what_cannot_be_inflated_ends_the_connection(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """It is refused with 1007."""
    client = join_compressed(factory)
    client.server.dataReceived(frame(b"\xff\xff\xff", rsv=4))
    client.read()
    assert client.close_frame is not None
    assert client.close_frame[0] == 1007


def test_nothing_is_kept_between_messages(factory: OrchestraFactory, clock: Clock) -> None:
    """A connection that has sent compressed messages costs no more than one that has not."""
    client = join_compressed(factory)
    client.send(TUNE)
    clock.advance(0)
    assert client.read() == ["Echo: " + TUNE]
    deflate = client.server._perMessageCompress
    assert deflate._decompressor is None
    assert client.server._inflater is None
    assert deflate._compressor is None


def test_it_is_off_unless_it_is_asked_for(clock: Clock) -> None:
    """A server without it answers no offer, not even one that makes no sense, and lets it be."""
    factory = OrchestraFactory(reactor=clock)
    client = join_compressed(factory)
    assert client.ws.extensions == []
    assert b"Sec-WebSocket-Extensions" not in client.server.http_response_data.encode()
    client.vanish()


@pytest.mark.parametrize(
    ("offer", "taken"),
    [
        ("permessage-deflate; server_max_window_bits=8", False),
        ("permessage-deflate; tempo=120, permessage-deflate", True),
        ("permessage-bzip2, x-webkit-deflate-frame", False),
        ("", False),
    ],
)
def test_an_offer_that_is_not_understood_is_declined(
    factory: OrchestraFactory, offer: str, taken: bool
) -> None:
    """The connection is there all the same, with the first offer that is."""
    server = factory.buildProtocol(None)
    transport = type(join(factory).transport)(server)
    server.makeConnection(transport)
    server.dataReceived(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Extensions: " + offer.encode() + b"\r\n\r\n"
    )
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert (b"\r\nSec-WebSocket-Extensions: permessage-deflate;" in answer) == taken


def test_what_cannot_be_inflated_ends_in_order(factory: OrchestraFactory, clock: Clock) -> None:
    """With 1007 and, when the client has answered, the connection; nothing is kept until then."""
    client = join_compressed(factory)
    client.server.dataReceived(frame(b"\xff\xff\xff", rsv=4))
    for _ in range(10):
        client.server.dataReceived(frame(bytes(65_000), opcode=2))
        clock.advance(0)
    assert len(client.server.data) < 100
    client.read()
    assert client.close_frame is not None
    assert client.close_frame[0] == 1007
    assert client.transport.disconnected


def test_a_message_of_the_limit_is_within_it(factory: OrchestraFactory, clock: Clock) -> None:
    """However long its frames are; what comes with its end counts as well."""
    limit = factory.maxMessagePayloadSize
    noise = random.Random(1).randbytes(limit)
    one, other = join_compressed(factory), join(factory)
    for payload in (b"x" * limit, noise):
        data = deflated(payload)
        one.server.dataReceived(frame(data, opcode=2, rsv=4))
        clock.advance(0)
        assert other.read() == one.read() == [payload]
        flushed = frame(data + TAIL, opcode=2, fin=False, rsv=4)
        one.server.dataReceived(flushed + frame(b"\0", opcode=0))
        clock.advance(0)
        assert other.read() == one.read() == [payload]
    for more in (1, 5, 100, 258):
        client = join_compressed(factory)
        data = deflated(b"x" * (limit + more))
        client.server.dataReceived(frame(data, opcode=2, rsv=4))
        clock.advance(0)
        client.read()
        assert client.close_frame is not None
        assert client.close_frame[0] == 1009
    assert other.read() == []


def test_what_comes_behind_a_last_block_is_not_kept(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """A compressed message that has ended and goes on is closed with 1007."""
    client = join_compressed(factory)
    data = deflated(b"hi", end=zlib.Z_FINISH)
    client.server.dataReceived(frame(data, opcode=2, fin=False, rsv=4))
    for _ in range(3):
        client.server.dataReceived(frame(bytes(1_000_000), opcode=0, fin=False))
        clock.advance(0)
    client.read()
    assert client.close_frame is not None
    assert client.close_frame[0] == 1007


def test_a_compressed_frame_without_end_is_refused(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """By what it announces: nothing within the limit takes so many bytes."""
    client = join_compressed(factory)
    client.server.dataReceived(frame(opcode=2, rsv=4, length=2**62))
    client.read()
    assert client.close_frame is not None
    assert client.close_frame[0] == 1009
