"""A WebSocket on which the Centrifuge client protocol is spoken."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from autobahn.websocket.types import ConnectionRequest

from orchestra.dialects.centrifuge.codec import Codec
from orchestra.dialects.centrifuge.encodings import Framing
from orchestra.dialects.centrifuge.protobuf import protobuf_codec
from orchestra.message import Content
from orchestra.observe.activity import ConnectionKind
from orchestra.session.session import Session
from orchestra.websocket.connection import WebSocketClient
from orchestra.websocket.deflate import Deflater
from orchestra.websocket.frames import header
from orchestra.websocket.intake import IntakeProtocol

PATH = b"/connection/websocket"
"""Where it is spoken."""

PROTOBUF = "centrifuge-protobuf"
"""The subprotocol with which it is spoken in protobuf."""

JSON_SUBPROTOCOL = "centrifuge-json"
"""The subprotocol with which it is spoken in JSON, as it is without any."""


class CentrifugeProtocol(Session, WebSocketClient):
    """An SDK's connection: a WebSocket on one side, a session on the other."""

    own_path = PATH
    connection_kind = ConnectionKind.CENTRIFUGE
    # The session sends pings of its own, which SDKs wait for.
    autoPingInterval = 0

    def connectionMade(self) -> None:
        """Take over the transport."""
        self.prepare()
        super().connectionMade()

    def onConnect(self, request: ConnectionRequest) -> Any:
        """Let a client in that has sent a correct handshake; who it is, its first command tells.

        :returns: the subprotocol that is spoken.
        :raises RefusedError: with the HTTP status and the reason of the refusal.
        """
        self.look_at_offers()
        entrance = self.factory.entrance
        self.remote = entrance.greet(self, request.headers)
        entrance.count(self, self.remote)
        self.maxMessagePayloadSize = self.maxFramePayloadSize = self.factory.site.max_commands
        self.headers, self.uri = request.headers, self.http_request_uri
        for name in request.protocols:
            if name == JSON_SUBPROTOCOL:
                return name
            if name == PROTOBUF:
                self.codec = protobuf_codec()
                return name
        # Those who can set no subprotocol ask for it in the URL.
        if "protobuf" in [
            *request.params.get("cf_protocol", ()),
            *request.params.get("format", ()),
        ]:
            self.codec = protobuf_codec()
        return None

    def onOpen(self) -> None:
        """Wait for the command to connect."""
        self.frame = framing(self.codec, self.window_bits())
        self.begin()

    def onMessages(self, contents: Sequence[Content]) -> None:
        """Perform the commands that the client sent; nothing more from one that is closed."""
        if self.state == self.STATE_OPEN:
            self.queue.received(*[payload for payload, _ in contents])

    def read_no_more(self) -> None:
        """Take nothing from the client."""
        IntakeProtocol.pause_reading(self)

    def read_on(self) -> None:
        """Take what the client sends again."""
        IntakeProtocol.resume_reading(self)


@cache
def framing(codec: Codec, window_bits: int) -> Framing:
    """How replies become a WebSocket message.

    :param window_bits: of the compression that was agreed on; 0 for none.
    :returns: the same for the same.
    """
    is_binary, join = codec.is_binary, codec.join
    deflater = Deflater(window_bits) if window_bits else None

    def frame(replies: list[bytes]) -> bytes:
        payload = join(replies)
        deflated = None if deflater is None else deflater.deflate(payload)
        if deflated is not None:
            payload = deflated
        return header(len(payload), is_binary, deflated is not None) + payload

    return frame
