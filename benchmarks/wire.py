"""The bytes of a WebSocket client (RFC 6455), as far as a load needs them."""

from __future__ import annotations

import struct
import time

STAMP = 16
"""How many hexadecimal digits at the end of a message tell when it was sent."""

_MASK = b"\x12\x34\x56\x78"


def handshake(port: int, path: str = "/") -> bytes:
    """A request for a WebSocket on this machine."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Version: 13\r\nOrigin: http://127.0.0.1:{port}\r\n\r\n"
    ).encode()


def masked(payload: bytes) -> bytes:
    """A payload, masked."""
    size = len(payload)
    key = int.from_bytes((_MASK * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """A whole message in one masked frame.

    :param opcode: 1 for text, 10 for a pong.
    """
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + _MASK + masked(payload)


def frame_size(data: bytes) -> int:
    """How long the first frame of a server is, its head included.

    :param data: at least the head of it; 0 is returned if there is less.
    """
    if len(data) < 2:
        return 0
    size = data[1] & 127
    if size < 126:
        return 2 + size
    length = 2 if size == 126 else 8
    if len(data) < 2 + length:
        return 0
    return 2 + length + int.from_bytes(data[2 : 2 + length], "big")


class Stamped:
    """Messages of one size that tell who sent them and when."""

    def __init__(self, size: int, mark: bytes) -> None:
        """
        :param size: bytes of payload, more than :data:`STAMP`.
        :param mark: what the payload begins with: a letter of the sender's own.
        """
        self.mark = mark
        self._filling = mark * (size - STAMP)

    def frame(self, count: int = 1) -> bytes:
        """A frame that is stamped now, so many times."""
        return frame(self._filling + b"%016x" % time.monotonic_ns()) * count


def age(stamp: bytes) -> float | None:
    """How long ago a message was sent, in seconds.

    :param stamp: the last bytes of the message; what is no stamp has no age.
    """
    try:
        return (time.monotonic_ns() - int(stamp, 16)) / 1e9
    except ValueError:
        return None
