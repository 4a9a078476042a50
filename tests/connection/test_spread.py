"""What happens spread over some seconds."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from orchestra.connection.spread import Spread
from tests.events import captured


@pytest.fixture
def spread(clock: Clock) -> Spread:
    return Spread(clock)


def planned(spread: Spread, count: int, seconds: float) -> list[int]:
    """Plan so many calls; the list has those that were called."""
    called: list[int] = []
    spread.start([partial(called.append, number) for number in range(count)], seconds)
    return called


def test_the_rate_is_even(spread: Spread, clock: Clock) -> None:
    """At any time as many have been called as it is their share of the time, give or take one."""
    called = planned(spread, 1000, 20)
    for step in range(1, 200):
        clock.advance(0.1)
        assert 5 * step - 1 <= len(called) <= 5 * step + 1
        assert len(clock.getDelayedCalls()) == 1, "one timer does"
    clock.advance(0.1)
    assert sorted(called) == list(range(1000)), "each is called once, and in time"
    assert clock.getDelayedCalls() == []


def test_who_is_first_is_a_matter_of_chance(clock: Clock) -> None:
    """And so is the moment: two servers that stop together do not go in step."""
    spreads = [Spread(clock) for _ in range(20)]
    called = [planned(spread, 100, 100) for spread in spreads]
    clock.advance(0.5)
    assert 0 < sum(map(len, called)) < 20
    clock.advance(100)
    assert len({tuple(order) for order in called}) == 20


@given(count=st.integers(0, 50), seconds=st.sampled_from([0.0, 1e-9, 0.1, 7.0, 3600.0]))
def test_all_are_called_by_the_end(count: int, seconds: float) -> None:
    """However many there are, and however little time; without time, at once."""
    clock = Clock()
    called = planned(Spread(clock), count, seconds)
    if not seconds:
        assert len(called) == count
    clock.advance(seconds)
    assert sorted(called) == list(range(count))
    assert clock.getDelayedCalls() == []


def test_a_clock_that_leaps_loses_nobody(spread: Spread, clock: Clock) -> None:
    """What was due while the process had no time happens when it has, and the rest as planned."""
    called = planned(spread, 100, 10)
    clock.advance(5)
    assert 49 <= len(called) <= 51
    clock.advance(1)
    assert 59 <= len(called) <= 61


def test_one_more_has_its_time_as_well(spread: Spread, clock: Clock) -> None:
    """Before the end, somewhere among the others."""
    called = planned(spread, 10, 10)
    clock.advance(5)
    for number in range(10, 20):
        spread.add(partial(called.append, number))
    assert len(called) < 7
    clock.advance(2.5)
    assert 8 <= len(called) <= 18
    clock.advance(2.5)
    assert sorted(called) == list(range(20))


def test_one_more_after_the_last_has_what_is_left(spread: Spread, clock: Clock) -> None:
    """Before the end, as long as that is not over; in the next turn after that."""
    called = planned(spread, 0, 10)
    moments = []
    for number in range(30):
        spread.start([], 10)
        spread.add(partial(called.append, number))
        before = clock.seconds()
        while len(called) == number:
            clock.advance(0.1)
        moments.append(clock.seconds() - before)
    assert max(moments) <= 10.1
    assert max(moments) - min(moments) > 2
    clock.advance(10)
    spread.add(partial(called.append, 30))
    spread.add(partial(called.append, 31))
    assert len(called) == 30
    clock.advance(0)
    assert sorted(called) == list(range(32))
    assert clock.getDelayedCalls() == []


def test_it_can_be_brought_to_an_end(spread: Spread, clock: Clock) -> None:
    """Who has not been called is called now, also from within a call."""
    called = planned(spread, 10, 10)
    clock.advance(3)
    spread.finish()
    assert sorted(called) == list(range(10))
    assert clock.getDelayedCalls() == []
    called.clear()
    spread.start([spread.finish, *(partial(called.append, n) for n in range(10))], 10)
    clock.advance(10)
    assert sorted(called) == list(range(10))
    assert clock.getDelayedCalls() == []


def test_a_new_plan_takes_the_place_of_the_old(spread: Spread, clock: Clock) -> None:
    """Nothing is left of that."""
    before = planned(spread, 10, 10)
    spread.start([], 0)
    after = planned(spread, 5, 1)
    clock.advance(10)
    assert (before, sorted(after)) == ([], list(range(5)))


def test_one_that_raises_holds_up_nobody(spread: Spread, clock: Clock) -> None:
    """It is logged."""

    def broken() -> None:
        raise RuntimeError("a broken string")

    called: list[int] = []
    with captured() as events:
        spread.start([broken, *(partial(called.append, n) for n in range(9))], 10)
        clock.advance(10)
    assert sorted(called) == list(range(9))
    assert [str(event["log_failure"].value) for event in events] == ["a broken string"]
