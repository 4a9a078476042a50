"""Seeing everybody off, one after the other."""

from __future__ import annotations

from typing import Any

import pytest
from autobahn.websocket.types import ConnectionRequest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from orchestra.connection.drain import PACE
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.protocol import OrchestraProtocol
from tests.events import captured, lines, named
from tests.memory import MemoryClient, join
from tests.web.client import EventSource, WebClient, texts

GOING_AWAY = 1001, "going away"


@pytest.fixture
def factory(clock: Clock) -> OrchestraFactory:
    return OrchestraFactory(reactor=clock, handshake_timeout=0, ping_interval=0)


def read_all(clients: list[MemoryClient]) -> int:
    """Have everybody read.

    :returns: how many are gone.
    """
    for client in clients:
        client.read()
    return sum(client.transport.disconnected for client in clients)


def timers(clock: Clock) -> list[Any]:
    """What is still to happen of a drain."""
    return [c for c in clock.getDelayedCalls() if c.func.__name__ in ("_go_on", "_drop")]


def test_closes_are_spread_evenly(factory: OrchestraFactory, clock: Clock) -> None:
    """At no time more are gone than it is time for, and all of them are by the end."""
    clients = [join(factory) for _ in range(200)]
    drained = factory.drain(10, 20)
    assert read_all(clients) == 0
    gone: set[int] = set()
    for step in range(1, 201):
        assert not drained.called
        clock.advance(0.1)
        read_all(clients)
        now = {n for n, client in enumerate(clients) if client.transport.disconnected}
        assert gone <= now
        assert step - 1 <= len(now) <= step + 1
        gone = now
    assert drained.called
    assert {client.close_frame for client in clients} == {GOING_AWAY}
    assert timers(clock) == []


def test_few_are_no_storm(factory: OrchestraFactory, clock: Clock) -> None:
    """A server with three clients stops in a moment, however long it might take."""
    clients = [join(factory) for _ in range(3)]
    drained = factory.drain(10, 3600)
    clock.advance(3 / PACE)
    assert read_all(clients) == 3
    assert drained.called


def test_what_is_published_meanwhile_is_heard(factory: OrchestraFactory, clock: Clock) -> None:
    """By all who are there, and by each all that came before its close, streams as well."""
    sockets = [join(factory) for _ in range(30)]
    streams = [EventSource(factory) for _ in range(30)]
    heard: list[list[str]] = [[] for _ in streams]
    player = sockets[0]
    factory.drain(10, 6)
    played = 0
    while factory.clients:
        there = [client for client in sockets if client.close_frame is None]
        if player.close_frame is None:
            player.send(str(played))
        else:
            factory.broadcast(b"%d" % played)
        before_flush = len(factory.clients)
        clock.advance(0)
        assert len(factory.clients) == before_flush
        for client in there:
            assert client.read() == [f"Echo: {played}"]
        played += 1
        # In the turn in which somebody is closed, something was published before that.
        factory.broadcast(b"%d" % played)
        played += 1
        clock.advance(0.1)
        for client in there:
            assert client.read() == [f"Echo: {played - 1}"]
        for notes, stream in zip(heard, streams, strict=True):
            notes += texts(stream.hear())
    for notes in heard:
        assert notes == [str(number) for number in range(len(notes))]
    assert len({len(notes) for notes in heard}) > 20, "they are closed one after the other"


