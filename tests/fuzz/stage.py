"""What each property takes: input cut into pieces, and a connection in memory to feed them to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import txaio
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from tests.memory import MemoryTransport

_HEADER = 3  # bytes of an input before the places and the stream
_AGAIN = 128


class Script(NamedTuple):
    """What a client does, as an input of the fuzzer says it.

    The input begins with one byte of options, one that says how often the last piece comes again
    (128 more than that; less is not at all), and one that says in how many places the rest is
    cut. Two bytes for each place follow, and then what the client sends.
    """

    options: int
    """A number from 0 to 255, of which each property makes what it likes."""

    pieces: list[bytes]
    """What comes at once."""

    @classmethod
    def read(cls, data: bytes) -> Script:
        """Any input is a script; what is missing from it is nought."""
        options, again, count = data[:_HEADER].ljust(_HEADER, b"\0")
        count %= 8
        places, stream = data[_HEADER : _HEADER + 2 * count], data[_HEADER + 2 * count :]
        cuts = {
            int.from_bytes(places[n : n + 2], "big") % (len(stream) + 1)
            for n in range(0, len(places), 2)
        }
        pieces = [stream[a:b] for a, b in pairwise(sorted({0, len(stream), *cuts}))]
        return cls(options, pieces + pieces[-1:] * max(0, again - _AGAIN))

    @staticmethod
    def write(
        stream: bytes, options: int = 0, cuts: tuple[int, ...] = (), again: int = 0
    ) -> bytes:
        """The input that is read as these.

        :param cuts: up to seven places in the stream.
        :param again: up to 127.
        """
        places = b"".join(place.to_bytes(2, "big") for place in cuts)
        return bytes([options, _AGAIN + again, len(cuts)]) + places + stream


class TickingClock(Clock):
    """A clock on which time passes whenever it is looked at.

    On one that stands still, nobody would ever use up the time that a turn gives.
    """

    def seconds(self) -> float:
        self.rightNow += 20e-6
        return float(self.rightNow)


@contextmanager
def ticking() -> Iterator[TickingClock]:
    """A clock that stands for the reactor, Autobahn's timers included."""
    clock = TickingClock()
    before, txaio.config.loop = txaio.config.loop, clock
    try:
        yield clock
    finally:
        txaio.config.loop = before


@contextmanager
def nothing_fails() -> Iterator[None]:
    """Whatever is raised and caught within the block is an error all the same: no log has it."""
    failures: list[Any] = []

    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            failures.append(event["log_failure"])

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not failures, failures[0].getTraceback()


class Connection:
    """One connection of a factory, in memory."""

    def __init__(self, factory: IProtocolFactory, clock: Clock) -> None:
        self._clock = clock
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
        self.transport = MemoryTransport(protocol)
        protocol.makeConnection(self.transport)
        self.sent = b""
        """What the server has sent, as far as it was taken."""

    @property
    def server(self) -> Any:
        """The protocol on the server's side."""
        return self.transport.protocol

    def feed(self, data: bytes) -> None:
        """Let the server receive something, and wait until it has done what it does then."""
        if data and not self.transport.disconnected:
            self.server.dataReceived(data)
            self._clock.advance(0)

    def take(self) -> None:
        """Read what the server has sent."""
        self.sent += self.transport.take()

    def end(self) -> None:
        """Be gone, and see that nothing stays."""
        if not self.transport.disconnected:
            self.transport.abortConnection()
        self._clock.advance(0)
