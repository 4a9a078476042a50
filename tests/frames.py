"""Frames of clients, right and wrong, and what Autobahn's parser makes of them."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol

from orchestra.websocket.protocol import OrchestraProtocol

KEY = b"\x12\x34\x56\x78"


def frame(
    payload: bytes = b"",
    opcode: int = 1,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = KEY,
    length: int | None = None,
    length_bytes: int = 0,
) -> bytes:
    """A frame of a client, right or wrong.

    :param length: what it says, if that is not the truth.
    :param length_bytes: how many bytes tell the length: 0, 2 or 8; more if it needs more.
    """
    size = len(payload) if length is None else length
    masked = 0x80 if mask is not None else 0
    if length_bytes == 8 or size > 65535:
        told = struct.pack("!BQ", masked | 127, size)
    elif length_bytes == 2 or size > 125:
        told = struct.pack("!BH", masked | 126, size)
    else:
        told = bytes([masked | size])
    if mask is not None:
        payload = bytes(byte ^ mask[n & 3] for n, byte in enumerate(payload))
    return bytes([fin << 7 | rsv << 4 | opcode]) + told + (mask or b"") + payload


def deflated(data: bytes, wbits: int = -15, end: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """The payload of a compressed message (RFC 7692 section 7.2.1).

    :param end: how zlib is to end it: with a flush, or for good.
    """
    deflate = zlib.compressobj(wbits=wbits)
    return (deflate.compress(data) + deflate.flush(end)).removesuffix(b"\0\0\xff\xff")


class Plain(OrchestraProtocol):
    """A connection that leaves all that it receives to Autobahn."""

    consumeData = WebSocketServerProtocol.consumeData


def parsed(server: Any) -> dict[str, Any]:
    """Where a connection's parser is."""
    current = server.current_frame
    return {
        "state": server.state,
        "data": server.data,
        "inside": server.inside_message,
        "frame": current and (current.opcode, current.fin, current.rsv, current.length),
        "read": current and server.current_frame_masker.pointer(),
        "message": server.inside_message and server.message_data,
    }
