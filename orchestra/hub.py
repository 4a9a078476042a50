"""The hub: channels by name, and the turn that moves them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from orchestra.channel import Channel, check_name
from orchestra.history import History, Retention
from orchestra.interfaces import IEncoding, IOutlet
from orchestra.listener import AS_MESSAGES, Listener
from orchestra.message import Content, Message
from orchestra.subscriber import Subscriber

MAX_UNDELIVERED = 1024 * 1024
"""How many bytes connections may publish in a turn before they are delivered."""

MESSAGE_OVERHEAD = 120
"""About how many bytes a message takes in memory beside its payload."""


def _report_to_logging(error: Exception, what: str) -> None:
    logging.getLogger("orchestra").error("%s", what, exc_info=error)


class Hub:
    """Everything published goes in here, and everything heard comes out of here.

    A hub needs to be told when a turn of the event loop ends: what was published in a turn is
    delivered then, all at once. :class:`orchestra.OrchestraFactory` binds the hub that it is
    given to its reactor; what was published before waits until then. The hub itself knows of
    no reactor and does no I/O. All its methods are to be called in the reactor's thread.

    A channel is there as soon as it is named, and gone when it has neither a subscriber nor a
    message within its retention.
    """

    def __init__(
        self,
        retention: Retention = Retention(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param retention: how much of its past each channel keeps.
        :param clock: seconds, never going back.
        """
        self.retention = retention
        self._report: Callable[[Exception, str], object] = _report_to_logging
        self._clock = clock
        self._end_of_turn: Callable[[Callable[[], None]], object] | None = None
        self._channels: dict[str, Channel] = {}
        self._dirty: dict[Channel, None] = {}
        self._undelivered = 0
        self._flushing = False
        # When each channel is next looked at for being vacant; the earliest comes first.
        self._checks: dict[str, float] = {}

    def bind(
        self,
        end_of_turn: Callable[[Callable[[], None]], object],
        report: Callable[[Exception, str], object] = _report_to_logging,
    ) -> None:
        """Tell the hub of the event loop around it. The first call counts.

        :param end_of_turn: takes a function and calls it, once, when the loop's current turn is
            over; with a reactor, ``functools.partial(reactor.callLater, 0)``.
        :param report: takes what a subscriber's own code raised, and what it was that failed.
        """
        if self._end_of_turn is None:
            self._end_of_turn = end_of_turn
            self._report = report
            if self._dirty:
                end_of_turn(self.flush)

    def publish(
        self,
        channel: str,
        payload: bytes,
        is_binary: bool = False,
        publisher: str | None = None,
    ) -> Message:
        """Play a message to everyone in a channel.

        It has its place in the log at once and is delivered when the turn ends.

        :param payload: the content; text must be UTF-8.
        :param is_binary: whether it is binary data rather than text.
        :param publisher: the client id of the one who plays it, if it has one.
        :returns: the message, with its offset.
        :raises ValueError: if the channel's name is not allowed, or text is not UTF-8.
        :raises TypeError: if the payload is not bytes.
        """
        if not isinstance(payload, bytes):
            raise TypeError(f"payload must be bytes, not {type(payload).__name__}")
        if not (is_binary or payload.isascii()):
            payload.decode()
        history = self._append(channel, [(payload, is_binary)], publisher).history
        (entry,) = history.since(history.last_offset - 1)
        return Message(history.last_offset, *entry)

    def publish_all(self, channel: str, contents: Sequence[Content], publisher: str) -> None:
        """Play to everyone in a channel what a connection has read, in its order.

        It is :meth:`publish` for many messages at once. They are not checked again: whoever read
        them has made sure that text is UTF-8. When a turn brings more than
        :data:`MAX_UNDELIVERED`, it does not wait for its end: those who publish faster than can
        be delivered are kept busy with the delivery, instead of filling the memory.

        :param contents: at least one message.
        :param publisher: the client id of the one who plays them.
        :raises ValueError: if the channel's name is not allowed.
        """
        self._append(channel, contents, publisher)
        if self._undelivered > MAX_UNDELIVERED:
            self.flush()

    def _append(self, channel: str, contents: Sequence[Content], publisher: str | None) -> Channel:
        target = self._channel(channel)
        before = target.undelivered
        target.extend(contents, publisher, self._clock())
        self._undelivered += target.undelivered - before + MESSAGE_OVERHEAD * len(contents)
        if not self._dirty and self._end_of_turn is not None:
            self._end_of_turn(self.flush)
        self._dirty[target] = None
        return target

    def subscribe(
        self, channel: str, callback: Callable[[Message], object], last: int = 0
    ) -> Subscriber:
        """Have a function called with each message of a channel.

        :param callback: if it raises, that is reported, and it is called again next time.
        :param last: start with so many of the messages that are retained.
        :returns: what :meth:`unsubscribe` takes.
        :raises ValueError: if the channel's name is not allowed, or ``last`` is negative.
        """
        outlet = Listener(callback, self._tell)
        subscriber = self.attach(channel, outlet, AS_MESSAGES, last=last)
        subscriber.resume()
        return subscriber

    def attach(
        self,
        channel: str,
        outlet: IOutlet,
        encoding: IEncoding,
        *,
        last: int = 0,
        skip: str | None = None,
    ) -> Subscriber:
        """Have an outlet written to with each message of a channel.

        :param encoding: shared by all outlets that want the same: it is the object that counts.
        :param last: start with so many of the messages that are retained.
        :param skip: a client id whose messages are left out.
        :returns: the subscriber, paused: its first :meth:`Subscriber.resume` starts it.
        :raises ValueError: if the channel's name is not allowed, or ``last`` is negative.
        """
        if last < 0:
            raise ValueError(f"last must be 0 or more, not {last}")
        target = self._channel(channel)
        history = target.history
        subscriber = Subscriber(target, outlet, encoding, history.last_offset, skip)
        target.add(subscriber)
        # Not before it is in: whom the trim evicts might be the last, and the channel be dropped.
        target.trim(self._clock())
        subscriber.offset = max(history.last_offset - last, history.lost_offset)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Write nothing more to a subscriber. One that is gone already stays gone."""
        subscriber.channel.remove(subscriber)
        if subscriber.channel.is_vacant:
            self._drop(subscriber.channel)

    def flush(self) -> None:
        """Deliver what was published. Called at the end of a turn; may be called before it.

        A call from inside a delivery leaves the work to the next turn's end.
        """
        if self._flushing:
            return
        self._flushing = True
        try:
            dirty, self._dirty = self._dirty, {}
            self._undelivered = 0
            now = self._clock()
            for channel in dirty:
                channel.flush(now)
            self._drop_vacant(now)
        finally:
            self._flushing = False

    def channels(self) -> dict[str, int]:
        """The names of the channels there are, each with its number of subscribers."""
        return {name: len(channel) for name, channel in self._channels.items()}

    def _tell(self, error: Exception, what: str) -> None:
        # By name, since channels and listeners may be there before the hub is bound.
        self._report(error, what)

    def _channel(self, name: str) -> Channel:
        channel = self._channels.get(name)
        if channel is None:
            channel = Channel(check_name(name), History(self.retention), self._tell)
            self._channels[name] = channel
            self._checks[name] = self._next_check(self._clock())
        return channel

    def _next_check(self, now: float) -> float:
        # By then all that is in the channel now is out of retention.
        return now + max(self.retention.age, 1.0)

    def _drop_vacant(self, now: float) -> None:
        while self._checks:
            name, due = next(iter(self._checks.items()))
            if due > now:
                break
            del self._checks[name]
            self._checks[name] = self._next_check(now)
            channel = self._channels[name]
            channel.trim(now)
            if channel.is_vacant:
                self._drop(channel)

    def _drop(self, channel: Channel) -> None:
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name], self._checks[channel.name]
