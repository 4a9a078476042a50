"""Pieces that are encoded once for all who catch up."""

from __future__ import annotations

from typing import Any

from orchestra.pieces import ROOM, Pieces
from tests.outlets import Payloads


def encoded(pieces: Pieces, encoding: Payloads, first: int, last: int, size: int = 1) -> Any:
    """What is made of the messages from one offset to another, each of so many bytes."""
    offsets = range(first, last + 1)
    entries = [(b"x" * size, False, None, 0.0) for _ in offsets]
    return pieces.encoded(encoding, entries, offsets, "epoch")


def test_the_same_piece_is_encoded_once() -> None:
    """The same messages in the same encoding are the same object; all others are not."""
    pieces, encoding, other = Pieces(), Payloads(), Payloads()
    first = encoded(pieces, encoding, 1, 3)
    assert first == [b"x"] * 3
    assert encoded(pieces, encoding, 1, 3) is first
    assert encoding.calls == 1
    encoded(pieces, encoding, 1, 2)
    encoded(pieces, encoding, 2, 3)
    assert encoding.calls == 3
    encoded(pieces, other, 1, 3)
    assert other.calls == 1


def test_the_oldest_make_room() -> None:
    """What is kept is bounded in bytes, but for the newest piece, whatever its size."""
    pieces, encoding = Pieces(), Payloads()
    for n in range(1, 6):
        encoded(pieces, encoding, n, n, ROOM // 4)
    encoded(pieces, encoding, 2, 2, ROOM // 4)
    assert encoding.calls == 5
    encoded(pieces, encoding, 1, 1, ROOM // 4)
    assert encoding.calls == 6
    for _ in range(2):
        encoded(pieces, encoding, 9, 9, 2 * ROOM)
    assert encoding.calls == 7
    encoded(pieces, encoding, 5, 5, ROOM // 4)
    assert encoding.calls == 8


def test_what_is_cleared_is_encoded_again() -> None:
    """Nothing is kept for nobody."""
    pieces, encoding = Pieces(), Payloads()
    encoded(pieces, encoding, 1, 3)
    pieces.clear()
    encoded(pieces, encoding, 1, 3)
    assert encoding.calls == 2
