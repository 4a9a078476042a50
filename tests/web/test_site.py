"""HTTP on the server's own port: connections, and the requests that come on them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from orchestra.hub import Hub
from orchestra.message import Content
from orchestra.settings import ChannelSettings
from orchestra.web.event_stream import EventStream
from orchestra.web.http_channel import KEEP_ALIVE, LINGER, REQUEST_TIMEOUT, WebChannel
from orchestra.websocket.factory import HANDSHAKE_TIMEOUT, OrchestraFactory
from orchestra.websocket.opening import MAX_HEAD
from orchestra.websocket.protocol import OrchestraProtocol
from tests.events import captured, named
from tests.frames import frame
from tests.memory import BUFFER, join
from tests.web.client import UPGRADE, Answer, EventSource, WebClient, answers, chunked, request
from tests.web.conftest import Serve

PIECE_OF_A_HEAD = b"GET / HTTP/1.1\r\nHost: "
UPGRADING = request("GET", "/strings", **UPGRADE)


def places(factory: OrchestraFactory) -> int:
    """How many addresses have a place taken."""
    return len(factory.admission._per_address)


def test_what_is_no_upgrade_is_served_on_the_same_connection(factory: OrchestraFactory) -> None:
    """One request after the other, as many as there are, and the connection stays."""
    client = WebClient(factory)
    assert isinstance(client.server, OrchestraProtocol)
    for _ in range(3):
        assert client.get("/healthz").status == 200
        assert isinstance(client.server, WebChannel)
    assert not client.transport.disconnecting


@pytest.mark.parametrize(
    ("path", "accepting", "status", "text"),
    [
        ("/healthz", True, 200, "ok\n"),
        ("/healthz", False, 200, "ok\n"),
        ("/readyz", True, 200, "ready\n"),
        ("/readyz", False, 503, "shutting down\n"),
    ],
)
def test_a_watchdog_learns_how_the_server_is(
    factory: OrchestraFactory, path: str, accepting: bool, status: int, text: str
) -> None:
    """It lives until it is gone, but is ready only while it lets clients in."""
    factory.accepting = accepting
    answer = WebClient(factory).get(path + "?now")
    assert (answer.status, answer.text) == (status, text)
    assert answer.headers["cache-control"] == "no-store"
    head = WebClient(factory).do("HEAD", path)
    assert (head.status, head.body) == (status, b"")
    assert head.headers["content-length"] == str(len(text))


def test_a_server_that_lacks_something_is_not_ready(factory: OrchestraFactory) -> None:
    """It says all that there is to say, and lives, and serves those who come all the same."""
    client = WebClient(factory)
    factory.hindrances |= {"the broker cannot be reached", "another thing"}
    answer = client.get("/readyz")
    assert (answer.status, answer.text) == (503, "another thing\nthe broker cannot be reached\n")
    factory.accepting = False
    late = WebClient(factory).get("/readyz")
    assert late.text == "shutting down\nanother thing\nthe broker cannot be reached\n"
    factory.accepting = True
    assert client.get("/healthz").status == 200
    assert client.post("/", "hello").status == 200
    factory.hindrances.clear()
    assert client.get("/readyz").text == "ready\n"


def test_a_watchdog_may_ask_all_the_time(factory: OrchestraFactory, clock: Clock) -> None:
    """On one connection, every second, for longer than anything may last, and nobody notices."""
    client = WebClient(factory)
    strange = {"Origin": "https://evil.example", "Authorization": "Bearer x", "Cookie": "a=b"}
    with captured() as events:
        for number in range(3 * int(KEEP_ALIVE + REQUEST_TIMEOUT)):
            method = ("GET", "HEAD")[number % 2]
            path = ("/healthz", "/readyz")[number % 3 > 0]
            assert client.do(method, path, **strange).status == 200
            clock.advance(1)
    assert events == []
    assert factory.countConnections == 1
    assert not factory.hub._channels
    assert not client.transport.disconnecting


@pytest.mark.parametrize(
    "start",
    [
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: any.example\r\n\r\n",
        b"HEAD /readyz HTTP/1.0\r\n\r\n",
    ],
)
def test_a_simple_watchdog_is_answered(factory: OrchestraFactory, start: bytes) -> None:
    """HAProxy's, unless it is told otherwise, sends no headers at all."""
    client = WebClient(factory)
    client.send(start)
    ((answer,), rest) = answers(client.transport.take(), [start.split()[0].decode()])
    assert (answer.status, rest) == (200, b"")
    assert client.is_gone


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_full_server_answers_its_watchdog(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Whether it has as many clients as it may, or nearly no files to open for more."""
    factory = serve(max_connections=1)
    client = join(factory)
    assert factory.is_full
    assert WebClient(factory).get(path).status == 200
    client.vanish()
    factory = serve()
    monkeypatch.setattr("orchestra.websocket.factory.getrlimit", lambda _: (40, 40))
    for _ in range(29):
        join(factory)
    watchdogs = [WebClient(factory) for _ in range(6)]  # for whom files are left
    assert factory.is_full
    assert [watchdog.get(path).status for watchdog in watchdogs] == [200] * 6


def test_a_browser_gets_a_page(factory: OrchestraFactory) -> None:
    """Whoever opens the address is shown it; no other path has it, and no foreign script runs."""
    html = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    client = WebClient(factory)
    page = client.get("/", **html)
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<!doctype html>" in page.text
    assert client.get("/strings", **html).status == 426
    assert client.get("/", Accept="*/*").status == 426
    assert client.do("HEAD", "/", **html).headers["content-length"] == str(len(page.body))


def test_nobody_learns_what_the_server_is_made_of(factory: OrchestraFactory) -> None:
    """No answer names a program or its version."""
    client = WebClient(factory)
    for method, target in (("GET", "/healthz"), ("GET", "/"), ("OPTIONS", "/"), ("OPTIONS", "*")):
        assert "server" not in client.do(method, target).headers


@pytest.mark.parametrize(
    ("ending", "version"),
    [("Connection: close\r\n", "1.1"), ("", "1.0"), ("Connection: keep-alive\r\n", "1.0")],
)
def test_the_last_request_is_answered_and_the_connection_closed(
    factory: OrchestraFactory, ending: str, version: str
) -> None:
    """A client that says that it is the last is believed, and an old one has but one."""
    client = WebClient(factory)
    client.send(f"GET /healthz HTTP/{version}\r\nHost: localhost\r\n{ending}\r\n".encode())
    ((answer,), rest) = answers(client.transport.take(), ["GET"])
    assert (answer.status, rest) == (200, b"")
    assert client.is_gone


# What is closed, and when.


def test_an_idle_connection_is_closed(factory: OrchestraFactory, clock: Clock) -> None:
    """Some time after its last request, and not before; a proxy closes its own before that."""
    client = WebClient(factory)
    for _ in range(3):
        assert client.get("/healthz").status == 200
        clock.advance(KEEP_ALIVE - 1)
        assert not client.transport.disconnecting
    clock.advance(1)
    assert client.transport.disconnecting
    client.read()
    assert client.is_gone
    assert KEEP_ALIVE > 60


def test_one_that_never_takes_the_end_is_dropped(factory: OrchestraFactory, clock: Clock) -> None:
    """What is still to be sent keeps no connection for longer than a moment."""
    client = WebClient(factory)
    client.ask("GET", "/healthz")
    clock.advance(KEEP_ALIVE)
    assert not client.is_gone
    clock.advance(LINGER + 0.1)
    assert client.is_gone


def test_a_first_request_has_to_come_like_a_handshake(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """Nobody knows yet that it is none."""
    client = WebClient(factory)
    client.send(PIECE_OF_A_HEAD)
    clock.advance(HANDSHAKE_TIMEOUT - 0.1)
    assert not client.is_gone
    clock.advance(0.2)
    assert client.is_gone


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    "start",
    [
        request("POST", "/a", b"x" * 1000)[:-900],
        request("POST", "/a", Transfer_Encoding="chunked") + b"ffff\r\n",
        PIECE_OF_A_HEAD,
    ],
)
def test_a_request_that_drips_is_not_waited_for(
    factory: OrchestraFactory, clock: Clock, start: bytes, is_first: bool
) -> None:
    """Each byte is a sign of life, but the whole request has its time."""
    client = WebClient(factory)
    if not is_first or start is PIECE_OF_A_HEAD:
        client.get("/healthz")
        clock.advance(10)
    client.send(start)
    for _ in range(int(REQUEST_TIMEOUT) - 1):
        clock.advance(1)
        client.send(b"x")
        assert not client.transport.disconnecting
    clock.advance(1.1)
    client.read()
    assert client.is_gone


def test_each_request_has_a_time_of_its_own(factory: OrchestraFactory, clock: Clock) -> None:
    """A connection may be as old as it likes, if its requests come one by one."""
    client = WebClient(factory)
    for _ in range(10):
        data = request("POST", "/a", b"hello")
        client.send(data[:-2])
        clock.advance(REQUEST_TIMEOUT - 1)
        client.send(data[-2:])
        ((answer,), _) = answers(client.transport.take(), ["POST"])
        assert answer.status == 200
    assert not client.transport.disconnecting


# Places and counts.


def test_a_connection_has_a_place_of_its_address(serve: Serve) -> None:
    """From its first request on, until it is gone; who comes when there is none is told so."""
    factory = serve(max_connections_per_address=2)
    clients = [WebClient(factory) for _ in range(2)]
    for client in clients:
        assert client.get("/healthz").status == 200
    late = WebClient(factory)
    refused = late.get("/healthz")
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert late.is_gone
    head = WebClient(factory)
    assert (head.do("HEAD", "/healthz").status, head.rest) == (429, b"")
    clients.pop().vanish()
    assert WebClient(factory).get("/healthz").status == 200
    assert places(factory) == 1
    late = WebClient(factory)
    late.send(UPGRADING)
    assert late.transport.take().startswith(b"HTTP/1.1 429 ")


@pytest.mark.parametrize("headers", [{"Accept": "text/event-stream"}, UPGRADE])
def test_a_place_goes_with_the_connection(serve: Serve, headers: dict[str, str]) -> None:
    """To the stream or the WebSocket that it becomes, which gives it back."""
    factory = serve(max_connections_per_address=1)
    client = WebClient(factory)
    assert client.get("/healthz").status == 200
    client.ask("GET", "/", **headers)
    assert client.read()[0].status in (200, 101)
    assert len(factory.clients) == 1
    assert WebClient(factory).get("/healthz").status == 429
    client.vanish()
    assert places(factory) == 0
    assert WebClient(factory).get("/healthz").status == 200


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/?last=all", {}, 400),
        ("/api", {}, 404),
        ("/", {"Origin": "https://evil.example"}, 403),
        ("/small", {}, 503),
    ],
)
def test_a_stream_that_is_refused_leaves_the_connection_its_place(
    serve: Serve, target: str, headers: dict[str, str], status: int
) -> None:
    """It is still there, so that an address has no more connections than it may."""
    channels = {"small": ChannelSettings(max_connections=1)}
    factory = serve({"channels": channels}, max_connections_per_address=2)
    somebody = join(factory, "/small")
    client = WebClient(factory)
    assert client.get(target, Accept="text/event-stream", **headers).status == status
    assert not client.transport.disconnecting
    assert WebClient(factory).get("/healthz").status == 429
    assert client.get("/healthz").status == 200
    client.vanish()
    somebody.vanish()
    assert places(factory) == 0


def test_connections_of_proxies_have_no_place(serve: Serve) -> None:
    """They are many clients' connections; each stream has a place of its client's address."""
    factory = serve(max_connections_per_address=1, trusted_proxies=["127.0.0.1"])
    for _ in range(3):
        assert WebClient(factory).get("/healthz").status == 200
    assert places(factory) == 0
    stream = EventSource(factory, X_Forwarded_For="192.0.2.1")
    assert places(factory) == 1
    proxy = WebClient(factory)
    stream_headers = {"Accept": "text/event-stream"}
    assert proxy.get("/", X_Forwarded_For="192.0.2.1", **stream_headers).status == 429
    stream.vanish()
    assert proxy.get("/", X_Forwarded_For="192.0.2.1", **stream_headers).status == 200


def test_connections_are_counted_once(factory: OrchestraFactory) -> None:
    """Whatever they become, and until they are gone."""
    silent, idle, posting = (WebClient(factory) for _ in range(3))
    idle.get("/healthz")
    posting.send(request("POST", "/a", b"hello")[:-1])
    assert factory.countConnections == 3
    stream, socket = EventSource(factory), join(factory)
    assert isinstance(stream.server, EventStream)
    assert factory.countConnections == 5
    late = WebClient(factory)
    late.get("/healthz")
    late.ask("GET", "/", Accept="text/event-stream")
    assert late.read()[0].status == 200
    later = WebClient(factory)
    later.get("/healthz")
    later.ask("GET", "/", **UPGRADE)
    assert later.read()[0].status == 101
    assert factory.countConnections == 7
    everybody = [silent, idle, posting, stream, socket, late, later]
    for left, client in enumerate(reversed(everybody)):
        assert factory.countConnections == 7 - left
        client.vanish()
    assert factory.countConnections == 0
    assert factory.site.channels == set()


def test_a_full_server_serves_but_keeps_nobody(serve: Serve) -> None:
    """Whoever wants to listen is refused; others are answered, and have to make room then."""
    factory = serve(max_connections=1)
    before = WebClient(factory)
    before.get("/healthz")
    client = join(factory)
    listener = WebClient(factory)
    refused = listener.get("/", Accept="text/event-stream")
    assert (refused.status, refused.text) == (503, "the server is full\n")
    for each in (before, WebClient(factory)):
        answer = each.post("/", "hello")
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert each.is_gone
    client.vanish()
    assert WebClient(factory).post("/", "hello").headers.get("connection") is None
    assert EventSource(factory).answer.status == 200


# Seeing everybody off.


def test_draining_closes_what_is_idle(factory: OrchestraFactory) -> None:
    """A connection that waits for its next request has nothing to wait for."""
    idle, fresh = WebClient(factory), WebClient(factory)
    idle.get("/healthz")
    assert factory.drain(10).called
    idle.read()
    assert idle.is_gone
    answer = fresh.post("/", "hello")
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert fresh.is_gone


@pytest.mark.parametrize("cut", [30, -3])
def test_a_request_that_is_on_its_way_is_answered(factory: OrchestraFactory, cut: int) -> None:
    """And is the last of its connection, whether the server began to stop in its head or body."""
    client = WebClient(factory)
    client.get("/healthz")
    data = request("POST", "/a", b"hello")
    client.send(data[:cut])
    factory.drain(10)
    assert not client.transport.disconnecting
    client.send(data[cut:])
    ((answer,), _) = answers(client.transport.take(), ["POST"])
    assert answer.status == 503
    assert client.is_gone


def test_draining_closes_streams_like_sockets(factory: OrchestraFactory) -> None:
    """They get what was published, then the reason; it is done when the last one is gone."""
    stream, socket = EventSource(factory), join(factory)
    factory.broadcast(b"the last note")
    drained = factory.drain(10)
    assert [event.data for event in stream.hear()] == ["the last note"]
    assert stream.reader.comments == ["going away"]
    assert stream.is_gone
    assert not drained.called
    assert socket.read() == ["Echo: the last note"]
    assert drained.called


def test_draining_drops_a_stream_that_does_not_read(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """When the grace is over."""
    stream = EventSource(factory)
    factory.broadcast(b"x" * 500_000)
    clock.advance(0)
    drained = factory.drain(3)
    clock.advance(2.9)
    assert not stream.is_gone
    clock.advance(0.1)
    assert stream.is_gone
    assert drained.called


# Becoming something else.


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    "before",
    [
        [request("GET", "/healthz")],
        [request("POST", "/a", b"hello"), request("HEAD", "/readyz")],
        [request("POST", "/a", Transfer_Encoding="chunked") + chunked(b"hel", b"lo")],
    ],
    ids=["get", "post-and-head", "chunks"],
)
def test_a_kept_connection_becomes_a_websocket(
    factory: OrchestraFactory, clock: Clock, before: list[bytes], together: bool
) -> None:
    """Behind whatever requests, whether they come by themselves or all at once."""
    client = WebClient(factory)
    pieces = [*before, UPGRADING]
    for piece in [b"".join(pieces)] if together else pieces:
        client.send(piece)
    methods = [piece.split()[0].decode() for piece in pieces]
    found, rest = answers(client.transport.take(), methods)
    assert [answer.status for answer in found] == [200] * len(before) + [101]
    assert rest == b""
    client.send(frame(b"hello"))
    clock.advance(0)
    assert client.transport.take() == b"\x81\x0bEcho: hello"
    assert [each.target.channel for each in factory.clients] == ["strings"]


def test_a_kept_connection_becomes_a_websocket_byte_by_byte(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """Neither the first request nor the handshake has to come at once."""
    client = WebClient(factory)
    for byte in request("POST", "/a", b"hello") + UPGRADING + frame(b"hello"):
        client.send(bytes([byte]))
    clock.advance(0)
    found, rest = answers(client.transport.take(), ["POST", "GET"])
    assert [answer.status for answer in found] == [200, 101]
    assert rest == b"\x81\x0bEcho: hello"


@pytest.mark.parametrize("before", [b"", request("GET", "/healthz")], ids=["first", "kept"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_what_comes_with_a_handshake_is_read(
    factory: OrchestraFactory, clock: Clock, before: bytes, after: int
) -> None:
    """A client in a hurry loses nothing, and is not taken for one that sends nonsense."""
    client = WebClient(factory)
    client.send(before)
    client.transport.take()
    hello = frame(b"hello")
    client.send(UPGRADING + hello[:after])
    assert client.transport.reading
    client.send(hello[after:] + hello)
    clock.advance(0)
    _, _, rest = client.transport.take().partition(b"\r\n\r\n")
    assert rest == b"\x81\x0bEcho: hello" * 2


@pytest.mark.parametrize("before", [b"", request("GET", "/healthz")], ids=["first", "kept"])
def test_what_an_application_raises_is_nobodys_wrong_request(
    factory: OrchestraFactory, before: bytes
) -> None:
    """Behind other requests it is for the reactor to log, as it is otherwise."""

    class Broken(OrchestraProtocol):
        def onMessages(self, contents: Sequence[Content]) -> None:
            raise ValueError("no bow")

    factory.protocol = Broken
    client = WebClient(factory)
    client.send(before)
    with pytest.raises(ValueError, match="no bow"):
        client.send(UPGRADING + frame(b"hello"))


def test_a_flood_behind_a_handshake_does_not_stop_the_reading(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """As it does not when the handshake is the first request."""
    client = WebClient(factory)
    client.get("/healthz")
    client.send(UPGRADING + frame(b"x") * 5000)
    for _ in range(1000):
        clock.advance(0.01)
        client.transport.take()
    assert client.transport.reading
    assert len(factory.hub.history("strings")) > 0


def test_a_handshake_is_one_whatever_else_it_says(factory: OrchestraFactory) -> None:
    """It is answered the same, as the first request of its connection and as the second."""
    for headers in ({"Accept": "text/html"}, {"Accept": "text/event-stream"}, {}):
        for before in ([], ["/healthz"]):
            client = WebClient(factory)
            for target in before:
                client.get(target)
            client.ask("GET", "/", **UPGRADE, **headers)
            assert [answer.status for answer in client.read()] == [101]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        UPGRADING.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADING.replace(b"GET", b"HEAD"),
        UPGRADING.replace(b"GET", b"POST"),
        UPGRADING.replace(b"Connection: Upgrade", b"Connection: keep-alive"),
        UPGRADING.replace(b"Version: 13", b"Version: 8"),
        UPGRADING.replace(b"Key: ", b"Key: !"),
        request("GET", "/", b"hello", **UPGRADE),
        request("GET", "/", Transfer_Encoding="chunked", **UPGRADE) + chunked(b"hello"),
        request("GET", "/", Host="localhost", **UPGRADE),
    ],
    ids=["1.0", "head", "post", "connection", "version", "key", "body", "chunks", "host"],
)
def test_a_wrong_handshake_is_none(factory: OrchestraFactory, data: bytes, is_first: bool) -> None:
    """Neither as the first request of a connection nor behind others."""
    client = WebClient(factory)
    if not is_first:
        client.get("/healthz")
    client.send(data)
    ((answer,), _) = answers(client.transport.take(), [data.split()[0].decode()])
    assert answer.status in (200, 400, 405, 426, 505)
    assert factory.clients == set()


def test_a_body_may_look_like_a_handshake(factory: OrchestraFactory, clock: Clock) -> None:
    """What is published is nobody's header."""
    for body in (b"\r\nUpgrade: websocket\r\n", UPGRADING):
        client = WebClient(factory)
        assert client.post("/a", body).status == 200
        clock.advance(0)
    assert [note.payload for note in factory.hub.history("a")] == [
        b"\r\nUpgrade: websocket\r\n",
        UPGRADING,
    ]


def test_a_stream_listens_to_nothing_more(factory: OrchestraFactory, clock: Clock) -> None:
    """What a client sends behind its request is neither answered nor kept, and does no harm."""
    client = WebClient(factory)
    stream = request("GET", "/", Accept="text/event-stream")
    client.send(stream + request("GET", "/healthz") + b"x" * 20_000)
    assert client.transport.take().count(b"HTTP/1.1 ") == 1
    client.send(request("GET", "/healthz"))
    assert client.transport.take() == b""
    assert client.transport.reading, "or it would not be noticed that it is gone"
    factory.broadcast(b"hello")
    clock.advance(0)
    assert b"data: hello\n" in client.transport.take()


# What is wrong.


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"nonsense\r\n\r\n", {400}),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", {400, 505}),
        (b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX Y: z\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {400}),
        (request("POST", "/", Content_Length="x"), {400}),
        (request("POST", "/", Content_Length="-1"), {400}),
        (request("POST", "/", Content_Length="9" * 5000), {400, 413}),
        (request("POST", "/", Content_Length="1", Transfer_Encoding="chunked"), {400}),
        (request("POST", "/", Transfer_Encoding="gzip"), {400, 501}),
        (request("POST", "/", Transfer_Encoding="chunked") + b"x\r\n", {400}),
        (request("POST", "/", Transfer_Encoding="chunked") + b"1\r\nab\r\n", {400}),
        (request("GET", "/", X="x" * MAX_HEAD), {400, 431}),
        (b"GET /" + b"x" * (MAX_HEAD + 10), {400, 414, 431}),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000, {400, 431}),
    ],
)
def test_a_wrong_request_is_the_last(
    factory: OrchestraFactory, clock: Clock, data: bytes, statuses: set[int], is_first: bool
) -> None:
    """It is answered, and the connection closed, since nobody knows where the next one begins."""
    client = WebClient(factory)
    if not is_first:
        assert client.get("/healthz").status == 200
    client.send(data)
    ((answer,), rest) = answers(client.transport.take(), ["GET"])
    assert answer.status in statuses
    assert rest == b""
    clock.advance(LINGER + 0.1)
    client.transport.take()
    assert client.is_gone


