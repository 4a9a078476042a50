"""Names, and fan-out from a log to its subscribers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestra.channel import Channel, check_name
from orchestra.history import History, Retention
from orchestra.interfaces import IEncoding
from orchestra.message import Entry
from orchestra.presence import Member
from orchestra.settings import CLOSE, LATEST, SKIP, SLOW_READER
from orchestra.subscriber import PIECE, STEP, Subscriber
from tests.outlets import Outlet, Payloads


def make_channel(retention: Retention = Retention(), slow_reader: str = CLOSE) -> Channel:
    def fail(error: Exception, what: str) -> None:
        raise error

    return Channel("strings", History(retention), fail, slow_reader)


def join(
    channel: Channel,
    encoding: IEncoding,
    outlet: Outlet | None = None,
    skip: str | None = None,
) -> Outlet:
    outlet = outlet or Outlet()
    outlet.subscriber = Subscriber(channel, outlet, encoding, channel.history.last_offset, skip)
    channel.add(outlet.subscriber)
    outlet.subscriber.resume()
    return outlet


def play(channel: Channel, *payloads: bytes, publisher: str | None = None) -> None:
    for payload in payloads:
        channel.extend([(payload, False)], publisher, 0.0)


@pytest.mark.parametrize("name", ["a", "a/b", "..", "Bläser", "弦" * 85, "x" * 255, " "])
def test_a_good_name_is_returned_as_it_is(name: str) -> None:
    """1 to 255 bytes of UTF-8 without control characters name a channel."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "1 to 255 bytes of UTF-8, not 0"),
        ("x" * 256, "not 256"),
        ("弦" * 86, "not 258"),
        ("a\0b", "control characters"),
        ("a\n", "control characters"),
        ("\x7f", "control characters"),
        ("\x85", "control characters"),
        ("\ud800", "valid Unicode"),
    ],
)
def test_a_bad_name_is_refused(name: str, problem: str) -> None:
    """The error says what is wrong with the name."""
    with pytest.raises(ValueError, match=problem):
        check_name(name)


def test_everyone_hears_everything_in_one_order() -> None:
    """What was appended reaches each subscriber when the channel is flushed, and only then."""
    channel, encoding = make_channel(), Payloads()
    one, two = join(channel, encoding), join(channel, encoding)
    play(channel, b"a", b"b")
    assert one.heard == []
    channel.flush(0.0)
    play(channel, b"c")
    channel.flush(0.0)
    channel.flush(0.0)
    assert one.heard == two.heard == [b"a", b"b", b"c"]


def test_a_turn_is_encoded_once_and_shared() -> None:
    """All subscribers with an encoding are handed the same object, one write for a turn."""
    channel, encoding, other = make_channel(), Payloads(), Payloads()
    outlets = [join(channel, encoding) for _ in range(3)]
    join(channel, other)
    play(channel, b"a", b"b")
    channel.flush(0.0)
    assert encoding.calls == other.calls == 1
    assert [len(outlet.writes) for outlet in outlets] == [1, 1, 1]
    assert outlets[0].writes[0] is outlets[1].writes[0] is outlets[2].writes[0]


def test_one_that_skips_a_publisher_shares_what_it_can() -> None:
    """Own messages are left out; a turn without them is shared with everybody else."""
    channel, encoding = make_channel(), Payloads()
    all_of_it, rest = join(channel, encoding), join(channel, encoding, skip="me")
    play(channel, b"mine", publisher="me")
    play(channel, b"yours", publisher="you")
    channel.flush(0.0)
    play(channel, b"mine too", publisher="me")
    channel.flush(0.0)
    calls = encoding.calls
    play(channel, b"from nobody")
    channel.flush(0.0)
    assert encoding.calls == calls + 1
    assert rest.writes[-1] is all_of_it.writes[-1]
    assert all_of_it.heard == [b"mine", b"yours", b"mine too", b"from nobody"]
    assert rest.heard == [b"yours", b"from nobody"]


