"""Channels by name, and the turn that moves them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from twisted.internet.task import Clock

from orchestra.channel import Channel
from orchestra.history import Retention
from orchestra.hub import LINGER, MAX_UNDELIVERED, MESSAGE_OVERHEAD, SWEEP, Hub, KeyReusedError
from orchestra.listener import AS_MESSAGES
from orchestra.message import Entry, Message
from orchestra.position import LostPositionError, Position
from orchestra.presence import AS_MOVES
from orchestra.settings import LATEST, NOTHING, SKIP, ChannelSettings
from tests.outlets import Outlet, Payloads


class Turn:
    """An event loop that ends a turn when it is told to, with a clock."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.now = 1000.0

    def at_end(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def end(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def kept(hub: Hub) -> int:
    """How many things a hub keeps by their names, of whatever kind."""
    return sum(len(value) for value in vars(hub).values() if isinstance(value, dict))


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def hub(turn: Turn) -> Hub:
    hub = Hub(Retention(messages=10, age=60), clock=lambda: turn.now)
    hub.bind(turn.at_end)
    return hub


def test_published_messages_are_delivered_when_the_turn_ends(hub: Hub, turn: Turn) -> None:
    """One call at the end of a turn delivers all that was published in it, in every channel."""
    heard: list[tuple[str, bytes]] = []
    hub.subscribe("a", lambda message: heard.append(("a", message.payload)))
    hub.subscribe("b", lambda message: heard.append(("b", message.payload)))
    assert hub.publish("a", b"1").offset == 1
    assert hub.publish("a", b"2").offset == 2
    assert hub.publish("b", b"3").offset == 1
    assert len(turn.calls) == 1
    assert heard == []
    turn.end()
    assert heard == [("a", b"1"), ("a", b"2"), ("b", b"3")]
    hub.publish("b", b"4")
    turn.end()
    assert heard[3:] == [("b", b"4")]


def test_listeners_get_messages(hub: Hub, turn: Turn) -> None:
    """A callback is handed the message with all that is known of it."""
    heard: list[Message] = []
    epoch = hub.subscribe("a", heard.append).channel.history.epoch
    hub.publish("a", b"\xff", is_binary=True, publisher="me")
    turn.end()
    assert heard == [Message(1, b"\xff", True, "me", 1000.0, epoch)]


def test_a_hub_waits_to_be_bound() -> None:
    """What is published before there is an event loop is delivered when there is one."""
    hub, turn, other = Hub(), Turn(), Turn()
    heard: list[Message] = []
    hub.subscribe("a", heard.append)
    hub.publish("a", b"1")
    hub.bind(turn.at_end)
    hub.bind(other.calls.append)
    turn.end()
    hub.publish("a", b"2")
    assert other.calls == []
    turn.end()
    assert [message.payload for message in heard] == [b"1", b"2"]


def test_binding_with_nothing_to_deliver_asks_for_nothing(turn: Turn) -> None:
    """An idle hub leaves the event loop alone."""
    Hub().bind(turn.at_end)
    assert turn.calls == []


def test_unsubscribed_listeners_hear_no_more(hub: Hub, turn: Turn) -> None:
    """That holds for what was published before in the same turn, too."""
    heard: list[Message] = []
    subscriber = hub.subscribe("a", heard.append)
    hub.publish("a", b"1")
    hub.unsubscribe(subscriber)
    hub.unsubscribe(subscriber)
    turn.end()
    assert heard == []


def test_one_that_unsubscribes_itself_hears_no_more(hub: Hub, turn: Turn) -> None:
    """From inside its callback as well, though the turn has brought more."""
    heard: list[bytes] = []

    def once(message: Message) -> None:
        heard.append(message.payload)
        hub.unsubscribe(subscriber)

    subscriber = hub.subscribe("a", once)
    hub.publish("a", b"1")
    hub.publish("a", b"2")
    turn.end()
    assert heard == [b"1"]


def test_last_begins_with_the_past(hub: Hub, turn: Turn) -> None:
    """So many of the retained messages come first, then what is new, without a seam."""
    for number in range(12):
        hub.publish("a", b"%d" % number)
        turn.end()
    few: list[bytes] = []
    many: list[bytes] = []
    hub.subscribe("a", lambda message: few.append(message.payload), last=2)
    hub.subscribe("a", lambda message: many.append(message.payload), last=99)
    assert few == [b"10", b"11"]
    assert many == [b"%d" % number for number in range(2, 12)]
    hub.publish("a", b"new")
    turn.end()
    assert few[-1] == many[-1] == b"new"


def test_last_counts_what_the_turn_has_brought(hub: Hub, turn: Turn) -> None:
    """Messages that wait for the turn's end belong to the past as well, and come only once."""
    heard: list[bytes] = []
    hub.publish("a", b"1")
    turn.end()
    hub.publish("a", b"2")
    hub.subscribe("a", lambda message: heard.append(message.payload), last=2)
    assert heard == [b"1"]
    turn.end()
    assert heard == [b"1", b"2"]


def test_the_past_does_not_outlive_its_age(hub: Hub, turn: Turn) -> None:
    """Messages that are too old are not replayed, though nothing was published since."""
    hub.publish("a", b"1")
    turn.end()
    turn.now += 61
    heard: list[Message] = []
    hub.subscribe("a", heard.append, last=10)
    assert heard == []


def test_a_listener_that_raises_disturbs_nobody(turn: Turn) -> None:
    """The error is reported; the listener is called for the next message, the others for all."""
    reports: list[tuple[Exception, str]] = []
    hub = Hub()
    hub.bind(turn.at_end, lambda error, what: reports.append((error, what)))
    heard: list[bytes] = []
    error = RuntimeError("a broken string")

    def broken(message: Message) -> None:
        raise error

    hub.subscribe("a", broken)
    hub.subscribe("a", lambda message: heard.append(message.payload))
    hub.publish("a", b"1")
    hub.publish("a", b"2")
    turn.end()
    assert heard == [b"1", b"2"]
    assert [reported for reported, _ in reports] == [error, error]
    assert "broken" in reports[0][1]


def test_a_broken_encoding_holds_up_no_other_channel(turn: Turn) -> None:
    """What one delivery raises is reported, and the other channels get theirs."""
    reports: list[str] = []
    hub = Hub()
    hub.bind(turn.at_end, lambda error, what: reports.append(f"{what}: {error}"))

    class Broken(Payloads):
        def encode(
            self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str
        ) -> list[bytes]:
            raise RuntimeError("no bow")

    heard: list[Message] = []
    hub.attach("a", Outlet(), Broken()).resume()
    hub.subscribe("b", heard.append)
    hub.publish("a", b"1")
    hub.publish("b", b"1")
    turn.end()
    assert reports == ["an encoding in the channel 'a' failed: no bow"]
    assert len(heard) == 1


def test_without_an_event_loop_errors_go_to_logging(caplog: pytest.LogCaptureFixture) -> None:
    """A hub that is flushed by hand still tells what its listeners raise."""
    hub = Hub()

    def broken(message: Message) -> None:
        raise RuntimeError("a broken string")

    hub.subscribe("a", broken)
    hub.publish("a", b"1")
    with caplog.at_level(logging.ERROR, "orchestra"):
        hub.flush()
    assert "a broken string" in caplog.text


def test_a_listener_may_publish(hub: Hub, turn: Turn) -> None:
    """An answer from inside a delivery goes out when the next turn ends, in order."""
    heard: list[bytes] = []

    def answer(message: Message) -> None:
        if message.payload == b"call":
            hub.publish("a", b"response")
            hub.flush()

    hub.subscribe("a", answer)
    hub.subscribe("a", lambda message: heard.append(message.payload))
    hub.publish("a", b"call")
    hub.publish("a", b"and on")
    turn.end()
    assert heard == [b"call", b"and on"]
    turn.end()
    assert heard == [b"call", b"and on", b"response"]


def test_attached_outlets_begin_when_resumed(hub: Hub, turn: Turn) -> None:
    """An outlet gets what was published since it was attached, without what it skips."""
    outlet = Outlet()
    subscriber = hub.attach("a", outlet, Payloads(), skip="me")
    hub.publish("a", b"1", publisher="me")
    hub.publish("a", b"2", publisher="you")
    turn.end()
    assert outlet.heard == []
    subscriber.resume()
    assert outlet.heard == [b"2"]


@pytest.mark.parametrize("lags", [False, True])
def test_what_is_left_keeps_its_offsets(hub: Hub, turn: Turn, lags: bool) -> None:
    """Where some messages are skipped, at the head or behind, the others do not move up."""
    heard: list[Message] = []
    outlet = Outlet()
    outlet.write = heard.extend
    subscriber = hub.attach("a", outlet, AS_MESSAGES, skip="me")
    if not lags:
        subscriber.resume()
    for publisher in ("you", "me", "you"):
        hub.publish("a", publisher.encode(), publisher=publisher)
    turn.end()
    subscriber.resume()
    assert [(message.offset, message.payload) for message in heard] == [(1, b"you"), (3, b"you")]


@pytest.mark.parametrize("payload", [b"\xff", "é".encode()[:1], b"\xed\xa0\x80"])
def test_text_must_be_utf8(hub: Hub, payload: bytes) -> None:
    """What no client could read is refused; as binary data it is fine."""
    with pytest.raises(ValueError, match="utf-8"):
        hub.publish("a", payload)
    hub.publish("a", payload, is_binary=True)
    hub.publish("a", "é".encode())


@pytest.mark.parametrize("payload", ["text", bytearray(b"x"), None])
def test_a_payload_must_be_bytes(hub: Hub, payload: Any) -> None:
    """Anything else is refused, by name."""
    with pytest.raises(TypeError, match=f"not {type(payload).__name__}"):
        hub.publish("a", payload)


NAMED: dict[str, Callable[[Hub, str], object]] = {
    "publish": lambda hub, name: hub.publish(name, b"1"),
    "publish with a key": lambda hub, name: hub.publish(name, b"1", idempotency_key="key"),
    "publish_all": lambda hub, name: hub.publish_all(name, [(b"1", False)], "me"),
    "published": lambda hub, name: hub.published(name, "key"),
    "history": lambda hub, name: hub.history(name),
    "history since": lambda hub, name: hub.history(name, since=Position("epoch", 1)),
    "position": lambda hub, name: hub.position(name),
    "presence": lambda hub, name: hub.presence(name),
    "subscribe": lambda hub, name: hub.subscribe(name, print),
    "attach": lambda hub, name: hub.attach(name, Outlet(), Payloads()),
    "watch": lambda hub, name: hub.watch(name, print),
    "attach_watcher": lambda hub, name: hub.attach_watcher(name, Outlet(), AS_MOVES),
}


@pytest.mark.parametrize("call", NAMED)
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "1 to 255 bytes"),
        ("a" * 256, "1 to 255 bytes"),
        ("a\n", "control characters"),
        ("\ud800", "valid Unicode"),
    ],
)
def test_a_bad_name_is_refused_by_all_that_take_one(
    hub: Hub, call: str, name: str, problem: str
) -> None:
    """With what is wrong with it; and nothing is kept of it."""
    with pytest.raises(ValueError, match=problem):
        NAMED[call](hub, name)
    assert kept(hub) == 0


