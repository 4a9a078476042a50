"""WebSocket frames as the server sends them (RFC 6455 section 5.2)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from zope.interface import implementer

from orchestra.dialects.raw import RawDialect
from orchestra.interfaces import IEncoding
from orchestra.message import Message

_FINAL_TEXT = 0x81
_FINAL_BINARY = 0x82


def frame(payload: bytes, is_binary: bool) -> bytes:
    """One whole message as one unmasked frame.

    :param payload: of any length; text must be UTF-8.
    """
    first = _FINAL_BINARY if is_binary else _FINAL_TEXT
    size = len(payload)
    if size < 126:
        header = bytes((first, size))
    elif size < 65536:
        header = struct.pack("!BBH", first, 126, size)
    else:
        header = struct.pack("!BBQ", first, 127, size)
    return header + payload


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
        render = self._dialect.render
        return b"".join([frame(render(message), message.is_binary) for message in messages])
