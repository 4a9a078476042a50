"""The request that a WebSocket begins with: reading it, and what is wrong with it.

What is here knows of no connection: it takes what was received, or what Autobahn has made of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_VERSION = "the header Sec-WebSocket-Version must be 13"
_KEY_SIZE = "the header Sec-WebSocket-Key must be there once, with 16 bytes in base64"

# What is said of a handshake that Autobahn finds wrong, by how its own words begin: those go on
# with what was asked for, in which there may be a secret.
_WRONG = {
    "Bad HTTP request": "the URL cannot be parsed",
    "HTTP requested resource": "the URL must have no fragment",
    "Unsupported HTTP version": "a request for a WebSocket must be HTTP/1.1",
    "HTTP Host": "the request must have one header Host",
    "invalid port": "the header Host is malformed",
    "HTTP Upgrade": "the header Upgrade must be websocket",
    "HTTP Connection": "the header Connection must have the word Upgrade",
    "WebSocket connection denied": _VERSION,
    "WebSocket version": _VERSION,
    "HTTP Sec-WebSocket-Version": _VERSION,
    "could not parse HTTP Sec-WebSocket-Version": _VERSION,
    "duplicate protocol": "the header Sec-WebSocket-Protocol must name each protocol once",
    "HTTP Origin": "the header Origin is malformed",
    "HTTP Sec-WebSocket-Key": _KEY_SIZE,
    "bad Sec-WebSocket-Key": _KEY_SIZE,
    "bad character": _KEY_SIZE,
    "HTTP Sec-WebSocket-Extensions": "the header Sec-WebSocket-Extensions must come once",
}

# A request line and header fields (RFC 9112 sections 2.2 and 3 to 5). It is strict, since what a
# proxy in front takes for one field must not be two to us: no folded lines, no space before a
# colon, and no control characters, of which Autobahn takes most for the end of a line.
HEAD = re.compile(
    rb"[!-~]+ (?:[A-Za-z][A-Za-z0-9+.-]*:/)?/[!-~\x80-\xff]* [!-~]+"
    rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*)*"
)

# What to Autobahn is the end of a line and a space, and is neither.
_NO_SPACES = bytes.maketrans(b"\x85\xa0", b"??")

# Without what a URL parser would take apart or refuse: "//" in front, and # ; [ \ ].
_TARGET = re.compile(r"GET (/(?!/)[!-\"$-:<-Z^-~]*) HTTP/1\.1", re.ASCII)
_HOST = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII)
_ANY_HOST = re.compile(r"([\w.~%-]*|\[[0-9A-Fa-f:.]+\])(:\d*)?", re.ASCII)  # RFC 9110 section 7.2
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==", re.ASCII)
_ORIGIN = re.compile(r"https?://[\w.-]+(:\d{1,5})?", re.ASCII)

# A request that is for a WebSocket, well or badly put. What others upgrade to is not spoken here.
UPGRADE = re.compile(rb"GET (?s:.*)\r\n(?i:upgrade:[^\r]*websocket)")


class Handshake(NamedTuple):
    """A request for a WebSocket (RFC 6455 section 4.2.1)."""

    request_line: str
    target: str
    host: str
    headers: dict[str, str]
    """By their names in lower case."""

    size: int
    """How many bytes it takes, the empty line included."""


def read_handshake(data: bytes, any_origin: bool) -> Handshake | None:
    """Read the handshake of a common client.

    A common client asks for version 13 and for no subprotocol, uses only ASCII and each header
    once.

    :param data: what was received so far; its head is well formed.
    :param any_origin: whether all origins are allowed; if not, a common client sends none.
    :returns: ``None`` if there is more to come, or if it is not common.
    """
    end = data.find(b"\r\n\r\n")
    head = data[:end]
    if end < 0 or not head.isascii():
        return None
    request_line, *lines = head.decode().split("\r\n")
    target = _TARGET.fullmatch(request_line)
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if target is None or len(headers) < len(lines):
        return None
    get = headers.get
    host = _HOST.fullmatch(get("host", ""))
    origin = get("origin")
    if (
        host is not None
        and get("upgrade", "").lower() == "websocket"
        and "upgrade" in [token.strip() for token in get("connection", "").lower().split(",")]
        and get("sec-websocket-version") == "13"
        and _KEY.fullmatch(get("sec-websocket-key", ""))
        and "sec-websocket-protocol" not in headers
        and (origin is None or (any_origin and _ORIGIN.fullmatch(origin)))
    ):
        return Handshake(request_line, target[1], host[1], headers, end + 4)
    return None


def objection(headers: Mapping[str, str]) -> str | None:
    """What is wrong with a handshake that Autobahn would take; ``None`` if nothing is.

    :param headers: of the request, by their names in lower case.
    """
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        # What follows the head would be a body to a proxy, and frames to us.
        return "a request for a WebSocket has no body"
    if not _ANY_HOST.fullmatch(headers["host"]):
        return "the header Host is malformed"
    if headers["sec-websocket-version"] != "13":  # a number all the same, in other words
        return _VERSION
    return None


def unambiguous(head: bytes) -> bytes:
    """The head of a request with nothing in it that Autobahn would take for something else."""
    line, _, fields = head.partition(b"\r\n")
    line = re.sub(rb"[\x80-\xff]", lambda match: b"%%%02X" % match[0][0], line)
    return line + b"\r\n" + fields.translate(_NO_SPACES)


def in_own_words(reason: str) -> str:
    """What is said of a handshake that Autobahn finds wrong, with nothing of what was asked for.

    :param reason: in Autobahn's words.
    """
    found = (words for start, words in _WRONG.items() if reason.startswith(start))
    return next(found, "the handshake is malformed")
