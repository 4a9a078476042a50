"""What a client sends, and what it can make the server keep and do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from orchestra.connection.turns import COSTLY, REST, SLICE
from orchestra.message import Content
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.intake import BURST, PIECES
from orchestra.websocket.protocol import OrchestraProtocol
from tests.events import captured
from tests.frames import frame
from tests.memory import MemoryClient, join


class Working(Clock):
    """A clock by which each look at it takes some time, as work does."""

    step = 0.0

    def seconds(self) -> float:
        self.rightNow += self.step
        return super().seconds()

    @property
    def planned(self) -> list[DelayedCall]:
        """The calls that are planned, but for the hub's, which comes to its channels later."""
        return [call for call in self.getDelayedCalls() if call.func.__name__ != "_swept"]

    def turn(self) -> None:
        """Make the calls that are planned, and none of those that they plan."""
        for call in self.planned:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class Recording(OrchestraFactory):
    """Keeps what clients play instead of publishing it."""

    def __init__(self, clock: Clock, **options: Any) -> None:
        super().__init__(
            reactor=clock, handshake_timeout=0, close_timeout=5, ping_interval=0, **options
        )
        self.played: list[tuple[OrchestraProtocol, bytes]] = []

    def play(self, client: OrchestraProtocol, contents: Sequence[Content]) -> None:
        self.played += [(client, payload) for payload, _ in contents]


@pytest.fixture
def working() -> Working:
    return Working()


def receive(client: MemoryClient, data: bytes) -> None:
    client.server.dataReceived(data)


def test_a_flood_is_worked_off_turn_by_turn(working: Working) -> None:
    """One slice of it at a time, while nothing more is read; in order, and to the last."""
    factory = Recording(working)
    client = join(factory)
    working.step = SLICE / 4
    receive(client, b"".join(frame(b"%d" % n, opcode=9) for n in range(100)))
    assert not client.transport.reading
    turns, answered = 0, 0
    while not client.transport.reading:
        client.read()
        assert len(client.pongs) - answered <= 4
        answered = len(client.pongs)
        working.turn()
        turns += 1
    client.read()
    assert client.pongs == [b"%d" % n for n in range(100)]
    assert turns >= 100 / 4 - 2
    client.vanish()


def test_messages_too_are_read_in_bursts(working: Working) -> None:
    """A read full of tiny messages is not all played before the others have their turn."""
    factory = Recording(working)
    client = join(factory)
    working.step = SLICE
    count = 10 * BURST + 5
    receive(client, frame(b"") * count)
    played = 0
    while not client.transport.reading:
        assert len(factory.played) - played <= 2 * BURST
        played = len(factory.played)
        working.turn()
    assert len(factory.played) == count
    client.vanish()


def test_of_many_floods_each_turn_works_off_one(working: Working) -> None:
    """So that others wait no longer for a hundred hostile clients than for one."""
    factory = Recording(working)
    clients = [join(factory) for _ in range(10)]
    working.step = SLICE
    for client in clients:
        receive(client, frame(b"x", fin=False) + frame(b"", opcode=0, fin=False) * 20)
    working.step = 0
    served = []
    for _ in clients:
        before = [client.server.data for client in clients]
        working.step = SLICE
        working.turn()
        working.step = 0
        served += [n for n, client in enumerate(clients) if client.server.data != before[n]]
    assert served == list(range(10))
    for client in clients:
        client.vanish()


def test_after_a_costly_turn_the_queue_rests(working: Working) -> None:
    """So that what cannot be done a little at a time leaves most of the time to the others."""
    factory = Recording(working, compress=True)
    client = join(factory, extensions=[ClientPerMessageDeflateFactory()])
    receive(client, frame(b"a", fin=False))
    working.step = COSTLY
    receive(client, frame(b"", opcode=0, fin=False) * 30 + frame(b"", opcode=0))
    (first,) = working.planned
    assert first.getTime() <= working.rightNow
    working.turn()
    working.step = 0
    (second,) = working.planned
    assert second.getTime() >= working.rightNow + REST * COSTLY
    for _ in range(100):
        working.turn()
    assert factory.played
    client.vanish()


