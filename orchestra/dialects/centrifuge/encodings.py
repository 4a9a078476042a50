"""Messages and moves of a channel, as those read them who speak the Centrifuge protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from orchestra.dialects.centrifuge.codec import Codec
from orchestra.interfaces import IEncoding
from orchestra.message import Entry


@implementer(IEncoding)
class PublicationEncoding:
    """Messages as pushes with a publication each."""

    def __init__(self, channel: str, codec: Codec, frame: Callable[[list[bytes]], bytes]) -> None:
        """
        :param channel: what the clients know it by.
        :param frame: makes of replies what is written: WebSocket frames, lines or events.
        """
        self._channel = channel
        self._codec = codec
        self._frame = frame

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> bytes:
        """The messages' pushes, one after the other."""
        return self._frame(self._codec.publications(self._channel, entries, offsets))


@implementer(IEncoding)
class MoveEncoding:
    """Who came and left, as pushes ``join`` and ``leave``."""

    def __init__(self, channel: str, codec: Codec, frame: Callable[[list[bytes]], bytes]) -> None:
        """
        :param channel: what the clients know it by.
        :param frame: makes of replies what is written: WebSocket frames, lines or events.
        """
        self._channel = channel
        self._codec = codec
        self._frame = frame

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> bytes:
        """The moves' pushes, one after the other."""
        return self._frame(self._codec.moves(self._channel, entries))
