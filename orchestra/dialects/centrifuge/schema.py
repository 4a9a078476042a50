"""What is said in the Centrifuge client protocol: commands, replies and pushes.

The names are those of its schema, ``client.proto``; the fields are those that are spoken here, and
others are ignored. What has its default is left out where it is written. Values that belong to
applications are kept as they came, as :class:`msgspec.Raw`: JSON, or with protobuf any bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from msgspec import Meta, Raw, Struct, ValidationError

from orchestra.dialects.centrifuge.codes import Disconnect, Error, Unsubscribed

if TYPE_CHECKING:
    Data: TypeAlias = Raw | None
else:
    # As one of a union msgspec would not take what is raw; null is data like any other, too.
    Data = Raw

Id = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Offset = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Limit = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class BadCommandError(ValueError):
    """What a client sent is no command. The text repeats nothing of it."""

    @classmethod
    def about(cls, error: ValidationError) -> BadCommandError:
        """Which field of a command is wrong, and what is allowed.

        What msgspec says has the types and the bounds, and no values or keys that were sent.
        """
        what, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".")
        return cls(f"{field or 'a command'}: {what[:1].lower()}{what[1:]}")


class _Spoken(Struct, frozen=True, omit_defaults=True, gc=False):
    """What is written without what has its default."""


# Commands


class SubscribeRequest(_Spoken, frozen=True):
    """To listen in a channel."""

    channel: str = ""
    token: str = ""
    recover: bool = False
    epoch: str = ""
    offset: Offset = 0
    positioned: bool = False
    recoverable: bool = False
    join_leave: bool = False
    flag: int = 0
    """2, to be refused if something is missing; others are ignored."""

    tf: Any = None
    """A filter by tags, which there are not."""

    type: int = 0
    """0 for a log of messages, which all channels are here."""


class ConnectRequest(_Spoken, frozen=True):
    """To come in. It is the first command on a connection."""

    token: str = ""
    data: Data = None
    subs: dict[str, SubscribeRequest] = {}
    """The positions in those channels that the server has subscribed the client to before."""

    name: str = ""
    """What it is. SDKs say it, and it is used for nothing, like the version."""

    version: str = ""


class UnsubscribeRequest(_Spoken, frozen=True):
    """To listen no longer."""

    channel: str = ""


class PublishRequest(_Spoken, frozen=True):
    """To play a message."""

    channel: str = ""
    data: Data = None


class PresenceRequest(_Spoken, frozen=True):
    """To learn who is in a channel."""

    channel: str = ""


class PresenceStatsRequest(_Spoken, frozen=True):
    """To learn how many are in a channel."""

    channel: str = ""


class StreamPosition(_Spoken, frozen=True):
    """A place in a channel's history."""

    offset: Offset = 0
    epoch: str = ""


class HistoryRequest(_Spoken, frozen=True):
    """To have a part of the past."""

    channel: str = ""
    limit: Limit = 0
    """How many messages at the most: 0 for the position alone, less than 0 for no limit."""

    since: StreamPosition | None = None
    reverse: bool = False


class PingRequest(_Spoken, frozen=True):
    """To see that somebody is there."""


class SendRequest(_Spoken, frozen=True):
    """To tell the application something."""

    data: Data = None


class RPCRequest(_Spoken, frozen=True):
    """To have the application do something."""

    data: Data = None
    method: str = ""


class RefreshRequest(_Spoken, frozen=True):
    """To stay, with another token."""

    token: str = ""


class SubRefreshRequest(_Spoken, frozen=True):
    """To stay in a channel, with another token."""

    channel: str = ""
    token: str = ""


class EmulationRequest(_Spoken, frozen=True):
    """Commands that come by a request of their own, since their client's stream is one-way."""

    session: str = ""
    """The secret name of the client's session."""

    data: str = ""


class Command(_Spoken, frozen=True):
    """What a client asks for: one of these. One that asks for nothing is a pong."""

    id: Id = 0
    """What the reply has as well; 0 for what is not replied to."""

    connect: ConnectRequest | None = None
    subscribe: SubscribeRequest | None = None
    unsubscribe: UnsubscribeRequest | None = None
    publish: PublishRequest | None = None
    presence: PresenceRequest | None = None
    presence_stats: PresenceStatsRequest | None = None
    history: HistoryRequest | None = None
    ping: PingRequest | None = None
    send: SendRequest | None = None
    rpc: RPCRequest | None = None
    refresh: RefreshRequest | None = None
    sub_refresh: SubRefreshRequest | None = None


