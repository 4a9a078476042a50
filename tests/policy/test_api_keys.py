"""API keys: which are taken, and what is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestra.policy.api_keys import ALLOWED, SHORTEST, ApiKeys
from orchestra.refusal import RefusedError

KEY = "k3y.of-an_application~+/="
ANOTHER = "another-key-0123456789"


def knows(keys: ApiKeys, key: str) -> bool:
    try:
        keys.check(key)
    except RefusedError as refusal:
        return (refusal.status, str(refusal)) != (401, "the API key is not known")
    return True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_only_known_keys_are_taken() -> None:
    """Nothing that is like one, or a part of one, is one."""
    keys = ApiKeys([KEY, ANOTHER])
    assert knows(keys, KEY)
    assert knows(keys, ANOTHER)
    for other in ("", KEY[:-1], KEY + "=", KEY.upper(), f" {KEY}", f"{KEY}\n", KEY + ANOTHER):
        assert not knows(keys, other)


@given(st.text(st.characters()))
@example("\ud800")
def test_no_text_is_too_strange_to_be_refused(key: str) -> None:
    """Whatever a header says, it is known or not."""
    assert not knows(ApiKeys([KEY]), key)


def test_a_file_has_one_in_each_line(path: Path) -> None:
    """Empty lines, comments, and what is around a key do not count; those given do, too."""
    path.write_bytes(f"# of the orchestra\n\n  {KEY}  \r\n# {'x' * 20}\n{KEY}".encode())
    keys = ApiKeys([ANOTHER], str(path))
    assert len(keys) == 2
    assert knows(keys, KEY)
    assert knows(keys, ANOTHER)
    assert not knows(keys, "x" * 20)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "has no key"),
        (b"\n# nothing\n", "has no key"),
        (b"too-short-by-one"[:-1], "line 1 is no key"),
        (KEY.encode() + b"\nwith a space in it", "line 2 is no key"),
        (b"x" * 256, "line 1 is no key"),
        ("schlüssel-des-orchesters".encode(), "line 1 is no key"),
        (b"\xff" * 20, "line 1 is no key"),
        (KEY.encode() + b"\0" * 20, "line 1 is no key"),
    ],
)
def test_a_file_of_something_else_is_refused(path: Path, text: bytes, reason: str) -> None:
    """One line says where and what is allowed, and nothing of what is there."""
    path.write_bytes(text)
    with pytest.raises(ValueError, match="must be") as caught:
        ApiKeys(path=str(path))
    assert str(caught.value) == f"{reason}; must be {ALLOWED}"


def test_the_bounds_of_a_key(path: Path) -> None:
    """16 characters are enough, and 255 not too many."""
    assert SHORTEST == 16
    assert len(ApiKeys(["x" * 16, "x" * 255])) == 2
    for key in ("x" * 15, "x" * 256, "with a space in it"):
        with pytest.raises(ValueError, match="an API key must have 16 to 255 letters") as caught:
            ApiKeys([key])
        assert key not in str(caught.value)
    with pytest.raises(ValueError, match="has no key"):
        ApiKeys()


def test_a_file_that_cannot_be_read(path: Path) -> None:
    """It is for whoever names it to say so."""
    with pytest.raises(OSError, match="No such file"):
        ApiKeys(path=str(path))


def test_reading_again(path: Path) -> None:
    """New keys come and old ones go; those that were given stay."""
    path.write_text(KEY)
    keys = ApiKeys(["given-by-the-application"], str(path))
    path.write_text(f"{ANOTHER}\n{ANOTHER}2\n")
    assert keys.reload() == f"Reloaded {path}: 3 API keys."
    assert knows(keys, ANOTHER)
    assert knows(keys, "given-by-the-application")
    assert not knows(keys, KEY)


def test_reading_again_what_is_bad(path: Path) -> None:
    """What was known stays known."""
    path.write_text(KEY)
    keys = ApiKeys(path=str(path))
    for text in ("", "short", f"{ANOTHER}\nshort"):
        path.write_text(text)
        with pytest.raises(ValueError, match="must be"):
            keys.reload()
        assert knows(keys, KEY)
        assert not knows(keys, ANOTHER)
    path.unlink()
    with pytest.raises(ValueError, match=f"{path}: No such file"):
        keys.reload()
    assert knows(keys, KEY)


def test_nothing_shows_a_key() -> None:
    """Neither does it show in what is looked at while searching for a fault."""
    for shown in (repr(ApiKeys([KEY])), str(ApiKeys([KEY]))):
        assert KEY not in shown
