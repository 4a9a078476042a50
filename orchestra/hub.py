"""The hub: channels by name, and the turn that moves them."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from math import inf
from typing import Any, NamedTuple, Protocol

from orchestra.channel import Channel, check_name
from orchestra.counters import APPLICATION, Ledger
from orchestra.history import History, Retention
from orchestra.interfaces import IEncoding, IOutlet
from orchestra.listener import AS_MESSAGES, Listener
from orchestra.message import Content, Message
from orchestra.position import LostPositionError, Position
from orchestra.presence import AS_MOVES, Member, Move, Presence
from orchestra.settings import CLOSE, SKIP, ChannelRules, ChannelSettings, check_slow_reader
from orchestra.subscriber import Subscriber

MAX_UNDELIVERED = 1024 * 1024
"""How many bytes connections may publish in a turn before they are delivered."""

MESSAGE_OVERHEAD = 120
"""About how many bytes a message takes in memory beside its payload."""


MOVES = Retention(messages=1000, bytes=256 * 1024, age=60.0)
"""How much of who came and left is kept for those who watch it."""

LINGER = 60.0
"""For how many seconds a channel without a subscriber and a message is kept, at the most. Who was
cut off comes back before that, to find that nothing is missing."""

SWEEP = 200
"""How many channels are looked at in a turn for what is out of retention."""


class Call(Protocol):
    """Something that will be called, unless it is cancelled."""

    def cancel(self) -> None:
        """Have it not be called."""


class ChannelNumbers(NamedTuple):
    """How much there is of a channel."""

    channel: str
    """Its name."""

    subscribers: int
    published: int
    """How many messages were published since there is the channel."""

    retained_messages: int
    retained_bytes: int
    """Their payload."""


class KeyReusedError(ValueError):
    """Something else was published with the same idempotency key."""


def _report_to_logging(error: Exception, what: str) -> None:
    logging.getLogger("orchestra").error("%s", what, exc_info=error)


class Hub:
    """Everything published goes in here, and everything heard comes out of here.

    A hub needs to be told when a turn of the event loop ends: what was published in a turn is
    delivered then, all at once. :class:`orchestra.OrchestraFactory` binds the hub that it is
    given to its reactor; what was published before waits until then. The hub itself knows of
    no reactor and does no I/O. All its methods are to be called in the reactor's thread.

    A channel is there as soon as somebody publishes in it or subscribes to it, and gone when it
    has neither a subscriber nor a message within its retention, and has had none for a while.
    """

    def __init__(
        self,
        retention: Retention = Retention(),
        clock: Callable[[], float] = time.monotonic,
        *,
        slow_reader: str = CLOSE,
        channels: Mapping[str, ChannelSettings] = {},
        wall_clock: Callable[[], float] = time.time,
        counted_apart: Iterable[str] = (),
    ) -> None:
        """
        :param retention: how much of its past each channel keeps.
        :param clock: seconds, never going back.
        :param slow_reader: what becomes of a reader that falls off the log: ``close``, its
            connection is closed; ``skip``, it goes on at the oldest message that is retained;
            ``latest``, it goes on with the newest.
        :param channels: what is set for some channels, by patterns of their names; see
            :class:`orchestra.settings.ChannelRules`.
        :param wall_clock: seconds of Unix time.
        :param counted_apart: patterns of the names of channels that have numbers of their own in
            :attr:`ledger`, up to :data:`orchestra.counters.MAX_APART` of them at a time.
        :raises ValueError: if a value is not allowed.
        """
        self.retention = retention
        self.slow_reader = check_slow_reader(slow_reader)
        self.rules = ChannelRules(channels)
        """What is set for some channels."""
        self.ledger = Ledger(counted_apart)
        """What happens in the channels, counted."""
        self.wall_clock = wall_clock
        """Seconds of Unix time."""
        self._later: Callable[[float, Callable[[], None]], Call] | None = None
        self._planned: tuple[float, Call] | None = None  # when is the next sweep
        self._report: Callable[[Exception, str], object] = _report_to_logging
        self._clock = clock
        self._end_of_turn: Callable[[Callable[[], None]], object] | None = None
        self._channels: dict[str, Channel] = {}
        self._dirty: dict[Channel, None] = {}
        self._undelivered = 0
        self._flushing = False
        # When each channel is next looked at for what is out of its retention; by how long that is
        # after the last time, so that within each the earliest comes first.
        self._checks: dict[float, OrderedDict[str, float]] = {}
        self._most = 0  # channels, since the dictionaries of them were made
        # What is watched, each with a log of its own of who came and left.
        self._watched: dict[str, Channel] = {}

    def bind(
        self,
        end_of_turn: Callable[[Callable[[], None]], object],
        report: Callable[[Exception, str], object] = _report_to_logging,
        later: Callable[[float, Callable[[], None]], Call] | None = None,
    ) -> None:
        """Tell the hub of the event loop around it. The first call counts.

        :param end_of_turn: takes a function and calls it, once, when the loop's current turn is
            over; with a reactor, ``functools.partial(reactor.callLater, 0)``.
        :param report: takes what a subscriber's own code raised, and what it was that failed.
        :param later: takes seconds and a function, and calls it then, unless what it returns is
            cancelled; with a reactor, its ``callLater``. Without it, what is out of retention is
            forgotten only when something is published.
        """
        if self._end_of_turn is None:
            self._end_of_turn = end_of_turn
            self._report = report
            self._later = later
            if self._dirty:
                end_of_turn(self.flush)
            self._plan_sweep()

    def publish(
        self,
        channel: str,
        payload: bytes,
        is_binary: bool = False,
        publisher: str | None = None,
        idempotency_key: str | None = None,
        source: str = APPLICATION,
    ) -> Message:
        """Play a message to everyone in a channel.

        It has its place in the log at once and is delivered when the turn ends.

        :param payload: the content; text must be UTF-8.
        :param is_binary: whether it is binary data rather than text.
        :param publisher: the client id of the one who plays it, if it has one.
        :param idempotency_key: if something was published with the same key in this channel, and
            is still retained, it is not played again.
        :param source: where it comes from, for :attr:`ledger`; one of a few words.
        :returns: the message, with its offset; the one that was played, if it was before.
        :raises ValueError: if the channel's name is not allowed, or text is not UTF-8.
        :raises KeyReusedError: if something else was published with the key.
        :raises TypeError: if the payload is not bytes.
        """
        if not isinstance(payload, bytes):
            raise TypeError(f"payload must be bytes, not {type(payload).__name__}")
        if not (is_binary or payload.isascii()):
            payload.decode()
        if idempotency_key is not None:
            message = self.published(channel, idempotency_key)
            if message is not None:
                if (message.payload, message.is_binary) != (payload, is_binary):
                    raise KeyReusedError("the key was used for another message")
                return message
        target = self._append(channel, [(payload, is_binary)], publisher, source)
        if idempotency_key is not None:
            target.remember(idempotency_key)
        return _message(target.history, target.history.last_offset)

    def published(self, channel: str, idempotency_key: str) -> Message | None:
        """What was published with a key, if it is still retained.

        :raises ValueError: if the channel's name is not allowed.
        """
        target = self._existing(channel)
        if target is None:
            return None
        target.trim(self._clock())
        offset = target.remembered(idempotency_key)
        return None if offset is None else _message(target.history, offset)

    def publish_all(
        self,
        channel: str,
        contents: Sequence[Content],
        publisher: str,
        source: str = APPLICATION,
    ) -> None:
        """Play to everyone in a channel what a connection has read, in its order.

        It is :meth:`publish` for many messages at once. They are not checked again: whoever read
        them has made sure that text is UTF-8. When a turn brings more than
        :data:`MAX_UNDELIVERED`, it does not wait for its end: those who publish faster than can
        be delivered are kept busy with the delivery, instead of filling the memory.

        :param contents: at least one message.
        :param publisher: the client id of the one who plays them.
        :param source: where they come from, for :attr:`ledger`; one of a few words.
        :raises ValueError: if the channel's name is not allowed.
        """
        self._append(channel, contents, publisher, source)
        self.relieve()

    def relieve(self) -> None:
        """Deliver right now, if this turn has brought more than :data:`MAX_UNDELIVERED`."""
        if self._undelivered > MAX_UNDELIVERED:
            self.flush()

    def _append(
        self, channel: str, contents: Sequence[Content], publisher: str | None, source: str
    ) -> Channel:
        target = self._channel(channel)
        count, before = len(contents), target.undelivered
        target.extend(contents, publisher, self._clock())
        size = target.undelivered - before
        flow = target.counters.published[source]
        flow.messages += count
        flow.size += size
        self._undelivered += size + MESSAGE_OVERHEAD * count
        self._mark(target)
        return target

    def history(
        self, channel: str, *, since: Position | None = None, limit: int | None = None
    ) -> list[Message]:
        """What a channel retains, the oldest message first.

        :param since: begin with the message after this position.
        :param limit: how many messages at the most: the first ones after the position, or
            without one the newest.
        :raises LostPositionError: if messages after the position are gone.
        :raises ValueError: if the channel's name is not allowed, or the limit is negative.
        """
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be 0 or more, not {limit}")
        target = self._existing(channel)
        if target is None:
            if since is not None:
                raise LostPositionError(None)
            return []
        target.trim(self._clock())
        log = target.history
        first, last = log.lost_offset, log.last_offset
        if since is not None:
            first, missed = log.place(since)
            if missed != 0:
                raise LostPositionError(missed)
            if limit is not None:
                last = min(last, first + limit)
        elif limit is not None:
            first = max(first, last - limit)
        entries = log.since(first, last)
        return [Message(first + n, *entry, log.epoch) for n, entry in enumerate(entries, 1)]

    def position(self, channel: str) -> Position | None:
        """The place of the newest message of a channel; ``None`` if there is no such channel.

        :raises ValueError: if the channel's name is not allowed.
        """
        target = self._existing(channel)
        return None if target is None else target.history.position

    def reaches(self, channel: str, since: Position) -> bool:
        """Whether all is retained that came after a position.

        :raises ValueError: if the channel's name is not allowed.
        """
        target = self._existing(channel)
        if target is None:
            return False
        target.trim(self._clock())
        return target.history.place(since)[1] == 0

    def presence(self, channel: str) -> Presence:
        """Who is in a channel. Listeners of the application itself do not count.

        :returns: what stays true as clients come and go, as long as the channel is there; its
            length, the number of clients, costs nothing.
        :raises ValueError: if the channel's name is not allowed.
        """
        target = self._existing(channel)
        return Presence() if target is None else target.presence

    def settings(self, channel: str) -> ChannelSettings:
        """What is set for a channel in particular."""
        return self.rules.settings(channel)

    def subscribe(
        self,
        channel: str,
        callback: Callable[[Message], object],
        last: int = 0,
        *,
        since: Position | None = None,
        on_gap: Callable[[int | None], object] | None = None,
    ) -> Subscriber:
        """Have a function called with each message of a channel.

        :param callback: if it raises, that is reported, and it is called again next time.
        :param last: start with so many of the messages that are retained.
        :param since: start after this position instead; it is the :attr:`Message.position` of
            the last message that the application has.
        :param on_gap: called when messages are missing before the next one, because the position
            is gone, or because the subscriber was paused for too long in a channel whose slow
            readers go on: with how many, or ``None`` if that cannot be known.
        :returns: what :meth:`unsubscribe` takes.
        :raises ValueError: if the channel's name is not allowed, or ``last`` is negative.
        """
        outlet = Listener(callback, self._tell, on_gap)
        subscriber = self.attach(channel, outlet, AS_MESSAGES, last=last, since=since)
        subscriber.resume()
        return subscriber

    def watch(
        self,
        channel: str,
        callback: Callable[[Move], object],
        on_gap: Callable[[int | None], object] | None = None,
    ) -> Subscriber:
        """Have a function called whenever a client comes to a channel or leaves it.

        :param callback: if it raises, that is reported, and it is called again next time.
        :param on_gap: called with how many moves were missed, if the subscriber was paused.
        :returns: what :meth:`unsubscribe` takes.
        :raises ValueError: if the channel's name is not allowed.
        """
        subscriber = self.attach_watcher(channel, Listener(callback, self._tell, on_gap), AS_MOVES)
        subscriber.resume()
        return subscriber

    def attach(
        self,
        channel: str,
        outlet: IOutlet,
        encoding: IEncoding,
        *,
        last: int = 0,
        since: Position | None = None,
        skip: str | None = None,
        member: Member | None = None,
    ) -> Subscriber:
        """Have an outlet written to with each message of a channel.

        :param encoding: shared by all outlets that want the same: it is the object that counts.
        :param last: start with so many of the messages that are retained.
        :param since: start after this position instead. If what comes next is gone, the outlet
            is told so, and it starts with all that is retained.
        :param skip: a client id whose messages are left out.
        :param member: who it is, for those who want to know who is there.
        :returns: the subscriber, paused: its first :meth:`Subscriber.resume` starts it.
        :raises ValueError: if the channel's name is not allowed, or ``last`` is negative.
        """
        if last < 0:
            raise ValueError(f"last must be 0 or more, not {last}")
        target = self._channel(channel)
        history = target.history
        subscriber = Subscriber(target, outlet, encoding, history.last_offset, skip, member)
        target.add(subscriber)
        # Not before it is in: whom the trim evicts might be the last, and the channel be dropped.
        target.trim(self._clock())
        if since is None:
            subscriber.begin(max(history.last_offset - last, history.lost_offset))
        else:
            subscriber.begin(*history.place(since))
        return subscriber

    def attach_watcher(self, channel: str, outlet: IOutlet, encoding: IEncoding) -> Subscriber:
        """Have an outlet written to with each move of a client into a channel or out of it.

        Moves are messages of a log of their own: each has the JSON of :class:`Move` as payload.

        :returns: the subscriber, paused.
        :raises ValueError: if the channel's name is not allowed.
        """
        watched = self._watched.get(channel)
        if watched is None:
            watched = Channel(check_name(channel), History(MOVES), self._tell, SKIP)
            self._watched[channel] = watched
        subscriber = Subscriber(watched, outlet, encoding, watched.history.last_offset)
        watched.add(subscriber)
        return subscriber

    def member(self, client: str, identity: str | None = None, info: Any = None) -> Member:
        """A client that comes now, for :meth:`attach`.

        :param client: an id that nobody else has.
        :param identity: whose client it is, if that is known.
        :param info: what else is known of it, as a value of JSON.
        :raises TypeError: if the identity is no string.
        """
        if not (identity is None or isinstance(identity, str)):
            # Those who want to know who is there would not be told of anybody.
            raise TypeError(f"identity must be a string, not {type(identity).__name__}")
        return Member(client, identity, round(self.wall_clock(), 3), info)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Write nothing more to a subscriber. One that is gone already stays gone."""
        channel = subscriber.channel
        channel.remove(subscriber)
        if isinstance(subscriber.outlet, Listener):
            subscriber.outlet.stop()
        if self._watched.get(channel.name) is channel:
            if not len(channel):
                del self._watched[channel.name]
        elif channel.is_vacant:
            self._let_linger(channel)

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
                since = channel.flush(now)
                if since is not None:
                    self.ledger.delays.observe(self._clock() - since)
            self._sweep(now)
        finally:
            self._flushing = False

    def channels(self) -> dict[str, int]:
        """The names of the channels there are, each with its number of subscribers."""
        return {name: len(channel) for name, channel in self._channels.items()}

    def busiest(self, count: int, among: int) -> list[ChannelNumbers]:
        """The channels with the most subscribers, the one with most of all first.

        :param count: how many channels at the most.
        :param among: at how many to look, so that it does not take longer the more there are: at
            those that have been there for longest.
        """
        found = nlargest(count, islice(self._channels.values(), among), key=len)
        return [
            ChannelNumbers(each.name, len(each), log.last_offset, len(log), log.size)
            for each in found
            for log in (each.history,)
        ]

    def _tell(self, error: Exception, what: str) -> None:
        # By name, since channels and listeners may be there before the hub is bound.
        self._report(error, what)

    def _moved(self, name: str, member: Member, joined: bool) -> None:
        watched = self._watched.get(name)
        if watched is None:
            return
        if len(watched):
            move = Move(member, joined).encoded()
            watched.extend([(move, False)], member.client, self._clock())
            self._mark(watched)
        else:  # whoever watched has failed
            del self._watched[name]

    def _mark(self, channel: Channel) -> None:
        # It has something to deliver when the turn ends.
        if not self._dirty and self._end_of_turn is not None:
            self._end_of_turn(self.flush)
        self._dirty[channel] = None

    def _existing(self, name: str) -> Channel | None:
        channel = self._channels.get(name)
        if channel is None:
            check_name(name)
        return channel

    def _channel(self, name: str) -> Channel:
        channel = self._channels.get(name)
        if channel is None:
            settings = self.rules.settings(check_name(name))
            channel = Channel(
                name,
                History(settings.retention or self.retention),
                self._tell,
                settings.slow_reader or self.slow_reader,
                self._moved,
                self.ledger.open(name),
            )
            self._channels[name] = channel
            self._most = max(self._most, len(self._channels))
            self._check_later(channel, self._clock())
            self._plan_sweep()
        return channel

    # Looking after what is out of retention.

    def _check_later(self, channel: Channel, now: float, most: float = inf) -> None:
        # By then all that is in the channel now is out of retention.
        channel.check_in = min(max(channel.history.retention.age, 1.0), most)
        checks = self._checks.setdefault(channel.check_in, OrderedDict())
        checks[channel.name] = now + channel.check_in

    def _do_not_check(self, channel: Channel) -> None:
        checks = self._checks[channel.check_in]
        del checks[channel.name]
        if not checks:
            del self._checks[channel.check_in]

    def _let_linger(self, channel: Channel) -> None:
        if not channel.history.retention.keeps_anything:
            self._drop(channel)
        elif self._channels.get(channel.name) is channel:
            self._do_not_check(channel)
            self._check_later(channel, self._clock(), LINGER)
            self._plan_sweep()

    def _sweep(self, now: float) -> None:
        left = SWEEP
        for checks in tuple(self._checks.values()):
            while left and checks:
                name, due = next(iter(checks.items()))
                if due > now:
                    break
                left -= 1
                channel = self._channels[name]
                self._do_not_check(channel)
                self._check_later(channel, now)
                channel.trim(now)
                if channel.is_vacant:
                    self._drop(channel)
        # A dictionary never gets smaller by itself.
        if len(self._channels) < self._most // 32:
            self._channels = dict(self._channels)
            self._checks = {age: OrderedDict(checks) for age, checks in self._checks.items()}
            self._most = len(self._channels)

    def _plan_sweep(self) -> None:
        # For the channel that is due next, and not at all if there is none.
        if self._later is None:
            return
        due = min((next(iter(checks.values())) for checks in self._checks.values()), default=None)
        if self._planned is not None:
            planned, call = self._planned
            if due is not None and planned <= due:
                return
            call.cancel()
            self._planned = None
        if due is not None:
            call = self._later(max(0.0, due - self._clock()), self._swept)
            self._planned = due, call

    def _swept(self) -> None:
        self._planned = None
        self._sweep(self._clock())
        self._plan_sweep()

    def _drop(self, channel: Channel) -> None:
        if self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
            self.ledger.close(channel.name, channel.counters)
            self._do_not_check(channel)
            if not self._checks:
                self._plan_sweep()


def _message(history: History, offset: int) -> Message:
    # One that is retained.
    (entry,) = history.since(offset - 1, offset)
    return Message(offset, *entry, history.epoch)
