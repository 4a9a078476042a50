"""Outlets and encodings for tests of the core."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer
from zope.interface.verify import verifyObject

from orchestra.interfaces import IEncoding, IOutlet
from orchestra.message import Message
from orchestra.subscriber import Subscriber


@implementer(IEncoding)
class Payloads:
    """Encodes messages as their payloads, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, messages: Sequence[Message]) -> list[bytes]:
        assert messages, "there is nothing to encode"
        self.calls += 1
        return [message.payload for message in messages]


@implementer(IOutlet)
class Outlet:
    """Keeps what is written to it, and is full after so many writes."""

    def __init__(self, room: int | None = None) -> None:
        self.writes: list[list[bytes]] = []
        self.room = room
        self.subscriber: Subscriber | None = None
        self.evicted = False
        self.ended = False
        verifyObject(IOutlet, self)

    @property
    def heard(self) -> list[bytes]:
        return [payload for write in self.writes for payload in write]

    def write(self, data: list[bytes]) -> None:
        assert not self.evicted, "written to after it was evicted"
        assert not self.ended, "written to after its end"
        self.writes.append(data)
        if self.room is not None:
            self.room -= 1
            if self.room <= 0:
                assert self.subscriber is not None
                self.subscriber.pause()

    def drain(self, room: int = 1) -> None:
        """Make room for so many writes, and read on."""
        assert self.subscriber is not None
        self.room = room
        self.subscriber.resume()

    def evict(self) -> None:
        self.evicted = True

    def end(self) -> None:
        self.ended = True
