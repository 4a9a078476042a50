"""Why requests are refused, in a word."""

from __future__ import annotations

from http import HTTPStatus

import pytest

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
