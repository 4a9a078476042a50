"""Connections in memory: a transport with a bounded buffer, and a WebSocket client behind it.

The client is the sans-I/O protocol of the ``websockets`` library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.extensions import ClientExtensionFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri
from zope.interface import implementer

BUFFER = 64 * 1024
"""How many bytes a transport buffers before it pauses its producer."""


@implementer(ITransport, IConsumer, IPushProducer)
class MemoryTransport:
    """A transport whose other end takes what was written when it is told to."""

    def __init__(self, protocol: IProtocol) -> None:
        self.protocol = protocol
        self.buffer = bytearray()
        self.producer: IPushProducer | None = None
        self.disconnecting = False
        self.disconnected = False
        self.reading = True
        self.no_delay = False
        self._paused = False

    # What the server's side calls.

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if self.disconnected:  # while it is only disconnecting, Twisted still sends
            return
        self.buffer += data
        if len(self.buffer) > BUFFER and self.producer is not None and not self._paused:
            self._paused = True
            self.producer.pauseProducing()

    def writeSequence(self, data: list[bytes]) -> None:
        self.write(b"".join(data))

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        assert self.producer is None, "there is a producer already"
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.buffer.clear()
        self.lose(ConnectionAborted())

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 50000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8080)

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def stopProducing(self) -> None:
        self.loseConnection()

    # What the network does.

    def take(self) -> bytes:
        """Take what is buffered, as the network would."""
        data = bytes(self.buffer)
        self.buffer.clear()
        if self._paused:
            self._paused = False
            if self.producer is not None:
                self.producer.resumeProducing()
        if self.disconnecting and not self.buffer:
            self.lose(ConnectionDone())
        return data

    def lose(self, reason: Exception) -> None:
        """Tell the protocol that the connection is gone."""
        if not self.disconnected:
            self.disconnected = True
            self.protocol.connectionLost(Failure(reason))


class MemoryClient:
    """A WebSocket client of a factory. It reads only when it is told to."""

    def __init__(
        self,
        factory: IProtocolFactory,
        url: str = "/",
        extensions: Sequence[ClientExtensionFactory] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Connect, and send the handshake; :meth:`read` gets the answer."""
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
        self.transport = MemoryTransport(protocol)
        protocol.makeConnection(self.transport)
        uri = parse_uri("ws://localhost:8080" + url)
        self.ws = ClientProtocol(uri, max_size=None, extensions=extensions)
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        request = self.ws.connect()
        request.headers.update(headers)
        if offers := headers.get("Sec-WebSocket-Protocol"):
            self.ws.available_subprotocols = [Subprotocol(name) for name in offers.split(", ")]
        self.ws.send_request(request)
        self.deliver()

    @property
    def server(self) -> Any:
        """The protocol on the server's side; a web site hands the transport on to another."""
        return self.transport.protocol

    def deliver(self) -> None:
        """Let the server receive what the client has sent."""
        for data in self.ws.data_to_send():
            if data and not self.transport.disconnected:
                assert self.transport.reading, "the server has stopped reading"
                self.server.dataReceived(data)

    def read(self) -> list[str | bytes]:
        """Read until nothing more comes.

        :returns: the messages that came.
        """
        before = len(self.messages)
        while data := self.transport.take():
            self.ws.receive_data(data)
            for event in self.ws.events_received():
                if isinstance(event, Frame):
                    self._frame(event)
            self.deliver()
        if self.transport.disconnected:
            self.ws.receive_eof()
        return self.messages[before:]

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            self.messages.append(bytes(frame.data).decode())
        elif frame.opcode is Opcode.BINARY:
            self.messages.append(bytes(frame.data))
        elif frame.opcode is Opcode.PONG:
            self.pongs.append(bytes(frame.data))

    @property
    def refusal(self) -> Response:
        """The HTTP response that refused the connection."""
        error = self.ws.handshake_exc
        assert isinstance(error, InvalidStatus), error
        return error.response

    @property
    def close_frame(self) -> tuple[int, str] | None:
        """Code and reason of the close frame that came from the server."""
        close = self.ws.close_rcvd
        return None if close is None else (close.code, close.reason)

    def send(self, *messages: str | bytes) -> None:
        """Send messages, all in one segment."""
        for message in messages:
            if isinstance(message, str):
                self.ws.send_text(message.encode())
            else:
                self.ws.send_binary(message)
        data = b"".join(self.ws.data_to_send())
        self.server.dataReceived(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close."""
        self.ws.send_close(code, reason)
        self.deliver()

    def vanish(self) -> None:
        """Be gone without a word."""
        self.transport.lose(ConnectionLost())


def join(
    factory: IProtocolFactory,
    url: str = "/",
    extensions: Sequence[ClientExtensionFactory] | None = None,
) -> MemoryClient:
    """A client that has shaken hands."""
    client = MemoryClient(factory, url, extensions)
    client.read()
    assert client.ws.handshake_exc is None, client.ws.handshake_exc
    return client
