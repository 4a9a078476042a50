"""The exchanges that the documentation of a protocol shows, read from it and played.

An exchange is a literal block of nothing else. A line with ``>`` is sent, one with ``<`` received,
and what is further in goes on with the line above. A word before that is another connection's
name: one that begins with ``raw`` is a plain WebSocket in the channel ``strings``;
``http_stream``, ``sse`` and ``uni_sse`` are streams, and ``emulation`` has what is posted for
those; ``api`` asks the server API; all others are SDKs on WebSockets. A comment before the block
says on which server it is played, if that is not one with the usual settings.

``…`` is anything. A string such as ``"<client>"`` is what the server for the block has given that
name to, or else what comes there first, and the same wherever the name is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.end_to_end.server import PATIENCE, Place

_LINE = re.compile(r"(\w*)([<>]) (.*)")
_CLOSED = re.compile(r"\((\d+): (.*)\)")
_BINARY = re.compile(r"\(binary: ([0-9a-f ]+)\)")
_NAME = re.compile(r"<[\w -]+>")
_LAST = {"id": 2**32 - 1, "ping": {}}

_STREAMS = {
    "http_stream": ("httpStream", True),
    "sse": ("sse", False),
    "uni_sse": ("uniSse", False),
}
"""Which operations of the AsyncAPI document they are, and whether they are posted to."""

ANYTHING = "…"


class Line(NamedTuple):
    """Something that is said."""

    speaker: str
    """The name of the connection, or nothing."""

    is_sent: bool
    text: str


class Exchange(NamedTuple):
    """A block."""

    number: int
    """Of the line with which it begins."""

    server: str
    """The name of the server on which it is played."""

    lines: list[Line]


def exchanges(page: str) -> Iterator[Exchange]:
    """Those of a page.

    :param page: reStructuredText.
    """
    server, said, begins, indent = "", list[Line](), 0, 0
    for number, text in enumerate([*page.splitlines(), ""], 1):
        match = _LINE.match(text.lstrip()) if text.startswith(" ") else None
        if match is not None:
            if not said:
                begins, indent = number, len(text) - len(text.lstrip())
            said.append(Line(match[1], match[2] == ">", match[3]))
        elif said and text:
            assert text.startswith((indent + 1) * " "), text
            said[-1] = said[-1]._replace(text=f"{said[-1].text} {text.strip()}")
        elif said:
            yield Exchange(begins, server, said)
            server, said = "", []
        elif text.lstrip().startswith(".. on: "):
            server = text.lstrip().removeprefix(".. on: ")


class Player:
    """Plays one exchange on a server.

    :ivar said: what SDKs have sent and received: the operation of the AsyncAPI document, and a
        value of JSON.
    """

    def __init__(self, place: Place, names: dict[str, str]) -> None:
        """
        :param names: what is given: strings by their names, with the angle brackets.
        """
        self.said: list[tuple[str, Any]] = []
        self._place = place
        self._names = dict(names)
        self._connections: dict[str, ClientConnection] = {}
        self._received: dict[str, list[str | bytes]] = {}
        self._streams: dict[str, Any] = {}
        self._stack = ExitStack()

    def play(self, lines: list[Line]) -> None:
        """Send what is to be sent, and make sure that all that comes is what is received."""
        with self._stack:
            for line in lines:
                if line.speaker == "api":
                    self._ask(line)
                elif line.speaker in _STREAMS:
                    self._stream(line)
                elif line.speaker == "emulation":
                    self._emulate(self._filled(json.loads(line.text)))
                elif line.is_sent:
                    self._send(line)
                else:
                    self._receive(line)
            self._hear_the_end()

    def _send(self, line: Line) -> None:
        connection = self._connection(line.speaker)
        if line.speaker.startswith("raw"):
            binary = _BINARY.fullmatch(line.text)
            connection.send(line.text if binary is None else bytes.fromhex(binary[1]))
            return
        command = line.text
        if command.startswith(("{", "[")):
            value = self._filled(json.loads(command))
            self.said.append(("command", value))
            command = json.dumps(value)
        connection.send(command)

    def _receive(self, line: Line) -> None:
        closed = _CLOSED.fullmatch(line.text)
        if closed is not None:
            with pytest.raises(ConnectionClosed) as end:
                self._next(line.speaker)
            received = end.value.rcvd
            assert received is not None
            assert (received.code, received.reason) == (int(closed[1]), closed[2])
            del self._connections[line.speaker]
            return
        got = self._next(line.speaker)
        if line.speaker.startswith("raw"):
            binary = _BINARY.fullmatch(line.text)
            assert got == (line.text if binary is None else bytes.fromhex(binary[1]))
            return
        value = json.loads(got)
        self.said.append(("reply", value))
        self._compare(self.parsed(line.text), value)

    def _ask(self, line: Line) -> None:
        if line.is_sent:
            method, _, body = line.text.partition(" ")
            request = Request(
                self._place.http(f"/api/{method}"),
                json.dumps(self._filled(json.loads(body))).encode(),
                {"X-API-Key": self._names["<API key>"]},
            )
            with urlopen(request, timeout=PATIENCE) as answer:
                self._received.setdefault("api", []).append(answer.read())
        else:
            self._compare(self.parsed(line.text), json.loads(self._received["api"].pop(0)))

    def _stream(self, line: Line) -> None:
        operation, is_posted = _STREAMS[line.speaker]
        if line.is_sent:
            value = self._filled(json.loads(line.text))
            self.said.append((operation, value))
            url = self._place.http(f"/connection/{line.speaker}")
            body = json.dumps(value)
            request = (
                Request(url, body.encode()) if is_posted else f"{url}?cf_connect={quote(body)}"
            )
            answer = urlopen(request, timeout=PATIENCE)
            self._streams[line.speaker] = self._stack.enter_context(answer)
            return
        for got in self._streams[line.speaker]:
            if is_posted or got.startswith(b"data: "):
                value = json.loads(got.removeprefix(b"data: "))
                self.said.append((f"{operation} reply", value))
                self._compare(self.parsed(line.text), value)
                return
        raise AssertionError("the stream has ended")

    def _emulate(self, value: dict[str, Any]) -> None:
        self.said.append(("emulation", value))
        body = json.dumps(value).encode()
        with urlopen(Request(self._place.http("/emulation"), body), timeout=PATIENCE) as answer:
            assert answer.status == 204

    def _connection(self, speaker: str) -> ClientConnection:
        if speaker not in self._connections:
            path = "/strings" if speaker.startswith("raw") else "/connection/websocket"
            connection = self._place.connect(path)
            self._connections[speaker] = self._stack.enter_context(connection)
            self._received[speaker] = []
        return self._connections[speaker]

    def _next(self, speaker: str) -> str | bytes:
        # What SDKs get are lines, of which there may be several in a frame.
        waiting = self._received.setdefault(speaker, [])
        if not waiting:
            frame = self._connection(speaker).recv(timeout=PATIENCE)
            is_lines = isinstance(frame, str) and not speaker.startswith("raw")
            waiting += frame.split("\n") if isinstance(frame, str) and is_lines else [frame]
        return waiting.pop(0)

    def _hear_the_end(self) -> None:
        # That all that has come is in the exchange.
        for speaker, connection in self._connections.items():
            if not speaker.startswith("raw"):
                connection.send(json.dumps(_LAST))
                assert json.loads(self._next(speaker)) == _LAST

    @staticmethod
    def parsed(text: str) -> Any:
        """What a line shows, with a string where there is anything."""
        return json.loads(re.sub(rf"(?<=[:\[,]) ?{ANYTHING}", f'"{ANYTHING}"', text))

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        if isinstance(value, str) and _NAME.fullmatch(value):
            return self._names[value]
        return value

    def _compare(self, shown: Any, value: Any) -> None:
        if shown == ANYTHING:
            return
        if isinstance(shown, str) and _NAME.fullmatch(shown):
            assert isinstance(value, str), (shown, value)
            assert self._names.setdefault(shown, value) == value
            return
        assert type(shown) is type(value), (shown, value)
        if isinstance(shown, dict):
            names = {self._names.get(key, key): key for key in shown}
            assert names.keys() == value.keys(), (shown, value)
            for name, key in names.items():
                self._compare(shown[key], value[name])
        elif isinstance(shown, list):
            assert len(shown) == len(value), (shown, value)
            for part, item in zip(shown, value, strict=True):
                self._compare(part, item)
        else:
            assert shown == value
