"""Who is in a channel, and who hears of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from orchestra.history import Retention
from orchestra.hub import MOVES, Hub
from orchestra.message import Entry
from orchestra.presence import AS_MOVES, Member, Move, Presence
from orchestra.settings import SLOW_READER
from tests.outlets import Outlet, Payloads

IDENTITIES = st.sampled_from([None, "ann", "bob", ""])


def crowd(identities: list[str | None]) -> list[Member]:
    """Clients, one for each identity."""
    return [Member(f"client {n}", identity, float(n)) for n, identity in enumerate(identities)]


def test_a_member_is_described_as_far_as_it_is_known() -> None:
    """An identity that is empty is one, and no identity is left out."""
    assert Member("1f2e", None, 1.235).described() == {"client": "1f2e", "since": 1.235}
    assert Member("1f2e", "", 2.0).described() == {"client": "1f2e", "identity": "", "since": 2.0}
    assert Member("1f2e", None, 3.0, {"name": "Ann"}).described() == {
        "client": "1f2e",
        "since": 3.0,
        "info": {"name": "Ann"},
    }


@given(data=st.data(), identities=st.lists(IDENTITIES, max_size=12))
def test_counts_are_right_in_whatever_order_they_leave(
    data: st.DataObject, identities: list[str | None]
) -> None:
    """Clients each count, an identity once for as long as one of its clients is there."""
    presence = Presence()
    members = crowd(identities)
    there: list[Member] = []

    def check() -> None:
        assert len(presence) == len(there)
        assert list(presence) == there
        assert presence.identities == len({member.identity for member in there} - {None})
        assert json.loads(presence.encoded()) == [member.described() for member in there]

    for member in members:
        presence.add(member)
        there.append(member)
        if data.draw(st.booleans()):
            check()
    for member in data.draw(st.permutations(members)):
        presence.remove(member)
        there.remove(member)
        check()


def test_members_are_gone_through_as_they_were() -> None:
    """Whoever comes or leaves meanwhile does not disturb that."""
    presence = Presence()
    members = crowd(["ann", "bob"])
    for member in members:
        presence.add(member)
    found = []
    for member in presence:
        found.append(member)
        presence.remove(member)
    assert found == members
    assert len(presence) == 0


def test_each_member_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To ask again who is there costs what is new, however many there are."""
    described: list[str] = []
    original = Member.described

    def counting(member: Member) -> dict[str, object]:
        described.append(member.client)
        return original(member)

    monkeypatch.setattr(Member, "described", counting)
    presence = Presence()
    first, second, third = crowd([None, "ann", "bob"])
    presence.add(first)
    presence.add(second)
    assert presence.encoded() == presence.encoded()
    presence.remove(first)
    presence.add(third)
    presence.encoded()
    assert described == ["client 0", "client 1", "client 2"]


@pytest.mark.parametrize("identity", [None, "", "Ännchen \u2028"])
@pytest.mark.parametrize("joined", [True, False])
def test_a_move_comes_through_as_json(identity: str | None, joined: bool) -> None:
    """One key says what happened, and holds the member; it is read back as it was."""
    move = Move(Member("1f2e", identity, 12.5, identity and [identity]), joined)
    (what,) = json.loads(move.encoded()).items()
    assert what == ("join" if joined else "leave", move.member.described())
    assert Move.decoded(move.encoded()) == move


def test_those_who_watch_may_have_the_moves_themselves() -> None:
    """In the order in which they were made."""
    moves = [Move(member, joined) for member in crowd(["ann", None]) for joined in (True, False)]
    entries: list[Entry] = [(move.encoded(), False, None, 0.0) for move in moves]
    assert AS_MOVES.encode(entries, range(1, 5), "epoch") == moves


