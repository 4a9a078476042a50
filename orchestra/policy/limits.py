"""How many connections an address may have, and how often a connection may publish."""

from __future__ import annotations

from collections import Counter, OrderedDict
from ipaddress import IPv6Address

from orchestra.refusal import RefusedError


class ConnectionsPerAddress:
    """Counts connections by address, and refuses those that are too many."""

    def __init__(self, limit: int) -> None:
        """
        :param limit: connections of one address at the same time.
        """
        self.limit = limit
        self._counts: Counter[str] = Counter()

    def enter(self, address: str) -> None:
        """Count a connection.

        :raises RefusedError: if its address has as many as it may have. It does not count then.
        """
        household = _household(address)
        if self._counts[household] >= self.limit:
            reason = "there are too many connections from this address"
            raise RefusedError(429, reason, kind="address_limit")
        self._counts[household] += 1

    def leave(self, address: str) -> None:
        """Count a connection no more."""
        household = _household(address)
        self._counts[household] -= 1
        if not self._counts[household]:
            del self._counts[household]

    def __len__(self) -> int:
        """How many addresses there are."""
        return len(self._counts)


def _household(address: str) -> str:
    # Whoever has an address of IPv6 has all those that begin with the same 64 bits (RFC 6177).
    if ":" not in address:
        return address
    return str(IPv6Address(int(IPv6Address(address)) >> 64 << 64))


class TokenBucket:
    """Lets events through at a rate, and so many at once after a while without any."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """
        :param rate: events per second.
        :param burst: events at once, 1 or more.
        :param now: seconds of the clock that :meth:`take` is told.
        """
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = now

    def take(self, wanted: int, now: float) -> int:
        """How many of some events that happen now are let through.

        :param now: seconds; if it is less than before, no time has gone by.
        """
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        taken = min(wanted, int(self._tokens))
        self._tokens -= taken
        return taken

    def is_full(self, now: float) -> bool:
        """Whether it is as if nothing had been let through."""
        return self._tokens + (now - self._at) * self.rate >= self.burst


class RatePerAddress:
    """Lets events of each address through at a rate.

    It is for those who come with a connection for each event, or share one.
    """

    def __init__(self) -> None:
        self._buckets: OrderedDict[tuple[str, float, float], TokenBucket] = OrderedDict()

    def take(self, address: str, rate: float, burst: float, now: float) -> bool:
        """Whether an event that happens now is let through.

        :param rate: events per second.
        :param burst: events at once, 1 or more.
        :param now: seconds.
        """
        key = _household(address), rate, burst
        # Whose bucket is full is as good as new; those that were not used for longest come first.
        while self._buckets and next(iter(self._buckets.values())).is_full(now):
            self._buckets.popitem(last=False)
        bucket = self._buckets.pop(key, None) or TokenBucket(rate, burst, now)
        self._buckets[key] = bucket
        return bucket.take(1, now) == 1

    def __len__(self) -> int:
        """How many addresses have had an event let through lately."""
        return len(self._buckets)
