"""The close codes that the server itself sends, each with its reason.

Protocol errors (1002, 1007, 1009) are Autobahn's, with reasons that say what was wrong.
"""

from __future__ import annotations

from typing import NamedTuple

from orchestra.policy import grants


class Close(NamedTuple):
    """Why a connection ends (RFC 6455 section 7.4)."""

    code: int
    reason: str
    come_back: float | None = None
    """After how many seconds the client is best to come back, where its dialect can tell it."""


GOING_AWAY = Close(1001, "going away")
"""The server shuts down."""

TOO_MANY_MESSAGES = Close(1008, "too many messages")
"""The client sent more messages than it may send in that time."""

EXPIRED = Close(1008, grants.EXPIRED)
"""What let the client in holds no longer."""

MAY_NOT_PUBLISH = Close(1008, grants.REFUSALS[grants.PUBLISH])
"""The client sent a message where it may only listen."""

INTERNAL_ERROR = Close(1011, "internal error")
"""Something failed on the server's side, and the log says what."""

SLOW_READER = Close(1013, "slow reader")
"""The client read so slowly that its place in the channel's history is gone."""

LONGEST_REASON = 123
"""How many bytes of UTF-8 a reason may have (RFC 6455 section 5.5)."""


def refused(status: int, reason: str) -> Close:
    """Why a client is closed whose message was refused.

    :param status: the HTTP status that the same message would be refused with.
    """
    return Close(1013 if status == 503 else 1008, shortened(reason))


def shortened(reason: str) -> str:
    """As much of a reason as there is room for in a close frame."""
    return reason.encode()[:LONGEST_REASON].decode(errors="ignore")
