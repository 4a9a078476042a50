"""A WebSocket of the raw dialect: Autobahn on one side, a subscriber of the hub on the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autobahn.websocket.types import ConnectionRequest
from twisted.internet.defer import Deferred

from orchestra.connection.channel_client import ChannelClient
from orchestra.connection.undecided import Undecided
from orchestra.message import Content
from orchestra.observe.activity import ConnectionKind
from orchestra.policy.tokens import SUBPROTOCOL
from orchestra.refusal import RefusedError
from orchestra.websocket.connection import WebSocketClient


class OrchestraProtocol(ChannelClient, WebSocketClient):
    """A client's connection. It translates, and decides nothing.

    It frames nothing (:mod:`orchestra.websocket.frames` does, for all clients at once) and keeps
    no messages. How it begins, how it reads, and what it is to the hub, is inherited.
    """

    maxFramePayloadSize: int

    connection_kind = ConnectionKind.RAW

    undecided: Undecided | None = None
    """What it has sent that is not decided on yet."""

    def onConnect(self, request: ConnectionRequest) -> Any:
        """Admit or refuse a client that has sent a correct handshake.

        :returns: the subprotocol that is spoken: none, unless it is how a token was sent. It is a
            Deferred of that if who may come in is not decided at once.
        :raises RefusedError: with the HTTP status and the reason of the refusal; a Deferred may
            fail with it, too.
        """
        self.look_at_offers()
        admitted = self.factory.entrance.admit(self, request.headers, self.http_request_uri)
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
        encoding = self.factory.encoding(self.window_bits(), self.target.channel)
        self.join(encoding, skip_own=not self.target.echo)
        self.listen()

    def onMessages(self, contents: Sequence[Content]) -> None:
        """Play what the client sent. Nothing more is taken from one that is being closed."""
        if self.state == self.STATE_OPEN and self._farewell is None:
            self.factory.play(self, contents)

    def leave(self, code: int | None, reason: str | None) -> None:
        """The connection is gone: leave the channel and the factory."""
        super().leave(code, reason)
        if self.undecided is not None:
            self.undecided.stop()
