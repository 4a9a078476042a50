"""Sessions on streams in memory: what SDKs do where no WebSocket comes through."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site

from orchestra.connection.close_codes import GOING_AWAY
from orchestra.dialects.centrifuge import protobuf
from orchestra.history import Retention
from orchestra.observe.activity import ConnectionKind
from orchestra.policy.access import AccessRequest, Policy
from orchestra.policy.grants import Grant, ServerSubscription
from orchestra.refusal import RefusedError
from orchestra.settings import SKIP, ChannelSettings
from orchestra.web.resource import OrchestraResource
from orchestra.web.session_stream import MAX_WAITING
from orchestra.websocket.factory import OrchestraFactory
from tests.memory import join
from tests.web.client import WebClient, request
from tests.web.conftest import Serve
from tests.web.session_client import (
    EMULATED,
    EMULATION,
    HTTP_STREAM,
    SSE,
    UNI_SSE,
    StreamClient,
    begun,
    commands,
    emulation,
)

URLS = (*EMULATED, UNI_SSE)
CONNECT = {"id": 1, "connect": {}}
SUBSCRIBE = {"id": 2, "subscribe": {"channel": "strings"}}
KINDS = {
    HTTP_STREAM: ConnectionKind.HTTP_STREAM,
    SSE: ConnectionKind.SSE,
    UNI_SSE: ConnectionKind.UNI_SSE,
}


class Subscribing(Policy):
    """Has everybody hear a channel who comes."""

    def __init__(self, **options: Any) -> None:
        self.subscription = ServerSubscription("strings", **options)
        self.requests: list[AccessRequest] = []

    def connect(self, request: AccessRequest) -> Any:
        self.requests.append(request)
        return Grant(identity="alice", subscriptions=(self.subscription,))


class Slow(Policy):
    """Decides when it is told to."""

    def __init__(self) -> None:
        self.decisions: list[Deferred[Grant]] = []

    def connect(self, request: AccessRequest) -> Any:
        self.decisions.append(Deferred())
        return self.decisions[-1]


class Refusing(Policy):
    """Refuses everybody."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def connect(self, request: AccessRequest) -> Any:
        raise self.error


def publish(number: int, text: str) -> dict[str, Any]:
    return {"id": number, "publish": {"channel": "strings", "data": text}}


def data_of(pushes: list[dict[str, Any]]) -> list[Any]:
    """What was published, of pushes that may be others as well."""
    return [push["pub"]["data"] for push in pushes if "pub" in push]


# What a stream is.


@pytest.mark.parametrize("url", URLS)
def test_a_stream_is_answered_like_one(factory: OrchestraFactory, url: str) -> None:
    """Nothing on the way keeps it or waits for more of it, and it is counted by its kind."""
    client = StreamClient(factory, url)
    head = client.head.lower()
    assert head.startswith("http/1.1 200 ok\r\n")
    assert (
        "content-type: " + {HTTP_STREAM: "application/x-ndjson"}.get(url, "text/event-stream")
        in head
    )
    assert "cache-control: no-store" in head
    assert "x-accel-buffering: no" in head
    assert "connection: close" in head
    assert "content-length" not in head
    assert factory.activity.open == {KINDS[url]: 1}
    client.vanish()
    assert factory.activity.open == {KINDS[url]: 0}
    assert factory.emulated == {}


@pytest.mark.parametrize(("url", "method"), [(HTTP_STREAM, "POST"), (SSE, "GET"), (SSE, "POST")])
def test_a_client_connects_with_the_first_commands(
    factory: OrchestraFactory, url: str, method: str
) -> None:
    """It learns by which name others may send its commands, and that nobody else has."""
    first = commands(CONNECT, SUBSCRIBE) if method == "POST" else commands(CONNECT)
    names = set()
    for _ in range(5):
        client = StreamClient(factory, url, first, method)
        connected, *subscribed = client.seen
        assert connected["id"] == 1
        assert subscribed == [{"id": 2, "subscribe": {}}] * (method == "POST")
        result = connected["connect"]
        assert (result["ping"], result["pong"], result["node"]) == (25, True, "orchestra")
        assert len(client.session) == 32
        names.add(client.session)
    assert len(names) == 5


