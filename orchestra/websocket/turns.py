"""One after the other: how much of what a client sent is worked off at a time."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

SLICE = 50e-6
"""After how many seconds of work on what one client sent the others have their turn."""


class Client(Protocol):
    """What is asked of a client's connection."""

    def work_on(self) -> None:
        """Go on with what was received."""


class Turns:
    """Has those who sent more than is worked off at once wait for their turn.

    A read brings up to 64 KiB. That is ten thousand pings, and all others would wait until each
    of them was answered. So whoever has more than a slice's worth stops reading and queues here;
    a turn of the reactor takes one from the queue, however many there are in it.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """
        :param clock: the reactor.
        """
        self._clock = clock
        self.seconds = clock.seconds
        self._waiting: deque[Client] = deque()

    def wait(self, client: Client) -> None:
        """Queue a client that is not in the queue."""
        if not self._waiting:
            self._clock.callLater(0, self._next)
        self._waiting.append(client)

    def _next(self) -> None:
        client = self._waiting.popleft()
        if self._waiting:
            self._clock.callLater(0, self._next)
        client.work_on()
