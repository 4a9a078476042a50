"""What the one who sent a request is told, if it is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestra.refusal import RefusedError


@given(st.text(st.characters()))
@example("\ud800\r\n\0\x85\u2028")
def test_a_reason_is_one_line(reason: str) -> None:
    """It becomes a part of an answer's head, in which nobody can put a header of their own."""
    error = RefusedError(403, reason)
    assert str(error).isprintable()
    str(error).encode()
    assert len(str(error)) == len(reason)


def test_a_reason_that_can_be_printed_stays_what_it_is() -> None:
    """Whatever the language."""
    assert str(RefusedError(403, "für Bläser: ♪")) == "für Bläser: ♪"
    assert str(RefusedError(403, "no\r\nSet-Cookie: a=b")) == "no  Set-Cookie: a=b"


@pytest.mark.parametrize("status", [0, 200, 302, 399, 600, -1])
def test_a_status_that_refuses_nothing_is_none(status: int) -> None:
    """An application that is wrong about that learns what is allowed."""
    with pytest.raises(ValueError, match=f"from 400 to 599, not {status}"):
        RefusedError(status, "no")
    assert [RefusedError(status, "no").status for status in (400, 499, 599)] == [400, 499, 599]
