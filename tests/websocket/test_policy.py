"""WebSockets and what decides who may come in: tokens, API keys, an application's own rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from orchestra.connection.expiry import LOOK_AT_CLOCK
from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.policy.access import TIMEOUT
from orchestra.policy.api_keys import ApiKeys
from orchestra.policy.grants import Grant
from orchestra.policy.token_keys import read_key
from orchestra.policy.tokens import LEEWAY, TokenPolicy
from orchestra.presence import Member
from orchestra.refusal import RefusedError
from orchestra.settings import ChannelSettings
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.intake import BURST
from tests.events import lines, named
from tests.memory import MemoryClient, join
from tests.policy.asked import HOWS, AskedPolicy, only
from tests.policy.keys import SECRET, now, token

KEY = "key-of-an-application"
WITH_KEY = {"X-API-Key": KEY}
FROM_A_PAGE = {"Origin": "http://localhost:8080"}
READ_BY_AUTOBAHN = {"Sec-WebSocket-Protocol": "chat"}
"""What makes a handshake one that is not read directly."""

Serve = Callable[..., OrchestraFactory]


@pytest.fixture
def serve(clock: Clock, log: list[LogEvent]) -> Iterator[Serve]:
    """Make a factory with a policy; nothing of its clients stays in the end."""
    factories = []

    def serve(policy: Any = None, **options: Any) -> OrchestraFactory:
        channels = {"small": ChannelSettings(max_connections=1)}
        hub = Hub(
            Retention(messages=100),
            clock=clock.seconds,
            wall_clock=options.pop("wall_clock", clock.seconds),
            channels=channels,
        )
        factories.append(OrchestraFactory(hub, policy=policy, reactor=clock, **options))
        return factories[-1]

    yield serve
    for factory in factories:
        for client in tuple(factory.clients):
            client.abort()
        nothing_is_left(factory)
    clock.pump([100, 600, 600])  # until nothing of the past is left either
    assert [call for call in clock.getDelayedCalls() if call.active()] == []


def nothing_is_left(factory: OrchestraFactory) -> None:
    assert not factory.clients
    assert factory.countConnections == 0
    assert len(factory.admission._per_address) == 0
    assert not any(factory.hub.channels().values())
    assert not factory.backpressure._held


@pytest.fixture
def tokens(serve: Serve) -> OrchestraFactory:
    """A server that wants tokens; what expires goes by the library's time of day."""
    keys = SimpleNamespace(keys=(read_key(SECRET),))
    return serve(TokenPolicy(keys, cookie="session"), wall_clock=now)


def comes(factory: Any, url: str = "/", **headers: str) -> MemoryClient:
    """A client that has sent its handshake, and read what came in answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    client = MemoryClient(factory, url, headers=named)
    client.read()
    return client


def is_in(client: MemoryClient) -> bool:
    return client.ws.handshake_exc is None and client.server.state == client.server.STATE_OPEN


def refusal(client: MemoryClient) -> tuple[int, str]:
    client.read()
    response = client.refusal
    assert bytes(response.body or b"").decode() == response.reason_phrase + "\n"
    assert client.transport.disconnected
    return response.status_code, response.reason_phrase


def turn(clock: Clock) -> None:
    clock.advance(0)


def caps(*allow: str, channel: str = "strings") -> list[dict[str, Any]]:
    return [{"channels": [channel], "allow": list(allow)}]


# Tokens.


def test_a_token_lets_in(tokens: OrchestraFactory) -> None:
    """In a header, in the URL, or in a cookie; and whose it is can be seen."""
    good = token(sub="ann", info={"part": 1}, exp=now() + 60)
    clients = [
        comes(tokens, Authorization=f"Bearer {good}"),
        comes(tokens, f"/?token={good}"),
        comes(tokens, Cookie=f"a=b; session={good}"),
        comes(tokens, Cookie=f"session={good}", **FROM_A_PAGE),
    ]
    assert all(is_in(client) for client in clients)
    members = list(tokens.hub.presence("main"))
    assert [(member.identity, member.info) for member in members] == [("ann", {"part": 1})] * 4
    assert tokens.hub.presence("main").identities == 1


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "a token is needed"),
        ({"Authorization": "Bearer x"}, "the token is malformed"),
        ({"Authorization": "Bearer " + token(SECRET[::-1])}, "the token's signature is wrong"),
        ({"Authorization": "Bearer " + token(exp=1)}, "the token has expired"),
        ({"Authorization": "Bearer x", "Cookie": "session=" + token()}, "the token is malformed"),
        ({"X-API-Key": KEY}, "a token is needed"),
    ],
)
@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
def test_without_a_token_nobody_is_let_in(
    tokens: OrchestraFactory, log: list[LogEvent], headers: Any, reason: str, page: Any
) -> None:
    """401 comes before there is a WebSocket, says why, and what it takes."""
    client = comes(tokens, **headers, **page)
    assert refusal(client) == (401, reason)
    assert client.refusal.headers["WWW-Authenticate"] == "Bearer"
    (event,) = named(log, "refused")
    assert (event["status"], event["reason"]) == (401, reason)
    nothing_is_left(tokens)


def test_a_cookie_of_a_page_of_another_site(tokens: OrchestraFactory) -> None:
    """It is refused for what it is, before anybody looks at the cookie."""
    good = f"session={token()}"
    assert refusal(comes(tokens, Cookie=good, Origin="https://evil.example"))[0] == 403
    assert refusal(comes(tokens, Cookie=good, Sec_Fetch_Site="cross-site"))[0] == 401


def raw(factory: OrchestraFactory, url: str = "/", **headers: str) -> str:
    """The head of the answer to a handshake."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    client = MemoryClient(factory, url, headers=named)
    head, _, _ = client.transport.take().partition(b"\r\n\r\n")
    return head.decode()


