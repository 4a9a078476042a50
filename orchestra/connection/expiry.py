"""The end of what holds only for a while, by the time of day."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

LOOK_AT_CLOCK = 600.0
"""After how many seconds, at the most, it is seen whether something has expired: the time of day
may be set."""


class Expiry:
    """Calls a function once something has expired, unless it is stopped before that."""

    def __init__(
        self,
        expires: float,
        call: Callable[[], object],
        wall_clock: Callable[[], float],
        timers: IReactorTime,
    ) -> None:
        """
        :param expires: when that is, in seconds of Unix time.
        :param call: called without arguments.
        :param wall_clock: tells the time of day, in seconds of Unix time.
        :param timers: the reactor.
        """
        self._expires = expires
        self._call = call
        self._wall_clock = wall_clock
        self._timers = timers
        self._timer: IDelayedCall | None = None
        self._wait()

    def _wait(self) -> None:
        left = max(self._expires - self._wall_clock(), 0.0)
        self._timer = self._timers.callLater(min(left, LOOK_AT_CLOCK), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._wall_clock() < self._expires:
            self._wait()
        else:
            self._call()

    def stop(self) -> None:
        """Have nothing called any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
