"""What a person sees who opens the server's address in a browser."""

from __future__ import annotations

from twisted.web.server import Request

_PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Orchestra</title>
<h1>Orchestra</h1>
<p>The orchestra is here. Whatever one musician plays, all of them hear at once.</p>
<p>Join it with a WebSocket at this address, or listen to it as an event stream. The path names
the channel.</p>
</html>
"""


def render_page(request: Request) -> bytes:
    """Answer with the page."""
    request.setHeader("Content-Type", "text/html; charset=utf-8")
    request.setHeader("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    request.setHeader("X-Content-Type-Options", "nosniff")
    return _PAGE