def test_a_bad_name_makes_no_channel(hub: Hub) -> None:
    """Publishing and subscribing refuse it alike."""
    with pytest.raises(ValueError, match="control characters"):
        hub.publish("a\n", b"1")
    with pytest.raises(ValueError, match="1 to 255 bytes"):
        hub.subscribe("", print)
    with pytest.raises(ValueError, match="last must be 0 or more, not -1"):
        hub.subscribe("a", print, last=-1)
    assert hub.channels() == {}


def test_channels_counts_subscribers(hub: Hub) -> None:
    """Each channel there is comes with the number of those who listen."""
    hub.subscribe("a", print)
    hub.subscribe("a", print)
    hub.publish("b", b"1")
    assert hub.channels() == {"a": 2, "b": 0}


@pytest.mark.parametrize("bound", ["messages", "bytes", "age"])
def test_a_channel_that_retains_nothing_goes_with_its_last_subscriber(
    clock: Clock, reports: list[str], bound: str
) -> None:
    """There is nothing to come back for."""
    hub = timed(clock, reports, a=replace(Retention(), **{bound: 0}))
    for name in ("a", "b"):
        hub.unsubscribe(hub.subscribe(name, print))
    assert hub.channels() == {"b": 0}


@pytest.mark.parametrize(("age", "lingers"), [(600.0, LINGER), (5.0, 5.0)])
def test_a_channel_lingers_for_whoever_was_cut_off(
    clock: Clock, reports: list[str], age: float, lingers: float
) -> None:
    """Who was the only one there comes back to find that nothing is missing, and nothing is."""
    hub = timed(clock, reports, a=Retention(age=age))
    gaps: list[int | None] = []
    subscriber = hub.subscribe("a", print)
    position = hub.position("a")
    for _ in range(3):
        hub.unsubscribe(subscriber)
        clock.advance(lingers - 1)
        subscriber = hub.subscribe("a", print, since=position, on_gap=gaps.append)
        clock.advance(age)
    assert gaps == []
    hub.unsubscribe(subscriber)
    clock.advance(lingers)
    assert hub.channels() == {}
    hub.subscribe("a", print, since=position, on_gap=gaps.append)
    assert gaps == [None]


