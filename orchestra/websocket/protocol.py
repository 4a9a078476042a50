"""One WebSocket connection: Autobahn on one side, a subscriber of the hub on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autobahn.websocket.types import ConnectionRequest
from twisted.internet.defer import Deferred

from orchestra.connection.client import Client
from orchestra.connection.close_codes import Close
from orchestra.connection.timers import Timer
from orchestra.connection.undecided import Undecided
from orchestra.message import Content
from orchestra.observe.activity import ConnectionKind
from orchestra.policy.tokens import SUBPROTOCOL
from orchestra.refusal import RefusedError
from orchestra.websocket.deflate import readable_offers
from orchestra.websocket.intake import IntakeProtocol


class OrchestraProtocol(Client, IntakeProtocol):
    """A client's connection. It translates, and decides nothing.

    It frames nothing (:mod:`orchestra.websocket.frames` does, for all clients at once) and keeps
    no messages. How it begins, how it reads, and what it is to the hub, is inherited.
    """

    closeHandshakeTimeout: float
    maxFramePayloadSize: int
    closeHandshakeTimeoutCall: Any  # Autobahn's annotation says None
    wasClean: bool
    _transport_details: Any  # Autobahn's own annotations disagree

    connection_kind = ConnectionKind.RAW

    undecided: Undecided | None = None
    """What it has sent that is not decided on yet."""

    _ping: bytes | None = None  # to be answered when the transport has drained
    _backstop: Timer | None = None

    # The way in.

    def connectionMade(self) -> None:
        """Take over the transport."""
        self.open_outflow()
        super().connectionMade()

    def onConnect(self, request: ConnectionRequest) -> Any:
        """Admit or refuse a client that has sent a correct handshake.

        :returns: the subprotocol that is spoken: none, unless it is how a token was sent. It is a
            Deferred of that if who may come in is not decided at once.
        :raises RefusedError: with the HTTP status and the reason of the refusal; a Deferred may
            fail with it, too.
        """
        # Autobahn would read offers that nobody asked for, and refuse what it cannot read.
        offers = self.websocket_extensions
        self.websocket_extensions = readable_offers(offers) if self.factory.compress else []
        admitted = self.factory.admit(self, request.headers, self.http_request_uri)
        if isinstance(admitted, Deferred):
            return admitted.addCallback(lambda _: self._admitted(request))
        return self._admitted(request)

    def _admitted(self, request: ConnectionRequest) -> str | None:
        if self.target.since is not None or self.target.presence is not None:
            raise RefusedError(400, "since and presence are for event streams")
        settings = self.factory.settings(self.target.channel)
        if settings is not self.factory.defaults:
            self.maxMessagePayloadSize = self.maxFramePayloadSize = settings.max_message_size or 0
        return SUBPROTOCOL if SUBPROTOCOL in request.protocols[:1] else None

    def onOpen(self) -> None:
        """Register with the factory and start to listen."""
        encoding = self.factory.encoding(self._window_bits(), self.target.channel)
        self.join(encoding, skip_own=not self.target.echo)
        self.listen()

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

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Send what is no message: control frames, and answers to requests."""
        self.write(data)

    def _window_bits(self) -> int:
        deflate = self._perMessageCompress
        return 0 if deflate is None else deflate.server_max_window_bits

    def send_first(self) -> None:
        """Answer a ping that came while there was no room."""
        if self._ping is not None:
            payload, self._ping = self._ping, None
            self.sendPong(payload)

    # The way out.

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

    def say_farewell(self, close: Close) -> None:
        """Begin to close: all is written that goes before that."""
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
        for timer in (self._backstop, self.closeHandshakeTimeoutCall):
            if timer is not None:
                timer.cancel()
        if self.closedByMe:  # the peer's answer, if there was one, is no news
            code, reason = self.localCloseCode, (self.localCloseReason or b"").decode()
        elif not self.factory.activity.log_notes:
            reason = None  # which the client wrote, as it does notes
        self.leave(code, reason)
        if self.undecided is not None:
            self.undecided.stop()