def test_one_that_joins_during_a_turn_hears_what_comes_after() -> None:
    """What was appended before it joined is not for it, though it was not delivered yet."""
    channel, encoding = make_channel(), Payloads()
    play(channel, b"before")
    outlet = join(channel, encoding)
    play(channel, b"after")
    channel.flush(0.0)
    play(channel, b"later")
    channel.flush(0.0)
    assert outlet.heard == [b"after", b"later"]


def test_one_that_joins_and_leaves_during_a_turn_hears_nothing() -> None:
    """Waiting for the turn's end does not keep it in the channel."""
    channel, encoding = make_channel(), Payloads()
    play(channel, b"before")
    outlet = join(channel, encoding)
    play(channel, b"after")
    assert outlet.subscriber is not None
    channel.remove(outlet.subscriber)
    channel.flush(0.0)
    assert outlet.heard == []


def test_the_log_is_trimmed_after_delivery() -> None:
    """A retention smaller than a turn loses nobody a message."""
    channel, encoding = make_channel(Retention(messages=1)), Payloads()
    outlet = join(channel, encoding)
    play(channel, b"a", b"b", b"c")
    channel.trim(0.0)
    channel.flush(0.0)
    assert outlet.heard == [b"a", b"b", b"c"]
    assert [payload for payload, *_ in channel.history.since(2)] == [b"c"]


def test_a_write_may_remove_and_pause_others() -> None:
    """A subscriber that leaves or pauses while a turn is delivered gets nothing more of it."""
    channel, encoding = make_channel(), Payloads()
    second, third = Outlet(), Outlet()

    class Conductor(Outlet):
        def write(self, data: list[bytes]) -> None:
            super().write(data)
            assert second.subscriber is not None
            assert third.subscriber is not None
            if data == [b"a"]:
                channel.remove(second.subscriber)
                third.subscriber.pause()

    first = Conductor()
    for outlet in (first, second, third):
        join(channel, encoding, outlet)
    play(channel, b"a")
    channel.flush(0.0)
    assert (first.heard, second.heard, third.heard) == ([b"a"], [], [])
    assert third.subscriber is not None
    third.subscriber.resume()
    play(channel, b"b")
    channel.flush(0.0)
    assert (first.heard, second.heard, third.heard) == ([b"a", b"b"], [], [b"a", b"b"])


def test_nobody_gets_a_turn_twice() -> None:
    """One that pauses and resumes while a turn is delivered reads it by itself, and only so."""
    channel, encoding = make_channel(), Payloads()
    second = Outlet()

    class Conductor(Outlet):
        def write(self, data: list[bytes]) -> None:
            super().write(data)
            assert second.subscriber is not None
            second.subscriber.pause()
            second.subscriber.resume()

    first = join(channel, encoding, Conductor())
    join(channel, encoding, second)
    for payload in (b"a", b"b"):
        play(channel, payload)
        channel.flush(0.0)
    assert first.heard == second.heard == [b"a", b"b"]


def test_a_trim_from_within_a_delivery_waits_for_its_end() -> None:
    """Whoever was not written to yet may still need what a trim would forget."""
    channel, encoding = make_channel(Retention(messages=1)), Payloads()
    second = Outlet()

    class Conductor(Outlet):
        def write(self, data: list[bytes]) -> None:
            super().write(data)
            channel.trim(0.0)
            assert second.subscriber is not None
            second.subscriber.pause()
            assert channel.history.lost_offset <= second.subscriber.offset

    join(channel, encoding, Conductor())
    join(channel, encoding, second)
    play(channel, b"a", b"b")
    channel.flush(0.0)
    assert second.evicted
    assert len(channel.history) == 1


@pytest.mark.parametrize("slow_reader", SLOW_READER)
def test_a_trim_spares_those_who_waited_for_the_delivery(slow_reader: str) -> None:
    """They read when it is over, one after the other: none of them is slow."""
    channel, encoding = make_channel(Retention(messages=1), slow_reader), Payloads()

    class Conductor(Outlet):
        def write(self, data: list[bytes]) -> None:
            super().write(data)
            channel.trim(0.0)

    play(channel, b"before")
    first, second = join(channel, encoding, Conductor()), join(channel, encoding)
    play(channel, b"a", b"b")
    channel.flush(0.0)
    assert first.heard == second.heard == [b"a", b"b"]
    assert not second.evicted
    assert not second.gaps
    assert len(channel.history) == 1


