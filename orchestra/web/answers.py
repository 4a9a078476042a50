"""How requests are answered: refusals, JSON, and what goes with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from twisted.web.server import Request

from orchestra.policy.reconnecting import reconnect_delay
from orchestra.refusal import RefusedError

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

METHODS = "GET, HEAD, POST, OPTIONS"
"""What can be done with a channel's URL."""

# What can be told to a page as its origin; where all origins are allowed, anything may be sent.
_SHOWABLE = re.compile(r"[!-~]+")

TEXT = "text/plain; charset=utf-8"

# What goes with a refusal (RFC 9110 sections 15.5.22 and 10.2.3, RFC 6585).
_WITH = {
    426: ("Upgrade", "websocket"),
    429: ("Retry-After", "1"),
}


def headers_of(request: Request) -> dict[str, str]:
    """The headers of a request by their names in lower case, those that came twice joined."""
    return {
        name.decode("iso-8859-1").lower(): ",".join(value.decode("iso-8859-1") for value in values)
        for name, values in request.requestHeaders.getAllRawHeaders()
    }


def page_headers(headers: Mapping[str, str], with_cookies: bool) -> list[tuple[str, str]]:
    """What lets the page that a request comes from read the answer (Fetch standard, section 3.2).

    :param headers: of the request, whose origin is allowed.
    :param with_cookies: whether its requests may have cookies, if it is of another origin.
    """
    found = [("Vary", "Origin")]
    if _SHOWABLE.fullmatch(headers.get("origin", "")):
        found += [
            ("Access-Control-Allow-Origin", headers["origin"]),
            ("Access-Control-Expose-Headers", "Idempotent-Replayed, Retry-After"),
            *([("Access-Control-Allow-Credentials", "true")] if with_cookies else []),
        ]
    return found


def let_page_ask(request: Request) -> None:
    """Tell what a page of an allowed origin may send."""
    request.setHeader("Access-Control-Allow-Methods", METHODS)
    request.setHeader(
        "Access-Control-Allow-Headers",
        "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID",
    )
    request.setHeader("Access-Control-Max-Age", "600")


def refuse(
    factory: OrchestraFactory,
    request: Request,
    peer: str,
    error: RefusedError,
    *,
    allow: str = METHODS,
    challenge: str | None = None,
) -> bytes:
    """Answer with a status and a reason, and log that.

    :param peer: whose request it is, for the log.
    :param allow: what can be done with the URL, for a method that cannot.
    :param challenge: what it takes to prove who one is; that of the factory's access by default.
    :returns: the body.
    """
    factory.activity.refused(peer, error.status, str(error), error.kind)
    request.setResponseCode(error.status, _phrase(error.status).encode())
    challenge = factory.access.challenge if challenge is None else challenge
    for name, value in refusal_headers(error.status, challenge, allow):
        request.setHeader(name, value)
    return f"{error}\n".encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # it is an application's own
        return "Refused"


def refusal_headers(status: int, challenge: str, allow: str = METHODS) -> list[tuple[str, str]]:
    """What goes with the reason of a refusal.

    :param challenge: what it takes to prove who one is (RFC 9110 section 11.6.1).
    :param allow: what can be done with the URL (RFC 9110 section 10.2.1).
    """
    headers = [
        ("Content-Type", TEXT),
        ("X-Content-Type-Options", "nosniff"),  # an application may say anything
    ]
    if status in _WITH:
        headers.append(_WITH[status])
    elif status == 405:
        headers.append(("Allow", allow))
    elif status == 401:
        headers.append(("WWW-Authenticate", challenge))
    elif status == 503:  # for all who come, and so not for all the same
        headers.append(("Retry-After", str(round(reconnect_delay()))))
    return headers


def answer_json(request: Request, value: bytes) -> bytes:
    """Answer with a JSON value that is true only now.

    :param value: encoded.
    :returns: the body.
    """
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Cache-Control", "no-store")
    return value + b"\n"


def body(request: Request, body: bytes) -> bytes:
    """The body of an answer: none for HEAD, of which twisted.web would log that it is too much."""
    if request.method == b"HEAD" and body:
        request.setHeader("Content-Length", str(len(body)))
        return b""
    return body


def finish(request: Request, answer: int | bytes) -> None:
    """Answer a request that was not answered at once, unless something else does already.

    :param answer: the body, or what a resource returns that answers by itself.
    """
    if isinstance(answer, bytes):
        if answer:
            request.setHeader("Content-Length", str(len(answer)))
        request.write(answer)
        request.finish()
