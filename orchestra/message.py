"""One message in a channel's log."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from orchestra.position import Position

Content: TypeAlias = tuple[bytes, bool]
"""What somebody wants to publish: the payload, and whether it is binary data."""

Entry: TypeAlias = tuple[bytes, bool, str | None, float]
"""What the log keeps of a message: of a :class:`Message` what is between its offset and its epoch.

The offset is the entry's place in the log, and all have the epoch in common. A plain tuple, since
every message is one for a while, and hardly any of them is ever asked for a field by its name.
"""


class Publisher(str):
    """A client's id that also says whose it is, for dialects that tell it with each message.

    It is that id, and equal to it: who asks for no more need not know of this.
    """

    __slots__ = ("identity", "info")

    identity: str | None
    """Whose client it is, if that is known."""

    info: Any
    """What else is known of it, as a value of JSON; ``None`` for nothing."""

    def __new__(cls, client: str, identity: str | None = None, info: Any = None) -> Publisher:
        """
        :param client: its id.
        """
        self = super().__new__(cls, client)
        self.identity = identity
        self.info = info
        return self


class Message(NamedTuple):
    """What somebody published, as applications get it. Immutable.

    A message knows nothing of frames, prefixes or connections: how it looks on a wire is the
    business of an encoding (:class:`orchestra.interfaces.IEncoding`).
    """

    offset: int
    """Its place in the channel: 1 for the first message of an epoch, then 2, 3 and so on."""

    payload: bytes
    """The content; UTF-8 unless :attr:`is_binary`."""

    is_binary: bool
    """Whether the payload is binary data rather than text."""

    publisher: str | None
    """The client id of whoever published it; ``None`` for the application itself."""

    published_at: float
    """When it was published, in seconds of the hub's clock."""

    epoch: str
    """Of the channel's log: offsets of different epochs have nothing to do with each other."""

    @property
    def entry(self) -> Entry:
        """What the log keeps of it."""
        return self[1:-1]

    @property
    def position(self) -> Position:
        """What to come back with to read on after this message."""
        return Position(self.epoch, self.offset)
