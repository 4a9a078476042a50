"""What the server API is asked for.

The requests are those of Centrifugo's API. Fields that are not here are ignored.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from orchestra.dialects.centrifuge.schema import StreamPosition


class MessageRequest(Struct, kw_only=True):
    """To publish a message somewhere."""

    data: Raw = Raw()
    """The message, as a value of JSON."""

    b64data: str | None = None
    """The message in base64, in the place of ``data``."""

    idempotency_key: str | None = None
    """What makes it the same message, if it is sent again."""

    tags: dict[str, str] | None = None
    version: int = 0


class PublishRequest(MessageRequest):
    """To publish a message in a channel."""

    channel: str


class BroadcastRequest(MessageRequest):
    """To publish the same message in several channels."""

    channels: list[str]


class BoolValue(Struct):
    """A choice; where there is none, what is usual holds."""

    value: bool = False


class Override(Struct):
    """What is to be otherwise than usual in a subscription."""

    force_recovery: BoolValue | None = None
    """Whether it goes on where it was cut off."""

    force_push_join_leave: BoolValue | None = None
    """Whether the client is told who comes and leaves."""


class ClientsRequest(Struct, kw_only=True):
    """To have something done with clients of a user."""

    user: str
    client: str | None = None
    """The id of the one that is meant; without it all are."""

    session: str | None = None


class SubscribeRequest(ClientsRequest, kw_only=True):
    """To have clients hear a channel."""

    channel: str
    data: Raw = Raw()
    """What they are told with it, as a value of JSON."""

    b64data: str | None = None
    info: Raw = Raw()
    b64info: str | None = None
    expire_at: int | None = None
    recover_since: StreamPosition | None = None
    override: Override | None = None


class UnsubscribeRequest(ClientsRequest, kw_only=True):
    """To have clients hear a channel no more."""

    channel: str


class DisconnectWith(Struct):
    """What clients are told that are disconnected."""

    code: int
    reason: str = ""


class DisconnectRequest(ClientsRequest, kw_only=True):
    """To disconnect clients."""

    whitelist: list[str] | None = None
    """The ids of those that stay."""

    disconnect: DisconnectWith | None = None


class RefreshRequest(ClientsRequest, kw_only=True):
    """To have what lets clients in hold until another time."""

    expired: bool | None = None
    """Whether it holds no longer, whatever ``expire_at`` is."""

    expire_at: int | None = None
    """Until when, in seconds of Unix time; for good if that is 0 or nothing."""

    info: Raw = Raw()


class ChannelRequest(Struct):
    """To know something of a channel."""

    channel: str


class HistoryRequest(ChannelRequest):
    """To have some of a channel's past."""

    limit: int = 0
    """How many messages at the most: 0 for none, and any negative number for all."""

    since: StreamPosition | None = None
    reverse: bool = False
    """Whether the newest one comes first."""


class ChannelsRequest(Struct):
    """To know which channels there are."""

    pattern: str | None = None
    """What their names must fit; see :mod:`orchestra.web.globs`."""


class InfoRequest(Struct):
    """To know of the server."""