# Replies


class ClientInfo(_Spoken, frozen=True):
    """Who somebody is."""

    user: str = ""
    client: str = ""
    conn_info: Data = None


class Publication(_Spoken, frozen=True):
    """A message of a channel."""

    data: Raw
    info: ClientInfo | None = None
    """Who has published it."""

    offset: int = 0


class SubscribeResult(_Spoken, frozen=True):
    """How a subscription begins."""

    expires: bool = False
    ttl: int = 0
    """After how many seconds it expires."""

    recoverable: bool = False
    epoch: str = ""
    publications: list[Publication] = []
    recovered: bool = False
    """Whether nothing is missing between the position that was asked for and this."""

    offset: int = 0
    positioned: bool = False
    data: Data = None
    was_recovering: bool = False


class ConnectResult(_Spoken, frozen=True):
    """How a connection begins."""

    client: str = ""
    expires: bool = False
    ttl: int = 0
    """After how many seconds it expires."""

    subs: dict[str, SubscribeResult] = {}
    ping: int = 0
    """Every how many seconds the server sends a ping."""

    pong: bool = False
    """Whether it wants an answer to it."""

    session: str = ""
    node: str = ""


class UnsubscribeResult(_Spoken, frozen=True):
    """It is done."""


class PublishResult(_Spoken, frozen=True):
    """It is done."""


class PresenceResult(_Spoken, frozen=True):
    """Who is in a channel, by their client ids."""

    presence: dict[str, ClientInfo] = {}


class PresenceStatsResult(_Spoken, frozen=True, omit_defaults=False):
    """How many are in a channel, which may be none."""

    num_clients: int = 0
    num_users: int = 0


class HistoryResult(_Spoken, frozen=True):
    """A part of the past, and where the present is."""

    publications: list[Publication] = []
    epoch: str = ""
    offset: int = 0


class PingResult(_Spoken, frozen=True):
    """Somebody is there."""


class RPCResult(_Spoken, frozen=True):
    """What the application says."""

    data: Data = None


class RefreshResult(_Spoken, frozen=True):
    """Until when the connection holds."""

    client: str = ""
    expires: bool = False
    ttl: int = 0


class SubRefreshResult(_Spoken, frozen=True):
    """Until when the subscription holds."""

    expires: bool = False
    ttl: int = 0


# Pushes


class Join(_Spoken, frozen=True):
    """Somebody came."""

    info: ClientInfo


class Leave(_Spoken, frozen=True):
    """Somebody left."""

    info: ClientInfo


class Subscribe(_Spoken, frozen=True):
    """The server has subscribed the client."""

    recoverable: bool = False
    epoch: str = ""
    offset: int = 0
    positioned: bool = False
    data: Data = None


class Refresh(_Spoken, frozen=True):
    """Until when the connection holds now."""

    expires: bool = False
    ttl: int = 0


class Push(_Spoken, frozen=True):
    """What happened: one of these."""

    channel: str = ""
    pub: Publication | None = None
    join: Join | None = None
    leave: Leave | None = None
    unsubscribe: Unsubscribed | None = None
    subscribe: Subscribe | None = None
    connect: ConnectResult | None = None
    """For a client that cannot ask for it."""

    disconnect: Disconnect | None = None
    refresh: Refresh | None = None


class Reply(_Spoken, frozen=True):
    """What the server says: an error, a push, or a command's result. An empty one is a ping."""

    id: int = 0
    """Of the command; 0 for a push."""

    error: Error | None = None
    push: Push | None = None
    connect: ConnectResult | None = None
    subscribe: SubscribeResult | None = None
    unsubscribe: UnsubscribeResult | None = None
    publish: PublishResult | None = None
    presence: PresenceResult | None = None
    presence_stats: PresenceStatsResult | None = None
    history: HistoryResult | None = None
    ping: PingResult | None = None
    rpc: RPCResult | None = None
    refresh: RefreshResult | None = None
    sub_refresh: SubRefreshResult | None = None
