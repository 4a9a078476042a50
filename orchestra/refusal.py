"""A request that is refused, and what the one who sent it is told."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal[
    "address_limit",  # there are too many connections from the address
    "channel_full",
    "expired",  # what it may do, or the token that says so
    "failed",  # an application's own code did
    "files",  # no more of them can be open
    "full",
    "key_reused",
    "malformed",
    "media_type",
    "method",
    "not_allowed",  # to publish, or whatever it was
    "not_found",
    "origin",
    "other",
    "rate",
    "shutting_down",
    "slow_readers",  # have to catch up first
    "too_large",
    "unauthorized",
    "undecided",  # whether it is allowed, in time
    "upgrade",  # it asks for nothing that there is
]
"""Why requests are refused, in a word. These are all there are, so that they can be counted."""

KINDS: frozenset[str] = frozenset(get_args(Kind))
"""The same, for whoever asks at run time."""

_USUAL: dict[int, Kind] = {
    400: "malformed",
    401: "unauthorized",
    403: "not_allowed",
    404: "not_found",
    405: "method",
    413: "too_large",
    415: "media_type",
    422: "key_reused",
    426: "upgrade",
    429: "rate",
    431: "too_large",
    500: "failed",
    503: "full",
    505: "malformed",
}


def usual_kind(status: int) -> Kind:
    """Why a request is refused of which nothing is known but its HTTP status."""
    return _USUAL.get(status, "other")


class RefusedError(Exception):
    """A request that is not served.

    :ivar status: the HTTP status to refuse it with.
    :ivar kind: why, in a word.
    """

    def __init__(self, status: int, reason: str, *, kind: Kind | None = None) -> None:
        """
        :param status: from 400 to 599.
        :param reason: one line that repeats nothing the client sent. It becomes a part of an
            answer's head, so what cannot be printed is not let through.
        :param kind: by default the usual one for the status.
        :raises ValueError: if the status is none that a request is refused with.
        """
        if not 400 <= status <= 599:
            raise ValueError(f"a request is refused with a status from 400 to 599, not {status}")
        super().__init__("".join(c if c.isprintable() else " " for c in reason))
        self.status = status
        self.kind = kind or usual_kind(status)
