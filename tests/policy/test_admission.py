"""Who is let in, all things considered."""

from __future__ import annotations

import pytest

from orchestra.policy.addresses import UNIX
from orchestra.policy.admission import Admission
from orchestra.refusal import RefusedError

HOST = {"host": "localhost"}


def test_the_address_is_the_clients() -> None:
    """What a trusted proxy says counts for the limit, and proxies themselves do not."""
    admission = Admission(trusted_proxies=["10.0.0.1"], max_connections_per_address=1)
    one, two = (
        admission.address("10.0.0.1", {**HOST, "x-forwarded-for": f"192.0.2.{n}"}) for n in (1, 2)
    )
    assert (one, two) == ("192.0.2.1", "192.0.2.2")
    assert admission.enter(one)
    assert admission.enter(two)
    with pytest.raises(RefusedError):
        admission.enter(one)
    admission.leave(one)
    assert admission.enter(one)
    for _ in range(3):
        assert not admission.enter(admission.address("10.0.0.1", HOST))
        assert not admission.enter(UNIX)


def test_without_a_limit_nobody_is_counted() -> None:
    """So that it costs nothing."""
    admission = Admission()
    assert not admission.enter(admission.address("192.0.2.1", HOST))


def test_pages_of_others_are_refused() -> None:
    """By the rule for origins."""
    with pytest.raises(RefusedError, match="pages of this origin are not allowed") as caught:
        Admission().check({**HOST, "origin": "https://evil.example"})
    assert caught.value.status == 403
    Admission(["*"]).check({**HOST, "origin": "https://evil.example"})


def test_who_stands_for_others_is_not_held_to_account() -> None:
    """What comes from a proxy that names no client, or through a UNIX socket, is many people's."""
    admission = Admission(trusted_proxies=["10.0.0.1", "2001:db8::/64"])
    assert admission.counts("192.0.2.1")
    assert admission.counts("10.0.0.2")
    assert not admission.counts("10.0.0.1")
    assert not admission.counts("2001:db8::5")
    assert not admission.counts(UNIX)
    assert Admission().counts("10.0.0.1")
    assert not Admission().counts(UNIX)
