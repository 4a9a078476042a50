"""The HTTP side of the server: what serves all requests but those for a WebSocket."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from autobahn.twisted.util import peer2str
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from orchestra.connection.timers import Timer
from orchestra.refusal import RefusedError
from orchestra.web.answers import TEXT, body, refusal_headers
from orchestra.web.handover import hand_over
from orchestra.web.page import render_page
from orchestra.web.resource import OrchestraResource

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

KEEP_ALIVE = 75.0
"""How many seconds a connection may be idle between requests. That is more than the 60 for which
proxies keep theirs: who closes first must be the one that knows whether it wants to send."""

REQUEST_TIMEOUT = 60.0
"""In how many seconds a request must have come, with its body."""

LINGER = 2.0
"""For how many seconds what a client still sends is thrown away, once it is refused: a connection
that is closed with something unread is reset, and the answer may be lost with it."""


class WebRequest(Request):
    """A request whose body is kept in memory, up to a limit, and no further."""

    channel: WebChannel
    _size = 0

    def gotLength(self, length: int | None) -> None:
        """Learn how long the body will be, if that is known.

        :raises RefusedError: if that is too long.
        """
        self._check(length or 0)
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body.

        :raises RefusedError: if it is too long with that.
        """
        self._size += len(data)
        self._check(self._size)
        super().handleContentChunk(data)

    def _check(self, size: int) -> None:
        limit = self.channel.site.max_body()
        if 0 < limit < size:
            raise RefusedError(413, f"a message must be {limit} bytes or less")


