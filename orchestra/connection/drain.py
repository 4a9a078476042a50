"""The end of a server: who is still there is seen off, all at once or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from orchestra.connection.client import Client
from orchestra.connection.close_codes import GOING_AWAY
from orchestra.connection.spread import Spread
from orchestra.policy.reconnecting import reconnect_delay

PACE = 10
"""How many are closed in a second, at least. So few are no storm, and a server with three clients
does not take the time that one with thousands needs."""


class Drain:
    """Closes each client at its time, drops who stays too long, and counts how they went.

    Who comes meanwhile is the factory's to refuse.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, clients: Collection[Client]) -> None:
        """
        :param clock: the reactor.
        :param clients: who is there; the factory's own set.
        """
        self._clock = clock
        self._clients = clients
        self._spread = Spread(clock)
        self._staying: set[Client] = set()  # who has not been asked to leave
        self._together = 1, 0.0  # how many leave, and over how many seconds
        self._waiting: list[Deferred[None]] = []
        self._left = self._asked = self._dropped = 0

    def start(
        self, idle: Collection[Callable[[], object]], grace: float, spread: float
    ) -> Deferred[None]:
        """See everybody off. A call while that is being done can only make it quicker.

        :param idle: for each connection that is no client's, what closes it.
        :param grace: seconds that clients have to leave in once the last one is asked to.
        :param spread: seconds over which they are asked to: fewer, if they are few.
        :returns: fires when the last client is gone.
        """
        if not self._clients:
            for close in idle:
                close()
            return succeed(None)
        is_first = not self._waiting
        if is_first:
            self._staying = set(self._clients)
            self._left = self._asked = self._dropped = 0
        seconds = min(spread, (len(self._staying) + len(idle)) / PACE)
        drained: Deferred[None] = Deferred()
        timer = self._clock.callLater(seconds + grace, self._drop)
        drained.addCallback(lambda _: timer.cancel() if timer.active() else None)
        self._waiting.append(drained)
        if is_first or self._clock.seconds() + seconds < self._spread.ends:
            self._plan(idle, seconds)
        return drained

    def joined(self, client: Client) -> None:
        """A client has come in that was let in before the end began: it is seen off as well."""
        self._staying.add(client)
        self._spread.add(partial(self._see_off, client))

    def left(self, client: Client) -> None:
        """A client is gone, whoever wanted that; it is among those who are there no more."""
        if client in self._staying:
            self._staying.remove(client)
            self._left += 1
        if self._waiting and not self._clients:
            self._end()

    def _plan(self, idle: Collection[Callable[[], object]], seconds: float) -> None:
        count = len(self._staying)
        self._log.info(
            "Seeing clients off within {seconds} seconds: {count}.",
            event="draining",
            count=count,
            seconds=round(seconds, 1),
        )
        self._together = count, seconds
        self._spread.start([*(partial(self._see_off, c) for c in self._staying), *idle], seconds)

    def _see_off(self, client: Client) -> None:
        if client in self._staying:
            self._staying.remove(client)
            self._asked += 1
            client.close(GOING_AWAY._replace(come_back=reconnect_delay(*self._together)))

    def _drop(self) -> None:
        self._dropped = len(self._clients)
        self._log.warn(
            "Clients that did not leave in time are dropped: {count}.",
            event="aborted",
            count=self._dropped,
        )
        for client in tuple(self._clients):
            client.abort()

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._spread.finish()
        self._log.info(
            "All clients are gone: {left} had left, {closed} were closed, {dropped} dropped.",
            event="drained",
            left=self._left,
            closed=self._asked - self._dropped,
            dropped=self._dropped,
        )
        for drained in waiting:
            drained.callback(None)