@pytest.mark.parametrize("url", EMULATED)
def test_commands_come_by_requests_of_their_own(factory: OrchestraFactory, url: str) -> None:
    """They are performed as on a WebSocket, and replied to on the stream."""
    client = StreamClient(factory, url)
    musician = join(factory, "/strings")
    answer = client.emulate(SUBSCRIBE, publish(3, "a"))
    assert (answer.status, answer.body) == (204, b"")
    assert client.emulate(publish(4, "b")).status == 204
    replies = client.hear()
    assert [reply["id"] for reply in replies if "id" in reply] == [2, 3, 4]
    assert data_of(replies) == ["a", "b"]
    (info,) = {push["pub"]["info"]["client"] for push in replies if "pub" in push}
    assert info == client.client_id
    assert musician.read() == ["Echo: a", "Echo: b"]


def test_streams_of_a_kind_share_what_is_encoded(
    factory: OrchestraFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message is written once for all of them."""
    first = commands(CONNECT, SUBSCRIBE)
    clients = [StreamClient(factory, url, first) for url in EMULATED for _ in range(3)]
    written = []
    codec: Any = clients[0].server.codec
    usual = codec.publications

    def publications(*arguments: Any) -> Any:
        written.append(arguments)
        return usual(*arguments)

    monkeypatch.setattr(type(codec), "publications", staticmethod(publications))
    factory.broadcast(b"hello", channel="strings")
    clock.advance(0)
    assert [data_of(client.hear()) for client in clients] == [["hello"]] * 6
    assert len(written) == 2


# The end.


@pytest.mark.parametrize("url", URLS)
def test_a_drain_tells_clients_to_come_back(serve: Serve, clock: Clock, url: str) -> None:
    """With what was published before that, and then the stream ends."""
    factory = serve(policy=Subscribing())
    client = StreamClient(factory, url)
    factory.broadcast(b"last", channel="strings")
    drained = factory.drain(5)
    *before, end = client.hear()
    assert data_of(before) == ["last"]
    assert end == {"disconnect": {"code": 3001, "reason": "shutdown"}}
    assert client.is_gone
    assert drained.called
    assert factory.activity.closed == {"3001": 1}


def test_who_comes_back_by_itself_is_told_when(serve: Serve, clock: Clock) -> None:
    """The more are seen off, the later some of them come."""
    factory = serve(policy=Subscribing())
    clients = [StreamClient(factory, UNI_SSE) for _ in range(100)]
    before = [client.retry for client in clients]
    assert all(1000 <= (retry or 0) <= 3000 for retry in before)
    factory.drain(5, 10)
    clock.pump([0.1] * 110)
    for client in clients:
        client.hear()
    assert [client.retry for client in clients] != before
    assert all(client.is_gone for client in clients)


@pytest.mark.parametrize("url", EMULATED)
@pytest.mark.parametrize("garbage", ["{", "[]", '{"id":1}', '{"id":1,"subscribe":{}}', "\x00\xff"])
def test_a_stream_that_begins_with_garbage_ends(
    factory: OrchestraFactory, url: str, garbage: str
) -> None:
    """It is told that another attempt would be in vain, and nothing stays."""
    client = StreamClient(factory, url, garbage)
    (end,) = client.seen
    assert end["disconnect"]["code"] == 3501
    assert client.is_gone
    assert factory.emulated == {}


@pytest.mark.parametrize("url", EMULATED)
def test_garbage_that_is_posted_ends_the_stream(factory: OrchestraFactory, url: str) -> None:
    """As it does on a WebSocket."""
    client = StreamClient(factory, url)
    answer = WebClient(factory).post(EMULATION, emulation(client.session, '{"id":2,"x'))
    assert answer.status == 204
    (end,) = client.hear()
    assert end["disconnect"]["code"] == 3501


@pytest.mark.parametrize("url", EMULATED)
def test_a_client_that_is_silent_is_disconnected(serve: Serve, clock: Clock, url: str) -> None:
    """An empty reply is a ping, and an empty command its answer."""
    factory = serve(ping_interval=10, ping_timeout=4)
    client = StreamClient(factory, url)
    for _ in range(3):
        clock.advance(10)
        assert client.hear() == [{}]
        assert client.emulate({}).status == 204
        clock.advance(4)
        assert client.hear() == []
        clock.advance(-4)
    clock.advance(10)
    assert client.hear() == [{}]
    clock.advance(4)
    (end,) = client.hear()
    assert end["disconnect"] == {"code": 3012, "reason": "no pong"}


def test_who_takes_nothing_at_the_end_is_dropped(serve: Serve, clock: Clock) -> None:
    """After the close timeout."""
    factory = serve(close_timeout=5)
    client = StreamClient(factory)
    client.server.close(GOING_AWAY)
    clock.advance(4.9)
    assert not client.is_gone
    clock.advance(0.2)
    assert client.is_gone


def test_a_slow_reader_is_evicted(serve: Serve, clock: Clock) -> None:
    """When its next message is no longer there; it is told so once it reads."""
    factory = serve(hub={"retention": Retention(messages=4)})
    client = StreamClient(factory, first=commands(CONNECT, SUBSCRIBE))
    for number in range(40):
        factory.broadcast(b"%d" % number + b"x" * 50_000, channel="strings")
        clock.advance(0)
    *_, end = client.hear()
    assert end["disconnect"] == {"code": 3008, "reason": "slow"}
    assert factory.activity.evictions == 1


# Posting.


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"session":1}', 400),
        (b'{"session":"x","data":{"id":1}}', 400),
        (b'{"session":"\\ud800"}', 400),
        (b"[" * 100_000, 400),
        (b"{}", 404),
        (b'{"session":"","data":""}', 404),
        (b'{"session":"00000000000000000000000000000000","node":"n","data":"{}"}', 404),
    ],
)
def test_what_is_posted_without_sense_is_refused(
    factory: OrchestraFactory, body: bytes, status: int
) -> None:
    """With a reason that repeats nothing of it. An SDK comes back after 404."""
    client = StreamClient(factory)
    answer = WebClient(factory).post(EMULATION, body)
    assert answer.status == status
    assert "000" not in answer.text
    assert "\n" not in answer.text.rstrip("\n")
    assert client.hear() == []


@given(body=st.binary(max_size=200))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_posted_is_answered(factory: OrchestraFactory, body: bytes) -> None:
    """Nothing of it does any harm."""
    for kind in ("application/json", "application/octet-stream"):
        answer = WebClient(factory).post(EMULATION, body, Content_Type=kind)
        assert answer.status in (400, 404)


def test_a_page_of_any_site_has_nothing_done(factory: OrchestraFactory) -> None:
    """It can have a browser send a GET, which comes without an origin: that connects, no more."""
    publish = {"id": 2, "publish": {"channel": "main", "data": "forged"}}
    first = commands(CONNECT, publish)
    answer = WebClient(factory).get(f"{SSE}?{urlencode({'cf_connect': first})}")
    assert answer.status == 400
    assert answer.text == "cf_connect may have no command but that to connect\n"
    both = commands({**CONNECT, "publish": publish["publish"]})
    client = StreamClient(factory, SSE, both, "GET")
    assert [reply["id"] for reply in client.seen] == [1]
    assert factory.hub.position("main") is None
    client.vanish()


@given(first=st.binary(min_size=1, max_size=100))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_a_stream_begins_with_is_answered(
    factory: OrchestraFactory, first: bytes
) -> None:
    """It is no stream, or one that ends."""
    for url in URLS:
        for kind in ("application/json", "application/octet-stream"):
            client = WebClient(factory)
            client.ask("POST", url, first, Content_Type=kind)
            client.transport.take()
            if client.server.__class__.__name__ == "WebChannel":
                client.vanish()
            elif not client.is_gone:
                client.server.abort()
    assert factory.emulated == {}


def test_the_session_of_a_client_that_is_gone(factory: OrchestraFactory) -> None:
    """It is there no more, and whoever posts is told."""
    client = StreamClient(factory)
    client.vanish()
    assert client.emulate({}).status == 404


def test_what_is_too_large_is_refused(serve: Serve) -> None:
    """Commands may be as long as on a WebSocket, wherever they come, and no longer."""
    factory = serve(max_message_size=1000)
    limit = factory.site.max_commands
    client = StreamClient(factory)
    largest = commands(publish(2, '"' * 1000))
    for extra, status in [(0, 204), (1, 413)]:
        data = largest + " " * (limit - len(largest) + extra)
        answer = WebClient(factory).post(EMULATION, emulation(client.session, data))
        assert answer.status == status
    client.hear()
    assert WebClient(factory).post(EMULATION, b" " * (2 * limit + 1)).status == 413
    for url in URLS:
        assert WebClient(factory).post(url, b" " * (limit + 1)).status == 413
    assert WebClient(factory).post("/strings", b" " * 1001).status == 413


def test_a_body_in_chunks_is_bounded_too(serve: Serve) -> None:
    """It is refused as soon as it is too long, and not kept until then."""
    factory = serve(max_message_size=1000)
    web = WebClient(factory)
    web.send(b"POST /emulation HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n%b\r\n" % (
        factory.site.max_commands + 1,
        b" " * (factory.site.max_commands + 1),
    )
    web.send(chunk)
    assert web.transport.take() == b""
    web.send(chunk)
    assert web.transport.take().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("url", EMULATED)
def test_commands_wait_with_their_requests(serve: Serve, clock: Clock, url: str) -> None:
    """While the client reads nothing, nothing more is taken: it stays with those who post."""
    factory = serve(hub={"retention": Retention(messages=1000)})
    client = StreamClient(factory, url, commands(CONNECT, SUBSCRIBE))
    factory.broadcast(b"x" * 200_000, channel="strings")
    clock.advance(0)
    posts = [WebClient(factory) for _ in range(MAX_WAITING + 1)]
    for number, post in enumerate(posts):
        post.ask("POST", EMULATION, client.emulation(publish(10 + number, str(number))))
    assert [answer.status for answer in posts[0].read()] == [204]  # which is kept by the session
    assert [post.read() for post in posts[1:]] == [[]] * MAX_WAITING
    assert len(client.server.queue) == 1
    refused = client.emulate(publish(9, "one too many"))
    assert refused.status == 429
    posts[5].vanish()
    heard = data_of(client.hear())
    clock.advance(1)
    heard += data_of(client.hear())
    numbers = [str(number) for number in range(len(posts)) if number != 5]
    assert heard == ["x" * 200_000, *numbers]
    statuses = [post.read()[0].status for post in posts[1:] if post is not posts[5]]
    assert statuses == [204] * (MAX_WAITING - 1)
    assert client.emulate(publish(99, "later")).status == 204


def test_those_who_wait_are_told_that_the_client_is_gone(serve: Serve, clock: Clock) -> None:
    """None of them waits for ever, and nothing of theirs is published."""
    factory = serve(hub={"retention": Retention(messages=1000)})
    client = StreamClient(factory, first=commands(CONNECT, SUBSCRIBE))
    factory.broadcast(b"x" * 200_000, channel="strings")
    clock.advance(0)
    posts = [WebClient(factory) for _ in range(3)]
    for post in posts:
        post.ask("POST", EMULATION, client.emulation(publish(3, "y")))
    client.vanish()
    clock.advance(0)
    assert [[answer.status for answer in post.read()] for post in posts] == [[204], [404], [404]]
    position = factory.hub.position("strings")
    assert position is not None
    assert position.offset == 1


def test_publishers_are_held_however_they_send(serve: Serve, clock: Clock) -> None:
    """When too much waits for slow readers, a session takes one request more, and no other."""
    factory = serve(max_buffered=1, hub={"retention": Retention(messages=1000)})
    StreamClient(factory, first=commands(CONNECT, SUBSCRIBE))  # and reads no more
    player = StreamClient(factory)
    factory.broadcast(b"x" * 200_000, channel="strings")
    clock.advance(0)
    assert factory.backpressure.is_high
    assert player.emulate(publish(2, "a")).status == 204
    assert player.server.queue._held
    assert player.emulate(publish(3, "b")).status == 204
    post = WebClient(factory)
    post.ask("POST", EMULATION, player.emulation(publish(4, "c")))
    assert post.read() == []
    post.vanish()


# Those who only listen.


def test_who_only_listens_hears_pushes(serve: Serve, clock: Clock) -> None:
    """They are in no replies: how it begins, what is published, pings."""
    policy = Subscribing(data={"key": "A"})
    factory = serve(policy=policy)
    client = StreamClient(factory, UNI_SSE)
    (first,) = client.seen
    sub = first["connect"]["subs"]["strings"]
    assert first["connect"]["client"] == client.client_id
    assert "pong" not in first["connect"]
    assert "session" not in first["connect"]
    assert sub["data"] == {"key": "A"}
    assert sub["recoverable"]
    factory.broadcast(b'{"a": 1}', channel="strings")
    clock.advance(0)
    (push,) = client.hear()
    assert push == {"channel": "strings", "pub": {"data": {"a": 1}, "offset": 1}}
    clock.advance(25)
    assert client.hear() == [{}]
    clock.advance(24)
    assert client.hear() == []
    assert not client.is_gone, "it was to answer a ping, which it cannot"


def test_who_only_listens_goes_on_where_it_was(serve: Serve, clock: Clock) -> None:
    """With what it has missed."""
    factory = serve(policy=Subscribing())
    sub = StreamClient(factory, UNI_SSE).seen[0]["connect"]["subs"]["strings"]
    for text in (b"1", b"2"):
        factory.broadcast(text, channel="strings")
        clock.advance(0)
    place = {"recover": True, "epoch": sub["epoch"], "offset": 1}
    back = StreamClient(factory, UNI_SSE, json.dumps({"subs": {"strings": place}}))
    result = back.seen[0]["connect"]["subs"]["strings"]
    assert result["recovered"]
    assert [publication["data"] for publication in result["publications"]] == [2]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_only_listens_says_who_it_is(serve: Serve, method: str) -> None:
    """In the request's JSON, or in the usual places."""
    policy = Subscribing()
    factory = serve(policy=policy)
    StreamClient(factory, UNI_SSE, '{"token":"T","data":{"x":1}}', method)
    StreamClient(factory, UNI_SSE, Authorization="Bearer U")
    StreamClient(factory, UNI_SSE + "?token=V")
    first, second, third = policy.requests
    assert (first.token, first.data) == ("T", {"x": 1})
    assert second.headers["authorization"] == "Bearer U"
    assert third.query("token") == "V"
    assert {client.identity for client in factory.clients} == {"alice"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError(401, "no"), 3500),
        (RefusedError(401, "no", kind="expired"), 3005),
        (RefusedError(403, "no"), 3507),
        (RefusedError(429, "no"), 3013),
        (RefusedError(503, "no"), 3004),
        (RefusedError(400, "no"), 3004),
    ],
)
def test_who_only_listens_is_told_why_not(serve: Serve, error: RefusedError, code: int) -> None:
    """There is no command whose reply could be an error."""
    factory = serve(policy=Refusing(error))
    client = StreamClient(factory, UNI_SSE)
    assert client.seen == [{"disconnect": {"code": code, "reason": "no"}}]
    assert client.is_gone


