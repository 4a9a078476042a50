"""WebSocket frames as the server sends them (RFC 6455 section 5.2)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache, partial

from zope.interface import implementer

from orchestra.dialects.raw import RawDialect
from orchestra.interfaces import IEncoding
from orchestra.message import Entry
from orchestra.websocket.deflate import Deflater


@lru_cache(1024)
def header(size: int, is_binary: bool, is_compressed: bool = False) -> bytes:
    """What goes before a payload to make it a whole message in one unmasked frame.

    :param size: bytes of payload.
    :param is_compressed: sets the bit RSV1 (RFC 7692 section 6).
    """
    first = 0x80 | 0x40 * is_compressed | (0x02 if is_binary else 0x01)
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return struct.pack("!BBH", first, 126, size)
    return struct.pack("!BBQ", first, 127, size)


@implementer(IEncoding)
class FrameEncoding:
    """Messages as WebSocket frames, one each, joined to be written at once."""

    def __init__(self, dialect: RawDialect) -> None:
        """
        :param dialect: says what the frames contain.
        """
        # What goes before a payload of a size and a kind: the header, and what the dialect adds.
        self._before = lru_cache(1024)(partial(_before, dialect))

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> bytes:
        """The messages' frames, one after the other."""
        before = self._before
        parts: list[bytes] = []
        add = parts.append
        for payload, is_binary, _, _ in entries:
            add(before(len(payload), is_binary))
            add(payload)
        return b"".join(parts)


def _before(dialect: RawDialect, size: int, is_binary: bool) -> bytes:
    lead = dialect.lead(is_binary)
    return header(len(lead) + size, is_binary) + lead


@implementer(IEncoding)
class DeflatedFrameEncoding:
    """Messages as WebSocket frames, compressed where that makes them smaller."""

    def __init__(self, dialect: RawDialect, window_bits: int) -> None:
        """
        :param dialect: says what the frames contain.
        :param window_bits: of the window that the clients agreed to.
        """
        self._dialect = dialect
        self._deflater = Deflater(window_bits)

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> bytes:
        """The messages' frames, one after the other."""
        parts: list[bytes] = []
        for content, is_binary, _, _ in entries:
            text = self._dialect.lead(is_binary) + content
            deflated = self._deflater.deflate(text)
            payload = text if deflated is None else deflated
            parts += (header(len(payload), is_binary, deflated is not None), payload)
        return b"".join(parts)
