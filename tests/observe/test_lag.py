"""How late the reactor is."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from orchestra.observe.lag import INTERVAL, ReactorLag


def test_it_tells_how_late_a_timer_fires(clock: Clock) -> None:
    """Once a second; while all is well that is nothing, and as much as somebody holds it up."""
    lag = ReactorLag(clock)
    lag.start()
    clock.pump([INTERVAL] * 5)
    assert sum(lag.seen.counts) == lag.seen.counts[0] == 5
    assert lag.seen.sum == 0
    clock.advance(INTERVAL + 0.3)
    assert sum(lag.seen.counts) == 6
    assert lag.seen.sum == pytest.approx(0.3)


def test_it_stops(clock: Clock) -> None:
    """Nothing is left to happen, whether it has begun or not; and it can begin again."""
    lag = ReactorLag(clock)
    lag.stop()
    for _ in range(2):
        lag.start()
        clock.advance(INTERVAL)
        lag.stop()
        assert clock.getDelayedCalls() == []
    assert sum(lag.seen.counts) == 2
