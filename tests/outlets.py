"""Outlets and encodings for tests of the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from zope.interface import implementer
from zope.interface.verify import verifyObject

from orchestra.interfaces import IEncoding, IOutlet
from orchestra.message import Entry
from orchestra.position import Position
from orchestra.subscriber import Subscriber


@implementer(IEncoding)
class Payloads:
    """Encodes messages as their payloads, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> list[bytes]:
        assert len(entries) == len(offsets) > 0
        self.calls += 1
        return [payload for payload, _, _, _ in entries]


@implementer(IEncoding)
class Lines:
    """Encodes messages as bytes, for outlets that send."""

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> bytes:
        self.calls += 1
        return b"".join([payload + b"\n" for payload, _, _, _ in entries])


class Gap(NamedTuple):
    """What an outlet was told of messages that are missing."""

    missed: int | None
    position: Position
    heard: int
    """How many messages it had heard before."""


@implementer(IOutlet)
class Outlet:
    """Keeps what is written to it, and is full after so many writes."""

    send: Callable[[bytes], int] | None = None

    def __init__(self, room: int | None = None) -> None:
        self.writes: list[list[bytes]] = []
        self.room = room
        self.subscriber: Subscriber | None = None
        self.gaps: list[Gap] = []
        self.evicted = False
        self.missed = 0
        """How many messages it had missed when it was evicted."""
        self.ended = False
        self.failed = False
        verifyObject(IOutlet, self)

    @property
    def heard(self) -> list[bytes]:
        return [payload for write in self.writes for payload in write]

    def write(self, data: list[bytes]) -> None:
        self.check()
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

    def gap(self, missed: int | None, position: Position) -> None:
        self.check()
        assert missed != 0, "told of a gap where there is none"
        self.gaps.append(Gap(missed, position, len(self.heard)))

    def evict(self, missed: int) -> None:
        self.check()
        self.evicted = True
        self.missed = missed

    def fail(self) -> None:
        self.check()
        self.failed = True

    def end(self) -> None:
        self.check()
        self.ended = True

    def check(self) -> None:
        """Nothing comes after the end, whatever the end was."""
        assert not self.evicted, "told something after it was evicted"
        assert not self.ended, "told something after its end"
        assert not self.failed, "told something after it failed"


class Pipe(Outlet):
    """Takes bytes at once, as many as there is room for; what is left waits, and it is full."""

    def __init__(self, room: int | None = None) -> None:
        super().__init__(room)
        self.sent: list[bytes] = []
        self.waiting = b""
        self.send = self._send

    @property
    def heard(self) -> list[bytes]:
        return (b"".join(self.sent) + self.waiting).split(b"\n")[:-1]

    def _send(self, data: bytes) -> int:
        self.check()
        assert not self.waiting, "sent before what waits"
        if self.room is None:
            self.sent.append(data)
            return len(data)
        if not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.sent.append(taken)
        return len(taken)

    def write(self, data: Any) -> None:
        self.writes.append(data)
        try:
            taken = self._send(data)
        except BlockingIOError:
            taken = 0
        self.waiting = bytes(data[taken:])
        if self.waiting:
            assert self.subscriber is not None
            self.subscriber.pause()

    def drain(self, room: int = 1) -> None:
        self.sent.append(self.waiting)
        self.waiting = b""
        super().drain(room)
