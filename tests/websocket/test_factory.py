"""The set of clients, broadcasting, and seeing everybody off."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from resource import RLIM_INFINITY

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from orchestra.hub import Hub
from orchestra.interfaces import IEncoding
from orchestra.message import Entry, Message
from orchestra.websocket.factory import SPARE_FILES, OrchestraFactory
from orchestra.websocket.protocol import OrchestraProtocol
from tests.events import captured, lines, named
from tests.memory import MemoryClient, MemoryTransport, join
from tests.outlets import Outlet, Payloads


class BrokenEncoding(Payloads):
    """An encoding with a bug."""

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> list[bytes]:
        raise RuntimeError("no score")


@pytest.fixture
def factory(clock: Clock) -> OrchestraFactory:
    return OrchestraFactory(reactor=clock)


def test_clients_are_those_that_have_shaken_hands(factory: OrchestraFactory) -> None:
    """The set holds the protocol of each client from its handshake until it is gone."""
    assert factory.clients == set()
    one, two = join(factory), join(factory)
    assert factory.clients == {one.server, two.server}
    assert isinstance(one.server, OrchestraProtocol)
    one.vanish()
    assert factory.clients == {two.server}


def test_broadcast_reaches_every_client(factory: OrchestraFactory, clock: Clock) -> None:
    """It plays to the main channel unless told otherwise, text or binary."""
    main, strings = join(factory), join(factory, "/strings")
    assert factory.broadcast(b"hello").offset == 1
    factory.broadcast(b"\xff", isBinary=True)
    factory.broadcast(b"C#4", channel="strings")
    clock.advance(0)
    assert main.read() == ["Echo: hello", b"\xff"]
    assert strings.read() == ["Echo: C#4"]
    with pytest.raises(ValueError, match="utf-8"):
        factory.broadcast(b"\xff")


def test_factories_may_share_a_hub(clock: Clock) -> None:
    """Clients of either hear each other, each in its factory's own words."""
    hub = Hub(clock=clock.seconds)
    polite, terse = (OrchestraFactory(hub, prefix=p, reactor=clock) for p in ("I say: ", ""))
    one, two = join(polite), join(terse)
    two.send("hello")
    clock.advance(0)
    assert (one.read(), two.read()) == (["I say: hello"], ["hello"])


