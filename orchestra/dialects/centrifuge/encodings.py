"""Messages and moves of a channel, as those read them who speak the Centrifuge protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from zope.interface import implementer

from orchestra.dialects.centrifuge.codec import Codec
from orchestra.interfaces import IEncoding
from orchestra.message import Entry

Framing: TypeAlias = Callable[[list[bytes]], bytes]
"""Puts whole replies into what is written: WebSocket frames, lines or events. It is the object
that counts: those who share it share what is encoded."""


class PushEncoding:
    """What there is in a channel, as pushes; which ones, its subclasses say."""

    def __init__(self, channel: str, codec: Codec, frame: Framing) -> None:
        """
        :param channel: what the clients know it by.
        :param frame: makes of the pushes what is written.
        """
        self._channel = channel
        self._codec = codec
        self._frame = frame


@implementer(IEncoding)
class PublicationEncoding(PushEncoding):
    """Messages as pushes with a publication each."""

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> bytes:
        """The messages' pushes, one after the other."""
        return self._frame(self._codec.publications(self._channel, entries, offsets))


@implementer(IEncoding)
class MoveEncoding(PushEncoding):
    """Who came and left, as pushes ``join`` and ``leave``."""

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> bytes:
        """The moves' pushes, one after the other."""
        return self._frame(self._codec.moves(self._channel, entries))
