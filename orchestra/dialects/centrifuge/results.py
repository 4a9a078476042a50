"""What is in a channel, as the results of commands: for a client's session and the server API."""

from __future__ import annotations

from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING

from orchestra.dialects.centrifuge.codec import Codec
from orchestra.dialects.centrifuge.content import info_of
from orchestra.dialects.centrifuge.schema import (
    HistoryResult,
    PresenceResult,
    PresenceStatsResult,
    StreamPosition,
)
from orchestra.position import LostPositionError, Position

if TYPE_CHECKING:
    from orchestra.hub import Hub
    from orchestra.message import Message


def history_result(
    hub: Hub,
    channel: str,
    codec: Codec,
    limit: int = 0,
    since: StreamPosition | None = None,
    reverse: bool = False,
    size: float = inf,
) -> HistoryResult:
    """What a channel retains, and where its newest message is.

    :param limit: how many messages at the most, the oldest ones; 0 for none, and any negative
        number for all.
    :param since: only those after this place, or before it if ``reverse``. Without an epoch it is
        a place in the history that there is now.
    :param reverse: whether the newest one comes first.
    :param size: bytes of payload; the message that reaches them is the last.
    :raises LostPositionError: if messages after the place are gone, or there is no such place.
    :raises ValueError: if the channel's name is not allowed.
    """
    position = hub.position(channel)
    if position is None:  # there is nothing, and so nothing is missing
        if since is not None and since != StreamPosition():
            raise LostPositionError(None)
        return HistoryResult()
    messages: list[Message] = []
    most = limit if limit >= 0 else None
    if since is not None and not reverse:
        place = Position(since.epoch or position.epoch, since.offset)
        messages = hub.history(channel, since=place, limit=most)
    elif limit:
        messages = hub.history(channel, limit=most if reverse and since is None else None)
        if reverse:
            messages = _before(messages, since, position)
        messages = messages[:most]
    sizes = accumulate(len(message.payload) for message in messages)
    messages = messages[: 1 + sum(1 for taken in sizes if taken < size)]
    publications = [codec.publication(m.entry, m.offset) for m in messages]
    return HistoryResult(publications=publications, epoch=position.epoch, offset=position.offset)


def _before(
    messages: list[Message], since: StreamPosition | None, newest: Position
) -> list[Message]:
    # From the newest on. Where those before a place are gone, that is just the end of the past.
    if since is not None:
        if since.epoch not in ("", newest.epoch) or since.offset > newest.offset + 1:
            raise LostPositionError(None)
        messages = [message for message in messages if message.offset < since.offset]
    return messages[::-1]


def presence_result(hub: Hub, channel: str) -> PresenceResult:
    """Who is in a channel, by the ids of the clients.

    :raises ValueError: if the channel's name is not allowed.
    """
    return PresenceResult(
        presence={
            member.client: info_of(member.client, member.identity, member.info)
            for member in hub.presence(channel)
        }
    )


def stats_result(hub: Hub, channel: str) -> PresenceStatsResult:
    """How many are in a channel: clients, and identities that they have.

    :raises ValueError: if the channel's name is not allowed.
    """
    presence = hub.presence(channel)
    return PresenceStatsResult(num_clients=len(presence), num_users=presence.identities)
