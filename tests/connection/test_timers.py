"""Timers of connections."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from orchestra.connection.timers import LATE, Timers
from tests.events import captured

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from([1.0, 2.5, 5.0])),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.25, 0.5, 1.0, 7.0])),
    ),
    max_size=60,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_they_are_the_reactors_timers(steps: list[tuple[str, Any]]) -> None:
    """Whatever is set, cancelled and waited for: the same happens, a little later at the most."""
    clock = Clock()
    timers = Timers(clock)
    ours: dict[int, float] = {}
    theirs: dict[int, float] = {}
    both: list[tuple[Any, Any]] = []
    for what, number in steps:
        if what == "set":
            n = len(both)
            both.append(
                (
                    timers.call_later(number, lambda n=n: ours.update({n: clock.seconds()})),
                    clock.callLater(number, lambda n=n: theirs.update({n: clock.seconds()})),
                )
            )
        elif what == "cancel" and number < len(both):
            timer, call = both[number]
            if call.active():
                timer.cancel()
                call.cancel()
        elif what == "wait":
            for _ in range(round(number / LATE)):
                clock.advance(LATE)
    clock.pump([LATE] * 200)
    assert ours.keys() == theirs.keys()
    for n, due in theirs.items():
        assert due <= ours[n] <= due + LATE
    assert clock.getDelayedCalls() == []


def test_what_comes_due_together_is_done_together() -> None:
    """A hundred pings within a moment take two turns of the reactor: the first is on time."""
    clock = Clock()
    timers = Timers(clock)
    rung: list[float] = []
    for _ in range(100):
        timers.call_later(1, lambda: rung.append(clock.seconds()))
        clock.advance(LATE / 100)
    clock.pump([LATE / 100] * 2000)
    assert len(rung) == 100
    assert len(set(rung)) == 2
    assert rung[0] == pytest.approx(1, abs=LATE / 50)


def test_a_thousand_timers_are_one_of_the_reactors() -> None:
    """And cancelling one costs nothing that grows with their number."""
    clock = Clock()
    timers = Timers(clock)
    for timer in [timers.call_later(25, list) for _ in range(1000)]:
        timer.cancel()
    assert len(clock.getDelayedCalls()) == 1


def test_what_is_cancelled_is_let_go_of_at_once() -> None:
    """A connection that is gone is not kept for as long as its ping would have taken."""

    class Connection:
        def ping(self) -> None:
            pass

    connection = Connection()
    gone = weakref.ref(connection)
    timer = Timers(Clock()).call_later(25, connection.ping)
    del connection
    assert gone() is not None
    timer.cancel()
    assert gone() is None


def test_a_timer_may_set_another() -> None:
    """Of the same duration, in its turn, as pings do."""
    clock = Clock()
    timers = Timers(clock)
    rung: list[float] = []

    def ring() -> None:
        rung.append(clock.seconds())
        timers.call_later(2, ring)

    timers.call_later(2, ring)
    clock.pump([LATE] * round(7 / LATE))
    assert rung == [2, 4, 6]
    assert len(clock.getDelayedCalls()) == 1


def test_a_timer_that_fails_keeps_no_other_from_its_time() -> None:
    """What it raised is logged."""
    clock = Clock()
    timers = Timers(clock)
    rung: list[int] = []

    def fail() -> None:
        raise RuntimeError("out of tune")

    timers.call_later(1, fail)
    timers.call_later(1, lambda: rung.append(1))
    with captured() as events:
        clock.advance(1)
    assert rung == [1]
    (failure,) = [event["log_failure"] for event in events if "log_failure" in event]
    assert str(failure.value) == "out of tune"


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_short_ones_are_not_early(seconds: float) -> None:
    """Not even those of no time: they wait for the next turn."""
    clock = Clock()
    rung: list[float] = []
    Timers(clock).call_later(seconds, lambda: rung.append(clock.seconds()))
    assert rung == []
    clock.advance(seconds)
    assert rung == [seconds]


def test_time_goes_on_while_they_ring() -> None:
    """One that comes due between two looks at the clock is not lost, nor those behind it."""

    class Hasty(Clock):
        step = 0.0015

        def seconds(self) -> float:
            self.rightNow += self.step
            return super().seconds()

        def callLater(self, delay: float, *args: Any, **options: Any) -> Any:
            assert delay >= 0, "the reactor's would not have it"
            return super().callLater(delay, *args, **options)

    clock = Hasty()
    timers = Timers(clock)
    rung: list[int] = []
    for number in range(50):
        timers.call_later(0.5, lambda number=number: rung.append(number))
    clock.step = 0.001
    clock.pump([0.001] * 600)
    assert rung == list(range(50))
