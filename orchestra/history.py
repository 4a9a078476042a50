"""The bounded log of a channel."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from orchestra.message import Content, Message

# What Message() does once it has put its arguments into a tuple, in two thirds of the time.
_message = partial(tuple.__new__, Message)


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
        self._log: list[Message] = []

    def __len__(self) -> int:
        """How many messages are retained."""
        return len(self._log)

    def extend(
        self, contents: Sequence[Content], publisher: str | None, now: float
    ) -> Sequence[Message]:
        """Add messages.

        :param now: seconds of a clock that never goes back.
        :returns: the messages, with their offsets.
        """
        messages = [
            _message((offset, payload, is_binary, publisher, now))
            for offset, (payload, is_binary) in enumerate(contents, self.last_offset + 1)
        ]
        self._log += messages
        self.last_offset += len(messages)
        self.size += sum([len(payload) for payload, _ in contents])
        return messages

    def since(self, offset: int, until: int | None = None) -> Sequence[Message]:
        """The messages after an offset.

        :param offset: the last offset that the reader already has.
        :param until: the last offset that it wants; by default all there are.
        :raises LookupError: if the reader's place is gone.
        """
        lost = self.lost_offset
        if offset < lost:
            raise LookupError(f"offset {offset} is gone; a reader can go on from {lost}")
        return self._log[offset - lost : None if until is None else until - lost]

    def piece(self, offset: int, until: int, size: int) -> Sequence[Message]:
        """The next few messages after an offset, for a reader that takes them bit by bit.

        :param offset: the last offset that the reader already has.
        :param until: the last offset that it wants.
        :param size: bytes of payload; the message that reaches them is the last of the piece.
        :raises LookupError: if the reader's place is gone.
        """
        messages = self.since(offset, until)
        taken = 0
        for count, message in enumerate(messages, 1):
            taken += len(message.payload)
            if taken >= size:
                return messages[:count]
        return messages

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
            size -= sum([len(message.payload) for message in log[:forgotten]])
        oldest = now - keep.age
        for message in islice(log, forgotten, most):
            if size <= keep.bytes and message.published_at >= oldest:
                break
            size -= len(message.payload)
            forgotten += 1
        if forgotten:
            del log[:forgotten]
            self.size = size
            self.lost_offset += forgotten
        return forgotten > 0
