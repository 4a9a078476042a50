"""What a client can make a server keep, and how long it can hold the others up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.task import Clock

from orchestra.connection.outflow import BUFFER, CHUNK
from orchestra.connection.turns import REST, SLICE
from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.policy.grants import Capability, Grant, ServerSubscription
from orchestra.session.commands import MAX_HISTORY
from orchestra.session.queue import MAX_BEGINNING, MUCH
from orchestra.session.session import NEW_CHANNELS_BURST
from orchestra.websocket.factory import OrchestraFactory
from tests.policy.asked import AskedPolicy
from tests.session.conftest import Serve
from tests.session.sdk import SDK, turn

MEGABYTES = 4


def held(sdk: SDK) -> int:
    """How many bytes wait for a client."""
    session = sdk.session
    return (
        len(sdk.wire.transport.buffer)
        + sum(map(len, session._outflow._waiting))
        + sum(map(len, session._replies))
    )


@pytest.fixture
def full(serve: Serve, clock: Clock) -> OrchestraFactory:
    """A server with 4 MiB in a channel."""
    server = serve(retention=Retention(), ping_interval=0)
    for _ in range(MEGABYTES * 256):
        server.hub.publish("a", b"x" * 4096)
    turn(clock)
    return server


def test_a_client_that_asks_for_much(full: OrchestraFactory, clock: Clock) -> None:
    """While it does not read what it has asked for, nothing more is performed or taken from it;
    once it has, that goes on, and nothing is lost."""
    sdk = SDK(full)
    commands = [sdk.command("history", channel="a", limit=-1) for _ in range(64)]
    sdk.send(*commands, sdk.command("publish", channel="b", data=1))
    waiting = len(commands)
    size = 0
    while data := sdk.wire.transport.take():
        assert held(sdk) < 1.5 * MAX_HISTORY
        size += len(data)
        if size < 62 * MAX_HISTORY:
            assert not sdk.wire.transport.reading
            assert "b" not in full.hub.channels()
            assert waiting - len(sdk.session.queue) in (0, 1)
            waiting = len(sdk.session.queue)
    assert size > 64 * MAX_HISTORY
    assert sdk.wire.transport.reading
    assert len(full.hub.history("b")) == 1


def test_a_client_that_comes_back_to_many(full: OrchestraFactory, clock: Clock) -> None:
    """Each channel costs a piece at the most, and only while the client reads."""
    for name in map(str, range(64)):
        for _ in range(64):
            full.hub.publish(name, b"x" * 4096)
    turn(clock)
    sdk = SDK(full)
    epochs = {str(n): full.hub.position(str(n)).epoch for n in range(64)}  # type: ignore[union-attr]
    sdk.send(
        *[
            sdk.command("subscribe", channel=name, recover=True, epoch=epoch, offset=0)
            for name, epoch in epochs.items()
        ]
    )
    assert held(sdk) < MUCH + BUFFER + CHUNK + 2 * 80 * 1024
    assert len(sdk.session.subscriptions) < 5
    while sdk.read():
        turn(clock)
    assert len(sdk.session.subscriptions) == 64
    for name in epochs:
        (answer,) = [reply["subscribe"] for reply in sdk.told if reply.get("id") == int(name) + 2]
        pushed = [push["pub"]["offset"] for push in sdk.pushes(name)]
        replied = [publication["offset"] for publication in answer["publications"]]
        assert replied + pushed == list(range(1, 65))


def test_moves_that_nobody_reads(full: OrchestraFactory, clock: Clock) -> None:
    """Who comes and leaves while a client is full is told later, from the log of it."""
    sdk = SDK(full)
    for _ in range(1000):
        full.hub.publish("b", b"x" * 100)
    turn(clock)
    epoch = full.hub.position("b").epoch  # type: ignore[union-attr]
    sdk.call("subscribe", channel="b", recover=True, epoch=epoch, join_leave=True)
    assert sdk.session._outflow.full
    before = held(sdk)
    for _ in range(50):
        other = SDK(full)
        other.ask("subscribe", channel="b")
        other.wire.vanish()
        turn(clock)
    assert held(sdk) == before
    told = [kind for push in sdk.pushes("b") for kind in push if kind != "pub"]
    assert told == ["join"] + 50 * ["join", "leave"]


def test_a_flood_takes_turns(monkeypatch: Any, clock: Clock) -> None:
    """Whatever many commands a frame has, the others are served in between; the order stays."""
    server = OrchestraFactory(Hub(), reactor=clock, ping_interval=0)
    now = [0.0]

    def seconds() -> float:
        now[0] += SLICE / 10
        return now[0]

    monkeypatch.setattr(server.turns, "seconds", seconds)
    sdk, other = SDK(server), SDK(server)
    told: list[tuple[SDK, int]] = []
    for client in (sdk, other):

        def write(data: bytes, client: SDK = client) -> None:
            told.append((client, data.count(b"ping")))

        client.session.write = write
        client.send(*[client.command("ping") for _ in range(2000)])
        assert not client.wire.transport.reading
    turn(clock)
    assert max(count for _, count in told) < 100
    assert [client for client, _ in told[2:12]] == 5 * [sdk, other]
    for client in (sdk, other):
        assert sum(count for its, count in told if its is client) == 2000
        assert client.wire.transport.reading
        client.wire.vanish()
    assert not server.turns._waiting


def test_one_that_leaves_in_the_queue(monkeypatch: Any, clock: Clock) -> None:
    """Of a flood nothing more is performed once the client is gone."""
    server = OrchestraFactory(Hub(Retention(messages=5000)), reactor=clock, ping_interval=0)
    now = [0.0]

    def seconds() -> float:
        now[0] += SLICE
        return now[0]

    monkeypatch.setattr(server.turns, "seconds", seconds)
    sdk = SDK(server)
    sdk.send(*[sdk.command("publish", channel="a", data=n) for n in range(2000)])
    sdk.wire.vanish()
    turn(clock)
    assert len(server.hub.history("a")) < 500


def test_too_many_commands(full: OrchestraFactory) -> None:
    """A frame has 4096 at the most."""
    sdk = SDK(full)
    sdk.wire.send("\n".join([json.dumps({"id": 1, "ping": {}})] * 4097))
    assert sdk.closed is not None
    assert sdk.closed[0] == 3501


def test_a_client_that_publishes_much(serve: Serve, clock: Clock) -> None:
    """While others are too slow for it nothing is taken from it, until they have caught up."""
    server = serve(max_buffered=1000, ping_interval=0, retention=Retention())
    slow, sdk = SDK(server), SDK(server)
    slow.ask("subscribe", channel="a")
    data = "x" * 32 * 1024
    for _ in range(10):
        if sdk.wire.transport.reading:
            sdk.send(*[sdk.command("publish", channel="a", data=data) for _ in range(3)])
        turn(clock)
    assert not sdk.wire.transport.reading
    assert server.backpressure.held == 1
    assert len(server.hub.history("a")) < 20
    slow.read()
    assert sdk.wire.transport.reading
    assert server.backpressure.held == 0
    sent = sdk._ids - 1
    turn(clock)
    sdk.read()
    slow.read()
    assert len(server.hub.history("a")) == len(slow.heard("a")) == sent


def test_before_it_is_let_in(serve: Serve) -> None:
    """So much is read at once and no more: nobody knows who it is, and it takes time."""
    sdk = SDK(serve(), None)
    sdk.send(sdk.command("connect", data="x" * MAX_BEGINNING))
    sdk.read()
    assert sdk.closed == (3501, f"until it is connected, {MAX_BEGINNING} bytes at the most")
    sdk = SDK(serve(), {"data": "x" * (MAX_BEGINNING - 100)})
    sdk.send(sdk.command("publish", channel="a", data="x" * MAX_BEGINNING))
    sdk.read()
    assert sdk.closed is None
    sdk.wire.vanish()


def test_what_is_told_to_one_alone_is_counted(full: OrchestraFactory, clock: Clock) -> None:
    """A history that was asked for and is not read is among what waits for slow readers."""
    clients = [SDK(full) for _ in range(3)]
    for sdk in clients:
        sdk.send(sdk.command("history", channel="a", limit=-1))
    assert full.backpressure.size > len(clients) * MAX_HISTORY
    for sdk in clients:
        while sdk.wire.transport.take():
            pass
    assert full.backpressure.size == 0


def test_channels_that_there_are_not(serve: Serve, clock: Clock) -> None:
    """A client can bring so many into being, and then so many in a second, by listening or by
    publishing; in those that there are it can do as much as it likes."""
    server = serve(max_subscriptions=0)
    for name in ("there", "here"):
        server.hub.publish(name, b"1")
    sdk = SDK(server)
    for number in range(NEW_CHANNELS_BURST // 2):
        assert sdk.ask("publish", channel=f"new {number}", data=1) == {}
        assert "code" not in sdk.ask("subscribe", channel=f"newer {number}")
    for command in ("publish", "subscribe"):
        error = sdk.ask(command, channel="another", data=1)
        assert error == {"code": 111, "message": "too many new channels", "temporary": True}
    assert sdk.ask("publish", channel="there", data=1) == {}
    assert "code" not in sdk.ask("subscribe", channel="here")
    clock.advance(0.5)
    answers = [sdk.ask("publish", channel=f"later {number}", data=1) for number in range(6)]
    assert [answer.get("code") for answer in answers] == [None] * 5 + [111]


def test_a_command_that_takes_long_is_followed_by_a_rest(serve: Serve, clock: Clock) -> None:
    """What the client sends next is not even read before the others have had more than that."""

    def slow(caller: Any, data: Any) -> None:
        clock.rightNow += 0.01

    sdk = SDK(serve(rpc={"slow": slow}))
    assert "code" not in sdk.ask("rpc", method="slow")
    asked = sdk.call("ping")
    assert sdk.answer(asked) is None
    assert not sdk.wire.transport.reading
    clock.advance(REST * 0.01 - 0.001)
    assert sdk.answer(asked) is None
    clock.advance(0.002)
    assert sdk.answer(asked) == {}
    assert sdk.wire.transport.reading


def test_what_it_missed_comes_before_what_follows(serve: Serve, clock: Clock) -> None:
    """Also where the application subscribes it, however much it was."""
    server = serve(retention=Retention())
    server.hub.publish("a", b"0")
    begin = server.hub.position("a")
    for number in range(1, 900):
        server.hub.publish("a", b"%d" % number)
    turn(clock)
    sdk = SDK(server)
    sdk.session.subscribe(ServerSubscription("a"), begin)
    sdk.read()
    (first, *pushes) = sdk.pushes("a")
    assert first["subscribe"]["offset"] == 1
    assert [push["pub"]["offset"] for push in pushes] == [*range(2, 901)]


def test_who_may_not_know_any_more(serve: Serve, clock: Clock) -> None:
    """With a grant that allows it no longer, it is not told who comes and leaves."""
    policy = AskedPolicy(grant=Grant("ann"))
    server = serve(policy=policy)
    sdk = SDK(server, {"token": "1"})
    sdk.ask("subscribe", channel="a", join_leave=True)
    turn(clock)
    assert [next(iter(push)) for push in sdk.pushes("a")] == ["join"]
    policy.grant = Grant("ann", capabilities=(Capability(("a",), frozenset({"sub"})),))
    sdk.ask("refresh", token="2")
    SDK(server, {"token": "2"}).ask("subscribe", channel="a")
    turn(clock)
    sdk.read()
    assert [next(iter(push)) for push in sdk.pushes("a")] == ["join"]
