"""HTTP on a connection, request after request: twisted.web's, with limits to all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autobahn.twisted.util import peer2str
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from orchestra.connection.timers import Timer
from orchestra.refusal import RefusedError
from orchestra.web.answers import headers_of, page_headers, refusal_headers

if TYPE_CHECKING:
    from orchestra.web.site import OrchestraSite

KEEP_ALIVE = 75.0
"""How many seconds a connection may be idle between requests, and a client take nothing of an
answer. That is more than the 60 for which proxies keep theirs: who closes first must be the one
that knows whether it wants to send."""

REQUEST_TIMEOUT = 60.0
"""In how many seconds a request must have come, with its body."""

LINGER = 2.0
"""For how many seconds what a client still sends is thrown away, once it is refused: a connection
that is closed with something unread is reset, and the answer may be lost with it."""


class WebRequest(Request):
    """A request whose body is kept in memory, up to a limit, and no further."""

    channel: WebChannel
    content: BytesIO
    _size = 0

    def gotLength(self, length: int | None) -> None:
        """Learn how long the body will be, if that is known.

        :raises RefusedError: if that is too long, or may not come.
        """
        self._check(length or 0)
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body.

        :raises RefusedError: if it is too long with that, or may not come.
        """
        self._size += len(data)
        self._check(self._size)
        super().handleContentChunk(data)

    def _check(self, size: int) -> None:
        channel = self.channel  # which knows the path before the request does
        channel.site.check_size(size, channel._path, partial(headers_of, self))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Serve the request.

        :raises RefusedError: if it does not say which host it is for, or more than one (RFC 9112
            section 3.2).
        """
        hosts = self.requestHeaders.getRawHeaders(b"host", [])
        if len(hosts) > 1 or (not hosts and version == b"HTTP/1.1"):
            raise RefusedError(400, "the request must have one header Host")
        if not path.startswith(b"/") and path != b"*":  # the absolute form, as for a proxy
            try:
                parts = urlsplit(path)
            except ValueError:
                raise RefusedError(400, "the URL cannot be parsed") from None
            path = (parts.path or b"/") + (parts.query and b"?" + parts.query)
        # Twisted's own would take forms apart as well.
        self.content.seek(0)
        self.args = {}
        self.method, self.uri, self.clientproto = command, path, version
        self.path = path.partition(b"?")[0]
        self.process()


class WebChannel(HTTPChannel):
    """A connection on which HTTP is spoken, until one of its requests takes it over."""

    site: OrchestraSite
    transport: Any
    timeOut: Any  # seconds, of whatever type
    callLater: Callable[..., Any]
    _path: bytes  # twisted.web's own, of the request that comes

    def __init__(self, site: OrchestraSite, place: str | None) -> None:
        """
        :param place: an address whose place it has; ``None`` if it is not counted.
        """
        super().__init__()
        self.site = self.factory = site
        self.requestFactory = WebRequest
        self.timeOut = KEEP_ALIVE
        self.callLater = site.reactor.callLater
        self.place = place
        self._orchestra = site.orchestra
        self._deadline: Timer | None = None  # for the request that comes
        self._patience: Timer | None = None  # with a client that takes nothing
        self._is_here = False
        self._is_over = False  # and nothing more is read
        self._is_full = False
        self._done: Request | None = None  # answered, and the next one not begun
        self._successor: Protocol | None = None

    def connectionMade(self) -> None:
        """Begin."""
        self._is_here = True
        self._orchestra.countConnections += 1
        self.site.channels.add(self)
        super().connectionMade()

    # Requests.

    def dataReceived(self, data: bytes) -> None:
        """Take a part of a request."""
        if self._is_over:
            return
        if self._deadline is None:
            timers = self._orchestra.timers
            self._deadline = timers.call_later(REQUEST_TIMEOUT, self.timeoutConnection)
        try:
            super().dataReceived(data)
        except RefusedError as error:
            self._refuse(error)
        except ValueError:  # from within twisted.web, of numbers with thousands of digits
            if self._successor is not None:
                raise
            self._refuse(RefusedError(400, "the request is malformed"))

    def rawDataReceived(self, data: bytes) -> None:
        """Take a part of a body, or what is behind a request that has taken the connection."""
        if self._successor is not None:
            self._successor.dataReceived(data)
        else:
            super().rawDataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a request with a line that does not end."""
        raise RefusedError(431, f"a line of the request must be {self.MAX_LENGTH} bytes or less")

    def _respondToBadRequestAndDisconnect(self) -> None:
        raise RefusedError(400, "the request is malformed")

    def allContentReceived(self) -> None:
        """Serve a request that has come completely."""
        self._end_deadline()
        super().allContentReceived()

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """Whether there may be another request on the connection."""
        orchestra = self._orchestra
        if orchestra.is_full or not orchestra.accepting:
            return False
        return bool(super().checkPersistence(request, version))

    def writeHeaders(self, version: Any, code: Any, reason: Any, headers: Any) -> None:
        """Begin an answer. It does not tell what makes it, but whether it is the last."""
        headers.removeHeader("Server")
        if not self.persistent:
            headers.setRawHeaders("Connection", ["close"])
        super().writeHeaders(version, code, reason, headers)

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

    # The transport's producer.

    def pauseProducing(self) -> None:
        """The transport is full: neither answer nor read anything."""
        self._is_full = True
        super().pauseProducing()
        self.transport.pauseProducing()
        self._wait_for_client()

    def resumeProducing(self) -> None:
        """The transport has drained."""
        self._is_full = False
        self._end_patience()
        super().resumeProducing()
        self.transport.resumeProducing()
        if self._done is not None:
            self._orchestra.turns.wait(self)

    # The end.

    def _refuse(self, error: RefusedError) -> None:
        # Before the request has come completely, so that there is nothing to answer it with.
        self._is_over = True
        self._end_deadline()
        self.setTimeout(None)
        error, peer, origin = self._explain(error)
        reason = f"{error}\n"
        refused = refusal_headers(error.status, self._orchestra.access.challenge)
        lines = [
            f"HTTP/1.1 {error.status} {error}",
            *[f"{name}: {value}" for name, value in [*refused, *origin]],
            f"Content-Length: {len(reason)}",
            "Connection: close",
            "",
            reason,
        ]
        self._orchestra.activity.refused(peer, error.status, str(error), error.kind)
        self.transport.write("\r\n".join(lines).encode())
        self._orchestra.timers.call_later(LINGER, self._hang_up)

    def _explain(self, error: RefusedError) -> tuple[RefusedError, str, list[tuple[str, str]]]:
        # Why it is refused, who it is, and what lets its page read that, as far as the head of the
        # request tells.
        peer = peer2str(self)
        if not self.requests or error.status not in (401, 404, 413):
            return error, peer, []
        headers = headers_of(self.requests[-1])
        try:
            _, peer = self._orchestra.entrance.whose(self.getPeer(), peer, headers)
            self._orchestra.admission.check(headers)
        except RefusedError as earlier:
            return earlier, peer, []
        return error, peer, page_headers(headers, self._orchestra.access.takes_cookies)

    def timeoutConnection(self) -> None:
        """Close a connection that has been idle, or whose request takes too long to come."""
        self._hang_up()

    def close_idle(self) -> None:
        """Close the connection, unless a request has come or is coming."""
        if self.requests:
            self.persistent = False
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._is_here:
            self.loseConnection()
            self._orchestra.timers.call_later(LINGER, self._drop)

    def loseConnection(self) -> None:
        """Close the connection when all is sent, if the client takes it."""
        self._is_over = True
        self._end_deadline()
        self.setTimeout(None)
        super().loseConnection()
        self._wait_for_client()

    def _wait_for_client(self) -> None:
        if self._patience is None:
            self._patience = self._orchestra.timers.call_later(KEEP_ALIVE, self._drop)

    def _drop(self) -> None:
        if self._is_here:
            self.transport.abortConnection()

    def give_up_transport(self, successor: Protocol) -> Any:
        """Let another protocol have the connection.

        :returns: the transport, without a producer.
        """
        transport, self.transport = self.transport, None
        self._successor = successor
        self.requests.clear()  # which know this channel, and would be kept with it
        transport.unregisterProducer()
        self.setTimeout(None)
        self._leave()
        return transport

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._leave()
        super().connectionLost(reason)

    def _leave(self) -> None:
        if self._is_here:
            self._is_here = False
            self._end_deadline()
            self._end_patience()
            if self.place is not None:
                self._orchestra.admission.leave(self.place)
            self._orchestra.countConnections -= 1
            self.site.channels.discard(self)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
