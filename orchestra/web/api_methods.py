"""What the server API can do."""

from __future__ import annotations

import secrets
from base64 import b64decode
from collections.abc import Callable, Sequence
from functools import partial
from platform import node
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw
from msgspec.json import decode
from msgspec.structs import asdict, replace

import orchestra
from orchestra.connection.close_codes import LONGEST_REASON, Close
from orchestra.counters import API
from orchestra.dialects.centrifuge.codec import JSON
from orchestra.dialects.centrifuge.codes import (
    FORCE_NO_RECONNECT,
    NOT_AVAILABLE,
    UNSUBSCRIBED_BY_SERVER,
    Error,
)
from orchestra.dialects.centrifuge.content import content_of_json
from orchestra.dialects.centrifuge.refusals import CommandError, told_of
from orchestra.dialects.centrifuge.results import history_result, presence_result, stats_result
from orchestra.message import Content
from orchestra.policy.grants import ServerSubscription
from orchestra.position import Position
from orchestra.refusal import RefusedError
from orchestra.urls import check_channel
from orchestra.web.api_requests import (
    BroadcastRequest,
    ChannelRequest,
    ChannelsRequest,
    ClientsRequest,
    DisconnectRequest,
    DisconnectWith,
    HistoryRequest,
    InfoRequest,
    MessageRequest,
    Override,
    PublishRequest,
    RefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from orchestra.web.globs import compile_glob

if TYPE_CHECKING:
    from orchestra.connection.client import Client
    from orchestra.websocket.factory import OrchestraFactory

MAX_CHANNELS = 1000
"""In how many channels a message can be published by one broadcast. It is done in one go, while
everybody else waits."""

LONGEST_KEY = 255
"""How many characters an idempotency key may have: as many as in the header of a POST. It is kept
with the message."""

CODES = range(3000, 5000)
"""The codes that a client can be disconnected with: those below are the WebSocket's own (RFC 6455
section 7.4.2)."""


class ServerApi:
    """What an application's servers can ask of a factory and its hub. It knows nothing of HTTP,
    and whoever calls it has made sure that they may.

    Each method takes a request and whose it is, for the log. It returns the result, and refuses by
    raising :class:`orchestra.RefusedError` or :class:`CommandError`, as a client's commands do.
    """

    def __init__(self, factory: OrchestraFactory) -> None:
        self._factory = factory
        self._hub = factory.hub
        self._uid = secrets.token_hex(16)
        self._began = factory.reactor.seconds()

    def call(self, peer: str, method: Method, request: Any) -> dict[str, Any]:
        """Do what is asked for, and say what came of it.

        :param peer: whose request it is, for the log.
        :returns: an object with the key ``result``, or ``error``.
        """
        return answered(method.do, self, peer, request)

    def publish(self, peer: str, request: PublishRequest) -> dict[str, Any]:
        """Publish a message.

        :returns: its place.
        """
        content, key = _content(request), _key(request)
        return self._publish(peer, request.channel, content, key)

    def broadcast(self, peer: str, request: BroadcastRequest) -> dict[str, Any]:
        """Publish a message in several channels.

        :returns: a response for each channel.
        """
        if not request.channels:
            raise RefusedError(400, "channels must have a channel")
        if len(request.channels) > MAX_CHANNELS:
            raise RefusedError(413, f"channels must be {MAX_CHANNELS} or less")
        content, key = _content(request), _key(request)
        publish = partial(answered, self._publish, peer)
        return {"responses": [publish(channel, content, key) for channel in request.channels]}

    def _publish(
        self, peer: str, channel: str, content: Content, key: str | None
    ) -> dict[str, Any]:
        message, _ = self._factory.post(None, peer, check_channel(channel), content, key, API)
        return {"offset": message.offset, "epoch": message.epoch}

    def subscribe(self, peer: str, request: SubscribeRequest) -> dict[str, Any]:
        """Have clients hear a channel, if they can hear several."""
        channel = check_channel(request.channel)
        for field in ("info", "b64info", "b64data", "expire_at"):
            _refuse_field(field, getattr(request, field))
        override = request.override or Override()
        recovery, moves = override.force_recovery, override.force_push_join_leave
        try:
            subscription = ServerSubscription(
                channel,
                data=_value(request.data),
                recoverable=recovery is None or recovery.value,
                join_leave=moves is not None and moves.value,
            )
        except ValueError as error:
            raise RefusedError(400, str(error)) from None
        since = request.recover_since
        place = None if since is None else Position(since.epoch, since.offset)
        refusal = None
        for client in self._clients(request):
            try:
                client.subscribe(subscription, place)
            except RefusedError as error:  # which is of this one, and not of the others
                refusal = error
        if refusal is not None:
            raise refusal
        return {}

    def unsubscribe(self, peer: str, request: UnsubscribeRequest) -> dict[str, Any]:
        """Have clients hear a channel no more."""
        channel, why = check_channel(request.channel), UNSUBSCRIBED_BY_SERVER
        for client in self._clients(request):
            client.unsubscribe(channel, why.code, why.reason)
        return {}

    def disconnect(self, peer: str, request: DisconnectRequest) -> dict[str, Any]:
        """Disconnect clients."""
        close = Close(FORCE_NO_RECONNECT.code, FORCE_NO_RECONNECT.reason)
        if request.disconnect is not None:
            close = _close(request.disconnect)
        kept = frozenset(request.whitelist or ())
        for client in self._clients(request):
            if client.client_id not in kept:
                client.close(close)
        return {}

    def refresh(self, peer: str, request: RefreshRequest) -> dict[str, Any]:
        """Have what lets clients in hold until another time, or no longer."""
        _refuse_field("info", request.info)
        expires = float(request.expire_at) if request.expire_at else None
        if request.expired:
            expires = 0.0
        for client in self._clients(request):
            client.refresh(expires)
        return {}

    def presence(self, peer: str, request: ChannelRequest) -> dict[str, Any]:
        """Who is in a channel."""
        return asdict(presence_result(self._hub, check_channel(request.channel)))

    def presence_stats(self, peer: str, request: ChannelRequest) -> dict[str, Any]:
        """How many are in a channel."""
        return asdict(stats_result(self._hub, check_channel(request.channel)))

    def history(self, peer: str, request: HistoryRequest) -> dict[str, Any]:
        """Some of a channel's past, and where its newest message is."""
        channel = check_channel(request.channel)
        return asdict(
            history_result(self._hub, channel, JSON, request.limit, request.since, request.reverse)
        )

    def history_remove(self, peer: str, request: ChannelRequest) -> dict[str, Any]:
        """It is not possible: the history is what all subscribers read."""
        raise CommandError(replace(NOT_AVAILABLE, message="a channel's history cannot be removed"))

    def channels(self, peer: str, request: ChannelsRequest) -> dict[str, Any]:
        """The channels that clients are in, each with how many."""
        fits: Callable[[str], object] = bool
        if request.pattern:
            try:
                fits = compile_glob(request.pattern)
            except ValueError as error:
                raise RefusedError(400, f"pattern {error}") from None
        presence = self._hub.presence
        found = {name: len(presence(name)) for name in self._hub.channels() if fits(name)}
        return {"channels": {name: {"num_clients": n} for name, n in found.items() if n}}

    def info(self, peer: str, request: InfoRequest) -> dict[str, Any]:
        """What the server is, and what there is on it. It is the only one that it knows of."""
        factory, total = self._factory, self._hub.ledger.total()
        server = {
            "uid": self._uid,
            "name": node(),
            "version": orchestra.__version__,
            "num_clients": len(factory.clients),
            "num_users": factory.identities,
            "num_channels": total.channels,
            "num_subs": total.subscribers,
            "uptime": int(factory.reactor.seconds() - self._began),
        }
        return {"nodes": [server]}

    def _clients(self, request: ClientsRequest) -> Sequence[Client]:
        # Of one user: all of them, or the one that is meant.
        _refuse_field("session", request.session)
        clients = self._factory.clients_of(request.user)
        return [c for c in clients if request.client in (None, "", c.client_id)]


def answered(do: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """Do something, and say what came of it.

    :returns: an object with the key ``result``, or ``error``.
    """
    try:
        return {"result": do(*args)}
    except Exception as error:
        told = told_of(error)
        if told is None:
            raise
    return failed(told)


def failed(error: Error) -> dict[str, Any]:
    """What is answered of what cannot be done.

    :returns: an object with the key ``error``.
    """
    return {"error": {"code": error.code, "message": error.message}}


class Method(NamedTuple):
    """Something that can be done."""

    request: type[Any]
    """What it takes."""

    do: Callable[[ServerApi, str, Any], dict[str, Any]]
    """Takes whose request it is and the request, and returns the result."""


METHODS = {
    "publish": Method(PublishRequest, ServerApi.publish),
    "broadcast": Method(BroadcastRequest, ServerApi.broadcast),
    "subscribe": Method(SubscribeRequest, ServerApi.subscribe),
    "unsubscribe": Method(UnsubscribeRequest, ServerApi.unsubscribe),
    "disconnect": Method(DisconnectRequest, ServerApi.disconnect),
    "refresh": Method(RefreshRequest, ServerApi.refresh),
    "presence": Method(ChannelRequest, ServerApi.presence),
    "presence_stats": Method(ChannelRequest, ServerApi.presence_stats),
    "history": Method(HistoryRequest, ServerApi.history),
    "history_remove": Method(ChannelRequest, ServerApi.history_remove),
    "channels": Method(ChannelsRequest, ServerApi.channels),
    "info": Method(InfoRequest, ServerApi.info),
}
"""All that can be done, by its name; several at once are a batch."""


def _content(request: MessageRequest) -> Content:
    # As the method is asked to publish it. What would get lost of a message is refused.
    _refuse_field("tags", request.tags)
    _refuse_field("version", request.version)
    if request.b64data:
        try:
            return b64decode(request.b64data, validate=True), True
        except ValueError:
            raise RefusedError(400, "b64data must be base64") from None
    data = bytes(request.data)
    if not data:
        raise RefusedError(400, "data or b64data is needed")
    return content_of_json(data)


def _key(request: MessageRequest) -> str | None:
    key = request.idempotency_key or None
    if key is not None and len(key) > LONGEST_KEY:
        words = f"idempotency_key must have {LONGEST_KEY} characters or less"
        raise RefusedError(400, words)
    return key


def _close(disconnect: DisconnectWith) -> Close:
    code, reason = disconnect.code, disconnect.reason
    if code not in CODES:
        words = f"disconnect.code must be from {CODES.start} to {CODES.stop - 1}"
        raise RefusedError(400, words)
    if not reason.isprintable() or len(reason.encode()) > LONGEST_REASON:
        words = f"disconnect.reason must be one line of {LONGEST_REASON} bytes of UTF-8 or less"
        raise RefusedError(400, words)
    return Close(code, reason)


def _value(data: Raw) -> Any:
    return decode(data) if bytes(data) else None


def _refuse_field(name: str, value: Any) -> None:
    # One that asks for what there is not, and that would be missed.
    if value and value != Raw(b"null"):
        raise CommandError(replace(NOT_AVAILABLE, message=f"{name} is not available"))
