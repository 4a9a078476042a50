"""What those who catch up read, encoded once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestra.interfaces import IEncoding
from orchestra.message import Entry

ROOM = 1024 * 1024
"""How much is kept of what was encoded, in bytes of payload."""


class Pieces:
    """The pieces of a channel's log that were encoded last.

    When many lag behind at the same time, they read the same. Encoding it for each of them would
    cost the most just when there is the least time for it.
    """

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: dict[tuple[IEncoding, range], tuple[Any, int]] = {}
        self._size = 0

    def encoded(
        self, encoding: IEncoding, entries: Sequence[Entry], offsets: range, epoch: str
    ) -> Any:
        """What the encoding makes of a piece, from memory if it was asked for before.

        :param entries: at least one, all that the log has at these offsets.
        """
        key = encoding, offsets
        found = self._pieces.get(key)
        if found is not None:
            return found[0]
        data = encoding.encode(entries, offsets, epoch)
        size = sum([len(payload) for payload, *_ in entries])
        self._pieces[key] = data, size
        self._size += size
        while self._size > ROOM and len(self._pieces) > 1:
            _, dropped = self._pieces.pop(next(iter(self._pieces)))
            self._size -= dropped
        return data

    def clear(self) -> None:
        """Forget them all."""
        self._pieces.clear()
        self._size = 0