@pytest.mark.parametrize(
    "wrong",
    [
        b"GET / HTTP/9.9\r\n",
        b"GET / HTTP/1.1\r\nX Y: z\r\n\r\n",
        request("POST", "/", Transfer_Encoding="chunked") + b"x\r\n",
        request("GET", "/healthz", Connection="close"),
    ],
)
def test_nothing_is_read_behind_the_end(factory: OrchestraFactory, wrong: bytes) -> None:
    """TLS still delivers what the peer sends until it has answered, but it is nobody's request."""
    client = WebClient(factory)
    client.get("/healthz")
    client.send(wrong)
    before = bytes(client.transport.buffer)
    assert before.count(b"HTTP/1.1 ") == 1
    for more in (b"\r\n", request("GET", "/healthz"), b"x" * 100_000):
        client.send(more)
    assert client.transport.buffer == before


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_target_may_be_absolute(
    factory: OrchestraFactory, clock: Clock, method: str, is_first: bool
) -> None:
    """As it is for a proxy (RFC 9112 section 3.2.2): the path is the same."""
    client = WebClient(factory)
    if not is_first:
        client.get("/healthz")
    server = "http://localhost:8080"
    assert client.get(f"{server}/healthz").text == "ok\n"
    if method == "POST":
        assert client.post(f"{server}/strings", "hello").status == 200
        assert [note.payload for note in factory.hub.history("strings")] == [b"hello"]
    else:
        client.ask("GET", f"{server}/strings?last=1", Accept="text/event-stream")
        assert client.read()[0].status == 200
        assert factory.hub.channels() == {"strings": 1}


