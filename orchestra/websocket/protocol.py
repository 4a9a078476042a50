"""One WebSocket connection: Autobahn on one side, a subscriber of the hub on the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import randbytes
from typing import TYPE_CHECKING, Any

from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from zope.interface import implementer

from orchestra.connection.close_codes import INTERNAL_ERROR, SLOW_READER, Close
from orchestra.connection.outflow import Outflow
from orchestra.connection.timers import Timer
from orchestra.interfaces import IOutlet
from orchestra.message import Content
from orchestra.policy.limits import TokenBucket
from orchestra.refusal import RefusedError
from orchestra.subscriber import Subscriber
from orchestra.urls import Target
from orchestra.websocket.deflate import readable_offers
from orchestra.websocket.intake import IntakeProtocol

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory


@implementer(IOutlet)
class OrchestraProtocol(IntakeProtocol):
    """A client's connection. It translates, and decides nothing.

    Towards the hub it is the outlet of one subscriber, which it pauses while its
    :class:`orchestra.connection.outflow.Outflow` is full.

    It frames nothing (:mod:`orchestra.websocket.frames` does, for all clients at once) and keeps
    no messages. How it begins, and how it reads, is inherited.
    """

    factory: OrchestraFactory
    closeHandshakeTimeout: float
    closeHandshakeTimeoutCall: Any  # Autobahn's annotation says None
    wasClean: bool

    target = Target()
    """What the client asked for in its URL."""

    address: str | None = None
    """Whose place among the connections of its address it has; ``None`` if it is not counted."""

    allowance: TokenBucket | None = None
    """How much it may publish, if that is limited."""

    client_id = ""
    """A random string of its own for each client, from its handshake on."""

    _outflow: Outflow
    write: Callable[[bytes | memoryview], None]
    """Send whole frames."""

    _subscriber: Subscriber | None = None
    _ping: bytes | None = None  # to be answered when the transport has drained
    _farewell: Close | None = None
    _backstop: Timer | None = None

    # The way in.

    def connectionMade(self) -> None:
        """Take over the transport."""
        self._outflow = Outflow(self.transport, self._filled, self._drained)
        self.write = self._outflow.write
        super().connectionMade()

    def onConnect(
        self, request: ConnectionRequest
    ) -> str | tuple[str | None, dict[str, str]] | None:
        """Admit or refuse a client that has sent a correct handshake.

        :returns: ``None``: no subprotocol is spoken.
        :raises ConnectionDeny: with the HTTP status and the reason of the refusal.
        """
        # Autobahn would read offers that nobody asked for, and refuse what it cannot read.
        offers = self.websocket_extensions
        self.websocket_extensions = readable_offers(offers) if self.factory.compress else []
        try:
            self.factory.admit(self, request.headers)
        except RefusedError as error:
            raise ConnectionDeny(error.status, str(error)) from None
        return None

    def onOpen(self) -> None:
        """Register with the factory and start to listen."""
        self.client_id = randbytes(8).hex()  # unique, but no secret
        self.factory.register(self)
        self._subscriber = self.factory.hub.attach(
            self.target.channel,
            self,
            self.factory.encoding(self._window_bits()),
            last=self.target.last,
            skip=None if self.target.echo else self.client_id,
        )
        if not self._outflow.full:  # of what is to go before; else it is resumed when that is sent
            self._subscriber.resume()

    def onMessages(self, contents: Sequence[Content]) -> None:
        """Play what the client sent. Nothing more is taken from one that is being closed."""
        if self.state == self.STATE_OPEN and self._farewell is None:
            self.factory.play(self, contents)

    def onPing(self, payload: bytes) -> None:
        """Answer a ping: at once, or once what was written before has been sent.

        Of several that came until then the last one is answered (RFC 6455 section 5.5.3), so
        that a peer that sends pings and reads nothing does not have its answers pile up.
        """
        if self._outflow.full:
            self._ping = payload
        else:
            self.sendPong(payload)

    # The outlet.

    @property
    def send(self) -> Callable[[bytes | memoryview], int] | None:
        """Send what there is room for at once; ``None`` where the transport cannot."""
        return self._outflow.send

    def evict(self) -> None:
        """Close the connection of a client that is too slow."""
        self._subscriber = None
        self.factory.activity.evicted(self.peer, self.target.channel)
        self.close(SLOW_READER)

    def fail(self) -> None:
        """Close the connection of a client that an application's own code cannot serve."""
        self._subscriber = None
        self.close(INTERNAL_ERROR)

    def end(self) -> None:
        """All is written that was to be written before the farewell: say it."""
        if self._farewell is not None:
            self._send_farewell(self._farewell)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Send what is no message: control frames, and answers to requests."""
        self.write(data)

    def _window_bits(self) -> int:
        deflate = self._perMessageCompress
        return 0 if deflate is None else deflate.server_max_window_bits

    def _filled(self) -> None:
        self.factory.backpressure.filled(self, self._outflow.holds)
        if self._subscriber is not None:
            self._subscriber.pause()

    def _drained(self) -> None:
        self.factory.backpressure.drained(self)
        if self._ping is not None:
            payload, self._ping = self._ping, None
            self.sendPong(payload)
        if self._subscriber is not None:
            self._subscriber.resume()

    def give_up(self) -> None:
        """Close the connection of a client that does not read."""
        if self._subscriber is not None:
            self.factory.hub.unsubscribe(self._subscriber)
            self.evict()

    # The way out.

    def close(self, close: Close) -> None:
        """Close the connection once the client has been sent all that was published so far.

        A client whose transport is full gets it as it reads, as long as the history holds it.
        """
        if self._subscriber is None:
            self._send_farewell(close)
        elif self._farewell is None:
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
            self._backstop = self.factory.timers.call_later(timeout, self.abort)

    def unregisterProducer(self) -> None:
        """Leave that to the outflow, which may still have something to send."""

    def _closeConnection(self, abort: bool = False) -> None:
        if abort:
            self.abort()
        else:
            self._outflow.close()

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
        self.factory.backpressure.gone(self)
        for timer in (self._backstop, self.closeHandshakeTimeoutCall):
            if timer is not None:
                timer.cancel()
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            self.factory.hub.unsubscribe(subscriber)
        if self.closedByMe:  # the peer's answer, if there was one, is no news
            code, reason = self.localCloseCode, (self.localCloseReason or b"").decode()
        self.factory.unregister(self, code, reason)
