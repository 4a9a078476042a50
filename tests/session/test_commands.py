"""What each command does, and in which order."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from orchestra.message import Publisher
from orchestra.policy.grants import Capability, Grant, ServerSubscription
from orchestra.refusal import RefusedError
from orchestra.session.queue import MAX_CALLS
from orchestra.settings import ChannelSettings
from orchestra.websocket.factory import OrchestraFactory
from tests.events import named
from tests.policy.asked import HOWS, AskedPolicy, only
from tests.session.conftest import Serve, nothing_is_left
from tests.session.sdk import SDK, turn


def caps(channel: str, *allow: str) -> Capability:
    return Capability((channel,), frozenset(allow))


# Coming in.


def test_who_it_is(serve: Serve, log: list[LogEvent]) -> None:
    """A client is told its id; the others, whose it is; and the policy, what it has sent."""
    policy = AskedPolicy(grant=Grant("ann", {"part": 1}))
    server = serve(policy=policy)
    sdk = SDK(server, {"token": "t", "data": {"a": [1]}}, headers={"User-Agent": "x"})
    assert sdk.connected["client"] == sdk.id
    ((_, request),) = policy.asked
    assert (request.token, request.data, request.channel) == ("t", {"a": [1]}, "")
    assert (request.address, request.uri) == ("127.0.0.1", "/connection/websocket")
    assert request.headers["user-agent"] == "x"
    sdk.ask("subscribe", channel="a")
    info = {"user": "ann", "client": sdk.id, "conn_info": {"part": 1}}
    assert sdk.ask("presence", channel="a") == {"presence": {sdk.id: info}}
    assert sdk.ask("presence_stats", channel="a") == {"num_clients": 1, "num_users": 1}
    sdk.ask("publish", channel="a", data=1)
    assert sdk.ask("history", channel="a", limit=1)["publications"][0]["info"] == info
    assert isinstance(server.hub.history("a")[0].publisher, Publisher)


@pytest.mark.parametrize(
    "commands",
    [
        [{"id": 1, "subscribe": {"channel": "a"}}],
        [{"id": 1, "publish": {"channel": "a", "data": 1}}],
        [{"id": 1, "connect": {}}, {"id": 2, "connect": {}}],
        [{"id": 1, "connect": {}}, {"id": 2, "unknown": {}}],
        [{"id": 1, "connect": {}}, {"id": 2}],
        [{"id": 1, "connect": {}}, {"publish": {"channel": "a", "data": 1}}],
        [{"id": 1, "connect": {}}, {"subscribe": {"channel": "a"}}],
        [{"id": 1, "connect": {}}, {"ping": {}}],
        [{"connect": {}}],
        [{}],
    ],
)
def test_what_is_no_conversation(
    server: OrchestraFactory, clock: Clock, commands: list[dict[str, Any]]
) -> None:
    """It is closed with 3501, and nothing of it is done."""
    sdk = SDK(server, None)
    sdk.send(*commands)
    assert sdk.closed is not None
    assert sdk.closed[0] == 3501
    turn(clock)
    assert "a" not in server.hub.channels()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError(401, "a token is needed"), 3500),
        (RefusedError(401, "it has expired", kind="expired"), 109),
        (RefusedError(403, "not today"), 103),
        (RefusedError(429, "too often"), 111),
        (RefusedError(503, "later"), 100),
    ],
)
def test_who_is_not_let_in(
    serve: Serve, log: list[LogEvent], error: RefusedError, code: int
) -> None:
    """It is told why, in the refusal's words; it is closed only if to come back is in vain."""
    policy = AskedPolicy()
    policy.raises["connect"] = error
    server = serve(policy=policy)
    sdk = SDK(server, None)
    answer = sdk.ask("connect")
    if code == 3500:
        assert sdk.closed == (code, str(error))
    else:
        assert (answer["code"], answer["message"]) == (code, str(error))
        assert sdk.closed is None
    sdk.wire.vanish()
    assert not server.clients
    assert [event["status"] for event in named(log, "refused")] == [error.status]
    assert sum(server.activity.refusals.values()) == 1


def test_a_policy_that_fails(serve: Serve, log: list[LogEvent]) -> None:
    """Of what was not meant for it the client is told nothing; the log is."""
    policy = AskedPolicy()
    policy.raises["connect"] = ZeroDivisionError("secret")
    sdk = SDK(serve(policy=policy), None)
    assert sdk.ask("connect") == {
        "code": 100,
        "message": "internal server error",
        "temporary": True,
    }
    (event,) = named(log, "failed")
    assert event["what"] == "a command could not be performed"
    log.clear()
    sdk.wire.vanish()


