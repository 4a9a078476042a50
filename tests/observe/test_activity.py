"""Arrivals, notes and departures in the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import eventAsText
from twisted.python.failure import Failure

from orchestra.observe.activity import (
    MAX_NOTE,
    MOVES_PER_SECOND,
    ActivityLog,
    ConnectionKind,
    printable,
    withheld,
)
from orchestra.observe.log_format import format_as_json
from tests.events import captured, lines, named


def test_the_lines_are_to_the_letter(clock: Clock) -> None:
    """An arrival, a note and a departure read as they always did."""
    activity = ActivityLog(clock)
    with captured() as events:
        activity.joined("a peer", "strings", 1)
        activity.notes("a peer", "strings", 1, [(b"hello {world}", False)])
        activity.left("a peer", "strings", 0, 1000, "")
    assert lines(events) == [
        "A new musician has joined the orchestra!",
        "Received a note: hello {world}",
        "A musician has left the orchestra.",
    ]
    assert {event["log_namespace"] for event in events} == {"orchestra"}


def test_the_fields_are_for_machines(clock: Clock) -> None:
    """Peer, channel and count come with each event, and what else is known."""
    activity = ActivityLog(clock)
    with captured() as events:
        activity.joined("a peer", "strings", 1)
        activity.notes("a peer", "strings", 1, [(b"hello", False)])
        activity.left("a peer", "strings", 0, None, "gone\n")
    everyone = {"peer": "a peer", "channel": "strings"}
    assert named(events, "joined") == [{"event": "joined", "count": 1, **everyone}]
    assert named(events, "note") == [
        {"event": "note", "count": 1, "note": "hello", "size": 5, **everyone}
    ]
    assert named(events, "left") == [
        {"event": "left", "count": 0, "code": None, "reason": "gone\\n", **everyone}
    ]


@pytest.mark.parametrize(
    ("payload", "is_binary", "note"),
    [
        (b"", False, ""),
        (b"\xff\xfe", True, "<2 bytes, binary>"),
        (b"two\nlines\r\n", False, "two\\nlines\\r\\n"),
        (b"\x1b[31mred\x07\x00", False, "\\x1b[31mred\\x07\\x00"),
        ("\u202eturned".encode(), False, "\\u202eturned"),
        ("Flöte 🎵".encode(), False, "Flöte 🎵"),
        (b"x" * 200, False, "x" * 200),
        (b"x" * 201, False, "x" * 200 + "…"),
        ("🎵".encode() * 300, False, "🎵" * 200 + "…"),
        (b"x" + "🎵".encode() * 300, False, "x" + "🎵" * 199 + "…"),
    ],
)
def test_notes_are_escaped_and_cut(
    clock: Clock, payload: bytes, is_binary: bool, note: str
) -> None:
    """No control character reaches the log, nor more of a note than is worth reading."""
    with captured() as events:
        ActivityLog(clock).notes("a peer", "main", 1, [(payload, is_binary)])
    assert lines(events) == [f"Received a note: {note}"]


@pytest.mark.parametrize("is_binary", [False, True])
def test_a_note_may_be_left_out(clock: Clock, is_binary: bool) -> None:
    """Then the log has that it came, and how large it was, and nothing that was in it."""
    activity = ActivityLog(clock, log_notes=False)
    with captured() as events:
        activity.notes("a peer", "strings", 3, [(b"secret", is_binary)])
        activity.notes("a peer", "strings", 3, [(b"secret", is_binary)] * 12)
        activity.flush()
    assert lines(events) == ["Received a note."] * 10 + ["Received 3 more notes."]
    assert named(events, "note")[0] == {
        "event": "note",
        "size": 6,
        "peer": "a peer",
        "channel": "strings",
        "count": 3,
    }
    assert "secret" not in str(events)


def test_a_failure_without_its_text() -> None:
    """It has its type, and where it was raised, but not what that may have made of a note."""
    try:
        try:
            int("secret")
        except ValueError as error:
            raise KeyError("secret") from error
    except KeyError:
        found = withheld(Failure())
    text = found.getTraceback(detail="verbose")
    assert "WithheldError: builtins.KeyError" in text
    assert "test_a_failure_without_its_text" in text
    assert "secret" not in text.replace('raise KeyError("secret")', "")


def test_no_traceback_has_the_values_of_variables() -> None:
    """A note that an application's code was looking at does not get into the log by that."""

    def look_at(note: str) -> None:
        raise ValueError("it is wrong")

    try:
        look_at("a" + "secret")
    except ValueError:
        failure = Failure()
    event = {"log_failure": failure, "log_time": 0.0, "log_format": "oh"}
    for text in (format_as_json(event), eventAsText(event)):
        assert "look_at" in text
        assert "asecret" not in text


