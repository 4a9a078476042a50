"""The numbers of the Centrifuge protocol."""

from __future__ import annotations

import pytest

from orchestra.dialects.centrifuge import codes
from orchestra.dialects.centrifuge.codes import (
    Disconnect,
    Error,
    Unsubscribed,
    disconnect_of,
    error_of,
)
from orchestra.refusal import RefusedError


@pytest.mark.parametrize(
    ("status", "code", "temporary"),
    [
        (400, 107, False),
        (401, 101, False),
        (403, 103, False),
        (404, 102, False),
        (413, 106, False),
        (429, 111, True),
        (503, 100, True),
        (500, 100, False),
        (418, 100, False),
    ],
)
def test_a_refusal_is_an_error_with_its_own_words(status: int, code: int, temporary: bool) -> None:
    """The status tells the code, and whether to come back makes sense."""
    assert error_of(RefusedError(status, "no")) == Error(code, "no", temporary)


def test_what_has_expired_has_its_own_code() -> None:
    """By that a client knows to ask for another token, and not to give up."""
    expired = RefusedError(401, "the token has expired", kind="expired")
    assert error_of(expired) == Error(109, "the token has expired")


def test_codes_are_in_their_ranges() -> None:
    """A client does what the range of a code says. None is there twice."""
    ranges = {Error: (100, 199), Disconnect: (3000, 3999), Unsubscribed: (2000, 2999)}
    for kind, (first, last) in ranges.items():
        found = [value.code for value in vars(codes).values() if isinstance(value, kind)]
        assert len(set(found) - {100}) == len([code for code in found if code != 100])
        assert all(first <= code <= last for code in found)


def test_the_codes_of_all_disconnects_are_known() -> None:
    """Those that the server has no use for are among them, and no others."""
    used = {value.code for value in vars(codes).values() if isinstance(value, Disconnect)}
    assert used < codes.CLOSE_CODES
    assert not codes.CLOSE_CODES & {3002, 3003, 3007, 3014, 3499, 3510}


def test_reasons_fit_into_a_close_frame() -> None:
    """It has room for 123 bytes."""
    reasons = [v.reason for v in vars(codes).values() if isinstance(v, Disconnect)]
    assert all(0 < len(reason.encode()) <= 123 for reason in reasons)


def test_what_would_be_an_error_ends_a_connection_without_commands() -> None:
    """With its words, and so that a client comes back where that makes sense."""
    for error, code in [
        (codes.PERMISSION_DENIED, 3507),
        (codes.TOKEN_EXPIRED, 3005),
        (codes.TOO_MANY_REQUESTS, 3013),
        (codes.INTERNAL, 3004),
        (codes.BAD_REQUEST, 3004),
    ]:
        assert disconnect_of(error) == Disconnect(code, error.message)
