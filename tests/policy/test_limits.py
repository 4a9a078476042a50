"""Counting connections and messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.policy.limits import ConnectionsPerAddress, TokenBucket
from orchestra.refusal import RefusedError


def test_an_address_has_so_many_places() -> None:
    """The next one is refused with 429, and let in when one has left; others do not matter."""
    places = ConnectionsPerAddress(2)
    for _ in range(2):
        places.enter("192.0.2.1")
    with pytest.raises(RefusedError, match="too many connections from this address") as caught:
        places.enter("192.0.2.1")
    assert caught.value.status == 429
    places.enter("192.0.2.2")
    places.leave("192.0.2.1")
    places.enter("192.0.2.1")
    assert len(places) == 2


def test_a_network_of_ipv6_is_one_address() -> None:
    """Whoever has one has 2^64 of them, and it is the first half that counts."""
    places = ConnectionsPerAddress(1)
    places.enter("2001:db8::1")
    with pytest.raises(RefusedError):
        places.enter("2001:db8:0:0:ffff::2")
    places.enter("2001:db8:0:1::1")
    places.leave("2001:db8::ffff")
    places.enter("2001:db8::3")


def test_addresses_that_left_are_forgotten() -> None:
    """What is kept does not grow with all who ever came."""
    places = ConnectionsPerAddress(1)
    for number in range(100):
        places.enter(f"192.0.2.{number}")
        places.leave(f"192.0.2.{number}")
    assert len(places) == 0


def test_a_bucket_gives_what_has_dripped_into_it() -> None:
    """A burst at once, then the rate; a rest that is not taken is not lost, but for the burst."""
    bucket = TokenBucket(rate=2, burst=5, now=100.0)
    assert bucket.take(3, 100.0) == 3
    assert bucket.take(3, 100.0) == 2
    assert bucket.take(1, 100.4) == 0
    assert bucket.take(9, 100.5) == 1
    assert bucket.take(9, 102.0) == 3
    assert bucket.take(99, 1000.0) == 5
    assert bucket.take(1, 10.0) == 0  # the clock was set back
    assert bucket.take(9, 11.0) == 2


@given(
    rate=st.floats(0.1, 1000),
    burst=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 10), st.integers(0, 2000)), max_size=50),
)
def test_a_bucket_never_gives_more_than_its_rate(
    rate: float, burst: int, steps: list[tuple[float, int]]
) -> None:
    """However it is asked: at most the burst, and the rate for all the time that went by."""
    now, taken = 0.0, 0
    bucket = TokenBucket(rate, burst, now)
    for after, wanted in steps:
        now += after
        admitted = bucket.take(wanted, now)
        assert 0 <= admitted <= wanted
        taken += admitted
        assert taken <= burst + now * rate + 1e-6
