"""Patterns of channel names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.web.globs import compile_glob


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("", "", "a"),
        ("a", "a", "ab"),
        ("a*", "a/b/c", "ba"),
        ("a?c", "a/c", "ac"),
        ("[a-c]x", "bx", "dx"),
        ("[!a-c]x", "dx", "bx"),
        ("{a,b*}x", "bbx", "ax."),
        ("{a,b}{1,2}", "b1", "a"),
        ("a{,b}", "a", "b"),
        (r"\*", "*", "a"),
        (r"\[a]x".replace("]", r"\]"), "[a]x", "ax"),
        (r"\{a,b\}", "{a,b}", "a"),
        (r"\\", "\\", "\\\\"),
        ("a.b", "a.b", "axb"),
        ("a", "a", "a\n"),
    ],
)
def test_patterns(pattern: str, yes: str, no: str) -> None:
    """Each stands for the whole of a name."""
    fits = compile_glob(pattern)
    assert fits(yes)
    assert not fits(no)


@given(st.text(max_size=20))
def test_a_name_fits_itself(name: str) -> None:
    """With a backslash before each character that means something."""
    escaped = "".join(f"\\{c}" if c in "*?[]{}\\" else c for c in name)
    assert compile_glob(escaped)(name)
    assert compile_glob("*")(name)


@pytest.mark.parametrize(
    "pattern", ["[a", "a]", "{a", "a}", "\\", "{a,{b,c}}", r"{a\,b}", "{a,b}" * 7]
)
def test_what_is_no_pattern(pattern: str) -> None:
    """Or stands for too many of them."""
    with pytest.raises(ValueError, match=r"must stand for|without its other half"):
        compile_glob(pattern)


def test_no_pattern_takes_long() -> None:
    """However many stars it has."""
    assert not compile_glob("*a" * 100 + "b")("a" * 255)
