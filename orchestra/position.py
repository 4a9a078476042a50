"""A place in a channel's log, as readers know it."""

from __future__ import annotations

import re
from typing import NamedTuple

_WRITTEN = re.compile(r"([0-9A-Za-z_-]{1,64}):(0|[1-9][0-9]{0,17})", re.ASCII)


class Position(NamedTuple):
    """Up to where somebody has read a channel. Who comes back with it reads on from there."""

    epoch: str
    """Of the log; a log that may have lost its past has a new one, and its offsets mean nothing
    in another."""

    offset: int
    """Of the last message that was read; 0 before the first."""

    def __str__(self) -> str:
        """The position in the form that :meth:`parse` reads: ``epoch:offset``."""
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read a position from its written form.

        :raises ValueError: if it is none.
        """
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise ValueError("must be an epoch and an offset, as in 1f2e3d4c:42")
        return cls(match[1], int(match[2]))


class LostPositionError(LookupError):
    """What comes next after a position is no longer retained.

    :ivar missed: how many messages are gone; ``None`` if that cannot be known, because the
        position is of another epoch.
    """

    def __init__(self, missed: int | None) -> None:
        super().__init__(f"the position is gone; {missed or 'some'} messages after it are missing")
        self.missed = missed