def test_what_comes_after_a_refusal(serve: Serve) -> None:
    """Who was not let in is not heard, not even with another attempt: it has to come anew. What it
    sent before it knew that is no mistake of its own."""
    policy = AskedPolicy()
    server = serve(policy=policy)
    for name in ("connect", "subscribe", "ping"):
        policy.raises["connect"] = RefusedError(403, "no")
        sdk = SDK(server, None)
        sdk.ask("connect")
        policy.raises.clear()
        sdk.call(name)
        assert sdk.closed is None
        server.reactor.advance(6)
        assert sdk.closed == (3502, "stale")
    assert len(policy.asked) == 3


def test_what_fails_once_it_is_in(serve: Serve, log: list[LogEvent], monkeypatch: Any) -> None:
    """It does not stay half connected: it is told, and closed with 3004."""

    def fail(*values: Any, **options: Any) -> Any:
        raise ZeroDivisionError

    policy = AskedPolicy(grant=Grant(subscriptions=(ServerSubscription("a"),)))
    server = serve(policy=policy)
    monkeypatch.setattr(server.entrance, "check_channel", fail)
    sdk = SDK(server, None)
    assert sdk.ask("connect")["code"] == 100
    assert sdk.closed == (3004, "internal server error")
    assert len(named(log, "failed")) == len(named(log, "left")) == 1
    log.clear()


# One after the other.


@pytest.mark.parametrize("how", HOWS)
def test_what_takes_time_holds_what_comes_after_it(serve: Serve, clock: Clock, how: str) -> None:
    """Of that client only; and the answers come in the order of the commands."""
    policy = AskedPolicy("connect", "subscribe", "publish", how=how)
    server = serve(policy=policy, policy_timeout=0)
    sdk = SDK(server, None)
    sdk.send(
        sdk.command("connect"),
        sdk.command("subscribe", channel="a"),
        sdk.command("publish", channel="a", data=1),
        sdk.command("publish", channel="b", data=2),
        sdk.command("publish", channel="a", data=3),
        sdk.command("ping"),
    )
    assert sdk.read() == []
    assert not sdk.wire.transport.reading
    for count in range(1, 6):
        assert len(policy.asked) == count
        policy.allow()
        turn(clock)
    assert sdk.wire.transport.reading
    sdk.read()
    assert [reply["id"] for reply in sdk.told if "id" in reply] == [1, 2, 3, 4, 5, 6]
    assert sdk.heard("a") == [1, 3]
    assert [what for what, *_ in policy.asked] == ["connect", "subscribe", *3 * ["publish"]]
    assert [payload for payload, _ in policy.questions("publish")] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("what", ["connect", "subscribe", "publish", "subscription"])
@pytest.mark.parametrize("is_cancelled", [True, False])
def test_what_is_decided_too_late(
    serve: Serve, clock: Clock, log: list[LogEvent], how: str, what: str, is_cancelled: bool
) -> None:
    """Once a client has left, nothing comes of what it has asked for, and nothing is logged."""
    policy = AskedPolicy(what, how=how)
    server = serve(policy=policy, policy_timeout=0)
    sdk = SDK(server, None)
    token = {"token": "t"} if what == "subscription" else {}
    sdk.send(
        sdk.command("connect"),
        sdk.command("subscribe", channel="a", **token),
        sdk.command("publish", channel="a", data=1),
    )
    (waiting,) = policy.waiting
    if not is_cancelled:  # a policy that does not care
        waiting._canceller = lambda _: None
    sdk.wire.vanish()
    if not is_cancelled and not waiting.called:
        waiting.callback(Grant())
    turn(clock)
    nothing_is_left(server)
    assert "a" not in server.hub.channels() or not server.hub.history("a")
    assert not named(log, "failed")
    assert len(named(log, "joined")) == len(named(log, "left")) == int(what != "connect")


def test_the_server_is_quicker(serve: Serve) -> None:
    """Who was subscribed while that was being decided has a place once."""
    policy = AskedPolicy("subscribe")
    server = serve(policy=policy)
    sdk = SDK(server)
    asked = sdk.call("subscribe", channel="a")
    sdk.session.subscribe(ServerSubscription("a"))
    assert server.hub.channels()["a"] == 1
    policy.allow()
    assert sdk.answer(asked)["code"] == 105
    assert server.hub.channels()["a"] == 1


