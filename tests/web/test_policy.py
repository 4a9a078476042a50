"""HTTP and what decides who may do what: tokens, API keys, an application's own rules."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.web.resource import Resource
from twisted.web.server import Site

from orchestra.policy.access import TIMEOUT
from orchestra.policy.api_keys import ApiKeys
from orchestra.policy.grants import Grant
from orchestra.policy.token_keys import read_key
from orchestra.policy.tokens import TokenPolicy
from orchestra.refusal import RefusedError
from orchestra.web.resource import OrchestraResource
from orchestra.websocket.factory import OrchestraFactory
from tests.events import lines, named
from tests.memory import MemoryClient
from tests.outlets import Outlet, Payloads
from tests.policy.asked import HOWS, AskedPolicy, only
from tests.policy.keys import SECRET, now, token
from tests.web.client import UPGRADE, Answer, EventSource, WebClient, texts
from tests.web.conftest import Serve

pytestmark = pytest.mark.usefixtures("log")

KEY = "key-of-an-application"
STREAM = {"Accept": "text/event-stream"}
PLAIN = {"Content_Type": "text/plain"}


@pytest.fixture
def tokens(serve: Serve) -> OrchestraFactory:
    """A server that wants tokens."""
    keys = SimpleNamespace(keys=(read_key(SECRET),))
    policy = TokenPolicy(keys, cookie="session")
    origins = ["same", "https://friend.example"]
    return serve({"wall_clock": now}, policy=policy, origins=origins)


def asked(serve: Serve, *late: str, how: str = "deferred", **options: Any) -> Any:
    """A server whose policy the test answers for, and that policy."""
    policy = AskedPolicy(*late, how=how, grant=options.pop("grant", None))
    return serve(policy=policy, **options), policy


def bearer(**claims: Any) -> dict[str, str]:
    return {"Authorization": "Bearer " + token(**claims)}


def caps(*allow: str, channel: str = "strings") -> list[dict[str, Any]]:
    return [{"channels": [channel], "allow": list(allow)}]


def said(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.text.rstrip("\n")


ROUTES: list[tuple[str, str, dict[str, str], bytes]] = [
    ("GET", "/strings", STREAM, b""),
    ("HEAD", "/strings", STREAM, b""),
    ("GET", "/strings?presence", {}, b""),
    ("GET", "/strings?presence=count", {}, b""),
    ("HEAD", "/strings?presence", {}, b""),
    ("GET", "/strings?presence", STREAM, b""),
    ("GET", "/strings", {}, b""),
    ("POST", "/strings", PLAIN, b"hello"),
]


# Tokens.


@pytest.mark.parametrize(("method", "url", "headers", "body"), ROUTES)
def test_without_a_token_nothing_is_served(
    tokens: OrchestraFactory, log: list[LogEvent], method: str, url: str, headers: Any, body: bytes
) -> None:
    """Whatever it is that is asked for, 401 says what it takes."""
    answer = WebClient(tokens).do(method, url, body, **headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    if method != "HEAD":
        assert answer.text == "a token is needed\n"
    assert named(log, "refused")[0]["reason"] == "a token is needed"
    assert not tokens.hub.history("strings")
    bad = {"Authorization": "Bearer " + token(SECRET[::-1])}
    assert WebClient(tokens).do(method, url, body, **headers, **bad).status == 401


def test_a_token_lets_in(tokens: OrchestraFactory, clock: Clock) -> None:
    """In a header, in the URL, or in a cookie; and whose it is can be seen."""
    good = token(sub="ann", info={"part": 1}, exp=now() + 60)
    streams = [
        EventSource(tokens, "/strings", Authorization=f"Bearer {good}"),
        EventSource(tokens, f"/strings?token={good}"),
        EventSource(tokens, "/strings", Cookie=f"a=b; session={good}"),
    ]
    client = WebClient(tokens)
    assert client.post("/strings", "hello", Authorization=f"Bearer {good}").status == 200
    clock.advance(0)
    assert [texts(stream.hear()) for stream in streams] == [["hello"]] * 3
    members = client.get("/strings?presence", Cookie=f"session={good}").json
    assert (members["clients"], members["identities"]) == (3, 1)
    for member in members["members"]:
        assert (member["identity"], member["info"]) == ("ann", {"part": 1})


@pytest.mark.parametrize("url", ["/", "/healthz", "/readyz"])
def test_the_servers_own_takes_no_token(tokens: OrchestraFactory, url: str) -> None:
    """What a load balancer and a browser look at is for everybody."""
    assert WebClient(tokens).get(url, Accept="text/html").status == 200


def test_a_page_may_ask_what_it_may_ask(tokens: OrchestraFactory) -> None:
    """The question comes without a token, which is what it asks about (Fetch, CORS-preflight)."""
    client = WebClient(tokens)
    answer = client.do("OPTIONS", "/strings", Origin="https://friend.example")
    assert answer.status == 204
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "X-API-Key" not in answer.headers["access-control-allow-headers"]
    answer = client.do("OPTIONS", "/strings", Origin="https://evil.example")
    assert answer.status == 403
    assert "access-control-allow-credentials" not in answer.headers


def test_cookies_are_for_allowed_pages(tokens: OrchestraFactory, serve: Serve) -> None:
    """They may send them and read the answers, where cookies count, and no other page may."""
    good = {"Cookie": "session=" + token()}
    friend = {"Origin": "https://friend.example"}
    answers = [
        WebClient(tokens).get("/strings?presence", **good, **friend),
        WebClient(tokens).post("/strings", "a", **good, **friend),
        EventSource(tokens, "/strings", **good, **friend).answer,
        WebClient(tokens).get("/strings?presence", **friend),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200, 401]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"
    evil = WebClient(tokens).post("/strings", "a", **good, Origin="https://evil.example")
    assert evil.status == 403
    assert "access-control-allow-origin" not in evil.headers
    without = serve(policy=AskedPolicy(), origins=["https://friend.example"])
    answer = WebClient(without).get("/strings?presence", **good, **friend)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(("method", "url", "headers", "body"), ROUTES)
def test_what_an_image_of_another_site_asks_for(
    tokens: OrchestraFactory, method: str, url: str, headers: Any, body: bytes
) -> None:
    """It has no origin, and the cookie that goes with it counts for nothing."""
    good = {"Cookie": "session=" + token(), "Sec_Fetch_Site": "cross-site"}
    assert WebClient(tokens).do(method, url, body, **headers, **good).status == 401


# What a token allows.


@pytest.mark.parametrize(
    ("allow", "method", "url", "headers", "reason"),
    [
        (("sub",), "GET", "/strings", STREAM, None),
        (("sub",), "HEAD", "/strings", STREAM, None),
        (("sub", "prs"), "GET", "/strings?presence", STREAM, None),
        (("sub", "hst"), "GET", "/strings?last=1", STREAM, None),
        (("sub", "hst"), "GET", "/strings?since=a:1", STREAM, None),
        (("prs",), "GET", "/strings?presence", {}, None),
        (("prs",), "GET", "/strings?presence=count", {}, None),
        (("pub",), "POST", "/strings", PLAIN, None),
        (("pub", "prs", "hst"), "GET", "/strings", STREAM, "listening"),
        (("pub", "prs", "hst"), "HEAD", "/strings", STREAM, "listening"),
        (("sub", "pub", "hst"), "GET", "/strings?presence", {}, "asking who is there"),
        (("sub", "pub", "hst"), "GET", "/strings?presence=count", {}, "asking who is there"),
        (("sub", "pub", "hst"), "GET", "/strings?presence", STREAM, "asking who is there"),
        (("prs", "pub", "hst"), "GET", "/strings?presence", STREAM, "listening"),
        (("sub", "pub", "prs"), "GET", "/strings?last=1", STREAM, "asking for the past"),
        (("sub", "pub", "prs"), "GET", "/strings?since=a:1", STREAM, "asking for the past"),
        (("sub", "prs", "hst"), "POST", "/strings", PLAIN, "publishing"),
        (("sub", "pub", "prs", "hst"), "GET", "/brass", STREAM, "listening"),
        (("sub", "pub", "prs", "hst"), "POST", "/brass", PLAIN, "publishing"),
        (("sub", "pub", "prs", "hst"), "GET", "/brass?presence", {}, "asking who is there"),
    ],
)
def test_what_a_token_allows(
    tokens: OrchestraFactory,
    allow: Sequence[str],
    method: str,
    url: str,
    headers: Any,
    reason: str | None,
) -> None:
    """Who it is, is known, so that what is not allowed is refused with 403."""
    body = b"hello" if method == "POST" else b""
    answer = WebClient(tokens).do(method, url, body, **headers, **bearer(caps=caps(*allow)))
    if reason is None:
        assert answer.status == 200
        return
    assert answer.status == 403
    if method != "HEAD":
        assert answer.text == f"{reason} is not allowed in this channel\n"
    assert "www-authenticate" not in answer.headers
    assert not tokens.hub.history("strings")


def test_whoever_comes_back_without_a_right_to_the_past(
    tokens: OrchestraFactory, clock: Clock
) -> None:
    """A browser does so by itself, so it is let in, and begins with what is new."""
    tokens.broadcast(b"before", channel="strings")
    clock.advance(0)
    first = EventSource(tokens, "/strings?last=1", **bearer())
    (event,) = first.before
    assert event.data == "before"
    place = event.last_event_id.rpartition(":")[0] + ":0"
    allowed = EventSource(tokens, "/strings", **bearer(), Last_Event_ID=place)
    assert texts(allowed.before) == ["before"]
    late = EventSource(tokens, "/strings", **bearer(caps=caps("sub")), Last_Event_ID=place)
    assert late.answer.status == 200
    assert late.before == []
    tokens.broadcast(b"after", channel="strings")
    clock.advance(0)
    assert texts(late.hear()) == ["after"]


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/strings?token={}x", {}),
        ("/strings?token={}x", STREAM),
        ("/strings?token={}&last=x", {}),
        ("/%00?token={}", {}),
        ("/api?token={}", {}),
        ("/strings?token={}", {"Authorization": "Bearer {}x"}),
        ("http://[/?token={}", {}),
    ],
)
def test_no_token_is_repeated(
    tokens: OrchestraFactory, log: list[LogEvent], url: str, headers: dict[str, str]
) -> None:
    """Neither in the answer nor in the log, whatever is wrong with the request."""
    secret = token(sub="whoever-finds-it")
    client = WebClient(tokens)
    named_ = {name: value.format(secret) for name, value in headers.items()}
    client.ask("GET", url.format(secret), **named_)
    answer = client.transport.take().decode()
    assert answer.startswith("HTTP/1.1 4")
    for part in secret.split("."):
        assert part not in answer
        assert part not in repr(log)
        assert part not in "\n".join(lines(log))


# Until when.


def test_a_stream_that_expires(serve: Serve, clock: Clock) -> None:
    """It ends with what was played before, and says why in a comment."""
    factory = serve(
        {"wall_clock": clock.seconds},
        policy=AskedPolicy(grant=Grant(expires=clock.seconds() + 30)),
    )
    stream = EventSource(factory, "/strings?presence")
    clock.advance(29.9)
    stream.hear()
    assert not stream.is_gone
    factory.broadcast(b"last words", channel="strings")
    clock.advance(0.2)
    assert [event.data for event in stream.hear()] == ["last words"]
    assert stream.reader.comments[-1] == "the token has expired"
    assert stream.is_gone
    assert not factory.hub.presence("strings")


def test_a_stream_that_expires_as_it_begins(serve: Serve, clock: Clock) -> None:
    """It is a whole answer all the same."""
    time = [1e9]
    policy = AskedPolicy(grant=Grant(expires=1e9 + 1))
    factory = serve({"wall_clock": lambda: time[0]}, policy=policy)
    register = factory.register

    def late(client: Any) -> None:
        time[0] += 1
        register(client)

    factory.register = late  # type: ignore[method-assign]
    stream = EventSource(factory, "/strings")
    assert stream.answer.status == 200
    stream.hear()
    clock.advance(0)
    stream.hear()
    assert stream.reader.comments[-1] == "the token has expired"
    assert stream.is_gone
    again = WebClient(factory).get("/strings", **STREAM)
    assert said(again) == (401, "the token has expired")


# An application's own rules.


@pytest.mark.parametrize("how", HOWS)
def test_a_post_is_decided_on_later(serve: Serve, clock: Clock, how: str) -> None:
    """Who it is first, and then the message; then it is played and answered."""
    factory, policy = asked(serve, "connect", "publish", how=how, grant=Grant("ann"))
    client = WebClient(factory)
    client.ask("POST", "/strings?a=b", b"hello", **PLAIN, Idempotency_Key="k")
    assert client.read() == []
    policy.allow()
    assert client.read() == []
    assert not factory.hub.history("strings")
    policy.allow()
    (answer,) = client.read()
    assert answer.json["offset"] == 1
    assert answer.headers["content-length"] == str(len(answer.body))
    (message,) = factory.hub.history("strings")
    assert message.payload == b"hello"
    (_, request), (_, grant, channel, content) = policy.asked
    assert (request.method, request.channel, request.uri) == ("POST", "strings", "/strings?a=b")
    assert request.headers["content-type"] == "text/plain"
    assert (grant, channel, content) == (Grant("ann"), "strings", (b"hello", False))
    clock.advance(1)
    client.ask("POST", "/strings", b"hello", **PLAIN, Idempotency_Key="k")
    policy.allow()
    policy.allow()
    (again,) = client.read()
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("method", "url", "headers", "body"), ROUTES)
def test_all_requests_may_be_decided_on_later(
    serve: Serve, clock: Clock, how: str, method: str, url: str, headers: Any, body: bytes
) -> None:
    """What comes then is what would have come at once."""

    def answered(*late: str) -> Answer:
        factory, policy = asked(serve, *late, how=how)
        client = WebClient(factory)
        client.ask(method, url, body, **headers)
        while policy.waiting:
            assert client.read() == []
            policy.allow()
        (answer,) = client.read()
        others = client.rest
        client.vanish()
        assert bool(others) == (answer.status == 200 and method == "GET" and headers == STREAM)
        return answer

    at_once, later = answered(), answered("connect", "subscribe", "publish")
    assert later.status == at_once.status
    different = {"date", "content-length", "transfer-encoding"}
    assert {k: v for k, v in later.headers.items() if k not in different} == {
        k: v for k, v in at_once.headers.items() if k not in different
    }
    assert later.headers.get("content-length") == at_once.headers.get("content-length")


@pytest.mark.parametrize("how", HOWS)
def test_a_stream_is_decided_on_later(serve: Serve, clock: Clock, how: str) -> None:
    """It is a stream like any other then, and its place is that of the connection."""
    factory, policy = asked(
        serve, "connect", "subscribe", how=how, grant=Grant("ann"), max_connections_per_address=1
    )
    client = WebClient(factory)
    client.ask("GET", "/strings?presence", **STREAM, Origin="http://localhost:8080")
    policy.allow()
    assert client.read() == []
    assert not factory.clients
    policy.allow()
    (answer,) = client.read()
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:8080"
    factory.broadcast(b"hello", channel="strings")
    clock.advance(0)
    assert b"data: hello\n" in client.transport.take()
    (member,) = factory.hub.presence("strings")
    assert member.identity == "ann"
    assert len(factory.admission._per_address) == 1
    client.vanish()
    assert len(factory.admission._per_address) == 0


def test_the_next_request_waits_for_the_answer_to_the_first(serve: Serve, clock: Clock) -> None:
    """Answers come in the order of the requests (RFC 9112 section 9.3.2)."""
    factory, policy = asked(serve, "publish")
    client = WebClient(factory)
    client.ask("POST", "/strings", b"1", **PLAIN)
    client.ask("POST", "/strings", b"2", **PLAIN)
    clock.advance(0)
    assert policy.questions("publish") == [(b"1", False)]
    policy.allow()
    clock.advance(0)
    assert [answer.json["offset"] for answer in client.read()] == [1]
    policy.allow()
    assert [answer.json["offset"] for answer in client.read()] == [2]


def test_others_do_not_wait(serve: Serve, clock: Clock) -> None:
    """While one is decided on, all others are served."""
    factory, policy = asked(serve, "publish")
    one, two = WebClient(factory), WebClient(factory)
    stream = EventSource(factory, "/strings")
    one.ask("POST", "/strings", b"1", **PLAIN)
    two.ask("POST", "/strings", b"2", **PLAIN)
    assert two.read() == []
    policy.waiting.reverse()
    policy.allow()
    clock.advance(0)
    assert two.read()[0].json["offset"] == 1
    assert texts(stream.hear()) == ["2"]
    policy.allow()
    assert one.read()[0].json["offset"] == 2


@pytest.mark.parametrize("how", ["at once", *HOWS])
@pytest.mark.parametrize(
    ("what", "method", "headers"),
    [
        ("connect", "GET", STREAM),
        ("connect", "POST", PLAIN),
        ("subscribe", "GET", STREAM),
        ("publish", "POST", PLAIN),
    ],
)
@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (RefusedError(401, "who are you?"), 401, "who are you?"),
        (RefusedError(403, "not you"), 403, "not you"),
        (RefusedError(499, "no\r\nSet-Cookie: a=b"), 499, "no  Set-Cookie: a=b"),
        (KeyError("the password is 12345"), 500, "internal server error"),
    ],
)
def test_it_is_refused(
    serve: Serve,
    log: list[LogEvent],
    how: str,
    what: str,
    method: str,
    headers: Any,
    error: Exception,
    status: int,
    reason: str,
) -> None:
    """With what the application says; of a fault nobody learns but the operator."""
    factory, policy = asked(serve, *([] if how == "at once" else [what]), how=how)
    policy.challenge = factory.access.challenge = 'Basic realm="orchestra"'
    if how == "at once":
        policy.raises[what] = error
    client = WebClient(factory)
    client.ask(method, "/strings", b"hello" if method == "POST" else b"", **headers)
    if how != "at once":
        policy.refuse(error)
    (answer,) = client.read()
    assert said(answer) == (status, reason)
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-length"] == str(len(answer.body))
    challenge = answer.headers.get("www-authenticate")
    assert challenge == ('Basic realm="orchestra"' if status == 401 else None)
    (event,) = named(log, "refused")
    assert (event["status"], event["reason"]) == (status, reason)
    faults = [event for event in log if "log_failure" in event]
    assert lines(faults) == (["a request could not be served"] if status == 500 else [])
    log.clear()
    assert client.get("/healthz").status == 200, "the connection goes on"


@pytest.mark.parametrize("how", ["at once", *HOWS])
def test_a_policy_that_gives_up_by_itself(serve: Serve, log: list[LogEvent], how: str) -> None:
    """That is a fault like any other: the request is answered, and nothing of it is told."""

    factory, policy = asked(serve, *([] if how == "at once" else ["connect"]), how=how)
    client = WebClient(factory)
    if how == "at once":
        policy.raises["connect"] = CancelledError()
    client.ask("GET", "/strings?token=secret", **STREAM)
    if how != "at once":
        policy.refuse(CancelledError())
    (answer,) = client.read()
    assert said(answer) == (500, "internal server error")
    log.clear()


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("what", ["connect", "publish"])
def test_it_takes_too_long(serve: Serve, clock: Clock, how: str, what: str) -> None:
    """503 says when to try again."""
    factory, policy = asked(serve, what, how=how)
    client = WebClient(factory)
    client.ask("POST", "/strings", b"hello", **PLAIN)
    clock.advance(TIMEOUT - 0.1)
    assert client.read() == []
    clock.advance(0.1)
    (answer,) = client.read()
    assert said(answer) == (503, "whether that is allowed could not be decided in time")
    assert 1 <= int(answer.headers["retry-after"]) <= 3
    assert policy.cancelled == 1
    assert not factory.hub.history("strings")


UNDECIDED = [
    ("connect", "POST", "/strings", PLAIN),
    ("publish", "POST", "/strings", PLAIN),
    ("connect", "GET", "/strings", STREAM),
    ("subscribe", "GET", "/strings?presence", STREAM),
    ("connect", "GET", "/strings?presence", {}),
    ("connect", "HEAD", "/strings", STREAM),
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("what", "method", "url", "headers"), UNDECIDED)
def test_whoever_leaves_before_it_is_decided(
    serve: Serve,
    clock: Clock,
    log: list[LogEvent],
    how: str,
    what: str,
    method: str,
    url: str,
    headers: Any,
) -> None:
    """Nothing of it stays, nothing is played, and the policy need not go on."""
    factory, policy = asked(serve, what, how=how, max_connections_per_address=1)
    client = WebClient(factory)
    client.ask(method, url, b"hello" if method == "POST" else b"", **headers)
    assert len(policy.waiting) == 1
    client.vanish()
    assert policy.cancelled == 1
    nothing_is_left(factory, clock)
    assert named(log, "refused") == named(log, "joined") == []


def nothing_is_left(factory: OrchestraFactory, clock: Clock) -> None:
    assert not factory.clients
    assert not factory.site.channels
    assert factory.countConnections == 0
    assert len(factory.admission._per_address) == 0
    assert not factory.hub.history("strings")
    soon = clock.seconds() + TIMEOUT + 0.5
    assert not [c for c in clock.getDelayedCalls() if c.getTime() < soon and "timeIt" in str(c)]


@pytest.mark.parametrize(("what", "method", "url", "headers"), UNDECIDED)
def test_whoever_leaves_and_may_all_the_same(
    serve: Serve, clock: Clock, what: str, method: str, url: str, headers: Any
) -> None:
    """By a policy that cannot be stopped: there is nobody to be served any more."""
    factory, policy = asked(serve, what, max_connections_per_address=1)
    policy._cancel = lambda waiting: waiting.callback(Grant())
    client = WebClient(factory)
    client.ask(method, url, b"hello" if method == "POST" else b"", **headers)
    client.vanish()
    nothing_is_left(factory, clock)


@pytest.mark.parametrize(("what", "method", "url", "headers"), UNDECIDED[:4])
def test_the_server_shuts_down_before_it_is_decided(
    serve: Serve, what: str, method: str, url: str, headers: Any
) -> None:
    """Nobody is let in any more, and nothing is taken that nobody would hear."""
    factory, policy = asked(serve, what)
    client = WebClient(factory)
    client.ask(method, url, b"hello" if method == "POST" else b"", **headers)
    assert factory.drain(10).called
    policy.allow()
    (answer,) = client.read()
    assert said(answer) == (503, "the server is shutting down")
    assert answer.headers["connection"] == "close"
    assert client.is_gone
    assert not factory.hub.history("strings")


def test_a_crowd_that_is_let_in_at_once_is_not_too_large(serve: Serve) -> None:
    """The limit is looked at when it is decided, not only when they come."""
    factory, policy = asked(serve, "subscribe", max_connections=1)
    clients = [WebClient(factory) for _ in range(3)]
    for client in clients:
        client.ask("GET", "/strings", **STREAM)
    for _ in clients:
        policy.allow()
    statuses = [client.read()[0].status for client in clients]
    assert statuses == [200, 503, 503]


def test_what_a_message_must_be_is_looked_at_first(serve: Serve) -> None:
    """A policy is not asked about what would be no message."""
    factory, policy = asked(serve, "publish")
    client = WebClient(factory)
    assert client.do("POST", "/strings", b"\xff", **PLAIN).status == 400
    assert client.do("POST", "/strings", b"a=b", Content_Type="multipart/form-data").status == 415
    assert policy.questions("publish") == []


def test_a_websocket_over_http_is_decided_on_later(serve: Serve, clock: Clock) -> None:
    """One that comes on a connection that a proxy has kept keeps the place of that connection."""
    for leaves in (False, True):
        factory, policy = asked(serve, "connect", max_connections_per_address=1)
        client = WebClient(factory)
        client.ask("GET", "/nothing/here")
        policy.allow()
        client.read()
        client.ask("GET", "/strings", **UPGRADE)
        assert len(factory.admission._per_address) == 1
        if leaves:
            client.vanish()
            assert policy.cancelled == 1
        else:
            policy.allow()
            assert client.read()[0].status == 101
            assert len(factory.clients) == 1
            client.vanish()
        nothing_is_left(factory, clock)


def test_it_is_the_same_where_it_is_mounted(serve: Serve, clock: Clock) -> None:
    """In somebody else's site: decided later, refused, left, and taken over."""
    factory, policy = asked(serve, "connect", "subscribe", "publish")
    root = Resource()
    root.putChild(b"live", OrchestraResource(factory))
    site = Site(root, reactor=clock)
    client = WebClient(site)
    client.ask("POST", "/live/strings", b"hello", **PLAIN)
    policy.allow()
    policy.allow()
    assert client.read()[0].json["offset"] == 1
    client.ask("POST", "/live/strings", b"hello", **PLAIN)
    policy.refuse(RefusedError(403, "not you"))
    assert said(client.read()[0]) == (403, "not you")
    client.ask("GET", "/live/strings", **STREAM)
    policy.allow()
    policy.allow()
    assert client.read()[0].status == 200
    (stream,) = factory.clients
    client.vanish()
    assert stream.is_gone
    leaving = WebClient(site)
    leaving.ask("POST", "/live/strings", b"hello", **PLAIN)
    policy.allow()
    leaving.vanish()
    assert policy.cancelled == 1
    assert len(factory.hub.history("strings")) == 1
    socket = MemoryClient(site, "/live/strings")
    policy.allow()
    policy.allow()
    socket.read()
    assert len(factory.clients) == 1
    assert policy.asked[0][1].uri == "/strings"
    socket.vanish()


