"""What a subscription gives the application, and when it wants no more."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from orchestra.client.events import Event, EventReader
from orchestra.client.subscription import MESSAGE, ROOM, Received, Subscription
from orchestra.dialects.event_stream import EventEncoding
from orchestra.position import Position
from tests.events import captured, lines

T = TypeVar("T")


def subscribed(
    on_message: Callable[[Received], object] | None = None,
    on_gap: Callable[[int | None], object] | None = None,
    since: Position | None = None,
) -> Subscription:
    """A subscription that ends when it is stopped."""
    return Subscription(
        "strings", on_message, on_gap, lambda subscription: subscription.ended(), since=since
    )


def note(offset: int, payload: bytes = b"") -> Event:
    """An event with a text."""
    return Event("", payload.decode(), f"e:{offset}")


def gap(missed: int | None, offset: int) -> Event:
    return Event("gap", '{"missed": %s}' % ("null" if missed is None else missed), f"e:{offset}")


def at(offset: int) -> Position:
    return Position("e", offset)


def started(coroutine: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    return Deferred.fromCoroutine(coroutine)


def result(deferred: Deferred[T]) -> T:
    """What a Deferred has fired with."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    assert results, "it has not fired yet"
    (value,) = results
    if hasattr(value, "raiseException"):
        value.raiseException()
    return value  # type: ignore[no-any-return]


def taken(subscription: Subscription) -> Received:
    """The next message, which is there already."""
    return result(started(subscription.__anext__()))


async def all_of(subscription: Subscription) -> list[Received]:
    return [message async for message in subscription]


@implementer(IPushProducer)
class Producer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        raise AssertionError("a subscription stops nobody")


contents = st.lists(
    st.tuples(
        st.one_of(
            st.binary(max_size=20).map(lambda payload: (payload, True)),
            st.text("a\r\n\0:\ufeffü ", max_size=12).map(lambda text: (text.encode(), False)),
        ),
        st.just(None),
        st.just(0.0),
    ).map(lambda entry: (*entry[0], *entry[1:])),
    min_size=1,
    max_size=5,
)


@given(contents)
def test_what_was_published_is_received(entries: list[tuple[bytes, bool, None, float]]) -> None:
    """Text and binary data, to the byte, whatever ends of lines there are in it."""
    stream = EventEncoding().encode(entries, range(1, len(entries) + 1), "e")
    heard: list[Received] = []
    subscription = subscribed(heard.append)
    for event in EventReader().read(stream):
        subscription.event(event)
    assert heard == [
        (payload, is_binary, at(offset))
        for offset, (payload, is_binary, _, _) in enumerate(entries, 1)
    ]


def test_a_callback_gets_each_message() -> None:
    """As it comes, and the position is that of the last one."""
    heard: list[Received] = []
    subscription = subscribed(heard.append)
    subscription.event(note(7, b"a"))
    subscription.event(note(8, b"b"))
    assert heard == [(b"a", False, at(7)), (b"b", False, at(8))]
    assert subscription.position == at(8)


def test_a_callback_that_raises_is_called_again() -> None:
    """It is logged, with the channel, and the next message comes as if nothing had been."""
    heard: list[int] = []

    def callback(message: Received) -> None:
        heard.append(message.position.offset)
        raise RuntimeError("a broken callback")

    subscription = subscribed(callback)
    with captured() as events:
        subscription.event(note(1))
        subscription.event(note(2))
    assert heard == [1, 2]
    assert lines(events) == ["A callback for strings failed"] * 2
    assert {event["log_failure"].getErrorMessage() for event in events} == {"a broken callback"}
    assert subscription.position == at(2)


def test_messages_can_be_iterated_over() -> None:
    """Those that came before, then those that come, up to the end."""
    subscription = subscribed()
    subscription.event(note(1, b"a"))
    everything = started(all_of(subscription))
    subscription.event(note(2, b"b"))
    subscription.event(note(3, b"c"))
    assert not everything.called
    subscription.stop()
    assert [message.payload for message in result(everything)] == [b"a", b"b", b"c"]


def test_it_stops_after_what_was_received() -> None:
    """What is there is still taken; then it is at its end, and stays there."""
    subscription = subscribed()
    subscription.event(note(1))
    subscription.event(note(2))
    subscription.stop()
    assert [taken(subscription).position.offset for _ in range(2)] == [1, 2]
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            taken(subscription)


