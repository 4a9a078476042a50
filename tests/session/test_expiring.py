"""What lets a session in, and lets it listen, does not hold for ever."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from orchestra.connection.expiry import LOOK_AT_CLOCK
from orchestra.policy.grants import Grant
from orchestra.refusal import RefusedError
from tests.policy.asked import AskedPolicy, only
from tests.session.conftest import Serve
from tests.session.sdk import SDK, turn


def test_what_let_it_in(serve: Serve, clock: Clock) -> None:
    """It is told to refresh in time; if it does not, it is closed with 3005, and may come back."""
    policy = AskedPolicy(grant=Grant("ann", expires=clock.seconds() + 60))
    sdk = SDK(serve(policy=policy, ping_interval=0))
    assert (sdk.connected["expires"], sdk.connected["ttl"]) == (True, 55)
    clock.advance(59)
    assert sdk.closed is None
    clock.advance(1)
    assert sdk.closed == (3005, "connection expired")


def test_a_refresh(serve: Serve, clock: Clock) -> None:
    """With another token it stays, and so does what it listens to by the first one."""
    policy = AskedPolicy(grant=Grant("ann", expires=clock.seconds() + 60))
    sdk = SDK(serve(policy=policy, ping_interval=0), {"token": "1"})
    sdk.ask("subscribe", channel="a")
    policy.grant = Grant("ann", expires=clock.seconds() + 120)
    result = sdk.ask("refresh", token="2")
    assert result == {"client": sdk.id, "expires": True, "ttl": 115}
    assert policy.questions("connect")[-1].token == "2"
    clock.advance(119)
    assert sdk.closed is None
    assert sdk.pushes() == []
    policy.grant = Grant("ann")
    assert sdk.ask("refresh", token="3") == {"client": sdk.id}
    clock.advance(10_000)
    assert sdk.closed is None


@pytest.mark.parametrize(
    ("grant", "error", "closed"),
    [
        (Grant("bob"), None, (3500, "the token is somebody else's")),
        (Grant(), None, (3500, "the token is somebody else's")),
        (None, RefusedError(401, "malformed"), (3500, "malformed")),
        (None, RefusedError(401, "old", kind="expired"), None),
        (Grant("ann", expires=1.0), None, None),
        (None, RefusedError(503, "later"), None),
    ],
)
def test_a_refresh_that_is_none(
    serve: Serve, grant: Grant | None, error: RefusedError | None, closed: tuple[int, str] | None
) -> None:
    """Somebody else's token ends it, as does one that is none; otherwise it can try again."""
    policy = AskedPolicy(grant=Grant("ann", expires=2000.0))
    sdk = SDK(serve(policy=policy))
    if error:
        policy.raises["connect"] = error
    policy.grant = grant or policy.grant
    answer = sdk.ask("refresh", token="x")
    assert sdk.closed == closed
    if closed is None:
        assert answer["code"] == (100 if error and error.status == 503 else 109)


def test_one_that_allows_less(serve: Serve, clock: Clock) -> None:
    """It leaves the channels that it may not listen to any more, and is told so."""
    policy = AskedPolicy(grant=only("sub", "pub"))
    server = serve(policy=policy)
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a")
    policy.grant = only("pub")
    sdk.ask("refresh", token="x")
    assert sdk.pushes("a") == [{"unsubscribe": {"code": 2000, "reason": "server unsubscribe"}}]
    assert len(server.hub.presence("a")) == 0
    assert sdk.ask("publish", channel="a", data=1) == {}
    assert sdk.ask("subscribe", channel="a")["code"] == 103


def test_by_the_application(serve: Serve, clock: Clock) -> None:
    """It may let somebody stay for longer, and the client is told."""
    policy = AskedPolicy(grant=Grant("ann", expires=clock.seconds() + 60))
    sdk = SDK(serve(policy=policy, ping_interval=0))
    sdk.ask("subscribe", channel="a")
    sdk.session.refresh(clock.seconds() + 100)
    assert sdk.pushes() == [{"refresh": {"expires": True, "ttl": 95}}]
    clock.advance(90)
    sdk.session.refresh(None)
    assert sdk.pushes()[1:] == [{"refresh": {}}]
    clock.advance(1000)
    assert sdk.closed is None
    sdk.session.refresh(clock.seconds())
    turn(clock)
    assert sdk.closed == (3005, "connection expired")


def test_a_subscription(serve: Serve, clock: Clock) -> None:
    """With a token of its own it ends with 2501; with another in time it stays. The session does
    in any case."""
    policy = AskedPolicy(grant=Grant("ann"))
    server = serve(policy=policy, ping_interval=0)
    sdk = SDK(server)
    policy.grant = Grant("ann", expires=clock.seconds() + 60)
    for name in "ab":
        result = sdk.ask("subscribe", channel=name, token="t" + name)
        assert (result["expires"], result["ttl"]) == (True, 55)
    assert policy.questions("subscription") == ["ta", "tb"]
    clock.advance(30)
    policy.grant = Grant("ann", expires=clock.seconds() + 60)
    assert sdk.ask("sub_refresh", channel="a", token="u") == {"expires": True, "ttl": 55}
    clock.advance(30)
    expired = {"unsubscribe": {"code": 2501, "reason": "subscription expired"}}
    assert (sdk.pushes("a"), sdk.pushes("b")) == ([], [expired])
    assert server.hub.channels()["b"] == 0
    policy.grant = Grant("ann")
    assert sdk.ask("sub_refresh", channel="a", token="v") == {}
    clock.advance(1000)
    assert sdk.pushes("a") == []
    assert sdk.ask("sub_refresh", channel="b", token="v")["code"] == 103
    assert sdk.closed is None


def test_a_subscription_that_is_left(serve: Serve, clock: Clock) -> None:
    """Nothing waits for its end any more, however it was left; and none is refreshed."""
    policy = AskedPolicy("subscription", grant=Grant(expires=clock.seconds() + 60))
    server = serve(policy=policy, ping_interval=0)
    sdk = SDK(server)
    sdk.session.refresh(None)
    asked = sdk.call("subscribe", channel="a", token="t")
    policy.allow()
    assert sdk.answer(asked)["expires"]
    waiting = len(clock.getDelayedCalls())
    asked = sdk.call("sub_refresh", channel="a", token="u")
    sdk.session.unsubscribe("a", 2000, "")
    policy.allow()
    assert sdk.answer(asked)["code"] == 103
    assert len(clock.getDelayedCalls()) < waiting
    clock.advance(LOOK_AT_CLOCK)
    assert len(sdk.pushes("a")) == 1
    asked = sdk.call("subscribe", channel="a", token="t")
    policy.allow()
    assert sdk.answer(asked)["code"] == 109
