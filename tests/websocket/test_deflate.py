"""Compression that is shared."""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import Any

import pytest
from autobahn.websocket.compress import PerMessageDeflate, PerMessageDeflateOffer
from hypothesis import given
from hypothesis import strategies as st

from orchestra.websocket.deflate import (
    SMALLEST,
    Deflater,
    Inflater,
    TooLargeError,
    accept_offer,
    longest_frame,
    readable_offers,
)

TEXT = st.one_of(
    st.text(min_size=SMALLEST).map(str.encode),
    st.text("abc", min_size=SMALLEST).map(str.encode),
    st.binary(min_size=1, max_size=20).map(lambda some: some * 2000),
    st.binary(max_size=300),
)


def inflate(data: bytes, window_bits: int) -> bytes:
    """What a client without context makes of a compressed payload."""
    return zlib.decompressobj(-window_bits).decompress(data + b"\x00\x00\xff\xff")


@given(payloads=st.lists(TEXT), window_bits=st.integers(9, 15))
def test_each_message_can_be_read_by_itself(payloads: list[bytes], window_bits: int) -> None:
    """It takes nothing from those before it, whatever they were, and is never larger."""
    deflater = Deflater(window_bits)
    for payload in payloads:
        data = deflater.deflate(payload)
        if data is not None:
            assert inflate(data, window_bits) == payload
            assert len(data) < len(payload)


def test_what_repeats_itself_becomes_small() -> None:
    """A message that compresses well is compressed, one that does not is left as it is."""
    deflater = Deflater(15)
    assert len(deflater.deflate(b"tick " * 100) or b"") < 30
    assert deflater.deflate(bytes(range(256))) is None
    assert deflater.deflate(b"x" * (SMALLEST - 1)) is None


@given(
    payload=TEXT,
    level=st.integers(0, 9),
    end=st.sampled_from([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH]),
    cuts=st.lists(st.integers(0, 400), max_size=4),
    more=st.integers(-3, 3),
)
def test_a_message_is_inflated_up_to_its_limit(
    payload: bytes, level: int, end: int, cuts: list[int], more: int
) -> None:
    """Whatever compressed it, and however it is cut: all of it, or that it is too large."""
    compressor = zlib.compressobj(level, wbits=-15)
    data = (compressor.compress(payload) + compressor.flush(end)).removesuffix(b"\0\0\xff\xff")
    limit = max(1, len(payload) + more)
    inflater = Inflater(zlib.decompressobj(-15), limit)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:stop] for start, stop in pairwise(places)]
    try:
        found = b"".join(inflater.inflate(piece) for piece in pieces) + inflater.finish()
    except TooLargeError:
        assert len(payload) > limit
    else:
        assert found == payload
        assert len(payload) <= limit


def test_a_bomb_is_inflated_no_further_than_its_limit() -> None:
    """What one piece of it becomes is never more than a byte above."""
    bomb = zlib.compress(b"\0" * 10_000_000, wbits=-15)
    decompressor = zlib.decompressobj(-15)
    with pytest.raises(TooLargeError):
        Inflater(decompressor, 1000).inflate(bomb)
    assert len(decompressor.unconsumed_tail) > len(bomb) // 2
    assert len(Inflater(zlib.decompressobj(-15), 0).inflate(bomb)) == 10_000_000


def test_nothing_may_come_behind_the_last_block() -> None:
    """But for the byte that begins the tail; else it would be kept, however much it is."""
    final = zlib.compress(b"hello", wbits=-15)
    inflater = Inflater(zlib.decompressobj(-15), 1000)
    assert inflater.inflate(final + b"\0") + inflater.finish() == b"hello"
    for more in (b"\1", b"\0\0", b"x" * 1000):
        inflater = Inflater(zlib.decompressobj(-15), 1000)
        with pytest.raises(zlib.error):
            inflater.inflate(final + more)


@given(st.binary(min_size=1, max_size=3000))
def test_a_frame_is_never_longer_than_allowed(payload: bytes) -> None:
    """Not even one that cannot be compressed; without a limit any length is."""
    compressor = zlib.compressobj(0, wbits=-15)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_FULL_FLUSH)
    assert len(data) <= longest_frame(len(payload))
    assert longest_frame(0) > 2**63


def parameters(text: str) -> dict[str, Any]:
    """The parameters of an extension as Autobahn parses them."""
    pairs = [part.strip().partition("=") for part in text.split(";") if part.strip()]
    return {name: [value or True] for name, _, value in pairs}


@pytest.mark.parametrize(
    ("offered", "answer", "window_bits"),
    [
        ("", "", 15),
        ("client_max_window_bits", "", 15),
        ("server_max_window_bits=9", "; server_max_window_bits=9", 9),
        ("server_no_context_takeover; client_no_context_takeover", "", 15),
    ],
)
def test_an_offer_is_taken_without_context(offered: str, answer: str, window_bits: int) -> None:
    """The answer says so for both directions, and keeps to the window that is asked for."""
    offer = PerMessageDeflateOffer.parse(parameters(offered))
    accepted = accept_offer([object(), offer])
    assert accepted is not None
    assert accepted.get_extension_string() == (
        f"permessage-deflate; server_no_context_takeover{answer}; client_no_context_takeover"
    )
    deflate = PerMessageDeflate.create_from_offer_accept(True, accepted)
    assert deflate.server_max_window_bits == window_bits


def test_without_a_known_offer_there_is_no_compression() -> None:
    """Other kinds of compression are not spoken."""
    assert accept_offer([]) is None
    assert accept_offer([object()]) is None


@pytest.mark.parametrize(
    "offered",
    [
        "server_max_window_bits=8",
        "server_max_window_bits=16",
        "client_max_window_bits=x",
        "server_no_context_takeover=1",
        "unknown",
    ],
)
def test_an_offer_that_cannot_be_read_is_left_out(offered: str) -> None:
    """The others stand."""
    good = ("permessage-deflate", parameters("client_max_window_bits"))
    bad = ("permessage-deflate", parameters(offered))
    assert readable_offers([bad, good, ("x-webkit-deflate-frame", {})]) == [good]