def test_a_token_as_a_subprotocol(tokens: OrchestraFactory) -> None:
    """What is spoken then is what was asked for beside it, as browsers want it."""
    good = token()
    answer = raw(tokens, Sec_WebSocket_Protocol=f"bearer, {good}")
    assert answer.startswith("HTTP/1.1 101 ")
    assert "\r\nSec-WebSocket-Protocol: bearer\r\n" in answer + "\r\n"
    assert good not in answer
    answer = raw(tokens, Sec_WebSocket_Protocol="bearer, x")
    assert answer.startswith("HTTP/1.1 401 the token is malformed\r\n")
    answer = raw(tokens, Sec_WebSocket_Protocol="bearer")
    assert answer.startswith("HTTP/1.1 401 a token is needed\r\n")
    answer = raw(tokens, f"/?token={good}", Sec_WebSocket_Protocol="chat, bearer")
    assert answer.startswith("HTTP/1.1 101 ")
    assert "Sec-WebSocket-Protocol" not in answer


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/", {"Sec-WebSocket-Protocol": "bearer, {}, {}"}),
        ("/", {"Sec-WebSocket-Protocol": 'bearer, "{}", "{}"'}),
        ("/", {"Sec-WebSocket-Protocol": "bearer, {}"}),
        ("/", {"Authorization": "Bearer {}x"}),
        ("/", {"Cookie": "session={}x"}),
        ("/?token={}x", {}),
        ("/#?token={}", {}),
        ("//[?token={}", {}),
        ("/%00?token={}", {}),
        ("/?last=x&token={}", {}),
        ("/api?token={}", {}),
        ("/?token={}", {"Sec-WebSocket-Version": "12"}),
        ("/?token={}", {"Sec-WebSocket-Key": "x"}),
        ("/?token={}", {"Origin": "https://evil.example"}),
        ("/?token={}&since=a:1", {}),
        ("/?token={}", {"Content-Length": "5"}),
    ],
)
def test_no_token_is_repeated(
    tokens: OrchestraFactory, log: list[LogEvent], url: str, headers: dict[str, str]
) -> None:
    """Neither in the answer nor in the log, whatever is wrong with the request."""
    secret = token(sub="whoever-finds-it")
    uri = url.format(secret)
    head = {
        "Host": "localhost:8080",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    } | {name: value.format(secret, secret) for name, value in headers.items()}
    client = MemoryClient(tokens)
    client.vanish()
    server = tokens.buildProtocol(client.transport.getPeer())
    transport = type(client.transport)(server)
    server.makeConnection(transport)
    lines_ = [f"GET {uri} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    server.dataReceived("\r\n".join([*lines_, "", ""]).encode())
    answer = transport.take().decode()
    for part in secret.split("."):
        assert part not in answer
        assert part not in repr(log)
        assert part not in "\n".join(lines(log))
    transport.abortConnection()


# What a token allows.


@pytest.mark.parametrize(
    ("allow", "url", "reason"),
    [
        (("sub",), "/strings", None),
        (("sub",), "/strings?last=0", None),
        (("sub", "hst"), "/strings?last=5", None),
        (("pub", "hst", "prs"), "/strings", "listening is not allowed in this channel"),
        (("sub", "pub"), "/brass", "listening is not allowed in this channel"),
        (("sub", "pub"), "/strings?last=1", "asking for the past is not allowed in this channel"),
    ],
)
def test_what_a_token_allows(
    tokens: OrchestraFactory, allow: Sequence[str], url: str, reason: str | None
) -> None:
    """A client whose token is good, but not for that, is refused with 403."""
    client = comes(tokens, url, Authorization="Bearer " + token(caps=caps(*allow)))
    if reason is None:
        assert is_in(client)
    else:
        assert refusal(client) == (403, reason)
        assert "WWW-Authenticate" not in client.refusal.headers


def test_a_listener(tokens: OrchestraFactory, clock: Clock) -> None:
    """Whoever may only listen hears all, and is closed when it plays something."""
    player = comes(tokens, "/strings", Authorization="Bearer " + token())
    listener = comes(tokens, "/strings", Authorization="Bearer " + token(caps=caps("sub")))
    player.send("hello")
    turn(clock)
    assert listener.read() == player.read() == ["Echo: hello"]
    listener.send("me too")
    turn(clock)
    listener.read()
    assert listener.close_frame == (1008, "publishing is not allowed in this channel")
    assert player.read() == []


def test_what_is_set_for_a_channel_holds_as_well(serve: Serve) -> None:
    """A token is no way around that, nor is a key."""
    factory = serve(AskedPolicy(grant=only("sub", "pub")), api_keys=ApiKeys([KEY]))
    assert is_in(comes(factory, "/small"))
    for headers in ({}, WITH_KEY):
        assert refusal(comes(factory, "/small", **headers)) == (503, "the channel is full")


# Until when.


class WallClock:
    """A time of day that can be set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.offset = 1e9

    def __call__(self) -> float:
        return self._clock.seconds() + self.offset


@pytest.fixture
def wall_clock(clock: Clock) -> WallClock:
    return WallClock(clock)


EXPIRED = (1008, "the token has expired")


def expiring(serve: Serve, wall_clock: WallClock, seconds: float) -> OrchestraFactory:
    return serve(
        AskedPolicy(grant=Grant(expires=wall_clock() + seconds)),
        wall_clock=wall_clock,
        ping_interval=0,
    )


def test_a_token_that_expires(serve: Serve, clock: Clock, wall_clock: WallClock) -> None:
    """The client is closed at that moment, after all that was played before."""
    factory = expiring(serve, wall_clock, 1000.5)
    client, other = join(factory), join(factory)
    other.close()
    other.read()
    clock.advance(1000)
    assert client.read() == []
    assert client.close_frame is None
    client.send("hello")
    clock.advance(0.6)
    assert client.read() == ["Echo: hello"]
    assert client.close_frame == EXPIRED
    assert client.transport.disconnected


def test_the_leeway_is_the_clients(tokens: OrchestraFactory) -> None:
    """What is accepted a little late holds for as long."""
    until = now() + 2
    client = comes(tokens, Authorization="Bearer " + token(exp=until))
    assert client.server.grant.expires == until + LEEWAY == until + 5


def test_a_clock_that_is_set_forward(serve: Serve, clock: Clock, wall_clock: WallClock) -> None:
    """It is noticed after a while."""
    client = join(expiring(serve, wall_clock, 5000))
    clock.advance(100)
    wall_clock.offset += 10_000
    assert LOOK_AT_CLOCK == 600
    clock.advance(499)
    client.read()
    assert client.close_frame is None
    clock.advance(1)
    client.read()
    assert client.close_frame == EXPIRED


def test_a_clock_that_is_set_back(serve: Serve, clock: Clock, wall_clock: WallClock) -> None:
    """What has not expired by it holds on."""
    client = join(expiring(serve, wall_clock, 100))
    wall_clock.offset -= 1000
    for _ in range(11):
        clock.advance(99)
        client.read()
        assert client.close_frame is None
    clock.advance(11)
    client.read()
    assert client.close_frame == EXPIRED


def test_nothing_is_played_by_whom_has_expired(
    serve: Serve, clock: Clock, wall_clock: WallClock
) -> None:
    """Even if it cannot be told yet, because it does not read."""
    factory = expiring(serve, wall_clock, 10)
    client = join(factory)
    for _ in range(20):
        factory.broadcast(b"x" * 10_000)
        turn(clock)
    clock.advance(10)
    client.send("hello")
    turn(clock)
    assert len(client.read()) == 20
    assert client.close_frame == EXPIRED


@pytest.mark.parametrize("late", ["subscribe", "connect"])
def test_what_expires_before_it_is_let_in(
    serve: Serve, clock: Clock, wall_clock: WallClock, late: str
) -> None:
    """It takes a while to decide, and then it is too late."""
    policy = AskedPolicy(late, grant=Grant(expires=wall_clock() + 2))
    factory = serve(policy, wall_clock=wall_clock)
    client = comes(factory)
    clock.advance(2)
    policy.allow()
    assert refusal(client) == (401, "the token has expired")


def test_what_expires_as_it_is_let_in(serve: Serve, clock: Clock, wall_clock: WallClock) -> None:
    """Nothing comes after the close frame, and what is before it is whole."""
    factory = expiring(serve, wall_clock, 1)
    factory.broadcast(b"hello")
    turn(clock)
    register = factory.register

    def late(client: Any) -> None:
        wall_clock.offset += 2
        register(client)

    factory.register = late  # type: ignore[method-assign]
    client = comes(factory, "/?last=1")
    assert all(call.getTime() >= clock.seconds() for call in clock.getDelayedCalls())
    turn(clock)
    client.read()
    assert client.messages == ["Echo: hello"]
    assert client.close_frame == EXPIRED


# An application's own rules.


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
@pytest.mark.parametrize("late", [("connect",), ("subscribe",), ("connect", "subscribe")])
def test_who_may_come_in_is_decided_later(
    serve: Serve, clock: Clock, how: str, page: Any, late: Sequence[str]
) -> None:
    """The handshake is answered then, and the client is one like any other."""
    policy = AskedPolicy(*late, how=how, grant=Grant("ann", "info"))
    factory = serve(policy)
    factory.broadcast(b"before", channel="strings")
    turn(clock)
    client = comes(factory, "/strings?last=1", **page)
    for _ in late:
        assert not client.read()
        assert client.ws.state.name == "CONNECTING"
        assert not factory.clients
        policy.allow()
    assert client.read() == ["Echo: before"]
    client.send("hello")
    turn(clock)
    assert client.read() == ["Echo: hello"]
    ((_, asked),) = [question for question in policy.asked if question[0] == "connect"]
    assert (asked.method, asked.channel, asked.address) == ("GET", "strings", "127.0.0.1")
    assert asked.uri == "/strings?last=1"
    assert policy.questions("subscribe") == ["strings"]
    (member,) = factory.hub.presence("strings")
    assert member == Member(member.client, "ann", member.since, "info")
    assert client.server._decision is None, "it is kept no longer than it has to be"


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
@pytest.mark.parametrize("what", ["connect", "subscribe"])
def test_it_is_refused_later(serve: Serve, how: str, page: Any, what: str) -> None:
    """With the status and the reason that the application gives."""
    policy = AskedPolicy(what, how=how)
    policy.challenge = 'Basic realm="orchestra"'
    factory = serve(policy)
    client = comes(factory, **page)
    policy.refuse(RefusedError(401, "who are you?"))
    assert refusal(client) == (401, "who are you?")
    assert client.refusal.headers["WWW-Authenticate"] == 'Basic realm="orchestra"'
    nothing_is_left(factory)


@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
@pytest.mark.parametrize("what", ["connect", "subscribe"])
def test_it_is_refused_at_once(serve: Serve, page: Any, what: str) -> None:
    """A status of an application's own, and a reason that would be more than one line."""
    policy = AskedPolicy()
    policy.raises[what] = RefusedError(499, "no\r\nSet-Cookie: a=b\r\n\r\n")
    client = comes(serve(policy), **page)
    assert refusal(client) == (499, "no  Set-Cookie: a=b    ")
    assert "Set-Cookie" not in client.refusal.headers


@pytest.mark.parametrize("how", ["at once", *HOWS])
@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
@pytest.mark.parametrize("what", ["connect", "subscribe"])
def test_a_fault_lets_nobody_in(
    serve: Serve, log: list[LogEvent], how: str, page: Any, what: str
) -> None:
    """It is reported, and the client learns nothing but that there was one."""
    fault = KeyError("the password is 12345")
    policy = AskedPolicy(*([] if how == "at once" else [what]), how=how)
    if how == "at once":
        policy.raises[what] = fault
    client = comes(serve(policy), **page)
    if how != "at once":
        policy.refuse(fault)
    assert refusal(client) == (500, "internal server error")
    assert lines([event for event in log if "log_failure" in event]) == [
        "a connection could not be admitted"
    ]
    log.clear()


@pytest.mark.parametrize("grant", [None, "yes", True])
def test_an_answer_that_is_none(serve: Serve, log: list[LogEvent], grant: Any) -> None:
    """Nobody is let in by something that is no grant."""
    policy = AskedPolicy()
    policy.grant = grant
    assert refusal(comes(serve(policy))) == (500, "internal server error")
    log.clear()


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
@pytest.mark.parametrize("what", ["connect", "subscribe"])
def test_it_takes_too_long(serve: Serve, clock: Clock, how: str, page: Any, what: str) -> None:
    """The client is told before it is dropped for not having shaken hands."""
    policy = AskedPolicy(what, how=how)
    client = comes(serve(policy), **page)
    clock.advance(TIMEOUT - 0.1)
    assert not client.transport.buffer
    clock.advance(0.1)
    assert refusal(client) == (503, "whether that is allowed could not be decided in time")
    assert policy.cancelled == 1


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
@pytest.mark.parametrize("what", ["connect", "subscribe"])
def test_whoever_leaves_before_it_is_decided(
    serve: Serve, clock: Clock, how: str, page: Any, what: str
) -> None:
    """Nothing of it stays, and the policy need not go on."""
    policy = AskedPolicy(what, how=how)
    factory = serve(policy, max_connections_per_address=1)
    client = comes(factory, **page)
    client.vanish()
    assert policy.cancelled == 1
    nothing_is_left(factory)
    assert not [call for call in clock.getDelayedCalls() if call.getTime() < clock.seconds() + 4.5]


@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
def test_whoever_leaves_and_is_let_in_all_the_same(
    serve: Serve, log: list[LogEvent], page: Any
) -> None:
    """By a policy that cannot be stopped."""
    policy = AskedPolicy("connect")
    policy._cancel = lambda waiting: waiting.callback(Grant())  # type: ignore[method-assign]
    factory = serve(policy, max_connections_per_address=1)
    comes(factory, **page).vanish()
    nothing_is_left(factory)
    assert not named(log, "joined")


@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
def test_whoever_does_not_wait_for_the_answer(serve: Serve, page: Any) -> None:
    """It is refused, and what is decided then does not count any more."""
    policy = AskedPolicy("connect")
    factory = serve(policy, max_connections_per_address=1)
    client = comes(factory, **page)
    client.server.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
    policy.allow()
    assert refusal(client) == (400, "another request came before the answer to the first")
    nothing_is_left(factory)


@pytest.mark.parametrize("page", [{}, READ_BY_AUTOBAHN])
def test_what_is_sent_too_early_is_not_lost(serve: Serve, clock: Clock, page: Any) -> None:
    """Once the client is let in it is read."""
    policy = AskedPolicy("connect")
    factory = serve(policy)
    other = join_allowed(factory, policy)
    client = comes(factory, **page)
    client.server.dataReceived(b"\x81\x85\0\0\0\0hello")
    policy.allow()
    turn(clock)
    assert client.read() == other.read() == ["Echo: hello"]


def join_allowed(factory: OrchestraFactory, policy: AskedPolicy, url: str = "/") -> MemoryClient:
    client = comes(factory, url)
    policy.allow()
    client.read()
    assert is_in(client)
    return client


def test_the_server_shuts_down_before_it_is_decided(serve: Serve) -> None:
    """Nobody is let in any more."""
    policy = AskedPolicy("connect")
    factory = serve(policy)
    first, second = join_allowed(factory, policy), comes(factory)
    drained = factory.drain(10)
    first.read()
    assert drained.called
    policy.allow()
    assert refusal(second) == (503, "the server is shutting down")


@pytest.mark.parametrize(
    ("options", "url", "status", "reason"),
    [
        ({"max_connections": 1}, "/", 503, "the server is full"),
        ({"max_connections_per_address": 1}, "/", 429, None),
        ({}, "/small", 503, "the channel is full"),
    ],
)
def test_a_crowd_that_is_let_in_at_once_is_not_too_large(
    serve: Serve, options: Any, url: str, status: int, reason: str | None
) -> None:
    """The limits are looked at when it is decided, not only when they come."""
    policy = AskedPolicy("connect")
    factory = serve(policy, **options)
    clients = [comes(factory, url) for _ in range(3)]
    for _ in clients:
        policy.allow()
    first, *others = clients
    first.read()
    assert is_in(first)
    for client in others:
        assert refusal(client)[0] == status
        assert reason in (None, client.refusal.reason_phrase)


def test_what_is_for_streams_is_refused_later_too(serve: Serve) -> None:
    """Its place is given back."""
    policy = AskedPolicy("connect")
    factory = serve(policy, max_connections_per_address=1)
    client = comes(factory, "/?presence")
    policy.allow()
    assert refusal(client)[0] == 400
    nothing_is_left(factory)


# What clients play.


@pytest.mark.parametrize("how", HOWS)
def test_what_is_played_is_decided_later(serve: Serve, clock: Clock, how: str) -> None:
    """In its order; the others are not disturbed, and of this one nothing more is read."""
    policy = AskedPolicy("publish", how=how, grant=Grant("ann"))
    factory = serve(policy)
    one, two = join(factory, "/strings"), join(factory, "/strings")
    one.send("1", "2", b"3")
    turn(clock)
    assert not one.transport.reading
    assert two.transport.reading
    factory.broadcast(b"of the application", channel="strings")
    turn(clock)
    assert one.read() == two.read() == ["Echo: of the application"]
    assert policy.asked[-1] == ("publish", Grant("ann"), "strings", (b"1", False))
    for expected in (["Echo: 1"], ["Echo: 2"], [b"3"]):
        policy.allow()
        turn(clock)
        assert one.read() == two.read() == expected
    assert one.transport.reading
    assert policy.questions("publish") == [(b"1", False), (b"2", False), (b"3", True)]
    assert len(policy.asked) == 7  # with what it takes to come in


def test_two_who_play_do_not_wait_for_each_other(serve: Serve, clock: Clock) -> None:
    """What is decided first is played first."""
    policy = AskedPolicy("publish")
    factory = serve(policy)
    one, two = join(factory), join(factory)
    one.send("1")
    two.send("2")
    policy.waiting.reverse()
    for expected in ("Echo: 2", "Echo: 1"):
        policy.allow()
        turn(clock)
        assert one.read() == two.read() == [expected]


@pytest.mark.parametrize(
    ("error", "close"),
    [
        (RefusedError(403, "not that tune"), (1008, "not that tune")),
        (RefusedError(401, "who are you?"), (1008, "who are you?")),
        (RefusedError(503, "later"), (1013, "later")),
        (KeyError("the password"), (1011, "internal error")),
    ],
)
@pytest.mark.parametrize("is_late", [True, False])
def test_what_is_played_is_refused(
    serve: Serve, clock: Clock, log: list[LogEvent], error: Exception, close: Any, is_late: bool
) -> None:
    """What came before is played, the rest is not, and the client is closed with the reason."""
    policy = AskedPolicy("publish")
    factory = serve(policy)
    one, two = join(factory), join(factory)
    one.send("1", "2", "3")
    if is_late:
        policy.allow()
        policy.refuse(error)
    else:
        policy.raises["publish"] = error
        policy.allow()
    turn(clock)
    assert one.read() == two.read() == ["Echo: 1"]
    assert one.close_frame == close
    assert len(policy.asked) == 6  # of each what it takes to come in, and the first two messages
    faults = [event for event in log if "log_failure" in event]
    assert lines(faults) == (
        ["a message could not be decided on"] if isinstance(error, KeyError) else []
    )
    log.clear()


def test_deciding_on_a_message_takes_too_long(serve: Serve, clock: Clock) -> None:
    """The client may try again later."""
    policy = AskedPolicy("publish")
    factory = serve(policy, policy_timeout=1.5)
    client = join(factory)
    client.send("1", "2")
    clock.advance(1.5)
    client.read()
    assert client.close_frame == (
        1013,
        "whether that is allowed could not be decided in time",
    )
    assert client.messages == []
    assert policy.cancelled == 1


def test_a_close_behind_a_message_waits_for_it(serve: Serve, clock: Clock) -> None:
    """What a client sends is played before its close is answered."""
    policy = AskedPolicy("publish")
    factory = serve(policy)
    client, other = join(factory), join(factory)
    client.ws.send_text(b"last words")
    client.ws.send_close(1000)
    client.server.dataReceived(b"".join(client.ws.data_to_send()))
    turn(clock)
    client.read()
    assert client.close_frame is None
    policy.allow()
    turn(clock)
    turn(clock)
    assert client.read() == other.read() == ["Echo: last words"]
    assert client.close_frame == (1000, "")
    assert client.transport.disconnected


def test_of_what_came_at_once_little_is_taken(serve: Serve, clock: Clock) -> None:
    """The rest stays as it was sent, not inflated, until what was taken is decided."""
    policy = AskedPolicy("publish")
    factory = serve(policy)
    client = join(factory)
    client.send(*map(str, range(1000)))
    for _ in range(5):
        turn(clock)
    assert len(client.server.undecided._waiting) < BURST
    heard: list[Any] = []
    while policy.waiting:
        policy.allow()
        turn(clock)
        heard += client.read()
        assert len(client.server.undecided._waiting) < BURST
    assert heard == [f"Echo: {number}" for number in range(1000)]
    assert client.transport.reading


def test_whoever_leaves_with_something_undecided(
    serve: Serve, clock: Clock, log: list[LogEvent]
) -> None:
    """It is not played, the policy need not go on, and nothing is reported."""
    policy = AskedPolicy("publish")
    factory = serve(policy, max_connections_per_address=2)
    client, other = join(factory), join(factory)
    client.send("1", "2")
    client.vanish()
    assert policy.cancelled == 1
    assert not policy.waiting
    turn(clock)
    assert other.read() == []
    other.vanish()
    nothing_is_left(factory)
    assert not [call for call in clock.getDelayedCalls() if call.getTime() < clock.seconds() + 4.5]


def test_the_server_shuts_down_with_something_undecided(serve: Serve, clock: Clock) -> None:
    """The client is seen off all the same, once it is decided."""
    policy = AskedPolicy("publish")
    factory = serve(policy)
    client = join(factory)
    client.send("1")
    drained = factory.drain(10)
    client.ws.receive_data(client.transport.take())
    assert client.close_frame == (1001, "going away")
    policy.allow()
    client.deliver()
    client.read()
    assert drained.called
    assert client.transport.disconnected


def test_a_token_expires_with_something_undecided(
    serve: Serve, clock: Clock, wall_clock: WallClock
) -> None:
    """The client is closed at that moment, whatever is decided then."""
    policy = AskedPolicy("publish", grant=Grant(expires=wall_clock() + 1))
    factory = serve(policy, wall_clock=wall_clock)
    client = join(factory)
    client.send("1")
    clock.advance(1)
    client.ws.receive_data(client.transport.take())
    assert client.close_frame == EXPIRED
    policy.refuse(RefusedError(403, "no"))
    client.deliver()
    client.read()
    assert client.transport.disconnected


@pytest.mark.parametrize("order", ["decided first", "drained first"])
def test_two_reasons_to_wait(serve: Serve, clock: Clock, order: str) -> None:
    """Slow readers and a decision: the client waits for both."""
    policy = AskedPolicy("publish")
    factory = serve(policy, max_buffered=100_000)
    slow, player = join(factory, "/strings"), join(factory)
    for _ in range(20):
        factory.broadcast(b"x" * 10_000, channel="strings")
        turn(clock)
    factory.backpressure.filled(slow.server, 200_000)
    assert factory.backpressure.is_high
    player.send("1")
    assert not player.transport.reading
    assert player.server in factory.backpressure._held
    if order == "decided first":
        policy.allow()
        turn(clock)
        assert not player.transport.reading
        slow.read()
    else:
        slow.read()
        turn(clock)
        assert not factory.backpressure._held
        assert not player.transport.reading
        policy.allow()
    turn(clock)
    assert player.transport.reading
    assert player.read() == ["Echo: 1"]
    player.send("2")
    policy.allow()
    turn(clock)
    assert player.read() == ["Echo: 2"]


def test_too_many_messages_are_too_many_before_they_are_decided_on(
    serve: Serve, clock: Clock
) -> None:
    """Those within the rate are played, if they may be; the policy is not asked about others."""
    policy = AskedPolicy("publish")
    factory = serve(policy, max_message_rate=1, message_burst=2)
    client, other = join(factory), join(factory)
    client.send("1", "2", "3")
    policy.allow()
    policy.allow()
    turn(clock)
    client.read()
    assert client.close_frame == (1008, "too many messages")
    assert other.read() == ["Echo: 1", "Echo: 2"]
    assert len(policy.questions("publish")) == 2


@pytest.mark.parametrize("url", ["/", "/small"])
def test_a_listener_is_not_asked_about(serve: Serve, url: str) -> None:
    """The grant comes first, whatever is set for the channel."""
    policy = AskedPolicy("publish", grant=only("sub"))
    client = join(serve(policy), url)
    client.send("1")
    client.read()
    assert client.close_frame == (1008, "publishing is not allowed in this channel")
    assert policy.questions("publish") == []


# API keys.


def test_an_api_key_is_enough(serve: Serve, clock: Clock) -> None:
    """Whoever has one may do everything, and the policy is not asked."""
    policy = AskedPolicy("connect", "subscribe", "publish", grant=only())
    factory = serve(policy, api_keys=ApiKeys([KEY]))
    factory.broadcast(b"before")
    turn(clock)
    client = comes(factory, "/?last=1", **WITH_KEY)
    client.send("hello")
    turn(clock)
    client.read()
    assert client.messages == ["Echo: before", "Echo: hello"]
    assert policy.asked == []
    refused = comes(factory, **{"X-API-Key": KEY + "x"})
    assert refusal(refused) == (401, "the API key is not known")


def test_without_a_policy_listening_takes_no_key(serve: Serve, clock: Clock) -> None:
    """And neither does playing on a WebSocket, whose page may be anybody's."""
    client = join(serve(api_keys=ApiKeys([KEY])))
    client.send("hello")
    turn(clock)
    assert client.read() == ["Echo: hello"]


# Cookies.


@pytest.mark.parametrize(
    "origins", [["*"], ["null"], ["same", "null"], ["https://a.example", "*"]]
)
def test_cookies_are_not_for_the_pages_of_all_sites(clock: Clock, origins: list[str]) -> None:
    """Each of them could do what its visitor may."""
    policy = TokenPolicy(SimpleNamespace(keys=(read_key(SECRET),)), cookie="session")
    with pytest.raises(ValueError, match="a cookie cannot tell who somebody is where the pages"):
        OrchestraFactory(policy=policy, origins=origins, reactor=clock)
    without = TokenPolicy(SimpleNamespace(keys=(read_key(SECRET),)))
    OrchestraFactory(policy=without, origins=origins, reactor=clock)
    OrchestraFactory(policy=policy, origins=["same", "https://*.a.example"], reactor=clock)


def test_a_time_to_decide_in_is_not_negative(clock: Clock) -> None:
    """It is one of the factory's numbers."""
    with pytest.raises(ValueError, match="policy_timeout must be 0 or more, not -1"):
        OrchestraFactory(policy_timeout=-1, reactor=clock)