def test_another_grant_comes_meanwhile(serve: Serve, clock: Clock) -> None:
    """What was asked for counts as asked with the grant that there is when it is decided."""
    policy = AskedPolicy("subscribe", grant=Grant("ann", expires=clock.seconds() + 50))
    sdk = SDK(serve(policy=policy, ping_interval=0))
    asked = sdk.call("subscribe", channel="a")
    sdk.session.refresh(clock.seconds() + 1000)
    policy.allow()
    assert "code" not in sdk.answer(asked)
    clock.advance(100)
    assert sdk.pushes("a") == []
    asked = sdk.call("subscribe", channel="b")
    sdk.session.renew(only("pub"))
    policy.allow()
    assert sdk.answer(asked)["code"] == 103


# Publishing.


def test_messages_come_in_order(serve: Serve, clock: Clock) -> None:
    """Across channels, and with what else is in the frame: each sees those before it."""
    server = serve()
    sdk = SDK(server)
    sdk.send(
        sdk.command("publish", channel="a", data=1),
        sdk.command("publish", channel="a", data=2),
        sdk.command("history", channel="a"),
        sdk.command("publish", channel="b", data=3),
        sdk.command("publish", channel="a", data=4),
        sdk.command("subscribe", channel="a", positioned=True),
        sdk.command("publish", channel="a", data=5),
        sdk.command("unsubscribe", channel="a"),
        sdk.command("publish", channel="a", data=6),
    )
    turn(clock)
    sdk.read()
    assert [reply["id"] for reply in sdk.told] == list(range(1, 11))
    assert sdk.answer(4)["offset"] == 2
    assert sdk.answer(7)["offset"] == 3
    assert [message.payload for message in server.hub.history("a")] == [
        *(b"1", b"2", b"4", b"5", b"6")
    ]
    assert [message.payload for message in server.hub.history("b")] == [b"3"]


def test_an_answer_comes_before_what_follows(server: OrchestraFactory, clock: Clock) -> None:
    """First the client is told that it listens, then what it hears; its own coming, too."""
    sdk = SDK(server)
    sdk.send(
        sdk.command("subscribe", channel="a", join_leave=True),
        sdk.command("publish", channel="a", data=1),
    )
    turn(clock)
    kinds = [
        next(k for k in reply.get("push", reply) if k not in ("id", "channel"))
        for reply in sdk.read()
    ]
    assert kinds[:2] == ["subscribe", "publish"]
    assert sorted(kinds[2:]) == ["join", "pub"]
    other = SDK(server)
    other.ask("subscribe", channel="a")
    turn(clock)
    other.wire.vanish()
    turn(clock)
    told = [
        (kind, push[kind]["info"]["client"])
        for push in sdk.pushes("a")
        for kind in push
        if kind != "pub"
    ]
    assert told == [("join", sdk.id), ("join", other.id), ("leave", other.id)]


SETTINGS = {
    "small": ChannelSettings(max_message_size=5),
    "slow": ChannelSettings(max_message_rate=1, message_burst=2),
    "one": ChannelSettings(max_connections=1),
    "theirs": ChannelSettings(publishers=("10.0.0.1",)),
}


def test_what_may_not_be_published(serve: Serve, clock: Clock) -> None:
    """One refusal is one answer, by its kind, and the others go on."""
    policy = AskedPolicy(
        grant=Grant(
            capabilities=(caps("mute", "sub"), Capability(("*",), frozenset({"pub", "sub"}), True))
        )
    )
    policy.publish = None  # type: ignore[assignment]
    server = serve(policy=policy, channels=SETTINGS)
    sdk = SDK(server)
    said = [
        ("small", "abcde", 0),
        ("small", "abcdef", 106),
        ("slow", 1, 0),
        ("slow", 2, 0),
        ("slow", 3, 111),
        ("theirs", 1, 103),
        ("mute", 1, 103),
        ("", 1, 107),
        ("api/x", 1, 102),
        ("x" * 256, 1, 107),
        ("other", 4, 0),
    ]
    commands = [sdk.command("publish", channel=name, data=data) for name, data, _ in said]
    sdk.send(*commands, {"id": 99, "publish": {"channel": "other"}})
    answers = [sdk.answer(command["id"]) for command in commands]
    assert [answer.get("code", 0) for answer in answers] == [code for _, _, code in said]
    assert answers[1]["message"] == "a message must be 5 bytes or less"
    assert sdk.answer(99)["code"] == 107
    clock.advance(1)
    assert sdk.ask("publish", channel="slow", data=5) == {}
    assert [m.payload for m in server.hub.history("slow")] == [b"1", b"2", b"5"]


