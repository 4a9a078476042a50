"""How a position in a log moves."""

from __future__ import annotations

import pytest

from orchestra.channel import Channel
from orchestra.history import History, Retention
from orchestra.position import Position
from orchestra.settings import LATEST, SKIP, SLOW_READER
from orchestra.subscriber import PIECE, Subscriber
from tests.outlets import Gap, Outlet, Payloads
from tests.test_channel import join, make_channel, play


def turns(channel: Channel, *payloads: bytes) -> None:
    """Each in a turn of its own."""
    for payload in payloads:
        play(channel, payload)
        channel.flush(0.0)


def come_back(
    channel: Channel, offset: int, missed: int | None = 0, room: int | None = None
) -> Outlet:
    """The outlet of a reader that begins at a place, and was not resumed yet."""
    outlet = Outlet(room)
    outlet.subscriber = Subscriber(channel, outlet, Payloads(), channel.history.last_offset)
    channel.add(outlet.subscriber)
    outlet.subscriber.begin(offset, missed)
    return outlet


def place(channel: Channel, offset: int) -> Position:
    return Position(channel.history.epoch, offset)


def test_a_new_subscriber_waits_to_be_resumed() -> None:
    """It hears nothing while it is paused, and nothing is lost meanwhile."""
    channel, outlet = make_channel(), Outlet()
    subscriber = Subscriber(channel, outlet, Payloads(), 0)
    channel.add(subscriber)
    play(channel, b"a")
    channel.flush(0.0)
    assert outlet.heard == []
    subscriber.resume()
    assert outlet.heard == [b"a"]


def test_a_paused_subscriber_holds_a_place_and_nothing_else() -> None:
    """What comes while it is paused waits in the log; after it, it is at the head again."""
    channel = make_channel()
    outlet = join(channel, Payloads(), Outlet(room=1))
    for payload in (b"a", b"b", b"c"):
        play(channel, payload)
        channel.flush(0.0)
    assert outlet.heard == [b"a"]
    assert outlet.subscriber is not None
    assert outlet.subscriber.offset == 1
    outlet.drain(room=10)
    assert outlet.heard == [b"a", b"b", b"c"]
    assert outlet.subscriber.head is not None
    play(channel, b"d")
    channel.flush(0.0)
    assert outlet.heard == [b"a", b"b", b"c", b"d"]


