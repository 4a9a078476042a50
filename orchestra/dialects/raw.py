"""The raw dialect: what any simple WebSocket client speaks.

Each WebSocket message is a message of the channel. Text comes back with a prefix, binary data
as it is.
"""

from __future__ import annotations

PREFIX = "Echo: "
"""What text comes back with, unless told otherwise."""


class RawDialect:
    """How messages are put to clients that speak no protocol but WebSocket."""

    def __init__(self, prefix: str = PREFIX) -> None:
        """
        :param prefix: put before each text; empty for a pure relay.
        """
        self._prefix = prefix.encode()

    def lead(self, is_binary: bool) -> bytes:
        """What a client gets to read before the payload of a message."""
        return b"" if is_binary else self._prefix
