"""When clients come back."""

from __future__ import annotations

import pytest

from orchestra.policy.reconnecting import LONGEST, RETURNS, SOONEST, reconnect_delay


@pytest.mark.parametrize(
    ("clients", "over", "window"),
    [
        (1, 0, 2),
        (1000, 0, 2),
        (10_000, 0, 20),
        (10_000, 19, 20),
        (10_000, 20, 2),  # they leave as slowly as they are to come
        (10_000, 600, 2),
        (10**6, 0, LONGEST),
    ],
)
def test_clients_come_back_one_after_the_other(clients: int, over: float, window: float) -> None:
    """Each at another moment, from a second on; over more time the more leave together."""
    delays = sorted(reconnect_delay(clients, over) for _ in range(5000))
    assert SOONEST <= delays[0] < SOONEST + 0.1 * window
    assert SOONEST + 0.9 * window < delays[-1] <= SOONEST + window
    assert delays[2500] == pytest.approx(SOONEST + window / 2, abs=0.1 * window)


def test_no_second_has_more_than_it_should() -> None:
    """Of ten thousand that leave at once, but for chance."""
    delays = [reconnect_delay(10_000) for _ in range(10_000)]
    for second in range(30):
        assert sum(second <= delay < second + 1 for delay in delays) < 1.3 * RETURNS
