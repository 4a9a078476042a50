"""Timers for many connections, of which most are cancelled before they are due.

A reactor sorts its timers by when they are due, whatever they are for. Connections set a few each,
of the same few durations; and those of one duration come due in the order in which they were set.
So a queue for each duration does, with one timer of the reactor's. And where many come due, those
of nearly the same time share a turn: one for each would cost more than what it is for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

LATE = 1 / 16
"""How many seconds later than it might something may happen, to happen together with others."""


class Timer:
    """Something that is to happen, unless it is cancelled."""

    __slots__ = ("call", "due")

    def __init__(self, call: Callable[[], object], due: float) -> None:
        self.call: Callable[[], object] | None = call
        self.due = due

    def cancel(self) -> None:
        """Have it not happen. Nothing is kept of it but when it would have been."""
        self.call = None


class Timers:
    """Sets timers, in the way that Autobahn wants it."""

    def __init__(self, clock: IReactorTime) -> None:
        """
        :param clock: the reactor.
        """
        self._clock = clock
        self._queues: dict[float, _Queue] = {}

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Have something happen later: not before it is due, and at most :data:`LATE` after that.

        :param seconds: when it is due, from now; best one of few values.
        """
        queue = self._queues.get(seconds)
        if queue is None:
            queue = self._queues[seconds] = _Queue(self._clock, seconds)
        return queue.add(call)


class _Queue:
    """Timers of one duration."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._timers: deque[Timer] = deque()

    def add(self, call: Callable[[], object]) -> Timer:
        timer = Timer(call, self._clock.seconds() + self._seconds)
        if not self._timers:
            self._clock.callLater(self._seconds, self._wake)
        self._timers.append(timer)
        return timer

    def _wake(self) -> None:
        timers = self._timers
        while timers and (timers[0].call is None or timers[0].due <= self._clock.seconds()):
            call = timers[0].call
            if call is not None:
                try:
                    call()
                except Exception:
                    self._log.failure("A timer failed")
            timers.popleft()  # not before, or one that is set meanwhile would wake us as well
        if timers:
            left = timers[0].due - self._clock.seconds()
            self._clock.callLater(max(LATE, left), self._wake)
