"""An HTTP response without an end, whatever is written in it, as a client's connection."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString

from orchestra.connection.client import Client
from orchestra.connection.close_codes import Close
from orchestra.connection.timers import Timer

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux has it


def stream_headers(content_type: str) -> dict[str, str]:
    """What goes with a stream of some type."""
    return {
        "Content-Type": content_type,
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",  # or nginx waits until it has a page full
        "X-Content-Type-Options": "nosniff",
    }


class StreamClient(Client, Protocol):
    """A client that is answered without an end, on a connection of its own from then on.

    The response ends with the connection (RFC 9112 section 6.3), so that the bytes of a message
    are the same for all streams of a kind, and go the same short way as the frames of WebSockets.

    What is in the response, and to what the client listens, is for a subclass to say.
    """

    transport: Any
    _backstop: Timer | None = None
    _closed: Close | None = None

    def __init__(self, factory: OrchestraFactory, peer: str) -> None:
        self.factory = factory
        self.peer = peer

    def connectionMade(self) -> None:
        """Take over the transport."""
        self.factory.countConnections += 1
        self._notice_absence()
        self.open_outflow()

    def _notice_absence(self) -> None:
        # A peer that is gone without a word is noticed as soon as it would be by pings.
        its_socket = getattr(self.transport, "socket", None)
        interval, timeout = self.factory.autoPingInterval, self.factory.autoPingTimeout
        if not (interval and timeout and isinstance(its_socket, socket.socket)):
            return
        if _USER_TIMEOUT is not None:
            with suppress(OSError):  # it is no TCP socket
                milliseconds = round(1000 * (interval + timeout))
                its_socket.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, milliseconds)

    def head(self, headers: Iterable[tuple[str, str]]) -> bytes:
        """What the response begins with.

        :param headers: that go with it.
        """
        lines = [
            "HTTP/1.1 200 OK",
            f"Date: {datetimeToString().decode()}",
            *[f"{name}: {value}" for name, value in headers],
            "Connection: close",
        ]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("iso-8859-1")

    def end_with(self, farewell: bytes, close: Close) -> None:
        """End the response once all is sent, or the client has not taken it in time.

        :param farewell: the last that is written.
        :param close: why it ends.
        """
        self._closed = close
        self.write(farewell)
        self._outflow.close()
        timeout = self.factory.closeHandshakeTimeout
        if timeout:
            self._backstop = self.factory.timers.call_later(timeout, self.abort)

    def dataReceived(self, data: bytes) -> None:
        """Ignore what comes after the request: there is nothing more to ask for."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone: leave the channels and the factory."""
        self.factory.countConnections -= 1
        if self._backstop is not None:
            self._backstop.cancel()
        code, text = (None, None) if self._closed is None else self._closed[:2]
        self.leave(code, text)
