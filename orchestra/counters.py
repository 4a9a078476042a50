"""What happens in the channels, counted: plain numbers, for whoever asks.

They are added to once for each delivery and each piece, never once for each subscriber.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable

from orchestra.settings import matches

APPLICATION, WEBSOCKET, POST, API = SOURCES = "application", "websocket", "post", "api"
"""Where what is published comes from: from a call, unless the caller says another."""

OTHERS = "other"
"""Under which name channels are counted that are to be counted apart and have no room for it."""

MAX_APART = 100
"""How many channels are counted apart at the same time."""

BOUNDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""The upper bounds of a histogram's buckets, in seconds."""


class Histogram:
    """How long something takes, counted in buckets."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """How many there were in each bucket: up to its bound, and above that of the one before.
        The last bucket has no bound."""
        self.sum = 0.0
        """The sum of all, in seconds."""

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds


class Flow:
    """Messages and their size."""

    __slots__ = ("messages", "size")

    def __init__(self) -> None:
        self.messages = 0
        self.size = 0
        """Bytes of payload."""

    def add(self, messages: int, size: int) -> None:
        """Count some messages."""
        self.messages += messages
        self.size += size


class Counters:
    """The numbers of one channel, or of several together."""

    __slots__ = (
        "channels",
        "deliveries",
        "forgotten",
        "lagging",
        "published",
        "subscribers",
        "written",
    )

    def __init__(self) -> None:
        self.channels = 0
        """How many channels there are."""
        self.published: defaultdict[str, Flow] = defaultdict(Flow)
        """What was published, by its source."""
        self.forgotten = Flow()
        """What was published and is retained no longer."""
        self.deliveries = 0
        """How many messages were written to a subscriber: each once for each subscriber."""
        self.written = 0
        """How many bytes these were, as they were encoded; what is no bytes does not count."""
        self.subscribers = 0
        """How many subscribers there are."""
        self.lagging = 0
        """How many of them are not at the head of their channel's log."""

    def add(self, others: Counters) -> None:
        """Count what others have counted as well."""
        self.channels += others.channels
        for source, flow in others.published.items():
            self.published[source].add(flow.messages, flow.size)
        self.forgotten.add(others.forgotten.messages, others.forgotten.size)
        self.deliveries += others.deliveries
        self.written += others.written
        self.subscribers += others.subscribers
        self.lagging += others.lagging

    @property
    def published_in_all(self) -> Flow:
        """What was published, from wherever it came."""
        total = Flow()
        for flow in self.published.values():
            total.add(flow.messages, flow.size)
        return total

    @property
    def retained(self) -> Flow:
        """What is retained now."""
        retained = self.published_in_all
        retained.add(-self.forgotten.messages, -self.forgotten.size)
        return retained


class Ledger:
    """The counters of a hub's channels.

    All channels have one in common, but for those that are counted apart. Of these there are no
    more than :data:`MAX_APART` at a time; for others that there are then there is one more.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """
        :param patterns: of the names of channels that are counted apart, in which ``*`` stands
            for any characters.
        """
        self._apart = tuple(patterns)
        self._rest = Counters()
        self.apart: dict[str, Counters] = {OTHERS: Counters()} if self._apart else {}
        """The counters of the channels that are counted apart, by their names; those of the ones
        for which there is no room are under :data:`OTHERS`."""
        self.delays = Histogram()
        """How long what was published had to wait until it was written."""

    def open(self, name: str) -> Counters:
        """The counters for a channel that is new."""
        counters = self._rest
        if any(matches(pattern, name) for pattern in self._apart):
            if name not in self.apart and len(self.apart) <= MAX_APART:
                self.apart[name] = Counters()
            counters = self.apart.get(name, self.apart[OTHERS])
        counters.channels += 1
        return counters

    def close(self, name: str, counters: Counters) -> None:
        """A channel is gone. What it has counted still counts in the total.

        :param counters: the channel's.
        """
        counters.channels -= 1
        if name != OTHERS and self.apart.get(name) is counters:
            del self.apart[name]
            self._rest.add(counters)

    def total(self) -> Counters:
        """What all channels together have counted."""
        total = Counters()
        for counters in (self._rest, *self.apart.values()):
            total.add(counters)
        return total
