"""Compression of messages, permessage-deflate (RFC 7692), shared by all who agreed to the same.

Each message is compressed by itself, without the context of those before it: that is what lets
the same bytes go to every client, and spares both sides the memory of a context per connection.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from autobahn.websocket.compress import (
    PERMESSAGE_COMPRESSION_EXTENSION,
    PerMessageDeflateOffer,
    PerMessageDeflateOfferAccept,
)

SMALLEST = 64
"""The size from which on a message is worth compressing, in bytes."""

_KNOWN: Mapping[str, Any] = PERMESSAGE_COMPRESSION_EXTENSION

# What ends a flush, and is left out on the wire (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"


def readable_offers(
    extensions: Sequence[tuple[str, Mapping[str, Any]]],
) -> list[tuple[str, Mapping[str, Any]]]:
    """The extensions that a client offers, without those that cannot be taken.

    Autobahn would refuse the connection; an offer that is not understood is to be declined
    (RFC 7692 section 7.1).

    :param extensions: names and parameters, as Autobahn has parsed them.
    """
    readable = []
    for name, parameters in extensions:
        try:
            _KNOWN[name]["Offer"].parse(parameters)
        except Exception:  # Autobahn has no kind of its own for it
            continue
        readable.append((name, parameters))
    return readable


def accept_offer(offers: Sequence[Any]) -> PerMessageDeflateOfferAccept | None:
    """Choose among the ways to compress that a client offers.

    :param offers: as Autobahn has parsed them, the one that the client likes best first.
    :returns: the answer, without context takeover in either direction; ``None`` for no
        compression.
    """
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            offer.request_no_context_takeover = True  # so that the answer tells the client of it
            return PerMessageDeflateOfferAccept(offer, request_no_context_takeover=True)
    return None


class TooLargeError(Exception):
    """What was compressed is larger than it may be."""


class Inflater:
    """Inflates one message, piece by piece, as far as it may be and no further.

    Autobahn's own would keep whatever comes behind the end of the compressed data, and cut off
    what is held back at the limit.
    """

    def __init__(self, decompressor: Any, limit: int) -> None:
        """
        :param decompressor: one of zlib's that has inflated nothing yet.
        :param limit: bytes that the message may have; 0 for any number.
        """
        self._decompressor = decompressor
        self._limit = limit
        self._size = 0

    def inflate(self, data: bytes) -> bytes:
        """Inflate the next piece.

        :raises TooLargeError: if the message is too large.
        :raises zlib.error: if this is nothing that was compressed.
        """
        most = self._limit - self._size + 1 if self._limit else 0
        piece: bytes = self._decompressor.decompress(data, most)
        self._size += len(piece)
        if self._size > self._limit > 0:
            raise TooLargeError
        # A last block is followed by a byte that begins the tail (RFC 7692 section 7.2.3.4).
        if self._decompressor.unused_data not in (b"", b"\0"):
            raise zlib.error("more data behind the last block")
        return piece

    def finish(self) -> bytes:
        """What there still is when all has come.

        :raises TooLargeError: if the message is too large.
        :raises zlib.error: if this was nothing that was compressed.
        """
        return b"" if self._decompressor.eof else self.inflate(_TAIL)


def longest_frame(limit: int) -> float:
    """How long a frame may be that inflates to so many bytes, in bytes.

    What cannot be compressed becomes a little longer (RFC 1951 section 3.2.4).

    :param limit: 0 for any number.
    """
    return limit + limit // 64 + 64 if limit else inf


class Deflater:
    """Compresses messages, each independent of the others."""

    def __init__(self, window_bits: int) -> None:
        """
        :param window_bits: the logarithm of the window's size, 9 to 15 (RFC 7692 section 7.1.2).
        """
        self._compressor = zlib.compressobj(wbits=-window_bits)

    def deflate(self, payload: bytes) -> bytes | None:
        """Compress a message.

        :returns: the payload of the compressed frame, or ``None`` if that would not be smaller.
        """
        if len(payload) < SMALLEST:
            return None
        # A full flush forgets the context, at a third of the cost of a new compressor.
        start = self._compressor.compress(payload)
        data = (start + self._compressor.flush(zlib.Z_FULL_FLUSH)).removesuffix(_TAIL)
        return data if len(data) < len(payload) else None
