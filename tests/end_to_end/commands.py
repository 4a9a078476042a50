"""The Centrifuge protocol in JSON, spoken by hand."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.end_to_end.server import PATIENCE, Place

PATH = "/connection/websocket"


class Speaker:
    """A connection on which commands are sent, whatever they are."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._lines: deque[dict[str, Any]] = deque()

    def say(self, *commands: dict[str, Any]) -> None:
        """Send commands in one frame."""
        self.connection.send("\n".join(map(json.dumps, commands)))

    def hear(self) -> dict[str, Any]:
        """The next reply, whatever it is."""
        while not self._lines:
            frame = self.connection.recv(timeout=PATIENCE)
            assert isinstance(frame, str)
            self._lines.extend(map(json.loads, frame.split("\n")))
        return self._lines.popleft()

    def ask(self, *commands: dict[str, Any]) -> list[dict[str, Any]]:
        """Send commands with ids from 1 on, and return the replies, of which there is one each."""
        self.say(*({"id": number, **command} for number, command in enumerate(commands, 1)))
        replies = [self.hear() for _ in commands]
        assert [reply.pop("id") for reply in replies] == list(range(1, len(commands) + 1))
        return replies

    def refused(self, command: dict[str, Any]) -> int:
        """Send a command, and return the code that it is refused with."""
        (reply,) = self.ask(command)
        code: int = reply["error"]["code"]
        return code

    def closed(self) -> tuple[int, str]:
        """Wait until the server closes, and return the code and the reason."""
        with pytest.raises(ConnectionClosed) as closed:
            deque(iter(self.hear, None), maxlen=0)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason


@contextmanager
def speaking(place: Place, **connect: Any) -> Iterator[Speaker]:
    """Connect, until the block is left.

    :param connect: what the command to connect has.
    """
    with place.connect(PATH) as connection:
        speaker = Speaker(connection)
        speaker.ask({"connect": connect})
        yield speaker