def test_it_can_end_with_an_error() -> None:
    """Whoever iterates gets it after what was received, as often as it asks; the first counts."""
    subscription = subscribed()
    subscription.event(note(1))
    subscription.ended(LookupError("no such channel"))
    subscription.ended(ValueError("another"))
    subscription.stop()
    assert taken(subscription).position == at(1)
    for _ in range(2):
        with pytest.raises(LookupError, match="no such channel"):
            taken(subscription)


def test_whoever_waits_learns_of_the_end() -> None:
    """Waiting for a message ends with the subscription."""
    subscription = subscribed()
    waiting = started(subscription.__anext__())
    assert not waiting.called
    subscription.stop()
    with pytest.raises(StopAsyncIteration):
        result(waiting)


def test_only_one_iterates() -> None:
    """A second one is refused, and the first one goes on."""
    subscription = subscribed()
    first = started(subscription.__anext__())
    with pytest.raises(RuntimeError, match="somebody iterates"):
        taken(subscription)
    subscription.event(note(1))
    assert result(first).position == at(1)


def test_whoever_gave_up_waiting_is_in_nobodys_way() -> None:
    """One that was cancelled has taken nothing."""
    subscription = subscribed()
    first = started(subscription.__anext__())
    first.cancel()
    with pytest.raises(CancelledError):
        result(first)
    second = started(subscription.__anext__())
    subscription.event(note(1))
    assert result(second).position == at(1)


def test_who_has_a_callback_does_not_iterate() -> None:
    """The messages go to the callback; to wait for them would be to wait for ever."""
    with pytest.raises(RuntimeError, match="callback"):
        taken(subscribed(lambda message: None))


def test_the_position_is_that_of_what_was_taken() -> None:
    """What was received and waits is not counted as given to the application."""
    subscription = subscribed()
    assert (subscription.position, subscription.received) == (None, None)
    subscription.at("e:4")
    assert (subscription.position, subscription.received) == (at(4), at(4))
    for offset in (5, 6):
        subscription.event(note(offset))
        subscription.at(f"e:{offset}")
    assert (subscription.position, subscription.received) == (at(4), at(6))
    taken(subscription)
    assert (subscription.position, subscription.received) == (at(5), at(6))


def test_the_position_is_before_the_first_message() -> None:
    """Also where the stream did not say where it begins before that message came."""
    subscription = subscribed()
    subscription.event(note(5))
    subscription.at("e:5")
    assert subscription.position == at(4)
    taken(subscription)
    assert subscription.position == at(5)


def test_it_begins_where_it_is_told_to() -> None:
    """The position that it is given holds until something was given on."""
    subscription = subscribed(since=at(3))
    assert (subscription.position, subscription.received) == (at(3), at(3))
    subscription.at("e:9")
    assert (subscription.position, subscription.received) == (at(3), at(9))


@pytest.mark.parametrize("text", ["", "e", "e:", ":1", "e:x", "e:-1"])
def test_what_is_no_position_is_none(text: str) -> None:
    """A stream that does not say where it is leaves the place as it was."""
    subscription = subscribed(since=at(3))
    subscription.failed = 2
    subscription.at(text)
    assert (subscription.received, subscription.failed) == (at(3), 2)


@pytest.mark.parametrize("missed", [5, None])
def test_a_gap_is_told_to_a_callback(missed: int | None) -> None:
    """With how many are missing, or that nobody knows, before the next message; and logged."""
    told: list[object] = []
    subscription = subscribed(told.append, told.append)
    subscription.event(note(1))
    with captured() as events:
        subscription.event(gap(missed, 6))
    assert subscription.position == at(6)
    subscription.event(note(7))
    assert told == [(b"", False, at(1)), missed, (b"", False, at(7))]
    (event,) = events
    assert lines(events) == [f"{missed or 'Some'} messages of strings are missing"]
    assert (event["missed"], event["channel"]) == (missed, "strings")


def test_a_gap_has_its_place_among_the_messages() -> None:
    """Whoever iterates is told when it has taken what came before, and not earlier."""
    told: list[object] = []
    subscription = subscribed(on_gap=told.append)
    for event in (note(1), gap(5, 6), gap(None, 9), note(10)):
        subscription.event(event)
    told.append(taken(subscription).position.offset)
    assert subscription.position == at(1)
    told.append(taken(subscription).position.offset)
    assert told == [1, 5, None, 10]


