"""Messages that a policy decides on: their order, who waits, and what a refusal ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure

from orchestra.connection.close_codes import INTERNAL_ERROR, Close, refused
from orchestra.connection.undecided import Undecided
from orchestra.message import Content
from orchestra.refusal import RefusedError


class Client:
    """A client's connection, as far as it is asked to do something."""

    def __init__(self) -> None:
        self.holds = 0
        self.is_gone = False
        self.has_expired = False
        self.closes: list[Close] = []
        self.reports: list[tuple[Failure, str]] = []
        self.factory = self

    @property
    def is_allowed(self) -> bool:
        return not (self.is_gone or self.has_expired)

    def pause_reading(self) -> None:
        self.holds += 1

    def resume_reading(self) -> None:
        self.holds -= 1

    def close(self, close: Close) -> None:
        self.closes.append(close)

    def report(self, failure: Failure, what: str) -> None:
        self.reports.append((failure, what))


class Stand:
    """A client, the answers that are waited for, and what was played."""

    def __init__(self) -> None:
        self.client: Any = Client()
        self.asked: list[bytes] = []
        self.waiting: list[Deferred[None]] = []
        self.played: list[bytes] = []
        self.cancelled = 0
        self.undecided = Undecided(self.client, self.decide, self.play)

    def decide(self, content: Content) -> Deferred[None] | None:
        """Whatever the message says."""
        payload, _ = content
        self.asked.append(payload)
        match payload.partition(b" ")[0]:
            case b"good":
                return None
            case b"soon":
                return succeed(None)
            case b"bad":
                raise RefusedError(403, "bad")
            case b"worse":
                return fail(RefusedError(403, "worse"))
            case b"fault":
                raise KeyError("fault")
        self.waiting.append(Deferred(self.cancel))
        return self.waiting[-1]

    def cancel(self, _: Deferred[None]) -> None:
        self.cancelled += 1

    def play(self, contents: Any) -> None:
        self.played += [payload for payload, _ in contents]

    def add(self, *payloads: bytes) -> None:
        self.undecided.add([(payload, False) for payload in payloads])


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_what_is_decided_at_once_is_played_at_once(stand: Stand) -> None:
    """In its order, and the client does not wait."""
    stand.add(b"good 1", b"soon 2")
    stand.add(b"good 3")
    assert stand.played == stand.asked == [b"good 1", b"soon 2", b"good 3"]
    assert stand.client.holds == 0


def test_one_is_decided_after_the_other(stand: Stand) -> None:
    """What came later is not asked for before, and the client waits meanwhile."""
    stand.add(b"good 1", b"late 2", b"late 3")
    stand.add(b"good 4")
    assert stand.played == [b"good 1"]
    assert stand.asked == [b"good 1", b"late 2"]
    assert stand.client.holds == 1
    stand.waiting[0].callback(None)
    assert stand.played == [b"good 1", b"late 2"]
    assert stand.asked[-1] == b"late 3"
    assert stand.client.holds == 1
    stand.waiting[1].callback(None)
    assert stand.played == [b"good 1", b"late 2", b"late 3", b"good 4"]
    assert stand.client.holds == 0
    stand.add(b"late 5")
    assert stand.client.holds == 1
    stand.waiting[2].callback(None)
    assert stand.played[-1] == b"late 5"
    assert stand.client.holds == 0
    assert not stand.client.closes


@pytest.mark.parametrize("how", [b"bad", b"worse", b"late"])
@pytest.mark.parametrize(("status", "code"), [(403, 1008), (401, 1008), (503, 1013)])
def test_a_refusal_ends_it(stand: Stand, how: bytes, status: int, code: int) -> None:
    """What came before is played and the rest is not; the reason is the client's."""
    stand.add(b"good 1", b"late 2", how, b"good 4")
    stand.waiting[0].callback(None)
    reason = how.decode()
    if how == b"late":
        stand.waiting[1].errback(RefusedError(status, "late"))
    else:
        status, code = 403, 1008
    assert stand.client.closes == [Close(code, reason)]
    assert stand.played == [b"good 1", b"late 2"]
    assert not stand.undecided._waiting
    assert stand.client.holds == 0
    assert stand.client.reports == []


@pytest.mark.parametrize("how", [b"fault", b"late"])
def test_a_fault_is_nobodys_business(stand: Stand, how: bytes) -> None:
    """It is reported, and the client is told that there was one."""
    stand.add(b"good 1", how, b"good 3")
    if how == b"late":
        stand.waiting[0].errback(KeyError("fault"))
    assert stand.client.closes == [INTERNAL_ERROR]
    ((failure, what),) = stand.client.reports
    assert failure.check(KeyError)
    assert what == "a message could not be decided on"
    assert stand.played == [b"good 1"]
    assert stand.client.holds == 0