def test_channels_that_are_past_their_age_are_dropped(hub: Hub, turn: Turn) -> None:
    """A name that was used once leaves nothing behind; a channel in use stays."""
    listener = hub.subscribe("in use", print)
    for number in range(100):
        hub.publish(f"once {number}", b"1")
    turn.end()
    hub.publish("lately", b"1")
    turn.end()
    turn.now += 61
    hub.publish("now", b"1")
    turn.end()
    assert hub.channels() == {"in use": 1, "now": 0}
    hub.publish("in use", b"1")
    turn.end()
    hub.unsubscribe(listener)
    assert hub.channels() == {"in use": 0, "now": 0}
    turn.now += 61
    hub.publish("now", b"1")
    turn.end()
    assert hub.channels() == {"now": 0}


def test_a_channel_that_comes_back_has_a_new_epoch(turn: Turn) -> None:
    """Its offsets start anew, so its epoch must differ."""
    hub = Hub(Retention(messages=0))

    def epoch() -> str:
        subscriber = hub.subscribe("a", print)
        epoch = subscriber.channel.history.epoch
        hub.unsubscribe(subscriber)
        hub.unsubscribe(subscriber)
        return epoch

    assert epoch() != epoch()


def test_joining_keeps_a_channel_that_others_leave_at_that(hub: Hub, turn: Turn) -> None:
    """An eviction that the joining causes does not take the channel from under the newcomer."""

    class Tidy(Outlet):
        def evict(self, missed: int) -> None:
            super().evict(missed)
            assert self.subscriber is not None
            hub.unsubscribe(self.subscriber)

    late = Tidy()
    late.subscriber = hub.attach("a", late, Payloads())
    hub.publish("a", b"1")
    turn.end()
    turn.now += 61
    heard: list[Message] = []
    hub.subscribe("a", heard.append)
    assert late.evicted
    hub.publish("a", b"2")
    turn.end()
    assert [message.payload for message in heard] == [b"2"]


@pytest.mark.parametrize("messages", [0, 10])
def test_leaving_a_dropped_channel_spares_the_one_that_came_after(
    turn: Turn, messages: int
) -> None:
    """A late unsubscribe does not take away a channel of the same name, used or left."""
    hub = Hub(Retention(messages=messages, age=60), clock=lambda: turn.now)
    early = hub.subscribe("a", print)
    hub.unsubscribe(early)
    turn.now += 60
    hub.flush()
    assert hub.channels() == {}
    hub.unsubscribe(early)
    assert kept(hub) == 0
    hub.publish("a", b"1")
    hub.unsubscribe(early)
    assert hub.channels() == {"a": 0}
    hub.subscribe("a", print)
    hub.unsubscribe(early)
    assert hub.channels() == {"a": 1}


