from __future__ import annotations
import json
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from orchestra.policy.grants import Grant, ServerSubscription
from orchestra.refusal import RefusedError
from orchestra.history import Retention
from orchestra.settings import ChannelSettings
from tests.policy.asked import AskedPolicy, only
from tests.session.conftest import Serve, nothing_is_left
from tests.session.sdk import SDK, turn
from tests.events import lines, named

BIG = b"x" * 1024


def fill(server, clock, channel, kb=400):
    for _ in range(kb):
        server.hub.publish(channel, BIG)
        turn(clock)


def test_basic(server, clock):
    sdk = SDK(server)
    print(sdk.connected)
    print(sdk.ask("subscribe", channel="a", recoverable=True, join_leave=True))
    print(sdk.ask("publish", channel="a", data={"x": 1}))
    turn(clock)
    print(sdk.told)
    assert sdk.heard("a") == [{"x": 1}]


def test_watcher_not_written_while_full(serve, clock):
    server = serve(retention=Retention(), ping_interval=0)
    sdk = SDK(server)
    for n in range(1000):
        server.hub.publish("a", BIG[:100])
    epoch = server.hub.position("a").epoch
    turn(clock)
    sdk.send(
        sdk.command("subscribe", channel="a", recover=True, epoch=epoch, offset=0, join_leave=True)
    )
    assert sdk.session._outflow.full
    waiting = len(sdk.session._outflow._waiting)
    for n in range(50):
        o = SDK(server)
        o.ask("subscribe", channel="a")
        turn(clock)
        o.wire.vanish()
        turn(clock)
    assert len(sdk.session._outflow._waiting) == waiting


def test_server_subscribes_meanwhile(serve, clock):
    policy = AskedPolicy("subscribe")
    server = serve(policy=policy)
    sdk = SDK(server)
    sent = sdk.call("subscribe", channel="a")
    assert sdk.session.subscribe(ServerSubscription("a"))
    policy.waiting.pop(0).callback(None)
    assert sdk.answer(sent)["code"] == 105
    assert len(server.hub.presence("a")) == 1


def test_renewed_meanwhile(serve, clock):
    policy = AskedPolicy("subscribe", grant=Grant("ann", expires=clock.seconds() + 50))
    server = serve(policy=policy, ping_interval=0)
    sdk = SDK(server)
    sent = sdk.call("subscribe", channel="a")
    sdk.session.refresh(clock.seconds() + 1000)
    policy.waiting.pop(0).callback(None)
    assert "code" not in sdk.answer(sent)
    clock.advance(100)
    assert sdk.pushes("a") == []


def test_evicted_leaves_no_watcher(serve, clock):
    server = serve(ping_interval=0, close_timeout=0)
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a", join_leave=True)
    fill(server, clock, "a")
    assert not server.hub._watched
    assert sdk.closed == (3008, "slow")


def test_evicted_in_one_of_two(serve, clock):
    server = serve(ping_interval=0)
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a")
    sdk.ask("subscribe", channel="b")
    server.hub.publish("b", b"1")
    fill(server, clock, "a")
    clock.advance(6)
    assert sdk.wire.transport.disconnected


def test_dead_while_full(serve, clock):
    server = serve(retention=Retention())
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a")
    fill(server, clock, "a")
    for _ in range(60):
        clock.advance(1)
    assert sdk.wire.transport.disconnected


def test_dead_with_commands_while_full(serve, clock):
    server = serve(retention=Retention())
    for n in range(300):
        server.hub.publish("a", BIG)
    sdk = SDK(server)
    sdk.send(*[sdk.command("history", channel="a", limit=-1) for _ in range(20)])
    assert sdk.session._outflow.full
    for _ in range(80):
        clock.advance(1)
    assert sdk.wire.transport.disconnected


def test_long_refusal(serve, clock):
    policy = AskedPolicy()
    policy.raises["connect"] = RefusedError(401, "ö" * 300)
    server = serve(policy=policy)
    sdk = SDK(server, None)
    sdk.call("connect")
    assert sdk.closed == (3500, "ö" * 61)


def test_close_while_decided(serve, clock):
    policy = AskedPolicy("subscribe")
    server = serve(policy=policy)
    sdk = SDK(server)
    sdk.send(sdk.command("subscribe", channel="a"), sdk.command("subscribe", channel="b"))
    assert not sdk.wire.transport.reading
    sdk.session.refresh(clock.seconds() - 1)
    clock.advance(0)
    assert sdk.wire.transport.reading
    assert sdk.closed[0] == 3005
    assert sdk.wire.transport.disconnected


def test_reads_slowly_all_the_time(serve, clock):
    server = serve(retention=Retention())
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a")
    sdk.ask("subscribe", channel="b")
    for n in range(900):
        server.hub.publish("b", b"x" * 4096)
        server.hub.publish("a", b"x" * 4096)
    turn(clock)
    sdk.wire.transport.take  # reads a buffer each 9 seconds
    for n in range(30):
        clock.advance(9)
        sdk.wire.ws.receive_data(sdk.wire.transport.take())
        assert sdk.session._farewell is None, n


def test_reads_history_slowly(serve, clock):
    server = serve(retention=Retention())
    for n in range(900):
        server.hub.publish("a", b"x" * 4096)
    turn(clock)
    sdk = SDK(server)
    sdk.call("history", channel="a", limit=-1)
    for n in range(30):
        clock.advance(9)
        sdk.wire.ws.receive_data(sdk.wire.transport.take())
        assert sdk.session._farewell is None, n


def test_rpc_cancels_itself(serve, clock):
    d = Deferred()
    server = serve(rpc={"x": lambda c, v: d})
    sdk = SDK(server)
    sent = sdk.call("rpc", method="x")
    d.cancel()
    assert sdk.answer(sent)["code"] == 100


def test_vacant_lingers(serve, clock):
    server = serve(retention=Retention(age=100000.0))
    sdk = SDK(server)
    sdk.ask("subscribe", channel="a")
    sdk.session.close(
        __import__("orchestra.connection.close_codes").connection.close_codes.GOING_AWAY
    )
    assert sdk.closed == (3001, "shutdown")
    clock.advance(70)
    assert "a" not in server.hub.channels()
