"""SDKs in memory that listen on a stream, and send commands by requests of their own."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from orchestra.websocket.factory import OrchestraFactory
from tests.web.client import Answer, WebClient
from tests.web.reader import EventReader

HTTP_STREAM = "/connection/http_stream"
SSE = "/connection/sse"
UNI_SSE = "/connection/uni_sse"
EMULATION = "/emulation"
EMULATED = (HTTP_STREAM, SSE)
"""Those whose clients may send commands."""


def commands(*commands: dict[str, Any]) -> str:
    """Commands as they are written, one a line."""
    return "\n".join(json.dumps(command) for command in commands)


def begun(url: str, first: str, method: str = "") -> tuple[str, str, bytes]:
    """The request that a stream is asked for by: method, target and body."""
    method = method or ("POST" if url == HTTP_STREAM or "\n" in first else "GET")
    if method == "POST":
        return method, url, first.encode()
    return method, f"{url}?{urlencode({'cf_connect': first})}" if first else url, b""


class StreamClient(WebClient):
    """A client on a stream. It reads only when it is told to."""

    def __init__(
        self,
        factory: Any,
        url: str = HTTP_STREAM,
        first: str = "",
        method: str = "",
        **headers: str,
    ) -> None:
        """Connect, and ask for a stream.

        :param first: the commands that it begins with; by default the one to connect.
        """
        super().__init__(factory)
        self.factory: OrchestraFactory = factory
        self._reader = None if url == HTTP_STREAM else EventReader()
        self.is_uni = url.startswith(UNI_SSE)
        self.url = url
        self._head = b""
        self._text = b""
        if not first and not self.is_uni:
            first = commands({"id": 1, "connect": {}})
        method, target, body = begun(url, first, method)
        self.ask(method, target, body, **headers)
        self.session = ""
        self.client_id = ""
        self.seen: list[dict[str, Any]] = []
        """The replies and pushes that came at once."""
        if not self.is_gone or self.transport.buffer:
            self.seen = self.hear()
        for reply in self.seen:
            if "connect" in reply:
                self.session = reply["connect"].get("session", "")
                self.client_id = reply["connect"]["client"]

    @property
    def retry(self) -> int | None:
        """After how many milliseconds it is to come back."""
        return None if self._reader is None else self._reader.retry

    @property
    def head(self) -> str:
        """What the answer begins with."""
        return self._head.decode()

    def take(self) -> bytes:
        """What has come, without the head of the answer."""
        data = b""
        while more := self.transport.take():
            data += more
        if not self._head and data:
            self._head, _, data = data.partition(b"\r\n\r\n")
        return data

    def hear(self) -> list[dict[str, Any]]:
        """The replies and pushes that have come; pushes are not wrapped, whatever the URL."""
        data = self.take()
        if self._reader is not None:
            events = self._reader.feed(data)
            assert {event.type for event in events} <= {"message"}
            replies = [json.loads(event.data) for event in events]
        else:
            *lines, self._text = (self._text + data).split(b"\n")
            replies = [json.loads(line) for line in lines]
        if self.is_uni:
            assert not any({"push", "id", "error"} & set(reply) for reply in replies)
            return replies
        assert all({"push", "id"} & set(reply) for reply in replies if reply), replies
        return [reply.get("push", reply) for reply in replies]

    def emulate(self, *asked: dict[str, Any]) -> Answer:
        """Send commands by a request, and read its answer, which comes at once."""
        return WebClient(self.factory).post(EMULATION, self.emulation(*asked))

    def emulation(self, *asked: dict[str, Any]) -> bytes:
        """The body of such a request."""
        return emulation(self.session, commands(*asked))


def emulation(session: str, data: str) -> bytes:
    """The body of a request with commands for a session."""
    return json.dumps({"session": session, "node": "orchestra", "data": data}).encode()
