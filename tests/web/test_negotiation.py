"""What a client accepts, and what it has already."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.web.negotiation import accepts_gzip, is_known


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZip", True),
        ("x-gzip", True),
        ("*", True),
        ("br", False),
        ("gzipped", False),
        ("identity", False),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip ; q=0.001", True),
        ("gzip;Q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("*;q=0, gzip", True),
        ("x-gzip;q=0, *", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("identity;q=0, gzip;q=0.1", True),
        ("gzip;q=", False),
        ("gzip;q=2", False),
        ("gzip;q=nan", False),
        ("gzip;q=1.001", False),
        ("gzip;level=9", True),
        (",, gzip ,", True),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(accepted: str, expected: bool) -> None:
    """By name or by a star, unless they say that they do not, or would rather have none."""
    assert accepts_gzip(accepted) is expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("", False),
        ('"a"', True),
        ('W/"a"', True),
        ("*", True),
        (" * ", True),
        ('"b", "a"', True),
        ('"b","a"', True),
        ('"b"', False),
        ('"A"', False),
        ('"a', False),
        ("a", False),
        ('"b*"', False),
        ('"b, a"', False),
        ('"x,y", W/"a"', True),
    ],
)
def test_a_tag_is_known_in_whatever_list(known: str, expected: bool) -> None:
    """It is compared weakly, and as a whole."""
    assert is_known('"a"', known) is expected


@given(st.text(st.characters(max_codepoint=255)))
def test_whatever_is_said_is_understood_somehow(text: str) -> None:
    """No header is an error."""
    accepts_gzip(text)
    is_known('"a"', text)
