"""A session's pings, and who is taken for dead."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from orchestra.history import Retention
from orchestra.refusal import RefusedError
from orchestra.session.session import LEAVE_TIMEOUT
from orchestra.websocket.factory import HANDSHAKE_TIMEOUT, PING_INTERVAL, PING_TIMEOUT
from tests.policy.asked import AskedPolicy
from tests.session.conftest import Serve
from tests.session.sdk import SDK


def wait(clock: Clock, seconds: float) -> None:
    """Let time go by, a second at a time."""
    for _ in range(int(seconds)):
        clock.advance(1)


def test_a_ping_is_an_empty_reply(serve: Serve, clock: Clock) -> None:
    """The client is told how often it comes, and that it is to be answered."""
    sdk = SDK(serve())
    assert (sdk.connected["ping"], sdk.connected["pong"]) == (25, True)
    for _ in range(4):
        wait(clock, PING_INTERVAL + 1)
        assert sdk.read() == [{}]
        sdk.wire.send("{}")
    assert sdk.closed is None


def test_no_pings(serve: Serve, clock: Clock) -> None:
    """Where there are to be none, the client is told that, and nobody is taken for dead."""
    sdk = SDK(serve(ping_interval=0))
    assert "ping" not in sdk.connected
    assert "pong" not in sdk.connected
    wait(clock, 1000)
    assert sdk.read() == []


def test_pings_that_need_no_answer(serve: Serve, clock: Clock) -> None:
    """Without a timeout they are only told."""
    sdk = SDK(serve(ping_timeout=0, ping_interval=0.5))
    assert sdk.connected["ping"] == 1
    assert "pong" not in sdk.connected
    wait(clock, 100)
    assert set(map(str, sdk.read())) == {"{}"}


@pytest.mark.parametrize("interval", [5, 25])
def test_who_does_not_answer(serve: Serve, clock: Clock, interval: int) -> None:
    """It is closed with 3012 in time, however often it is asked; with any command it is not."""
    server = serve(ping_interval=interval, close_timeout=0)
    dead, alive = SDK(server), SDK(server)
    wait(clock, interval + PING_TIMEOUT - 1)
    assert dead.closed is None
    alive.ask("ping")
    wait(clock, 2)
    assert dead.closed == (3012, "no pong")
    assert alive.closed is None
    wait(clock, interval + PING_TIMEOUT)
    assert alive.closed == (3012, "no pong")


@pytest.mark.parametrize("commands", [0, 20])
def test_who_reads_nothing(serve: Serve, clock: Clock, commands: int) -> None:
    """It is dropped, whether it has asked for more than it reads or was just sent it."""
    server = serve(retention=Retention())
    for _ in range(300):
        server.hub.publish("a", b"x" * 1024)
    sdk = SDK(server)
    sdk.send(*[sdk.command("history", channel="a", limit=-1) for _ in range(commands)])
    sdk.ask("subscribe", channel="b") if not commands else None
    for _ in range(300):
        server.hub.publish("b", b"x" * 1024)
    clock.advance(0)
    assert sdk.session._outflow.full
    wait(clock, PING_INTERVAL + PING_TIMEOUT + 10)
    assert sdk.wire.transport.disconnected


@pytest.mark.parametrize("what", ["history", "channels"])
def test_who_reads_slowly(serve: Serve, clock: Clock, what: str) -> None:
    """It is alive, however long it takes to read what was written: it is asked nothing then."""
    server = serve(retention=Retention())
    sdk = SDK(server)
    for channel in "ab":
        sdk.ask("subscribe", channel=channel) if what == "channels" else None
        for _ in range(900):
            server.hub.publish(channel, b"x" * 4096)
    clock.advance(0)
    if what == "history":
        sdk.send(*[sdk.command("history", channel="a", limit=-1) for _ in range(20)])
    for _ in range(30):
        wait(clock, 9)
        sdk.wire.ws.receive_data(sdk.wire.transport.take())
        assert not sdk.session.is_leaving
    sdk.wire.read()
    assert sdk.wire.close_frame is None


def test_who_is_held(serve: Serve, clock: Clock) -> None:
    """While a policy decides nothing is read, and no answer to a ping either. Once it has, the
    client is heard of before it is taken for dead."""
    policy = AskedPolicy("subscribe")
    sdk = SDK(serve(policy=policy, policy_timeout=0, close_timeout=0))
    sdk.send(sdk.command("subscribe", channel="a"), sdk.command("ping"))
    assert not sdk.wire.transport.reading
    wait(clock, 3 * PING_INTERVAL + PING_TIMEOUT - 1)
    policy.allow()
    wait(clock, 2)
    assert sdk.closed is None
    assert sdk.wire.transport.reading
    wait(clock, PING_INTERVAL + PING_TIMEOUT)
    assert sdk.closed == (3012, "no pong")


def test_whose_connect_takes_its_time(serve: Serve, clock: Clock) -> None:
    """Who has asked in time is not closed while the policy decides; one that is refused then has
    the time to leave by itself."""
    policy = AskedPolicy("connect")
    server = serve(policy=policy, policy_timeout=0)
    sdk, refused = SDK(server, None), SDK(server, None)
    asked = sdk.call("connect"), refused.call("connect")
    wait(clock, HANDSHAKE_TIMEOUT + 1)
    policy.allow()
    policy.refuse(RefusedError(403, "no"))
    assert sdk.answer(asked[0])["client"] == sdk.id
    assert refused.answer(asked[1])["code"] == 103
    wait(clock, HANDSHAKE_TIMEOUT - 1)
    assert refused.closed is None
    wait(clock, 2)
    assert refused.closed == (3502, "stale")
    assert sdk.closed is None


@pytest.mark.parametrize(("close_timeout", "seconds"), [(3, 3), (0, LEAVE_TIMEOUT)])
def test_who_is_refused_where_any_may_take_its_time(
    serve: Serve, clock: Clock, close_timeout: float, seconds: float
) -> None:
    """One that is refused and stays is closed even where nobody must connect in time."""
    policy = AskedPolicy("connect")
    server = serve(policy=policy, handshake_timeout=0, close_timeout=close_timeout)
    mute, refused = SDK(server, None), SDK(server, None)
    asked = refused.call("connect")
    policy.refuse(RefusedError(403, "no"))
    assert refused.answer(asked)["code"] == 103
    wait(clock, seconds - 1)
    assert refused.closed is None
    wait(clock, 2)
    assert refused.closed == (3502, "stale")
    wait(clock, 1000)
    assert mute.closed is None
    mute.wire.vanish()


def test_who_never_connects(serve: Serve, clock: Clock) -> None:
    """It is closed with 3502, as is one that was not let in and stays; no ping goes out."""
    policy = AskedPolicy("connect")
    server = serve(policy=policy, policy_timeout=1)
    mute, refused = SDK(server, None), SDK(server, None)
    asked = refused.call("connect")
    wait(clock, 2)
    assert refused.answer(asked)["code"] == 100
    wait(clock, HANDSHAKE_TIMEOUT)
    assert mute.closed == refused.closed == (3502, "stale")
    assert not server.clients
