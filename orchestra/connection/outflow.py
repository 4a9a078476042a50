"""The way out of a connection, and what its transport has no room for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.tcp import Connection
from zope.interface import implementer

CHUNK = 32 * 1024
"""How many bytes a transport is given at a time when it cannot send them at once."""

BUFFER = 64 * 1024
"""How many bytes a transport that cannot send at once buffers before it says that it is full."""

UNSENT = 128 * 1024
"""How many bytes the kernel may hold for a connection, unsent."""

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
    if isinstance(its_socket, socket.socket) and _LOWAT is not None:
        with suppress(OSError):  # it is no TCP socket
            its_socket.setsockopt(socket.IPPROTO_TCP, _LOWAT, UNSENT)


@implementer(IPushProducer)
class Outflow:
    """Writes to a connection's transport, and knows whether it is full.

    Where it can, it sends bytes to the socket at once: to have the reactor send them would cost
    two system calls and a turn more. It is full as soon as the socket has no room for all of
    them. What is left goes through the transport's buffer, chunk by chunk, so that the transport
    never holds much; what that has no room for waits as a view of the bytes that all clients
    share, and costs nothing.

    It knows nothing of frames but that each write is a number of whole ones.
    """

    __slots__ = (
        "_closing",
        "_drained",
        "_filled",
        "_transport",
        "_waiting",
        "full",
        "holds",
        "send",
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
        self.send: Callable[[bytes | memoryview], int] | None = None
        """Send at once what there is room for, while it is not full; ``None`` if it cannot."""
        self._waiting: list[bytes | memoryview] = []
        self._closing = False
        self.full = False
        """Whether nothing more should be written but control frames."""
        limit_unsent(transport)
        if sends_at_once(transport):
            self.send = transport.getHandle().send
        self.holds = CHUNK if self.send is not None else BUFFER + CHUNK
        """How many bytes the transport holds at the most when it is full."""
        # One that pulls is asked whenever the buffer has drained, one that pushes only after it
        # was told that the buffer is full.
        transport.registerProducer(self, self.send is None)
        if self.send is not None and (transport.dataBuffer or transport._tempDataBuffer):
            self.full = True  # of what was written before there was an outflow

    def write(self, data: bytes | memoryview) -> None:
        """Send whole frames, behind those that were written before."""
        if self.full:
            self._waiting.append(data)
        elif self.send is None:
            self._buffer(data)
        else:
            try:
                sent = self.send(data)
            except OSError:  # full; or broken, of which the reactor learns when it tries
                sent = 0
            if sent < len(data):
                self._buffer(memoryview(data)[sent:])

    def close(self) -> None:
        """Close the connection when all is sent."""
        self._closing = True
        if not self._waiting:
            self._close()

    def _buffer(self, data: bytes | memoryview) -> None:
        while data and not self.full:
            self._transport.write(bytes(data[:CHUNK]))
            data = memoryview(data)[CHUNK:]
            if self.send is not None:
                self.pauseProducing()
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
        """The transport has drained, or asks for the first time."""
        if not self.full:
            return
        if getattr(self._transport, "_lostTLSConnection", False):
            # The peer has closed TLS. What is written is dropped, and yet the connection below
            # would wait for the end of it.
            self._transport.unregisterProducer()
            return
        self.full = False
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.write(data)
        if not self.full:
            if self._closing:
                self._close()
            else:
                self._drained()

    def stopProducing(self) -> None:
        """The transport is gone, and with it what was to be sent."""
        self._waiting.clear()