def test_what_may_not_be_heard(serve: Serve) -> None:
    """Each thing takes its own capability; and a channel has as many places as it has."""
    grant = Grant(
        capabilities=(caps("one", "sub"), caps("deaf", "pub"), caps("past", "hst", "prs"))
    )
    server = serve(policy=AskedPolicy(grant=grant), channels=SETTINGS)
    sdk = SDK(server)
    for name, channel, code in [
        ("subscribe", "deaf", 103),
        ("subscribe", "past", 103),
        ("subscribe", "one", None),
        ("subscribe", "one", 105),
        ("presence", "one", 103),
        ("presence_stats", "one", 103),
        ("history", "one", 103),
        ("presence", "past", None),
        ("presence_stats", "past", None),
        ("history", "past", None),
        ("unsubscribe", "past", None),
        ("sub_refresh", "past", 103),
        ("subscribe", "\x00", 107),
        ("subscribe", "connection/x", 102),
    ]:
        assert sdk.ask(name, channel=channel).get("code") == code, (name, channel)
    refused = SDK(server).ask("subscribe", channel="one")
    assert (refused["code"], refused["message"]) == (100, "the channel is full")
    assert sdk.ask("subscribe", channel="one", join_leave=True)["code"] == 105
    assert not server.hub._watched


def test_as_many_channels_as_it_may(serve: Serve) -> None:
    """One more is refused with 106, until it leaves one."""
    sdk = SDK(serve(max_subscriptions=2))
    codes = [sdk.ask("subscribe", channel=name).get("code") for name in "abc"]
    assert codes == [None, None, 106]
    sdk.ask("unsubscribe", channel="a")
    assert "code" not in sdk.ask("subscribe", channel="c")


def test_one_connection_in_several_channels(server: OrchestraFactory) -> None:
    """It is a member of each, by the same id, until it leaves that one."""
    sdk = SDK(server)
    for name in "ab":
        sdk.ask("subscribe", channel=name)
    assert [list(sdk.ask("presence", channel=name)["presence"]) for name in "ab"] == [[sdk.id]] * 2
    sdk.ask("unsubscribe", channel="a")
    assert [len(server.hub.presence(name)) for name in "ab"] == [0, 1]
    sdk.wire.vanish()
    assert len(server.hub.presence("b")) == 0


# Calls.


def test_calls(serve: Serve, log: list[LogEvent]) -> None:
    """An application answers, refuses in its own words, or fails; who calls is known."""
    callers: list[Any] = []

    def fail(caller: Any, data: Any) -> Any:
        raise ZeroDivisionError

    def refuse(caller: Any, data: Any) -> Any:
        raise RefusedError(404, "no such song")

    async def echo(caller: Any, data: Any) -> Any:
        callers.append(caller)
        return [data]

    handlers = {"echo": echo, "fail": fail, "refuse": refuse, "odd": lambda c, d: object()}
    sdk = SDK(serve(rpc=handlers, policy=AskedPolicy(grant=Grant("ann"))))
    assert sdk.ask("rpc", method="echo", data={"a": 1}) == {"data": [{"a": 1}]}
    assert sdk.ask("rpc", method="echo") == {"data": [None]}
    assert (callers[0].client, callers[0].identity) == (sdk.id, "ann")
    assert sdk.ask("rpc", method="refuse", data=1) == {"code": 102, "message": "no such song"}
    assert sdk.ask("rpc", method="unknown")["code"] == 108
    assert not named(log, "failed")
    assert sdk.ask("rpc", method="fail")["code"] == 100
    assert sdk.ask("rpc", method="odd")["code"] == 100
    assert len(named(log, "failed")) == 2
    log.clear()


@pytest.mark.parametrize("value", [b"hi", {"a": b"hi"}, float("nan"), {1, 2}])
def test_an_answer_is_a_value_of_json(serve: Serve, log: list[LogEvent], value: Any) -> None:
    """Anything else is a mistake in the application, and not silently taken for something."""
    sdk = SDK(serve(rpc={"answer": lambda caller, data: value}))
    error = {"code": 100, "message": "internal server error", "temporary": True}
    assert sdk.ask("rpc", method="answer") == error
    assert len(named(log, "failed")) == 1
    assert [event["log_failure"].type for event in log if "log_failure" in event] in (
        [TypeError],
        [ValueError],
    )
    log.clear()