@pytest.mark.parametrize("garbage", ["{", "[]", "3", '{"token":1}', '{"subs":[]}', "null"])
def test_a_request_without_sense_is_refused(factory: OrchestraFactory, garbage: str) -> None:
    """Of whoever only listens, by its status."""
    for method in ("GET", "POST"):
        asked = begun(UNI_SSE, garbage, method)
        assert WebClient(factory).do(*asked).status == 400


def test_a_subscription_that_has_missed_something_comes_back(serve: Serve, clock: Clock) -> None:
    """Who cannot ask for it anew is disconnected, and may come back."""
    rules = {"*": ChannelSettings(slow_reader=SKIP, retention=Retention(messages=4))}
    factory = serve(hub={"channels": rules}, policy=Subscribing())
    client = StreamClient(factory, UNI_SSE)
    for number in range(40):
        factory.broadcast(b"%d" % number + b"x" * 50_000, channel="strings")
        clock.advance(0)
    *_, end = client.hear()
    assert end == {"disconnect": {"code": 3010, "reason": "insufficient state"}}


# Deciding takes a while.


@pytest.mark.parametrize("url", URLS)
def test_a_client_that_leaves_before_it_is_decided_on(serve: Serve, url: str) -> None:
    """It leaves nothing, and the decision is not waited for."""
    policy = Slow()
    factory = serve(policy=policy)
    client = StreamClient(factory, url)
    assert client.seen == []
    policy.decisions[0].addErrback(lambda _: None)
    client.vanish()
    assert policy.decisions[0].called
    assert factory.clients == set()
    assert factory.emulated == {}


