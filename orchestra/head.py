"""Those at the head of a log, and the shortest way from the log to them."""

from __future__ import annotations

from collections.abc import Callable
from operator import length_hint
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestra.subscriber import Subscriber


class Head:
    """Subscribers at the head of a channel's log that are written the same.

    They have their offset in common, so that a delivery does not touch each of them: where their
    outlets can send at once, it is one call for each and nothing else. The first that has no room
    for all of it ends that, and the others are gone through with care, since what an outlet does
    when it is full may make any of them leave.

    Nobody joins during a delivery: the channel sees to that.
    """

    __slots__ = ("_members", "_order", "_sends", "offset")

    def __init__(self, offset: int) -> None:
        """
        :param offset: the last offset that those have who will be in it.
        """
        self.offset = offset
        """The last offset that has been delivered to all of them."""
        self._members: dict[Subscriber, None] = {}
        # The members, and their ways to send, if they have any; made anew after one came or went.
        self._order: tuple[Subscriber, ...] | None = None
        self._sends: list[Callable[[Any], int]] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._members)

    def members(self) -> tuple[Subscriber, ...]:
        """Who is in it now."""
        return tuple(self._members)

    def add(self, subscriber: Subscriber) -> None:
        """Take in a subscriber that has this offset."""
        self._members[subscriber] = None
        self._order = None
        subscriber.head = self

    def remove(self, subscriber: Subscriber) -> None:
        """Let go of a subscriber, which keeps the offset that it has reached."""
        offset = subscriber.offset
        del self._members[subscriber]
        self._order = None
        subscriber.head = None
        subscriber.offset = offset

    def deliver(
        self, data: Any, end: int, failed: Callable[[Subscriber, Exception], object]
    ) -> int:
        """Write the same to all of them.

        :param data: what their encoding made of the messages up to an offset.
        :param end: that offset.
        :param failed: told of a subscriber whose outlet raises when it is written to.
        :returns: how many were written to. Who left before its turn reads on by itself.
        """
        order = self._order
        if order is None:
            order = self._order = tuple(self._members)
            self._sends = [s.send for s in order if s.send is not None]
        first, sent = self._send(data)
        count = len(order)
        if first < count:
            # From here on each has an offset of its own.
            for subscriber in order[:first]:
                subscriber.offset = end
            rest = memoryview(data)[sent:] if sent else data
            for subscriber in order[first:]:
                if subscriber.head is self:
                    subscriber.offset = end
                    try:
                        subscriber.take(rest)
                    except Exception as error:
                        failed(subscriber, error)
                else:
                    count -= 1
                rest = data
        self.offset = end
        return count

    def _send(self, data: Any) -> tuple[int, int]:
        # How many took all of it at once, and how much of it the next one took.
        sends = self._sends
        if not sends:
            return 0, 0
        size, sent, remaining = len(data), 0, iter(sends)
        try:
            for send in remaining:
                sent = send(data)
                if sent != size:
                    break
            else:
                return len(sends), 0
        except Exception:  # full; or broken, of which its outlet learns when it is written to
            sent = 0
        return len(sends) - length_hint(remaining) - 1, sent