def test_calls_are_answered_at_the_same_time(serve: Serve) -> None:
    """Up to 16 of them: what comes after that waits, and goes on as they are answered."""
    waiting: list[Deferred[Any]] = []

    def late(caller: Any, data: Any) -> Any:
        waiting.append(Deferred())
        return waiting[-1].addCallback(lambda _: data)

    sdk = SDK(serve(rpc={"late": late}))
    commands = [sdk.command("rpc", method="late", data=n) for n in range(MAX_CALLS + 2)]
    sdk.send(sdk.command("ping"), *commands, sdk.command("ping"))
    assert len(waiting) == MAX_CALLS == 16
    assert len(sdk.read()) == 1
    assert not sdk.wire.transport.reading
    for n in (5, 3, 0):
        waiting[n].callback(None)
    assert sdk.wire.transport.reading
    assert len(waiting) == MAX_CALLS + 2
    answers = [reply["rpc"]["data"] for reply in sdk.read() if "rpc" in reply]
    assert answers == [5, 3, 0]
    assert "ping" in sdk.told[-1]


def test_the_time(serve: Serve) -> None:
    """It is told by the hub's clock, in milliseconds with fractions, before anything else happens;
    whatever else the client has been allowed, and whatever it has asked with."""
    now = 1700000000.1234
    nothing = Grant(capabilities=())
    sdk = SDK(serve(wall_clock=lambda: now, policy=AskedPolicy(grant=nothing)))
    times = [sdk.command("rpc", method="orchestra.time", data=data) for data in (None, [1])]
    sdk.send(*times, sdk.command("ping"))
    time, same, ping = sdk.read()
    assert time["rpc"] == same["rpc"] == {"data": {"time": 1700000000123.4}}
    assert "ping" in ping
    now += 1
    assert sdk.ask("rpc", method="orchestra.time") == {"data": {"time": 1700000001123.4}}


def test_a_time_of_the_applications_own(serve: Serve) -> None:
    """A method that it calls the same takes the place of the server's."""
    sdk = SDK(serve(rpc={"orchestra.time": lambda caller, data: "noon", "echo": lambda c, d: d}))
    assert sdk.ask("rpc", method="orchestra.time") == {"data": "noon"}
    assert sdk.ask("rpc", method="echo", data=1) == {"data": 1}


def test_the_time_waits_with_the_other_calls(serve: Serve) -> None:
    """It is a call like others: when too many are not answered yet, it is not either."""
    waiting: list[Deferred[Any]] = []

    def late(caller: Any, data: Any) -> Any:
        waiting.append(Deferred())
        return waiting[-1]

    sdk = SDK(serve(rpc={"late": late}))
    sdk.send(*[sdk.command("rpc", method="late") for _ in range(MAX_CALLS)])
    asked = sdk.call("rpc", method="orchestra.time")
    assert sdk.answer(asked) is None
    waiting[0].callback(None)
    assert set(sdk.answer(asked)["data"]) == {"time"}


def test_a_call_that_the_application_cancels(serve: Serve, log: list[LogEvent]) -> None:
    """It is answered like any that failed; that of a client that has left is cancelled."""
    calls: list[Deferred[Any]] = []

    def late(caller: Any, data: Any) -> Any:
        calls.append(Deferred())
        return calls[-1]

    sdk = SDK(serve(rpc={"late": late}))
    asked = sdk.call("rpc", method="late")
    calls[0].cancel()
    assert sdk.answer(asked)["code"] == 100
    assert len(named(log, "failed")) == 1
    log.clear()
    sdk.call("rpc", method="late")
    sdk.wire.vanish()
    assert calls[1].called


def test_messages_to_the_server(serve: Serve) -> None:
    """An application takes them, and nothing is answered; without one it is closed with 3508."""
    heard: list[Any] = []
    sdk = SDK(serve(on_message=lambda caller, data: heard.append(data)))
    sdk.send({"send": {"data": {"a": 1}}}, sdk.command("ping"))
    assert heard == [{"a": 1}]
    assert len(sdk.read()) == 1
    sdk = SDK(serve())
    sdk.send({"send": {"data": 1}})
    assert sdk.closed == (3508, "not available")


def test_a_message_that_the_application_does_not_take(serve: Serve, log: list[LogEvent]) -> None:
    """Nothing is answered, which would be taken for a ping; what is no refusal is reported."""

    def refuse(caller: Any, data: Any) -> Any:
        raise RefusedError(403, "not now") if data else ZeroDivisionError

    sdk = SDK(serve(on_message=refuse))
    sdk.send({"send": {"data": 1}}, sdk.command("ping"))
    assert [set(reply) for reply in sdk.read()] == [{"id", "ping"}]
    assert not named(log, "failed")
    sdk.send({"send": {"data": 0}}, sdk.command("ping"))
    assert [set(reply) for reply in sdk.read()] == [{"id", "ping"}]
    assert len(named(log, "failed")) == 1
    assert sdk.closed is None
    log.clear()
