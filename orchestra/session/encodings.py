"""How the channels' messages are put to sessions: once for all who want the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias
from weakref import WeakValueDictionary

from orchestra.dialects.centrifuge import protobuf
from orchestra.dialects.centrifuge.codec import Codec
from orchestra.dialects.centrifuge.encodings import MoveEncoding, PublicationEncoding
from orchestra.refusal import RefusedError

Frame: TypeAlias = Callable[[list[bytes]], bytes]
"""Puts whole replies into what is written. It is the object that counts: those who share it share
what is encoded."""


def protobuf_codec() -> Codec:
    """The codec for those who speak protobuf.

    :raises RefusedError: if that is not installed.
    """
    codec = protobuf.load()
    if codec is None:
        raise RefusedError(400, "this server speaks the protocol in JSON only, not in protobuf")
    return codec


class Encodings:
    """The encodings in use. One that no subscriber has any more is forgotten."""

    def __init__(self) -> None:
        self._publications: WeakValueDictionary[tuple[str, str, Frame], PublicationEncoding] = (
            WeakValueDictionary()
        )
        self._moves: WeakValueDictionary[tuple[str, str, Frame], MoveEncoding] = (
            WeakValueDictionary()
        )

    def publications(self, channel: str, codec: Codec, frame: Frame) -> PublicationEncoding:
        """That of a channel's messages."""
        key = channel, codec.name, frame
        found = self._publications.get(key)
        if found is None:
            found = self._publications[key] = PublicationEncoding(channel, codec, frame)
        return found

    def moves(self, channel: str, codec: Codec, frame: Frame) -> MoveEncoding:
        """That of who comes to a channel and leaves it."""
        key = channel, codec.name, frame
        found = self._moves.get(key)
        if found is None:
            found = self._moves[key] = MoveEncoding(channel, codec, frame)
        return found
