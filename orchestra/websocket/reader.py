"""The fast way to read frames: the common ones of a burst, straight from the bytes received.

Autobahn's parser takes a frame apart step by step and copies what is behind it each time. Most
frames need none of that: whole, unfragmented and masked, with a short payload. Those are read
here; at the first that is anything else, the rest is left to the parser.
"""

from __future__ import annotations

from struct import Struct
from sys import maxsize

from orchestra.message import Content

_TEXT = 0x81  # FIN and the opcode (RFC 6455 section 5.2)
_BINARY = 0x82
_MASKED = 0x80  # with the length of the payload in the other bits
_MASKED_LONG = 0x80 | 126  # with the length in the next two bytes
_LONGEST = 65535

# The first two bytes as one number, and the masking key as another; low bytes come first.
_head = Struct("<HI").unpack_from

_Short = tuple[int, int, int, bool]


def _short_heads() -> dict[int, _Short]:
    heads = {}
    for size in range(126):
        whole = (size + 3) & ~3
        # What a masking key is multiplied with to cover the payload: 1, in every fourth byte.
        repeat = int.from_bytes(b"\1\0\0\0" * (whole // 4), "little")
        for first in (_TEXT, _BINARY):
            heads[first | (_MASKED | size) << 8] = size, whole, repeat, first == _BINARY
    return heads


# By the first two bytes of a frame with the shortest encoding of its length: bytes of payload,
# the same in whole masking keys, what repeats the key over them, and whether it is binary.
_SHORT = _short_heads()


def read_burst(data: bytes, limit: int = 0, most: int = maxsize) -> tuple[list[Content], int]:
    """Read messages from the start of what was received, as long as their frames are common.

    A common frame is a whole text or binary message in one frame, masked, with a payload of up
    to 65,535 bytes in the shortest length encoding; text is valid UTF-8.

    :param data: bytes from where a frame begins.
    :param limit: bytes of payload beyond which a frame is not common; 0 for none.
    :param most: how many messages to read.
    :returns: the messages, and how many bytes their frames take.
    """
    contents: list[Content] = []
    end = len(data)
    limit = limit or _LONGEST
    at = 0
    from_bytes = int.from_bytes
    short_head = _SHORT.get
    while at + 6 <= end:
        head, key = _head(data, at)
        short = short_head(head)
        if short is not None:
            size, whole, repeat, is_binary = short
            start = at + 6
            mask = key * repeat
        elif head >> 8 == _MASKED_LONG and head & 0xFF in (_TEXT, _BINARY):
            size = data[at + 2] << 8 | data[at + 3]
            if size < 126:
                break
            start = at + 8
            whole = (size + 3) & ~3
            mask = from_bytes(data[at + 4 : start] * (whole // 4), "little")
            is_binary = head & 0xFF == _BINARY
        else:
            break
        stop = start + size
        if stop > end or size > limit:
            break
        # One operation on big numbers, of whole keys in length; what is too long is cut off.
        plain = from_bytes(data[start:stop], "little") ^ mask
        payload = plain.to_bytes(whole, "little")
        if whole != size:
            payload = payload[:size]
        if not (is_binary or payload.isascii()):
            try:
                payload.decode()
            except UnicodeDecodeError:
                break
        contents.append((payload, is_binary))
        at = stop
        most -= 1
        if not most:
            break
    return contents, at
