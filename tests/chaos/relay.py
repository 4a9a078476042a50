"""A relay to a server that cuts connections at any byte, stalls them, or is gone itself."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from contextlib import suppress

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Passes connections on to a server, until it is told otherwise."""

    def __init__(self, target: int, done: Counter[str]) -> None:
        """
        :param target: the server's port.
        :param done: where it counts what has happened to connections.
        """
        self.port = 0
        self.lines: dict[Line, None] = {}
        """The connections, the oldest first."""
        self._target = target
        self._done = done
        self._listener: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether it is there at all."""
        return self._listener is not None

    async def open(self) -> None:
        """Accept connections, on the same port as before if it was open before."""
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Be gone, and all connections with it."""
        assert self._listener is not None
        self._listener.close()
        self._listener = None
        for line in self.lines:
            line.end(reset=True)
        if self._serving:
            await asyncio.wait(self._serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.ensure_future(self._serve((reader, writer)))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, here: Ends) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._target)
        line = Line(here, there, self._done)
        if not self.is_open:
            line.end(reset=True)
        self.lines[line] = None
        await line.run()
        del self.lines[line]


class Line:
    """A connection through the relay."""

    def __init__(self, here: Ends, there: Ends, done: Counter[str]) -> None:
        self.posts = False
        """Whether something is published on it."""
        self.flows = asyncio.Event()
        """Set, unless it is stalled."""
        self.flows.set()
        self._here, self._there = here, there
        self._done = done
        self._left: dict[str, int] = {}
        self._kind = ""

    def cut_after(self, way: str, size: int, kind: str) -> None:
        """Have it end after so many more bytes.

        :param way: ``up``, to the server, or ``down``.
        :param kind: as what it is counted. A ``reset`` is one: what has come is lost as well.
        """
        self._left, self._kind = {way: size}, kind

    def end(self, reset: bool) -> None:
        """Close it on both sides."""
        for _, writer in (self._here, self._there):
            if not reset:
                writer.close()
            elif not writer.transport.is_closing():
                its_socket = writer.get_extra_info("socket")
                its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        self.flows.set()

    async def run(self) -> None:
        """Pass on what comes, until either side is gone, or it is to be cut."""
        ways = [
            asyncio.ensure_future(self._pass(self._here[0], self._there[1], "up")),
            asyncio.ensure_future(self._pass(self._there[0], self._here[1], "down")),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self.end(reset=self._kind == "reset")
        await asyncio.gather(*ways)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.flows.wait()
                if data.startswith(b"POST "):
                    self.posts = True
                if b"Idempotent-Replayed" in data:
                    self._done["told that it was played before"] += 1
                left = self._left.get(way)
                if left is not None:
                    if left < len(data):
                        self._done[self._kind] += 1
                        writer.write(data[:left])
                        return
                    self._left[way] = left - len(data)
                writer.write(data)
                await writer.drain()
