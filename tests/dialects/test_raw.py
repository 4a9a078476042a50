"""The raw dialect."""

from __future__ import annotations

import pytest

from orchestra.dialects.raw import RawDialect


@pytest.mark.parametrize(
    ("dialect", "is_binary", "lead"),
    [
        (RawDialect(), False, b"Echo: "),
        (RawDialect(), True, b""),
        (RawDialect(""), False, b""),
        (RawDialect("♪"), False, "♪".encode()),
        (RawDialect("♪"), True, b""),
    ],
)
def test_text_has_a_prefix_and_binary_none(
    dialect: RawDialect, is_binary: bool, lead: bytes
) -> None:
    """Before text comes the prefix, whatever it is; before binary data comes nothing."""
    assert dialect.lead(is_binary) == lead