class WebChannel(HTTPChannel):
    """HTTP on a connection, request after request.

    Its requests may take it over, for an event stream or a WebSocket.
    """

    site: OrchestraSite
    transport: Any
    timeOut: Any  # seconds, of whatever type
    callLater: Callable[..., Any]

    def __init__(self, site: OrchestraSite, place: str | None) -> None:
        """
        :param place: an address whose place it has; ``None`` if it is not counted.
        """
        super().__init__()
        self.site = self.factory = site
        self.requestFactory = WebRequest
        self.timeOut = KEEP_ALIVE
        self.callLater = site.reactor.callLater
        self._orchestra = site.orchestra
        self._place = place
        self._deadline: Timer | None = None
        self._is_refused = False
        self._is_here = False
        self._is_full = False
        self._done: Request | None = None  # answered, and the next one not begun

    def connectionMade(self) -> None:
        """Begin."""
        self._is_here = True
        self._orchestra.countConnections += 1
        self.site.channels.add(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Take a part of a request."""
        if self._is_refused:
            return
        if self._deadline is None:
            timers = self._orchestra.timers
            self._deadline = timers.call_later(REQUEST_TIMEOUT, self.timeoutConnection)
        try:
            super().dataReceived(data)
        except RefusedError as error:
            self._refuse(error)

    def allContentReceived(self) -> None:
        """Serve a request that has come completely."""
        self._end_deadline()
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        """Go on after a request, if the connection stays open: when it is its turn.

        Many requests may have come at once. The others should not have to wait for all of them,
        nor are their answers to pile up if nobody reads them.
        """
        if self.persistent:
            self._done = request
            if not self._is_full:
                self._orchestra.turns.wait(self)
        else:
            super().requestDone(request)

    def work_on(self) -> None:
        """Go on with what was received."""
        if self._is_here and not self._is_full and self._done is not None:
            request, self._done = self._done, None
            super().requestDone(request)

    def pauseProducing(self) -> None:
        """The transport is full."""
        self._is_full = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """The transport has drained."""
        self._is_full = False
        super().resumeProducing()
        if self._done is not None:
            self._orchestra.turns.wait(self)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """Whether there may be another request on the connection."""
        orchestra = self._orchestra
        if orchestra.is_full or not orchestra.accepting:
            request.setHeader("Connection", "close")
            return False
        return bool(super().checkPersistence(request, version))

    def _refuse(self, error: RefusedError) -> None:
        # Before the request has come completely, so that there is nothing to answer it with.
        self._is_refused = True
        self._end_deadline()
        self.setTimeout(None)
        reason = f"{error}\n"
        lines = [
            f"HTTP/1.1 {error.status} {error}",
            *[f"{name}: {value}" for name, value in refusal_headers(error.status)],
            f"Content-Length: {len(reason)}",
            "Connection: close",
            "",
            reason,
        ]
        self._orchestra.activity.refused(peer2str(self), error.status, str(error))
        self.transport.write("\r\n".join(lines).encode())
        self._orchestra.timers.call_later(LINGER, self._hang_up)

    def timeoutConnection(self) -> None:
        """Close a connection that has been idle, or whose request takes too long to come."""
        self._hang_up()

    def _hang_up(self) -> None:
        if self._is_here:
            self.loseConnection()
            self._orchestra.timers.call_later(LINGER, self._drop)

    def _drop(self) -> None:
        if self._is_here:
            self.transport.abortConnection()

    def close_idle(self) -> None:
        """Close the connection, unless a request is being served."""
        if self.requests:
            self.persistent = False
        else:
            self._hang_up()

    def give_up_transport(self) -> Any:
        """Let another protocol have the transport.

        :returns: the transport, without a producer.
        """
        transport, self.transport = self.transport, None
        transport.unregisterProducer()
        self.setTimeout(None)
        self._leave()
        return transport

    def give_up_place(self) -> None:
        """Let another have the place of the connection's address."""
        place, self._place = self._place, None
        if place is not None:
            self._orchestra.admission.leave(place)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._leave()
        super().connectionLost(reason)

    def _leave(self) -> None:
        if not self._is_here:
            return
        self._is_here = False
        self._end_deadline()
        self.give_up_place()
        self._orchestra.countConnections -= 1
        self.site.channels.discard(self)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class OrchestraSite(Site):
    """What serves the requests that come to a factory and are not for a WebSocket."""

    def __init__(self, factory: OrchestraFactory) -> None:
        super().__init__(_Root(factory), parsePOSTFormSubmission=False, reactor=factory.reactor)
        self.orchestra = factory
        self.channels: set[WebChannel] = set()
        """The connections on which HTTP is spoken."""

    def log(self, request: Any) -> None:
        """Keep no log of requests: what matters is logged by what serves them."""

    def max_body(self) -> int:
        """How long a body may be at the most, in bytes; 0 for any length."""
        factory = self.orchestra
        sizes = [settings.max_message_size for settings in factory.hub.rules.all]
        sizes = [factory.defaults.max_message_size, *[size for size in sizes if size is not None]]
        return 0 if 0 in sizes else max(size or 0 for size in sizes)

    def take_over(self, transport: Any, data: bytes, place: str | None) -> None:
        """Serve the requests of a connection that began as another protocol's.

        :param transport: without a producer.
        :param data: what has been received so far.
        :param place: an address whose place the connection has.
        """
        channel = WebChannel(self, place)
        hand_over(transport, channel)
        channel.dataReceived(data)

    def close_idle(self) -> None:
        """Close the connections on which nothing is being served, and the others after that."""
        for channel in tuple(self.channels):
            channel.close_idle()


class _Root(Resource):
    """All URLs of the server."""

    isLeaf = True

    def __init__(self, factory: OrchestraFactory) -> None:
        super().__init__()
        self._factory = factory
        self._channels = OrchestraResource(factory)
        self._own = {b"/healthz": self._alive, b"/readyz": self._ready}

    def render(self, request: Request) -> int | bytes:
        """Serve a request."""
        request.responseHeaders.removeHeader("Server")  # nobody needs to know
        if request.method in (b"GET", b"HEAD"):
            own = self._own.get(request.path)
            if own is not None:
                return body(request, self._status(request, *own()))
            if request.path == b"/" and b"text/html" in (request.getHeader(b"Accept") or b""):
                return body(request, render_page(request))
        return self._channels.render(request)

    def _alive(self) -> tuple[int, bytes]:
        return 200, b"ok\n"

    def _ready(self) -> tuple[int, bytes]:
        return (200, b"ready\n") if self._factory.accepting else (503, b"shutting down\n")

    def _status(self, request: Request, status: int, text: bytes) -> bytes:
        request.setResponseCode(status)
        request.setHeader("Content-Type", TEXT)
        request.setHeader("Cache-Control", "no-store")
        return text