def test_catching_up_goes_in_pieces() -> None:
    """A reader that is far behind is written a bounded piece at a time, as it takes them."""
    channel, payload = make_channel(), b"x" * (PIECE // 2)
    outlet = join(channel, Payloads(), Outlet(room=1))
    play(channel, b"first")
    channel.flush(0.0)
    play(channel, *[payload] * 5)
    channel.flush(0.0)
    for _ in range(3):
        outlet.drain()
    assert [len(write) for write in outlet.writes] == [1, 2, 2, 1]


def test_what_a_turn_has_brought_so_far_waits_for_its_end() -> None:
    """One that catches up in the middle of a turn hears this turn's messages with the others."""
    channel, encoding = make_channel(), Payloads()
    other, outlet = join(channel, encoding), join(channel, encoding)
    assert outlet.subscriber is not None
    outlet.subscriber.pause()
    play(channel, b"a")
    outlet.subscriber.resume()
    assert outlet.heard == []
    channel.flush(0.0)
    assert outlet.writes == other.writes == [[b"a"]]


def test_one_that_falls_off_the_log_is_evicted() -> None:
    """When its next message is forgotten it is told so, is gone, and hears no more."""
    channel = make_channel(Retention(messages=2))
    outlet = join(channel, Payloads(), Outlet(room=1))
    for payload in (b"a", b"b", b"c"):
        play(channel, payload)
        channel.flush(0.0)
    assert not outlet.evicted
    play(channel, b"d")
    channel.flush(0.0)
    assert outlet.evicted
    assert outlet.heard == [b"a"]
    assert outlet.subscriber is not None
    assert outlet.subscriber.gone
    assert len(channel) == 0


def test_age_evicts_too() -> None:
    """A reader that stands still until its next message is too old is evicted."""
    channel = make_channel(Retention(age=10))
    outlet = join(channel, Payloads(), Outlet(room=1))
    play(channel, b"a")
    channel.flush(0.0)
    play(channel, b"b")
    channel.flush(10.0)
    assert not outlet.evicted
    channel.trim(11.0)
    assert outlet.evicted


def test_finishing_delivers_the_rest_at_once() -> None:
    """One at the head gets what the turn has brought so far, its end, and nothing after it."""
    channel = make_channel()
    outlet = join(channel, Payloads())
    play(channel, b"a")
    assert outlet.subscriber is not None
    outlet.subscriber.finish()
    assert outlet.heard == [b"a"]
    assert outlet.ended
    play(channel, b"b")
    channel.flush(0.0)
    outlet.subscriber.finish()
    assert outlet.heard == [b"a"]
    assert len(channel) == 0


def test_finishing_waits_for_a_slow_reader() -> None:
    """A paused one gets the rest as it drains, up to where it was told to finish."""
    channel = make_channel()
    outlet = join(channel, Payloads(), Outlet(room=1))
    play(channel, b"a")
    channel.flush(0.0)
    play(channel, b"b")
    assert outlet.subscriber is not None
    outlet.subscriber.finish()
    play(channel, b"c")
    channel.flush(0.0)
    assert not outlet.ended
    outlet.drain(room=10)
    assert outlet.heard == [b"a", b"b"]
    assert outlet.ended


def test_nothing_wakes_one_that_is_gone() -> None:
    """After it was removed, pausing and resuming have no effect."""
    channel = make_channel()
    outlet = join(channel, Payloads())
    subscriber = outlet.subscriber
    assert subscriber is not None
    channel.remove(subscriber)
    subscriber.pause()
    subscriber.resume()
    subscriber.catch_up()
    play(channel, b"a")
    channel.flush(0.0)
    assert outlet.heard == []
    assert len(channel) == 0


def test_pausing_and_resuming_inside_a_write_keeps_the_order() -> None:
    """A drain from within a write leaves the reading to the call that is at it."""

    class Hasty(Outlet):
        def write(self, data: list[bytes]) -> None:
            assert self.subscriber is not None
            self.subscriber.pause()
            self.subscriber.resume()
            super().write(data)

    channel, payload = make_channel(), b"x" * PIECE
    outlet = Hasty()
    outlet.subscriber = Subscriber(channel, outlet, Payloads(), 0)
    channel.add(outlet.subscriber)
    play(channel, payload + b"1", payload + b"2", payload + b"3")
    channel.flush(0.0)
    outlet.subscriber.resume()
    play(channel, b"4")
    channel.flush(0.0)
    assert [heard[-1:] for heard in outlet.heard] == [b"1", b"2", b"3", b"4"]


def test_skipping_holds_while_catching_up() -> None:
    """One's own messages are left out of a replay too, and a piece of nothing else is no write."""
    channel, encoding = make_channel(), Payloads()
    outlet = join(channel, encoding, skip="me")
    assert outlet.subscriber is not None
    outlet.subscriber.pause()
    play(channel, b"x" * PIECE, publisher="me")
    play(channel, b"yours", publisher="you")
    channel.flush(0.0)
    outlet.subscriber.resume()
    assert outlet.writes == [[b"yours"]]
    assert outlet.subscriber.offset == 2


def test_a_position_is_up_to_where_it_was_written() -> None:
    """Behind or at the head, paused or gone: whoever comes back with it gets what comes next."""
    channel = make_channel()
    outlet = join(channel, Payloads(), Outlet(room=1))
    subscriber = outlet.subscriber
    assert subscriber is not None
    assert subscriber.position == place(channel, 0)
    turns(channel, b"a", b"b")
    assert subscriber.position == place(channel, 1)
    outlet.drain(room=9)
    assert subscriber.position == place(channel, 2)
    turns(channel, b"c")
    assert subscriber.position == place(channel, 3)
    play(channel, b"d")
    channel.remove(subscriber)
    assert subscriber.position == place(channel, 3)


def test_one_that_comes_back_in_time_hears_what_it_missed() -> None:
    """From its place on, each message once, and there is no gap."""
    channel = make_channel()
    turns(channel, b"a", b"b", b"c")
    outlet = come_back(channel, 1)
    assert outlet.subscriber is not None
    assert outlet.subscriber.position == place(channel, 1)
    outlet.subscriber.resume()
    turns(channel, b"d")
    assert outlet.heard == [b"b", b"c", b"d"]
    assert outlet.gaps == []


@pytest.mark.parametrize("slow_reader", SLOW_READER)
@pytest.mark.parametrize("missed", [2, None])
def test_one_that_comes_back_too_late_is_told_first(slow_reader: str, missed: int | None) -> None:
    """It learns how much it missed and where it goes on, which is with all that is retained,
    whatever becomes of slow readers; until then it has no position."""
    channel = make_channel(Retention(messages=3), slow_reader)
    turns(channel, b"a", b"b", b"c", b"d", b"e")
    outlet = come_back(channel, 2, missed)
    assert outlet.subscriber is not None
    assert outlet.subscriber.position is None
    outlet.subscriber.resume()
    assert outlet.gaps == [Gap(missed, place(channel, 2), heard=0)]
    assert outlet.heard == [b"c", b"d", b"e"]
    assert outlet.subscriber.position == place(channel, 5)
    turns(channel, b"f")
    assert len(outlet.gaps) == 1


def test_one_that_skips_goes_on_at_the_oldest_message() -> None:
    """Between what it heard and what it hears next it is told how much is missing."""
    channel = make_channel(Retention(messages=2), SKIP)
    outlet = join(channel, Payloads(), Outlet(room=1))
    turns(channel, b"a", b"b", b"c", b"d", b"e")
    outlet.drain(room=9)
    assert outlet.heard == [b"a", b"d", b"e"]
    assert outlet.gaps == [Gap(2, place(channel, 3), heard=1)]
    turns(channel, b"f")
    assert outlet.heard[3:] == [b"f"]


def test_one_that_wants_the_latest_gets_the_newest_message() -> None:
    """All before it counts as missed, retained or not; what the turn has brought waits for its
    end."""
    channel = make_channel(Retention(messages=2), LATEST)
    outlet = join(channel, Payloads(), Outlet(room=1))
    turns(channel, b"a", b"b", b"c", b"d", b"e")
    play(channel, b"f")
    outlet.drain(room=9)
    assert outlet.heard == [b"a", b"e"]
    assert outlet.gaps == [Gap(3, place(channel, 4), heard=1)]
    channel.flush(0.0)
    assert outlet.heard == [b"a", b"e", b"f"]
    assert len(outlet.gaps) == 1


@pytest.mark.parametrize("slow_reader", [SKIP, LATEST])
def test_one_that_is_slow_but_did_not_fall_off_hears_all(slow_reader: str) -> None:
    """As long as its next message is retained, it goes on with that one."""
    channel = make_channel(Retention(messages=2), slow_reader)
    outlet = join(channel, Payloads(), Outlet(room=1))
    turns(channel, b"a", b"b", b"c")
    outlet.drain(room=9)
    assert outlet.heard == [b"a", b"b", b"c"]
    assert outlet.gaps == []


@pytest.mark.parametrize("slow_reader", [SKIP, LATEST])
def test_where_nothing_is_retained_it_goes_on_with_what_comes(slow_reader: str) -> None:
    """It has missed all there was."""
    channel = make_channel(Retention(messages=0), slow_reader)
    outlet = join(channel, Payloads(), Outlet(room=1))
    turns(channel, b"a", b"b", b"c")
    outlet.drain(room=9)
    assert outlet.gaps == [Gap(2, place(channel, 3), heard=1)]
    turns(channel, b"d")
    assert outlet.heard == [b"a", b"d"]


@pytest.mark.parametrize("missed", [1, None])
@pytest.mark.parametrize(("slow_reader", "goes_on"), [(SKIP, 3), (LATEST, 4)])
def test_what_is_lost_before_it_is_told_adds_up(
    slow_reader: str, goes_on: int, missed: int | None
) -> None:
    """One that came too late, and falls off before it reads, is told once, of all of it; what
    nobody knows does not become known by that."""
    channel = make_channel(Retention(messages=2), slow_reader)
    turns(channel, b"a", b"b", b"c")
    outlet = come_back(channel, 1, missed)
    turns(channel, b"d", b"e")
    outlet.drain(room=9)
    total = None if missed is None else missed + goes_on - 1
    assert outlet.gaps == [Gap(total, place(channel, goes_on), heard=0)]
    assert outlet.heard == [b"d", b"e"][goes_on - 3 :]


def test_each_gap_is_told_at_its_own_place() -> None:
    """One that falls off again hears of what it missed since the last time."""
    channel = make_channel(Retention(messages=1), SKIP)
    outlet = join(channel, Payloads(), Outlet(room=1))
    turns(channel, b"a", b"b", b"c")
    outlet.drain()
    turns(channel, b"d", b"e", b"f")
    outlet.drain()
    assert outlet.heard == [b"a", b"c", b"f"]
    assert outlet.gaps == [Gap(1, place(channel, 2), 1), Gap(2, place(channel, 5), 2)]


def test_one_that_is_full_after_a_gap_waits_there() -> None:
    """To tell of it may fill an outlet as well: it goes on from there when it has drained."""

    class Full(Outlet):
        def gap(self, missed: int | None, position: Position) -> None:
            super().gap(missed, position)
            assert self.subscriber is not None
            self.subscriber.pause()

    channel, outlet = make_channel(Retention(messages=1), SKIP), Full(room=1)
    join(channel, Payloads(), outlet)
    turns(channel, b"a", b"b", b"c")
    outlet.drain()
    assert outlet.heard == [b"a"]
    assert outlet.subscriber is not None
    assert outlet.subscriber.position == place(channel, 2)
    outlet.drain()
    assert outlet.heard == [b"a", b"c"]
    assert len(outlet.gaps) == 1


def test_an_outlet_that_raises_at_a_gap_is_let_go_of() -> None:
    """As if it had raised at a message: it is reported, and the outlet is told."""

    class Broken(Outlet):
        def gap(self, missed: int | None, position: Position) -> None:
            raise RuntimeError("no bow")

    reports: list[str] = []
    channel = Channel("a", History(), lambda error, what: reports.append(f"{what}: {error}"), SKIP)
    outlet = Broken()
    outlet.subscriber = Subscriber(channel, outlet, Payloads(), 0)
    channel.add(outlet.subscriber)
    outlet.subscriber.begin(0, None)
    outlet.subscriber.resume()
    assert outlet.failed
    assert reports == ["a reader in the channel 'a' failed: no bow"]
    assert len(channel) == 0


@pytest.mark.parametrize("slow_reader", [SKIP, LATEST])
def test_one_that_finishes_late_hears_what_is_left_of_its_part(slow_reader: str) -> None:
    """It goes on at the oldest message, up to where it ends, even where others get the newest."""
    channel = make_channel(Retention(messages=3), slow_reader)
    outlet = join(channel, Payloads(), Outlet(room=1))
    turns(channel, b"a", b"b", b"c", b"d")
    assert outlet.subscriber is not None
    outlet.subscriber.finish()
    turns(channel, b"e")
    outlet.drain(room=9)
    assert outlet.heard == [b"a", b"c", b"d"]
    assert outlet.gaps == [Gap(1, place(channel, 2), heard=1)]
    assert outlet.ended


@pytest.mark.parametrize("slow_reader", [SKIP, LATEST])
@pytest.mark.parametrize("further", [2, 9])
def test_one_that_finishes_too_late_misses_no_more_than_its_part(
    slow_reader: str, further: int
) -> None:
    """When all of that is gone it is told how much it was, and ends there."""
    channel = make_channel(Retention(messages=2), slow_reader)
    outlet = join(channel, Payloads(), Outlet(room=1))
    turns(channel, b"a", b"b", b"c")
    assert outlet.subscriber is not None
    outlet.subscriber.finish()
    turns(channel, *[b"more"] * further)
    outlet.drain(room=9)
    assert outlet.heard == [b"a"]
    assert outlet.gaps == [Gap(2, place(channel, 3), heard=1)]
    assert outlet.ended


@pytest.mark.parametrize(("further", "missed"), [(1, 1), (9, 2)])
def test_one_that_is_evicted_as_it_finishes_misses_no_more_than_its_part(
    further: int, missed: int
) -> None:
    """What comes after its end does not count."""
    channel = make_channel(Retention(messages=2))
    outlet = join(channel, Payloads(), Outlet(room=1))
    turns(channel, b"a", b"b", b"c")
    assert outlet.subscriber is not None
    outlet.subscriber.finish()
    play(channel, *[b"more"] * further)
    channel.flush(0.0)
    assert outlet.evicted
    assert outlet.missed == missed


@pytest.mark.parametrize("slow_reader", SLOW_READER)
def test_one_that_needs_nothing_more_is_not_evicted_for_it(slow_reader: str) -> None:
    """It has heard all up to its end, and is told so once it has drained, whatever came since."""
    channel = make_channel(Retention(messages=1), slow_reader)
    outlet = join(channel, Payloads(), Outlet(room=1))
    turns(channel, b"a")
    assert outlet.subscriber is not None
    outlet.subscriber.finish()
    turns(channel, b"b", b"c")
    outlet.drain()
    assert outlet.ended
    assert outlet.heard == [b"a"]
    assert outlet.gaps == []


@pytest.mark.parametrize("lags", [False, True])
def test_finishing_inside_a_write_keeps_the_order(lags: bool) -> None:
    """At the head as well as behind, the rest comes after what is being written."""

    class Hasty(Outlet):
        def write(self, data: list[bytes]) -> None:
            assert self.subscriber is not None
            self.subscriber.finish()
            super().write(data)

    channel, outlet = make_channel(), Hasty()
    join(channel, Payloads(), outlet)
    assert outlet.subscriber is not None
    if lags:
        outlet.subscriber.pause()
    payloads = [b"%d" % n + b"." * PIECE for n in range(3)]
    play(channel, *payloads)
    channel.flush(0.0)
    outlet.subscriber.resume()
    assert outlet.heard == payloads
    assert outlet.ended


@pytest.mark.parametrize("count", [1, 3])
def test_a_piece_is_taken_instead_of_being_written(count: int) -> None:
    """What was taken is not written again, what follows is; what was not delivered to the others
    waits for that, and at the head there is nothing to take. All of it counts as delivered."""
    channel = make_channel()
    join(channel, Payloads(), Outlet())
    play(channel, *[b"%d" % n * PIECE for n in range(3)])
    channel.flush(0.0)
    play(channel, b"later")
    outlet = come_back(channel, 0)
    subscriber = outlet.subscriber
    assert subscriber is not None
    before = channel.counters.deliveries
    for n in range(count):
        entries, offsets = subscriber.take_piece()
        assert [payload[:1] for payload, *_ in entries] == [b"%d" % n]
        assert offsets == range(n + 1, n + 2)
        assert subscriber.offset == n + 1
    assert channel.counters.deliveries == before + count
    if count == 3:
        assert subscriber.take_piece() == ((), range(0))
    subscriber.resume()
    channel.flush(0.0)
    assert [payload[:5] for payload in outlet.heard] == [
        *[b"%d" % n * 5 for n in range(count, 3)],
        b"later",
    ]
