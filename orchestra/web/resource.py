"""A channel's URL: as a resource of the server's own site, or of somebody else's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from autobahn.twisted.util import peer2str
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from orchestra.dialects.event_stream import CONTENT_TYPE
from orchestra.message import Content
from orchestra.policy.access import AccessRequest
from orchestra.policy.grants import HISTORY, PRESENCE, PUBLISH, SUBSCRIBE, Grant
from orchestra.position import Position
from orchestra.refusal import RefusedError
from orchestra.urls import Target, parse_target
from orchestra.web.answers import (
    METHODS,
    answer_json,
    let_page_ask,
    page_headers,
    refuse,
)
from orchestra.web.event_stream import HEADERS, EventStream
from orchestra.web.handover import check_connection, place_of, take_over
from orchestra.web.negotiation import accepts_stream
from orchestra.web.publishing import content_of, key_of
from orchestra.web.session_urls import is_for_sessions, serve_session
from orchestra.web.visit import Visit, serve, target_of

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory


def is_for_websocket(request: Request) -> bool:
    """Whether a request is for a WebSocket, well or badly put."""
    upgrade = request.getHeader(b"upgrade") or b""
    return bool(request.method == b"GET" and b"websocket" in upgrade.lower())


class OrchestraResource(Resource):
    """Serves the channels of a factory: WebSockets, event streams, POST and presence, and the
    clients of SDKs at the paths that are theirs.

    Mounted at a path of a twisted.web site, what follows that path names the channel: with
    ``root.putChild(b"live", resource)``, ``/live/strings`` is the channel ``strings``, and
    ``/live`` is ``main``.

    A resource neither starts nor stops anything; an :class:`orchestra.OrchestraService` without
    endpoints sees the clients off when the application stops.
    """

    isLeaf = True

    def __init__(self, factory: OrchestraFactory) -> None:
        """
        :param factory: may be listened with and mounted elsewhere as well.
        """
        super().__init__()
        self._factory = factory

    def render(self, request: Request) -> int | bytes:
        """Serve a request."""
        if is_for_websocket(request):
            return self._websocket(request)
        return serve(self._factory, request, self._answer)

    async def _answer(self, visit: Visit) -> int | bytes:
        request, headers = visit.request, visit.headers
        for name, value in page_headers(headers, self._factory.access.takes_cookies):
            request.responseHeaders.addRawHeader(name, value)
        if is_for_sessions(visit.uri):
            return await serve_session(self._factory, visit)
        if request.method == b"OPTIONS":
            return self._options(request)
        uri = visit.uri.decode("iso-8859-1")
        target = parse_target(uri)
        method = "GET" if request.method == b"HEAD" else request.method.decode("iso-8859-1")
        if method not in ("GET", "POST"):
            raise RefusedError(405, f"the method must be one of {METHODS}")
        access, channel = self._factory.access, target.channel
        clock = self._factory.hub.wall_clock
        grant = await visit.settled(
            access.connect(AccessRequest(method, channel, visit.address, uri, headers))
        )
        grant.check_time(clock)
        if method == "POST":
            grant.check(PUBLISH, channel)
            content, key = content_of(visit.body, headers), key_of(headers)
            await visit.settled(access.publish(grant, channel, content))
            grant.check_time(clock)
            return self._publish(visit, channel, content, key)
        if target.presence is not None:
            grant.check(PRESENCE, channel)
        if accepts_stream(headers):
            grant.check(SUBSCRIBE, channel)
            await visit.settled(access.subscribe(grant, channel))
            return self._stream(visit, target, grant)
        if target.presence is not None:
            return self._presence(request, target)
        raise RefusedError(426, f"connect with a WebSocket, or accept {CONTENT_TYPE}")

    def _publish(self, visit: Visit, channel: str, content: Content, key: str | None) -> bytes:
        factory, request = self._factory, visit.request
        message, before = factory.post(visit.address, visit.peer, channel, content, key)
        if before:
            request.setHeader("Idempotent-Replayed", "true")
        place = {"offset": message.offset, "epoch": message.epoch}
        return answer_json(request, json.dumps(place).encode())

    def _options(self, request: Request) -> int:
        request.setResponseCode(204)
        request.setHeader("Allow", METHODS)
        let_page_ask(request)
        request.finish()
        return NOT_DONE_YET

    def _presence(self, request: Request, target: Target) -> bytes:
        presence = self._factory.hub.presence(target.channel)
        known = b'"clients":%d,"identities":%d' % (len(presence), presence.identities)
        if target.presence != "count":
            known += b',"members":' + presence.encoded()
        return answer_json(request, b"{%b}" % known)

    def _stream(self, visit: Visit, target: Target, grant: Grant) -> int | bytes:
        factory, request, headers = self._factory, visit.request, visit.headers
        if request.method == b"HEAD":
            for name, value in HEADERS.items():
                request.setHeader(name, value)
            return b""
        channel = request.channel
        check_connection(channel)
        factory.entrance.check_room()
        if "last-event-id" in headers and grant.allows(HISTORY, target.channel):
            target = _resumed(target, headers["last-event-id"])
        stream = EventStream(factory, visit.peer)
        stream.address = place_of(channel)
        factory.entrance.seat(stream, visit.address, target, grant)
        take_over(channel, stream)
        stream.begin(page_headers(headers, factory.access.takes_cookies))
        return NOT_DONE_YET

    def _websocket(self, request: Request) -> int | bytes:
        factory, channel = self._factory, request.channel
        try:
            check_connection(channel)
            protocol = factory.buildProtocol(request.getClientAddress())
            if protocol is None:
                raise RefusedError(503, "the server is full")
        except RefusedError as error:
            return refuse(factory, request, peer2str(channel), error)
        protocol.address = place_of(channel)
        take_over(channel, protocol)
        protocol.dataReceived(_head(request))  # which answers it
        return NOT_DONE_YET


def _head(request: Request) -> bytes:
    # What the request began with.
    lines = [b"%b %b %b" % (request.method, target_of(request), request.clientproto)]
    for name, values in request.requestHeaders.getAllRawHeaders():
        lines += [b"%b: %b" % (name, value) for value in values]
    return b"\r\n".join([*lines, b"", b""])


def _resumed(target: Target, last_event_id: str) -> Target:
    # It is what the client was told last, whatever its URL asks for. If it was not told by this
    # server it is a place that is gone, and no reason never to come in.
    try:
        since = Position.parse(last_event_id)
    except ValueError:
        since = Position("", 0)
    return replace(target, since=since)
