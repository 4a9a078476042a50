"""The raw dialect: what any simple WebSocket client speaks.

Each WebSocket message is a message of the channel. Text comes back with a prefix, binary data
as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestra.message import Message

PREFIX = "Echo: "
"""What text comes back with, unless told otherwise."""


class RawDialect:
    """How messages are put to clients that speak no protocol but WebSocket."""

    def __init__(self, prefix: str = PREFIX) -> None:
        """
        :param prefix: put before each text; empty for a pure relay.
        """
        self._prefix = prefix.encode()

    def render(self, messages: Sequence[Message]) -> list[bytes]:
        """What a client gets to read for each message, as text or binary like the message."""
        prefix = self._prefix
        return [m.payload if m.is_binary else prefix + m.payload for m in messages]
