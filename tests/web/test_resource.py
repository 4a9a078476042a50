"""The server mounted in a web site, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.static import Data

from orchestra.hub import Hub
from orchestra.web.resource import OrchestraResource
from orchestra.websocket.factory import OrchestraFactory
from tests.memory import BUFFER, MemoryClient, join
from tests.web.client import UPGRADE, EventSource, WebClient, texts


@pytest.fixture
def factory(clock: Clock) -> OrchestraFactory:
    return OrchestraFactory(Hub(clock=clock.seconds), reactor=clock)


@pytest.fixture
def site(factory: OrchestraFactory, clock: Clock) -> Iterator[Site]:
    root = Resource()
    root.putChild(b"page", Data(b"a page", "text/plain"))
    root.putChild(b"live", OrchestraResource(factory))
    deep = Resource()
    deep.putChild(b"live", OrchestraResource(factory))
    root.putChild(b"deep", deep)
    site = Site(root, reactor=clock)
    site.startFactory()
    yield site
    for client in tuple(factory.clients):
        client.abort()
    site.stopFactory()
    assert not factory.clients


@pytest.mark.parametrize(
    ("url", "channel"),
    [
        ("/live", "main"),
        ("/live/", "main"),
        ("/live/strings", "strings"),
        ("/live/a/b", "a/b"),
        ("/live/Bl%C3%A4ser", "Bläser"),
        ("/live/a%2Fb?echo=1", "a/b"),
        ("/deep/live/strings", "strings"),
    ],
)
def test_the_rest_of_the_path_names_the_channel(
    site: Site, factory: OrchestraFactory, clock: Clock, url: str, channel: str
) -> None:
    """What follows the place where it is mounted is the channel, as it would be at the root."""
    client = join(site, url)
    assert factory.clients == {client.server}
    assert factory.hub.channels() == {channel: 1}
    client.send("hello")
    clock.advance(0)
    assert client.read() == ["Echo: hello"]


def test_the_query_counts(site: Site, factory: OrchestraFactory, clock: Clock) -> None:
    """A client of a mounted factory can ask for the past like any other."""
    factory.broadcast(b"1", channel="strings")
    factory.broadcast(b"2", channel="strings")
    clock.advance(0)
    late = MemoryClient(site, "/live/strings?last=1")
    assert late.read() == ["Echo: 2"]


def test_mounted_and_direct_clients_hear_each_other(
    site: Site, factory: OrchestraFactory, clock: Clock
) -> None:
    """It is one server, by whichever way its clients come."""
    mounted, direct = join(site, "/live/strings"), join(factory, "/strings")
    mounted.send("hello")
    clock.advance(0)
    assert mounted.read() == direct.read() == ["Echo: hello"]


def test_the_site_goes_on(site: Site) -> None:
    """Other resources are served as before."""
    client = WebClient(site)
    assert client.get("/page").text == "a page"
    assert client.get("/live?presence").status == 200
    assert client.get("/page").text == "a page"
    assert client.get("/healthz").status == 404
    client.vanish()


def test_the_site_logs_where_a_request_went(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site's own log of requests has the whole path, as for its other resources."""
    seen: list[bytes] = []
    monkeypatch.setattr(site, "log", lambda request: seen.append(request.uri))
    client = WebClient(site)
    client.post("/live/strings", "hello")
    client.get("/page")
    assert seen == [b"/live/strings", b"/page"]
    client.vanish()


def test_a_plain_request_is_told_to_upgrade(site: Site) -> None:
    """Whoever asks for the resource without a WebSocket handshake learns what is missing."""
    client = WebClient(site)
    answer = client.get("/live")
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    client.vanish()


@pytest.mark.parametrize("path", ["/live", "/deep/live"])
def test_all_of_it_is_served_below_its_path(
    site: Site, factory: OrchestraFactory, clock: Clock, path: str
) -> None:
    """Streams, POST and presence are those of the server's own port."""
    stream, direct = EventSource(site, f"{path}/strings?last=1"), join(factory, "/strings")
    client = WebClient(site)
    answer = client.post(f"{path}/strings", "hello", Origin="http://localhost:8080")
    assert answer.json["offset"] == 1
    assert answer.headers["access-control-allow-origin"] == "http://localhost:8080"
    clock.advance(0)
    assert texts(stream.hear()) == ["hello"]
    assert direct.read() == ["Echo: hello"]
    assert client.get(f"{path}/strings?presence=count").json == {"clients": 2, "identities": 0}
    assert client.do("OPTIONS", f"{path}/strings").status == 204
    assert client.do("HEAD", f"{path}/strings?presence").body == b""
    assert client.get(f"{path}/api").status == 404
    assert client.get(f"{path}/").status == 426
    assert client.post(f"{path}", "hello", Origin="https://evil.example").status == 403
    client.vanish()
    direct.vanish()


