"""What Autobahn's documentation does to broadcast. ``python autobahn_broadcast.py PORT``"""

from __future__ import annotations

import sys
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor


class BroadcastProtocol(WebSocketServerProtocol):
    """Registers with its factory, and has it send what its client sends."""

    factory: Any

    def onOpen(self) -> None:
        self.factory.clients.append(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.factory.broadcast(payload if isBinary else b"Echo: " + payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self in self.factory.clients:
            self.factory.clients.remove(self)


class BroadcastFactory(WebSocketServerFactory):
    """Keeps the clients, and prepares a message once for all of them."""

    protocol = BroadcastProtocol

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[BroadcastProtocol] = []

    def broadcast(self, payload: bytes, is_binary: bool) -> None:
        """Send a message to every client."""
        prepared = self.prepareMessage(payload, is_binary)
        for client in self.clients:
            client.sendPreparedMessage(prepared)


loop: Any = reactor
loop.listenTCP(int(sys.argv[1]), BroadcastFactory(), interface="127.0.0.1", backlog=4096)
loop.run()
