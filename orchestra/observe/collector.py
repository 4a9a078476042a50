"""What the server counts, as Prometheus' client library wants it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from orchestra.counters import BOUNDS, SOURCES, Counters, Histogram
from orchestra.observe.activity import ConnectionKind

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory


class OrchestraCollector(Collector):
    """Reads the numbers of a factory and its hub. It counts nothing itself.

    It is to be asked in the reactor's thread, in which nothing changes meanwhile.
    """

    def __init__(self, factory: OrchestraFactory, lag: Histogram | None = None) -> None:
        """
        :param lag: how late the reactor is, in seconds; nothing is told of it without.
        """
        self._factory = factory
        self._lag = lag

    def collect(self) -> Iterator[Metric]:
        """All that is measured now. It takes no longer the more channels and clients there are."""
        total = self._factory.hub.ledger.total()
        yield from self._connections()
        yield from self._messages(total)
        yield from self._slow_readers(total)
        yield from self._history(total)
        yield from self._channels()
        yield from self._health()

    def _connections(self) -> Iterator[Metric]:
        activity = self._factory.activity
        labels = ["transport", "dialect"]
        now = GaugeMetricFamily(
            "orchestra_connections", "Clients that are connected and listen.", labels=labels
        )
        opened = CounterMetricFamily(
            "orchestra_connections_opened", "Clients that were let in.", labels=labels
        )
        for kind in ConnectionKind:
            now.add_metric(kind.value, activity.open[kind])
            opened.add_metric(kind.value, activity.opened[kind])
        yield now
        yield opened
        closed = CounterMetricFamily(
            "orchestra_connections_closed",
            "Clients that have gone, by the close code of whoever closed first: none without one, "
            "other if it is none of the standard's or the Centrifuge protocol's. 1006 is one "
            "that was lost.",
            labels=["code"],
        )
        for code, count in sorted(activity.closed.items()):
            closed.add_metric([code], count)
        yield closed
        refused = CounterMetricFamily(
            "orchestra_refused_requests",
            "Requests, for a WebSocket or anything else, that were refused: by HTTP status and by "
            "the reason in a word.",
            labels=["status", "reason"],
        )
        for (status, reason), count in sorted(activity.refusals.items()):
            refused.add_metric([str(status), reason], count)
        yield refused

    def _messages(self, total: Counters) -> Iterator[Metric]:
        messages = CounterMetricFamily(
            "orchestra_published_messages",
            "Messages that were published, by where they came from.",
            labels=["source"],
        )
        size = CounterMetricFamily(
            "orchestra_published_bytes",
            "Bytes of payload that were published, by where they came from.",
            labels=["source"],
        )
        for source in sorted({*SOURCES, *total.published}):
            flow = total.published[source]
            messages.add_metric([source], flow.messages)
            size.add_metric([source], flow.size)
        yield messages
        yield size
        yield CounterMetricFamily(
            "orchestra_deliveries",
            "Messages that were handed to a subscriber, each once for each subscriber.",
            total.deliveries,
        )
        yield CounterMetricFamily(
            "orchestra_delivered_bytes",
            "Bytes of messages that were handed to connections, as framed for them; what else "
            "goes over a connection does not count.",
            total.written,
        )
        yield _histogram(
            "orchestra_delivery_delay_seconds",
            "From published to written. Counted once for each delivery of a channel, that is once "
            "a turn: the time from when the first message of the turn was published until all "
            "subscribers that keep up were written to. Who lags behind is not waited for.",
            self._factory.hub.ledger.delays,
        )

    def _slow_readers(self, total: Counters) -> Iterator[Metric]:
        activity, backpressure = self._factory.activity, self._factory.backpressure
        yield GaugeMetricFamily(
            "orchestra_lagging_subscribers",
            "Subscribers that have not been written all that was delivered in their channel.",
            total.lagging,
        )
        yield GaugeMetricFamily(
            "orchestra_full_connections",
            "Connections with no room for more, whose client has to read first.",
            backpressure.full,
        )
        yield GaugeMetricFamily(
            "orchestra_buffered_bytes",
            "Bytes that wait in the server for slow readers, at most: a full connection counts "
            "with what it can hold.",
            backpressure.size,
        )
        yield GaugeMetricFamily(
            "orchestra_buffered_limit_bytes",
            "Beyond how many of these bytes publishers are held back; 0 for no limit.",
            backpressure.bound,
        )
        yield GaugeMetricFamily(
            "orchestra_held_publishers",
            "Clients from which nothing is taken until slow readers have caught up.",
            backpressure.held,
        )
        yield CounterMetricFamily(
            "orchestra_evicted_readers",
            "Clients that were closed because they read too slowly.",
            activity.evictions,
        )
        yield CounterMetricFamily(
            "orchestra_missed_messages",
            "Messages that did not reach a client that was too slow, or came back too late.",
            activity.missed_messages,
        )

    def _history(self, total: Counters) -> Iterator[Metric]:
        retained = total.retained
        yield GaugeMetricFamily("orchestra_channels", "Channels there are.", total.channels)
        yield GaugeMetricFamily(
            "orchestra_subscribers",
            "Subscribers of all channels: clients, and callbacks of the application.",
            total.subscribers,
        )
        yield GaugeMetricFamily(
            "orchestra_retained_messages",
            "Messages in the histories of all channels.",
            retained.messages,
        )
        yield GaugeMetricFamily(
            "orchestra_retained_bytes",
            "Bytes of payload in the histories of all channels.",
            retained.size,
        )

    def _channels(self) -> Iterable[Metric]:
        labels = ["channel"]
        published = CounterMetricFamily(
            "orchestra_channel_published_messages",
            "Messages that were published in a channel.",
            labels=labels,
        )
        deliveries = CounterMetricFamily(
            "orchestra_channel_deliveries",
            "Messages that were handed to a subscriber in a channel, each once for each of them.",
            labels=labels,
        )
        subscribers = GaugeMetricFamily(
            "orchestra_channel_subscribers", "Subscribers of a channel.", labels=labels
        )
        retained = GaugeMetricFamily(
            "orchestra_channel_retained_messages",
            "Messages in the history of a channel.",
            labels=labels,
        )
        for name, counters in self._factory.hub.ledger.apart.items():
            published.add_metric([name], counters.published_in_all.messages)
            deliveries.add_metric([name], counters.deliveries)
            subscribers.add_metric([name], counters.subscribers)
            retained.add_metric([name], counters.retained.messages)
        return published, deliveries, subscribers, retained

    def _health(self) -> Iterator[Metric]:
        broker = GaugeMetricFamily(
            "orchestra_broker_up",
            "Whether what carries messages from server to server works: 1, or 0.",
            labels=["broker"],
        )
        # The hub itself is the only one there is, and cannot be out of reach. Another broker is
        # another line here.
        broker.add_metric(["memory"], 1)
        yield broker
        if self._lag is not None:
            yield _histogram(
                "orchestra_reactor_lag_seconds",
                "How late the reactor is: once a second, how much later than it was due a timer "
                "fires.",
                self._lag,
            )


def _histogram(name: str, documentation: str, histogram: Histogram) -> Metric:
    bounds = [*map(str, map(float, BOUNDS)), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(name, documentation, buckets, histogram.sum)
