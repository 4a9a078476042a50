"""What is set for channels, and for which."""

from __future__ import annotations

import re
from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.history import Retention
from orchestra.settings import (
    ANYONE,
    NOTHING,
    SLOW_READER,
    ChannelRules,
    ChannelSettings,
    check_slow_reader,
    matches,
)

NUMBERS = ("max_message_size", "max_message_rate", "message_burst", "max_connections")


def test_nothing_is_set_by_itself() -> None:
    """All is as for the other channels, and anyone may publish."""
    assert ChannelSettings() == NOTHING
    assert NOTHING.publishers == ANYONE
    assert NOTHING.retention is NOTHING.slow_reader is NOTHING.prefix is None
    assert [getattr(NOTHING, name) for name in NUMBERS] == [None] * 4


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, -0.5, nan])
def test_a_number_that_is_none_is_refused(name: str, value: float) -> None:
    """The error names the setting and the value."""
    with pytest.raises(ValueError, match=f"{name} must be 0 or more, not {value}"):
        ChannelSettings(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_zero_stands_for_no_limit(name: str) -> None:
    """It is a value of its own: it holds against a limit of all channels."""
    limited: Any = ChannelSettings(**{name: 5})
    settings = ChannelSettings(**{name: 0}).over(limited)
    assert getattr(settings, name) == 0


@pytest.mark.parametrize("slow_reader", SLOW_READER)
def test_what_becomes_of_slow_readers_is_one_of_three(slow_reader: str) -> None:
    """It is returned as it is, and taken as a setting."""
    assert check_slow_reader(slow_reader) == slow_reader
    assert ChannelSettings(slow_reader=slow_reader).slow_reader == slow_reader


@pytest.mark.parametrize("slow_reader", ["", "drop", "Close"])
def test_anything_else_for_slow_readers_is_refused(slow_reader: str) -> None:
    """The error names what there is, and what was asked for."""
    problem = f"slow_reader must be one of close, skip, latest, not '{slow_reader}'"
    with pytest.raises(ValueError, match=problem):
        check_slow_reader(slow_reader)
    with pytest.raises(ValueError, match=problem):
        ChannelSettings(slow_reader=slow_reader)


def test_what_is_set_comes_before_what_holds_for_all() -> None:
    """What is set nowhere stays open; who may publish is never taken from the others."""
    others = ChannelSettings(
        prefix="all: ", max_message_size=10, max_message_rate=1.5, publishers=("unix",)
    )
    retention = Retention(messages=1)
    mine = ChannelSettings(retention=retention, prefix="", max_message_size=20)
    assert mine.over(others) == ChannelSettings(
        retention=retention, prefix="", max_message_size=20, max_message_rate=1.5
    )


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("strings", ["strings"], ["Strings", "strings/", "string", "my strings"]),
        ("strings/*", ["strings/", "strings/1", "strings/1/a"], ["strings", "my strings/1"]),
        ("*", ["", "strings", "a/b", "a\nb"], []),
        ("*/private", ["a/private", "/private", "a/b/private"], ["private", "a/private/b"]),
        ("a*b*c", ["abc", "a/b/c", "abcbc"], ["acb", "abcd"]),
        ("v1.[ab]+", ["v1.[ab]+"], ["v1.a", "v1x[ab]+"]),
        ("?", ["?"], ["a"]),
    ],
)
def test_only_a_star_stands_for_others(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    """It stands for any characters, or for none; the whole name has to match."""
    settings = ChannelSettings(prefix=pattern)
    rules = ChannelRules({pattern: settings})
    assert all(rules.settings(name) is settings for name in matching)
    assert all(rules.settings(name) is NOTHING for name in others)


def test_the_first_pattern_that_matches_counts() -> None:
    """It alone does, in the order in which they are given: what it leaves open stays open."""
    one, many, rest = ChannelSettings(), ChannelSettings(prefix="2"), ChannelSettings(prefix="3")
    rules = ChannelRules({"a/1": one, "a/*": many, "*": rest})
    assert rules.settings("a/1") is one
    assert rules.settings("a/2") is many
    assert rules.settings("b") is rest
    assert rules.all == (one, many, rest)


@given(st.text("ab/*", max_size=8), st.text("ab/*\n", max_size=12))
def test_a_star_stands_for_any_characters(pattern: str, name: str) -> None:
    """Whatever else is in it stands for itself: held against regular expressions."""
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, name) == bool(re.fullmatch(expression, name, re.DOTALL))


def test_a_pattern_of_many_stars_takes_no_longer_than_others() -> None:
    """Where none of them finds what it looks for, it is looked for once."""
    assert not matches("*a" * 100 + "b", "a" * 255)