@pytest.mark.parametrize(("brought", "missed"), [(3, 1), (5, 3)])
def test_whoever_is_evicted_learns_how_much_it_missed(brought: int, missed: int) -> None:
    """That is what is gone after what it had, when it is evicted."""
    channel, encoding = make_channel(Retention(messages=2)), Payloads()
    outlet, early = join(channel, encoding, Outlet(room=1)), join(channel, encoding)
    play(channel, b"a")
    channel.flush(0.0)
    play(channel, *[b"b"] * brought)
    channel.flush(0.0)
    assert outlet.evicted
    assert outlet.missed == missed
    assert not early.evicted


def test_what_it_was_to_be_told_of_counts_at_its_eviction() -> None:
    """One that came back too late, and is evicted before it has read, missed all of that."""
    channel, outlet = make_channel(Retention(messages=2)), Outlet()
    play(channel, *[b"a"] * 5)
    channel.flush(0.0)
    subscriber = Subscriber(channel, outlet, Payloads(), 0)
    channel.add(subscriber)
    subscriber.begin(3, missed=2)
    play(channel, b"b", b"b")
    channel.flush(0.0)
    assert outlet.evicted
    assert outlet.missed == 4


@pytest.mark.parametrize("slow_reader", [SKIP, LATEST])
def test_readers_that_may_fall_off_are_not_evicted(slow_reader: str) -> None:
    """The log is bounded as ever, and they stay subscribers."""
    channel, encoding = make_channel(Retention(messages=1), slow_reader), Payloads()
    outlet = join(channel, encoding, Outlet(room=1))
    for payload in (b"a", b"b", b"c"):
        play(channel, payload)
        channel.flush(0.0)
    assert not outlet.evicted
    assert len(channel) == len(channel.history) == 1


def test_a_key_is_remembered_as_long_as_its_message() -> None:
    """It tells the offset of the message; several may go at once, and what came later stays."""
    channel = make_channel(Retention(messages=2))
    assert channel.remembered("a") is None
    for key in ("a", "b", "c", "d"):
        play(channel, key.encode())
        channel.remember(key)
    assert [channel.remembered(key) for key in ("a", "b", "c", "d")] == [1, 2, 3, 4]
    channel.flush(0.0)
    assert [channel.remembered(key) for key in ("a", "b", "c", "d")] == [None, None, 3, 4]
    play(channel, b"without a key")
    channel.flush(0.0)
    assert [channel.remembered(key) for key in ("c", "d", "e")] == [None, 4, None]


def test_a_key_can_be_used_again() -> None:
    """It is remembered for the message that it was used for last, and not forgotten with the
    first."""
    channel = make_channel(Retention(messages=2))
    for key in ("a", "b", "c"):
        play(channel, b"first")
        channel.remember(key)
    channel.flush(0.0)
    play(channel, b"second")
    channel.remember("a")
    channel.flush(0.0)
    assert [channel.remembered(key) for key in ("a", "b", "c")] == [4, None, 3]
    play(channel, b"other")
    channel.flush(0.0)
    assert [channel.remembered(key) for key in ("a", "c")] == [4, None]


def test_it_tells_who_comes_and_leaves() -> None:
    """With its own name, once for each; subscribers that are no members go without saying."""
    moves: list[tuple[str, Member, bool]] = []
    member = Member("1f2e", "ann", 0.0)
    channel = Channel("strings", History(), print, moved=lambda *move: moves.append(move))
    subscribers = [Subscriber(channel, Outlet(), Payloads(), 0, None, m) for m in (member, None)]
    for subscriber in subscribers:
        channel.add(subscriber)
    assert moves == [("strings", member, True)]
    assert list(channel.presence) == [member]
    for subscriber in subscribers * 2:
        channel.remove(subscriber)
    assert moves[1:] == [("strings", member, False)]
    assert len(channel.presence) == 0