def test_notes_come_with_the_client_that_played_them(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """An application hears what the clients play, and from which client."""
    heard: list[Message] = []
    factory.hub.subscribe("main", heard.append)
    one, two = join(factory), join(factory)
    one.send("a")
    two.send("b")
    clock.advance(0)
    ids = {one.server.client_id, two.server.client_id}
    assert len(ids) == 2
    assert {message.publisher for message in heard} == ids


def test_what_a_listener_raises_is_logged(factory: OrchestraFactory, clock: Clock) -> None:
    """It comes to the log as a failure with its traceback, and the clients hear on."""

    def broken(message: Message) -> None:
        raise RuntimeError("a broken string")

    factory.hub.subscribe("main", broken)
    client = join(factory)
    with captured() as events:
        client.send("hello")
        clock.advance(0)
    assert client.read() == ["Echo: hello"]
    failures = [event["log_failure"] for event in events if "log_failure" in event]
    assert [str(failure.value) for failure in failures] == ["a broken string"]
    assert isinstance(failures[0], Failure)
    assert "in broken" in failures[0].getTraceback()


def test_what_an_encoding_raises_closes_those_who_need_it(clock: Clock) -> None:
    """They are told with 1011, the log has the traceback, and everybody else hears on."""

    class Broken(OrchestraFactory):
        def encoding(self, window_bits: int = 0, channel: str = "main") -> IEncoding:
            is_second = len(self.clients) == 1
            return BrokenEncoding() if is_second else super().encoding(window_bits, channel)

    factory = Broken(reactor=clock)
    one, two, three = (join(factory) for _ in range(3))
    with captured() as events:
        one.send("hello")
        clock.advance(0)
    assert one.read() == three.read() == ["Echo: hello"]
    assert two.read() == []
    assert two.close_frame == (1011, "internal error")
    (failure,) = [event["log_failure"] for event in events if "log_failure" in event]
    assert str(failure.value) == "no score"


def test_draining_sees_everybody_off(factory: OrchestraFactory, clock: Clock) -> None:
    """Each client gets what was published, then 1001; it is done when the last one is gone."""
    clients = [join(factory) for _ in range(3)]
    factory.broadcast(b"the last note")
    drained = factory.drain(10)
    assert not factory.accepting
    for client in clients:
        assert not drained.called
        assert client.read() == ["Echo: the last note"]
        assert client.close_frame == (1001, "going away")
    assert drained.called


def test_draining_encodes_the_last_turn_once(factory: OrchestraFactory) -> None:
    """Ten thousand clients do not each have the farewell's messages framed anew."""
    encoding = Payloads()
    outlets = [Outlet() for _ in range(3)]
    for outlet in outlets:
        factory.hub.attach("main", outlet, encoding).resume()
    factory.broadcast(b"the last note")
    factory.drain(10)
    assert encoding.calls == 1
    assert [outlet.heard for outlet in outlets] == [[b"the last note"]] * 3


def test_draining_twice_is_done_once(factory: OrchestraFactory) -> None:
    """Two services that share a factory both learn that the last client is gone."""
    client = join(factory)
    first, second = factory.drain(10), factory.drain(5)
    client.read()
    assert first.called
    assert second.called


@pytest.mark.parametrize(
    "name",
    [
        *("max_message_size", "max_connections", "max_connections_per_address", "max_buffered"),
        *("max_message_rate", "message_burst"),
        *("handshake_timeout", "close_timeout", "ping_interval", "ping_timeout"),
    ],
)
def test_a_negative_number_is_refused(clock: Clock, name: str) -> None:
    """The error names the setting and the value; zero means that there is no such thing."""
    with pytest.raises(ValueError, match=f"{name} must be 0 or more, not -1"):
        OrchestraFactory(reactor=clock, **{name: -1})
    client = join(OrchestraFactory(reactor=clock, **{name: 0}))
    client.send("x" * 2_000_000 if name == "max_message_size" else "hello")
    clock.advance(0)
    assert len(client.read()) == 1
    client.vanish()


def test_without_a_close_timeout_nobody_is_dropped(clock: Clock) -> None:
    """A peer that takes its time to read the answer to its close is waited for."""
    client = join(OrchestraFactory(reactor=clock, close_timeout=0))
    client.close()
    clock.advance(1000)
    assert not client.transport.disconnected
    client.read()
    assert client.transport.disconnected


def test_draining_nobody_is_done_at_once(factory: OrchestraFactory) -> None:
    """Without clients there is nothing to wait for."""
    assert factory.drain(10).called


def test_draining_drops_who_stays(factory: OrchestraFactory, clock: Clock) -> None:
    """Whoever is there when the grace is over is dropped, whatever it has not read."""
    leaves, stays = join(factory), join(factory)
    for _ in range(20):
        factory.broadcast(b"x" * 10_000)
        clock.advance(0)
        leaves.read()
    with captured() as events:
        drained = factory.drain(3)
        leaves.read()
        clock.advance(2.9)
        assert not drained.called
        clock.advance(0.1)
    assert drained.called
    assert stays.transport.disconnected
    assert [event["count"] for event in named(events, "aborted")] == [1]
    assert "Clients that did not leave in time are dropped: 1." in lines(events)


def test_who_plays_too_much_is_asked_to_leave(clock: Clock) -> None:
    """A burst and then a rate: what is within it is heard, the rest is not, and 1008 says why."""
    factory = OrchestraFactory(reactor=clock, max_message_rate=2, message_burst=3)
    one, two = join(factory), join(factory)
    one.send("a", "b", "c")
    clock.advance(0.5)
    one.send("d")
    clock.advance(1)
    one.send("e", "f", "g")
    one.send("h")
    clock.advance(0)
    heard = [f"Echo: {note}" for note in "abcdef"]
    assert one.read() == two.read() == heard
    assert one.close_frame == (1008, "too many messages")
    two.send("still here")
    clock.advance(0)
    assert two.read() == ["Echo: still here"]
    two.vanish()


def test_the_burst_is_a_second_of_the_rate_unless_told(clock: Clock) -> None:
    """At least one message, or nobody could play at all."""
    for rate, burst in ((0.5, 1), (3, 3), (2.5, 3)):
        client = join(OrchestraFactory(reactor=clock, max_message_rate=rate))
        client.send(*"a" * burst)
        clock.advance(0)
        assert len(client.read()) == burst
        assert client.close_frame is None
        client.send("a")
        clock.advance(0)
        assert client.read() == []
        assert client.close_frame == (1008, "too many messages")


def test_a_slow_reader_that_plays_too_much_is_heard_no_more(clock: Clock) -> None:
    """Its farewell waits for it to read, and meanwhile its tokens drip; nothing is taken of it."""
    factory = OrchestraFactory(reactor=clock, max_message_rate=1)
    one, two = join(factory), join(factory)
    factory.broadcast(b"x" * 500_000)
    clock.advance(0)
    one.send("a", "b")
    clock.advance(10)
    one.send("c")
    clock.advance(0)
    assert two.read()[1:] == ["Echo: a"]
    assert one.read()[1:] == ["Echo: a"]
    assert one.close_frame == (1008, "too many messages")
    two.vanish()


def test_timeouts_are_what_they_say(clock: Clock) -> None:
    """To the moment, and by the factory's own clock."""
    factory = OrchestraFactory(reactor=clock, handshake_timeout=0.5)
    clock.advance(0.9)
    server = factory.buildProtocol(None)
    transport = MemoryTransport(server)
    server.makeConnection(transport)
    clock.advance(0.49)
    assert not transport.disconnected
    clock.advance(0.02)
    assert transport.disconnected


def test_no_timer_outlives_its_connection(clock: Clock) -> None:
    """Whoever is gone in the middle of a close is not kept until it would have been too late."""
    factory = OrchestraFactory(reactor=clock)
    client = join(factory)
    client.server.dataReceived(b"\xff\xff")
    client.vanish()
    gone = weakref.ref(client.server)
    del client
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("spare", [2, SPARE_FILES])
def test_files_are_left_for_others(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    """First whoever comes is told that the server is full, then not even accepted."""
    limit = spare * 8 + 5
    monkeypatch.setattr("orchestra.websocket.factory.getrlimit", lambda _: (limit, limit))
    factory = OrchestraFactory(reactor=clock)
    clients = [join(factory) for _ in range(limit - 2 * spare - 1)]
    late = MemoryClient(factory)
    late.read()
    assert late.refusal.status_code == 503
    silent = []
    for _ in range(spare + 1):
        silent.append(MemoryTransport(factory.buildProtocol(None)))
        silent[-1].protocol.makeConnection(silent[-1])
    with captured() as events:
        assert factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)) is None
    (refused,) = named(events, "refused")
    assert refused["peer"] == "192.0.2.1"
    assert refused["reason"] == "no more files can be open"
    clients[0].vanish()
    assert factory.buildProtocol(None) is not None
    monkeypatch.setattr("orchestra.websocket.factory.getrlimit", lambda _: (RLIM_INFINITY,) * 2)
    assert not factory.is_full
    for client in clients[1:]:
        client.vanish()
    for transport in silent:
        transport.abortConnection()