# Who does not read.


def crowded(factory: OrchestraFactory) -> int:
    """A channel that takes some kilobytes to describe; the length of that."""
    for _ in range(100):
        join(factory, "/crowd")
    return len(WebClient(factory).get("/crowd?presence").body)


@pytest.mark.parametrize("at_once", [1, 1000])
def test_who_reads_no_answers_is_asked_nothing_more(
    factory: OrchestraFactory, at_once: int
) -> None:
    """What a client that does not read can have the server keep is bounded, either way."""
    size = crowded(factory)
    client = WebClient(factory)
    client.get("/healthz")
    question = request("GET", "/crowd?presence") * at_once
    sent = 0
    while client.transport.reading and sent < 1_000_000:
        client.send(question)
        sent += len(question)
    assert sent < 100_000 + len(question)
    assert len(client.transport.buffer) < BUFFER + 2 * size


def test_who_reads_late_gets_all_the_same(factory: OrchestraFactory, clock: Clock) -> None:
    """All that was asked is answered, in order, once there is room, and then it is read on."""
    size = crowded(factory)
    client = WebClient(factory)
    count = 10 * BUFFER // size
    client.send(request("GET", "/crowd?presence") * count + request("GET", "/healthz"))
    data = b""
    while more := client.transport.take():
        data += more
        clock.advance(0)
    found, rest = answers(data, ["GET"] * (count + 1))
    assert [len(answer.body) for answer in found] == [size] * count + [3]
    assert rest == b""
    for _ in range(3):
        clock.advance(KEEP_ALIVE - 1)
        assert client.get("/healthz").status == 200


