"""Channels by name, and the turn that moves them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from orchestra.history import Retention
from orchestra.hub import MAX_UNDELIVERED, MESSAGE_OVERHEAD, Hub
from orchestra.listener import AS_MESSAGES
from orchestra.message import Entry, Message
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
    hub.subscribe("a", heard.append)
    hub.publish("a", b"\xff", is_binary=True, publisher="me")
    turn.end()
    assert heard == [Message(1, b"\xff", True, "me", 1000.0)]


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


def test_a_channel_without_a_past_goes_with_its_last_subscriber(hub: Hub, turn: Turn) -> None:
    """One with a past stays, to be replayed."""
    for name in ("a", "b"):
        subscriber = hub.subscribe(name, print)
        if name == "b":
            hub.publish(name, b"1")
            turn.end()
        hub.unsubscribe(subscriber)
    assert hub.channels() == {"b": 0}


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


def test_a_channel_that_comes_back_has_a_new_epoch(hub: Hub, turn: Turn) -> None:
    """Its offsets start anew, so its epoch must differ."""

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


def test_leaving_a_dropped_channel_spares_the_one_that_came_after(hub: Hub) -> None:
    """A late unsubscribe does not take away a channel of the same name."""
    early = hub.subscribe("a", print)
    hub.unsubscribe(early)
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
