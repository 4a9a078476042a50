"""The bounded log of a channel."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from orchestra.message import Content, Entry
from orchestra.position import Position


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of its past a channel keeps. Whichever bound is reached first counts.

    :raises ValueError: if a bound is negative.
    """

    messages: int = 1000
    """How many messages at the most."""

    bytes: int = 4 * 1024 * 1024
    """How many bytes of payload at the most."""

    age: float = 600.0
    """For how many seconds at the most."""

    def __post_init__(self) -> None:
        for name in ("messages", "bytes", "age"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"retention: {name} must be 0 or more, not {value!r}")

    @property
    def keeps_anything(self) -> bool:
        """Whether there is a past at all to come back for."""
        return bool(self.messages and self.bytes and self.age)


class History:
    """An append-only log of messages with contiguous offsets, shortened only at its old end.

    It keeps what it is given until :meth:`trim` is called, so that whoever owns it decides when
    a message may go: not before it was delivered.
    """

    __slots__ = ("_log", "epoch", "last_offset", "lost_offset", "retention", "size")

    def __init__(self, retention: Retention = Retention()) -> None:
        self.retention = retention
        self.epoch = secrets.token_hex(4)
        """A random string; offsets of different epochs have nothing to do with each other."""
        self.size = 0
        """How many bytes of payload are retained."""
        self.last_offset = 0
        """The offset of the newest message ever appended; 0 before the first."""
        self.lost_offset = 0
        """The offset of the newest message that is gone; 0 while all are retained.

        A reader can go on from here or from any later offset, but from no earlier one.
        """
        self._log: list[Entry] = []

    def __len__(self) -> int:
        """How many messages are retained."""
        return len(self._log)

    @property
    def position(self) -> Position:
        """The place of the newest message: who has that has all of it."""
        return Position(self.epoch, self.last_offset)

    def place(self, position: Position) -> tuple[int, int | None]:
        """Where a reader that comes back goes on.

        :param position: up to where it has read.
        :returns: the offset after which it goes on, and how many messages it missed: 0 if its
            place is still there, and ``None`` if that cannot be known. Then it goes on with all
            that is retained, none of which it has.
        """
        if position.epoch != self.epoch or position.offset > self.last_offset:
            return self.lost_offset, None
        missed = max(0, self.lost_offset - position.offset)
        return position.offset + missed, missed

    def extend(self, contents: Sequence[Content], publisher: str | None, now: float) -> None:
        """Add messages; the offset of the last one is :attr:`last_offset` then.

        :param now: seconds of a clock that never goes back.
        """
        self._log += [(payload, is_binary, publisher, now) for payload, is_binary in contents]
        self.last_offset += len(contents)
        self.size += sum([len(payload) for payload, _ in contents])

    def since(self, offset: int, until: int | None = None) -> Sequence[Entry]:
        """The messages after an offset: the next one first, with no gap.

        :param offset: the last offset that the reader already has.
        :param until: the last offset that it wants; by default all there are.
        :raises LookupError: if the reader's place is gone.
        """
        lost = self.lost_offset
        if offset < lost:
            raise LookupError(f"offset {offset} is gone; a reader can go on from {lost}")
        return self._log[offset - lost : None if until is None else until - lost]

    def piece(self, offset: int, until: int, size: int) -> Sequence[Entry]:
        """The next few messages after an offset, for a reader that takes them bit by bit.

        :param offset: the last offset that the reader already has.
        :param until: the last offset that it wants.
        :param size: bytes of payload; the message that reaches them is the last of the piece.
        :raises LookupError: if the reader's place is gone.
        """
        entries = self.since(offset, until)
        taken = 0
        for count, (payload, *_) in enumerate(entries, 1):
            taken += len(payload)
            if taken >= size:
                return entries[:count]
        return entries

    def trim(self, now: float, until: int) -> bool:
        """Forget what goes beyond the retention, the oldest first.

        :param now: seconds of the clock that the messages were appended by.
        :param until: the last offset that may be forgotten.
        :returns: whether anything was forgotten.
        """
        log, keep = self._log, self.retention
        most = until - self.lost_offset
        forgotten = min(max(len(log) - keep.messages, 0), most)
        size = self.size
        if forgotten:
            size -= sum([len(entry[0]) for entry in log[:forgotten]])
        oldest = now - keep.age
        while forgotten < most:
            payload, _, _, published_at = log[forgotten]
            if size <= keep.bytes and published_at >= oldest:
                break
            size -= len(payload)
            forgotten += 1
        if forgotten:
            del log[:forgotten]
            self.size = size
            self.lost_offset += forgotten
        return forgotten > 0
