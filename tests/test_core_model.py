"""The core against a model, over arbitrary sequences of what can happen to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestra.history import Retention
from orchestra.hub import Hub, KeyReusedError
from orchestra.position import LostPositionError, Position
from orchestra.presence import Member, Move
from orchestra.settings import CLOSE, LATEST, SLOW_READER, ChannelSettings
from orchestra.subscriber import PIECE, Subscriber
from tests.outlets import Gap, Lines, Outlet, Payloads, Pipe

RETENTION = Retention(messages=6, bytes=8 * PIECE, age=50)
PUBLISHERS = st.sampled_from([None, "me", "you"])
KEYS = st.sampled_from(["one", "two"])


class Newcomer(NamedTuple):
    """How somebody begins to read."""

    encoding: int
    room: int | None
    skip: str | None
    who: tuple[bool, str | None]
    """Whether it is a member, and of which identity."""

    waits: bool
    """Whether it does not read before it has drained."""


NEWCOMERS = st.builds(
    Newcomer,
    encoding=st.integers(0, 2),
    room=st.sampled_from([None, 1, 2]),
    skip=PUBLISHERS,
    who=st.sampled_from([(False, None), (True, None), (True, "ann"), (True, "bob")]),
    waits=st.booleans(),
)


@dataclass
class Reader:
    """A subscriber, and from where it ought to hear all that it does not skip."""

    outlet: Outlet
    subscriber: Subscriber
    skip: str | None
    member: Member | None
    start: int | None
    """The offset of the position that it came with; ``None`` if that meant nothing."""

    begins: int
    """The last offset before what was retained when it came, if that is further."""

    last: int | None = None
    """Where it ends, once it was told to finish."""

    known_gaps: int = 0
    fell_to: int | None = None
    """The last offset that was gone when it was evicted, of those that it was to hear."""

    @property
    def was_let_go(self) -> bool:
        return self.outlet.evicted or self.outlet.ended

    @property
    def is_to_be_told(self) -> bool:
        """Whether it missed something before it came, and does not know."""
        return not self.outlet.gaps and self.start != self.begins


@dataclass
class Watcher:
    """Somebody who is told of moves, and who was there when it began."""

    there: dict[str, str | None]
    moves: list[Move] = field(default_factory=list)
    subscriber: Subscriber | None = None


class OneChannel(RuleBasedStateMachine):
    """Whatever happens, each reader hears in order exactly what it should, and is told of what is
    missing exactly, or evicted."""

    @initialize(
        slow_reader=st.sampled_from(SLOW_READER), apart=st.sampled_from([(), ("strings",)])
    )
    def open(self, slow_reader: str, apart: tuple[str, ...]) -> None:
        self.now = 0.0
        self.slow_reader = slow_reader
        mine = ChannelSettings(retention=RETENTION, slow_reader=slow_reader)
        self.hub = Hub(clock=lambda: self.now, channels={"strings": mine}, counted_apart=apart)
        self.hub.bind(lambda flush: None, self.report)
        self.encodings = [Payloads(), Payloads(), Lines()]
        self.readers: list[Reader] = []
        self.outlets: list[Outlet] = []
        self.played = 0
        self.clients = 0
        self.watchers: list[Watcher] = []
        self.watch()
        self.positions = [Position("another", 3)]
        self.forget()

    def report(self, error: Exception, what: str) -> None:
        raise error

    def forget(self) -> None:
        """There is no channel, or none any more."""
        self.published: list[tuple[bytes, str | None, float]] = []
        self.delivered = 0
        self.lost = 0
        self.keys: dict[str, int] = {}

    def look(self) -> None:
        """The log is the longest part that may be kept of what was published."""
        found = self.hub.history("strings")
        while self.lost < self.delivered and not self.is_within_retention():
            self.lost += 1
        self.keys = {key: offset for key, offset in self.keys.items() if offset > self.lost}
        assert [(m.offset, m.payload, m.publisher, m.published_at) for m in found] == [
            (offset, *message)
            for offset, message in enumerate(self.published[self.lost :], self.lost + 1)
        ]
        for reader in self.readers:
            self.check(reader)
        if self.hub.position("strings") is None:
            assert self.lost == len(self.published)
            assert all(reader.was_let_go for reader in self.readers)
            self.readers = []
            self.forget()

    def is_within_retention(self) -> bool:
        kept = self.published[self.lost :]
        return (
            len(kept) <= RETENTION.messages
            and sum(len(payload) for payload, *_ in kept) <= RETENTION.bytes
            and kept[0][2] >= self.now - RETENTION.age
        )

    def wanted(self, reader: Reader, start: int, end: int) -> list[bytes]:
        """What it is to hear after one offset, up to another."""
        return [
            payload
            for payload, publisher, _ in self.published[start:end]
            if publisher is None or publisher != reader.skip
        ]

    def fallen(self, reader: Reader, place: int) -> int:
        """Where a reader goes on that has read up to a place."""
        return max(place, self.lost if reader.last is None else min(self.lost, reader.last))

    def check(self, reader: Reader) -> None:
        """It has heard what it ought to, and was told at each gap how large it is."""
        heard, gaps = reader.outlet.heard, reader.outlet.gaps
        for gap in gaps[reader.known_gaps :]:
            self.check_new(gap, reader)
        reader.known_gaps = len(gaps)
        at, count = reader.start, 0
        for gap in gaps:
            if at is not None and gap.missed is not None:
                end = gap.position.offset - gap.missed
                assert end >= at
                assert heard[count : gap.heard] == self.wanted(reader, at, end)
            at, count = gap.position.offset, gap.heard
        rest = heard[count:]
        if reader.outlet.evicted:
            assert self.slow_reader == CLOSE
            if reader.fell_to is None:
                reader.fell_to = self.fallen(reader, 0)
            end = reader.fell_to - reader.outlet.missed
            assert reader.outlet.missed > 0
            if reader.is_to_be_told:
                assert rest == []
                assert end == (reader.begins if reader.start is None else reader.start)
            else:
                assert at is not None
                assert end >= at
                assert rest == self.wanted(reader, at, end)
        elif reader.is_to_be_told:
            assert reader.subscriber.paused
            assert reader.subscriber.position is None
            assert rest == []
        else:
            assert at is not None
            if reader.outlet.ended:
                assert reader.last is not None
                end = reader.last
            elif reader.subscriber.paused:
                assert reader.subscriber.position is not None
                end = reader.subscriber.position.offset
            else:
                assert reader.last is None
                end = max(at, self.delivered)
                assert reader.subscriber.position == Position(self.epoch, end)
            assert rest == self.wanted(reader, at, end)

    def check_new(self, gap: Gap, reader: Reader) -> None:
        if gap.heard or reader.known_gaps or reader.start == reader.begins:
            assert gap.missed is not None
            place = gap.position.offset - gap.missed
            missed_before: int | None = 0
        else:
            place = reader.begins
            missed_before = None if reader.start is None else reader.begins - reader.start
        to = self.fallen(reader, place)
        if to > place:
            assert self.slow_reader != CLOSE
            if self.slow_reader == LATEST and reader.last is None:
                to = max(to, self.delivered - 1)
        assert gap.position == Position(self.epoch, to)
        assert gap.missed == (None if missed_before is None else missed_before + to - place)

    @property
    def epoch(self) -> str:
        position = self.hub.position("strings")
        assert position is not None
        return position.epoch

    # Messages.

    @rule(publisher=PUBLISHERS, large=st.booleans(), count=st.integers(1, 4))
    def publish(self, publisher: str | None, large: bool, count: int) -> None:
        for _ in range(count):
            payload = b"%d" % len(self.published) + b"." * (PIECE if large else 0)
            message = self.hub.publish("strings", payload, publisher=publisher)
            self.published.append((payload, publisher, self.now))
            self.played += 1
            assert message.offset == len(self.published)
            self.positions.append(message.position)
        self.look()

    @rule(key=KEYS)
    def publish_once(self, key: str) -> None:
        message = self.hub.publish("strings", key.encode(), idempotency_key=key)
        if key not in self.keys:
            self.published.append((key.encode(), None, self.now))
            self.keys[key] = len(self.published)
            self.played += 1
        assert message.offset == self.keys[key]
        assert message.payload == key.encode()
        assert self.hub.published("strings", key) == message
        self.look()

    @rule(key=KEYS, is_binary=st.booleans())
    def publish_another(self, key: str, is_binary: bool) -> None:
        payload = key.encode() if is_binary else b"another"
        if key in self.keys:
            with pytest.raises(KeyReusedError):
                self.hub.publish("strings", payload, is_binary, idempotency_key=key)
        else:
            assert self.hub.published("strings", key) is None
        self.look()

    @rule()
    def end_turn(self) -> None:
        self.hub.flush()
        self.delivered = len(self.published)
        self.look()
        self.hub.flush()  # who was evicted by the first one has left by now
        there = {member.client: member.identity for member in self.hub.presence("strings")}
        first = self.watchers[0].moves
        for watcher in self.watchers:
            assert watcher.moves == first[len(first) - len(watcher.moves) :]
            assert list(self.moved(watcher).items()) == list(there.items())

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.end_turn()
        self.now += seconds
        self.look()

    @rule(data=st.data(), limit=st.one_of(st.none(), st.integers(0, 9)))
    def look_back(self, data: st.DataObject, limit: int | None) -> None:
        since = self.any_position(data)
        start, begins = self.place(since)
        if start == begins:
            found = self.hub.history("strings", since=since, limit=limit)
            end = len(self.published) if limit is None else begins + limit
            assert [m.payload for m in found] == [p for p, *_ in self.published[begins:end]]
        else:
            with pytest.raises(LostPositionError) as caught:
                self.hub.history("strings", since=since, limit=limit)
            assert caught.value.missed == (None if start is None else begins - start)

    def any_position(self, data: st.DataObject) -> Position:
        """One that was seen, or one that was not given out yet."""
        newest = self.hub.position("strings") or Position("another", 0)
        ahead = newest._replace(offset=newest.offset + 1)
        return data.draw(st.sampled_from([*self.positions, ahead]))

    def place(self, position: Position) -> tuple[int | None, int]:
        """Its offset, if it means something, and the offset after which there is something."""
        there = self.hub.position("strings")
        if there is None or position.epoch != there.epoch or position.offset > there.offset:
            return None, self.lost
        return position.offset, max(position.offset, self.lost)

    # Readers.

    @rule(newcomer=NEWCOMERS, last=st.integers(0, 4))
    def join(self, newcomer: Newcomer, last: int) -> None:
        begins = max(len(self.published) - last, self.lost)
        self.add(newcomer, begins, begins, last=last)

    @rule(data=st.data(), newcomer=NEWCOMERS)
    def come_back(self, data: st.DataObject, newcomer: Newcomer) -> None:
        since = self.any_position(data)
        self.add(newcomer, *self.place(since), since=since)

    def add(
        self,
        newcomer: Newcomer,
        start: int | None,
        begins: int,
        last: int = 0,
        since: Position | None = None,
    ) -> None:
        room, skip = newcomer.room, newcomer.skip
        outlet = Pipe(room) if newcomer.encoding == 2 else Outlet(room)
        self.outlets.append(outlet)
        self.clients += 1
        is_member, identity = newcomer.who
        member = self.hub.member(f"client {self.clients}", identity) if is_member else None
        outlet.subscriber = self.hub.attach(
            "strings",
            outlet,
            self.encodings[newcomer.encoding],
            last=last,
            since=since,
            skip=skip,
            member=member,
        )
        reader = Reader(outlet, outlet.subscriber, skip, member, start, begins)
        self.readers.append(reader)
        self.check(reader)
        if not newcomer.waits:
            outlet.subscriber.resume()
        self.look()

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), room=st.integers(1, 3))
    def drain(self, data: st.DataObject, room: int) -> None:
        self.any_reader(data).outlet.drain(room)
        self.look()

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        self.any_reader(data).subscriber.pause()
        self.look()

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        reader = self.any_reader(data)
        if reader.last is None and not reader.was_let_go:
            reader.last = len(self.published)
            reader.subscriber.finish()
        self.look()

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        reader = self.any_reader(data)
        position = reader.subscriber.position
        if position is not None:
            self.positions.append(position)
        self.hub.unsubscribe(reader.subscriber)
        self.readers.remove(reader)
        self.look()

    def any_reader(self, data: st.DataObject) -> Reader:
        return data.draw(st.sampled_from(self.readers))

    # Those who want to know who is there.

    @rule()
    def watch(self) -> None:
        members = self.hub.presence("strings")
        watcher = Watcher({member.client: member.identity for member in members})
        watcher.subscriber = self.hub.watch("strings", watcher.moves.append)
        self.watchers.append(watcher)

    @precondition(lambda self: len(self.watchers) > 1)
    @rule()
    def watch_no_more(self) -> None:
        watcher = self.watchers.pop()
        assert watcher.subscriber is not None
        self.hub.unsubscribe(watcher.subscriber)

    def moved(self, watcher: Watcher) -> dict[str, str | None]:
        """Who is there, as far as it knows."""
        there = dict(watcher.there)
        for (client, identity, *_), joined in watcher.moves:
            assert joined == (client not in there)
            if joined:
                there[client] = identity
            else:
                assert there.pop(client) == identity
        return there

    @invariant()
    def members_are_those_who_read(self) -> None:
        there = [r.member for r in self.readers if r.member is not None and not r.was_let_go]
        presence = self.hub.presence("strings")
        assert list(presence) == there
        assert len(presence) == len(there)
        assert presence.identities == len({m.identity for m in there} - {None})

    @invariant()
    def what_is_counted_is_what_there_is(self) -> None:
        total = self.hub.ledger.total()
        assert total.deliveries == sum(len(outlet.heard) for outlet in self.outlets)
        pipes = [outlet for outlet in self.outlets if isinstance(outlet, Pipe)]
        assert total.written == sum(len(line) + 1 for pipe in pipes for line in pipe.heard)
        there = [r.subscriber for r in self.readers if not r.was_let_go]
        assert total.subscribers == len(there)
        assert total.lagging == len([s for s in there if s.head is None])
        assert total.channels == len(self.hub.channels())
        assert total.published_in_all.messages == self.played
        retained = self.hub.history("strings")
        assert total.retained.messages == len(retained)
        assert total.retained.size == sum(len(message.payload) for message in retained)

    @invariant()
    def everyone_can_read_on(self) -> None:
        for reader in self.readers:
            assert reader.subscriber.gone == reader.was_let_go
            if self.slow_reader == CLOSE and not reader.was_let_go:
                place = reader.subscriber.offset
                assert self.fallen(reader, place) == place

    def teardown(self) -> None:
        self.end_turn()
        for reader in self.readers:
            for _ in range(100):
                reader.outlet.drain(room=1)
        self.end_turn()
        for reader in self.readers:
            if not reader.was_let_go:
                assert reader.subscriber.position == Position(self.epoch, len(self.published))


OneChannel.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestOneChannel = OneChannel.TestCase
