"""Frames as the server sends them."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader
from zope.interface.verify import verifyObject

from orchestra.dialects.raw import RawDialect
from orchestra.interfaces import IEncoding
from orchestra.websocket.frames import FrameEncoding, header

LENGTHS = st.one_of(
    st.integers(0, 300), st.integers(65_500, 65_600), st.sampled_from([125, 126, 65535, 65536])
)


def parse(data: bytes) -> list[Frame]:
    """Read frames with a parser that is not ours."""
    stream = StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    frames = []
    while not finished(stream.at_eof()):
        frames.append(finished(Frame.parse(stream.read_exact, mask=False)))
    return frames


def finished(steps: Generator[None, None, Any]) -> Any:
    """Run a generator that has all the data it needs, and return its result."""
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the data ends within a frame")


@given(size=LENGTHS, is_binary=st.booleans())
def test_a_frame_is_what_a_client_expects(size: int, is_binary: bool) -> None:
    """Each payload is one final, unmasked frame of its kind, in the shortest encoding."""
    payload = b"x" * size
    data = header(size, is_binary) + payload
    opcode = Opcode.BINARY if is_binary else Opcode.TEXT
    assert parse(data) == [Frame(opcode, payload)]
    assert data == Frame(opcode, payload).serialize(mask=False)


@given(st.lists(st.tuples(st.binary(max_size=200), st.booleans()), min_size=1))
def test_messages_are_joined_frames(contents: list[tuple[bytes, bool]]) -> None:
    """The encoding of a turn is its messages' frames one after the other, as rendered."""
    encoding = FrameEncoding(RawDialect("> "))
    assert verifyObject(IEncoding, encoding)
    entries = [(payload, is_binary, None, 0.0) for payload, is_binary in contents]
    frames = parse(encoding.encode(entries, range(1, len(entries) + 1), "epoch"))
    assert [(f.opcode is Opcode.BINARY, bytes(f.data)) for f in frames] == [
        (is_binary, payload if is_binary else b"> " + payload) for payload, is_binary in contents
    ]
