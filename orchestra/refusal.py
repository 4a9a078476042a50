"""A request that is refused, and what the one who sent it is told."""

from __future__ import annotations


class RefusedError(Exception):
    """A request that is not served.

    :ivar status: the HTTP status to refuse it with.
    """

    def __init__(self, status: int, reason: str) -> None:
        """
        :param status: from 400 to 599.
        :param reason: one line that repeats nothing the client sent. It becomes a part of an
            answer's head, so what cannot be printed is not let through.
        :raises ValueError: if the status is none that a request is refused with.
        """
        if not 400 <= status <= 599:
            raise ValueError(f"a request is refused with a status from 400 to 599, not {status}")
        super().__init__("".join(c if c.isprintable() else " " for c in reason))
        self.status = status