@pytest.mark.parametrize("url", URLS)
def test_a_client_is_let_in_later(serve: Serve, url: str) -> None:
    """When that is decided."""
    policy = Slow()
    factory = serve(policy=policy)
    client = StreamClient(factory, url)
    policy.decisions[0].callback(Grant(identity="bob"))
    (first,) = client.hear()
    assert first["connect"]["client"]
    assert [c.identity for c in factory.clients] == ["bob"]


def test_a_client_that_never_connects_is_closed(serve: Serve, clock: Clock) -> None:
    """After the time for a handshake, if its first commands are none."""
    factory = serve(handshake_timeout=5)
    client = StreamClient(factory, first="\n")
    clock.advance(5)
    (end,) = client.hear()
    assert end["disconnect"]["code"] == 3502
    assert client.is_gone


# Who may.


@pytest.mark.parametrize("url", [*URLS, EMULATION])
def test_pages_of_other_sites_are_refused(serve: Serve, url: str) -> None:
    """Those of allowed ones may ask, and read the answer."""
    factory = serve(origins=["https://ours.example"])
    options = {"Access_Control_Request_Method": "POST"}
    theirs = WebClient(factory).do("OPTIONS", url, Origin="https://theirs.example", **options)
    assert theirs.status == 403
    ours = WebClient(factory).do("OPTIONS", url, Origin="https://ours.example", **options)
    assert ours.status == 204
    assert ours.headers["access-control-allow-origin"] == "https://ours.example"
    assert "POST" in ours.headers["access-control-allow-methods"]
    assert "Content-Type" in ours.headers["access-control-allow-headers"]
    method, target, body = begun(url, "{}", "POST")
    assert (
        WebClient(factory).do(method, target, body, Origin="https://theirs.example").status == 403
    )
    if url != EMULATION:
        client = StreamClient(factory, url, Origin="https://ours.example")
        assert "\r\nAccess-Control-Allow-Origin: https://ours.example" in client.head


