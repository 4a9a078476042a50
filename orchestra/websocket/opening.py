"""How a connection begins, at a third of the cost that it has in Autobahn.

After a restart all clients come back at once: what a connection costs decides how long that
takes. Two things are done here in a cheaper way, both with the same outcome. What Autobahn sets
on each connection, which is the same for all, is put into their class; and the handshake that
common clients send is read directly. Every other one is left to Autobahn.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from autobahn.twisted.websocket import WebSocketServerProtocol

# Without what a URL parser would take apart or refuse: "//" in front, and # ; [ \ ].
_TARGET = re.compile(r"GET (/(?!/)[!-\"$-:<-Z^-~]*) HTTP/1\.1", re.ASCII)
_HOST = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==", re.ASCII)
_ORIGIN = re.compile(r"https?://[\w.-]+(:\d{1,5})?", re.ASCII)


def class_attributes(factory: Any) -> dict[str, Any]:
    """What Autobahn sets on each new connection of a factory, as attributes of a class.

    Options and initial values are shared. Objects that belong to one connection, of which most
    connections never make use, are made when they are asked for.

    :param factory: an Autobahn factory, with its options set.
    """
    sample: Any = WebSocketServerProtocol()
    before = set(vars(sample))
    sample.factory = factory
    sample.openHandshakeTimeout = 0  # so that no timer is started for the sample
    sample._connectionMade()
    factory.countConnections -= 1
    attributes: dict[str, Any] = {"CONFIG_ATTRS": (), "factory": factory}
    for name, value in vars(sample).items():
        if name in WebSocketServerProtocol.CONFIG_ATTRS:
            option = getattr(factory, name)
            attributes[name] = staticmethod(option) if callable(option) else option
        elif value is None or isinstance(value, (bool, int, float, str, bytes)):
            attributes[name] = value
        elif name not in before and name != "factory":
            attributes[name] = _on_demand(type(value))
    return attributes


def _on_demand(kind: Callable[[], object]) -> cached_property[object]:
    return cached_property(lambda _: kind())


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

    A common client asks for version 13 and for no subprotocol, uses only printable ASCII and each
    header once.

    :param data: what was received so far.
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
        name, colon, value = line.partition(":")
        if not (colon and name and line.isprintable()):
            return None
        headers[name.strip().lower()] = value.strip()
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
