"""Where the past meets what is live: every message once and in order, and of each hole a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis import given, settings

from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.listener import AS_MESSAGES
from orchestra.message import Message
from orchestra.position import Position
from orchestra.settings import CLOSE, LATEST, SLOW_READER
from orchestra.subscriber import PIECE, Subscriber
from tests.outlets import Outlet


class Step(NamedTuple):
    """Something that happens: a method of :class:`World`, and its argument."""

    what: str
    n: int


class Reader:
    """Accounts for every message after the position that it came with."""

    subscriber: Subscriber
    outlet: Drain | None = None
    last: int | None = None
    """Where it ends, once it was told to."""

    def __init__(self, world: World, start: int | None, begins: int) -> None:
        """
        :param start: the offset of its position; ``None`` if that means nothing here.
        :param begins: the last offset before all that was retained when it came.
        """
        self.world = world
        self.start = self.at = start
        self.begins = begins
        self.heard = 0
        self.missed = 0
        self.may_fall = False
        """Whether it was held up, so that it may fall off the log."""
        self.has_left = False

    @property
    def place(self) -> int:
        """After which offset it reads."""
        return max(self.begins, self.at or 0)

    @property
    def is_behind(self) -> bool:
        """Whether it is still to be told what it missed before it came."""
        return self.at is None or self.at < self.begins

    @property
    def falls_to(self) -> int:
        """The place to which it fell, if its own is gone."""
        lost = self.world.channel.history.lost_offset
        return max(self.place, lost if self.last is None else min(lost, self.last))

    def hear(self, message: Message) -> None:
        assert not self.is_behind, "it was not told first what it missed"
        assert message.offset == self.at + 1
        assert message.payload is self.world.payloads[self.at]
        self.at += 1
        self.heard += 1

    def miss(self, missed: int | None) -> None:
        place = self.falls_to
        if place > self.place:
            assert self.may_fall
            assert self.world.slow_reader != CLOSE
            if self.world.slow_reader == LATEST and self.last is None:
                place = max(place, self.world.channel.delivered - 1)
        if self.at is None:
            assert missed is None
            self.start = place
        else:
            assert missed == place - self.at > 0
            self.missed += missed
        self.at = self.begins = place

    def fall(self, missed: int | None = None) -> None:
        """It was evicted, and learned of it, or not."""
        place = self.falls_to
        assert place > self.place
        assert self.may_fall
        assert self.world.slow_reader == CLOSE
        if missed is not None:
            assert missed == place - (self.place if self.at is None else self.at)

    def resume(self) -> None:
        if self.outlet is None:
            self.subscriber.resume()
        else:
            self.outlet.drain(self.outlet.size)

    @contextmanager
    def called(self) -> Iterator[None]:
        """It is called: what happens next happens from inside that."""
        assert not self.has_left
        self.world.calls.append(self)
        yield
        self.world.act()
        assert self.world.calls.pop() is self

    # A Python listener.

    def callback(self, message: Message) -> None:
        with self.called():
            self.hear(message)

    def on_gap(self, missed: int | None) -> None:
        with self.called():
            self.miss(missed)


class Drain(Outlet):
    """An outlet that pauses after each few writes."""

    def __init__(self, reader: Reader, room: int) -> None:
        super().__init__(room)
        self.reader = reader
        self.size = room

    def write(self, data: list[Message]) -> None:
        with self.reader.called():
            for message in data:
                self.reader.hear(message)
            super().write(data)
            self.reader.may_fall |= self.reader.subscriber.paused

    def gap(self, missed: int | None, position: Position) -> None:
        with self.reader.called():
            self.reader.miss(missed)
            assert position == Position(self.reader.world.epoch, self.reader.at)
            super().gap(missed, position)

    def evict(self, missed: int) -> None:
        super().evict(missed)
        self.reader.fall(missed)

    def end(self) -> None:
        super().end()
        assert self.reader.at == self.reader.last


class World:
    """A channel, and everybody who reads it."""

    def __init__(self, retention: Retention, slow_reader: str, inside: list[Step]) -> None:
        """
        :param inside: what is done from inside callbacks and writes, one step in each.
        """
        self.now = 0.0
        self.slow_reader = slow_reader
        self.hub = Hub(retention, clock=lambda: self.now, slow_reader=slow_reader)
        self.hub.bind(lambda flush: None, self.report)
        self.payloads: list[bytes] = []
        self.inside = inside[::-1]
        self.calls: list[Reader] = []
        self.flushing = False
        self.readers: list[Reader] = []
        self.faithful = Reader(self, 0, 0)
        self.faithful.subscriber = self.hub.subscribe("strings", self.faithful.callback)
        self.channel = self.faithful.subscriber.channel
        self.epoch = self.channel.history.epoch

    def report(self, error: Exception, what: str) -> None:
        raise error

    def do(self, step: Step) -> None:
        getattr(self, step.what)(step.n)

    def act(self) -> None:
        """Do the next step that is done from inside."""
        if self.inside:
            if not self.flushing:
                for reader in self.calls:
                    reader.may_fall = True
            self.do(self.inside.pop())

    # The steps.

    def publish(self, n: int) -> None:
        for _ in range(n % 4 + 1):
            self.play(b"%d" % len(self.payloads))

    def publish_large(self, n: int) -> None:
        self.play(b"%d" % len(self.payloads) + b"." * (PIECE // (n % 2 + 1)))

    def turn(self, n: int) -> None:
        before, self.flushing = self.flushing, True
        self.hub.flush()
        self.flushing = before

    def wait(self, n: int) -> None:
        self.now += n

    def look(self, n: int) -> None:
        """Ask for the past, which has the channel forget what is out of retention."""
        offsets = [message.offset for message in self.hub.history("strings", limit=n)]
        newest = len(self.payloads)
        assert offsets == list(range(newest - len(offsets) + 1, newest + 1))

    def listen(self, n: int) -> None:
        self.add_listener(last=n)

    def listen_since(self, n: int) -> None:
        self.add_listener(since=self.position(n))

    def attach(self, n: int) -> None:
        self.add_outlet(n, last=n)

    def attach_since(self, n: int) -> None:
        self.add_outlet(n, since=self.position(n))

    def come_back(self, n: int) -> None:
        reader = self.reader(n)
        if reader is not None and (position := reader.subscriber.position) is not None:
            self.leave(n)
            self.add_outlet(n, since=position)

    def pause(self, n: int) -> None:
        reader = self.reader(n)
        if reader is not None:
            reader.may_fall = True
            reader.subscriber.pause()

    def resume(self, n: int) -> None:
        reader = self.reader(n)
        if reader is not None:
            reader.resume()

    def finish(self, n: int) -> None:
        reader = self.reader(n)
        if reader is not None and reader.last is None:
            reader.last = len(self.payloads)
            reader.subscriber.finish()

    def leave(self, n: int) -> None:
        reader = self.reader(n)
        if reader is not None:
            reader.has_left = True
            self.hub.unsubscribe(reader.subscriber)
            self.readers.remove(reader)

    # What they are made of.

    def play(self, payload: bytes) -> None:
        self.payloads.append(payload)
        message = self.hub.publish("strings", payload)
        assert message.position == Position(self.epoch, len(self.payloads))

    def position(self, n: int) -> Position:
        """Of another epoch, one that was not given out yet, or one of those that were."""
        newest = len(self.payloads)
        if n == 0:
            return Position("another", 1)
        if n == 1:
            return Position(self.epoch, newest + 1)
        return Position(self.epoch, newest * (n - 2) // (MOST - 2))

    def reader(self, n: int) -> Reader | None:
        there = [reader for reader in self.readers if not reader.subscriber.gone]
        return there[n % len(there)] if there else None

    def newcomer(self, last: int, since: Position | None) -> Reader:
        newest = len(self.payloads)
        lost = newest - len(self.hub.history("strings"))
        if since is None:
            begins = max(newest - last, lost)
            return Reader(self, begins, begins)
        if since.epoch != self.epoch or since.offset > newest:
            return Reader(self, None, lost)
        return Reader(self, since.offset, max(since.offset, lost))

    def add_listener(self, last: int = 0, since: Position | None = None) -> None:
        reader = self.newcomer(last, since)
        reader.subscriber = self.hub.subscribe(
            "strings", reader.callback, last, since=since, on_gap=reader.on_gap
        )
        self.readers.append(reader)

    def add_outlet(self, n: int, last: int = 0, since: Position | None = None) -> None:
        reader = self.newcomer(last, since)
        reader.outlet = Drain(reader, room=n % 3 + 1)
        reader.subscriber = reader.outlet.subscriber = self.hub.attach(
            "strings", reader.outlet, AS_MESSAGES, last=last, since=since
        )
        self.readers.append(reader)
        if n % 2:
            reader.subscriber.resume()
        else:
            reader.may_fall = True

    def check(self) -> None:
        """What holds between the steps."""
        for reader in (self.faithful, *self.readers):
            subscriber = reader.subscriber
            if subscriber.gone:
                if reader.at != reader.last:
                    reader.fall()
                continue
            if reader.is_behind:
                assert subscriber.position is None
            else:
                assert subscriber.position == Position(self.epoch, reader.at)
            if not subscriber.paused:
                assert reader.start is not None
                assert reader.last is None
                account = reader.start + reader.heard + reader.missed
                assert account == max(reader.start, self.channel.delivered)
                reader.may_fall = False
        self.readers = [reader for reader in self.readers if not reader.subscriber.gone]

    def settle(self) -> None:
        """Nothing more comes, and everybody reads on for as long as there is something."""
        self.inside = []
        self.turn(0)
        for reader in self.readers:
            while reader.subscriber.paused and not reader.subscriber.gone:
                reader.resume()
        assert self.channel.delivered == len(self.payloads)


MOST = 9
PUBLISHING = ("publish", "publish", "publish_large", "turn", "wait", "look")
JOINING = ("listen", "listen_since", "attach", "attach_since", "come_back")
MOVING = ("pause", "resume", "resume", "leave", "finish")
STEP = st.builds(Step, st.sampled_from(PUBLISHING + JOINING + MOVING), st.integers(0, MOST))
# Lists are mostly short where their size is not drawn on its own.
STEPS = st.integers(0, 40).flatmap(lambda size: st.lists(STEP, min_size=size, max_size=size))
RETENTIONS = st.builds(
    Retention,
    messages=st.one_of(st.integers(0, 6), st.just(1000)),
    bytes=st.sampled_from([0, 10, PIECE, 4 * PIECE, 1000 * PIECE]),
    age=st.sampled_from([0, 5, 10, 1000]),
)


@settings(max_examples=500, deadline=None)
@given(slow_reader=st.sampled_from(SLOW_READER), retention=RETENTIONS, steps=STEPS, inside=STEPS)
def test_every_message_is_heard_once_or_counted_as_missed(
    slow_reader: str, retention: Retention, steps: list[Step], inside: list[Step]
) -> None:
    """Whoever comes at whatever moment to whatever past hears in order all that there is after
    its position, and is told at the place of a hole how large it is."""
    world = World(retention, slow_reader, inside)
    for step in steps:
        world.do(step)
        world.check()
    world.settle()
    world.check()
