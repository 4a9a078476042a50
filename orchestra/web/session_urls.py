"""The URLs of sessions whose replies go by HTTP, and of the commands that come the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from twisted.web.server import NOT_DONE_YET, Request

from orchestra.dialects.centrifuge.codec import JSON, BadCommandError, Codec, read_json
from orchestra.dialects.centrifuge.protobuf import protobuf_codec
from orchestra.dialects.centrifuge.schema import ConnectRequest
from orchestra.refusal import RefusedError
from orchestra.session.queue import MAX_BEGINNING
from orchestra.web.answers import let_page_ask, page_headers, refuse
from orchestra.web.handover import check_connection, place_of, take_over
from orchestra.web.session_stream import (
    EmulatedStream,
    HttpStream,
    SessionStream,
    SseStream,
    UniSseStream,
    no_session,
)
from orchestra.web.stream import stream_headers
from orchestra.web.visit import Visit

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

QUERY = "cf_connect"
"""Where in a URL the commands are that a stream begins with."""

_EMULATION = b"/emulation"
_PROTOBUF = "application/octet-stream"


def is_for_sessions(uri: bytes) -> bool:
    """Whether a request's target, with or without a query, is one of these URLs."""
    return uri.partition(b"?")[0] in _URLS


def longest_body(uri: bytes, commands: int) -> int:
    """How long the body of a request for one of these URLs may be, in bytes.

    :param uri: the request's target.
    :param commands: how long the commands may be that a client sends at once.
    """
    # As a string in JSON they may be twice as long.
    return 2 * commands if uri.partition(b"?")[0] == _EMULATION else commands


async def serve_session(factory: OrchestraFactory, visit: Visit) -> int | bytes:
    """Serve a request for one of these URLs.

    :returns: the body of the answer, or :data:`NOT_DONE_YET`.
    :raises RefusedError: if it is refused.
    """
    request = visit.request
    methods, serve, kind = _URLS[visit.uri.partition(b"?")[0]]
    allowed = ", ".join([*methods, "OPTIONS"])
    method = request.method.decode("iso-8859-1")
    if method == "OPTIONS":
        request.setResponseCode(204)
        request.setHeader("Allow", allowed)
        let_page_ask(request)
        request.finish()
        return NOT_DONE_YET
    if method not in methods:
        error = RefusedError(405, f"the method must be one of {allowed}")
        return refuse(factory, request, visit.peer, error, allow=allowed)
    # Another site has not done that.
    factory.site.check_size(len(visit.body), visit.uri, lambda: visit.headers)
    if method == "HEAD":
        return _head_of(visit, kind)
    try:
        if serve is None:
            return await _emulate(factory, visit)
        return serve(factory, visit)
    except BadCommandError as error:
        raise RefusedError(400, str(error)) from None


async def _emulate(factory: OrchestraFactory, visit: Visit) -> int:
    codec = _codec(visit)
    name, commands = codec.emulated(visit.body)
    limit = factory.site.max_commands
    if 0 < limit < len(commands):
        raise RefusedError(413, f"commands must be {limit} bytes or less")
    session = factory.emulated.get(name)
    if session is None:
        raise no_session()
    if session.codec is not codec:
        raise RefusedError(400, f"this session speaks {session.codec.name}")
    await visit.settled(session.post(commands))
    request: Request = visit.request
    request.setResponseCode(204)
    request.finish()
    return NOT_DONE_YET


def _http_stream(factory: OrchestraFactory, visit: Visit) -> int:
    stream = HttpStream(factory, visit.peer)
    if _codec(visit) is not JSON:
        stream.speak_protobuf()
    commands = visit.body
    _begin(factory, visit, stream)
    stream.queue.received(commands)
    return NOT_DONE_YET


def _sse(factory: OrchestraFactory, visit: Visit) -> int:
    commands = _asked(visit)
    if not commands:
        raise RefusedError(400, f"{QUERY} must have the command to connect")
    if visit.request.method == b"GET" and b"\n" in commands.strip():
        # A page of any site can have a browser send a GET, without an origin, and a command that
        # does something would be done.
        raise RefusedError(400, f"{QUERY} may have no command but that to connect")
    stream = SseStream(factory, visit.peer)
    _begin(factory, visit, stream)
    stream.queue.received(commands)
    return NOT_DONE_YET


def _uni_sse(factory: OrchestraFactory, visit: Visit) -> int:
    asked = _asked(visit)
    if len(asked) > MAX_BEGINNING:
        raise RefusedError(413, f"what it begins with must be {MAX_BEGINNING} bytes or less")
    request = read_json(asked or b"{}", ConnectRequest)
    stream = UniSseStream(factory, visit.peer)
    _begin(factory, visit, stream)
    stream.connect(request)
    return NOT_DONE_YET


class _Url(NamedTuple):
    methods: tuple[str, ...]
    serve: Callable[[OrchestraFactory, Visit], int] | None
    """Answers with a stream; ``None`` for what is for a stream that there is."""

    kind: type[SessionStream]
    """Of the stream."""


_URLS = {
    b"/connection/http_stream": _Url(("POST",), _http_stream, HttpStream),
    b"/connection/sse": _Url(("GET", "HEAD", "POST"), _sse, SseStream),
    b"/connection/uni_sse": _Url(("GET", "HEAD", "POST"), _uni_sse, UniSseStream),
    _EMULATION: _Url(("POST",), None, EmulatedStream),
}


def _begin(factory: OrchestraFactory, visit: Visit, stream: SessionStream) -> None:
    # All that may be refused comes before the connection is taken over.
    channel = visit.request.channel
    check_connection(channel)
    entrance = factory.entrance
    entrance.check_room()
    stream.address = place_of(channel)
    entrance.count(stream, visit.address)
    stream.remote, stream.headers = visit.address, visit.headers
    stream.uri = visit.uri.decode("iso-8859-1")
    take_over(channel, stream)
    stream.answer_with(page_headers(visit.headers, factory.access.takes_cookies))


def _head_of(visit: Visit, kind: type[SessionStream]) -> bytes:
    for name, value in stream_headers(kind.content_type).items():
        visit.request.setHeader(name, value)
    return b""


def _asked(visit: Visit) -> bytes:
    # What a stream is to begin with.
    if visit.request.method == b"POST":
        return visit.body
    try:
        query = parse_qs(visit.uri.partition(b"?")[2].decode("iso-8859-1"), max_num_fields=100)
    except ValueError:
        raise RefusedError(400, "the URL cannot be parsed") from None
    return query.get(QUERY, [""])[0].encode()


def _codec(visit: Visit) -> Codec:
    kind = visit.headers.get("content-type", "").partition(";")[0].strip().lower()
    return protobuf_codec() if kind == _PROTOBUF else JSON
