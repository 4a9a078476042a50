"""WebSocket frames as the server sends them (RFC 6455 section 5.2)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

from zope.interface import implementer

from orchestra.dialects.raw import RawDialect
from orchestra.interfaces import IEncoding
from orchestra.message import Message
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
        self._dialect = dialect

    def encode(self, messages: Sequence[Message]) -> bytes:
        """The messages' frames, one after the other."""
        rendered = zip(self._dialect.render(messages), messages, strict=True)
        return b"".join([header(len(text), m.is_binary) + text for text, m in rendered])


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

    def encode(self, messages: Sequence[Message]) -> bytes:
        """The messages' frames, one after the other."""
        parts: list[bytes] = []
        for text, message in zip(self._dialect.render(messages), messages, strict=True):
            deflated = self._deflater.deflate(text)
            payload = text if deflated is None else deflated
            head = header(len(payload), message.is_binary, deflated is not None)
            parts += (head, payload)
        return b"".join(parts)
