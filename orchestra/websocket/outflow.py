"""The way out of a connection, and what its transport has no room for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

CHUNK = 32 * 1024
"""How many bytes a transport that does not send at once is given at a time."""


def sends_at_once(transport: Any) -> bool:
    """Whether bytes can be sent on a transport right away, past its buffer while that is empty.

    That is so for plain connections of the reactors that poll, over TCP or a UNIX socket. What
    wraps such a connection (TLS, a proxy's protocol) passes its attributes on, so that it is the
    class that counts.
    """
    return (
        isinstance(transport, Connection)
        and not transport.TLS
        and hasattr(transport, "_tempDataBuffer")
    )


@implementer(IPushProducer)
class Outflow:
    """Writes to a connection's transport, and knows whether it is full.

    While the transport's buffer is empty, bytes go to the socket at once: to have the reactor
    send them would cost two system calls and a turn more. What the socket does not take goes
    through the buffer, chunk by chunk, so that the transport never holds much; what it has no
    room for waits as a view of the bytes that all clients share, and costs nothing.

    It knows nothing of frames but that each write is a number of whole ones.
    """

    __slots__ = ("_at_once", "_closing", "_drained", "_filled", "_transport", "_waiting", "full")

    def __init__(
        self, transport: Any, filled: Callable[[], object], drained: Callable[[], object]
    ) -> None:
        """
        :param transport: it must have no producer.
        :param filled: called when it becomes full.
        :param drained: called when everything has been sent after that.
        """
        self._transport = transport
        self._filled = filled
        self._drained = drained
        self._at_once = transport.getHandle().send if sends_at_once(transport) else None
        self._waiting: list[bytes | memoryview] = []
        self._closing = False
        self.full = False
        """Whether nothing more should be written but control frames."""
        transport.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        """Send whole frames, behind those that were written before."""
        rest = data if self._waiting else self._send(data)
        if rest:
            self._waiting.append(rest)

    def close(self) -> None:
        """Close the connection when all is sent."""
        self._closing = True
        if not self._waiting:
            self._close()

    def _send(self, data: bytes | memoryview) -> bytes | memoryview:
        # Returns what there is no room for.
        transport = self._transport
        if self._at_once and not (transport.dataBuffer or transport._tempDataBuffer):
            try:
                sent = self._at_once(data)
            except OSError:  # full; or broken, of which the reactor learns when it tries
                sent = 0
            if sent == len(data):
                return b""
            data = memoryview(data)[sent:]
        while data and not self.full:
            transport.write(bytes(data[:CHUNK]))
            data = memoryview(data)[CHUNK:]
        return data

    def _close(self) -> None:
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    # The producer.

    def pauseProducing(self) -> None:
        """The transport is full."""
        if not self.full:
            self.full = True
            self._filled()

    def resumeProducing(self) -> None:
        """The transport has drained."""
        self.full = False
        while self._waiting and not self.full:
            rest = self._send(self._waiting[0])
            self._waiting[:1] = [rest] if rest else []
        if not self.full:
            if self._closing:
                self._close()
            else:
                self._drained()

    def stopProducing(self) -> None:
        """The transport is gone, and with it what was to be sent."""
        self._waiting.clear()
