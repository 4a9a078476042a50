"""The way out of a connection, and what its transport has no room for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

CHUNK = 32 * 1024
"""How many bytes a transport that does not send at once is given at a time."""

UNSENT = 128 * 1024
"""How many bytes the kernel may hold for a connection, unsent."""

_TCP = (socket.AF_INET, socket.AF_INET6)
_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS have it


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


def limit_unsent(transport: Any) -> None:
    """Have the kernel hold no more than :data:`UNSENT` bytes that it could not send yet.

    It would take some megabytes for each reader that is slow: memory, time to copy, and a queue
    that everything written later, pings included, has to wait behind. What is on its way to a
    reader that is merely far away does not count.
    """
    its_socket = getattr(transport, "socket", None)  # which wrappers pass on
    if isinstance(its_socket, socket.socket) and its_socket.family in _TCP and _LOWAT is not None:
        its_socket.setsockopt(socket.IPPROTO_TCP, _LOWAT, UNSENT)


@implementer(IPushProducer)
class Outflow:
    """Writes to a connection's transport, and knows whether it is full.

    While the transport's buffer is empty, bytes go to the socket at once: to have the reactor
    send them would cost two system calls and a turn more. What the socket does not take goes
    through the buffer, chunk by chunk, so that the transport never holds much; what it has no
    room for waits as a view of the bytes that all clients share, and costs nothing.

    It knows nothing of frames but that each write is a number of whole ones.
    """

    __slots__ = (
        "_closing",
        "_direct",
        "_drained",
        "_filled",
        "_send",
        "_transport",
        "_waiting",
        "full",
    )

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
        self._send: Callable[[bytes | memoryview], int] | None = None
        if sends_at_once(transport):
            self._send = transport.getHandle().send
        limit_unsent(transport)
        # The same while the transport's buffer is known to be empty.
        self._direct: Callable[[bytes | memoryview], int] | None = None
        self._waiting: list[bytes | memoryview] = []
        self._closing = False
        self.full = False
        """Whether nothing more should be written but control frames."""
        transport.registerProducer(self, True)

    def write(self, data: bytes | memoryview) -> None:
        """Send whole frames, behind those that were written before."""
        if self._direct is None:
            self._write(data)
            return
        try:
            sent = self._direct(data)
        except OSError:  # full; or broken, of which the reactor learns when it tries
            sent = 0
        if sent < len(data):
            self._buffer(memoryview(data)[sent:])

    def close(self) -> None:
        """Close the connection when all is sent."""
        self._closing = True
        if not self._waiting:
            self._close()

    def _write(self, data: bytes | memoryview) -> None:
        transport = self._transport
        if self._waiting:
            self._waiting.append(data)
        elif self._send and not (transport.dataBuffer or transport._tempDataBuffer):
            self._direct = self._send
            self.write(data)
        else:
            self._buffer(data)

    def _buffer(self, data: bytes | memoryview) -> None:
        self._direct = None
        while data and not self.full:
            self._transport.write(bytes(data[:CHUNK]))
            data = memoryview(data)[CHUNK:]
        if data:
            self._waiting.append(data)

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
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self._write(data)
        if not self.full:
            if self._closing:
                self._close()
            else:
                self._drained()

    def stopProducing(self) -> None:
        """The transport is gone, and with it what was to be sent."""
        self._waiting.clear()