def test_nobody_has_to_be_told_who_comes_and_leaves() -> None:
    """A channel of its own counts its members all the same."""
    channel = make_channel()
    subscriber = Subscriber(channel, Outlet(), Payloads(), 0, member=Member("1f2e", None, 0.0))
    channel.add(subscriber)
    assert len(channel.presence) == 1
    channel.remove(subscriber)
    assert len(channel.presence) == 0


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def reporting(reports: list[str]) -> Channel:
    """A channel that keeps its reports."""
    return Channel("a", History(), lambda error, what: reports.append(f"{what}: {error}"))


class BrokenEncoding(Payloads):
    """Works until it is told not to."""

    broken = True

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> list[bytes]:
        if self.broken:
            raise RuntimeError("no score")
        return super().encode(entries, offsets, epoch)


@pytest.mark.parametrize("skip", [None, "someone"])
def test_an_encoding_that_raises_takes_only_its_own_along(
    reporting: Channel, reports: list[str], skip: str | None
) -> None:
    """Its subscribers are let go of and told, once; those of others miss nothing, in any order."""
    encoding, broken = Payloads(), BrokenEncoding()
    before = join(reporting, encoding, Outlet())
    victims = [join(reporting, broken, Outlet(), skip=skip) for _ in range(2)]
    behind = join(reporting, Payloads(), Outlet())
    for payload in (b"a", b"b"):
        play(reporting, payload, publisher="someone")
        play(reporting, payload, publisher="another")
        reporting.flush(0.0)
    assert before.heard == behind.heard == [b"a", b"a", b"b", b"b"]
    assert [outlet.failed for outlet in (before, *victims, behind)] == [False, True, True, False]
    assert reports == ["an encoding in the channel 'a' failed: no score"]
    assert len(reporting) == 2


def test_whoever_leaves_while_others_are_told_is_not_told(
    reporting: Channel, reports: list[str]
) -> None:
    """An outlet that learns of the failure may take another along."""
    second = Outlet()

    class Loyal(Outlet):
        def fail(self) -> None:
            super().fail()
            assert second.subscriber is not None
            reporting.remove(second.subscriber)

    broken = BrokenEncoding()
    first = join(reporting, broken, Loyal())
    join(reporting, broken, second)
    play(reporting, b"a")
    reporting.flush(0.0)
    assert first.failed
    assert not second.failed
    assert len(reporting) == 0


def test_an_encoding_that_raises_for_one_who_catches_up(
    reporting: Channel, reports: list[str]
) -> None:
    """Those who catch up in the same turn still do, and whoever resumed it notices nothing."""
    encoding, broken = Payloads(), BrokenEncoding()
    broken.broken = False
    victim, other = (
        join(reporting, broken, Outlet(room=1)),
        join(reporting, encoding, Outlet(room=1)),
    )
    for payload in (b"a", b"b"):
        play(reporting, payload)
        reporting.flush(0.0)
    broken.broken = True
    victim.drain()
    assert victim.failed
    assert victim.heard == [b"a"]
    other.drain()
    assert other.heard == [b"a", b"b"]
    assert reports == ["a reader in the channel 'a' failed: no score"]


def test_an_outlet_that_raises_when_told_keeps_nobody_from_being_told(
    reporting: Channel, reports: list[str]
) -> None:
    """Of two that are evicted or let go of, the second learns it whatever the first does."""

    class Deaf(Outlet):
        def evict(self, missed: int) -> None:
            raise RuntimeError("no ears")

        def fail(self) -> None:
            raise RuntimeError("no ears")

    encoding, broken = Payloads(), BrokenEncoding()
    lagging = [join(reporting, encoding, outlet) for outlet in (Deaf(room=1), Outlet(room=1))]
    victims = [join(reporting, broken, outlet) for outlet in (Deaf(), Outlet())]
    play(reporting, b"a")
    reporting.flush(0.0)
    play(reporting, b"b")
    reporting.flush(10_000.0)
    assert victims[1].failed
    assert lagging[1].evicted
    assert reports == [
        "an encoding in the channel 'a' failed: no score",
        "an outlet in the channel 'a' failed: no ears",
        "an outlet in the channel 'a' failed: no ears",
    ]
    assert len(reporting) == 0


