"""The fast way to read frames: the common ones of a burst, straight from the bytes received.

Autobahn's parser takes a frame apart step by step and copies what is behind it each time. Most
frames need none of that: whole, unfragmented and masked, with a short payload. Those are read
here; at the first that is anything else, the rest is left to the parser.
"""

from __future__ import annotations

from struct import Struct

from orchestra.message import Content

_TEXT = 0x81  # FIN and the opcode (RFC 6455 section 5.2)
_BINARY = 0x82
_MASKED = 0x80  # with the length of the payload in the other bits
_MASKED_LONG = 0x80 | 126  # with the length in the next two bytes
_LONGEST = 65535

# The first two bytes, and the masking key as a number whose lowest byte comes first.
_head = Struct("<BBI").unpack_from
# What a masking key is multiplied with to cover a payload: 1, repeated in every fourth byte.
_REPEAT = [int.from_bytes(b"\1\0\0\0" * ((size + 3) // 4), "little") for size in range(126)]


def read_burst(data: bytes, limit: int = 0) -> tuple[list[Content], int]:
    """Read messages from the start of what was received, as long as their frames are common.

    A common frame is a whole text or binary message in one frame, masked, with a payload of up
    to 65,535 bytes in the shortest length encoding; text is valid UTF-8.

    :param data: bytes from where a frame begins.
    :param limit: bytes of payload beyond which a frame is not common; 0 for none.
    :returns: the messages, and how many bytes their frames take.
    """
    contents: list[Content] = []
    end = len(data)
    limit = limit or _LONGEST
    at = 0
    from_bytes = int.from_bytes
    while at + 6 <= end:
        first, second, key = _head(data, at)
        if first != _TEXT and first != _BINARY:
            break
        if _MASKED <= second < _MASKED_LONG:
            size = second - _MASKED
            start = at + 6
            mask = key * _REPEAT[size]
        elif second == _MASKED_LONG:
            size = data[at + 2] << 8 | data[at + 3]
            start = at + 8
            mask = from_bytes(data[at + 4 : start] * ((size + 3) // 4), "little")
            if size < 126:
                break
        else:
            break
        stop = start + size
        if stop > end or size > limit:
            break
        # One operation on big numbers, of whole keys in length; what is too long is cut off.
        plain = from_bytes(data[start:stop], "little") ^ mask
        payload = plain.to_bytes((size + 3) & ~3, "little")[:size]
        if first == _TEXT and not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError:
                break
        contents.append((payload, first == _BINARY))
        at = stop
    return contents, at
