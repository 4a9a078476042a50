"""A request that is refused, and what the one who sent it is told."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that is not served.

    :ivar status: the HTTP status to refuse it with.
    """

    def __init__(self, status: int, reason: str) -> None:
        """
        :param reason: one line that repeats nothing the client sent.
        """
        super().__init__(reason)
        self.status = status
