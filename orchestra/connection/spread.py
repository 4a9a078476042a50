"""Many things that are to happen, spread over some seconds instead of all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import randrange, shuffle, uniform

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Spread:
    """Calls one thing after the other, in a random order and at an even rate.

    Time is cut into slots, one for each, and each is called at a random moment of its slot:
    moments drawn from all of the time would come in clusters. There is one timer for all.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        """
        :param clock: the reactor.
        """
        self._clock = clock
        self._calls: list[Callable[[], object]] = []  # the next one is the last
        self._timer: IDelayedCall | None = None
        self._begins = self._due = self.ends = 0.0  # a slot, what is due in it, and all of them

    def start(self, calls: Iterable[Callable[[], object]], seconds: float) -> None:
        """Have things called; what was to be called before is forgotten.

        :param seconds: within which all are called; with 0 that is done now.
        """
        self._calls = list(calls)
        shuffle(self._calls)
        self._begins = self._clock.seconds()
        self.ends = self._begins + seconds
        self._choose()
        self._go_on()

    def add(self, call: Callable[[], object]) -> None:
        """Have one more thing called: before the end, or if that is over, in the next turn."""
        self._calls.insert(randrange(len(self._calls) + 1), call)
        if len(self._calls) == 1:
            self._begins = self._clock.seconds()
            self._choose()
            self._wait()

    def finish(self) -> None:
        """Call now what has not been called."""
        self._begins = self._due = self.ends = self._clock.seconds()
        self._go_on()

    def _choose(self) -> None:
        # When the next one is due. The slots share what is left of the time.
        if self._calls:
            size = max(0.0, self.ends - self._begins) / len(self._calls)
            self._due = self._begins + uniform(0, size)
            self._begins += size

    def _go_on(self) -> None:
        while self._calls and self._due <= self._clock.seconds():
            try:
                self._calls.pop()()
            except Exception:
                self._log.failure("Something failed that was to happen at its time")
            self._choose()
        self._wait()

    def _wait(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._calls:
            left = max(0.0, self._due - self._clock.seconds())
            self._timer = self._clock.callLater(left, self._go_on)
