"""What is counted of the channels."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.counters import APPLICATION, BOUNDS, MAX_APART, OTHERS, Counters, Histogram, Ledger
from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.settings import ChannelSettings
from tests.outlets import Lines, Payloads, Pipe


@given(st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0, 20)), max_size=30))
def test_a_histogram_has_each_value_in_its_bucket(values: list[float]) -> None:
    """Up to a bound, itself included, there are as many as were not above it."""
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    for number, bound in enumerate(BOUNDS, 1):
        assert sum(histogram.counts[:number]) == len([v for v in values if v <= bound])
    assert sum(histogram.counts) == len(values)
    assert histogram.sum == pytest.approx(sum(values))


def test_it_counts_from_a_tenth_of_a_millisecond_to_ten_seconds() -> None:
    """The bounds go up, and no bucket is more than two and a half times as wide as the last."""
    assert (BOUNDS[0], BOUNDS[-1]) == (0.0001, 10)
    for bound, after in pairwise(BOUNDS):
        assert bound < after <= 2.5 * bound * 1.001


def count(ledger: Ledger, name: str, number: int) -> Counters:
    """Have a new channel count the same number of everything."""
    counters = ledger.open(name)
    counters.published[APPLICATION].add(number, number)
    counters.forgotten.add(number - 1, number - 1)
    counters.deliveries += number
    counters.written += number
    return counters


@given(
    st.lists(
        st.tuples(st.sampled_from(["a/1", "a/2", "a/3", "b", OTHERS]), st.integers(1, 9)),
        max_size=12,
    ),
    st.sampled_from([(), ("a/*",), ("*",), ("b", "a/1")]),
)
def test_the_total_never_goes_back(
    events: list[tuple[str, int]], patterns: tuple[str, ...]
) -> None:
    """Channels come and go, counted apart or not, and all that they counted is in the total."""
    ledger = Ledger(patterns)
    there: dict[str, Counters] = {}
    expected = retained = 0
    for name, number in events:
        if name in there:
            gone = there.pop(name)
            retained -= 1
            gone.forgotten.add(1, 1)
            ledger.close(name, gone)
        else:
            there[name] = count(ledger, name, number)
            expected += number
            retained += 1
        total = ledger.total()
        assert total.channels == len(there)
        assert total.deliveries == total.written == expected
        assert total.published_in_all.messages == total.published_in_all.size == expected
        assert total.retained.messages == total.retained.size == retained
        assert set(ledger.apart) <= {*there, OTHERS}


def test_nothing_is_counted_apart_unless_it_is_asked_for() -> None:
    """Without a pattern there are only the numbers of all channels together."""
    ledger = Ledger()
    assert count(ledger, "strings", 1) is count(ledger, "brass", 1)
    assert ledger.apart == {}


def test_what_has_no_room_is_counted_together() -> None:
    """Beyond the highest number they share counters, until one of those before them goes."""
    ledger = Ledger(["*"])
    first = [ledger.open(f"channel {number}") for number in range(MAX_APART)]
    assert len(set(map(id, first))) == MAX_APART
    assert ledger.open("late") is ledger.open("later") is ledger.apart[OTHERS]
    assert len(ledger.apart) == MAX_APART + 1
    ledger.close("channel 0", first[0])
    assert ledger.open("latest") is ledger.apart["latest"]
    ledger.close("late", ledger.apart[OTHERS])
    assert ledger.apart[OTHERS].channels == 1


def test_a_channel_may_have_the_name_of_the_others() -> None:
    """It is one of them, so that a name is never there twice."""
    ledger = Ledger(["*"])
    counters = ledger.open(OTHERS)
    assert counters is ledger.apart[OTHERS]
    ledger.close(OTHERS, counters)
    assert list(ledger.apart) == [OTHERS]


class TestHub:
    """What a hub has counted after this and that."""

    def make(self, *patterns: str, retention: Retention = Retention()) -> Hub:
        self.now = 1000.0
        hub = Hub(retention, clock=lambda: self.now, counted_apart=patterns)
        hub.bind(lambda flush: None)
        return hub

    def test_messages_times_subscribers(self) -> None:
        """A delivery is a message to a subscriber, and bytes are what the outlets were sent."""
        hub = self.make()
        pipes = [Pipe() for _ in range(3)]
        lines, plain = Lines(), Payloads()
        for pipe in pipes:
            hub.attach("strings", pipe, lines).resume()
        heard: list[object] = []
        hub.subscribe("strings", heard.append)
        hub.attach("strings", Pipe(), plain)  # and does not read
        for payload in (b"C#4", b"D4"):
            hub.publish("strings", payload)
        hub.flush()
        hub.publish("brass", b"to nobody", source="another")
        hub.flush()
        total = hub.ledger.total()
        assert total.deliveries == 2 * 4 == len(heard) + sum(len(pipe.heard) for pipe in pipes)
        assert total.written == 3 * len(b"C#4\nD4\n"), "what is no bytes does not count"
        assert {
            source: (flow.messages, flow.size) for source, flow in total.published.items()
        } == {
            APPLICATION: (2, 5),
            "another": (1, 9),
        }
        assert (total.channels, total.subscribers, total.lagging) == (2, 5, 1)

    def test_what_is_played_twice_with_a_key_counts_once(self) -> None:
        """It was not published again."""
        hub = self.make()
        for _ in range(2):
            hub.publish("strings", b"C#4", idempotency_key="one")
        assert hub.ledger.total().published_in_all.messages == 1

    def test_who_leaves_in_the_middle_of_a_delivery_was_not_delivered_to(self) -> None:
        """Only those count that were really written to."""
        hub, lines = self.make(), Lines()

        class Jealous(Pipe):
            """Has the next one go as soon as it is full."""

            def write(self, data: bytes) -> None:
                super().write(data)
                hub.unsubscribe(last)

        pipes = [Pipe(), Jealous(room=1), Pipe()]
        for pipe in pipes:
            pipe.subscriber = hub.attach("strings", pipe, lines)
            pipe.subscriber.resume()
        last = pipes[-1].subscriber
        hub.publish("strings", b"C#4")
        hub.flush()
        assert [pipe.heard for pipe in pipes] == [[b"C#4"], [b"C#4"], []]
        total = hub.ledger.total()
        assert (total.deliveries, total.written) == (2, 8)
        assert (total.subscribers, total.lagging) == (2, 1)

    def test_own_messages_that_are_left_out_are_no_deliveries(self) -> None:
        """Neither at the head nor behind it."""
        hub, lines = self.make(), Lines()
        mine, late = Pipe(), Pipe()
        hub.attach("strings", mine, lines, skip="me").resume()
        late.subscriber = hub.attach("strings", late, lines, skip="me")
        hub.publish("strings", b"mine", publisher="me")
        hub.flush()
        assert hub.ledger.total().deliveries == 0
        hub.publish("strings", b"mine", publisher="me")
        hub.publish("strings", b"yours", publisher="you")
        hub.flush()
        late.subscriber.resume()
        assert mine.heard == late.heard == [b"yours"]
        total = hub.ledger.total()
        assert (total.deliveries, total.written) == (2, 2 * len(b"yours\n"))

    def test_how_long_it_took(self) -> None:
        """Once a turn, from the first message of it to the end of its delivery."""
        hub = self.make()
        delays = hub.ledger.delays

        def slowly(message: object) -> None:
            self.now += 0.25

        hub.publish("strings", b"to nobody")
        hub.flush()
        assert sum(delays.counts) == 0, "nobody was there to be written to"
        subscriber = hub.subscribe("strings", slowly)
        hub.publish("strings", b"C#4")
        self.now += 1
        hub.publish("strings", b"D4")
        hub.flush()
        assert sum(delays.counts) == 1
        assert delays.sum == pytest.approx(1 + 2 * 0.25)
        subscriber.pause()
        hub.publish("strings", b"E4")
        hub.flush()
        assert sum(delays.counts) == 1, "who lags behind is not waited for"

    def test_moves_are_no_messages(self) -> None:
        """Who watches who comes and leaves is no subscriber of the channel's messages."""
        hub, moves = self.make(), []
        hub.watch("strings", moves.append)
        subscriber = hub.attach("strings", Pipe(), Lines(), member=hub.member("ann"))
        hub.flush()
        assert len(moves) == 1
        total = hub.ledger.total()
        assert (total.subscribers, total.deliveries) == (1, 0)
        assert total.published_in_all.messages == 0
        hub.unsubscribe(subscriber)
        assert hub.ledger.total().subscribers == 0

    def test_what_is_retained(self) -> None:
        """It is counted as it comes and goes, until the channel is gone with all of it."""
        hub = self.make("strings", retention=Retention(messages=2, age=60))
        for payload in (b"C#4", b"D4", b"E"):
            hub.publish("strings", payload)
        assert hub.ledger.total().retained.messages == 3
        hub.flush()
        mine = hub.ledger.apart["strings"]
        for counters in (hub.ledger.total(), mine):
            assert (counters.retained.messages, counters.retained.size) == (2, 3)
            assert counters.channels == 1
        self.now += 61
        hub.flush()
        assert hub.channels() == {}
        total = hub.ledger.total()
        assert (total.retained.messages, total.retained.size, total.channels) == (0, 0, 0)
        assert total.published_in_all.messages == 3
        assert list(hub.ledger.apart) == [OTHERS]

    def test_channels_that_are_counted_apart(self) -> None:
        """Those that match have their own, and are in the total as well; others have not."""
        hub = Hub(channels={"*": ChannelSettings()}, counted_apart=["a/*"])
        hub.bind(lambda flush: None)
        for name in ("a/1", "a/2", "b"):
            hub.subscribe(name, lambda message: None)
        for name in ("a/1", "a/1", "a/2", "b"):
            hub.publish(name, b"C#4")
        hub.flush()
        assert {name: apart.deliveries for name, apart in hub.ledger.apart.items()} == {
            OTHERS: 0,
            "a/1": 2,
            "a/2": 1,
        }
        assert hub.ledger.total().deliveries == 4
