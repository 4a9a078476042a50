"""The raw dialect."""

from __future__ import annotations

import pytest

from orchestra.dialects.raw import RawDialect
from orchestra.message import Message


@pytest.mark.parametrize(
    ("dialect", "is_binary", "rendered"),
    [
        (RawDialect(), False, b"Echo: C#4"),
        (RawDialect(), True, b"C#4"),
        (RawDialect(""), False, b"C#4"),
        (RawDialect("♪"), False, "♪C#4".encode()),
        (RawDialect("♪"), True, b"C#4"),
    ],
)
def test_text_has_a_prefix_and_binary_none(
    dialect: RawDialect, is_binary: bool, rendered: bytes
) -> None:
    """Text is put behind the prefix, whatever it is; binary data is as it was."""
    message = Message(1, b"C#4", is_binary, None, 0.0)
    assert dialect.render([message, message]) == [rendered, rendered]