@pytest.mark.parametrize("url", [*URLS, EMULATION])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "GET"])
def test_methods_are_what_they_should(factory: OrchestraFactory, url: str, method: str) -> None:
    """What is allowed is told; HEAD is GET without a body."""
    if url == UNI_SSE and method == "GET":
        return
    answer = WebClient(factory).do(method, url)
    if url in (SSE, UNI_SSE) and method == "HEAD":
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-type"] == "text/event-stream"
    elif url == SSE and method == "GET":
        assert answer.status == 400
    else:
        allowed = (
            "POST, OPTIONS" if url in (HTTP_STREAM, EMULATION) else "GET, HEAD, POST, OPTIONS"
        )
        assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert not factory.clients


@pytest.mark.parametrize("url", URLS)
def test_an_address_has_only_so_many_streams(serve: Serve, url: str) -> None:
    """A stream has the place that its connection had, and gives it back."""
    factory = serve(max_connections_per_address=2)
    clients = [StreamClient(factory, url) for _ in range(2)]
    third = WebClient(factory)
    third.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert third.transport.take().startswith(b"HTTP/1.1 429 ")
    clients[0].vanish()
    assert StreamClient(factory, url).seen


@pytest.mark.parametrize("url", URLS)
def test_a_full_server_refuses(serve: Serve, url: str) -> None:
    """Before there is a stream."""
    factory = serve(max_connections=1)
    StreamClient(factory, url)
    method, target, body = begun(url, "{}")
    answer = WebClient(factory).do(method, target, body)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("url", [*URLS, EMULATION])
