"""A place in a channel's log, in writing and when it is gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.history import History
from orchestra.message import Message
from orchestra.position import LostPositionError, Position

EPOCHS = st.from_regex(r"[0-9A-Za-z_-]{1,64}", fullmatch=True)


@given(epoch=EPOCHS, offset=st.integers(0, 10**18 - 1))
def test_a_position_can_be_written_and_read(epoch: str, offset: int) -> None:
    """What is read from the written form is what was written."""
    position = Position(epoch, offset)
    assert str(position) == f"{epoch}:{offset}"
    assert Position.parse(str(position)) == position


def test_the_position_of_a_history_can_be_read() -> None:
    """The epochs that histories choose are of the form that is read."""
    position = History().position
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "42",
        "1f2e3d4c",
        "1f2e3d4c:",
        ":42",
        "1f2e3d4c:-1",
        "1f2e3d4c:+1",
        "1f2e3d4c:042",
        "1f2e3d4c:00",
        "1f2e3d4c:4_2",
        "1f2e3d4c:4.0",
        "1f2e3d4c:٤٢",
        "1f2e3d4c:1" + "0" * 18,
        "1f2e3d4c:42\n",
        " 1f2e3d4c:42",
        "1f2e:3d4c:42",
        "1f2é3d4c:42",
        "1f2e 3d4c:42",
        "e" * 65 + ":42",
    ],
)
def test_what_is_no_position_is_refused(text: str) -> None:
    """Whatever is not an epoch and an offset, as they are written; the error has an example."""
    with pytest.raises(ValueError, match="must be an epoch and an offset, as in 1f2e3d4c:42"):
        Position.parse(text)


@given(text=st.text())
def test_a_position_has_one_written_form(text: str) -> None:
    """Any text is refused, or it is exactly how the position is written that it is read as."""
    try:
        position = Position.parse(text)
    except ValueError:
        return
    assert str(position) == text


def test_a_message_tells_its_position() -> None:
    """Whoever has a message comes back with its epoch and its offset."""
    message = Message(42, b"C#4", False, None, 12.5, "1f2e3d4c")
    assert message.position == Position("1f2e3d4c", 42)


@pytest.mark.parametrize(("missed", "said"), [(3, "3 messages"), (None, "some messages")])
def test_a_lost_position_tells_how_much_is_missing(missed: int | None, said: str) -> None:
    """As a number, and in words; if nobody can know it, there is none."""
    error = LostPositionError(missed)
    assert error.missed == missed
    assert said in str(error)
