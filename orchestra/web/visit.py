"""A request that is being served, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.web.server import Request


@dataclass(repr=False)
class Visit:
    """A request, and whose it is."""

    request: Request
    uri: bytes
    """Its target, as it would be if the resource were a whole site."""

    headers: dict[str, str]
    address: str
    peer: str
    """The same for the log."""

    is_gone: bool = False
    """Whether the client has left before it was answered."""

    async def settled(self, value: Any) -> Any:
        """What was decided, at once or by a Deferred, if the client is still there."""
        found = await value if isinstance(value, Deferred) else value
        if self.is_gone:
            raise CancelledError
        return found

    @property
    def body(self) -> bytes:
        """What came with it."""
        content: Any = self.request.content
        content.seek(0)
        text: bytes = content.read()
        return text
