"""The numbers by which the Centrifuge protocol says what is wrong, and why something ends.

They are those of Centrifugo, so that its clients do by themselves what is meant: come back, ask
for another token, or give up.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from orchestra.refusal import RefusedError


class Error(Struct, frozen=True, omit_defaults=True, gc=False):
    """Why a command is not done. It is what a reply has as its ``error``."""

    code: int
    """From 100 to 1999."""

    message: str
    """In words, for people."""

    temporary: bool = False
    """Whether to try again makes sense."""


INTERNAL = Error(100, "internal server error", True)
UNAUTHORIZED = Error(101, "unauthorized")
UNKNOWN_CHANNEL = Error(102, "unknown channel")
PERMISSION_DENIED = Error(103, "permission denied")
METHOD_NOT_FOUND = Error(104, "method not found")
ALREADY_SUBSCRIBED = Error(105, "already subscribed")
LIMIT_EXCEEDED = Error(106, "limit exceeded")
BAD_REQUEST = Error(107, "bad request")
NOT_AVAILABLE = Error(108, "not available")
TOKEN_EXPIRED = Error(109, "token expired")
TOO_MANY_REQUESTS = Error(111, "too many requests", True)
UNRECOVERABLE_POSITION = Error(112, "unrecoverable position")


class Disconnect(Struct, frozen=True, gc=False):
    """Why a connection is closed. It is the code and the reason of a close frame, or a push.

    Clients come back by themselves after codes from 3000 to 3499 and from 4000 to 4499, and not
    after those from 3500 to 3999 and from 4500 to 4999.
    """

    code: int
    """From 3000 to 4999."""

    reason: str
    """In words, for people; in UTF-8 123 bytes at the most, so that a close frame has room."""


SHUTDOWN = Disconnect(3001, "shutdown")
SERVER_ERROR = Disconnect(3004, "internal server error")
CONNECTION_EXPIRED = Disconnect(3005, "connection expired")
SLOW = Disconnect(3008, "slow")
INSUFFICIENT_STATE = Disconnect(3010, "insufficient state")
NO_PONG = Disconnect(3012, "no pong")
TOO_MANY_COMMANDS = Disconnect(3013, "too many requests")
INVALID_TOKEN = Disconnect(3500, "invalid token")
BAD_FRAME = Disconnect(3501, "bad request")
STALE = Disconnect(3502, "stale")
FORCE_NO_RECONNECT = Disconnect(3503, "force disconnect")
CONNECTION_DENIED = Disconnect(3507, "permission denied")
CONNECTION_NOT_AVAILABLE = Disconnect(3508, "not available")

CLOSE_CODES = frozenset(
    (3000, 3001, *range(3004, 3007), *range(3008, 3014), *range(3500, 3510)),
)
"""Those of all disconnects that the protocol knows. Some of them only an application asks for."""

_ENDED_BY = {
    PERMISSION_DENIED.code: CONNECTION_DENIED,
    TOKEN_EXPIRED.code: CONNECTION_EXPIRED,
    TOO_MANY_REQUESTS.code: TOO_MANY_COMMANDS,
}


def disconnect_of(error: Error) -> Disconnect:
    """Why a connection is closed that an error makes useless. Its words are the error's own."""
    return replace(_ENDED_BY.get(error.code, SERVER_ERROR), reason=error.message)


class Unsubscribed(Struct, frozen=True, gc=False):
    """Why the server ends a subscription. It is what a push has as its ``unsubscribe``.

    Clients subscribe again by themselves after codes from 2500 on.
    """

    code: int
    """From 2000 to 2999."""

    reason: str
    """In words, for people."""


UNSUBSCRIBED_BY_SERVER = Unsubscribed(2000, "server unsubscribe")
UNSUBSCRIBED_INSUFFICIENT_STATE = Unsubscribed(2500, "insufficient state")
UNSUBSCRIBED_EXPIRED = Unsubscribed(2501, "subscription expired")

_BY_STATUS = {
    400: BAD_REQUEST,
    401: UNAUTHORIZED,
    403: PERMISSION_DENIED,
    404: UNKNOWN_CHANNEL,
    413: LIMIT_EXCEEDED,
    422: BAD_REQUEST,
    429: TOO_MANY_REQUESTS,
    503: INTERNAL,
}
_OTHER = Error(INTERNAL.code, INTERNAL.message)


def error_of(refusal: RefusedError) -> Error:
    """What a refusal is in this protocol. Its words are the refusal's own."""
    error = _BY_STATUS.get(refusal.status, _OTHER)
    if refusal.status == 401 and refusal.kind == "expired":
        error = TOKEN_EXPIRED
    return replace(error, message=str(refusal))
