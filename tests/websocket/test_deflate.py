"""Compression that is shared."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from autobahn.websocket.compress import PerMessageDeflate, PerMessageDeflateOffer
from hypothesis import given
from hypothesis import strategies as st

from orchestra.websocket.deflate import SMALLEST, Deflater, accept_offer, readable_offers

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