class Now:
    """The time."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def hub(now: Now) -> Hub:
    hub = Hub(Retention(messages=2, age=60), clock=now, wall_clock=lambda: 1e9 + now())
    hub.bind(lambda flush: None, lambda error, what: None)
    return hub


def watched(hub: Hub) -> Callable[[], list[tuple[str, bool]]]:
    """What tells who came to the channel, or left it, since the last time."""
    moves: list[Move] = []
    hub.watch("a", moves.append)

    def since() -> list[tuple[str, bool]]:
        hub.flush()
        found = [(member.client, joined) for member, joined in moves]
        moves.clear()
        return found

    return since


class Fragile(Outlet):
    """Breaks at a certain message."""

    def write(self, data: list[bytes]) -> None:
        if b"break" in data:
            raise RuntimeError("no bow")
        super().write(data)


def enter(
    hub: Hub, client: str, identity: str | None = None, outlet: Outlet | None = None
) -> Outlet:
    """A client that has come to the channel."""
    outlet = outlet or Outlet()
    member = hub.member(client, identity)
    outlet.subscriber = hub.attach("a", outlet, Payloads(), member=member)
    outlet.subscriber.resume()
    return outlet


def test_times_have_milliseconds() -> None:
    """So that a member is the same, whoever tells of it."""
    hub = Hub(wall_clock=lambda: 1.23456)
    moves: list[Move] = []
    hub.watch("a", moves.append)
    enter(hub, "1")
    hub.flush()
    (member,) = hub.presence("a")
    assert moves == [Move(member, joined=True)]
    assert member.since == 1.235


def test_nothing_is_kept_for_who_watches_no_more(hub: Hub) -> None:
    """Whoever has failed, or was told to finish, is not told of moves, and has none collected."""
    watchers = [hub.watch("a", print) for _ in range(2)]
    for watcher in watchers:
        watcher.finish()
    enter(hub, "1")
    enter(hub, "2")
    hub.flush()
    assert not len(watchers[0].channel)
    assert watchers[0].channel.history.last_offset == 0
    assert watched(hub)() == []


def test_a_member_is_there_since_it_came(hub: Hub, now: Now) -> None:
    """That is a time of the wall clock, whatever the hub's own says."""
    enter(hub, "1", "ann")
    now.now += 5
    enter(hub, "2")
    assert list(hub.presence("a")) == [
        Member("1", "ann", 1e9 + 1000),
        Member("2", None, 1e9 + 1005),
    ]


def test_only_members_are_present(hub: Hub) -> None:
    """Listeners of the application itself do not count, nor do those who watch."""
    hear = watched(hub)
    subscriber = hub.subscribe("a", print)
    assert len(hub.presence("a")) == 0
    hub.unsubscribe(subscriber)
    assert hear() == []


def test_presence_stays_true_as_clients_come_and_go(hub: Hub) -> None:
    """What was asked for once needs not be asked for again."""
    hub.subscribe("a", print)
    presence = hub.presence("a")
    one, two = enter(hub, "1", "ann"), enter(hub, "2", "ann")
    assert (len(presence), presence.identities) == (2, 1)
    for outlet, left in ((one, (1, 1)), (two, (0, 0))):
        assert outlet.subscriber is not None
        hub.unsubscribe(outlet.subscriber)
        assert (len(presence), presence.identities) == left


def test_channels_have_members_of_their_own(hub: Hub) -> None:
    """Who is in one is neither counted nor told of in another."""
    hear = watched(hub)
    hub.attach("b", Outlet(), Payloads(), member=hub.member("1"))
    assert len(hub.presence("a")) == 0
    assert len(hub.presence("b")) == 1
    assert hear() == []


def unsubscribe(hub: Hub, outlet: Outlet) -> None:
    assert outlet.subscriber is not None
    hub.unsubscribe(outlet.subscriber)


def finish(hub: Hub, outlet: Outlet) -> None:
    assert outlet.subscriber is not None
    hub.publish("a", b"the last one")
    outlet.subscriber.finish()
    assert outlet.ended


def evict(hub: Hub, outlet: Outlet) -> None:
    assert outlet.subscriber is not None
    outlet.subscriber.pause()
    for _ in range(3):
        hub.publish("a", b"too much")
    hub.flush()
    assert outlet.evicted


def fail(hub: Hub, outlet: Outlet) -> None:
    hub.publish("a", b"break")
    hub.flush()
    assert outlet.failed


