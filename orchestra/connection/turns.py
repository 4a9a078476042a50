"""One after the other: how much of what a client sent is worked off at a time."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

SLICE = 50e-6
"""After how many seconds of work on what one client sent the others have their turn."""


COSTLY = 4 * SLICE
"""How many seconds of work at once are too many to have the next turn follow right away."""

REST = 3
"""How many times as long the queue rests after a turn that was."""


class Client(Protocol):
    """What is asked of a client's connection."""

    def work_on(self) -> None:
        """Go on with what was received."""


class Turns:
    """Has those who sent more than is worked off at once wait for their turn.

    A read brings up to 64 KiB. That is ten thousand pings, and all others would wait until each
    of them was answered. So whoever has more than a slice's worth stops reading and queues here;
    a turn of the reactor takes one from the queue, however many there are in it.

    Some things cannot be done a little at a time: a kilobyte may have to be inflated to a
    megabyte. After such a turn the queue rests, so that most of the time is left for the others.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """
        :param clock: the reactor.
        """
        self._clock = clock
        self.seconds = clock.seconds
        self._waiting: deque[Client] = deque()
        self._is_due = False

    def wait(self, client: Client, spent: float = 0.0) -> None:
        """Queue a client that is not in the queue.

        :param spent: how many seconds its work has just taken out of turn; if that is too many,
            the queue rests first.
        """
        self._waiting.append(client)
        self._plan(REST * spent if spent > COSTLY else 0.0)

    def _plan(self, rest: float) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            self._clock.callLater(rest, self._next)

    def _next(self) -> None:
        client = self._waiting.popleft()
        start = self.seconds()
        try:
            client.work_on()  # which may queue it again, for a turn that is planned here
        finally:
            spent = self.seconds() - start
            self._is_due = False
            self._plan(REST * spent if spent > COSTLY else 0.0)
