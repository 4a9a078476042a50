"""The dialect of event streams, held against an independent reading of the HTML standard."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestra.dialects.event_stream import (
    HEARTBEAT,
    EventEncoding,
    MoveEncoding,
    farewell,
    gap,
    moves_missed,
    opening,
)
from orchestra.message import Content
from orchestra.position import Position
from orchestra.presence import Member, Move
from tests.web.reader import Event, EventReader

EPOCH = "1f2e3d4c"
LINES = st.lists(st.sampled_from(["\r", "\n", "\r\n", "data: x", "id: 1", ":", " ", "a", "♪", ""]))


def encode(contents: Sequence[Content], first: int = 1) -> bytes:
    entries = [(payload, is_binary, None, 0.0) for payload, is_binary in contents]
    return EventEncoding().encode(entries, range(first, first + len(entries)), EPOCH)


def read(*pieces: bytes) -> list[Event]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def normalised(text: str) -> str:
    """A text with all ends of lines the same."""
    return re.sub("\r\n|\r", "\n", text)


# The examples of the standard, to see that the reading is a reading.


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
            "data:  third event\n\n",
            [("message", "first event"), ("message", "second event"), ("message", " third event")],
        ),
        ("data\n\ndata\ndata\n\ndata:", [("message", ""), ("message", "\n")]),
        ("data:test\n\ndata: test\n\n", [("message", "test"), ("message", "test")]),
        ("\ufeffevent: add\rdata: 7\r\rdata: 8\r\n\r\n", [("add", "7"), ("message", "8")]),
        ("event: add\n\nid: 1\nretry: x\n\ndata: 8\n\n", [("message", "8")]),
    ],
)
def test_the_reading_is_that_of_the_standard(stream: str, events: list[tuple[str, str]]) -> None:
    """Whatever pieces it comes in."""
    data = stream.encode()
    for pieces in ([data], [data[n : n + 1] for n in range(len(data))]):
        assert [(event.type, event.data) for event in read(*pieces)] == events


@given(st.lists(st.one_of(st.text(), LINES.map("".join))), st.integers(1, 10**17))
@example(["\r", "\n", "\r\n", "", " ", "\ufeff", "\0", "\u2028\x85\x0b\x0c\x1c"], 1)
def test_text_comes_back(texts: list[str], first: int) -> None:
    """With all ends of lines the same, as they are to a page; the exact text is there as well."""
    events = read(encode([(text.encode(), False) for text in texts], first))
    assert [event.data for event in events] == [normalised(text) for text in texts]
    for offset, (event, text) in enumerate(zip(events, texts, strict=True), first):
        assert (event.type, event.last_event_id) == ("message", f"{EPOCH}:{offset}")
        assert event.others.keys() == ({"base64"} if "\r" in text else set())
        if event.others:
            assert b64decode(event.others["base64"], validate=True) == text.encode()


@given(st.lists(st.binary()))
def test_binary_data_comes_back(payloads: list[bytes]) -> None:
    """To the byte, as an event of its own kind."""
    events = read(encode([(payload, True) for payload in payloads]))
    assert [event.type for event in events] == ["binary"] * len(payloads)
    assert [b64decode(event.data, validate=True) for event in events] == payloads
    assert all(event.others == {} for event in events)


@given(
    contents=st.lists(
        st.one_of(
            st.tuples(st.text().map(str.encode), st.just(False)),
            st.tuples(LINES.map("".join).map(str.encode), st.just(False)),
            st.tuples(st.binary(), st.just(True)),
        )
    ),
    size=st.integers(1, 50),
)
def test_it_does_not_matter_where_a_stream_is_cut(contents: list[Content], size: int) -> None:
    """Messages encoded together are those encoded one by one, and are read in any pieces."""
    data = encode(contents)
    assert data == b"".join(encode([content], n) for n, content in enumerate(contents, 1))
    events = read(data)
    assert len(events) == len(contents)
    assert read(*[data[n : n + size] for n in range(0, len(data), size)]) == events


def test_offsets_may_have_gaps() -> None:
    """Where a subscriber skips some, each has its own all the same."""
    entries = [(b"a", False, None, 0.0), (b"b", True, None, 0.0)]
    events = read(EventEncoding().encode(entries, [3, 7], EPOCH))
    assert [event.last_event_id for event in events] == [f"{EPOCH}:3", f"{EPOCH}:7"]


def test_a_stream_opens_with_its_place() -> None:
    """No event, but when to come back and with what; the place may not be known yet."""
    reader = EventReader()
    assert reader.feed(opening(1.2345, Position(EPOCH, 42))) == []
    assert (reader.retry, reader.last_event_id) == (1234, f"{EPOCH}:42")
    reader = EventReader()
    assert reader.feed(opening(3, None)) == []
    assert (reader.retry, reader.last_event_id) == (3000, "")


@pytest.mark.parametrize("missed", [None, 1, 10**9])
def test_a_gap_says_what_is_missing_and_where_it_goes_on(missed: int | None) -> None:
    """Who breaks off right after it comes back with its place."""
    (event,) = read(gap(missed, Position(EPOCH, 42)))
    assert (event.type, event.last_event_id) == ("gap", f"{EPOCH}:42")
    assert json.loads(event.data) == {"missed": missed}
    (event,) = read(moves_missed(missed))
    assert (event.type, event.last_event_id) == ("presence", "")
    assert json.loads(event.data) == {"missed": missed}


def test_moves_are_events_without_a_place() -> None:
    """So that they do not change where a client goes on in the channel's own log."""
    member = Member("a1", "Ann\r\n\u2028", 1234.568)
    moves = [Move(member, joined=True), Move(member, joined=False)]
    entries = [(move.encoded(), False, "a1", 0.0) for move in moves]
    reader = EventReader()
    reader.feed(opening(1, Position(EPOCH, 42)))
    events = reader.feed(MoveEncoding().encode(entries, [1, 2], "ffffffff"))
    described = {"client": "a1", "identity": "Ann\r\n\u2028", "since": 1234.568}
    assert [json.loads(event.data) for event in events] == [
        {"join": described},
        {"leave": described},
    ]
    assert {(event.type, event.last_event_id) for event in events} == {("presence", f"{EPOCH}:42")}


def test_comments_are_nothing_to_a_page() -> None:
    """A heartbeat and a farewell are no events, and have no place."""
    reader = EventReader()
    assert reader.feed(HEARTBEAT + farewell("going away", None) + HEARTBEAT) == []
    assert reader.comments == ["", "going away", ""]
    assert (reader.retry, reader.last_event_id) == (None, "")