def test_a_policy_that_gives_up_by_itself(stand: Stand) -> None:
    """That is a fault like any other, as long as the client is there."""
    stand.add(b"late")
    stand.waiting[0].errback(CancelledError())
    assert stand.client.closes == [INTERNAL_ERROR]
    assert len(stand.client.reports) == 1


def test_nothing_is_kept_of_a_client_that_is_gone(stand: Stand) -> None:
    """Whoever decides need not go on, and nothing is played, told or reported."""
    stand.add(b"late 1", b"good 2")
    stand.client.is_gone = True
    stand.undecided.stop()
    assert stand.cancelled == 1
    assert stand.asked == [b"late 1"]
    assert stand.played == stand.client.closes == stand.client.reports == []
    assert stand.client.holds == 0
    assert not stand.undecided._waiting
    stand.undecided.stop()
    assert stand.cancelled == 1


def test_a_policy_that_allows_it_all_the_same(stand: Stand) -> None:
    """Nobody is there to have it played for."""
    stand.undecided = Undecided(
        stand.client, lambda _: Deferred(lambda it: it.callback(None)), stand.play
    )
    stand.add(b"1", b"2")
    stand.client.is_gone = True
    stand.undecided.stop()
    assert stand.played == stand.client.closes == stand.client.reports == []
    assert stand.client.holds == 0


def test_what_cannot_be_played_is_a_fault(stand: Stand) -> None:
    """The client learns that there was one, and the rest is not played."""

    def play(contents: Any) -> None:
        raise KeyError("fault")

    stand.undecided = Undecided(stand.client, stand.decide, play)
    stand.add(b"good 1", b"good 2")
    assert stand.client.closes == [INTERNAL_ERROR]
    assert stand.asked == [b"good 1"]


@given(
    st.lists(st.lists(st.sampled_from([b"good", b"soon", b"late", b"bad", b"fault"]))), st.data()
)
def test_the_order_is_that_in_which_they_came(
    bursts: list[list[bytes]], data: st.DataObject
) -> None:
    """Whatever is decided when: what was played is the beginning of what came."""
    stand = Stand()
    sent: list[bytes] = []
    for burst in bursts:
        if stand.client.closes:
            break
        payloads = [b"%b %d" % (how, len(sent) + n) for n, how in enumerate(burst)]
        sent += payloads
        stand.add(*payloads)
        if data.draw(st.booleans()):
            decide_all(stand)
        assert stand.client.holds == len(undecided(stand))
    decide_all(stand)
    assert stand.client.holds == 0
    good = [payload for payload in sent if not payload.startswith((b"bad", b"fault"))]
    first_bad = next((n for n, payload in enumerate(sent) if payload not in good), len(sent))
    assert stand.played == sent[:first_bad]
    assert len(stand.client.closes) == (first_bad < len(sent))


def undecided(stand: Stand) -> list[Deferred[None]]:
    return [waiting for waiting in stand.waiting if not waiting.called]


def decide_all(stand: Stand) -> None:
    while waiting := undecided(stand):
        waiting[0].callback(None)


@given(st.text(st.characters()), st.sampled_from([401, 403, 429, 500, 503]))
@example("ä" * 100, 403)
@example("x" * 124, 403)
def test_a_reason_fits_into_a_close_frame(reason: str, status: int) -> None:
    """It is cut where a character ends (RFC 6455 section 5.5)."""
    error = RefusedError(status, reason)
    close = refused(error.status, str(error))
    assert close.code == (1013 if status == 503 else 1008)
    assert len(close.reason.encode()) <= 123
    assert str(error).startswith(close.reason)
    if len(str(error).encode()) <= 123:
        assert close.reason == str(error)
    else:
        assert len(close.reason.encode()) > 119


def test_nothing_is_played_for_whoever_may_no_more(stand: Stand) -> None:
    """What let the client in expires while a message is decided on: neither that one nor those
    behind it are played, and nobody is asked about them."""
    stand.add(b"late 1", b"good 2")
    stand.client.has_expired = True
    stand.waiting[0].callback(None)
    assert stand.asked == [b"late 1"]
    assert stand.played == stand.client.closes == stand.client.reports == []
    assert stand.client.holds == 0
    assert not stand.undecided._waiting
