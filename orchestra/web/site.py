"""The HTTP side of the server: what serves all requests but those for a WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from orchestra.refusal import RefusedError
from orchestra.web.answers import TEXT, body
from orchestra.web.handover import hand_over
from orchestra.web.http_channel import WebChannel
from orchestra.web.pages import Pages
from orchestra.web.resource import OrchestraResource, is_for_websocket
from orchestra.web.server_api import LEAST_BODY, TIMES_MESSAGE, ServerApiResource
from orchestra.web.session_urls import is_for_sessions, longest_body

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory


FRAMING = 64 * 1024
"""How many bytes there may be around a message."""


def is_for_api(path: bytes) -> bool:
    """Whether a path, with or without a query, is one of the server API's."""
    return path.partition(b"?")[0] == b"/api" or path.startswith(b"/api/")


class OrchestraSite(Site):
    """What serves the requests that come to a factory and are not for a WebSocket."""

    def __init__(self, factory: OrchestraFactory) -> None:
        api = ServerApiResource(factory)
        super().__init__(_Root(factory, api), reactor=factory.reactor)
        self._api = api
        self.orchestra = factory
        self.channels: set[WebChannel] = set()
        """The connections on which HTTP is spoken."""
        sizes = [factory.defaults.max_message_size or 0]
        sizes += [
            s.max_message_size for s in factory.hub.rules.all if s.max_message_size is not None
        ]
        self.max_body = 0 if 0 in sizes else max(sizes)
        """How long a body may be, in bytes, in the channel with the highest limit; 0 for any
        length."""
        self.max_commands = 2 * self.max_body + FRAMING if self.max_body else 0
        """How long the commands may be that a client of an SDK sends at once, in bytes: text may
        be twice as long in JSON."""
        self.max_api_body = self.max_body and max(TIMES_MESSAGE * self.max_body, LEAST_BODY)
        """How long it may be for the server API, from whoever has an API key."""

    def log(self, request: Any) -> None:
        """Keep no log of requests: what matters is logged by what serves them."""

    def check_size(self, size: int, path: bytes, headers: Callable[[], Mapping[str, str]]) -> None:
        """Make sure that a body is not too long.

        :param size: how long it is, as far as that is known, in bytes.
        :param path: what it is for.
        :param headers: tells those of the request, by their names in lower case.
        :raises RefusedError: if it is, or if it may not come to the server API.
        """
        what, limit = "a message", self.max_body
        if 0 < limit < size and is_for_api(path):
            self._api.check_key(headers())
            what, limit = "a request", self.max_api_body
        elif is_for_sessions(path):
            what, limit = "a request", longest_body(path, self.max_commands)
        if 0 < limit < size:
            raise RefusedError(413, f"{what} must be {limit} bytes or less")

    def take_over(self, transport: Any, data: bytes, place: str | None) -> None:
        """Serve the requests of a connection that began as another protocol's.

        :param transport: without a producer.
        :param data: what has been received so far.
        :param place: an address whose place the connection has.
        """
        channel = WebChannel(self, place)
        hand_over(transport, channel)
        channel.dataReceived(data)


class _Root(Resource):
    """All URLs of the server."""

    isLeaf = True

    def __init__(self, factory: OrchestraFactory, api: ServerApiResource) -> None:
        super().__init__()
        self._factory = factory
        self._api = api
        self._channels = OrchestraResource(factory)
        self._pages = Pages(factory)
        self._own = {b"/healthz": self._alive, b"/readyz": self._ready}

    def render(self, request: Request) -> int | bytes:
        """Serve a request."""
        if is_for_websocket(request):
            return self._channels.render(request)
        if is_for_api(request.path):
            below: Any = request.postpath
            request.postpath = below[1:]
            return self._api.render(request)
        if request.method in (b"GET", b"HEAD"):
            own = self._own.get(request.path)
            if own is not None:
                return body(request, self._status(request, *own()))
        answer = self._pages.render(request)
        return self._channels.render(request) if answer is None else answer

    def _alive(self) -> tuple[int, bytes]:
        return 200, b"ok\n"

    def _ready(self) -> tuple[int, bytes]:
        reasons = self._factory.not_ready
        return 503 if reasons else 200, "".join(f"{r}\n" for r in reasons or ["ready"]).encode()

    def _status(self, request: Request, status: int, text: bytes) -> bytes:
        request.setResponseCode(status)
        request.setHeader("Content-Type", TEXT)
        request.setHeader("Cache-Control", "no-store")
        return text
