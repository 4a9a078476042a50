"""The server as a resource of somebody's web site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autobahn.twisted.resource import WebSocketResource
from twisted.web.server import Request

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory


class OrchestraResource(WebSocketResource):
    """Mounts a factory at a path of a twisted.web site.

    What follows that path names the channel: with ``root.putChild(b"live", resource)``,
    ``/live/strings`` is the channel ``strings`` and ``/live`` is ``main``.

    A resource neither starts nor stops anything; an :class:`orchestra.OrchestraService` without
    endpoints sees the clients off when the application stops.
    """

    def __init__(self, factory: OrchestraFactory) -> None:
        """
        :param factory: may be listened with and mounted elsewhere as well.
        """
        super().__init__(factory)

    def render(self, request: Request) -> int | bytes:
        """Take the connection over from the site."""
        transport: Any = request.channel.transport
        if transport is None:  # HTTP/2 has no connection to take over
            request.setResponseCode(426)
            request.setHeader(b"Upgrade", b"websocket")
            request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
            return b"WebSocket needs HTTP/1.1 here\n"
        path, question, query = request.uri.partition(b"?")
        segments = path.split(b"/")[1 + len(request.prepath or ()) :]
        request.uri = b"/" + b"/".join(segments) + question + query
        # The site's HTTP channel is the transport's producer; the client's protocol is to be.
        transport.unregisterProducer()
        taken: int = super().render(request)
        return taken