def test_nothing_begins_once_the_end_has(factory: OrchestraFactory, url: str) -> None:
    """Nobody is let in while others are seen off."""
    web = WebClient(factory)
    factory.drain(5)
    other = WebClient(factory)
    for client in (web, other):
        if not client.is_gone:
            method, target, body = begun(url, "{}", "POST")
            client.ask(method, target, body)
            assert {answer.status for answer in client.read()} <= {503}


def test_a_refusal_repeats_no_secret(serve: Serve, log: list[dict[str, Any]]) -> None:
    """Neither a session's name nor a token is in the log or in an answer."""
    factory = serve(policy=Refusing(RefusedError(401, "a token is needed")))
    secret = "5ec4e7" * 6
    answers = [
        WebClient(factory).post(EMULATION, emulation(secret, "{}")).text,
        StreamClient(factory, UNI_SSE, json.dumps({"token": secret})).seen,
        StreamClient(factory, SSE, commands({"id": 1, "connect": {"token": secret}})).seen,
        WebClient(factory).get(f"{UNI_SSE}?{urlencode({'cf_connect': secret})}").text,
    ]
    assert "5ec4e7" not in str(answers)
    assert "5ec4e7" not in str(log)


# Protobuf.


def test_protobuf_on_a_stream(factory: OrchestraFactory, clock: Clock) -> None:
    """Replies are behind their lengths, and commands come the same way."""
    schema: Any = pytest.importorskip("centrifuge.protocol.client_pb2")
    codec = protobuf.load()
    assert codec is not None

    def written(**fields: Any) -> bytes:
        return codec.join([schema.Command(**fields).SerializeToString()])

    def read(data: bytes) -> list[Any]:
        replies = []
        while data:
            size, data = data[0], data[1:]
            replies.append(schema.Reply.FromString(data[:size]))
            data = data[size:]
        return replies

    binary = {"Content_Type": "application/octet-stream"}
    client = WebClient(factory)
    first = written(id=1, connect=schema.ConnectRequest())
    first += written(id=2, subscribe=schema.SubscribeRequest(channel="strings"))
    client.send(request("POST", HTTP_STREAM, first, **binary))
    head, _, data = client.transport.take().partition(b"\r\n\r\n")
    assert b"Content-Type: application/octet-stream" in head
    connected, subscribed = read(data)
    assert (connected.id, subscribed.id) == (1, 2)
    session = connected.connect.session
    command = written(id=3, publish=schema.PublishRequest(channel="strings", data=b"\x00\xff"))
    body = schema.EmulationRequest(session=session, node="n", data=command).SerializeToString()
    assert WebClient(factory).post(EMULATION, body, **binary).status == 204
    clock.advance(0)
    data = client.transport.take()
    replies = read(data)
    assert [reply.id for reply in replies] == [3, 0]
    assert replies[1].push.pub.data == b"\x00\xff"
    assert WebClient(factory).post(EMULATION, emulation(session, "{}")).status == 400
    other = StreamClient(factory)
    body = schema.EmulationRequest(session=other.session, data=command).SerializeToString()
    assert WebClient(factory).post(EMULATION, body, **binary).status == 400
    clock.advance(25)
    assert client.transport.take() == b"\x00"


