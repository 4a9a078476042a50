"""What is told of a factory and its hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet.task import Clock

from orchestra.counters import MAX_APART, Histogram
from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.observe.collector import OrchestraCollector
from orchestra.settings import ChannelSettings
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.opening import MAX_HEAD
from tests.memory import join
from tests.metrics import read
from tests.web.client import UPGRADE, EventSource, WebClient
from tests.web.conftest import Serve, factory, serve

__all__ = ["factory", "serve"]  # the fixtures

Told = Callable[[OrchestraFactory], dict[str, float]]


@pytest.fixture
def told() -> Told:
    """What is told, by the names of the samples with their labels."""

    def told(factory: OrchestraFactory) -> dict[str, float]:
        registry = CollectorRegistry()
        registry.register(OrchestraCollector(factory, Histogram()))
        return read(generate_latest(registry).decode())

    return told


ALONE = ChannelSettings(max_connections=1)
WEBSOCKETS = '{dialect="raw",transport="websocket"}'
STREAMS = '{dialect="event_stream",transport="event_stream"}'


def test_connections(factory: OrchestraFactory, told: Told) -> None:
    """Who is there, who came, and with what code they left."""
    before = told(factory)
    for name in ("orchestra_connections", "orchestra_connections_opened_total"):
        assert before[name + WEBSOCKETS] == before[name + STREAMS] == 0, "not there from the start"
    clients = [join(factory) for _ in range(4)]
    stream = EventSource(factory)
    clients[0].close(1000)
    clients[0].read()
    clients[1].vanish()
    clients[2].close(4321)
    clients[2].read()
    stream.vanish()
    found = told(factory)
    assert found["orchestra_connections" + WEBSOCKETS] == 1
    assert found["orchestra_connections" + STREAMS] == 0
    assert found["orchestra_connections_opened_total" + WEBSOCKETS] == 4
    assert found["orchestra_connections_opened_total" + STREAMS] == 1
    closed = "orchestra_connections_closed_total"
    assert {name: value for name, value in found.items() if name.startswith(closed)} == {
        closed + '{code="1000"}': 1,
        closed + '{code="1006"}': 1,
        closed + '{code="other"}': 1,
        closed + '{code="none"}': 1,
    }


def test_messages(factory: OrchestraFactory, told: Told) -> None:
    """They come from somewhere, and go to everybody."""
    clients = [join(factory) for _ in range(3)]
    clients[0].send("C#4", "D4")
    WebClient(factory).post("/", "E4")
    factory.broadcast(b"F4")
    factory.hub.flush()
    texts = ["Echo: C#4", "Echo: D4", "Echo: E4", "Echo: F4"]
    assert [client.read() for client in clients] == [texts] * 3
    found = told(factory)
    for source, messages, size in (("websocket", 2, 5), ("post", 1, 2), ("application", 1, 2)):
        labels = f'{{source="{source}"}}'
        assert found["orchestra_published_messages_total" + labels] == messages
        assert found["orchestra_published_bytes_total" + labels] == size
    assert found["orchestra_deliveries_total"] == 3 * 4
    assert found["orchestra_delivered_bytes_total"] == 3 * sum(2 + len(text) for text in texts)
    assert found["orchestra_subscribers"] == 3
    assert found["orchestra_channels"] == 1
    assert found["orchestra_retained_messages"] == 4
    assert found["orchestra_retained_bytes"] == 9
    assert found["orchestra_delivery_delay_seconds_count"] > 0
    assert found["orchestra_delivery_delay_seconds_sum"] == 0, "the clock stands still"
    assert found['orchestra_delivery_delay_seconds_bucket{le="0.0001"}'] > 0


def refused(told: dict[str, float]) -> dict[str, float]:
    """The refusals that are told of."""
    name = "orchestra_refused_requests_total"
    return {key.removeprefix(name): n for key, n in told.items() if key.startswith(name)}


@pytest.mark.parametrize(
    ("options", "url", "headers", "status", "reason"),
    [
        ({}, "/", {"Origin": "https://example.com"}, 403, "origin"),
        ({"max_connections_per_address": 1}, "/", {}, 429, "address_limit"),
        ({"max_connections": 1}, "/", {}, 503, "full"),
        ({"hub": {"channels": {"*": ALONE}}}, "/", {}, 503, "channel_full"),
        ({}, "/?last=many", {}, 400, "malformed"),
        ({}, "/api", {}, 404, "not_found"),
        ({}, "/", {"Sec-WebSocket-Version": "12"}, 426, "upgrade"),
        ({}, "/", {"Sec-WebSocket-Key": "none"}, 400, "malformed"),
        ({}, "/", {"X": "x" * MAX_HEAD}, 431, "too_large"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"Sec-WebSocket-Protocol": "mine"}], ids=["common", "not"])
def test_refused_websockets(
    serve: Serve,
    told: Told,
    options: dict[str, Any],
    url: str,
    headers: dict[str, str],
    status: int,
    reason: str,
    more: dict[str, str],
) -> None:
    """Each counts once, by its status and the reason, whether Autobahn has read it or we have."""
    factory = serve(**options)
    join(factory)
    answer = WebClient(factory).get(url, **{**UPGRADE, **headers, **more})
    assert answer.status == status
    assert refused(told(factory)) == {f'{{reason="{reason}",status="{status}"}}': 1}


@pytest.mark.parametrize(
    ("method", "url", "headers", "status", "reason"),
    [
        ("GET", "/", {"Accept": "text/event-stream", "Origin": "https://a.com"}, 403, "origin"),
        ("GET", "/", {}, 426, "upgrade"),
        ("PUT", "/", {}, 405, "method"),
        ("POST", "/api", {}, 404, "not_found"),
        ("POST", "/", {"Content-Type": "multipart/form-data"}, 415, "media_type"),
        ("POST", "/closed", {}, 403, "not_allowed"),
        ("POST", "/small", {}, 413, "too_large"),
        ("GET", "/", {"Host": "another"}, 400, "malformed"),
    ],
)
def test_other_requests_that_are_refused(
    serve: Serve,
    told: Told,
    method: str,
    url: str,
    headers: dict[str, str],
    status: int,
    reason: str,
) -> None:
    """They count as well."""
    channels = {
        "closed": ChannelSettings(publishers=()),
        "small": ChannelSettings(max_message_size=1),
    }
    factory = serve(hub={"channels": channels})
    assert WebClient(factory).do(method, url, b"C#4", **headers).status == status
    assert refused(told(factory)) == {f'{{reason="{reason}",status="{status}"}}': 1}


def test_refused_before_it_has_come(serve: Serve, told: Told) -> None:
    """A body that is too large is refused by its first bytes, and by who sends it before that."""
    factory = serve(max_message_size=10)
    for headers in ({}, {"Origin": "https://example.com"}):
        WebClient(factory).post("/", b"x" * 11, **headers)
    assert refused(told(factory)) == {
        '{reason="too_large",status="413"}': 1,
        '{reason="origin",status="403"}': 1,
    }


def test_refused_for_the_time_being(serve: Serve, told: Told, clock: Clock) -> None:
    """Too many messages, one in the place of another, slow readers, and the end."""
    factory = serve(hub={"channels": {"slow": ChannelSettings(max_message_rate=1)}})
    client = WebClient(factory)
    for _ in range(2):
        client.post("/slow", "C#4")
    for note in ("C#4", "D4"):
        client.post("/", note, Idempotency_Key="one")
    factory.backpressure.is_high = True
    client.post("/", "C#4")
    factory.backpressure.is_high = False
    factory.accepting = False
    assert WebClient(factory).post("/", "C#4").status == 503
    assert refused(told(factory)) == {
        '{reason="rate",status="429"}': 1,
        '{reason="key_reused",status="422"}': 1,
        '{reason="slow_readers",status="503"}': 1,
        '{reason="shutting_down",status="503"}': 1,
    }


def test_no_more_files(
    factory: OrchestraFactory, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is not even read from is a refusal."""
    monkeypatch.setattr("orchestra.websocket.factory.getrlimit", lambda _: (0, 0))
    assert factory.buildProtocol(None) is None
    assert refused(told(factory)) == {'{reason="files",status="503"}': 1}


