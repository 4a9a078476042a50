"""The way in of a connection: from the bytes received to messages."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.python.failure import Failure

from orchestra.connection.turns import SLICE
from orchestra.message import Content
from orchestra.websocket.deflate import Inflater, TooLargeError, longest_frame
from orchestra.websocket.opening import OpeningProtocol
from orchestra.websocket.reader import read_burst

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
    failedByMe: bool
    _isMessageCompressed: bool
    _perMessageCompress: Any
    frame_data: list[bytes]
    message_data: list[bytes]

    _inflater: Inflater | None = None
    _has_rest = False  # of what was received, for which it waits for its turn
    _is_queued = False
    _holds = 0  # for how many reasons nothing is to be taken from the client

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
            if self._holds:
                self._has_rest = bool(self.data)
                return
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
        self.onMessages([(payload, isBinary)])

    def onMessageBegin(self, isBinary: bool) -> None:
        """Begin with a message. If it is compressed, it is inflated here."""
        super().onMessageBegin(isBinary)
        self._inflater = None
        if self._isMessageCompressed:
            self._isMessageCompressed = False  # to Autobahn
            # It makes one anew for each message, which takes 40 KB as long as it is kept.
            deflate = self._perMessageCompress
            self._inflater = Inflater(deflate._decompressor, self.maxMessagePayloadSize)
            deflate._decompressor = None

    def onMessageFrameBegin(self, length: int) -> None:
        """Begin with a frame of a message; of a compressed one this is not what counts."""
        if self._inflater is None:
            super().onMessageFrameBegin(length)
            return
        self.frame_data = []
        if length > longest_frame(self.maxMessagePayloadSize):
            self._too_large()

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
        """Take a piece of a frame, whatever its kind.

        :returns: ``False`` to read no further.
        """
        frame = self.current_frame
        if self.failedByMe and (frame.opcode <= 7 or frame.length > LONGEST_CONTROL):
            # Nobody looks at it any more, and behind it there may be the peer's close.
            self.utf8validateIncomingCurrentMessage = False
            return None
        if frame.opcode <= 7 and self._inflater is not None:
            return self._inflate(partial(self._inflater.inflate, payload))
        result: bool | None = super().onFrameData(payload)
        return result

    def onFrameEnd(self) -> bool | None:
        """Take the end of a frame, whatever its kind.

        :returns: ``False`` to read no further.
        """
        frame = self.current_frame
        if frame.opcode <= 7 and frame.fin and self._inflater is not None:
            if not self.failedByMe:
                self._inflate(self._inflater.finish)
            self._inflater = None
        result: bool | None = super().onFrameEnd()
        return result

    def _inflate(self, inflate: Callable[[], bytes]) -> bool | None:
        try:
            payload = inflate()
        except TooLargeError:
            self._too_large()
        except zlib.error as error:
            self._invalid_payload(f"what was compressed cannot be inflated: {error}")
        else:
            result: bool | None = super().onFrameData(payload)
            return result
        return None

    def _too_large(self) -> None:
        limit = self.maxMessagePayloadSize
        self._fail_connection(1009, f"received a message of more than {limit} bytes")

    # Its turn.

    def work_on(self) -> None:
        """Go on with what was received."""
        self._is_queued = False
        if self.state == self.STATE_CLOSED:
            return
        self._has_rest = False
        try:
            self.consumeData()
        except Exception:  # of a subclass; the reactor does the same with one that reads
            self.factory.report(Failure(), "a connection failed")
            self.transport.abortConnection()
            return
        if not (self._has_rest or self._holds):
            self.transport.resumeProducing()

    def pause_reading(self) -> None:
        """Take nothing from the client, until :meth:`resume_reading` is called as many times."""
        self._holds += 1
        self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """Take what the client sends again."""
        self._holds -= 1
        if self._holds or self.state == self.STATE_CLOSED:
            return
        if not self._has_rest:
            self.transport.resumeProducing()
        elif not self._is_queued:
            self._queue()

    def _queue(self) -> None:
        self._is_queued = True
        self.factory.turns.wait(self)
