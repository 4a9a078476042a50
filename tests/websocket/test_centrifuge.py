"""How a WebSocket comes to speak the Centrifuge protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.web.resource import Resource
from twisted.web.server import Site
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from orchestra.dialects.centrifuge import protobuf
from orchestra.hub import Hub
from orchestra.observe.activity import ConnectionKind
from orchestra.settings import ChannelSettings
from orchestra.web.resource import OrchestraResource
from orchestra.websocket import factory as factory_module
from orchestra.websocket.centrifuge import CentrifugeProtocol, framing
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.protocol import OrchestraProtocol
from tests.events import named
from tests.memory import MemoryClient, MemoryTransport, join
from tests.session.sdk import SDK, URL

PAGE = {"Origin": "http://localhost:8080"}
IN_JSON = {"Sec-WebSocket-Protocol": "centrifuge-json"}
IN_PROTOBUF = {"Sec-WebSocket-Protocol": "centrifuge-protobuf"}


@pytest.fixture
def server(clock: Clock) -> OrchestraFactory:
    return OrchestraFactory(reactor=clock, ping_interval=0)


def refusal(client: MemoryClient) -> int:
    client.read()
    status: int = client.refusal.status_code
    assert client.transport.disconnected
    return status


@pytest.mark.parametrize("headers", [{}, PAGE, IN_JSON, {**PAGE, **IN_JSON}])
@pytest.mark.parametrize("query", ["", "?format=json"])
def test_the_handshake(server: OrchestraFactory, headers: Any, query: str) -> None:
    """Whoever reads it, the right protocol goes on, with nothing left of the first one."""
    sdk = SDK(server, url=URL + query, headers=headers)
    assert isinstance(sdk.session, CentrifugeProtocol)
    assert sdk.wire.ws.handshake_exc is None
    assert sdk.connected["client"] == sdk.id
    assert server.countConnections == 1
    assert sdk.wire.transport.producer is sdk.session._outflow
    assert sdk.session.remote == "127.0.0.1"
    sdk.wire.close()
    sdk.wire.read()
    assert server.countConnections == 0
    assert server.activity.opened == {ConnectionKind.CENTRIFUGE: 1}


def answer(server: OrchestraFactory, **headers: str) -> str:
    client = MemoryClient(
        server, URL, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    head = client.transport.take().partition(b"\r\n\r\n")[0].decode()
    client.transport.abortConnection()
    return head


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        ("centrifuge-json", "centrifuge-json"),
        ("chat, centrifuge-json, centrifuge-protobuf", "centrifuge-json"),
        ("centrifuge-protobuf, centrifuge-json", "centrifuge-protobuf"),
        ("chat", None),
    ],
)
def test_the_subprotocol(server: OrchestraFactory, offers: str, chosen: str | None) -> None:
    """It is the first one that is spoken; without any it is JSON."""
    if chosen == "centrifuge-protobuf" and protobuf.load() is None:
        pytest.skip("protobuf is not installed")
    head = answer(server, Sec_WebSocket_Protocol=offers)
    assert head.startswith("HTTP/1.1 101 ")
    told = [line for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Protocol")]
    assert told == ([] if chosen is None else [f"Sec-WebSocket-Protocol: {chosen}"])


def test_without_protobuf(server: OrchestraFactory, monkeypatch: Any, log: list[LogEvent]) -> None:
    """Where what it takes is not installed, it is refused in words, and nothing stays."""
    monkeypatch.setattr(protobuf, "load", lambda: None)
    client = MemoryClient(server, URL, headers=IN_PROTOBUF)
    assert refusal(client) == 400
    (event,) = named(log, "refused")
    assert event["reason"] == "this server speaks the protocol in JSON only, not in protobuf"
    assert server.countConnections == 0


@pytest.mark.parametrize(
    ("query", "headers"),
    [("", IN_PROTOBUF), ("?cf_protocol=protobuf", {}), ("?a=b&format=protobuf", {})],
)
def test_protobuf(server: OrchestraFactory, query: str, headers: dict[str, str]) -> None:
    """Its frames are binary, whether it was asked for by the subprotocol or in the URL."""
    client_pb2: Any = pytest.importorskip("centrifuge.protocol.client_pb2")
    client = MemoryClient(server, URL + query, headers=headers)
    client.read()
    command = client_pb2.Command(id=1, connect=client_pb2.ConnectRequest()).SerializeToString()
    client.send(bytes([len(command)]) + command)
    (frame,) = client.read()
    assert isinstance(frame, bytes)
    reply = client_pb2.Reply.FromString(frame[1:])
    assert (reply.id, reply.connect.client) == (1, client.server.client_id)
    client.vanish()


def test_other_paths(server: OrchestraFactory) -> None:
    """What only looks like it names no channel, and what is no WebSocket is not taken for one."""
    for path in (URL + "/", URL + "x", "/connection/other", "/connection/"):
        assert refusal(MemoryClient(server, path)) == 404
    protocol: Any = server.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5))
    transport = MemoryTransport(protocol)
    protocol.makeConnection(transport)
    protocol.dataReceived(b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\n\r\n")
    assert transport.take().startswith(b"HTTP/1.1 404 ")
    transport.abortConnection()


@pytest.mark.parametrize("limit", [0, 100])
def test_how_long_commands_may_be(clock: Clock, limit: int) -> None:
    """Long enough for a message of the channel with the highest limit; longer ones are closed
    with 1009."""
    hub = Hub(channels={"long": ChannelSettings(max_message_size=limit and 1000)})
    server = OrchestraFactory(hub, reactor=clock, max_message_size=limit, ping_interval=0)
    sdk = SDK(server)
    assert sdk.ask("publish", channel="long", data="x" * 1000) == {}
    sdk.wire.send(" " * (server.site.max_commands or 3_000_000))
    assert sdk.closed is None
    if limit:
        sdk.wire.send(" " * (server.site.max_commands + 1))
        assert sdk.closed is not None
        assert sdk.closed[0] == 1009
        assert not server.clients
    sdk.wire.vanish()


def test_compression(clock: Clock) -> None:
    """What is worth it is compressed for those who offer that, both ways, each message once."""
    server = OrchestraFactory(reactor=clock, compress=True, ping_interval=0)
    extensions = [ClientPerMessageDeflateFactory()]
    clients = [join(server, URL, extensions) for _ in range(2)]
    for client in clients:
        client.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"a"}}')
        client.read()
    clients[0].send(json.dumps({"id": 3, "publish": {"channel": "a", "data": "x" * 5000}}))
    clock.advance(0)
    assert len(clients[1].transport.buffer) < 200
    assert clients[0].transport.buffer.endswith(clients[1].transport.buffer)
    for client in clients:
        assert json.loads(str(client.read()[-1]))["push"]["pub"]["data"] == "x" * 5000
        client.vanish()
    assert framing(clients[0].server.codec, 0) is framing(clients[1].server.codec, 0)


def test_each_protocol_has_its_own_options(server: OrchestraFactory) -> None:
    """The pings of a session are its own; a client of one channel has the factory's."""
    server.setProtocolOptions(autoPingInterval=7)
    sdk, raw = SDK(server), join(server)
    assert isinstance(raw.server, OrchestraProtocol)
    assert (sdk.session.autoPingInterval, raw.server.autoPingInterval) == (0, 7)
    assert sdk.session.pings.seconds == 7
    assert len(vars(sdk.session)) < 70
    for client in (sdk.wire, raw):
        client.vanish()


