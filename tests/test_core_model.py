"""The core against a model, over arbitrary sequences of what can happen to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.subscriber import PIECE
from tests.outlets import Lines, Outlet, Payloads, Pipe

RETENTION = Retention(messages=6, bytes=8 * PIECE, age=50)
PUBLISHERS = st.sampled_from([None, "me", "you"])


@dataclass
class Reader:
    """A subscriber, and what it ought to hear."""

    outlet: Outlet
    skip: str | None
    expected: list[bytes] = field(default_factory=list)
    finished: bool = False


class OneChannel(RuleBasedStateMachine):
    """Whatever happens, each reader hears exactly what it should, in order, or is evicted."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.hub = Hub(RETENTION, clock=lambda: self.now)
        self.encodings = [Payloads(), Payloads(), Lines()]
        self.readers: list[Reader] = []
        self.published: list[tuple[bytes, str | None, float]] = []

    @rule(publisher=PUBLISHERS, large=st.booleans())
    def publish(self, publisher: str | None, large: bool) -> None:
        payload = b"%d" % len(self.published) + b"." * (PIECE if large else 0)
        self.hub.publish("strings", payload, publisher=publisher)
        self.published.append((payload, publisher, self.now))
        for reader in self.readers:
            if not reader.finished and (publisher is None or publisher != reader.skip):
                reader.expected.append(payload)

    @rule()
    def end_turn(self) -> None:
        self.hub.flush()
        probe = self.hub.attach("strings", Outlet(), self.encodings[0])
        log = probe.channel.history
        assert len(log) <= RETENTION.messages
        assert log.size <= RETENTION.bytes
        self.hub.unsubscribe(probe)

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.hub.flush()
        self.now += seconds

    @rule(
        encoding=st.integers(0, 2),
        room=st.sampled_from([None, 1, 2]),
        last=st.integers(0, 4),
        skip=PUBLISHERS,
    )
    def join(self, encoding: int, room: int | None, last: int, skip: str | None) -> None:
        outlet = Pipe(room) if encoding == 2 else Outlet(room)
        reader = Reader(outlet, skip)
        outlet.subscriber = self.hub.attach(
            "strings", outlet, self.encodings[encoding], last=last, skip=skip
        )
        retained = len(outlet.subscriber.channel.history)
        for payload, publisher, _ in self.published[-min(last, retained) or len(self.published) :]:
            if publisher is None or publisher != skip:
                reader.expected.append(payload)
        self.readers.append(reader)
        outlet.subscriber.resume()

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), room=st.integers(1, 3))
    def drain(self, data: st.DataObject, room: int) -> None:
        data.draw(st.sampled_from(self.readers)).outlet.drain(room)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        subscriber = data.draw(st.sampled_from(self.readers)).outlet.subscriber
        assert subscriber is not None
        subscriber.pause()

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        assert reader.outlet.subscriber is not None
        reader.finished = True
        reader.outlet.subscriber.finish()

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        assert reader.outlet.subscriber is not None
        self.hub.unsubscribe(reader.outlet.subscriber)
        self.check(reader)
        self.readers.remove(reader)

    def check(self, reader: Reader) -> None:
        heard = reader.outlet.heard
        assert heard == reader.expected[: len(heard)]
        if reader.outlet.ended:
            assert heard == reader.expected

    @invariant()
    def nobody_hears_what_is_wrong(self) -> None:
        for reader in self.readers:
            self.check(reader)

    @invariant()
    def everyone_can_read_on(self) -> None:
        for reader in self.readers:
            subscriber = reader.outlet.subscriber
            assert subscriber is not None
            assert subscriber.gone == (reader.outlet.evicted or reader.outlet.ended)
            if not subscriber.gone:
                subscriber.channel.history.since(subscriber.offset)

    def teardown(self) -> None:
        self.hub.flush()
        for reader in self.readers:
            for _ in range(100):
                reader.outlet.drain(room=1)
            if not reader.outlet.evicted:
                assert reader.outlet.heard == reader.expected


OneChannel.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOneChannel = OneChannel.TestCase
