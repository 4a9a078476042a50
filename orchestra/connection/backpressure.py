"""What keeps those who publish from outrunning those who read."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

PATIENCE = 1.0
"""How long a full reader may take nothing while there is no room for more, in seconds."""

_EMPTY = (0.0, 0)


class Reader(Protocol):
    """What is asked of the connection of a client that listens."""

    def give_up(self) -> None:
        """Close the connection of a client that does not read."""


class Publisher(Protocol):
    """What is asked of the connection of a client that publishes."""

    def pause_reading(self) -> None:
        """Take nothing from the client for a while."""

    def resume_reading(self) -> None:
        """Take what the client sends again."""


class Backpressure:
    """Bounds what all transports together hold for clients that are slow to read.

    While it is more than the bound, nothing is taken from clients that publish, so that those who
    lag can catch up. Who takes nothing at all during that time is closed as a slow reader: nobody
    can silence the others for long by not reading.
    """

    def __init__(self, bound: int, clock: IReactorTime) -> None:
        """
        :param bound: bytes; 0 for none.
        """
        self.bound = bound
        self._clock = clock
        self._full: dict[Reader, tuple[float, int]] = {}  # since when, and how much it holds
        self._size = 0
        self._held: dict[Publisher, None] = {}
        self._check: IDelayedCall | None = None
        self.is_high = False
        """Whether there is no room for more."""

    @property
    def full(self) -> int:
        """How many clients' transports are full."""
        return len(self._full)

    @property
    def size(self) -> int:
        """How many bytes these hold, about."""
        return self._size

    @property
    def held(self) -> int:
        """How many clients that have published have to wait."""
        return len(self._held)

    def filled(self, client: Reader, size: int) -> None:
        """A client's transport is full, or full again.

        :param size: how many bytes it holds, about.
        """
        _, before = self._full.get(client, _EMPTY)
        self._full[client] = self._clock.seconds(), size
        self._size += size - before
        self.is_high = 0 < self.bound < self._size
        if self.is_high and self._check is None:
            self._check = self._clock.callLater(PATIENCE, self._give_up)

    def drained(self, client: Reader) -> None:
        """A client's transport has drained, or is gone."""
        _, size = self._full.pop(client, _EMPTY)
        self._size -= size
        self.is_high = 0 < self.bound < self._size
        if self._held and not self.is_high:
            held, self._held = self._held, {}
            for waiting in held:
                waiting.resume_reading()

    def hold(self, client: Publisher) -> None:
        """Have a client that has published wait until there is room for more."""
        if client not in self._held:
            self._held[client] = None
            client.pause_reading()

    def gone(self, client: Any) -> None:
        """A client's connection is gone."""
        self._held.pop(client, None)
        self.drained(client)

    def _give_up(self) -> None:
        self._check = None
        if self.is_high:
            latest = self._clock.seconds() - PATIENCE
            for client in [client for client, (since, _) in self._full.items() if since <= latest]:
                client.give_up()
            self._check = self._clock.callLater(PATIENCE, self._give_up)
