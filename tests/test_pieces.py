"""Pieces that are encoded once for all who catch up."""

from __future__ import annotations

from collections.abc import Sequence

from orchestra.message import Message
from orchestra.pieces import ROOM, Pieces
from tests.outlets import Payloads


def messages(first: int, last: int, size: int = 1) -> Sequence[Message]:
    return [Message(n, b"x" * size, False, None, 0.0) for n in range(first, last + 1)]


def test_the_same_piece_is_encoded_once() -> None:
    """The same messages in the same encoding are the same object; all others are not."""
    pieces, encoding, other = Pieces(), Payloads(), Payloads()
    first = pieces.encoded(encoding, messages(1, 3))
    assert first == [b"x"] * 3
    assert pieces.encoded(encoding, messages(1, 3)) is first
    assert encoding.calls == 1
    pieces.encoded(encoding, messages(1, 2))
    pieces.encoded(encoding, messages(2, 3))
    assert encoding.calls == 3
    pieces.encoded(other, messages(1, 3))
    assert other.calls == 1


def test_the_oldest_make_room() -> None:
    """What is kept is bounded in bytes, but for the newest piece, whatever its size."""
    pieces, encoding = Pieces(), Payloads()
    for n in range(1, 6):
        pieces.encoded(encoding, messages(n, n, ROOM // 4))
    pieces.encoded(encoding, messages(2, 2, ROOM // 4))
    assert encoding.calls == 5
    pieces.encoded(encoding, messages(1, 1, ROOM // 4))
    assert encoding.calls == 6
    for _ in range(2):
        pieces.encoded(encoding, messages(9, 9, 2 * ROOM))
    assert encoding.calls == 7
    pieces.encoded(encoding, messages(5, 5, ROOM // 4))
    assert encoding.calls == 8


def test_what_is_cleared_is_encoded_again() -> None:
    """Nothing is kept for nobody."""
    pieces, encoding = Pieces(), Payloads()
    pieces.encoded(encoding, messages(1, 3))
    pieces.clear()
    pieces.encoded(encoding, messages(1, 3))
    assert encoding.calls == 2