def test_slow_readers(serve: Serve, told: Told) -> None:
    """Who lags behind, what waits for it, who has to wait, and how it ends."""
    factory = serve(hub={"retention": Retention(messages=2)}, max_buffered=100_000)
    slow, stalled, player = join(factory), join(factory), join(factory, "/?echo=0")
    note = "x" * 70_000
    player.send(note)
    factory.hub.flush()
    player.send(note)
    found = told(factory)
    assert found["orchestra_lagging_subscribers"] == 2
    assert found["orchestra_full_connections"] == 2
    assert found["orchestra_buffered_bytes"] == factory.backpressure.size > 100_000
    assert found["orchestra_buffered_limit_bytes"] == 100_000
    assert found["orchestra_held_publishers"] == 1
    assert found["orchestra_evicted_readers_total"] == 0
    for _ in range(3):
        factory.hub.publish("main", note.encode(), publisher=player.server.client_id)
        factory.hub.flush()
    found = told(factory)
    assert found["orchestra_evicted_readers_total"] == 2
    assert found["orchestra_missed_messages_total"] == 2
    assert found["orchestra_lagging_subscribers"] == 0
    for client in (slow, stalled):
        client.read()
        assert client.close_frame == (1013, "slow reader")
    found = told(factory)
    assert found["orchestra_held_publishers"] == found["orchestra_buffered_bytes"] == 0
    assert found["orchestra_full_connections"] == 0
    assert found['orchestra_connections_closed_total{code="1013"}'] == 2