def test_connections_of_an_address(clock: Clock) -> None:
    """Each counts once, from its handshake on, and until it is gone."""
    server = OrchestraFactory(reactor=clock, max_connections_per_address=2, ping_interval=0)
    first, second = SDK(server), SDK(server, None)
    assert refusal(MemoryClient(server, URL)) == 429
    assert refusal(MemoryClient(server, "/a")) == 429
    second.wire.vanish()
    third = SDK(server)
    for sdk in (first, third):
        sdk.wire.vanish()
    assert len(server.admission._per_address) == 0


def test_a_page_of_another_site(server: OrchestraFactory) -> None:
    """It is refused, and does not count."""
    assert refusal(MemoryClient(server, URL, headers={"Origin": "https://evil.example"})) == 403
    assert server.countConnections == 0


def test_no_more_room(clock: Clock, log: list[LogEvent]) -> None:
    """Clients that are connected count; who shakes hands then is told 503, and who did so before
    is told that it is full."""
    server = OrchestraFactory(reactor=clock, max_connections=1, ping_interval=0)
    early = SDK(server, None)
    sdk = SDK(server)
    assert refusal(MemoryClient(server, URL)) == 503
    assert early.ask("connect") == {
        "code": 100,
        "message": "the server is full",
        "temporary": True,
    }
    for client in (early, sdk):
        client.wire.vanish()
    assert server.countConnections == 0


def test_no_more_files(server: OrchestraFactory, monkeypatch: Any) -> None:
    """With as many open as may be, the handshake is refused with 503."""
    monkeypatch.setattr(factory_module, "getrlimit", lambda _: (1000, 1000))
    server.countConnections = 1000 - 32 - 1
    assert refusal(MemoryClient(server, URL)) == 503
    assert server.countConnections == 1000 - 32 - 1


def test_on_a_connection_that_is_kept(server: OrchestraFactory, clock: Clock) -> None:
    """A proxy may send the handshake on a connection that requests have come by."""
    protocol: Any = server.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5))
    transport = MemoryTransport(protocol)
    protocol.makeConnection(transport)
    transport.protocol.dataReceived(b"GET /healthz HTTP/1.1\r\nHost: localhost:8080\r\n\r\n")
    assert transport.take().startswith(b"HTTP/1.1 200 ")
    client = MemoryClient(server, URL)  # for its request
    request = client.ws.connect()
    client.vanish()
    transport.protocol.dataReceived(request.serialize())
    clock.advance(0)
    assert transport.take().startswith(b"HTTP/1.1 101 ")
    assert isinstance(transport.protocol, CentrifugeProtocol)
    assert server.countConnections == 1
    transport.abortConnection()
    assert server.countConnections == 0


def test_mounted_in_a_site(server: OrchestraFactory, clock: Clock) -> None:
    """Below the path that it is mounted at, it is spoken as elsewhere."""
    root = Resource()
    root.putChild(b"live", OrchestraResource(server))
    site = Site(root, reactor=clock)
    sdk = SDK(site, url="/live" + URL)
    assert isinstance(sdk.session, CentrifugeProtocol)
    assert sdk.ask("ping") == {}
    assert len(server.clients) == 1
    sdk.wire.vanish()
    assert server.countConnections == 0
    assert refusal(MemoryClient(site, "/live/connection/other")) == 404
