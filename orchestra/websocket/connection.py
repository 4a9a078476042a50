"""A client on a WebSocket, whatever is spoken on it: how it sends, and how it closes."""

from __future__ import annotations

from typing import Any

from orchestra.connection.client import Client
from orchestra.connection.close_codes import Close, shortened
from orchestra.connection.timers import Timer
from orchestra.websocket.deflate import readable_offers
from orchestra.websocket.intake import IntakeProtocol


class WebSocketClient(Client, IntakeProtocol):
    """A client's WebSocket. It frames nothing, and knows of no channel.

    All that is sent goes through the outflow. How it begins and how it reads is inherited; what
    becomes of what was read is for a subclass to say.
    """

    closeHandshakeTimeout: float
    closeHandshakeTimeoutCall: Any  # Autobahn's annotation says None
    wasClean: bool
    _transport_details: Any  # Autobahn's own annotations disagree

    _ping: bytes | None = None  # to be answered when the transport has drained
    _backstop: Timer | None = None

    def connectionMade(self) -> None:
        """Take over the transport."""
        self.open_outflow()
        super().connectionMade()

    def look_at_offers(self) -> None:
        """Leave those of the offered extensions that can be read, if any are wanted."""
        # Autobahn would read offers that nobody asked for, and refuse what it cannot read.
        offers = self.websocket_extensions
        self.websocket_extensions = readable_offers(offers) if self.factory.compress else []

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

    def window_bits(self) -> int:
        """Of the compression that was agreed on; 0 for none."""
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
        self.sendCloseFrame(code=close.code, reasonUtf8=shortened(close.reason).encode())

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False
    ) -> None:
        """Send a close frame, whoever began to close.

        What the current turn has published goes before it, and nothing comes after it.
        """
        self.finish_listening()
        super().sendCloseFrame(code, reasonUtf8, isReply)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection is gone: leave the factory."""
        for timer in (self._backstop, self.closeHandshakeTimeoutCall):
            if timer is not None:
                timer.cancel()
        if self.closedByMe:  # the peer's answer, if there was one, is no news
            code, reason = self.localCloseCode, (self.localCloseReason or b"").decode()
        elif not self.factory.activity.log_notes:
            reason = None  # which the client wrote, as it does notes
        self.leave(code, reason)