@pytest.mark.parametrize("leave", [unsubscribe, finish, evict, fail])
def test_however_it_leaves_it_leaves_once(hub: Hub, leave: Callable[[Hub, Outlet], None]) -> None:
    """It counts no more from then on; to be unsubscribed after that is not to leave again."""
    hear = watched(hub)
    enter(hub, "other", "ann")
    outlet = enter(hub, "1", "ann", Fragile())
    assert hear() == [("other", True), ("1", True)]
    leave(hub, outlet)
    presence = hub.presence("a")
    assert (len(presence), presence.identities) == (1, 1)
    unsubscribe(hub, outlet)
    assert (len(presence), presence.identities) == (1, 1)
    assert hear() == [("1", False)]
    assert hear() == []


def test_moves_are_heard_in_order_from_when_one_watches(hub: Hub) -> None:
    """Those of the same turn as well, if they came after that, and of one who was there only
    within it; those before are not heard."""
    first = watched(hub)
    early = enter(hub, "early")
    second = watched(hub)
    brief = enter(hub, "brief")
    unsubscribe(hub, brief)
    unsubscribe(hub, early)
    later = [("brief", True), ("brief", False), ("early", False)]
    assert first() == [("early", True), *later]
    assert second() == later


@pytest.mark.parametrize("slow_reader", SLOW_READER)
def test_a_slow_watcher_is_told_how_much_it_missed(slow_reader: str) -> None:
    """Whatever becomes of slow readers in the channel, it hears of the gap and what is kept."""
    hub = Hub(slow_reader=slow_reader)
    heard: list[int | str | None] = []
    watcher = hub.watch("a", lambda move: heard.append(move.member.client), heard.append)
    watcher.pause()
    for n in range(MOVES.messages + 3):
        hub.attach("a", Outlet(), Payloads(), member=hub.member(str(n)))
    hub.flush()
    assert heard == []
    watcher.resume()
    assert heard == [3, *map(str, range(3, MOVES.messages + 3))]


def test_a_watcher_that_raises_is_told_of_the_next_move(hub: Hub) -> None:
    """The others hear of all of them."""
    heard: list[Move] = []

    def broken(move: Move) -> None:
        heard.append(move)
        raise RuntimeError("no ears")

    hub.watch("a", broken)
    hear = watched(hub)
    enter(hub, "1")
    enter(hub, "2")
    assert hear() == [("1", True), ("2", True)]
    assert [move.member.client for move in heard] == ["1", "2"]


def test_whoever_watches_no_more_hears_no_more(hub: Hub) -> None:
    """The others still do."""
    moves: list[Move] = []
    watcher = hub.watch("a", moves.append)
    hear = watched(hub)
    enter(hub, "1")
    hub.unsubscribe(watcher)
    hub.unsubscribe(watcher)
    enter(hub, "2")
    assert hear() == [("1", True), ("2", True)]
    assert moves == []


def test_watching_makes_no_channel(hub: Hub) -> None:
    """One may watch a channel before there is one, and when it is gone."""
    hear = watched(hub)
    assert hub.channels() == {}
    unsubscribe(hub, enter(hub, "1"))
    enter(hub, "2")
    assert hear() == [("1", True), ("1", False), ("2", True)]


def test_one_who_watches_anew_begins_anew(hub: Hub) -> None:
    """After the last one has gone there is no past of moves, not even of the same turn."""
    moves: list[Move] = []
    watcher = hub.watch("a", print)
    enter(hub, "1")
    hub.unsubscribe(watcher)
    other = hub.watch("a", moves.append)
    hub.unsubscribe(watcher)
    enter(hub, "2")
    hub.flush()
    assert [move.member.client for move in moves] == ["2"]
    hub.unsubscribe(other)


def test_an_outlet_may_watch_in_its_own_encoding(hub: Hub) -> None:
    """Moves are messages whose payload is their JSON, and who moved is their publisher."""
    outlet = Outlet()
    hub.attach_watcher("a", outlet, Payloads()).resume()
    enter(hub, "1", "ann")
    hub.flush()
    assert outlet.heard == [b'{"join":{"client":"1","identity":"ann","since":1000001000.0}}']


def test_an_identity_is_a_string() -> None:
    """Another one could not be told, and nobody would be told of anybody."""
    with pytest.raises(TypeError, match="identity must be a string, not int"):
        Hub().member("1", 7)  # type: ignore[arg-type]
