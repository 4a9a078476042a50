"""The way in of a connection: from the bytes received to messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestra.message import Content
from orchestra.websocket.opening import OpeningProtocol
from orchestra.websocket.reader import read_burst
from orchestra.websocket.turns import SLICE

BURST = 64
"""How many messages are read at once before it is looked at whether others should have a turn."""

PIECES = 1000
"""How many pieces of an unfinished message are kept before they are joined."""

LONGEST_CONTROL = 125
"""The largest payload of a control frame, in bytes (RFC 6455 section 5.5)."""


class IntakeProtocol(OpeningProtocol):
    """A connection that reads the common frames by itself and has Autobahn read all others.

    Whatever a client sends, what it makes the server keep is bounded, and so is how long the
    others wait for it.

    What becomes of a message is for a subclass to say.
    """

    maxMessagePayloadSize: int
    current_frame: Any
    frame_data: list[bytes]
    message_data: list[bytes]

    _has_rest = False  # of what was received, for which it waits for its turn
    _is_queued = False
    _is_held = False  # until there is room for what clients publish

    def onMessages(self, contents: Sequence[Content]) -> None:
        """Take messages.

        :param contents: messages that came together, in their order.
        """
        raise NotImplementedError

    def dataReceived(self, data: bytes) -> None:
        """Take what the client sent."""
        # Autobahn does the same, but formats a message for its log and counts bytes before that;
        # and it keeps what comes after the end, which can be any amount.
        if self.state == self.STATE_CLOSED:
            return
        self.data += data
        if not self._has_rest:
            self.consumeData()

    def consumeData(self) -> None:
        """Read the common frames of what was received, and have Autobahn read the others."""
        if self.state not in (self.STATE_OPEN, self.STATE_CLOSING):
            super().consumeData()
            return
        ends = 0.0
        while self.state != self.STATE_CLOSED:
            between_messages = self.current_frame is None and not self.inside_message
            if between_messages and self.state == self.STATE_OPEN:
                is_cut = self._read_burst()
                if not self.data:
                    return
            else:
                is_cut = False
            # One step, at the end of which it may be between messages again.
            if not (is_cut or self.processData()):
                return
            now = self.factory.turns.seconds()
            ends = ends or now + SLICE
            if now >= ends and self.data:
                self._has_rest = True
                self.transport.pauseProducing()
                self._queue()
                return

    def _read_burst(self) -> bool:
        # Whether it ended because there were enough of them.
        contents, size = read_burst(self.data, self.maxMessagePayloadSize, BURST)
        if not contents:
            return False
        self.data = self.data[size:]
        # A sign of life, as it is to Autobahn.
        if self.autoPingTimeoutCall and self.autoPingRestartOnAnyTraffic:
            self._cancelAutoPingTimeoutCall()
        self.onMessages(contents)
        return len(contents) == BURST

    # What Autobahn has read.

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Take a message that Autobahn has read."""
        if self._perMessageCompress is not None:
            # It is made anew for each message, and takes 40 KB until then.
            self._perMessageCompress._decompressor = None
        self.onMessages([(payload, isBinary)])

    def onMessageFrameData(self, payload: bytes) -> None:
        """Take a piece of a frame: as much as came at once."""
        super().onMessageFrameData(payload)
        if len(self.frame_data) > PIECES:
            self.frame_data = [b"".join(self.frame_data)]

    def onMessageFrame(self, payload: Any) -> None:
        """Take a whole frame of a message. Empty ones count for nothing in the message's size.

        :param payload: the pieces that it came in, whatever Autobahn's annotation says.
        """
        super().onMessageFrame(payload)
        if len(self.message_data) > PIECES:
            self.message_data = [b"".join(self.message_data)]

    def onFrameData(self, payload: bytes) -> bool | None:
        """Take a piece of a frame, whatever its kind."""
        frame = self.current_frame
        if frame.opcode > 7 and frame.length > LONGEST_CONTROL:
            # It has failed the connection, but all of it would be kept until the peer is gone.
            return None
        result: bool | None = super().onFrameData(payload)
        return result

    # Its turn.

    def work_on(self) -> None:
        """Go on with what was received."""
        self._is_queued = False
        if self._is_held or self.state == self.STATE_CLOSED:
            return
        self._has_rest = False
        self.consumeData()
        if not (self._has_rest or self._is_held):
            self.transport.resumeProducing()

    def pause_reading(self) -> None:
        """Take nothing from the client for a while."""
        self._is_held = True
        self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """Take what the client sends again."""
        self._is_held = False
        if not self._has_rest:
            self.transport.resumeProducing()
        elif not self._is_queued:
            self._queue()

    def _queue(self) -> None:
        self._is_queued = True
        self.factory.turns.wait(self)