def test_a_retention_without_age_drops_channels_too(turn: Turn) -> None:
    """With nothing retained, a channel is gone soon after it was used."""
    hub = Hub(Retention(age=0), clock=lambda: turn.now)
    hub.bind(turn.at_end)
    hub.publish("a", b"1")
    turn.now += 1
    turn.end()
    turn.now += 1
    hub.publish("b", b"1")
    turn.end()
    assert "a" not in hub.channels()


def test_a_turn_that_brings_too_much_does_not_wait_for_its_end() -> None:
    """What connections publish is delivered before it fills the memory, large or many."""
    turn = Turn()
    hub = Hub()
    hub.bind(turn.at_end)
    heard: list[Message] = []
    hub.subscribe("a", heard.append)
    for channel in ("a", "b"):
        hub.publish_all(channel, [(b"x" * (MAX_UNDELIVERED // 2), False)], "me")
    assert len(heard) == 1
    many = MAX_UNDELIVERED // MESSAGE_OVERHEAD + 1
    hub.publish_all("a", [(b"", True)] * (many // 2), "me")
    assert len(heard) == 1
    hub.publish_all("a", [(b"", True)] * (many // 2 + 1), "me")
    assert len(heard) == 1 + many // 2 * 2 + 1
    turn.end()
    assert len(heard) == 1 + many // 2 * 2 + 1


def test_a_turn_that_brings_too_much_from_within_a_delivery_waits() -> None:
    """A listener that answers with a great deal is not called from within itself."""
    turn = Turn()
    hub = Hub()
    hub.bind(turn.at_end)
    depth: list[int] = []

    def answer(message: Message) -> None:
        depth.append(1)
        assert sum(depth) == 1
        if message.offset < 5:
            hub.publish_all("a", [(b"x" * 2 * MAX_UNDELIVERED, False)], "me")
        depth.append(-1)

    hub.subscribe("a", answer)
    hub.publish("a", b"begin")
    for _ in range(6):
        turn.end()
    assert len(depth) == 10


def test_connections_may_have_delivered_right_now() -> None:
    """That does something only when the turn has brought too much."""
    turn = Turn()
    hub = Hub()
    hub.bind(turn.at_end)
    heard: list[Message] = []
    hub.subscribe("a", heard.append)
    hub.publish("a", b"x" * (MAX_UNDELIVERED - MESSAGE_OVERHEAD))
    hub.relieve()
    assert heard == []
    hub.publish("a", b"")
    hub.relieve()
    assert len(heard) == 2


# Positions, and the past.


def play(hub: Hub, turn: Turn, *payloads: bytes) -> list[Position]:
    """Publish messages, each in a turn of its own."""
    positions = []
    for payload in payloads:
        positions.append(hub.publish("a", payload).position)
        turn.end()
    return positions


def payloads(messages: list[Message]) -> list[bytes]:
    return [message.payload for message in messages]


def test_a_position_is_that_of_the_newest_message(hub: Hub, turn: Turn) -> None:
    """Delivered or not; a channel that is not there has none."""
    assert hub.position("a") is None
    assert hub.channels() == {}
    first = hub.publish("a", b"1")
    assert hub.position("a") == first.position
    turn.end()
    assert hub.position("a") == first.position == Position(first.epoch, 1)


def test_the_past_can_be_asked_for(hub: Hub, turn: Turn) -> None:
    """All that is retained, the oldest first, with what the turn has brought so far."""
    hub.subscribe("a", print)
    positions = play(hub, turn, *[b"%d" % n for n in range(1, 13)])
    positions.append(hub.publish("a", b"13", True, "me").position)
    messages = hub.history("a")
    assert payloads(messages) == [b"%d" % n for n in range(4, 14)]
    assert [message.position for message in messages] == positions[3:]
    assert messages[-1] == Message(13, b"13", True, "me", turn.now, positions[0].epoch)


@pytest.mark.parametrize(
    ("since", "limit", "found"),
    [
        (None, None, "3456"),
        (None, 2, "56"),
        (None, 9, "3456"),
        (None, 0, ""),
        (2, None, "3456"),
        (4, None, "56"),
        (6, None, ""),
        (2, 1, "3"),
        (4, 2, "56"),
        (4, 9, "56"),
        (4, 0, ""),
    ],
)
def test_the_past_can_be_asked_for_in_part(
    turn: Turn, since: int | None, limit: int | None, found: str
) -> None:
    """After a position the first ones, without one the newest, and never more than there are."""
    hub = Hub(Retention(messages=4))
    hub.bind(turn.at_end)
    positions = play(hub, turn, *[b"%d" % n for n in range(1, 7)])
    position = None if since is None else positions[since - 1]
    messages = hub.history("a", since=position, limit=limit)
    assert b"".join(payloads(messages)).decode() == found
    assert [message.offset for message in messages] == [int(offset) for offset in found]


def test_what_is_too_old_is_no_past(hub: Hub, turn: Turn) -> None:
    """Though nothing was published since, and nothing was looked after."""
    play(hub, turn, b"1")
    turn.now += 50
    play(hub, turn, b"2")
    turn.now += 11
    assert payloads(hub.history("a")) == [b"2"]


def test_a_past_that_is_gone_cannot_be_asked_for(hub: Hub, turn: Turn) -> None:
    """The error tells how many messages are missing, unless the position says nothing here."""
    positions = play(hub, turn, *[b"%d" % n for n in range(1, 13)])
    strange = [Position("another", 12), Position(positions[0].epoch, 13)]
    for since, missed in [(positions[0], 1), *[(position, None) for position in strange]]:
        with pytest.raises(LostPositionError) as caught:
            hub.history("a", since=since)
        assert caught.value.missed == missed
    assert len(hub.history("a", since=positions[1])) == 10


def test_a_channel_that_is_not_there_has_no_past(hub: Hub) -> None:
    """It has no position to go on from either, and is not there for having been asked."""
    assert hub.history("a") == hub.history("a", limit=3) == []
    with pytest.raises(LostPositionError) as caught:
        hub.history("a", since=Position("another", 0))
    assert caught.value.missed is None
    assert kept(hub) == 0


def test_a_negative_limit_is_refused(hub: Hub) -> None:
    """Whether there is a channel or not."""
    with pytest.raises(ValueError, match="limit must be 0 or more, not -1"):
        hub.history("a", limit=-1)


def test_a_listener_comes_back_with_a_position(hub: Hub, turn: Turn) -> None:
    """It hears what came after that, then what is new; how many it wants of the last does not
    count then."""
    positions = play(hub, turn, b"1", b"2", b"3")
    heard: list[bytes] = []
    gaps: list[int | None] = []
    hub.subscribe(
        "a",
        lambda message: heard.append(message.payload),
        last=3,
        since=positions[1],
        on_gap=gaps.append,
    )
    play(hub, turn, b"4")
    assert heard == [b"3", b"4"]
    assert gaps == []


def test_a_listener_that_comes_back_too_late_is_told(hub: Hub, turn: Turn) -> None:
    """First how many messages it missed, if anybody knows, then all that is retained."""
    positions = play(hub, turn, *[b"%d" % n for n in range(1, 14)])
    retained = [b"%d" % n for n in range(4, 14)]
    for since, missed in [(positions[0], 2), (Position("another", 1), None)]:
        heard: list[bytes | int | None] = []
        hub.subscribe(
            "a",
            lambda message, heard=heard: heard.append(message.payload),
            since=since,
            on_gap=heard.append,
        )
        assert heard == [missed, *retained]


def test_a_listener_need_not_be_told_of_gaps(hub: Hub, turn: Turn) -> None:
    """Then it just hears what there is."""
    heard: list[bytes] = []
    play(hub, turn, b"1")
    since = Position("another", 1)
    hub.subscribe("a", lambda message: heard.append(message.payload), since=since)
    assert heard == [b"1"]


def test_a_listener_that_raises_at_a_gap_hears_what_comes_next(turn: Turn) -> None:
    """The error is reported, with who it was that failed."""
    reports: list[str] = []
    hub = Hub()
    hub.bind(turn.at_end, lambda error, what: reports.append(f"{what}: {error}"))
    play(hub, turn, b"1")
    heard: list[bytes] = []

    def shocked(missed: int | None) -> None:
        raise RuntimeError("oh no")

    since = Position("another", 1)
    hub.subscribe("a", lambda m: heard.append(m.payload), since=since, on_gap=shocked)
    assert heard == [b"1"]
    (report,) = reports
    assert "shocked" in report
    assert "oh no" in report


# Settings of channels.


def test_channels_have_settings_by_their_names(turn: Turn) -> None:
    """What nothing is set for is as the hub has it."""
    small = ChannelSettings(retention=Retention(messages=1))
    latest = ChannelSettings(slow_reader=LATEST)
    hub = Hub(Retention(messages=2), channels={"small/*": small, "latest": latest})
    hub.bind(turn.at_end)
    assert hub.settings("small/1") is small
    assert hub.settings("latest") is latest
    assert hub.settings("others") is NOTHING
    for name, left in (("small/1", 1), ("latest", 2), ("others", 2)):
        for payload in (b"1", b"2", b"3"):
            hub.publish(name, payload)
        turn.end()
        assert len(hub.history(name)) == left


def test_what_becomes_of_slow_readers_is_set_for_all_or_for_some(turn: Turn) -> None:
    """A reader that falls off is closed, skips, or gets the latest, as its channel has it."""
    hub = Hub(
        Retention(messages=2),
        slow_reader=SKIP,
        channels={"b": ChannelSettings(slow_reader=LATEST)},
    )
    hub.bind(turn.at_end)
    heard: dict[str, list[bytes | int | None]] = {"a": [], "b": []}
    for name, its in heard.items():
        subscriber = hub.subscribe(
            name, lambda m, its=its: its.append(m.payload), on_gap=its.append
        )
        subscriber.pause()
        for payload in (b"1", b"2", b"3"):
            hub.publish(name, payload)
            turn.end()
        subscriber.resume()
    assert heard == {"a": [1, b"2", b"3"], "b": [2, b"3"]}


def test_slow_readers_are_closed_by_default(turn: Turn) -> None:
    """So it is in all channels for which nothing else is set."""
    hub = Hub(Retention(messages=1))
    hub.bind(turn.at_end)
    outlet = Outlet()
    hub.attach("a", outlet, Payloads())
    play(hub, turn, b"1", b"2", b"3")
    assert outlet.evicted
    assert outlet.missed == 1


def test_a_hub_refuses_what_slow_readers_cannot_become() -> None:
    """The error names what there is."""
    with pytest.raises(ValueError, match="one of close, skip, latest, not 'drop'"):
        Hub(slow_reader="drop")


# Idempotency keys.


def test_what_has_a_key_is_played_once(hub: Hub, turn: Turn) -> None:
    """In the same turn or later, the message that was played comes back, and nobody hears it
    again; without a key, or with another, the same payload is played again."""
    heard: list[Message] = []
    hub.subscribe("a", heard.append)
    message = hub.publish("a", b"1", publisher="me", idempotency_key="key")
    assert hub.publish("a", b"1", publisher="you", idempotency_key="key") == message
    turn.end()
    assert hub.publish("a", b"1", idempotency_key="key") == message
    assert hub.publish("a", b"1", idempotency_key="other").offset == 2
    assert hub.publish("a", b"1").offset == 3
    turn.end()
    assert [message.offset for message in heard] == [1, 2, 3]


def test_it_can_be_asked_what_a_key_was_used_for(hub: Hub, turn: Turn) -> None:
    """In its channel only, and nothing is there for having been asked."""
    assert hub.published("a", "key") is None
    assert kept(hub) == 0
    message = hub.publish("a", b"1", idempotency_key="key")
    hub.publish("a", b"2")
    hub.publish("b", b"1")
    assert hub.published("a", "key") == message
    assert hub.published("a", "other") is None
    assert hub.published("b", "key") is None


@pytest.mark.parametrize(("payload", "is_binary"), [(b"2", False), (b"1", True)])
def test_a_key_cannot_be_used_for_another_message(
    hub: Hub, turn: Turn, payload: bytes, is_binary: bool
) -> None:
    """Another payload, or another kind, is refused and not played."""
    hub.publish("a", b"1", idempotency_key="key")
    with pytest.raises(KeyReusedError, match="the key was used for another message"):
        hub.publish("a", payload, is_binary, idempotency_key="key")
    assert payloads(hub.history("a")) == [b"1"]
    assert hub.publish("b", payload, is_binary, idempotency_key="key").offset == 1


def test_what_was_refused_has_used_no_key(hub: Hub) -> None:
    """The key is free for what is played at last."""
    with pytest.raises(ValueError, match="utf-8"):
        hub.publish("a", b"\xff", idempotency_key="key")
    assert hub.publish("a", b"1", idempotency_key="key").offset == 1


def test_a_key_is_forgotten_with_its_message(hub: Hub, turn: Turn) -> None:
    """When enough has come after it, it is played again, and can be another message."""
    hub.publish("a", b"1", idempotency_key="key")
    play(hub, turn, *[b"more"] * 9)
    assert hub.publish("a", b"1", idempotency_key="key").offset == 1
    play(hub, turn, b"more")
    assert hub.published("a", "key") is None
    assert hub.publish("a", b"2", idempotency_key="key").offset == 12


def test_a_key_does_not_outlive_the_age_of_its_message(hub: Hub, turn: Turn) -> None:
    """Though nothing was published since, and nothing was looked after."""
    hub.publish("a", b"1", idempotency_key="key")
    turn.end()
    turn.now += 60
    assert hub.publish("a", b"1", idempotency_key="key").offset == 1
    turn.now += 1
    assert hub.published("a", "key") is None
    assert hub.publish("a", b"2", idempotency_key="key").payload == b"2"


# Looking after what is out of retention.


@pytest.fixture
def reports() -> list[str]:
    return []


def timed(clock: Clock, reports: list[str], **channels: Retention) -> Hub:
    """A hub that a clock looks after: its channels are retained for a minute, but for some."""
    settings = {name: ChannelSettings(retention=its) for name, its in channels.items()}
    hub = Hub(Retention(age=60), clock.seconds, channels=settings)
    hub.bind(
        partial(clock.callLater, 0),
        lambda error, what: reports.append(f"{what}: {error!r}"),
        later=clock.callLater,
    )
    return hub


def planned(clock: Clock) -> list[float]:
    """In how many seconds there will be a call."""
    return sorted(call.getTime() - clock.seconds() for call in clock.getDelayedCalls())


def size(hub: Hub) -> int:
    """About how much memory a hub takes for what it keeps by names."""

    def of(value: object) -> int:
        if not isinstance(value, dict):
            return 0
        return sys.getsizeof(value) + sum(map(of, value.values()))

    return sum(map(of, vars(hub).values()))


def test_names_that_were_used_once_leave_nothing(
    clock: Clock, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there were, and whatever they were used for: in the end there is no channel,
    nothing to be looked at, no call and no memory; and no call took long."""
    looks: list[int] = []

    def later(seconds: float, call: Callable[[], None]) -> Any:
        def counted() -> None:
            looks.append(0)
            call()

        return clock.callLater(seconds, counted)

    trim = Channel.trim

    def counting(channel: Channel, now: float) -> None:
        looks[-1] += 1
        trim(channel, now)

    def published(name: str) -> None:
        hub.publish(name, b"1", idempotency_key="key")

    def heard(name: str) -> None:
        subscriber = hub.subscribe(name, print)
        hub.publish(name, b"1")
        hub.unsubscribe(subscriber)

    def joined(name: str) -> None:
        watcher = hub.watch(name, print)
        hub.unsubscribe(hub.attach(name, Outlet(), Payloads(), member=hub.member("1")))
        hub.unsubscribe(watcher)

    def evicted(name: str) -> None:
        hub.attach(name, Outlet(), Payloads())
        hub.publish(name, b"1")

    hub = Hub(Retention(age=60), clock.seconds)
    hub.bind(partial(clock.callLater, 0), later=later)
    names = 20_000
    before = size(hub)
    for n in range(names):
        (published, heard, joined, evicted)[n % 4](f"once {n}")
    clock.advance(0)
    assert len(hub.channels()) == names
    monkeypatch.setattr(Channel, "trim", counting)
    clock.advance(61)
    assert hub.channels() == {}
    assert kept(hub) == 0
    assert planned(clock) == []
    assert size(hub) < before + 1000
    assert max(looks) == SWEEP
    assert sum(looks) == names


def test_those_who_stay_are_no_reason_to_keep_memory(clock: Clock, reports: list[str]) -> None:
    """A few channels in use are found as before when thousands have gone."""
    hub = timed(clock, reports)
    before = size(hub)
    for n in range(5_000):
        hub.publish(f"once {n}", b"1")
    hub.subscribe("in use", print)
    clock.advance(61)
    clock.advance(61)
    assert hub.channels() == {"in use": 1}
    assert size(hub) < before + 1000
    hub.publish("in use", b"1")
    assert len(hub.history("in use")) == 1
    assert len(planned(clock)) == 2
    assert reports == []


def test_the_end_of_a_turn_looks_at_some_channels_only(hub: Hub, turn: Turn) -> None:
    """With no clock to call, those who publish look after the others, a few at a time."""
    for n in range(2 * SWEEP):
        hub.publish(f"once {n}", b"1")
    turn.end()
    turn.now += 61
    left = []
    for _ in range(3):
        hub.publish("now", b"1")
        turn.end()
        left.append(len(hub.channels()) - 1)
    assert left == [SWEEP, 0, 0]


def test_each_channel_is_retained_for_its_own_time(clock: Clock, reports: list[str]) -> None:
    """Its messages are gone when they are older than that, though nothing happens in it, and soon
    after that it is itself."""
    hub = timed(clock, reports, short=Retention(age=5), long=Retention(age=600))
    names = ("short", "usual", "long")
    for name in names:
        hub.publish(name, b"1")
    clock.advance(0)

    def there() -> tuple[list[str], list[str]]:
        channels = [name for name in names if name in hub.channels()]
        return channels, [name for name in names if name in channels and hub.history(name)]

    for seconds, retained in [
        (5, ["short", "usual", "long"]),
        (0.1, ["usual", "long"]),
        (54.9, ["usual", "long"]),
        (0.1, ["long"]),
        (539.9, ["long"]),
        (0.1, []),
    ]:
        clock.advance(seconds)
        assert there()[1] == retained
    clock.advance(600)
    assert there() == ([], [])
    assert planned(clock) == []


@pytest.mark.parametrize("age", [0, 0.5, 5])
def test_a_channel_is_gone_within_twice_its_time(
    clock: Clock, reports: list[str], age: float
) -> None:
    """Or within twice a second, if that is longer; nobody has to ask for that."""
    hub = timed(clock, reports, a=Retention(age=age))
    hub.publish("a", b"1")
    clock.pump([0, *[max(age, 1.0)] * 2])
    assert hub.channels() == {}
    assert planned(clock) == []


def test_there_is_one_call_for_the_channel_that_is_due_next(
    clock: Clock, reports: list[str]
) -> None:
    """It is brought forward for one that is due earlier, and stays for those that are later."""
    hub = timed(clock, reports, short=Retention(age=5), long=Retention(age=600))
    calls = []
    for name in ("long", "usual", "short", "another", "long", "last"):
        hub.publish(name, b"1")
        clock.advance(0)
        calls.append(planned(clock))
    assert calls == [[600], [60], [5], [5], [5], [5]]
    clock.advance(1)
    assert planned(clock) == [4]
    clock.pump([4, 5.5])
    assert "short" not in hub.channels()
    assert planned(clock) == [60 - 10.5]


def test_nothing_is_planned_for_nobody(clock: Clock, reports: list[str]) -> None:
    """When the last channel goes with its last subscriber, so does the call."""
    hub = Hub(Retention(messages=0, age=5), clock.seconds)
    hub.bind(partial(clock.callLater, 0), later=clock.callLater)
    subscribers = [hub.subscribe(name, print) for name in ("short", "a", "b")]
    assert planned(clock) == [5]
    for subscriber in subscribers:
        hub.unsubscribe(subscriber)
    assert planned(clock) == []
    assert kept(hub) == 0


def test_binding_plans_for_what_was_there_before(clock: Clock) -> None:
    """Channels that were made before there was a clock to call are looked after like others."""
    hub = Hub(Retention(age=60), clock.seconds)
    hub.publish("a", b"1")
    clock.advance(10)
    hub.bind(partial(clock.callLater, 0), later=clock.callLater)
    assert planned(clock) == [0, 50]
    clock.pump([0, 50, 60])
    assert hub.channels() == {}


def test_the_clock_may_be_late(clock: Clock, reports: list[str]) -> None:
    """What is due by then is looked at at once, and what comes next is planned from there."""
    hub = Hub(Retention(age=60), clock.seconds)
    hub.publish("a", b"1")
    hub.flush()
    clock.advance(500)
    hub.bind(partial(clock.callLater, 0), later=clock.callLater)
    assert planned(clock) == [0]
    clock.advance(0)
    assert hub.channels() == {}
    assert planned(clock) == []


def test_one_that_stands_still_is_evicted_in_time(clock: Clock, reports: list[str]) -> None:
    """When its next message is too old, though nothing happens in the channel."""
    hub = timed(clock, reports)
    outlet = Outlet()
    hub.attach("a", outlet, Payloads())
    hub.publish("a", b"1")
    clock.advance(60)
    assert not outlet.evicted
    clock.advance(60)
    assert outlet.evicted
    assert outlet.missed == 1


def test_a_channel_in_use_is_looked_at_again_and_again(clock: Clock, reports: list[str]) -> None:
    """Its past goes, it stays; and for as long as it does there is a call."""
    hub = timed(clock, reports)
    log = hub.subscribe("a", print).channel.history
    for _ in range(3):
        hub.publish("a", b"1")
        clock.advance(0)
        assert len(log) == 1
        clock.pump([60, 60])
        assert len(log) == 0
        assert hub.channels() == {"a": 1}
        assert len(planned(clock)) == 1


ON_EVICTION: dict[str, Callable[[Hub], object]] = {
    "only leaves": lambda hub: None,
    "says so": lambda hub: hub.publish("a", b"farewell"),
    "says so elsewhere": lambda hub: hub.publish("long", b"farewell"),
    "asks for the past": lambda hub: hub.history("a"),
    "does not wait": lambda hub: (hub.publish("a", b"farewell"), hub.flush()),
    "comes back": lambda hub: hub.subscribe("a", print),
}


@pytest.mark.parametrize("then", ON_EVICTION)
@pytest.mark.parametrize("others", [0, 2])
def test_whoever_is_evicted_in_time_may_do_anything(
    clock: Clock, reports: list[str], then: str, others: int
) -> None:
    """It may be the last one in the channel, and use that or another name anew; whatever it does,
    all the others are looked after as well, and in the end nothing is left."""
    hub = timed(clock, reports, long=Retention(age=600))

    class Tidy(Outlet):
        def evict(self, missed: int) -> None:
            super().evict(missed)
            assert self.subscriber is not None
            hub.unsubscribe(self.subscriber)
            ON_EVICTION[then](hub)

    outlet = Tidy()
    outlet.subscriber = hub.attach("a", outlet, Payloads())
    for name in ("a", *[f"other {n}" for n in range(others)]):
        hub.publish(name, b"1")
    clock.advance(0)
    clock.advance(61)
    assert outlet.evicted
    assert reports == []
    expected = {
        "only leaves": {},
        "says so": {"a": 0},
        "says so elsewhere": {"long": 0},
        "asks for the past": {},
        "does not wait": {"a": 0},
        "comes back": {"a": 1},
    }
    assert hub.channels() == expected[then]
    if then == "comes back":
        hub.publish("a", b"2")
        clock.advance(0)
        assert payloads(hub.history("a")) == [b"2"]
    else:
        clock.pump([601, 601])
        assert kept(hub) == 0
        assert planned(clock) == []


def test_a_turn_that_evicts_the_last_one_looks_on(hub: Hub, turn: Turn) -> None:
    """What the end of a turn looks after may leave as well, and nobody else notices."""

    class Tidy(Outlet):
        def evict(self, missed: int) -> None:
            super().evict(missed)
            assert self.subscriber is not None
            hub.unsubscribe(self.subscriber)

    outlet = Tidy()
    outlet.subscriber = hub.attach("a", outlet, Payloads())
    for name in ("a", "b"):
        hub.publish(name, b"1")
    turn.end()
    turn.now += 61
    hub.publish("now", b"1")
    turn.end()
    assert hub.channels() == {"now": 0}


def test_whether_a_position_is_reached(hub: Hub, turn: Turn) -> None:
    """As long as nothing is gone that came after it, in the log that it is of."""
    assert not hub.reaches("strings", Position("x", 0))
    assert "strings" not in hub.channels()
    for _ in range(3):
        hub.publish("strings", b"a")
    top = hub.position("strings")
    assert top is not None
    for offset, is_reached in ((0, True), (3, True), (4, False)):
        assert hub.reaches("strings", Position(top.epoch, offset)) is is_reached
        assert not hub.reaches("strings", Position("x", offset))
    with pytest.raises(ValueError, match="a channel name must"):
        hub.reaches("", top)


def test_the_busiest_channels(hub: Hub, turn: Turn) -> None:
    """The most subscribers come first, and of the channels no more are looked at than is said."""
    for count, name in enumerate(("alone", "pair", "trio"), 1):
        for _ in range(count):
            hub.subscribe(name, lambda message: None)
    for _ in range(12):  # two more than are retained
        hub.publish("pair", b"C#4")
    turn.end()
    assert hub.busiest(2, 3) == [("trio", 3, 0, 0, 0), ("pair", 2, 12, 10, 30)]
    assert [each.channel for each in hub.busiest(3, 2)] == ["pair", "alone"]
    assert hub.busiest(0, 3) == hub.busiest(3, 0) == []
