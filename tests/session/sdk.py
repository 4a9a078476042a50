"""A client of the Centrifuge protocol in memory, that does only what it is told to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock

from tests.memory import MemoryClient

URL = "/connection/websocket"
"""Where the protocol is spoken."""

NOTHING: Mapping[str, Any] = MappingProxyType({})


class SDK:
    """A client that sends commands, and keeps all that it is told."""

    def __init__(
        self,
        factory: IProtocolFactory,
        connect: Mapping[str, Any] | None = NOTHING,
        url: str = URL,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """
        :param connect: what its command to connect has; ``None`` for a client that sends none.
        """
        self.wire = MemoryClient(factory, url, headers=headers)
        self.told: list[dict[str, Any]] = []
        """Each reply and push, in their order; pings are ``{}``."""
        self._ids = 0
        self.wire.read()
        assert self.wire.ws.handshake_exc is None, self.wire.ws.handshake_exc
        if connect is not None:
            self.connected = self.ask("connect", **connect)

    @property
    def session(self) -> Any:
        """The session on the server's side."""
        return self.wire.server

    @property
    def id(self) -> str:
        """The client's id."""
        client_id: str = self.session.client_id
        return client_id

    def send(self, *commands: Mapping[str, Any]) -> None:
        """Send commands in one frame."""
        self.wire.send("\n".join(map(json.dumps, commands)))

    def command(self, name: str, **request: Any) -> dict[str, Any]:
        """A command with an id of its own."""
        self._ids += 1
        return {"id": self._ids, name: request}

    def call(self, name: str, **request: Any) -> int:
        """Send a command.

        :returns: its id.
        """
        command = self.command(name, **request)
        self.send(command)
        found: int = command["id"]
        return found

    def ask(self, name: str, **request: Any) -> Any:
        """Send a command, read, and find the answer: a result, or an error."""
        return self.answer(self.call(name, **request))

    def answer(self, command: int) -> Any:
        """The answer to a command: its result, or its error; ``None`` if there is none yet."""
        self.read()
        found = [reply for reply in self.told if reply.get("id") == command]
        assert len(found) < 2, "a command is answered once"
        return next((v for k, v in found[0].items() if k != "id"), {}) if found else None

    def read(self) -> list[dict[str, Any]]:
        """Read all that there is; what came now."""
        now = [json.loads(line) for frame in self.wire.read() for line in str(frame).split("\n")]
        self.told += now
        return now

    def pushes(self, channel: str | None = None) -> list[dict[str, Any]]:
        """What was pushed so far, in a channel or at all, without the channel's name."""
        self.read()
        found = [reply["push"] for reply in self.told if "push" in reply]
        if channel is None:
            return found
        return [
            {key: value for key, value in push.items() if key != "channel"}
            for push in found
            if push.get("channel") == channel
        ]

    def heard(self, channel: str) -> list[Any]:
        """The data of the publications in a channel that were pushed."""
        return [push["pub"]["data"] for push in self.pushes(channel) if "pub" in push]

    @property
    def closed(self) -> tuple[int, str] | None:
        """The code and the reason that the server has closed with."""
        self.read()
        return self.wire.close_frame


def turn(clock: Clock) -> None:
    """End the turn of the event loop, and have those that follow at once."""
    clock.advance(0)
