"""Clients that come back to where they were."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.policy.grants import Capability, Grant, ServerSubscription
from orchestra.position import Position
from orchestra.refusal import RefusedError
from orchestra.settings import ChannelSettings
from orchestra.websocket.factory import OrchestraFactory
from tests.events import named
from tests.policy.asked import AskedPolicy
from tests.session.conftest import Serve
from tests.session.sdk import SDK, turn


def offsets(sdk: SDK, channel: str, result: Any) -> list[int]:
    """Those of all publications that it was given, in the answer and after that."""
    given = [publication["offset"] for publication in result.get("publications", [])]
    return given + [push["pub"]["offset"] for push in sdk.pushes(channel) if "pub" in push]


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.sampled_from([10, 1000, 40_000, 70_000]), max_size=25),
    many=st.sampled_from([0, 255, 256, 600]),
    since=st.integers(0, 700),
    undelivered=st.integers(0, 3),
    wants_moves=st.booleans(),
)
@example(sizes=[70_000, 70_000], many=600, since=0, undelivered=2, wants_moves=True)
@example(sizes=[40_000] * 4, many=0, since=0, undelivered=0, wants_moves=False)
def test_nothing_is_missing_and_nothing_comes_twice(
    clock: Clock,
    sizes: list[int],
    many: int,
    since: int,
    undelivered: int,
    wants_moves: bool,
) -> None:
    """Whatever there is, wherever it was, and however much of it goes with the answer."""
    hub = Hub(Retention(messages=500, bytes=1_000_000), clock=clock.seconds)
    server = OrchestraFactory(hub, reactor=clock, ping_interval=0)
    for size in [*[10] * many, *sizes]:
        hub.publish("a", b"x" * size)
    turn(clock)
    sdk = SDK(server)
    sdk.ask("subscribe", channel="b", join_leave=wants_moves)
    for _ in range(undelivered):
        hub.publish("a", b"2")
    top = hub.position("a")
    command = sdk.command(
        "subscribe",
        channel="a",
        recover=True,
        epoch="" if top is None else top.epoch,
        offset=since,
        join_leave=wants_moves,
    )
    before = len(sdk.told)
    sdk.send(command)
    result = sdk.answer(command["id"])
    assert sdk.told[before].get("id") == command["id"], "the answer comes first"
    last = 0 if top is None else top.offset
    retained = hub.history("a")
    lost = retained[0].offset - 1 if retained else last
    is_there = lost <= since <= last
    assert result.get("recovered", False) == is_there
    assert result["was_recovering"]
    hub.publish("a", b"3")
    turn(clock)
    begins = since if is_there else last
    assert result.get("offset", 0) == begins
    assert offsets(sdk, "a", result) == list(range(begins + 1, last + 2))
    sdk.wire.vanish()


@pytest.mark.parametrize("flag", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("epoch", "offset", "is_there"),
    [
        ("its", 2, True),
        ("its", 5, True),
        ("its", 6, False),
        ("its", 1, False),
        ("its", 2**62, False),
        ("other", 3, False),
        ("", 3, True),
        ("", 0, False),
        ("", 6, False),
    ],
)
def test_where_it_was(
    serve: Serve, clock: Clock, epoch: str, offset: int, is_there: bool, flag: int
) -> None:
    """It is told whether that is there still; if not, it goes on with what is new, or is refused
    if that is what it wants."""
    server = serve(retention=Retention(messages=3))
    for n in range(5):
        server.hub.publish("a", b"%d" % n)
        turn(clock)
    top: Any = server.hub.position("a")
    sdk = SDK(server)
    where = {"epoch": top.epoch if epoch == "its" else epoch, "offset": offset}
    result = sdk.ask("subscribe", channel="a", recover=True, flag=flag, **where)
    if flag & 2 and not is_there:
        assert result == {"code": 112, "message": "unrecoverable position"}
        assert "a" not in server.hub.channels() or server.hub.channels()["a"] == 0
        return
    assert result.get("recovered", False) is is_there
    assert (result["recoverable"], result["positioned"]) == (True, True)
    assert (result["epoch"], result["offset"]) == (top.epoch, offset if is_there else 5)
    assert offsets(sdk, "a", result) == list(range(result["offset"] + 1, 6))


def test_a_channel_that_there_is_not(server: OrchestraFactory) -> None:
    """Whoever comes with nothing has missed nothing; whoever has been somewhere has."""
    sdk = SDK(server)
    asked = {"recover": True, "flag": 2}
    assert sdk.ask("subscribe", channel="a", epoch="x", offset=0, **asked)["code"] == 112
    assert sdk.ask("subscribe", channel="a", epoch="", offset=1, **asked)["code"] == 112
    assert "a" not in server.hub.channels()
    result = sdk.ask("subscribe", channel="a", epoch="", offset=0, **asked)
    assert result["recovered"]
    assert result["epoch"]


def test_where_nothing_is_retained(serve: Serve) -> None:
    """Nobody can come back there, and nobody is told otherwise; offsets are told all the same."""
    nothing = ChannelSettings(retention=Retention(messages=0))
    grant = Grant(
        capabilities=(
            Capability(("deaf",), frozenset({"sub"})),
            Capability(("none",), frozenset({"sub", "hst"})),
        )
    )
    sdk = SDK(serve(channels={"none": nothing}, policy=AskedPolicy(grant=grant)))
    for name in ("none", "deaf"):
        result = sdk.ask("subscribe", channel=name, recover=True, positioned=True, epoch="x")
        assert "recoverable" not in result
        assert "recovered" not in result
        assert "was_recovering" not in result
        assert result["positioned"]


def test_without_offsets(server: OrchestraFactory, clock: Clock) -> None:
    """Who does not ask for a position is told none, though publications have offsets."""
    server.hub.publish("a", b"1")
    sdk = SDK(server)
    assert sdk.ask("subscribe", channel="a") == {}
    server.hub.publish("a", b"2")
    turn(clock)
    assert sdk.pushes("a") == [{"pub": {"data": 2, "offset": 2}}]


@pytest.mark.parametrize("how", ["skip", "latest"])
def test_a_gap(serve: Serve, clock: Clock, how: str) -> None:
    """Who counts the offsets is unsubscribed with 2500, and can come back; others go on."""
    server = serve(slow_reader=how, ping_interval=0)
    counting, other = SDK(server), SDK(server)
    counting.ask("subscribe", channel="a", positioned=True)
    counting.ask("subscribe", channel="b")
    other.ask("subscribe", channel="a")
    for _ in range(500):
        server.hub.publish("a", b"1" * 1024)
        turn(clock)
    for sdk in (counting, other):
        sdk.read()
        assert sdk.closed is None
    *told, last = counting.pushes("a")
    assert [push["pub"]["offset"] for push in told] == list(range(1, len(told) + 1))
    assert last == {"unsubscribe": {"code": 2500, "reason": "insufficient state"}}
    found = [push["pub"]["offset"] for push in other.pushes("a")]
    assert found == sorted(found)
    assert found[-1] == 500
    assert len(found) < 500
    assert server.hub.channels() == {"a": 1, "b": 1}
    assert server.activity.missed_messages > 0
    assert counting.ask("subscribe", channel="a", positioned=True)["offset"] == 500


# What the server subscribes it to.


def test_without_having_asked(serve: Serve, clock: Clock) -> None:
    """It is in the channels of its grant as it comes in, though it may do nothing else; it goes
    on where it was there, and is told who comes."""
    wanted = (
        ServerSubscription("a", {"key": 1}, join_leave=True),
        ServerSubscription("b", recoverable=False),
        ServerSubscription("full"),
    )
    one = ChannelSettings(max_connections=1)
    grant = Grant("ann", capabilities=(), subscriptions=wanted)
    server = serve(policy=AskedPolicy(grant=grant), channels={"full": one})
    first = SDK(server)
    assert set(first.connected["subs"]) == {"a", "b", "full"}
    subs = first.connected["subs"]
    assert subs["a"]["data"] == {"key": 1}
    assert (subs["a"]["recoverable"], subs["a"]["positioned"]) == (True, True)
    assert subs["b"] == {}
    server.hub.publish("a", b"1")
    turn(clock)
    assert sorted(next(iter(push)) for push in first.pushes("a")) == ["join", "pub"]
    first.wire.vanish()
    server.hub.publish("a", b"2")
    turn(clock)
    first = SDK(server)
    position = {"recover": True, "epoch": subs["a"]["epoch"], "offset": 1}
    second = SDK(server, {"subs": {"a": position, "other": position}})
    assert set(second.connected["subs"]) == {"a", "b"}
    found = second.connected["subs"]["a"]
    assert found["recovered"]
    assert [publication["data"] for publication in found["publications"]] == [2]
    assert second.ask("subscribe", channel="a")["code"] == 105
    assert second.ask("unsubscribe", channel="a") == {}
    assert len(server.hub.presence("a")) == 1


def test_what_it_cannot_be_subscribed_to(serve: Serve, log: list[LogEvent]) -> None:
    """A path that is the server's own is no channel. A grant that has one lets its client in all
    the same: it gets the others, and the refusal is logged."""
    wanted = (ServerSubscription("api/x"), ServerSubscription("a"))
    server = serve(policy=AskedPolicy(grant=Grant(subscriptions=wanted)))
    sdk = SDK(server)
    assert set(sdk.connected["subs"]) == set(server.hub.channels()) == {"a"}
    (refused,) = named(log, "refused")
    assert (refused["status"], "the server's own" in refused["reason"]) == (404, True)
    with pytest.raises(RefusedError, match="the server's own"):
        sdk.session.subscribe(ServerSubscription("healthz"))
    assert sdk.pushes("healthz") == []


def test_later(server: OrchestraFactory, clock: Clock) -> None:
    """An application subscribes and unsubscribes it; it is told so, with what it has missed."""
    sdk = SDK(server)
    for n in range(3):
        server.hub.publish("a", b"%d" % n)
    turn(clock)
    top: Any = server.hub.position("a")
    wanted = ServerSubscription("a", [1])
    sdk.session.subscribe(wanted, Position(top.epoch, 1))
    sdk.session.subscribe(wanted)
    server.hub.publish("a", b"3")
    turn(clock)
    sdk.session.unsubscribe("a", 2000, "enough")
    sdk.session.unsubscribe("a", 2000, "enough")
    server.hub.publish("a", b"4")
    turn(clock)
    subscribed, *told = sdk.pushes("a")
    assert subscribed == {
        "subscribe": {
            "recoverable": True,
            "epoch": top.epoch,
            "offset": 1,
            "positioned": True,
            "data": [1],
        }
    }
    assert [push["pub"]["data"] for push in told[:-1]] == [1, 2, 3]
    assert told[-1] == {"unsubscribe": {"code": 2000, "reason": "enough"}}
