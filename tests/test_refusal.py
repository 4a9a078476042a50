"""Why requests are refused, and what the one who sent one is told."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestra.refusal import KINDS, RefusedError, usual_kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "malformed"),
        (403, "not_allowed"),
        (404, "not_found"),
        (413, "too_large"),
        (426, "upgrade"),
        (429, "rate"),
        (503, "full"),
        (418, "other"),
    ],
)
def test_the_status_tells_the_kind(status: int, kind: str) -> None:
    """Who says nothing else says the usual."""
    assert RefusedError(status, "no").kind == usual_kind(status) == kind


def test_the_kind_can_be_told() -> None:
    """What is told counts, whatever the status."""
    assert RefusedError(503, "no", kind="shutting_down").kind == "shutting_down"


def test_kinds_are_words_of_a_closed_set() -> None:
    """Each can be the value of a label, and whatever the status, there is one."""
    assert all(kind.islower() and kind.isidentifier() for kind in KINDS)
    assert {usual_kind(status) for status in HTTPStatus} <= KINDS


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