# API keys.


def test_an_api_key_is_enough(serve: Serve, clock: Clock) -> None:
    """Whoever has one may do everything, and the policy is not asked."""
    factory, policy = asked(
        serve, "connect", "subscribe", "publish", grant=only(), api_keys=keys()
    )
    client = WebClient(factory)
    assert client.post("/strings", "hello", X_API_Key=KEY).json["offset"] == 1
    assert client.get("/strings?presence", X_API_Key=KEY).json["clients"] == 0
    stream = EventSource(factory, "/strings?presence&last=1", X_API_Key=KEY)
    assert texts(stream.before) == ["hello"]
    assert policy.asked == []
    assert said(client.post("/strings", "a", X_API_Key="x")) == (401, "the API key is not known")
    stream.vanish()


def keys() -> ApiKeys:
    return ApiKeys([KEY])


def test_without_a_policy_a_key_is_for_posting(serve: Serve, log: list[LogEvent]) -> None:
    """Listening, and asking who is there, takes none."""
    factory = serve(api_keys=keys())
    client = WebClient(factory)
    answer = client.post("/strings", "hello", Authorization=f"Bearer {KEY}")
    assert said(answer) == (401, "an API key is needed, in the header X-API-Key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert client.post("/strings", "hello", X_API_Key=KEY).status == 200
    assert client.get("/strings?presence").json["clients"] == 0
    assert EventSource(factory, "/strings").answer.status == 200
    assert said(client.get("/strings?presence", X_API_Key=KEY[1:]))[0] == 401
    assert KEY not in repr(log)


def test_what_a_request_is_known_by_is_not_shown(serve: Serve) -> None:
    """Whatever is looked at while searching for a fault."""
    found: list[Any] = []

    class Policy(AskedPolicy):
        def connect(self, request: Any) -> Grant:
            found.append(repr(request))
            return Grant()

    WebClient(serve(policy=Policy())).get("/strings?token=secret", X_API_Key="secret", **STREAM)
    assert found == ["AccessRequest(method='GET', channel='strings', address='127.0.0.1')"]


@pytest.mark.parametrize(("method", "url", "headers", "body"), ROUTES)
def test_what_has_expired_allows_nothing(
    serve: Serve, clock: Clock, method: str, url: str, headers: Any, body: bytes
) -> None:
    """Whatever a policy says, and whatever is asked for."""
    factory, _ = asked(
        serve, hub={"wall_clock": clock.seconds}, grant=Grant("ann", expires=clock.seconds())
    )
    answer = WebClient(factory).do(method, url, body, **headers)
    assert answer.status == 401
    assert method == "HEAD" or answer.text == "the token has expired\n"
    assert not factory.hub.history("strings")


def test_it_expires_while_a_message_is_decided_on(serve: Serve, clock: Clock) -> None:
    """What counts is the moment in which it would be played."""
    grant = Grant("ann", expires=clock.seconds() + 1)
    factory, policy = asked(serve, "publish", hub={"wall_clock": clock.seconds}, grant=grant)
    client = WebClient(factory)
    client.ask("POST", "/strings", b"hello", **PLAIN)
    clock.advance(1)
    policy.waiting[0].callback(None)
    (answer,) = client.read()
    assert said(answer) == (401, "the token has expired")
    assert not factory.hub.history("strings")


def test_a_slow_stream_is_told_of_nobody_once_it_has_expired(serve: Serve, clock: Clock) -> None:
    """It gets the messages from before that when it reads, and not who came after it."""
    grant = Grant("ann", expires=clock.seconds() + 1)
    factory, _ = asked(serve, hub={"wall_clock": clock.seconds}, grant=grant, close_timeout=0)
    stream = EventSource(factory, "/strings?presence")
    stream.hear()
    factory.hub.publish("strings", b"x" * 200_000)
    clock.advance(0)
    clock.advance(1)
    member = factory.hub.member("2", "bob")
    late = factory.hub.attach("strings", Outlet(), Payloads(), member=member)
    clock.advance(0)
    heard = stream.hear()
    assert texts(heard) == ["x" * 200_000]
    assert stream.reader.comments == ["the token has expired"]
    factory.hub.unsubscribe(late)
