"""How commands are refused, in the words of the Centrifuge protocol."""

from __future__ import annotations

from msgspec.structs import replace

from orchestra.dialects.centrifuge import codes
from orchestra.dialects.centrifuge.codes import Disconnect, Error
from orchestra.dialects.centrifuge.schema import BadCommandError
from orchestra.position import LostPositionError
from orchestra.refusal import RefusedError


class CommandError(Exception):
    """A command that is not done.

    :ivar error: what the client is told.
    """

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


class DisconnectError(Exception):
    """A command after which the connection is closed.

    :ivar disconnect: what the client is told.
    """

    def __init__(self, disconnect: Disconnect, reason: str | None = None) -> None:
        """
        :param reason: in words, if there are better ones than the usual.
        """
        if reason is not None:
            disconnect = replace(disconnect, reason=reason)
        super().__init__(disconnect.reason)
        self.disconnect = disconnect


def told_of(error: Exception) -> Error | None:
    """What a client is told of whatever was raised; ``None`` if it is none of its business."""
    if isinstance(error, CommandError):
        return error.error
    if isinstance(error, RefusedError):
        return codes.error_of(error)
    if isinstance(error, BadCommandError):
        return replace(codes.BAD_REQUEST, message=str(error))
    if isinstance(error, LostPositionError):
        return codes.UNRECOVERABLE_POSITION
    return None