def test_channels_are_told_of_only_when_that_is_wanted(serve: Serve, told: Told) -> None:
    """There is no label with what clients choose, unless an operator has asked for it."""
    factory = serve()
    join(factory, "/strings")
    factory.broadcast(b"C#4", channel="strings")
    assert not any("strings" in name for name in told(factory))


def test_channels_of_which_it_is_wanted(serve: Serve, told: Told) -> None:
    """Those that match have numbers of their own, whatever they are called; up to a bound."""
    factory = serve(hub={"counted_apart": ["a/*"]})
    odd = 'a/"\\'
    join(factory, "/a/%22%5C"), join(factory, "/a/%22%5C"), join(factory, "/b")
    for channel in (odd, "b"):
        factory.broadcast(b"C#4", channel=channel)
    factory.hub.flush()
    found = told(factory)
    label = f'{{channel="{odd}"}}'
    assert found["orchestra_channel_published_messages_total" + label] == 1
    assert found["orchestra_channel_deliveries_total" + label] == 2
    assert found["orchestra_channel_subscribers" + label] == 2
    assert found["orchestra_channel_retained_messages" + label] == 1
    assert found["orchestra_deliveries_total"] == 3
    for number in range(2 * MAX_APART):
        factory.broadcast(b"C#4", channel=f"a/{number}")
    found = told(factory)
    name = "orchestra_channel_published_messages_total"
    assert len([key for key in found if key.startswith(name)]) == MAX_APART + 1
    assert found[name + '{channel="other"}'] == MAX_APART + 1


def test_the_broker(factory: OrchestraFactory, told: Told) -> None:
    """The hub is in this process, and so it is always there."""
    assert told(factory)['orchestra_broker_up{broker="memory"}'] == 1


def test_the_number_of_channels_does_not_matter(told: Told) -> None:
    """What is told is kept as it changes: it does not go through channels or clients."""
    clock = Clock()
    factory = OrchestraFactory(Hub(clock=clock.seconds), reactor=clock)
    for number in range(1000):
        factory.broadcast(b"C#4", channel=str(number))
    factory.hub._channels = None  # type: ignore[assignment]
    factory.clients = None  # type: ignore[assignment]
    assert told(factory)["orchestra_channels"] == 1000


def test_a_lag_that_is_not_measured(factory: OrchestraFactory) -> None:
    """Nothing is told of it; all else is."""
    with_lag = {metric.name for metric in OrchestraCollector(factory, Histogram()).collect()}
    without = {metric.name for metric in OrchestraCollector(factory).collect()}
    assert with_lag - without == {"orchestra_reactor_lag_seconds"}
    assert without < with_lag