@given(st.text())
def test_printable_text_is_safe(text: str) -> None:
    """Whatever comes in, what comes out is printable and bounded, and unchanged if it was so."""
    safe = printable(text)
    assert safe.isprintable()
    assert len(safe) <= MAX_NOTE + 1
    if text.isprintable() and len(text) <= MAX_NOTE:
        assert safe == text


def test_a_flood_is_logged_as_a_number(clock: Clock) -> None:
    """Ten notes a second are logged one by one, the rest of the second as one line."""
    activity = ActivityLog(clock)
    with captured() as events:
        for number in range(25):
            activity.notes("a peer", "main", 1, [(b"%d" % number, False)])
        clock.advance(0.5)
        activity.notes("a peer", "main", 1, [(b"still the same second", False)])
        assert len(events) == 10
        clock.advance(0.5)
        assert lines(events)[-1] == "Received 16 more notes."
        activity.notes("a peer", "main", 1, [(b"a new second", False)])
        clock.advance(5)
    assert lines(events)[:10] == [f"Received a note: {number}" for number in range(10)]
    assert lines(events)[10:] == ["Received 16 more notes.", "Received a note: a new second"]
    assert named(events, "notes") == [{"event": "notes", "notes": 16}]
    assert clock.getDelayedCalls() == []


def test_floods_in_two_seconds_are_two_numbers(clock: Clock) -> None:
    """Each second has its own count, also when the next one's first note ends the wait."""
    activity = ActivityLog(clock)
    with captured() as events:
        for _ in range(2):
            for _ in range(12):
                activity.notes("a peer", "main", 1, [(b"", False)])
            clock.advance(1)
    assert [event["notes"] for event in named(events, "notes")] == [2, 2]


def test_refusals_and_evictions_are_logged(clock: Clock) -> None:
    """With what a reader of the log needs to know, and nothing unescaped."""
    activity = ActivityLog(clock)
    with captured() as events:
        activity.refused("a peer", 400, "bad \x1b thing")
        activity.evicted("a peer", "a\u2028b", 3)
    assert lines(events) == [
        "Refused a connection from a peer: 400 bad \\x1b thing",
        "A musician in a\\u2028b was too slow and is asked to leave.",
    ]
    assert [event["log_level"].name for event in events] == ["info", "warn"]


def test_what_is_missed_is_logged_and_counted(clock: Clock) -> None:
    """By those who go on and by those who are closed, as far as it is known."""
    activity = ActivityLog(clock)
    with captured() as events:
        activity.missed("a peer", "a\u2028b", 5)
        activity.missed("a peer", "strings", None)
        activity.evicted("a peer", "strings", 2)
        activity.missed("a peer", "strings", 1)
    assert lines(events) == [
        "A musician in a\\u2028b has missed notes: 5.",
        "A musician in strings has missed notes: some.",
        "A musician in strings was too slow and is asked to leave.",
        "A musician in strings has missed notes: 1.",
    ]
    assert {event["log_level"].name for event in events} == {"warn"}
    fields = [(event["missed"], event["missed_messages"]) for event in named(events, "missed")]
    assert fields == [(5, 5), (None, 5), (1, 8)]
    assert [event["how_many"] for event in named(events, "missed")] == [5, "some", 1]
    assert named(events, "evicted") == [
        {
            "event": "evicted",
            "peer": "a peer",
            "channel": "strings",
            "missed": 2,
            "evictions": 1,
            "missed_messages": 7,
        }
    ]
    assert (activity.evictions, activity.missed_messages) == (1, 8)


