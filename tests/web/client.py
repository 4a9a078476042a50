"""Clients in memory that speak HTTP: what comes back is read by the standard library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock

from tests.memory import MemoryTransport
from tests.web.reader import Event, EventReader

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""What makes a request one for a WebSocket."""


def request(method: str, target: str = "/", body: bytes = b"", /, **headers: str) -> bytes:
    """A request.

    :param headers: by their names with underscores, beside those that every request needs.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if (body or method == "POST") and not {"Content-Length", "Transfer-Encoding"} & set(named):
        named["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost:8080"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("iso-8859-1") + body


def chunked(*pieces: bytes) -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


class Answer(NamedTuple):
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    """By their names in lower case."""

    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Received(BytesIO):
    """Takes the part of the socket that the standard library wants to read from."""

    def makefile(self, mode: str) -> _Received:
        return self

    def close(self) -> None:
        """Stay open for the next answer."""


def answers(data: bytes, methods: Sequence[str]) -> tuple[list[Answer], bytes]:
    """Read answers.

    :param methods: of the requests that have not been answered yet.
    :returns: the answers, and what comes after a connection has gone over to another protocol.
    """
    received: Any = _Received(data)
    found = []
    for method in methods:
        if received.tell() == len(data):
            break
        response = HTTPResponse(received, method=method)
        response.begin()
        pairs = response.getheaders()
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs), "a header is there twice"
        is_last = response.status == 101 or "text/event-stream" in headers.get("content-type", "")
        body = b"" if is_last and method != "HEAD" else response.read()
        found.append(Answer(response.status, headers, body))
    return found, received.read()


class WebClient:
    """A client of a factory or a site. It reads only when it is told to."""

    def __init__(self, factory: Any) -> None:
        """Connect."""
        self._clock: Clock = factory.reactor
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
        self.transport = MemoryTransport(protocol)
        protocol.makeConnection(self.transport)
        self._methods: list[str] = []

    @property
    def server(self) -> Any:
        """The protocol on the server's side; it changes when the transport is handed on."""
        return self.transport.protocol

    @property
    def is_gone(self) -> bool:
        """Whether there is no connection any more."""
        return self.transport.disconnected

    def send(self, data: bytes) -> None:
        """Let the server receive something, and have its turn."""
        if not self.transport.disconnected:
            assert self.transport.reading, "the server has stopped reading"
            self.server.dataReceived(data)
            self._clock.advance(0)

    def ask(self, method: str, target: str = "/", body: bytes = b"", /, **headers: str) -> None:
        """Send a request, whose answer :meth:`read` gets."""
        self._methods.append(method)
        self.send(request(method, target, body, **headers))

    def read(self) -> list[Answer]:
        """Read the answers that have come."""
        found, self.rest = answers(self.transport.take(), self._methods)
        del self._methods[: len(found)]
        return found

    def get(self, target: str = "/", **headers: str) -> Answer:
        """Ask for something, and read the answer."""
        return self.do("GET", target, **headers)

    def post(self, target: str, body: bytes | str, **headers: str) -> Answer:
        """Publish something, text or binary, and read the answer."""
        if isinstance(body, str):
            headers = {"Content_Type": "text/plain"} | headers
            body = body.encode()
        return self.do("POST", target, body, **headers)

    def do(self, method: str, target: str, body: bytes = b"", /, **headers: str) -> Answer:
        """Send a request, and read the answer."""
        self.ask(method, target, body, **headers)
        (answer,) = self.read()
        return answer

    def vanish(self) -> None:
        """Be gone without a word."""
        self.transport.lose(ConnectionLost())


class EventSource(WebClient):
    """A client that listens to an event stream. It reads only when it is told to."""

    def __init__(self, factory: Any, target: str = "/", **headers: str) -> None:
        """Connect, ask for the stream, and read what it begins with."""
        super().__init__(factory)
        self.reader = EventReader()
        self.before: list[Event] = []
        """The events that came at once."""
        self.ask("GET", target, Accept="text/event-stream", **headers)
        (self.answer,) = self.read()
        self.before = self.reader.feed(self.rest)

    def hear(self) -> list[Event]:
        """Read the events that have come."""
        events = []
        while data := self.transport.take():
            events += self.reader.feed(data)
        return events


def texts(events: Sequence[Event]) -> list[str]:
    """What was published, of events that are nothing but messages of text."""
    assert {event.type for event in events} <= {"message"}, events
    return [event.data for event in events]