def test_who_fails_in_its_turn_is_dropped_and_the_next_has_its_own(working: Working) -> None:
    """As it is with a connection whose code fails while it reads; the log says what failed."""

    class Broken(OrchestraProtocol):
        def onMessages(self, contents: Sequence[Content]) -> None:
            if contents[0][0] == b"fail":
                raise RuntimeError("no bow")
            super().onMessages(contents)

    factory = Recording(working)
    factory.protocol = Broken
    one, two = join(factory), join(factory)
    working.step = SLICE
    for client, last in ((one, b"fail"), (two, b"fine")):
        receive(client, frame(b"", opcode=9) * 3 + frame(last))
    working.step = 0
    with captured() as events:
        working.turn()
        working.turn()
    assert one.transport.disconnected
    assert [payload for _, payload in factory.played] == [b"fine"]
    assert [str(e["log_failure"].value) for e in events if "log_failure" in e] == ["no bow"]
    two.vanish()


def test_what_comes_while_one_waits_comes_after_it(working: Working) -> None:
    """Some transports deliver what they have read already, whatever they are told."""
    factory = Recording(working)
    client = join(factory)
    working.step = SLICE
    receive(client, frame(b"a" * 126, length_bytes=2, rsv=0, fin=False) + frame(b"", opcode=9) * 3)
    receive(client, frame(b"b", opcode=0) + frame(b"c"))
    working.step = 0
    working.turn()
    assert [payload for _, payload in factory.played] == [b"a" * 126 + b"b", b"c"]
    assert client.transport.reading
    client.vanish()


def test_who_is_gone_while_it_waits_is_forgotten(working: Working) -> None:
    """Its turn passes, and the next one has it."""
    factory = Recording(working)
    one, two = join(factory), join(factory)
    working.step = SLICE
    for client in (one, two):
        receive(client, frame(b"", opcode=9) * 3 + frame(b"bye"))
    one.vanish()
    working.step = 0
    working.turn()
    working.turn()
    assert [payload for _, payload in factory.played] == [b"bye"]
    assert two.transport.reading
    two.vanish()


def test_one_that_is_held_waits_for_both(working: Working) -> None:
    """Its turn comes again when there is room, whether that is before or after its turn."""
    for early in (True, False):
        working.step = 0
        factory = Recording(working)
        client = join(factory)
        working.step = SLICE
        receive(client, frame(b"", opcode=9) * 3 + frame(b"hello"))
        working.step = 0
        client.server.pause_reading()
        if early:
            client.server.resume_reading()
        else:
            working.turn()
            assert factory.played == []
            client.server.resume_reading()
            assert not client.transport.reading
        working.turn()
        assert [payload for _, payload in factory.played] == [b"hello"]
        assert client.transport.reading
        assert working.planned == []
        client.vanish()


def test_a_message_in_a_million_pieces_is_kept_in_few(clock: Clock) -> None:
    """Empty fragments count for nothing in a message's size, and so must not be kept."""
    factory = Recording(clock)
    client = join(factory)
    receive(client, frame(b"a", fin=False))
    for _ in range(100):
        receive(client, frame(b"", opcode=0, fin=False) * 1000)
        assert len(client.server.message_data) <= PIECES + 1
    for _ in range(10):
        receive(client, frame(b"b", opcode=0, fin=False) * 1000)
    receive(client, frame(b"c", opcode=0))
    assert [payload for _, payload in factory.played] == [b"a" + b"b" * 10_000 + b"c"]
    client.vanish()


