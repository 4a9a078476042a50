"""The server mounted in a web site, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from orchestra.hub import Hub
from orchestra.web.resource import OrchestraResource
from orchestra.websocket.factory import OrchestraFactory
from tests.memory import BUFFER, MemoryClient, MemoryTransport, join


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


def request(site: Site, clock: Clock, text: str) -> bytes:
    """The site's answer to a request."""
    protocol = site.buildProtocol(None)
    transport = MemoryTransport(protocol)
    protocol.makeConnection(transport)
    protocol.dataReceived(text.replace("\n", "\r\n").encode())
    return transport.take()


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


def test_the_site_goes_on(site: Site, clock: Clock) -> None:
    """Other resources are served as before."""
    answer = request(site, clock, "GET /page HTTP/1.1\nHost: localhost\n\n")
    assert answer.endswith(b"\r\n\r\na page")


def test_a_plain_request_is_told_to_upgrade(site: Site, clock: Clock) -> None:
    """Whoever asks for the resource without a WebSocket handshake learns what is missing."""
    answer = request(site, clock, "GET /live HTTP/1.1\nHost: localhost\n\n")
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"Upgrade: websocket\r\n" in answer


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


def test_http2_is_told_so(factory: OrchestraFactory) -> None:
    """A connection of many streams cannot be taken over: 426 says what to do."""

    class Channel:
        transport = None

    class Request:
        channel = Channel()
        code = 200

        def __init__(self) -> None:
            self.headers: dict[bytes, bytes] = {}

        def setResponseCode(self, code: int) -> None:
            self.code = code

        def setHeader(self, name: bytes, value: bytes) -> None:
            self.headers[name] = value

    stream: Any = Request()
    body = OrchestraResource(factory).render(stream)
    assert stream.code == 426
    assert stream.headers[b"Upgrade"] == b"websocket"
    assert b"HTTP/1.1" in body
