"""What a URL asks for: the channel in its path, and how to join it in its query."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from orchestra.channel import check_name
from orchestra.position import Position
from orchestra.refusal import RefusedError

MAIN = "main"
"""The channel of the root path."""

RESERVED = frozenset({"api", "connection", "emulation", "hall", "healthz", "podium", "readyz"})
"""First path segments that are the server's own, and so are no channel names."""

MAX_LAST = 1_000_000_000
"""The highest ``last`` that is taken; what is retained is far less."""


class BadTargetError(RefusedError, ValueError):
    """A URL, or the name of a channel, that cannot be served."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a client wants to join, and how."""

    channel: str = MAIN
    """The name of the channel."""

    last: int = 0
    """How many of the retained messages to begin with."""

    echo: bool = True
    """Whether the client hears its own messages."""

    since: Position | None = None
    """After which message to begin instead."""

    presence: str | None = None
    """What it wants to know of who is there: empty for all, ``count`` for how many; ``None`` if
    it does not want to know."""


def check_channel(name: str) -> str:
    """Make sure that a string names a channel that clients can have.

    :returns: the name, as it is.
    :raises BadTargetError: with 400, if no channel can have that name; with 404, if the server has
        another use for its URL.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise BadTargetError(400, str(error)) from None
    if name.split("/", 1)[0] in RESERVED:
        raise BadTargetError(404, "this path is the server's own and names no channel")
    return name


def parse_target(uri: str) -> Target:
    """Read the request target of an HTTP request.

    :param uri: as it stands in the request line, decoded as ISO 8859-1 (RFC 9112 section 3.2).
    :raises BadTargetError: if it names no channel, or asks for what is not allowed.
    """
    try:
        if not uri.startswith("/"):  # the absolute form, as for a proxy
            parts = urlsplit(uri)
            uri = f"{parts.path or '/'}?{parts.query}"
        path, _, text = uri.partition("?")
        query = parse_query(text)
    except ValueError:
        raise BadTargetError(400, "the URL cannot be parsed") from None
    return Target(
        channel=_channel(path),
        last=_number(query, "last"),
        echo=_number(query, "echo", default=1, highest=1) == 1,
        since=_since(query),
        presence=_presence(query),
    )


def parse_query(text: str) -> dict[str, list[str]]:
    """Read the query of a URL.

    :param text: what is behind the question mark, decoded as ISO 8859-1.
    :returns: the values of each name; those without one are empty.
    :raises ValueError: if it has more than 100 of them.
    """
    return parse_qs(text, keep_blank_values=True, max_num_fields=100) if text else {}


def _channel(path: str) -> str:
    try:
        name = unquote_to_bytes(path.encode("iso-8859-1")).decode().removeprefix("/")
    except UnicodeError:
        raise BadTargetError(400, "a channel name must be UTF-8") from None
    return check_channel(name or MAIN)


def _since(query: dict[str, list[str]]) -> Position | None:
    values = query.get("since")
    try:
        return None if values is None else Position.parse(values[0] if len(values) == 1 else "")
    except ValueError as error:
        raise BadTargetError(400, f"since {error}") from None


def _presence(query: dict[str, list[str]]) -> str | None:
    values = query.get("presence")
    if values is None:
        return None
    if values not in ([""], ["count"]):
        raise BadTargetError(400, "presence must have no value, or be count")
    return values[0]


def _number(
    query: dict[str, list[str]], key: str, default: int = 0, highest: int = MAX_LAST
) -> int:
    values = query.get(key)
    if values is None:
        return default
    text = values[0]
    if len(values) == 1 and text.isascii() and text.isdigit() and len(text) <= len(str(highest)):
        number = int(text)
        if number <= highest:
            return number
    raise BadTargetError(400, f"{key} must be a whole number from 0 to {highest}")
