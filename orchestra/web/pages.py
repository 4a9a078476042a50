"""The URLs of pages and what belongs to them, and how files are sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IPushProducer
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from orchestra.refusal import RefusedError
from orchestra.urls import RESERVED, parse_query
from orchestra.web.answers import body, headers_of
from orchestra.web.negotiation import accepts_gzip, accepts_stream, is_known
from orchestra.web.page import INDEX, File, Page
from orchestra.web.podium import PodiumResource
from orchestra.web.visit import Visit, serve

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)


def load_hall(folder: Path) -> Page:
    """The server's own page, which is installed with it.

    :raises ImportError: if it is not there as a whole.
    """
    headers = {
        "Content-Security-Policy": _CSP,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
    }
    try:
        return Page(folder, headers=headers)
    except ValueError as error:
        raise ImportError(f"orchestra has to be installed again: {folder}: {error}") from None


HALL = load_hall(Path(__file__).parent.parent / "hall")
"""The server's own page, and what is shown at ``/podium``."""

CHECKED = "no-cache"
"""For what may be kept, and is to be asked for each time whether it is still the same."""

FOR_GOOD = "public, max-age=31536000, immutable"
"""For what never changes: its URL has a hash of it (RFC 8246)."""

PIECE = 64 * 1024
"""How much of a file is sent at once, in bytes."""


class Pages:
    """Serves a factory's page, and the server's own beside it with the numbers of the podium."""

    def __init__(self, factory: OrchestraFactory) -> None:
        self._factory = factory
        self._numbers = PodiumResource(factory)

    def render(self, request: Request) -> int | bytes | None:
        """Serve a request.

        :returns: what a resource's ``render`` does; ``None`` if the request is for no page.
        """
        page = self._factory.page
        if page is None:
            return None
        path: bytes = request.path
        if path == b"/podium/numbers":
            return self._numbers.render(request)
        if request.method not in (b"GET", b"HEAD"):
            return None
        headers = headers_of(request)
        if path.startswith(b"/hall/"):
            return self._versioned(request, headers, page)
        if accepts_stream(headers) or _asks_who_is_there(request):
            return None
        if path == b"/podium":
            page, name = HALL, b"podium.html"
        elif path == b"/":
            if "text/html" not in headers.get("accept", ""):
                return None
            name = INDEX.encode()
        elif page is HALL:
            return None
        else:
            name = unquote_to_bytes(path)[1:]
            if name.partition(b"/")[0].decode("iso-8859-1") in RESERVED:
                return None
        self._refresh(page)
        return _send(request, headers, page, page.get(name), CHECKED, "Accept, Accept-Encoding")

    def _versioned(self, request: Request, headers: Mapping[str, str], page: Page) -> int | bytes:
        self._refresh(page)
        version, _, rest = request.path.removeprefix(b"/hall/").partition(b"/")
        name = unquote_to_bytes(rest)
        current = [one for one in (page, HALL) if one.version.encode() == version]
        # Without one it is asked by a page that was loaded before something has changed.
        for one in current or (page, HALL):
            cache = FOR_GOOD if current else CHECKED
            answer = _send(request, headers, one, one.get(name), cache, "Accept-Encoding")
            if answer is not None:
                return answer
        return serve(self._factory, request, _refuse)

    def _refresh(self, page: Page) -> None:
        if page is not HALL:
            page.refresh(self._factory.reactor.seconds())


async def _refuse(_: Visit) -> bytes:
    raise RefusedError(404, "the page has no such file")


def _asks_who_is_there(request: Request) -> bool:
    try:
        return "presence" in parse_query(request.uri.partition(b"?")[2].decode("iso-8859-1"))
    except ValueError:  # the channel says what is wrong with it
        return True


def _send(
    request: Request,
    headers: Mapping[str, str],
    page: Page,
    file: File | None,
    cache: str,
    vary: str,
) -> int | bytes | None:
    # Answer with a file, if there is one.
    if file is None:
        return None
    found = file.plain
    if accepts_gzip(headers.get("accept-encoding", "")):
        found = file.compressed or found
    told = {**page.headers, "Cache-Control": cache, "ETag": found.etag, "Vary": vary}
    for name, value in told.items():
        request.setHeader(name, value)
    if is_known(found.etag, headers.get("if-none-match", "")):
        request.setResponseCode(304)
        request.finish()  # without a length, which would be that of the file
        return NOT_DONE_YET
    request.setHeader("Content-Type", file.content_type)
    if found.encoding is not None:
        request.setHeader("Content-Encoding", found.encoding)
    if request.method == b"HEAD" or len(found.body) <= PIECE:
        return body(request, found.body)
    request.setHeader("Content-Length", str(len(found.body)))
    _Sending(request, found.body).begin()
    return NOT_DONE_YET


@implementer(IPushProducer)
class _Sending:
    """Sends a long body as fast as the client takes it, so that none waits in a buffer.

    ``twisted.web.static.NoRangeStaticProducer`` does so as well, but it is a pull producer, which
    ``twisted.web.http.HTTPChannel`` has driven by the cooperator of the global reactor: a server
    on another clock, as in tests, would never send on.
    """

    def __init__(self, request: Request, body: bytes) -> None:
        self._request = request
        self._body = body
        self._sent = 0
        self._is_paused = False

    def begin(self) -> None:
        """Send the first pieces, and the others when they are asked for."""
        self._request.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """Go on until the transport is full, or all is sent."""
        self._is_paused = False
        while not self._is_paused and self._sent < len(self._body):
            piece = self._body[self._sent : self._sent + PIECE]
            self._sent += len(piece)
            self._request.write(piece)  # which may pause it, and even have it go on
        if self._sent == len(self._body) and not self._is_paused:
            self._is_paused = True
            self._request.unregisterProducer()
            self._request.finish()

    def pauseProducing(self) -> None:
        """Wait: the transport is full."""
        self._is_paused = True

    def stopProducing(self) -> None:
        """Send nothing more: the client is gone."""
        self._is_paused = True
