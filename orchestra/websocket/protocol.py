"""One WebSocket connection: Autobahn on one side, a subscriber of the hub on the other."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from txaio.tx import make_logger
from zope.interface import implementer

from orchestra.interfaces import IOutlet
from orchestra.subscriber import Subscriber
from orchestra.urls import BadTargetError, Target, parse_target
from orchestra.websocket.close_codes import SLOW_READER, Close

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

# What goes with a refusal (RFC 9110 sections 10.2.1, 15.5.22 and 10.2.3).
_REFUSAL_HEADERS = {
    405: ("Allow", "GET"),
    426: ("Upgrade", "websocket"),
    503: ("Retry-After", "1"),
}


@implementer(IOutlet, IPushProducer)
class OrchestraProtocol(WebSocketServerProtocol):
    """A client's connection. It translates, and decides nothing.

    Towards the hub it is the outlet of one subscriber; towards the transport it is the producer
    that is paused when the transport is full and resumed when it has drained.

    It frames nothing (:mod:`orchestra.websocket.frames` does, for all clients at once) and keeps
    no messages.
    """

    factory: OrchestraFactory
    transport: Any  # of whatever kind the endpoint makes
    peer: str
    closeHandshakeTimeout: float
    wasClean: bool
    # Autobahn tells of refusals and failures at length, with what the peer sent unescaped; what
    # matters of it is logged by the factory's activity log.
    log = make_logger(level="error")

    target = Target()
    """What the client asked for in its URL."""

    client_id = ""
    """A random string of its own for each client, from its handshake on."""

    _subscriber: Subscriber | None = None
    _farewell: Close | None = None
    _backstop: IDelayedCall | None = None

    # The way in.

    def onConnect(self, request: ConnectionRequest) -> None:
        """Admit or refuse a client that has sent a correct handshake.

        :raises ConnectionDeny: with the HTTP status and the reason of the refusal.
        """
        if not self.factory.accepting:
            raise ConnectionDeny(503, "the server is shutting down")
        try:
            self.target = parse_target(self.http_request_uri)
        except BadTargetError as error:
            raise ConnectionDeny(error.status, str(error)) from None

    def failHandshake(
        self,
        reason: str,
        code: int = 400,
        responseHeaders: list[tuple[str, str]] | None = None,
    ) -> None:
        """Refuse the connection with an HTTP status and a reason."""
        self.factory.activity.refused(self.peer, code, reason)
        super().failHandshake(reason, code, responseHeaders)

    def sendHttpErrorResponse(
        self, code: int, reason: str, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        """Answer with an HTTP status, and the reason both beside it and as the body."""
        reason = reason.encode("ascii", "replace").decode()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(reason) + 1)),
            ("Connection", "close"),
            *(responseHeaders or ()),
        ]
        if code in _REFUSAL_HEADERS:
            headers.append(_REFUSAL_HEADERS[code])
        lines = [f"HTTP/1.1 {code} {reason}", *(f"{name}: {value}" for name, value in headers)]
        self.sendData(("\r\n".join([*lines, "", reason]) + "\n").encode())

    def onOpen(self) -> None:
        """Register with the factory and start to listen."""
        self.client_id = secrets.token_hex(8)
        self.factory.register(self)
        self._subscriber = self.factory.hub.attach(
            self.target.channel,
            self,
            self.factory.encoding,
            last=self.target.last,
            skip=None if self.target.echo else self.client_id,
        )
        self.transport.registerProducer(self, True)
        self._subscriber.resume()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Play what the client sent. Nothing more is taken from one that is being closed."""
        if self.state == self.STATE_OPEN:
            self.factory.play(self, payload, isBinary)

    # The outlet.

    def write(self, data: bytes) -> None:
        """Send whole frames."""
        self.transport.write(data)

    def evict(self) -> None:
        """Close the connection of a client that is too slow."""
        self._subscriber = None
        self.factory.activity.evicted(self.peer, self.target.channel)
        self.close(SLOW_READER)

    def end(self) -> None:
        """All is written that was to be written before the farewell: say it."""
        if self._farewell is not None:
            self._send_farewell(self._farewell)

    # The producer.

    def pauseProducing(self) -> None:
        """The transport is full."""
        if self._subscriber is not None:
            self._subscriber.pause()

    def resumeProducing(self) -> None:
        """The transport has drained."""
        if self._subscriber is not None:
            self._subscriber.resume()

    def stopProducing(self) -> None:
        """The transport is gone; :meth:`onClose` does what is to be done."""

    # The way out.

    def close(self, close: Close) -> None:
        """Close the connection once the client has been sent all that was published so far.

        A client whose transport is full gets it as it reads, as long as the history holds it.
        """
        if self._subscriber is None:
            self._send_farewell(close)
        else:
            self._farewell = close
            self._subscriber.finish()

    def dropConnection(self, abort: bool = False) -> None:
        """End the connection: at once, or when what is on its way has been sent.

        A peer that does not take it within the close timeout is dropped all the same.
        """
        # Clean, it is a close frame that ends it. Where the server has closed as well, or closes
        # because the frame is wrong, Autobahn would abort, and lose what is on its way.
        abort = abort and not self.wasClean
        super().dropConnection(abort)
        timeout = self.closeHandshakeTimeout
        if timeout and not abort and self._backstop is None:
            self._backstop = self.factory.reactor.callLater(timeout, self.abort)

    def abort(self) -> None:
        """Drop the connection at once, whatever state it is in."""
        self.transport.abortConnection()

    def _send_farewell(self, close: Close) -> None:
        self.sendCloseFrame(code=close.code, reasonUtf8=close.reason.encode())

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False
    ) -> None:
        """Send a close frame, whoever began to close.

        What the current turn has published goes before it, and nothing comes after it.
        """
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            subscriber.finish()
            self.factory.hub.unsubscribe(subscriber)
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection is gone: leave the channel and the factory."""
        if self._backstop is not None and self._backstop.active():
            self._backstop.cancel()
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            self.factory.hub.unsubscribe(subscriber)
        if self.closedByMe:  # the peer's answer, if there was one, is no news
            code, reason = self.localCloseCode, (self.localCloseReason or b"").decode()
        self.factory.unregister(self, code, reason)
