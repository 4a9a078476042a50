"""How a position in a log moves."""

from __future__ import annotations

from orchestra.history import Retention
from orchestra.subscriber import PIECE, Subscriber
from tests.outlets import Outlet, Payloads
from tests.test_channel import join, make_channel, play


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
