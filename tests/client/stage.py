"""Twisted's own agent over connections in memory, on whose other end is the test."""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from orchestra.position import Position
from tests.memory import MemoryTransport


class Request:
    """A request that has come, and the way to answer it."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        head, _, self.body = bytes(transport.buffer).partition(b"\r\n\r\n")
        transport.buffer.clear()
        line, *fields = head.decode().split("\r\n")
        self.method, self.target, _ = line.split(" ")
        self.headers = dict(field.lower().split(": ", 1) for field in fields)

    def send(self, data: bytes) -> None:
        """Let some bytes come to the client."""
        self.transport.protocol.dataReceived(data)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer completely."""
        fields = "".join(f"{name.replace('_', '-')}: {headers[name]}\r\n" for name in headers)
        length = f"Content-Length: {len(body)}\r\n"
        self.send(f"HTTP/1.1 {status} Whatever\r\n{length}{fields}\r\n".encode() + body)

    def publish(self, offset: int) -> None:
        """Answer that the message has its place."""
        self.answer(200, json.dumps({"offset": offset, "epoch": "e"}).encode())

    def begin(self, data: bytes = b"") -> None:
        """Answer with an event stream."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        self.send(head + data)

    def note(self, offset: int, payload: str = "") -> None:
        """Send a message on the stream."""
        self.send(f"id: {Position('e', offset)}\ndata: {payload}\n\n".encode())

    def cut(self) -> None:
        """Have the connection break."""
        self.transport.lose(ConnectionLost())

    @property
    def is_left(self) -> bool:
        """Whether the client has hung up."""
        return self.transport.disconnecting or self.transport.disconnected


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, connect: Callable[[IProtocolFactory], Deferred[IProtocol]]) -> None:
        self._connect = connect

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._connect(factory)


@implementer(IAgentEndpointFactory)
class Stage:
    """Where the requests of a client come to."""

    def __init__(self) -> None:
        self.is_reachable: bool | None = True
        """Whether connections are made; ``None``: they are neither made nor refused."""
        self.attempts = 0
        """How many connections were asked for."""
        self._connected: list[MemoryTransport] = []
        self._open: list[MemoryTransport] = []

    def endpointForURI(self, uri: URI) -> _Endpoint:
        return _Endpoint(self._connect)

    def _connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        self.attempts += 1
        if self.is_reachable is None:
            return Deferred(lambda it: it.errback(ConnectingCancelledError(None)))
        if not self.is_reachable:
            return fail(ConnectError())
        protocol = factory.buildProtocol(None)
        assert protocol is not None
        transport = MemoryTransport(protocol)
        protocol.makeConnection(transport)
        self._connected.append(transport)
        self._open.append(transport)
        return succeed(protocol)

    def request(self) -> Request:
        """The one request that has come since the last."""
        (transport,) = self._connected
        self._connected.clear()
        return Request(transport)

    def requests(self) -> list[Request]:
        """All requests that have come since the last."""
        connected, self._connected = self._connected, []
        return [Request(transport) for transport in connected]

    def close(self) -> None:
        """Let the connections go that the client has closed."""
        for transport in self._open:
            transport.take()
