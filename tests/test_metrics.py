"""The metrics as a service beside the server."""

from __future__ import annotations

import pytest
import pytest_twisted
from prometheus_client import Counter
from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface.verify import verifyObject

from orchestra.hub import Hub
from orchestra.metrics import MetricsService, endpoint_string
from orchestra.service import ListenError
from orchestra.websocket.factory import OrchestraFactory
from tests.events import captured, lines, named
from tests.metrics import read


class Body(Protocol):
    """Takes the body of an answer, up to its end."""

    def __init__(self) -> None:
        self.text = b""
        self.done: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.text += data

    def connectionLost(self, reason: Failure) -> None:
        self.done.callback(self.text)


def scrape(service: MetricsService) -> Deferred[dict[str, float]]:
    """What a service tells."""
    return Deferred.fromCoroutine(_scrape(service))


async def _scrape(service: MetricsService) -> dict[str, float]:
    port = (await service._listening[0]).getHost().port
    agent = Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
    answer = await agent.request(b"GET", b"http://127.0.0.1:%d/metrics" % port)
    assert answer.code == 200
    body = Body()
    answer.deliverBody(body)
    return read((await body.done).decode())


@pytest_twisted.ensureDeferred
async def test_two_factories_in_a_process() -> None:
    """Each has its own numbers, on its own port; those of the process are the same."""
    factories = [OrchestraFactory(Hub(), reactor=reactor) for _ in range(2)]
    services = [MetricsService(factory, "0") for factory in factories]
    for service in services:
        assert verifyObject(IService, service)
        service.startService()
    factories[0].broadcast(b"C#4")
    Counter("mine", "An application's own.", registry=services[1].registry).inc()
    found = await gatherResults([scrape(service) for service in services])
    assert [told["orchestra_retained_messages"] for told in found] == [1, 0]
    assert [told.get("mine_total") for told in found] == [None, 1]
    for told in found:
        assert told["process_open_fds"] > 0
        assert told['python_gc_collections_total{generation="0"}'] > 0
        assert any(name.startswith("python_info{") for name in told)
        assert told["orchestra_reactor_lag_seconds_count"] == 0
    for service in services:
        await service.stopService()


@pytest_twisted.ensureDeferred
async def test_many_ask_at_once() -> None:
    """All of them are answered."""
    service = MetricsService(OrchestraFactory(Hub(), reactor=reactor), "0")
    service.startService()
    found = await gatherResults([scrape(service) for _ in range(50)])
    assert all(told["orchestra_channels"] == 0 for told in found)
    await service.stopService()


@pytest_twisted.ensureDeferred
async def test_it_starts_and_stops() -> None:
    """It says where it listens, measures the reactor until it stops, and can do so again."""
    clock = Clock()
    service = MetricsService(
        OrchestraFactory(Hub(), reactor=clock),
        TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
        reactor=clock,
    )
    for _ in range(2):
        with captured() as events:
            service.privilegedStartService()
            service.startService()
        (told,) = named(events, "metrics")
        assert f"Metrics are on {told['address']}" in lines(events)
        assert told["address"].startswith("tcp 127.0.0.1:")
        clock.advance(1.5)
        await service.stopService()
        assert [call for call in clock.getDelayedCalls() if call.active()] == []
    assert service._lag.seen.sum == pytest.approx(1.0)


@pytest_twisted.ensureDeferred
async def test_a_place_that_is_taken_is_an_error() -> None:
    """It is told as it is of the server itself."""
    factory = OrchestraFactory(Hub(), reactor=reactor)
    first = MetricsService(factory, "0")
    first.startService()
    port = (await first._listening[0]).getHost().port
    with pytest.raises(ListenError, match="in use"):
        MetricsService(factory, str(port)).startService()
    await first.stopService()


def test_a_bad_endpoint_string_is_an_error(clock: Clock) -> None:
    """It is refused when the service is made."""
    factory = OrchestraFactory(Hub(), reactor=clock)
    with pytest.raises(ValueError, match="nonsense"):
        MetricsService(factory, "nonsense:1", reactor=clock)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("9090", "tcp:9090:interface=127.0.0.1"),
        ("tcp:9090", "tcp:9090"),
        ("unix:/run/metrics.sock", "unix:/run/metrics.sock"),
        ("٣", "٣"),
        ("", ""),
    ],
)
def test_a_port_alone_is_one_of_this_machine(text: str, meant: str) -> None:
    """Whoever wants others to connect has to say so."""
    assert endpoint_string(text) == meant
