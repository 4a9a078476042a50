"""The end of what holds for a while."""

from __future__ import annotations

from twisted.internet.task import Clock

from orchestra.connection.expiry import LOOK_AT_CLOCK, Expiry


class Watch:
    """A time of day that can be set, and what has expired by it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ahead = 0.0
        self.calls: list[float] = []

    def now(self) -> float:
        return self.clock.seconds() + self.ahead

    def expiry(self, seconds: float) -> Expiry:
        return Expiry(
            self.now() + seconds, lambda: self.calls.append(self.now()), self.now, self.clock
        )


def test_it_expires_once() -> None:
    """When it is due, not before it, and then nothing waits any more."""
    clock = Clock()
    watch = Watch(clock)
    watch.expiry(1000)
    clock.pump([LOOK_AT_CLOCK, 399])
    assert watch.calls == []
    clock.advance(1)
    clock.advance(1000)
    assert watch.calls == [1000]
    assert clock.getDelayedCalls() == []


def test_what_has_expired() -> None:
    """It is called in the next turn, and not within the one that asks for it."""
    clock = Clock()
    watch = Watch(clock)
    watch.expiry(-5)
    assert watch.calls == []
    clock.advance(0)
    assert watch.calls == [0]


def test_stopped() -> None:
    """Nothing is called then; to stop it again, or after its end, is nothing."""
    clock = Clock()
    watch = Watch(clock)
    stopped, expired = watch.expiry(10), watch.expiry(10)
    stopped.stop()
    stopped.stop()
    clock.advance(10)
    expired.stop()
    assert watch.calls == [10]
    assert clock.getDelayedCalls() == []


def test_the_time_of_day_is_set() -> None:
    """Forward, that is seen within ten minutes; back, it holds for longer."""
    clock = Clock()
    watch = Watch(clock)
    watch.expiry(100_000)
    watch.ahead = 100_000
    clock.advance(LOOK_AT_CLOCK)
    assert len(watch.calls) == 1
    late = Watch(clock)
    late.expiry(50)
    late.ahead = -50
    clock.advance(50)
    assert late.calls == []
    clock.advance(50)
    assert len(late.calls) == 1
