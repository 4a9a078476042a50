"""A position in a channel's log, and how it moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestra.interfaces import IEncoding, IOutlet
from orchestra.message import Entry
from orchestra.position import Position
from orchestra.settings import LATEST

if TYPE_CHECKING:
    from orchestra.channel import Channel
    from orchestra.head import Head
    from orchestra.presence import Member

PIECE = 64 * 1024
"""How many bytes of payload a subscriber that catches up reads at once."""

STEP = 256
"""The number of messages at whose multiples such a piece ends as well."""


def publishers(entries: Sequence[Entry]) -> set[str | None]:
    """Who published some messages."""
    return {publisher for _, _, publisher, _ in entries}


def encode_without(
    encoding: IEncoding,
    entries: Sequence[Entry],
    offsets: Sequence[int],
    epoch: str,
    publisher: str,
) -> tuple[Any, int]:
    """What an encoding makes of messages but those of a publisher; ``None`` if none are left.

    :returns: that, and how many are left.
    """
    kept = [n for n, (_, _, its_publisher, _) in enumerate(entries) if its_publisher != publisher]
    if not kept:
        return None, 0
    data = encoding.encode([entries[n] for n in kept], [offsets[n] for n in kept], epoch)
    return data, len(kept)


class Subscriber:
    """Somebody who reads a channel through an encoding, into an outlet.

    All that it holds is the offset of the last message written to its outlet: no queue, so a
    slow one costs no more memory than a fast one. At the head of the log it is written each
    turn's messages together with others (:class:`orchestra.head.Head`). Elsewhere it reads on by
    itself, in pieces, until it has caught up, its outlet is full again, or its place is gone.
    What becomes of it then is set for the channel: it is evicted, or it goes on further ahead.

    It is made by :meth:`orchestra.Hub.attach`, paused; :meth:`resume` starts it.
    """

    __slots__ = (
        "_last",
        "_missed",
        "_offset",
        "_reading",
        "channel",
        "encoding",
        "gone",
        "head",
        "member",
        "outlet",
        "paused",
        "send",
        "skip",
        "write",
    )

    def __init__(
        self,
        channel: Channel,
        outlet: IOutlet,
        encoding: IEncoding,
        offset: int,
        skip: str | None = None,
        member: Member | None = None,
    ) -> None:
        """
        :param offset: the last offset that the outlet already has.
        :param skip: a client id whose messages are left out.
        :param member: who reads, for those who want to know who is there.
        """
        self.channel = channel
        self.outlet = outlet
        self.write = outlet.write
        self.send = outlet.send
        self.encoding = encoding
        self.skip = skip
        self.member = member
        self.head: Head | None = None
        """Those that it is at the head with, if it is there."""
        self._offset = offset
        self.paused = True
        self.gone = False
        self._reading = False
        self._last: int | None = None  # where to end, once it was told to finish
        self._missed: int | None = 0  # before the first message, of which the outlet is to be told

    @property
    def offset(self) -> int:
        """The last offset that the outlet was written; at the head it is the others' as well."""
        # Not there yet in the middle of a delivery, those are behind one that was written already.
        return self._offset if self.head is None else max(self._offset, self.head.offset)

    @offset.setter
    def offset(self, offset: int) -> None:
        self._offset = offset

    @property
    def position(self) -> Position | None:
        """Up to where the outlet was written; ``None`` while it is to be told of a gap there."""
        return Position(self.channel.history.epoch, self.offset) if self._missed == 0 else None

    def begin(self, offset: int, missed: int | None = 0) -> None:
        """Say where it begins, before it has read anything.

        :param offset: the last offset that the outlet already has, or has missed.
        :param missed: how many messages it has missed; ``None`` if that is not known.
        """
        self._offset = offset
        self._missed = missed

    def pause(self) -> None:
        """The outlet is full: stay at this offset until :meth:`resume`."""
        if not self.paused and not self.gone:
            self.paused = True
            self.channel.leave_head(self)

    def resume(self) -> None:
        """The outlet takes more: read on from where it stopped."""
        if self.paused and not self.gone:
            self.paused = False
            self._read_on()

    def finish(self) -> None:
        """Read up to the newest message there is now, then tell the outlet and be gone.

        That happens at once, or when the outlet has drained if it is paused.
        """
        if self._last is None and not self.gone:
            self._last = self.channel.history.last_offset
            self.channel.leave_head(self)
            self._read_on()

    def take(self, data: Any) -> None:
        """Write what those at the head are written, and what is to follow after that."""
        self._reading = True
        try:
            self.write(data)
        finally:
            self._reading = False
        self.catch_up()

    def catch_up(self) -> None:
        """Read on, if it waited for nothing but the end of the turn."""
        if self.head is None and not self.paused and not self.gone:
            self._read_on()

    def _read_on(self) -> None:
        # The outlet may pause, resume or remove this subscriber from inside a write. The flag
        # leaves the reading to the outermost call, so that nothing is written out of order.
        if self._reading:
            return
        self._reading = True
        try:
            while not (self.paused or self.gone):
                if self._missed != 0 or self.owed(self.channel.history.lost_offset):
                    self._go_on()
                elif self._arrived():
                    break
                else:
                    self._read_piece()
        except Exception as error:
            self.channel.fail([self], error, "a reader")
        finally:
            self._reading = False

    def owed(self, until: int) -> int:
        """How many messages up to an offset it has not read, and is still to read."""
        if self._last is not None:
            until = min(until, self._last)
        return max(0, until - self.offset)

    def missing(self, lost: int) -> int:
        """How many messages it has missed, as far as that can be known.

        :param lost: the last offset that is gone.
        """
        return (self._missed or 0) + self.owed(lost)

    def _go_on(self) -> None:
        # Its place is gone, or was when it came: go on where there is something, and say so.
        channel = self.channel
        missed, self._missed = self._missed, 0
        lost = self.owed(channel.history.lost_offset)
        offset = self._offset + lost
        if lost and self._last is None and channel.slow_reader == LATEST:
            offset = max(offset, channel.delivered - 1)
        if missed is not None:
            missed += offset - self._offset
        self._offset = offset
        self.outlet.gap(missed, Position(channel.history.epoch, offset))

    def _arrived(self) -> bool:
        channel = self.channel
        if self._last is None:
            if self.offset < channel.delivered:
                return False
            channel.join_head(self)
        else:
            if self.offset < self._last:
                return False
            channel.remove(self)
            self.outlet.end()
        return True

    def take_piece(self) -> tuple[Sequence[Entry], range]:
        """Take the next piece of what was delivered to others, instead of having it written.

        It is for who is paused, and for an encoding of its own.

        :returns: entries of the log and their offsets; none, if it has arrived at the head.
        """
        channel = self.channel
        if self.offset >= channel.delivered:
            return (), range(0)
        entries, offsets = self._next_piece(channel.delivered)
        channel.delivered_to(1, None, len(entries))
        return entries, offsets

    def _next_piece(self, until: int) -> tuple[Sequence[Entry], range]:
        # Readers who began at different places soon read the same pieces.
        until = min(until, self.offset - self.offset % STEP + STEP)
        entries = self.channel.history.piece(self.offset, until, PIECE)
        offsets = range(self.offset + 1, self.offset + 1 + len(entries))
        self.offset = offsets[-1]
        return entries, offsets

    def _read_piece(self) -> None:
        channel = self.channel
        entries, offsets = self._next_piece(
            channel.delivered if self._last is None else self._last
        )
        epoch, count = channel.history.epoch, len(entries)
        if self.skip is None or self.skip not in publishers(entries):
            data = channel.pieces.encoded(self.encoding, entries, offsets, epoch)
        else:
            data, count = encode_without(self.encoding, entries, offsets, epoch, self.skip)
        if data is not None:
            channel.delivered_to(1, data, count)
            self.write(data)
