"""The bounded log."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.history import History, Retention
from orchestra.message import Entry
from orchestra.position import Position


def filled(count: int, retention: Retention = Retention()) -> History:
    """A history of so many messages, the n-th of n bytes and published at n seconds."""
    history = History(retention)
    for n in range(1, count + 1):
        history.extend([(b"x" * n, False)], None, float(n))
    return history


def sizes(entries: Sequence[Entry]) -> list[int]:
    """The sizes of the payloads, which in a history that was filled tell the offsets."""
    return [len(payload) for payload, _, _, _ in entries]


def test_offsets_start_at_one_and_are_contiguous() -> None:
    """The first message has offset 1, and each one after it the next."""
    history = History()
    assert history.last_offset == 0
    for payloads in ([b"a"], [b"b", b"c"]):
        history.extend([(payload, False) for payload in payloads], None, 0)
    assert history.last_offset == 3
    assert [history.since(n, n + 1)[0][0] for n in range(3)] == [b"a", b"b", b"c"]


def test_a_message_keeps_what_was_appended() -> None:
    """Payload, kind, publisher and time come back as they were given."""
    history = History()
    history.extend([(b"C#4", True)], "a client", 12.5)
    assert history.since(0) == [(b"C#4", True, "a client", 12.5)]


def test_each_history_has_an_epoch_of_its_own() -> None:
    """Offsets of two histories can be told apart."""
    assert History().epoch != History().epoch


def test_its_position_is_the_newest_message() -> None:
    """It is there before the first one, and stays when all are gone."""
    history = filled(5, Retention(messages=0))
    assert History().position.offset == 0
    assert history.position == Position(history.epoch, 5)
    history.trim(5.0, 5)
    assert history.position == Position(history.epoch, 5)


@pytest.mark.parametrize(
    ("offset", "place"),
    [
        (0, (3, 3)),
        (2, (3, 1)),
        (3, (3, 0)),
        (4, (4, 0)),
        (5, (5, 0)),
        (6, (3, None)),
    ],
)
def test_a_reader_that_comes_back_has_a_place(offset: int, place: tuple[int, int | None]) -> None:
    """It goes on where it was, or as near as can be, and it is known what it missed; but for an
    offset that was never given out, which tells nothing."""
    history = filled(5, Retention(messages=2))
    history.trim(5.0, 5)
    assert history.place(Position(history.epoch, offset)) == place


@pytest.mark.parametrize("offset", [0, 4, 99])
def test_a_position_of_another_epoch_tells_nothing(offset: int) -> None:
    """The reader gets all that is retained, whatever its offset."""
    history = filled(5, Retention(messages=2))
    history.trim(5.0, 5)
    assert history.place(Position("another", offset)) == (3, None)


def test_since_gives_what_comes_after_an_offset() -> None:
    """Reading starts after the offset and goes to the end, or to the offset asked for."""
    history = filled(5)
    assert sizes(history.since(0)) == [1, 2, 3, 4, 5]
    assert sizes(history.since(3)) == [4, 5]
    assert sizes(history.since(1, 3)) == [2, 3]
    assert sizes(history.since(5)) == []


def test_a_piece_ends_with_the_message_that_fills_it() -> None:
    """A piece is as long as asked for, at least one message, and never beyond the end."""
    history = filled(5)
    assert sizes(history.piece(0, 5, 3)) == [1, 2]
    assert sizes(history.piece(3, 5, 1)) == [4]
    assert sizes(history.piece(0, 4, 100)) == [1, 2, 3, 4]


def test_what_is_gone_cannot_be_read() -> None:
    """A reader whose place is gone is told so, with the place from where it could go on."""
    history = filled(5, Retention(messages=2))
    assert history.trim(5.0, 5)
    assert sizes(history.since(3)) == [4, 5]
    with pytest.raises(
        LookupError, match=re.escape("offset 2 is gone; a reader can go on from 3")
    ):
        history.since(2)
    with pytest.raises(LookupError):
        history.piece(2, 5, 100)


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(messages=3), [3, 4, 5]),
        (Retention(messages=0), []),
        (Retention(bytes=9), [4, 5]),
        (Retention(bytes=8), [5]),
        (Retention(bytes=4), []),
        (Retention(age=2), [3, 4, 5]),
        (Retention(messages=4, bytes=9, age=3), [4, 5]),
        (Retention(), [1, 2, 3, 4, 5]),
    ],
)
def test_trim_keeps_what_is_within_every_bound(retention: Retention, left: list[int]) -> None:
    """Number, bytes and age each bound the log; the oldest messages go first."""
    history = filled(5, retention)
    assert history.trim(5.0, 5) is (len(left) < 5)
    assert sizes(history.since(history.lost_offset)) == left
    assert len(history) == len(left)
    assert history.size == sum(left)
    assert history.last_offset == 5
    assert not history.trim(5.0, 5)


def test_trim_spares_what_was_not_delivered() -> None:
    """Nothing after the given offset is forgotten, whatever the retention says."""
    history = filled(5, Retention(messages=0))
    assert history.trim(5.0, 2)
    assert sizes(history.since(2)) == [3, 4, 5]
    assert not history.trim(5.0, 2)


@pytest.mark.parametrize("name", ["messages", "bytes", "age"])
def test_a_negative_bound_is_refused(name: str) -> None:
    """The error names the bound and the value."""
    with pytest.raises(ValueError, match=f"{name} must be 0 or more, not -1"):
        Retention(**{name: -1})


@pytest.mark.parametrize("name", ["messages", "bytes", "age"])
def test_a_bound_of_none_keeps_nothing(name: str) -> None:
    """Whatever the other bounds are; else something is kept."""
    assert Retention(1, 1, 0.1).keeps_anything is True
    assert Retention(**{name: 0}).keeps_anything is False


@given(
    steps=st.lists(st.tuples(st.integers(0, 9), st.floats(0, 5), st.booleans())),
    messages=st.integers(0, 5),
    size=st.integers(0, 20),
    age=st.floats(0, 10),
)
def test_the_log_is_a_bounded_suffix(
    steps: list[tuple[int, float, bool]], messages: int, size: int, age: float
) -> None:
    """After any appends and trims the log is the longest suffix within its bounds."""
    history = History(Retention(messages, size, age))
    model: list[tuple[int, float]] = []
    now = 0.0
    for length, pause, trims in steps:
        now += pause
        history.extend([(b"x" * length, False)], None, now)
        model.append((length, now))
        if trims:
            history.trim(now, history.last_offset)
            while model and (
                len(model) > messages
                or sum(length for length, _ in model) > size
                or model[0][1] < now - age
            ):
                del model[0]
        assert history.last_offset - history.lost_offset == len(history) == len(model)
        assert sizes(history.since(history.lost_offset)) == [length for length, _ in model]
        assert history.size == sum(length for length, _ in model)
