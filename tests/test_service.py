"""The server as a service: listening, and stopping in good order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.application.service import IService, MultiService
from twisted.internet import reactor
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from orchestra.accepting import MANY
from orchestra.hub import Hub
from orchestra.service import ListenError, OrchestraService
from orchestra.websocket.factory import OrchestraFactory
from tests.events import captured, lines, named
from tests.memory import MemoryClient, join


@implementer(IListeningPort)
class Port:
    """A port that is closed when the test says so."""

    def __init__(self, address: IAddress) -> None:
        self.address = address
        self.stopped: Deferred[None] | None = None

    def startListening(self) -> None:
        raise AssertionError("an endpoint's port listens already")

    def stopListening(self) -> Deferred[None]:
        self.stopped = Deferred()
        return self.stopped

    def getHost(self) -> IAddress:
        return self.address


@implementer(IStreamServerEndpoint)
class Endpoint:
    """An endpoint that gives what it was made with."""

    def __init__(self, result: Callable[[], Deferred[IListeningPort]]) -> None:
        self.result = result
        self.factories: list[IProtocolFactory] = []

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        self.factories.append(protocolFactory)
        return self.result()


@pytest.fixture
def factory(clock: Clock) -> OrchestraFactory:
    return OrchestraFactory(Hub(clock=clock.seconds), reactor=clock)


@pytest.fixture
def port() -> Port:
    return Port(IPv4Address("TCP", "127.0.0.1", 8080))


@pytest.fixture
def endpoint(port: Port) -> Endpoint:
    return Endpoint(lambda: succeed(port))


def test_it_is_a_service(clock: Clock) -> None:
    """It can be a part of any application, and makes a factory for a hub that has none."""
    hub = Hub()
    service = OrchestraService(hub, reactor=clock)
    assert verifyObject(IService, service)
    assert service.hub is service.factory.hub is hub
    parent = MultiService()
    service.setServiceParent(parent)
    assert parent.getServiceNamed("orchestra") is service


def test_it_listens_on_each_endpoint_once(factory: OrchestraFactory) -> None:
    """Privileged start or not, each endpoint is listened on once, with the factory."""
    ports = [
        Port(IPv4Address("TCP", "127.0.0.1", 8080)),
        Port(IPv6Address("TCP", "::1", 8081)),
        Port(UNIXAddress("/run/orchestra.sock")),
        Port(UNIXAddress(None)),
    ]
    endpoints = [Endpoint(lambda port=port: succeed(port)) for port in ports]
    service = OrchestraService(factory, *endpoints)
    with captured() as events:
        service.privilegedStartService()
        service.startService()
    assert [endpoint.factories for endpoint in endpoints] == [[factory]] * 4
    everybody = "Everybody may come in and play: there is no key for tokens."
    assert named(events, "access") == [{"event": "access", "access": everybody}]
    assert [line for line in lines(events) if line != everybody] == [
        "Listening on tcp 127.0.0.1:8080",
        "Listening on tcp [::1]:8081",
        "Listening on unix /run/orchestra.sock",
        f"Listening on {UNIXAddress(None)}",
    ]


def test_it_listens_without_privileges(factory: OrchestraFactory, endpoint: Endpoint) -> None:
    """Where nobody calls the privileged start, the ordinary one listens."""
    OrchestraService(factory, endpoint).startService()
    assert endpoint.factories == [factory]


@pytest_twisted.inlineCallbacks
def test_two_services_share_a_port() -> Any:
    """If both say so. Endpoints that are no strings have made up their minds already."""
    first = OrchestraService(Hub(), "tcp:0:interface=127.0.0.1", reuse_port=True)
    first.startService()
    (port,) = (waiting.result for waiting in first._listening)
    place = f"tcp:{port.getHost().port}:interface=127.0.0.1"
    with pytest.raises(ListenError, match="in use"):
        OrchestraService(Hub(), place).startService()
    second = OrchestraService(Hub(), place, reuse_port=True)
    second.startService()
    assert (yield second.listening())
    yield first.stopService()
    yield second.stopService()
    with pytest.raises(ValueError, match="only with endpoints that are strings"):
        OrchestraService(Hub(), place, Endpoint(Deferred), reuse_port=True)


def test_a_place_that_is_taken_is_an_error(factory: OrchestraFactory, endpoint: Endpoint) -> None:
    """The caller of the start learns which endpoint cannot be listened on, and why."""
    taken = Endpoint(lambda: fail(CannotListenError("", 8080, OSError("in use"))))
    service = OrchestraService(factory, endpoint, taken)
    with pytest.raises(ListenError, match="in use") as caught:
        service.startService()
    assert caught.value.endpoint is taken


def test_an_endpoint_that_raises_is_an_error(factory: OrchestraFactory) -> None:
    """An endpoint that does not even return is told of like any other that fails."""

    def raises() -> Deferred[IListeningPort]:
        raise OverflowError

    with pytest.raises(ListenError, match="OverflowError"):
        OrchestraService(factory, Endpoint(raises)).startService()


def test_an_endpoint_that_fails_late_is_logged(factory: OrchestraFactory) -> None:
    """An endpoint that takes its time to fail leaves a failure in the log."""
    waiting: Deferred[IListeningPort] = Deferred()
    OrchestraService(factory, Endpoint(lambda: waiting)).startService()
    with captured() as events:
        waiting.errback(CannotListenError("", 8080, OSError("in use")))
    assert [event["log_failure"].type for event in events] == [CannotListenError]


def test_a_bad_endpoint_string_is_an_error(clock: Clock) -> None:
    """It is refused when the service is made, not when it starts."""
    with pytest.raises(ValueError, match="nonsense"):
        OrchestraService(Hub(), "nonsense:8080", reactor=clock)


def test_stopping_in_good_order(factory: OrchestraFactory, endpoint: Endpoint, port: Port) -> None:
    """First nobody comes in any more, then everybody gets what was published and is seen off."""
    service = OrchestraService(factory, endpoint)
    service.startService()
    client = join(factory)
    factory.broadcast(b"the last note")
    stopped = service.stopService()
    assert port.stopped is not None
    assert client.read() == []
    port.stopped.callback(None)
    assert not stopped.called
    assert client.read() == ["Echo: the last note"]
    assert client.close_frame == (1001, "going away")
    assert stopped.called
    late = MemoryClient(factory)
    late.read()
    assert late.refusal.status_code == 503


def test_the_grace_bounds_the_stop(factory: OrchestraFactory, clock: Clock) -> None:
    """A client that does not leave is dropped when the grace is over."""
    service = OrchestraService(factory, grace=2)
    service.startService()
    client = join(factory)
    stopped = service.stopService()
    clock.advance(1.9)
    assert not stopped.called
    clock.advance(0.1)
    assert stopped.called
    assert client.transport.disconnected


def test_draining_comes_before_the_port_is_closed(
    factory: OrchestraFactory, endpoint: Endpoint, port: Port, clock: Clock
) -> None:
    """Who comes meanwhile is told to go elsewhere, those who are there play until it is their
    turn, and the port is closed when all are gone."""
    service = OrchestraService(factory, endpoint, drain=5)
    service.startService()
    clients = [join(factory) for _ in range(100)]
    stopped = service.stopService()
    assert not factory.accepting
    late = MemoryClient(factory)
    late.read()
    assert late.refusal.status_code == 503
    clock.advance(2.5)
    there = [client for client in clients if client.read() == [] and client.close_frame is None]
    assert 49 <= len(there) <= 51
    there[0].send("still here")
    clock.advance(0)
    assert [client.read() for client in there] == [["Echo: still here"]] * len(there)
    clock.advance(2.5)
    assert port.stopped is None
    for client in clients:
        client.read()
        assert client.close_frame == (1001, "going away")
    assert port.stopped is not None
    assert not stopped.called
    port.stopped.callback(None)
    assert stopped.called


def test_draining_nobody_takes_no_time(
    factory: OrchestraFactory, endpoint: Endpoint, port: Port
) -> None:
    """However long it may take."""
    service = OrchestraService(factory, endpoint, drain=3600)
    service.startService()
    stopped = service.stopService()
    assert port.stopped is not None
    port.stopped.callback(None)
    assert stopped.called


@pytest.mark.parametrize("drain", [-1, float("nan")])
def test_a_drain_must_be_possible(clock: Clock, drain: float) -> None:
    """It is refused when the service is made."""
    with pytest.raises(ValueError, match="drain must be 0 or more, not "):
        OrchestraService(Hub(), drain=drain, reactor=clock)


def test_stopping_before_an_endpoint_listens(factory: OrchestraFactory) -> None:
    """An endpoint that is still at it is told to give up, and nothing is left over."""
    service = OrchestraService(factory, Endpoint(Deferred))
    service.startService()
    with captured() as events:
        stopped = service.stopService()
    assert stopped.called
    assert events == []


def test_it_can_start_again(factory: OrchestraFactory, endpoint: Endpoint, port: Port) -> None:
    """After a stop, a start listens anew and lets clients in."""
    service = OrchestraService(factory, endpoint)
    for _ in range(2):
        service.startService()
        client = join(factory)
        client.vanish()
        stopped = service.stopService()
        assert port.stopped is not None
        port.stopped.callback(None)
        assert stopped.called
    assert len(endpoint.factories) == 2


class Player(WebSocketClientProtocol):
    """A client that plays a note when it comes in, and tells what it hears."""

    def onOpen(self) -> None:
        self.sendMessage(b"hello")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.heard.callback(payload)

    def onClose(self, wasClean: bool, code: int, reason: str) -> None:
        self.factory.closed.callback((wasClean, code))


@pytest.fixture
def player() -> Any:
    factory: Any = WebSocketClientFactory("ws://localhost")
    factory.protocol = Player
    factory.noisy = False
    factory.heard, factory.closed = Deferred(), Deferred()
    return factory


@pytest_twisted.ensureDeferred
async def test_a_real_reactor(player: Any, tmp_path: Path) -> None:
    """On a UNIX socket of the real reactor a client plays, hears and is seen off."""
    path = str(tmp_path / "orchestra.sock")
    service = OrchestraService(Hub(), f"unix:{path}")
    service.privilegedStartService()
    service.startService()
    assert (await service._listening[0]).numberAccepts == MANY, "it would accept without end"
    await UNIXClientEndpoint(reactor, path).connect(player)
    assert await player.heard == b"Echo: hello"
    with captured() as events:
        await service.stopService()
    assert await player.closed == (True, 1001)
    assert [event["code"] for event in named(events, "left")] == [1001]
    assert not Path(path).exists()