def test_what_is_too_large_is_refused_here_too(site: Site, factory: OrchestraFactory) -> None:
    """Once it has come: what comes before that is the business of the site."""
    client = WebClient(site)
    assert client.post("/live", "x" * 1024 * 1024).status == 200
    assert client.post("/live", "x" * 1024 * 1024 + "x").status == 413
    assert len(factory.hub.history("main")) == 1
    client.vanish()


def test_a_mounted_stream_is_a_client_like_any_other(
    site: Site, factory: OrchestraFactory, clock: Clock
) -> None:
    """It is counted, paused with its transport, outlives the site's timeout, and is seen off."""
    stream = EventSource(site, "/live")
    assert factory.countConnections == 1
    for _ in range(20):
        factory.broadcast(b"x" * 10_000)
        clock.advance(0)
    assert len(stream.transport.buffer) < BUFFER + 11_000
    assert len(texts(stream.hear())) == 20
    for _ in range(300):
        clock.advance(1)
        stream.hear()
    assert not stream.is_gone
    factory.drain(10)
    stream.hear()
    assert stream.reader.comments[-1] == "going away"
    assert stream.is_gone
    assert factory.countConnections == 0


def test_a_connection_of_the_site_has_no_place(clock: Clock) -> None:
    """Only those who listen are counted there."""
    factory = OrchestraFactory(reactor=clock, max_connections_per_address=1)
    root = Resource()
    root.putChild(b"live", OrchestraResource(factory))
    site = Site(root, reactor=clock)
    clients = [WebClient(site) for _ in range(3)]
    assert [client.post("/live", "hello").status for client in clients] == [200] * 3
    stream = EventSource(site, "/live")
    listening = {"Accept": "text/event-stream"}
    assert clients[0].get("/live", **listening).status == 429
    assert clients[0].get("/live?presence").status == 200
    stream.vanish()
    assert EventSource(site, "/live").answer.status == 200
    for client in (*clients, *factory.clients):
        client.transport.abortConnection()
    assert factory.countConnections == 0


def test_a_bad_channel_is_refused(site: Site) -> None:
    """The rules for names hold for what follows the place where it is mounted."""
    client = MemoryClient(site, "/live/api/x")
    client.read()
    assert client.refusal.status_code == 404


def test_a_slow_reader_is_paused_here_too(
    site: Site, factory: OrchestraFactory, clock: Clock
) -> None:
    """The site's own producer has made way for the client's."""
    client = join(site, "/live")
    assert client.transport.producer is client.server._outflow
    for _ in range(20):
        factory.broadcast(b"x" * 10_000)
        clock.advance(0)
    assert len(client.transport.buffer) < BUFFER + 11_000
    assert len(client.read()) == 20


def test_idle_clients_outlive_the_sites_timeout(site: Site, clock: Clock) -> None:
    """A WebSocket is not an HTTP request that takes too long."""
    client = join(site, "/live")
    for _ in range(300):
        clock.advance(1)
        client.read()
    assert not client.transport.disconnected


@pytest.mark.parametrize("headers", [UPGRADE, {"Accept": "text/event-stream"}])
def test_http2_is_told_so(factory: OrchestraFactory, headers: dict[str, str]) -> None:
    """A connection of many streams cannot be taken over: 426 says what to do."""
    answer = over_http2(factory, "GET", headers)
    assert answer.code == 426
    assert answer.responseHeaders.getRawHeaders("Upgrade") == ["websocket"]
    assert factory.clients == set()


def test_http2_will_do_for_the_rest(factory: OrchestraFactory) -> None:
    """Whoever neither listens nor upgrades needs no connection of its own."""
    assert over_http2(factory, "POST", {"Content-Type": "text/plain"}).code == 200
    assert [note.payload for note in factory.hub.history("strings")] == [b"hello"]
    assert over_http2(factory, "OPTIONS", {}).code == 204


def over_http2(factory: OrchestraFactory, method: str, headers: dict[str, str]) -> Request:
    """A request as twisted.web makes it of a stream of HTTP/2, once it was served."""
    resource = OrchestraResource(factory)
    request = Request(Stream(Site(resource, reactor=factory.reactor)))
    for name, value in headers.items():
        request.requestHeaders.addRawHeader(name, value)
    request.content = BytesIO(b"hello")
    request.method, request.uri = method.encode(), b"/live/strings"
    request.prepath, request.clientproto = [b"live"], b"HTTP/2"
    request.render(resource)
    return request


class Stream:
    """What twisted.web has for a channel there: it has no transport to take over."""

    transport = None
    factory = None

    def __init__(self, site: Site) -> None:
        self.site = site

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 50000)

    getHost = getPeer

    def writeHeaders(self, *args: Any) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def requestDone(self, request: Request) -> None:
        pass