def test_a_storm_of_arrivals_is_summarized(clock: Clock) -> None:
    """A hundred a second are logged one by one; departures and refusals are counted apart."""
    activity = ActivityLog(clock)
    with captured() as events:
        for count in range(MOVES_PER_SECOND + 30):
            activity.joined("a peer", "main", count)
        for count in range(MOVES_PER_SECOND + 20):
            activity.left("a peer", "main", count, 1000, "")
        for _ in range(MOVES_PER_SECOND + 10):
            activity.refused("a peer", 503, "the server is full")
        clock.advance(1)
        activity.joined("a peer", "main", 1)
    assert len(named(events, "joined")) == MOVES_PER_SECOND + 1
    assert len(named(events, "left")) == MOVES_PER_SECOND
    assert len(named(events, "refused")) == MOVES_PER_SECOND
    assert lines(events)[-4:] == [
        "30 more musicians have joined the orchestra!",
        "20 more musicians have left the orchestra.",
        "Refused 10 more connections.",
        "A new musician has joined the orchestra!",
    ]


def test_a_storm_of_gaps_is_summarized(clock: Clock) -> None:
    """What each has missed is counted all the same; who is closed is always told."""
    activity = ActivityLog(clock)
    with captured() as events:
        for _ in range(MOVES_PER_SECOND + 40):
            activity.missed("a peer", "main", 2)
        for _ in range(MOVES_PER_SECOND + 5):
            activity.evicted("a peer", "main", 1)
        activity.flush()
    assert len(named(events, "missed")) == MOVES_PER_SECOND
    assert len(named(events, "evicted")) == MOVES_PER_SECOND + 5
    assert lines(events)[-1] == "40 more musicians have missed notes."
    assert named(events, "gaps") == [{"event": "gaps", "gaps": 40}]
    assert activity.missed_messages == 3 * MOVES_PER_SECOND + 85


def test_what_was_only_counted_is_not_lost_at_the_end(clock: Clock) -> None:
    """A server that stops logs it before the second is over, and only once."""
    activity = ActivityLog(clock)
    with captured() as events:
        activity.notes("a peer", "main", 1, [(b"a", False)] * 25)
        activity.flush()
        activity.flush()
        clock.advance(1)
        activity.notes("a peer", "main", 1, [(b"b", False)])
        activity.flush()
    assert len(named(events, "note")) == 11
    assert named(events, "notes") == [{"event": "notes", "notes": 15}]


def test_a_second_that_ends_late_is_told_rightly(clock: Clock) -> None:
    """In a busy loop something may happen after its end, before its timer is looked at."""
    activity = ActivityLog(clock)
    with captured() as events:
        activity.notes("a peer", "main", 1, [(b"a", False)] * 25)
        clock.rightNow += 1.5
        activity.notes("a peer", "main", 1, [(b"b", False)])
        clock.advance(5)
    assert [event["notes"] for event in named(events, "notes")] == [15]
    assert len(named(events, "note")) == 11


def test_connections_are_counted_by_their_kind(clock: Clock) -> None:
    """How many came, and how many are there; each kind by itself."""
    activity = ActivityLog(clock)
    raw, stream = ConnectionKind.RAW, ConnectionKind.EVENT_STREAM
    for kind in (raw, raw, stream):
        activity.joined("a peer", "main", 1, kind)
    activity.left("a peer", "main", 1, 1000, "", raw)
    assert (activity.opened[raw], activity.open[raw]) == (2, 1)
    assert (activity.opened[stream], activity.open[stream]) == (1, 1)


def test_close_codes_are_counted_up_to_a_bound(clock: Clock) -> None:
    """Whatever codes clients make up, there are only so many numbers."""
    activity = ActivityLog(clock)
    for code in (1000, 1013, 1013, None, 3008, 3500, *range(3600, 5000)):
        activity.left("a peer", "main", 0, code, "")
    assert activity.closed == {
        "1000": 1,
        "1013": 2,
        "none": 1,
        "3008": 1,
        "3500": 1,
        "other": 1400,
    }


def test_refusals_are_counted_up_to_a_bound(clock: Clock) -> None:
    """By status and kind: one that is told, the usual one, or another of an application's own."""
    activity = ActivityLog(clock)
    activity.refused("a peer", 503, "the channel is full", "channel_full")
    activity.refused("a peer", 503, "Autobahn's words")
    activity.refused("a peer", 503, "Autobahn's words")
    activity.refused("a peer", 402, "pay first", "unpaid")
    assert activity.refusals == {
        (503, "channel_full"): 1,
        (503, "full"): 2,
        (402, "other"): 1,
    }