def test_a_note_of_the_same_turn_comes_before_the_close(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """What was published and not yet delivered reaches a client before it is closed."""
    client, stream = join(factory), EventSource(factory)
    factory.drain(10, 60)
    for number in ("one", "two"):
        timer = next(c for c in timers(clock) if c.func.__name__ == "_go_on")
        until_then = timer.getTime() - clock.seconds()
        clock.callLater(until_then - 1e-6, factory.broadcast, number.encode())
        clock.advance(until_then)
        client.read()
    heard = [client.messages, [f"Echo: {text}" for text in texts(stream.hear())]]
    assert sorted(heard, key=len) == [["Echo: one"], ["Echo: one", "Echo: two"]]
    assert client.close_frame == GOING_AWAY
    assert stream.is_gone


def test_each_stream_is_told_when_to_come_back(factory: OrchestraFactory, clock: Clock) -> None:
    """Not all to the same second; the more leave together, the more time they have for it."""
    streams = [EventSource(factory) for _ in range(2000)]
    factory.drain(10)
    for stream in streams:
        assert stream.hear() == []
        assert stream.reader.comments == ["going away"]
        assert stream.is_gone
    delays = [stream.reader.retry or 0 for stream in streams]
    for start in range(1000, 5000, 500):
        assert 150 < sum(start <= delay < start + 500 for delay in delays) < 350
    assert 1000 <= min(delays) < max(delays) <= 5000


def test_a_slow_end_is_spread_enough(factory: OrchestraFactory, clock: Clock) -> None:
    """Streams that end one after the other come back as soon as ever."""
    streams = [EventSource(factory) for _ in range(2000)]
    openings = [stream.reader.retry for stream in streams]
    factory.drain(10, 30)
    clock.advance(30)
    for stream in streams:
        stream.hear()
        assert stream.is_gone
    delays = [stream.reader.retry or 0 for stream in streams]
    assert 1000 <= min(delays) < max(delays) <= 3000
    assert delays != openings


def test_who_comes_is_sent_elsewhere(factory: OrchestraFactory, clock: Clock) -> None:
    """The server lives and is not ready; what it does not take is told when to try again."""
    client = join(factory)
    factory.drain(10, 60)
    assert WebClient(factory).get("/healthz").status == 200
    ready = WebClient(factory).get("/readyz")
    assert (ready.status, ready.headers["connection"]) == (503, "close")
    refused = [
        WebClient(factory).get("/", Accept="text/event-stream"),
        WebClient(factory).post("/", "hello"),
    ]
    late = MemoryClient(factory)
    late.read()
    for answer in refused:
        assert (answer.status, answer.text) == (503, "the server is shutting down\n")
        assert "retry-after" in answer.headers
    assert late.refusal.status_code == 503
    assert "Retry-After" in late.refusal.headers
    assert factory.hub.history("main") == []
    assert len(factory.clients) == 1
    client.vanish()


def test_idle_connections_are_closed_along(factory: OrchestraFactory, clock: Clock) -> None:
    """Each at its own time; one whose request is on its way is answered."""
    idle = [WebClient(factory) for _ in range(100)]
    for each in idle:
        each.get("/healthz")
    stays = join(factory)
    stays.server.close = lambda close: None
    factory.drain(10, 5)
    used = idle.pop()
    assert used.get("/healthz").headers["connection"] == "close"
    assert used.is_gone
    for share in range(5):
        assert (
            20 * share - 2 <= sum(each.transport.disconnecting for each in idle) <= 20 * share + 2
        )
        clock.advance(1)
    assert all(each.transport.disconnecting for each in idle)
    stays.vanish()


def test_when_all_have_left_nothing_is_waited_for(factory: OrchestraFactory, clock: Clock) -> None:
    """Clients that go by themselves make it shorter, and are no trouble when it was their turn."""
    clients = [join(factory) for _ in range(100)]
    idle = WebClient(factory)
    idle.get("/healthz")
    with captured() as events:
        drained = factory.drain(10, 10)
        clock.advance(5)
        closed = read_all(clients)
        assert 40 < closed < 60
        there = [client for client in clients if not client.transport.disconnected]
        for client in there[:-1]:
            client.vanish()
        assert not drained.called
        there[-1].vanish()
        assert drained.called
    assert idle.transport.disconnecting
    assert named(events, "draining") == [{"event": "draining", "count": 100, "seconds": 10.0}]
    assert named(events, "drained") == [
        {"event": "drained", "left": 100 - closed, "closed": closed, "dropped": 0}
    ]
    assert {event["code"] for event in named(events, "left")} == {1001, 1006}
    assert timers(clock) == []


def test_how_they_went_is_counted(factory: OrchestraFactory, clock: Clock) -> None:
    """Each once: by itself, closed, or dropped."""
    clients = [join(factory) for _ in range(40)]
    with captured() as events:
        drained = factory.drain(3, 2)
        clients[0].close()
        clients[1].vanish()
        clients[0].read()
        clock.advance(2)
        read_all(clients[:-5])
        clock.advance(2.9)
        assert not drained.called
        clock.advance(0.2)
    assert drained.called
    assert [event["count"] for event in named(events, "aborted")] == [5]
    assert named(events, "drained") == [
        {"event": "drained", "left": 2, "closed": 33, "dropped": 5}
    ]
    assert "Seeing clients off within 2 seconds: 40." in lines(events)
    assert "All clients are gone: 2 had left, 33 were closed, 5 dropped." in lines(events)


class Hesitating(OrchestraProtocol):
    """Lets its clients in when the test says so."""

    def onConnect(self, request: ConnectionRequest) -> Any:
        answer = super().onConnect(request)
        decided: Deferred[None] = Deferred()
        self.factory.decisions.append(decided)
        return decided.addCallback(lambda _: answer)


@pytest.mark.parametrize("moment", [0, 3, 12], ids=["begun", "midst", "over"])
def test_who_is_at_the_door_is_seen_off(
    factory: OrchestraFactory, clock: Clock, moment: float
) -> None:
    """Clients that were let in before the end began and come in after that, each once."""
    stays = [join(factory) for _ in range(100)]
    factory.protocol, factory.decisions = Hesitating, []
    late = [MemoryClient(factory) for _ in range(10)]
    with captured() as events:
        drained = factory.drain(10, 10)
        clock.advance(moment)
        for decided in factory.decisions:
            decided.callback(None)
        for client in late:
            client.read()
            assert client.ws.handshake_exc is None
            assert client.close_frame is None
        clock.advance(max(0, 10 - moment))
        assert read_all(late) == 10
        assert {client.close_frame for client in late} == {GOING_AWAY}
        assert not drained.called
        assert read_all(stays) == 100
    assert drained.called
    assert named(events, "drained") == [
        {"event": "drained", "left": 0, "closed": 110, "dropped": 0}
    ]


def test_who_comes_in_when_all_is_over_is_seen_off(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """There may be nobody to wait for it: an application goes on when its server has stopped."""
    factory.protocol, factory.decisions = Hesitating, []
    late = MemoryClient(factory)
    assert factory.drain(10, 10).called
    factory.decisions[0].callback(None)
    late.read()
    assert late.ws.handshake_exc is None
    clock.advance(0)
    late.read()
    assert late.close_frame == GOING_AWAY


def test_another_call_makes_it_quicker(factory: OrchestraFactory, clock: Clock) -> None:
    """And never slower; nobody is told twice, and both callers learn of the end."""
    clients = [join(factory) for _ in range(300)]
    with captured() as events:
        slow = factory.drain(10, 30)
        slower = factory.drain(10, 60)
        clock.advance(10)
        assert 90 <= read_all(clients) <= 110
        quick = factory.drain(10)
        assert read_all(clients) == 300
    assert slow.called
    assert slower.called
    assert quick.called
    plans = [(event["count"], event["seconds"]) for event in named(events, "draining")]
    assert plans[0] == (300, 30.0)
    assert 190 <= plans[1][0] <= 210
    assert plans[1:] == [(plans[1][0], 0)]
    (drained,) = named(events, "drained")
    assert (drained["left"], drained["closed"], drained["dropped"]) == (0, 300, 0)
    assert timers(clock) == []


def test_the_grace_begins_when_all_were_told(factory: OrchestraFactory, clock: Clock) -> None:
    """Who is told last has as long as the others."""
    clients = [join(factory) for _ in range(100)]
    drained = factory.drain(3, 5)
    clock.advance(5)
    read_all(clients[1:])
    clock.advance(2.9)
    assert not drained.called
    clock.advance(0.2)
    assert drained.called
    assert clients[0].transport.disconnected