def test_whoever_waits_is_told_of_a_gap_at_once() -> None:
    """It goes on waiting for the next message, with the place behind the gap."""
    told: list[object] = []
    subscription = subscribed(on_gap=told.append, since=at(1))
    waiting = started(subscription.__anext__())
    subscription.event(gap(5, 6))
    assert told == [5]
    assert subscription.position == at(6)
    assert not waiting.called
    subscription.event(note(7))
    assert result(waiting).position == at(7)


def test_a_gap_that_is_the_last_thing_is_told() -> None:
    """Before the end, as it was before the next message."""
    told: list[object] = []
    subscription = subscribed(on_gap=told.append)
    subscription.event(gap(5, 6))
    subscription.stop()
    with pytest.raises(StopAsyncIteration):
        taken(subscription)
    assert told == [5]


@pytest.mark.parametrize("iterates", [False, True])
def test_nobody_needs_to_hear_of_gaps(iterates: bool) -> None:
    """Without a callback for it, or with one that raises, it goes on after the gap."""

    def on_gap(missed: int | None) -> None:
        raise RuntimeError("a broken callback")

    for callback in (None, on_gap):
        heard: list[Received] = []
        subscription = subscribed(None if iterates else heard.append, callback)
        with captured() as events:
            subscription.event(gap(5, 6))
            subscription.event(note(7))
            if iterates:
                heard.append(taken(subscription))
        assert [message.position for message in heard] == [at(7)]
        assert ("A callback for strings failed" in lines(events)) is (callback is not None)


def test_other_events_are_not_messages() -> None:
    """Who came and left, or what a later server may have to say, is passed over."""
    heard: list[Received] = []
    subscription = subscribed(heard.append)
    subscription.event(Event("presence", "{}", "e:1"))
    subscription.event(Event("message", "x", "e:1"))
    assert heard == []


def test_it_wants_no_more_than_there_is_room_for() -> None:
    """It pauses when more than that waits, and reads on when half of it was taken."""
    subscription, producer = subscribed(), Producer()
    subscription.began(producer)
    subscription.event(note(1))
    eighth = b"x" * (ROOM // 8 - MESSAGE)
    for offset in range(2, 9):
        subscription.event(note(offset, eighth))
    assert producer.told == []
    assert not subscription.is_paused
    subscription.event(note(9, eighth))
    assert producer.told == ["pause"]
    assert subscription.is_paused
    for _ in range(4):
        taken(subscription)
    assert producer.told == ["pause"]
    taken(subscription)
    assert producer.told == ["pause", "resume"]
    assert not subscription.is_paused


def test_small_messages_take_room_as_well() -> None:
    """Empty ones without a bound would fill the memory like any other."""
    subscription, producer = subscribed(), Producer()
    subscription.began(producer)
    for offset in range(ROOM // MESSAGE):
        subscription.event(note(offset + 1))
    assert producer.told == []
    subscription.event(note(ROOM))
    assert producer.told == ["pause"]


def test_one_message_may_be_larger_than_the_room() -> None:
    """It waits alone, and when it was taken there is room again."""
    subscription, producer = subscribed(), Producer()
    subscription.began(producer)
    subscription.event(note(1, b"x" * ROOM))
    taken(subscription)
    assert producer.told == ["pause", "resume"]


def test_a_new_stream_finds_the_room_as_it_is() -> None:
    """If there is none it is paused, again if others resume it, and resumed when there is."""
    subscription, first, second = subscribed(), Producer(), Producer()
    subscription.began(first)
    subscription.event(note(1, b"x" * ROOM))
    subscription.began(None)
    assert not subscription.is_paused
    subscription.began(second)
    assert second.told == ["pause"]
    subscription.event(note(2, b"x"))
    assert second.told == ["pause", "pause"]
    taken(subscription)
    assert second.told == ["pause", "pause", "resume"]
    assert first.told == ["pause"]


def test_callbacks_keep_nothing_waiting() -> None:
    """However much comes, there is nothing to pause for."""
    subscription, producer = subscribed(lambda message: None), Producer()
    subscription.began(producer)
    for offset in range(1, 5):
        subscription.event(note(offset, b"x" * ROOM))
    assert producer.told == []
