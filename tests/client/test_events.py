"""Reading event streams, by the HTML standard and in whatever pieces they come."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.client.events import Event, EventReader
from orchestra.dialects.event_stream import HEARTBEAT, farewell, gap, opening
from orchestra.position import Position


def read(*pieces: bytes) -> list[Event]:
    """The events of a stream that comes in pieces."""
    reader = EventReader()
    return [event for piece in pieces for event in reader.read(piece)]


def one_by_one(stream: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in stream]


def read_plainly(stream: bytes) -> tuple[list[Event], str]:
    """The events of a whole stream and its last id, by the letter of the standard."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    events = []
    data, kind, base64, last_id, seen_id = "", "", None, "", ""
    for line in lines:
        if line == "":
            seen_id = last_id
            if data:
                events.append(Event(kind, data[:-1], last_id, base64))
            data, kind, base64 = "", "", None
            continue
        name, colon, value = line.partition(":")
        if colon and value.startswith(" "):
            value = value[1:]
        if name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "base64":
            base64 = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return events, seen_id


ENDS = (b"\n", b"\r", b"\r\n", b"\n\n")
LINES = (
    b"data: one",
    b"data:two",
    b"data:  two spaces",
    b"data: a: colon",
    b"data",
    b"data:",
    b"data: Gr\xc3\xbc\xc3\x9fe",
    b"data: \xff\xc3",
    b"event: binary",
    b"event",
    b"id: e:1",
    b"id: e:\0",
    b"id",
    b"base64: eA==",
    b"retry: 1000",
    b": comment",
    b":",
    b" data: indented",
    b"Data: large",
    b"unknown",
    b"\xef\xbb\xbf",
)
streams = st.lists(st.sampled_from(LINES + 3 * ENDS), max_size=40).map(b"".join)
cuts = st.lists(st.integers(0, 400), max_size=10)


@given(streams, cuts)
def test_it_reads_what_the_standard_says(stream: bytes, cuts: list[int]) -> None:
    """Whatever comes, cut anywhere: the same events as by a plain reading of the whole."""
    reader = EventReader()
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]
    events = [event for piece in pieces for event in reader.read(piece)]
    assert (events, reader.last_id) == read_plainly(stream)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_an_event_is_there_as_soon_as_it_has_come(end: bytes) -> None:
    """Its last byte is enough, also where a newline could follow that belongs to it."""
    reader = EventReader()
    stream = end.join([b"data: one", b"data: two", b"id: 7", b"", b""])
    if end == b"\r\n":
        stream = stream[:-1]
    for byte in one_by_one(stream[:-1]):
        assert list(reader.read(byte)) == []
    assert list(reader.read(stream[-1:])) == [Event("", "one\ntwo", "7")]


def test_a_newline_in_a_piece_of_its_own_ends_no_event() -> None:
    """The second half of an end of line is not a line that is empty."""
    assert read(b"data: one\r", b"", b"\n", b"data: two\r", b"\n\r", b"\n") == [
        Event("", "one\ntwo", "")
    ]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: x\n", []),
        (b"data\n\n", [Event("", "", "")]),
        (b"data:\ndata:\n\n", [Event("", "\n", "")]),
        (b"data:  x \n\n", [Event("", " x ", "")]),
        (b"event: binary\ndata: eA==\n\n", [Event("binary", "eA==", "")]),
        (b"event: binary\n\ndata: x\n\n", [Event("", "x", "")]),
        (b"event: a\nevent: b\ndata: x\n\n", [Event("b", "x", "")]),
        (b"base64: DQ==\ndata:\n\ndata:\n\n", [Event("", "", "", "DQ=="), Event("", "", "")]),
        (b"id: 1\ndata: x\n\ndata: y\n\n", [Event("", "x", "1"), Event("", "y", "1")]),
        (b"id: 1\n\nid: 2\nid\ndata: x\n\n", [Event("", "x", "")]),
        (b"id: 1\n\nid: 2\0\ndata: x\n\n", [Event("", "x", "1")]),
        (b": data: x\n:\nretry: 5\nfoo\nfoo: data\n Data: x\nDATA: x\n\n", []),
        (b"\xef\xbb\xbfdata: x\n\n", [Event("", "x", "")]),
        (b"\n\xef\xbb\xbfdata: x\n\n", []),
        (b"data: \xef\xbb\xbfx\n\n", [Event("", "\ufeffx", "")]),
        (b"data: \xff\n\n", [Event("", "\ufffd", "")]),
    ],
    ids=lambda value: repr(value) if isinstance(value, bytes) else "",
)
def test_fields(stream: bytes, events: list[Event]) -> None:
    """Each as the standard has it, in one piece and byte by byte."""
    assert read(stream) == read(*one_by_one(stream)) == events


def test_an_id_counts_also_without_an_event() -> None:
    """It is known once its lines are over, and not before."""
    reader = EventReader()
    assert list(reader.read(b"id: e:1\n")) == []
    assert reader.last_id == ""
    assert list(reader.read(b"\n")) == []
    assert reader.last_id == "e:1"


def test_what_a_server_says_beside_messages() -> None:
    """Its opening and a gap are read for their places; heartbeats and farewells say nothing."""
    place = Position("e", 7)
    reader = EventReader()
    assert list(reader.read(opening(1.5, None) + opening(1.5, place))) == []
    assert reader.last_id == "e:7"
    assert reader.farewell == 0
    assert list(reader.read(HEARTBEAT + farewell("going away", 7.5))) == []
    assert reader.farewell == 7.5
    assert list(reader.read(farewell("slow reader", None) + farewell("going away", 7.5))) == []
    assert (
        list(reader.read(b"retry: x\nretry: -1\nretry: \xc2\xb2\nretry: %b\n\n" % (b"9" * 99)))
        == []
    )
    assert reader.farewell == 0
    assert list(reader.read(gap(3, Position("e", 10)))) == [Event("gap", '{"missed": 3}', "e:10")]


@pytest.mark.parametrize(
    ("stream", "limit"),
    [
        (b"data: 123456", 12),
        (b"x" * 12, 12),
        (b"data: 1\ndata: 2", 14),
        (b": 123456789\n\r\ndata: 1\ndata: 2", 14),
        (b"data: 1\n:\nid: 7\ndata: 2", 14),
    ],
)
def test_an_event_has_a_limit(stream: bytes, limit: int) -> None:
    """A line, or the lines that add up, may have so many bytes and not one more, however cut."""
    for size in (1, 5, len(stream)):
        reader = EventReader(limit)
        for at in range(0, len(stream), size):
            assert list(reader.read(stream[at : at + size])) == []
        with pytest.raises(ValueError, match=f"more than {limit} bytes"):
            list(reader.read(b"x"))


def test_the_limit_is_that_of_one_event() -> None:
    """Many that come together, and comments without end, do not add up."""
    reader = EventReader(100)
    assert len(list(reader.read(b"data: one\n\n" * 1000))) == 1000
    assert list(reader.read(b": comment\nunknown: x\n" * 1000)) == []
    assert list(reader.read(b"data: two\n\n")) == [Event("", "two", "")]
