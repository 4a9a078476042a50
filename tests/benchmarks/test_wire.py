"""The bytes of the load client, held against a library's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from benchmarks.wire import STAMP, Stamped, age, frame, frame_size
from tests.frames import frame as frame_of_a_client


@given(st.binary(max_size=300), st.sampled_from([1, 2, 10]))
def test_a_frame_is_what_a_server_expects(payload: bytes, opcode: int) -> None:
    """It is whole, masked, and has the payload."""
    assert frame(payload, opcode) == frame_of_a_client(payload, opcode)


@given(st.one_of(st.integers(0, 300), st.sampled_from([65535, 65536])))
def test_the_size_of_a_servers_frame(size: int) -> None:
    """It is known as soon as its head is there, and not before."""
    data = Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)
    head = len(data) - size
    assert frame_size(data) == frame_size(data[:head]) == len(data)
    assert frame_size(data[: head - 1]) == 0
    assert frame_size(b"") == 0


def test_a_message_tells_its_sender_and_its_age() -> None:
    """It begins with the mark, and ends with its time; other bytes have no age."""
    data = Stamped(64, b"Q").frame()
    start = data.index(b"\x12\x34\x56\x78") + 4
    payload = bytes(byte ^ b"\x12\x34\x56\x78"[n & 3] for n, byte in enumerate(data[start:]))
    assert len(payload) == 64
    assert payload[:1] == b"Q"
    waited = age(payload[-STAMP:])
    assert waited is not None
    assert 0 <= waited < 60
    assert age(b"x" * STAMP) is None