def test_who_is_gone_is_served_no_more(factory: OrchestraFactory, clock: Clock) -> None:
    """What had not been its turn is not done behind its back."""
    client = WebClient(factory)
    client.server.dataReceived(request("POST", "/a", b"1") + request("POST", "/a", b"2"))
    client.vanish()
    clock.advance(0)
    assert [note.payload for note in factory.hub.history("a")] == [b"1"]


def test_who_has_been_told_to_go_is_served_no_more(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """A connection that was idle for too long has ended, even if the client has not seen it."""
    client = WebClient(factory)
    client.ask("GET", "/healthz")
    clock.advance(KEEP_ALIVE)
    assert client.transport.disconnecting
    for line in request("POST", "/a", b"hello").splitlines(keepends=True):
        client.send(line)
    assert factory.hub.channels() == {}


@pytest.mark.parametrize(
    "data",
    [
        request("GET", "/crowd?presence") * 100,
        request("GET", "/healthz", Connection="close"),
        request("GET", "/healthz") + b"nonsense\r\n\r\n",
    ],
    ids=["many", "last", "wrong"],
)
def test_who_never_reads_its_answer_is_dropped(
    factory: OrchestraFactory, clock: Clock, data: bytes
) -> None:
    """Nobody keeps a connection, and what is to be sent on it, for as long as they like."""
    crowded(factory)
    client = WebClient(factory)
    client.send(data)
    assert client.transport.buffer
    for _ in range(int(KEEP_ALIVE + REQUEST_TIMEOUT + 2 * LINGER) + 1):
        clock.advance(1)
    assert client.is_gone


# Whatever comes, however it is cut.

STREAM = {"Accept": "text/event-stream"}
REQUESTS = [
    ("GET", request("GET", "/healthz")),
    ("HEAD", request("HEAD", "/readyz")),
    ("HEAD", request("HEAD", "/a", **STREAM)),
    ("GET", request("GET", "/", Accept="text/html")),
    ("GET", request("GET", "/a?presence")),
    ("GET", request("GET", "/a?presence=count", Origin="http://localhost:8080")),
    ("GET", request("GET", "/a?presence", Origin="https://evil.example")),
    ("GET", request("GET", "/a?last=x", **STREAM)),
    ("GET", request("GET", "/a")),
    ("GET", request("GET", "/api/x")),
    ("GET", request("GET", "/%00?presence")),
    ("OPTIONS", request("OPTIONS", "/a")),
    ("DELETE", request("DELETE", "/a")),
    ("POST", request("POST", "/a", "Bläser".encode(), Content_Type="text/plain")),
    ("POST", request("POST", "/a", b"\xff", Content_Type="text/plain")),
    ("POST", request("POST", "/a", b"\xff")),
    ("POST", request("POST", "/a")),
    ("POST", request("POST", "/a", b"x", Content_Type="multipart/form-data; boundary=x")),
    ("POST", request("POST", "/a", b"x", Idempotency_Key="one")),
    ("POST", request("POST", "/a", b"y", Idempotency_Key="one")),
    ("POST", request("POST", "/a", b"\r\n\r\nGET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")),
    (
        "POST",
        request("POST", "/a", Transfer_Encoding="chunked") + chunked(b"hel", b"lo\r\n", b"x" * 20),
    ),
    ("POST", request("POST", "/a", b"x", Expect="100-continue")),
]
LAST = [
    ("GET", UPGRADING + frame(b"hello") + frame(b"x" * 200)),
    ("GET", request("GET", "/api", **UPGRADE)),
    ("GET", request("GET", "/?since=a:1", **UPGRADE)),
    ("GET", request("GET", "/a?last=9", **STREAM)),
    ("GET", request("GET", "/healthz", Connection="close")),
    ("POST", request("POST", "/a", b"x" * 60)),
    ("POST", request("POST", "/a", Transfer_Encoding="chunked") + chunked(b"x" * 60)),
    ("GET", b"GET /healthz HTTP/1.0\r\n\r\n"),
    ("GET", b"nonsense\r\n\r\n"),
]


def answered(clock: Clock, pieces: list[bytes], methods: list[str]) -> dict[str, Any]:
    """What the server answers to pieces of a stream of requests, and what comes of them."""
    factory = OrchestraFactory(Hub(clock=clock.seconds), max_message_size=50, reactor=clock)
    client = WebClient(factory)
    data = b""
    with captured() as events:
        for piece in pieces:
            client.send(piece)
            clock.advance(0)
            data += client.transport.take()
    history = factory.hub.history("a")
    epoch = history[0].epoch.encode() if history else b"nothing"
    found, rest = answers(data.replace(epoch, b"(epoch!)"), methods)
    outcome = {
        "answers": [without_chance(answer) for answer in found],
        "rest": b"" if found and "text/event-stream" in str(found[-1].headers) else rest,
        "published": [(note.payload, note.is_binary) for note in history],
        "refused": [event["status"] for event in named(events, "refused")],
        "failed": [event["log_failure"] for event in events if "log_failure" in event],
        "count": factory.countConnections,
        "clients": [each.target for each in factory.clients],
        "gone": client.is_gone,
    }
    client.vanish()
    assert factory.countConnections == 0
    clock.pump([100, 600, 600])
    return outcome


def without_chance(answer: Answer) -> Answer:
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer._replace(headers=headers)


def cut(data: bytes, places: set[int] | None) -> list[bytes]:
    """Some data in pieces; without places, of a byte each."""
    if places is None:
        return [data[at : at + 1] for at in range(len(data))]
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(at)]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    requests=st.lists(st.sampled_from(REQUESTS), max_size=6),
    last=st.lists(st.sampled_from(LAST), max_size=1),
    places=st.one_of(st.none(), st.sets(st.integers(0, 5000), max_size=8)),
)
@example(REQUESTS, LAST[:1], None)
@example([], [LAST[4]], {130})
def test_it_does_not_matter_how_requests_are_cut(
    clock: Clock,
    requests: list[tuple[str, bytes]],
    last: list[tuple[str, bytes]],
    places: set[int] | None,
) -> None:
    """One by one, all at once or cut anywhere: the answers are the same, and what they do is."""
    requests = requests + last
    if not requests:
        return
    methods = [method for method, _ in requests]
    one_by_one = answered(clock, [data for _, data in requests], methods)
    data = b"".join(data for _, data in requests)
    assert answered(clock, [data], methods) == one_by_one
    assert answered(clock, cut(data, places), methods) == one_by_one
    assert not one_by_one["failed"]
    assert len(one_by_one["answers"]) == len(requests)
