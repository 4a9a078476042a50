"""How late the reactor is."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from orchestra.counters import Histogram

INTERVAL = 1.0
"""How many seconds there are between two looks."""


class ReactorLag:
    """Measures how much later than it is due a timer fires: whatever waits, waits as long."""

    def __init__(self, clock: IReactorTime) -> None:
        """
        :param clock: the reactor.
        """
        self.seen = Histogram()
        """What was measured, in seconds."""
        self._clock = clock
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to measure; it goes on where it was stopped."""
        due = self._clock.seconds() + INTERVAL
        self._call = self._clock.callLater(INTERVAL, self._look, due)

    def stop(self) -> None:
        """Measure no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self, due: float) -> None:
        self.seen.observe(max(0.0, self._clock.seconds() - due))
        self.start()
