"""Clients of the SDK for JavaScript, in a process of Node that does what tests tell it."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.end_to_end.server import PATIENCE, Place

WEBSOCKET = "websocket"
PROTOBUF = "protobuf"
"""A WebSocket on which it is spoken in protobuf."""

HTTP_STREAM = "http_stream"
BINARY_STREAM = "http_stream-protobuf"
SSE = "sse"

EMULATED = (HTTP_STREAM, BINARY_STREAM, SSE)
"""Those where there is no WebSocket: commands go by requests of their own."""

WAYS = (WEBSOCKET, PROTOBUF, *EMULATED)
"""Those by which the SDK can connect."""

BINARY = (PROTOBUF, BINARY_STREAM)
"""Those in protobuf."""


def endpoint(place: Place, way: str) -> dict[str, str]:
    """Where the SDK is to connect to."""
    transport = way.partition("-")[0] if way in EMULATED else WEBSOCKET
    url = place.url if transport == WEBSOCKET else place.http
    return {"transport": transport, "endpoint": url(f"/connection/{transport}")}


class SdkError(Exception):
    """What a call was refused with.

    :ivar code: the number.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Events:
    """What happens to one client, or to one of its subscriptions."""

    def __init__(self) -> None:
        self._queues: defaultdict[str, queue.Queue[dict[str, Any]]] = defaultdict(queue.Queue)

    def put(self, event: str, context: dict[str, Any]) -> None:
        """It has happened."""
        self._queues[event].put(context)

    def wait(self, event: str) -> dict[str, Any]:
        """The next event of a kind."""
        try:
            return self._queues[event].get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"there is no event {event!r}, but {self!r}") from None

    def so_far(self, event: str) -> list[dict[str, Any]]:
        """Those of a kind that have come and that nobody has waited for."""
        found = []
        while not self._queues[event].empty():
            found.append(self._queues[event].get())
        return found

    def __repr__(self) -> str:
        return repr({event: list(waiting.queue) for event, waiting in self._queues.items()})


class Node:
    """The process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._names = itertools.count(1)
        self._answers: dict[int, Future[Any]] = {}
        self.events: defaultdict[tuple[str, str | None], Events] = defaultdict(Events)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if "event" in said:
                whose = said["client"], said.get("channel")
                self.events[whose].put(said["event"], said.get("context") or {})
            elif "error" in said:
                error = said["error"]
                failure = SdkError(error.get("code", 0), error["message"])
                self._answers.pop(said["id"]).set_exception(failure)
            else:
                self._answers.pop(said["id"]).set_result(said["result"])

    def order(self, client: str, channel: str | None, do: str, *args: Any) -> Future[Any]:
        """Have something done.

        :returns: what comes of it; it fails with :class:`SdkError`.
        """
        answer: Future[Any] = Future()
        order = {"client": client, "channel": channel, "do": do, "args": args}
        with self._lock:
            number = next(self._ids)
            self._answers[number] = answer
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"id": number, **order}) + "\n")
            self.process.stdin.flush()
        return answer

    def new(self, place: Place, way: str = WEBSOCKET, *others: str, **options: Any) -> Sdk:
        """A client that is not connected yet.

        :param way: one of :data:`WAYS`.
        :param others: those that it may go on to.
        :param options: those of the SDK, and those of ``sdk.mjs``.
        """
        name = f"client {next(self._names)}"
        found: Any = place.url("/connection/websocket")
        if others or way in EMULATED:
            found = [endpoint(place, way) for way in (way, *others)]
            options.setdefault("emulationEndpoint", place.http("/emulation"))
        options["binary"] = (others or (way,))[-1] in BINARY
        self.order(name, None, "new", found, options).result(PATIENCE)
        return Sdk(self, name)

    def connected(self, place: Place, *ways: str, **options: Any) -> Sdk:
        """A client that is connected."""
        client = self.new(place, *ways, **options)
        client.connect()
        return client

    def leave(self) -> None:
        """Have every client disconnect."""
        for client in {client for client, channel in self.events if channel is None}:
            self.order(client, None, "disconnect").result(PATIENCE)


class _Part:
    """A client, or one of its subscriptions."""

    def __init__(self, node: Node, name: str, channel: str | None = None) -> None:
        self._node, self._name, self._channel = node, name, channel
        self.events = node.events[name, channel]

    def order(self, do: str, *args: Any) -> Future[Any]:
        """Call a method, or ask for what it has."""
        return self._node.order(self._name, self._channel, do, *args)

    def do(self, do: str, *args: Any) -> Any:
        """The same, and wait for what comes of it.

        :raises SdkError: if it was refused.
        """
        return self.order(do, *args).result(PATIENCE)

    def wait(self, event: str) -> dict[str, Any]:
        """The next event of a kind."""
        return self.events.wait(event)

    def so_far(self, event: str) -> list[dict[str, Any]]:
        """Those of a kind that have come and that nobody has waited for."""
        return self.events.so_far(event)

    @property
    def state(self) -> str:
        """In the SDK's own words."""
        found: str = self.do("state")
        return found


class Sdk(_Part):
    """A client."""

    client_id = ""
    """What the server calls it."""

    def connect(self) -> dict[str, Any]:
        """Connect, and wait until it is."""
        self.do("connect")
        return self.back()

    def back(self) -> dict[str, Any]:
        """Wait until it is connected, or connected again."""
        context = self.wait("connected")
        self.client_id = context["client"]
        return context

    def subscription(self, channel: str, **options: Any) -> Subscription:
        """A subscription, which is not asked for yet."""
        self._node.order(self._name, channel, "new", options).result(PATIENCE)
        return Subscription(self._node, self._name, channel)

    def subscribe(self, channel: str, **options: Any) -> Subscription:
        """Listen to a channel, and wait until the server agrees."""
        subscription = self.subscription(channel, **options)
        subscription.subscribe()
        return subscription


class Subscription(_Part):
    """A subscription of a client."""

    def subscribe(self) -> dict[str, Any]:
        """Ask for it, and wait until the server agrees."""
        self.do("subscribe")
        return self.wait("subscribed")

    def hear(self, count: int = 1) -> list[Any]:
        """The data of the next publications."""
        return [self.wait("publication")["data"] for _ in range(count)]


@contextmanager
def running(folder: Path) -> Iterator[Node]:
    """Run the process until the block is left.

    :param folder: where the script is, and what it needs.
    """
    with subprocess.Popen(
        ["node", "sdk.mjs"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            yield Node(process)
        finally:
            process.kill()
