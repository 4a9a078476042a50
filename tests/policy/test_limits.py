"""Counting connections and messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.policy.limits import ConnectionsPerAddress, RatePerAddress, TokenBucket
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


def test_a_bucket_knows_when_it_is_as_good_as_new() -> None:
    """When nothing is missing from it any more, and not before."""
    bucket = TokenBucket(rate=2, burst=3, now=100.0)
    assert bucket.is_full(100.0)
    bucket.take(2, 100.0)
    assert not bucket.is_full(100.9)
    assert bucket.is_full(101.0)
    assert bucket.take(5, 101.0) == 3


def test_an_address_has_its_rate_and_burst() -> None:
    """Whatever others do; the same address at another rate is another matter."""
    rates = RatePerAddress()

    def taken(address: str, now: float, rate: float = 1, burst: float = 2) -> int:
        return sum(rates.take(address, rate, burst, now) for _ in range(5))

    assert taken("192.0.2.1", 100.0) == 2
    assert taken("192.0.2.2", 100.0) == 2
    assert taken("192.0.2.1", 100.5) == 0
    assert taken("192.0.2.1", 101.0) == 1
    assert taken("192.0.2.1", 101.0, rate=3, burst=3) == 3
    assert taken("192.0.2.1", 200.0) == 2


def test_a_network_of_ipv6_has_one_rate() -> None:
    """As it is one address where connections are counted."""
    rates = RatePerAddress()
    assert rates.take("2001:db8::1", 1, 1, 0.0)
    assert not rates.take("2001:db8:0:0:ffff::2", 1, 1, 0.0)
    assert rates.take("2001:db8:0:1::1", 1, 1, 0.0)


def test_who_has_been_silent_is_forgotten() -> None:
    """What is kept does not grow with all who ever came, but with those who come at a time."""
    rates = RatePerAddress()
    for number in range(1000):
        rates.take(f"192.0.{number // 256}.{number % 256}", 10, 1, number / 100)
        assert len(rates) <= 11
    rates.take("192.0.2.1", 10, 1, 1000.0)
    assert len(rates) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
            st.sampled_from([(0.5, 1.0), (2.0, 2.0), (2.0, 5.0)]),
            st.sampled_from([0.0, 0.1, 0.5, 1.0, 10.0]),
        ),
        max_size=100,
    )
)
def test_forgetting_changes_nothing(
    events: list[tuple[str, tuple[float, float], float]],
) -> None:
    """Each address is let through as often as by a bucket that it has for good."""
    rates = RatePerAddress()
    buckets: dict[tuple[str, tuple[float, float]], TokenBucket] = {}
    now = 0.0
    for address, limits, after in events:
        now += after
        bucket = buckets.setdefault((address, limits), TokenBucket(*limits, now))
        assert rates.take(address, *limits, now) == (bucket.take(1, now) == 1)
