"""Who asks for the metrics, and what is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from orchestra.observe.scraping import TIMEOUT, MetricsResource, MetricsSite
from tests.events import captured
from tests.web.client import WebClient, request


class Counted(Collector):
    """Tells how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def collect(self) -> Iterable[Metric]:
        self.asked += 1
        return [GaugeMetricFamily("asked", "How often it was asked.", self.asked)]


class Thread:
    """Another thread, which does what it is told to when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, call: Callable[..., bytes], *args: object) -> Deferred[bytes]:
        done: Deferred[bytes] = Deferred()

        def work() -> None:
            try:
                result = call(*args)
            except Exception:
                done.errback()
            else:
                done.callback(result)

        self.waiting.append(work)
        return done

    def work(self) -> None:
        waiting, self.waiting = self.waiting, []
        for work in waiting:
            work()


@pytest.fixture
def here() -> Counted:
    return Counted()


@pytest.fixture
def elsewhere() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("elsewhere", "Something else.", registry=registry).set(7)
    return registry


@pytest.fixture
def thread() -> Thread:
    return Thread()


@pytest.fixture
def site(
    here: Counted, elsewhere: CollectorRegistry, thread: Thread, clock: Clock
) -> Iterator[MetricsSite]:
    yield MetricsSite(MetricsResource(here, elsewhere, thread), clock)
    clock.advance(TIMEOUT)
    clock.advance(TIMEOUT)
    assert clock.getDelayedCalls() == [], "a connection is kept for ever"


def test_both_parts_are_told(site: MetricsSite, thread: Thread) -> None:
    """What is known here, and what another thread finds out."""
    client = WebClient(site)
    client.ask("GET", "/metrics")
    assert client.read() == []
    thread.work()
    (answer,) = client.read()
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "\nasked 1.0\n" in answer.text
    assert answer.text.endswith("\nelsewhere 7.0\n")


def test_many_at_once_cost_no_more_than_two(
    site: MetricsSite, here: Counted, thread: Thread
) -> None:
    """Who asks while an answer is on its way shares the next one with all others who do."""
    first = WebClient(site)
    first.ask("GET", "/metrics")
    others = [WebClient(site) for _ in range(50)]
    for client in others:
        client.ask("GET", "/metrics")
    thread.work()
    assert "\nasked 1.0\n" in first.read()[0].text
    assert [client.read() for client in others] == [[]] * 50
    thread.work()
    for client in others:
        assert "\nasked 2.0\n" in client.read()[0].text
    assert here.asked == 2
    first.ask("GET", "/metrics")
    thread.work()
    assert "\nasked 3.0\n" in first.read()[0].text


def test_who_is_gone_is_not_answered(site: MetricsSite, thread: Thread) -> None:
    """Whoever hangs up before the answer keeps nobody else from getting theirs."""
    clients = [WebClient(site) for _ in range(3)]
    for client in clients:
        client.ask("GET", "/metrics")
    clients[0].vanish()
    clients[1].vanish()
    with captured() as events:
        thread.work()
        thread.work()
    assert events == []
    assert clients[2].read()[0].status == 200


def test_head_is_the_same_without_a_body(site: MetricsSite, thread: Thread) -> None:
    """Its length is told."""
    client = WebClient(site)
    client.ask("HEAD", "/metrics")
    client.ask("GET", "/metrics")
    thread.work()
    thread.work()
    head, answer = client.read()
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("target", ["/", "/metrics/", "/metrics/x", "/healthz", "/metricsx"])
def test_there_is_nothing_else(site: MetricsSite, target: str) -> None:
    """Any other path is 404."""
    assert WebClient(site).get(target).status == 404


@pytest.mark.parametrize(("method", "status"), [("POST", 405), ("DELETE", 501), ("NONSENSE", 501)])
def test_it_is_only_for_reading(
    site: MetricsSite, here: Counted, method: str, status: int
) -> None:
    """Nothing else can be done with it, and then nothing is collected."""
    answer = WebClient(site).do(method, "/metrics")
    assert answer.status == status
    if status == 405:
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert here.asked == 0


def test_bodies_are_thrown_away(site: MetricsSite, thread: Thread) -> None:
    """However much is sent with a request, nothing of it is kept."""
    client = WebClient(site)
    client.send(request("GET", "/metrics", Content_Length="1000000"))
    (kept,) = client.server._channel.requests
    for _ in range(10):
        client.send(b"x" * 100_000)
    assert kept.content.getvalue() == b""
    client._methods.append("GET")
    thread.work()
    assert client.read()[0].status == 200


def test_nonsense_is_refused(site: MetricsSite) -> None:
    """What is no HTTP is answered with 400, and the connection is over."""
    client = WebClient(site)
    with captured() as events:
        client.send(b"nonsense\r\n\r\n")
    assert client.transport.take().startswith(b"HTTP/1.1 400 ")
    assert client.is_gone
    assert events == []


def test_a_collector_that_fails(
    site: MetricsSite, elsewhere: CollectorRegistry, thread: Thread
) -> None:
    """It is an application's; the log says how it failed, and the next one is asked anew."""

    class Broken(Collector):
        def collect(self) -> Iterable[Metric]:
            raise RuntimeError("broken")

    broken = Broken()
    elsewhere.register(broken)
    client = WebClient(site)
    client.ask("GET", "/metrics")
    with captured() as events:
        thread.work()
    (answer,) = client.read()
    assert (answer.status, answer.text) == (500, "internal server error\n")
    assert [event["log_failure"].type for event in events] == [RuntimeError]
    elsewhere.unregister(broken)
    client.ask("GET", "/metrics")
    thread.work()
    assert client.read()[0].status == 200
