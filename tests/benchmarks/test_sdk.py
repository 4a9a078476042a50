"""The load client's side of the Centrifuge protocol, held against the server's own codec."""

from __future__ import annotations

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from benchmarks.sdk import CHANNEL, Commands, Heard, MissedError, digits, greeting
from benchmarks.wire import STAMP
from orchestra.dialects.centrifuge.codec import JSON
from orchestra.websocket.centrifuge import framing
from orchestra.websocket.reader import read_burst

CLIENT = "0123456789abcdef"
REPLIES = framing(JSON, 0)([b'{"id":%d,"publish":{}}' % n for n in range(100, 116)])


def frame_of(offsets: range, data: bytes = b'{"by":"A"}') -> bytes:
    """What the server sends with the messages at some offsets."""
    entries = [(data, False, CLIENT, 0.0) for _ in offsets]
    return framing(JSON, 0)(JSON.publications(CHANNEL, entries, offsets))


def first_heard() -> Heard:
    """What a client has heard that is to hear all that follows."""
    heard = Heard()
    heard.take(memoryview(REPLIES + frame_of(range(1, 2))))
    heard.expect_all()
    return heard


def test_the_greeting_connects_and_subscribes() -> None:
    """It is a frame with the two commands."""
    ((payload, is_binary),) = read_burst(greeting())[0]
    connect, subscribe = JSON.decode(payload)
    assert not is_binary
    assert connect.connect is not None
    assert subscribe.subscribe is not None
    assert subscribe.subscribe.channel == CHANNEL
    assert connect.id != subscribe.id


def test_commands_publish_messages_of_the_size() -> None:
    """Each has an id of its own, and the mark of its sender once."""
    commands = Commands(64, "Q")
    ids = []
    for count in (1, 3):
        ((payload, _),) = read_burst(commands.frame(count))[0]
        for command in JSON.decode(payload):
            ids.append(command.id)
            assert command.publish is not None
            assert command.publish.channel == CHANNEL
            assert command.publish.data is not None
            data = bytes(command.publish.data)
            assert JSON.content(Raw(data)) == (data, False)
            assert len(data) == 64
            assert data.count(commands.mark) == 1
    assert len(set(ids)) == 4


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.lists(st.integers(1, 3000), min_size=1),
    st.booleans(),
)
def test_all_is_heard_whatever_the_pieces(
    counts: list[int], sizes: list[int], with_replies: bool
) -> None:
    """After the last piece the offset is that of the last message, and nothing is missing."""
    heard = first_heard()
    data, last = b"", 1
    for count in counts:
        data += REPLIES * with_replies + frame_of(range(last + 1, last + count + 1))
        last += count
    for size in cycle(sizes):
        heard.take(memoryview(data[:size]))
        data = data[size:]
        if not data:
            break
    assert heard.offset == last


@pytest.mark.parametrize("gap", [1, 5])
@pytest.mark.parametrize("place", [2, 9, 10, 50, 98])
def test_what_is_missing_is_missed(place: int, gap: int) -> None:
    """Wherever it was, be it one message among many frames, or before the number of digits
    changes."""
    heard = first_heard()
    sent = [frame_of(range(n, n + 1)) for n in range(2, 100)]
    kept = b"".join(sent[: place - 2] + sent[place - 2 + gap :])
    with pytest.raises(MissedError, match="a client missed messages before the one at offset"):
        heard.take(memoryview(kept + frame_of(range(100, 140))))


def test_the_age_of_what_was_heard_last() -> None:
    """It is that of the last stamp that is whole; of nothing there is none."""
    heard = Heard()
    assert heard.age() is None
    data = read_burst(Commands(64, "A").frame())[0][0][0]
    message = bytes(JSON.decode(data)[0].publish.data)
    frame = frame_of(range(1, 2), message)
    heard.take(memoryview(frame))
    waited = heard.age()
    assert waited is not None
    assert 0 <= waited < 60
    begun = frame[: frame.index(b'"at":"') + 6 + STAMP - 1]
    heard.take(memoryview(begun))
    older = heard.age()
    assert older is not None
    assert waited <= older < 60


@given(st.integers(1, 12000))
def test_digits(until: int) -> None:
    """They are those of the numbers that are written."""
    assert digits(until) == len("".join(map(str, range(1, until + 1))))
