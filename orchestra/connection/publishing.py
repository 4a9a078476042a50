"""Why a channel's settings do not let a message be published, whichever way it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestra.connection.close_codes import TOO_MANY_MESSAGES
from orchestra.refusal import RefusedError
from orchestra.settings import ChannelSettings

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory


def check_address(factory: OrchestraFactory, address: str, settings: ChannelSettings) -> None:
    """Make sure that those of an address may publish in channels with some settings.

    :raises RefusedError: if they may not.
    """
    if not factory.may_publish(address, settings):
        raise RefusedError(403, "this address may not publish in the channel")


def too_large(limit: int) -> RefusedError:
    """Why a message is refused that is longer than it may be.

    :param limit: bytes of payload.
    """
    return RefusedError(413, f"a message must be {limit} bytes or less")


def too_many() -> RefusedError:
    """Why a message is refused whose publisher may publish no more for now."""
    return RefusedError(429, TOO_MANY_MESSAGES.reason)