def test_a_frame_that_drips_is_kept_in_few_pieces(clock: Clock) -> None:
    """Each byte that comes by itself is not an object of its own for long."""
    factory = Recording(clock)
    client = join(factory)
    data = frame(b"x" * 70_000)
    receive(client, data[:100])
    for at in range(100, len(data), 7):
        receive(client, data[at : at + 7])
        if client.server.frame_data is not None:
            assert len(client.server.frame_data) <= PIECES
    assert [payload for _, payload in factory.played] == [b"x" * 70_000]
    client.vanish()


WITHOUT_END = (
    *((opcode, size, 1002) for opcode in (8, 9, 10, 11, 15) for size in (126, 2**32, 2**63 - 1)),
    *((opcode, size, 1009) for opcode in (1, 2) for size in (2**20 + 1, 2**32, 2**63 - 1)),
)


@pytest.mark.parametrize(("opcode", "size", "code"), WITHOUT_END)
def test_a_frame_without_end_is_not_kept(clock: Clock, opcode: int, size: int, code: int) -> None:
    """What it announces fails the connection; what then comes of it is dropped."""
    factory = Recording(clock)
    client = join(factory)
    receive(client, frame(opcode=opcode, length=size))
    for _ in range(20):
        receive(client, b"x" * 65536)
    client.read()
    assert client.close_frame is not None
    assert client.close_frame[0] == code
    server = client.server
    kept = [*(getattr(server, "control_frame_data", None) or ())]
    kept += [*(getattr(server, "frame_data", None) or ())]
    assert sum(map(len, kept)) + len(server.data) <= 65536
    clock.advance(5)
    assert client.transport.disconnected
    assert factory.played == []


def test_a_length_beyond_all_is_wrong(clock: Clock) -> None:
    """The highest bit of a length of eight bytes must be 0 (RFC 6455 section 5.2)."""
    client = join(Recording(clock))
    receive(client, frame(opcode=2, length=2**63))
    client.read()
    assert client.close_frame is not None
    assert client.close_frame[0] == 1002
    client.vanish()


BOUNDARIES = (
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc2", b"\xc2\x7f", b"\xc2\xc0"),
    *(b"\xe0\x9f\xbf", b"\xe0\xa0", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xef\xbf"),
    *(b"\xf0\x8f\xbf\xbf", b"\xf0\x90\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfe"),
    *(b"\xff", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"),
)


@pytest.mark.parametrize("bad", BOUNDARIES)
@pytest.mark.parametrize("before", [b"", b"fine ", "Bläser ♪ 𝄞 ".encode(), b"x" * 70_000])
def test_invalid_utf8_is_found_wherever_it_is(clock: Clock, before: bytes, bad: bytes) -> None:
    """At the start, behind good text, in a fragment or between two: 1007, nothing played."""
    text = before + bad
    for data in (
        frame(text),
        frame(text + b" more"),
        frame(before, fin=False) + frame(bad, opcode=0),
        frame(before + bad[:1], fin=False) + frame(bad[1:], opcode=0),
        frame(text, fin=False) + frame(b"", opcode=9) + frame(b"!", opcode=0),
    ):
        factory = Recording(clock)
        client = join(factory)
        receive(client, frame(b"before") + data + frame(b"after"))
        client.read()
        assert client.close_frame is not None
        assert client.close_frame[0] == 1007
        assert [payload for _, payload in factory.played] == [b"before"]
        client.vanish()


@pytest.mark.parametrize("last", ["\x7f", "\x80", "߿", "ࠀ", "퟿", "", "￿", "𐀀", "\U0010ffff"])
def test_valid_utf8_is_taken_however_it_is_cut(clock: Clock, last: str) -> None:
    """The first and the last character of each length, cut at each byte."""
    text = ("a" + last).encode()
    for cut in range(len(text) + 1):
        factory = Recording(clock)
        client = join(factory)
        receive(client, frame(text[:cut], fin=False) + frame(text[cut:], opcode=0))
        assert [payload for _, payload in factory.played] == [text]
        client.vanish()
