"""How the channels' messages are put to sessions: once for all who want the same."""

from __future__ import annotations

from typing import Any, TypeVar
from weakref import WeakValueDictionary

from orchestra.dialects.centrifuge.codec import Codec
from orchestra.dialects.centrifuge.encodings import Framing, PushEncoding

Kind = TypeVar("Kind", bound=PushEncoding)


class Encodings:
    """The encodings in use. One that no subscriber has any more is forgotten."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[type, str, Codec, Framing], Any] = (
            WeakValueDictionary()
        )

    def get(self, kind: type[Kind], channel: str, codec: Codec, frame: Framing) -> Kind:
        """That of a channel's messages, or of its moves: the same for the same."""
        key = kind, channel, codec, frame
        found: Kind | None = self._known.get(key)
        if found is None:
            found = self._known[key] = kind(channel, codec, frame)
        return found
