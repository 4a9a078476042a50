"""A channel: a log, and those who read it."""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from orchestra.counters import Counters
from orchestra.head import Head
from orchestra.history import History
from orchestra.interfaces import IEncoding
from orchestra.message import Content, Entry
from orchestra.pieces import Pieces
from orchestra.presence import Moved, Presence
from orchestra.settings import CLOSE
from orchestra.subscriber import PIECE, Subscriber, encode_without, publishers

MAX_NAME = 255
"""The longest name of a channel, in bytes of UTF-8."""


def check_name(name: str) -> str:
    """Make sure that a string can name a channel.

    :returns: the name, as it is.
    :raises ValueError: says what is wrong with it, without repeating it.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError("a channel name must be valid Unicode") from None
    if not 1 <= size <= MAX_NAME:
        raise ValueError(f"a channel name must have 1 to {MAX_NAME} bytes of UTF-8, not {size}")
    if not name.isprintable() and any(unicodedata.category(c) == "Cc" for c in name):
        raise ValueError("a channel name must not contain control characters")
    return name


class Channel:
    """A log with its subscribers, and the fan-out from the one to the others.

    Messages are appended as they come and delivered by :meth:`flush`, which the hub calls at
    the end of a turn: what a turn brought is encoded once for each encoding in use, and the same
    result goes to every subscriber at the head. A turn that brought much is delivered in pieces,
    so that whose outlet is full after a piece does not have to take the rest.

    It holds that a subscriber's next message is always in the log. Whoever would lose it by a
    trim is evicted, or, where that is set for the channel, goes on further ahead once it reads.

    The channel does not know other channels, when a turn ends, or what a connection is.
    """

    __slots__ = (
        "_behind",
        "_delivering",
        "_flushing",
        "_heads",
        "_joining",
        "_keys",
        "_moved",
        "_report",
        "check_in",
        "counters",
        "delivered",
        "history",
        "name",
        "pieces",
        "presence",
        "slow_reader",
        "undelivered",
    )

    def __init__(
        self,
        name: str,
        history: History,
        report: Callable[[Exception, str], object],
        slow_reader: str = CLOSE,
        moved: Moved = lambda name, member, joined: None,
        counters: Counters | None = None,
    ) -> None:
        """
        :param report: takes what an outlet or an encoding raised that should not, and what it
            was that failed. Its subscribers get nothing more; all the others go on.
        :param slow_reader: what a subscriber gets that falls off the log.
        :param moved: is told of each member that comes or goes.
        :param counters: what counts what happens here; those of its own by default.
        """
        self.name = name
        self.history = history
        self.slow_reader = slow_reader
        self.counters = Counters() if counters is None else counters
        self.presence = Presence()
        """The members among its subscribers."""
        self.check_in = 0.0
        """For whoever looks after it: after how many seconds it will be looked at."""
        self._report = report
        self._moved = moved
        # With which something was published, and its offset.
        self._keys: OrderedDict[str, int] | None = None
        self.delivered = history.last_offset
        """The offset that those at the head have reached."""
        self.undelivered = 0
        """How many bytes of payload came after it."""
        self._delivering = False
        self._flushing = False  # delivering, or having those read on who came meanwhile
        # Who is written the same, in the same way: by encoding, whom to skip, and how to send.
        self._heads: dict[tuple[IEncoding, str | None, bool], Head] = {}
        self._behind: dict[Subscriber, None] = {}
        self.pieces = Pieces()
        """What those who catch up have read."""
        self._joining: list[Subscriber] = []  # behind only until a delivery is over

    def __len__(self) -> int:
        """How many subscribers there are."""
        return len(self._behind) + sum(map(len, self._heads.values()))

    @property
    def is_vacant(self) -> bool:
        """Whether there is neither a subscriber nor a message."""
        return not (self._behind or self._heads or len(self.history))

    def extend(self, contents: Sequence[Content], publisher: str | None, now: float) -> None:
        """Put messages on the log, to be delivered by the next :meth:`flush`.

        :param now: seconds of the hub's clock.
        """
        size = self.history.size
        self.history.extend(contents, publisher, now)
        self.undelivered += self.history.size - size

    def remember(self, key: str) -> None:
        """Remember by a key the newest message, for as long as it is retained."""
        if self._keys is None:
            self._keys = OrderedDict()
        self._keys[key] = self.history.last_offset

    def remembered(self, key: str) -> int | None:
        """The offset of a message that is remembered and retained."""
        return None if self._keys is None else self._keys.get(key)

    def flush(self, now: float) -> float | None:
        """Deliver what was appended since the last call, then forget what is out of retention.

        :param now: seconds of the hub's clock.
        :returns: when the first message that was delivered had been published, by the same clock;
            ``None`` if there was none, or nobody at the head to get it.
        """
        since = None
        if self.delivered < self.history.last_offset:
            self._flushing = self._delivering = True
            try:
                since = self._deliver_all()
                self._delivering = False
                joining, self._joining = self._joining, []
                for subscriber in joining:
                    subscriber.catch_up()
            finally:
                self._flushing = self._delivering = False
        self.trim(now)
        return since

    def _deliver_all(self) -> float | None:
        end, size = self.history.last_offset, self.undelivered
        self.undelivered = 0
        since = None
        while (start := self.delivered) < end:
            if size <= PIECE:
                entries = self.history.since(start, end)
            else:
                entries = self.history.piece(start, end, PIECE)
            if since is None and self._heads:
                _, _, _, since = entries[0]
            self.delivered = start + len(entries)
            self._deliver(entries, range(start + 1, self.delivered + 1))
        return since

    def _deliver(self, entries: Sequence[Entry], offsets: range) -> None:
        shared: dict[IEncoding, Any] = {}
        theirs: set[str | None] = set()
        epoch = self.history.epoch
        for (encoding, skip, _), head in tuple(self._heads.items()):
            count = len(entries)
            if skip is not None:
                theirs = theirs or publishers(entries)
            try:
                if skip is not None and skip in theirs:
                    data, count = encode_without(encoding, entries, offsets, epoch, skip)
                elif encoding in shared:
                    data = shared[encoding]
                else:
                    data = shared[encoding] = encoding.encode(entries, offsets, epoch)
            except Exception as error:
                self.fail(head.members(), error, "an encoding")
                continue
            if data is None:
                head.offset = self.delivered
            else:
                readers = head.deliver(data, self.delivered, self._outlet_failed)
                self.delivered_to(readers, data, count)

    def delivered_to(self, readers: int, data: Any, messages: int) -> None:
        """Count what was written to some subscribers.

        :param data: what each of them was written.
        :param messages: how many messages that was.
        """
        self.counters.deliveries += messages * readers
        if isinstance(data, bytes):
            self.counters.written += len(data) * readers

    def _outlet_failed(self, subscriber: Subscriber, error: Exception) -> None:
        self.fail([subscriber], error, "an outlet")

    def fail(self, subscribers: Iterable[Subscriber], error: Exception, what: str) -> None:
        """Let go of subscribers whose own code has raised, and tell their outlets.

        :param what: whose code it was, for the report.
        """
        self._report(error, f"{what} in the channel {self.name!r} failed")
        for subscriber in subscribers:
            if not subscriber.gone:
                self.remove(subscriber)
                self._tell(subscriber.outlet.fail)

    def _tell(self, what: Callable[[], object]) -> None:
        # An outlet that raises even then is not to keep the others from being told.
        try:
            what()
        except Exception as error:
            self._report(error, f"an outlet in the channel {self.name!r} failed")

    def trim(self, now: float) -> None:
        """Forget what was delivered and is out of retention; evict those who still needed it.

        From within a flush it does nothing: who was not written to yet may still need it all, and
        the flush ends with a trim.

        :param now: seconds of the hub's clock.
        """
        history = self.history
        before, size = history.lost_offset, history.size
        if not self._flushing and history.trim(now, self.delivered):
            lost = history.lost_offset
            self.counters.forgotten.add(lost - before, size - history.size)
            while self._keys and next(iter(self._keys.values())) <= lost:
                self._keys.popitem(last=False)
            if self.slow_reader != CLOSE:
                return
            for subscriber in [s for s in self._behind if s.offset < lost]:
                if subscriber.owed(lost) and not subscriber.gone:
                    self.remove(subscriber)
                    self._tell(partial(subscriber.outlet.evict, subscriber.missing(lost)))

    # What follows is for the subscribers themselves and for the hub.

    def add(self, subscriber: Subscriber) -> None:
        """Take in a new subscriber, which is paused at its offset."""
        self.counters.subscribers += 1
        self._put_behind(subscriber)
        if subscriber.member is not None:
            self.presence.add(subscriber.member)
            self._moved(self.name, subscriber.member, True)

    def join_head(self, subscriber: Subscriber) -> None:
        """Take a subscriber that has read all that was delivered to the head.

        During a delivery it waits for its end. So does one that is further already, because it
        came in the middle of a turn and wants only what comes after it.
        """
        if self._delivering or subscriber.offset > self.delivered:
            self._joining.append(subscriber)
            return
        self._forget_behind(subscriber)
        key = _key(subscriber)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = Head(self.delivered)
        head.add(subscriber)

    def leave_head(self, subscriber: Subscriber) -> None:
        """Leave a subscriber to itself, if it is at the head."""
        if subscriber.head is not None:
            self._forget_head(subscriber, subscriber.head)
            self._put_behind(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Let go of a subscriber. One that is gone already stays gone."""
        if not subscriber.gone:
            subscriber.gone = True
            self.counters.subscribers -= 1
            if subscriber.head is not None:
                self._forget_head(subscriber, subscriber.head)
            else:
                self._forget_behind(subscriber)
            if subscriber.member is not None:
                self.presence.remove(subscriber.member)
                self._moved(self.name, subscriber.member, False)

    def _put_behind(self, subscriber: Subscriber) -> None:
        self._behind[subscriber] = None
        self.counters.lagging += 1

    def _forget_behind(self, subscriber: Subscriber) -> None:
        del self._behind[subscriber]
        self.counters.lagging -= 1
        if not self._behind:
            self.pieces.clear()

    def _forget_head(self, subscriber: Subscriber, head: Head) -> None:
        head.remove(subscriber)
        if not head:
            del self._heads[_key(subscriber)]


def _key(subscriber: Subscriber) -> tuple[IEncoding, str | None, bool]:
    return subscriber.encoding, subscriber.skip, subscriber.send is not None