def test_without_protobuf(factory: OrchestraFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before there is a stream."""
    monkeypatch.setattr(protobuf, "load", lambda: None)
    binary = {"Content_Type": "application/octet-stream"}
    for url in (HTTP_STREAM, EMULATION):
        answer = WebClient(factory).post(url, b"\x00", **binary)
        assert answer.status == 400
        assert "JSON only" in answer.text


# In somebody else's site.


def test_streams_in_a_site(clock: Clock) -> None:
    """They are below the path where the resource is mounted, and have the same limits."""
    factory = OrchestraFactory(reactor=clock, max_connections_per_address=3, max_message_size=100)
    root = Resource()
    root.putChild(b"live", OrchestraResource(factory))
    site = Site(root, reactor=clock)
    clients = [WebClient(site) for _ in URLS]
    for url, client in zip(URLS, clients, strict=True):
        first = b"{}" if url == UNI_SSE else commands(CONNECT).encode()
        client.send(request("POST", "/live" + url, first))
        assert b'"connect":{' in client.transport.take()
    assert len(factory.clients) == 3
    other = WebClient(site)
    for url in URLS:
        assert other.post("/live" + url, commands(CONNECT)).status == 429
    for name in tuple(factory.emulated):
        body = emulation(name, commands(publish(2, "hello")))
        assert other.post("/live/emulation", body).status == 204
    too_large = b" " * (2 * factory.site.max_commands + 1)
    assert other.post("/live/emulation", too_large).status == 413
    assert other.post("/live/connection/sse", too_large).status == 413
    position = factory.hub.position("strings")
    assert position is not None
    assert position.offset == 2
    for client in (*clients, other):
        client.vanish()
    assert factory.countConnections == 0
    assert len(factory.admission._per_address) == 0