def test_an_outlet_that_raises_is_let_go_of(reporting: Channel, reports: list[str]) -> None:
    """What it raised is reported; everybody else gets the turn, and the next one."""
    channel, encoding = reporting, Payloads()

    class Broken(Outlet):
        def write(self, data: list[bytes]) -> None:
            raise RuntimeError("no bow")

    outlets = [join(channel, encoding, outlet) for outlet in (Outlet(), Broken(), Outlet())]
    for payload in (b"a", b"b"):
        play(channel, payload)
        channel.flush(0.0)
    assert [outlet.heard for outlet in outlets] == [[b"a", b"b"], [], [b"a", b"b"]]
    assert reports == ["an outlet in the channel 'a' failed: no bow"]
    assert len(channel) == 2


def test_an_eviction_may_make_others_leave() -> None:
    """Who is gone by then is not evicted as well."""
    channel, encoding = make_channel(Retention(messages=0)), Payloads()
    second = Outlet()

    class Loyal(Outlet):
        def evict(self, missed: int) -> None:
            super().evict(missed)
            assert second.subscriber is not None
            channel.remove(second.subscriber)

    first = join(channel, encoding, Loyal())
    join(channel, encoding, second)
    for outlet in (first, second):
        assert outlet.subscriber is not None
        outlet.subscriber.pause()
    play(channel, b"a")
    channel.flush(0.0)
    assert first.evicted
    assert not second.evicted


def test_its_length_is_its_number_of_subscribers() -> None:
    """At the head or behind, each counts once; without them and without a past it is vacant."""
    channel, encoding = make_channel(), Payloads()
    assert channel.is_vacant
    one, two = join(channel, encoding), join(channel, encoding)
    assert one.subscriber is not None
    assert two.subscriber is not None
    one.subscriber.pause()
    assert len(channel) == 2
    channel.remove(one.subscriber)
    channel.remove(one.subscriber)
    assert len(channel) == 1
    assert not channel.is_vacant
    channel.remove(two.subscriber)
    assert channel.is_vacant
    play(channel, b"a")
    assert not channel.is_vacant


def test_a_turn_that_brought_much_is_delivered_in_pieces() -> None:
    """Whose outlet is full after a piece keeps its place there, and the others get it all."""
    channel, encoding = make_channel(), Payloads()
    fast, slow = join(channel, encoding), join(channel, encoding, Outlet(room=1))
    play(channel, *[b"%d" % n + b"." * PIECE for n in range(3)])
    channel.flush(0.0)
    assert [len(write) for write in fast.writes] == [1, 1, 1]
    assert len(slow.heard) == 1
    assert encoding.calls == 3
    slow.drain(room=9)
    assert slow.heard == fast.heard
    play(channel, b"a", b"b")
    channel.flush(0.0)
    assert fast.writes[-1] is slow.writes[-1]


def test_those_who_lag_share_what_they_catch_up_with() -> None:
    """However many they are and wherever they began, they soon read the same pieces."""
    channel, encoding = make_channel(), Payloads()
    laggards = []
    for n in range(10):
        laggards.append(join(channel, encoding, Outlet(room=1)))
        play(channel, b"one more", b"%d" % n)
        channel.flush(0.0)
    play(channel, *[b"%d" % n for n in range(STEP)])
    channel.flush(0.0)
    before = encoding.calls
    for outlet in laggards:
        outlet.drain(room=99)
    assert encoding.calls - before <= len(laggards) + 1
    assert [outlet.heard[-1] for outlet in laggards] == [b"%d" % (STEP - 1)] * 10
    assert laggards[0].writes[-1] is laggards[9].writes[-1]
    play(channel, b"together")
    channel.flush(0.0)
    assert [outlet.writes[-1] for outlet in laggards] == [[b"together"]] * 10
