"""How a session ends: who is told what before that, and what is left of it, which is nothing."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from orchestra.connection.close_codes import GOING_AWAY
from orchestra.connection.drain import PACE
from orchestra.history import Retention
from orchestra.observe.activity import ConnectionKind
from orchestra.policy.grants import ServerSubscription
from orchestra.refusal import RefusedError
from orchestra.websocket.factory import CLOSE_TIMEOUT, OrchestraFactory
from tests.events import lines, named
from tests.policy.asked import AskedPolicy
from tests.session.conftest import Serve
from tests.session.sdk import SDK, turn

KILOBYTE = b"x" * 1024


def play(server: OrchestraFactory, clock: Clock, channel: str, count: int) -> None:
    """Publish kilobytes, one in a turn."""
    for _ in range(count):
        server.hub.publish(channel, KILOBYTE)
        turn(clock)


def test_it_is_seen_off(server: OrchestraFactory, clock: Clock, log: list[LogEvent]) -> None:
    """With 3001, after all that was published before; it joins and leaves once."""
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a", recoverable=True)
    sdk.ask("subscribe", channel="b")
    assert [event["count"] for event in named(log, "joined")] == [1]
    server.hub.publish("a", b"1")
    server.hub.publish("b", b"2")
    done: list[Any] = []
    server.drain(5.0).addCallback(done.append)
    clock.advance(1 / PACE)
    assert sdk.closed == (3001, "shutdown")
    assert (sdk.heard("a"), sdk.heard("b")) == ([1], [2])
    assert done == [None]
    ((code, count),) = [(event["code"], event["count"]) for event in named(log, "left")]
    assert (code, count) == (3001, 0)
    assert server.activity.closed == {"3001": 1}
    assert server.activity.opened == {ConnectionKind.CENTRIFUGE: 1}


def test_who_is_not_connected_has_not_joined(
    server: OrchestraFactory, log: list[LogEvent]
) -> None:
    """A WebSocket on which nobody has said who it is counts for nothing."""
    sdk = SDK(server, None)
    assert not server.clients
    sdk.wire.vanish()
    assert not named(log, "joined")
    assert not named(log, "left")


def test_what_is_decided_is_not_waited_for(serve: Serve, clock: Clock) -> None:
    """While a policy takes its time nothing is read; but the answer to a close is."""
    server = serve(policy=AskedPolicy("subscribe"))
    sdk = SDK(server)
    sdk.send(sdk.command("subscribe", channel="a"), sdk.command("subscribe", channel="b"))
    assert not sdk.wire.transport.reading
    sdk.session.close(GOING_AWAY)
    assert sdk.wire.transport.reading
    assert sdk.closed == (3001, "shutdown")
    assert sdk.wire.transport.disconnected
    assert server.access.policy.cancelled == 1  # type: ignore[union-attr]


def test_a_slow_reader_is_closed_after_what_was_written(serve: Serve, clock: Clock) -> None:
    """With 3008; what waits for it in other channels does not keep it, nor does its presence."""
    server = serve(ping_interval=0)
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a", join_leave=True)
    sdk.ask("subscribe", channel="b", join_leave=True)
    server.hub.publish("b", b"1")
    play(server, clock, "a", 400)
    assert not server.hub._watched
    assert not len(server.hub.presence("a")) + len(server.hub.presence("b"))
    assert server.activity.evictions == 1
    offsets = [push["pub"]["offset"] for push in sdk.pushes("a") if "pub" in push]
    assert offsets == list(range(1, len(offsets) + 1))
    assert len(offsets) > 50
    assert sdk.closed == (3008, "slow")


def test_a_slow_reader_that_reads_nothing_is_dropped(serve: Serve, clock: Clock) -> None:
    """Though it has not read what comes before the close, and listens elsewhere."""
    server = serve(ping_interval=0)
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a")
    sdk.ask("subscribe", channel="b")
    play(server, clock, "a", 400)
    clock.advance(CLOSE_TIMEOUT + 1)
    assert sdk.wire.transport.disconnected


def test_given_up(serve: Serve, clock: Clock) -> None:
    """Who takes nothing while others have to wait for that is a slow reader, whatever it reads."""
    server = serve(ping_interval=0, max_buffered=1000, retention=Retention())
    sdk, other = SDK(server), SDK(server)
    sdk.ask("subscribe", channel="a")
    sdk.ask("subscribe", channel="b")
    play(server, clock, "a", 200)
    assert server.backpressure.is_high
    other.send(*[other.command("publish", channel="c", data=n) for n in range(3)])
    assert server.backpressure.held == 1
    clock.advance(1)
    clock.advance(1)
    assert not sdk.session.subscriptions
    assert sdk.closed == (3008, "slow")
    assert server.backpressure.held == 0
    assert other.answer(4) == {"publish": {}} or other.ask("ping") == {}


@pytest.mark.parametrize("how", ["goes", "evicted", "fails", "gap", "reads"])
def test_an_end_that_takes_time_comes(serve: Serve, clock: Clock, how: str) -> None:
    """It is closed though it is full, whatever becomes of what it has not read yet."""
    server = serve(
        ping_interval=0,
        retention=Retention(messages=300),
        slow_reader="skip" if how == "gap" else "close",
    )
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a", positioned=True)
    sdk.ask("subscribe", channel="b", positioned=True)
    play(server, clock, "a", 250)
    play(server, clock, "b", 100)
    sdk.session.close(GOING_AWAY)
    assert sdk.session._finishing
    if how == "goes":
        sdk.wire.vanish()
    elif how in ("evicted", "gap"):
        play(server, clock, "a", 320)
        clock.advance(CLOSE_TIMEOUT - 1)
    elif how == "fails":
        for subscription in tuple(sdk.session._finishing):
            subscription.fail()
    assert how == "goes" or sdk.closed == (3001, "shutdown")
    assert sdk.wire.transport.disconnected
    if how == "reads":
        assert len(sdk.heard("a")) == 250
        assert len(sdk.heard("b")) == 100


def test_what_cannot_be_put_to_it(server: OrchestraFactory, clock: Clock) -> None:
    """An encoding that fails ends it with 3004, and leaves nobody who watches."""
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a", join_leave=True)
    sdk.session.subscriptions["a"].subscriber.outlet.fail()
    assert not server.hub._watched
    assert not any(server.hub.channels().values())
    assert sdk.closed == (3004, "internal server error")


def test_a_channel_that_nobody_is_in_any_more(serve: Serve, clock: Clock) -> None:
    """Whoever it was that was seen off as the last one, its channels are not kept for long."""
    server = serve(retention=Retention(age=1000.0))
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a")
    sdk.session.close(GOING_AWAY)
    assert sdk.closed == (3001, "shutdown")
    clock.advance(70)
    assert "a" not in server.hub.channels()


def test_a_reason_without_end(serve: Serve) -> None:
    """A close frame has room for 123 bytes of a reason."""
    policy = AskedPolicy()
    policy.raises["connect"] = RefusedError(401, "ö" * 300)
    sdk = SDK(serve(policy=policy), None)
    sdk.call("connect")
    assert sdk.closed == (3500, "ö" * 61)


def test_nothing_is_done_for_one_that_is_being_closed(serve: Serve, clock: Clock) -> None:
    """Neither what it sends nor what the server wants of it."""
    server = serve(ping_interval=0, retention=Retention())
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a")
    play(server, clock, "a", 200)
    sdk.session.close(GOING_AWAY)
    sdk.call("publish", channel="a", data=1)
    sdk.session.subscribe(ServerSubscription("b"))
    sdk.session.unsubscribe("a", 2000, "")
    assert "b" not in server.hub.channels()
    assert server.hub.position("a").offset == 200  # type: ignore[union-attr]
    assert sdk.closed == (3001, "shutdown")
    assert len(sdk.heard("a")) == 200
    assert all(set(push) == {"pub"} for push in sdk.pushes("a"))


def test_garbage(server: OrchestraFactory, log: list[LogEvent]) -> None:
    """It is closed with 3501, which says what is wrong; and the log has none of it."""
    for data in ("{", "[]", '{"id":-1}', '{"id":1,"connect":5}', "\x00", "{}\n{", b"\xff"):
        sdk = SDK(server, None)
        sdk.wire.send(data)
        assert sdk.closed is not None
        assert sdk.closed[0] == 3501, data
        assert "a command" in sdk.closed[1] or ":" in sdk.closed[1]
    assert not [line for line in lines(log) if "xff" in line]
