"""What each command of the Centrifuge protocol does, but for publishing.

Each takes the session that has sent it and its request, and returns its result. It refuses by
raising: :class:`orchestra.RefusedError` and :class:`CommandError` become an error in the reply,
:class:`DisconnectError` ends the connection.
"""

from __future__ import annotations

from inspect import iscoroutine
from math import floor
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred

from orchestra.dialects.centrifuge import codes, results
from orchestra.dialects.centrifuge.content import raw, value_of
from orchestra.dialects.centrifuge.refusals import CommandError, DisconnectError
from orchestra.dialects.centrifuge.schema import (
    ConnectRequest,
    ConnectResult,
    HistoryRequest,
    HistoryResult,
    PingRequest,
    PingResult,
    PresenceRequest,
    PresenceResult,
    PresenceStatsRequest,
    PresenceStatsResult,
    RefreshRequest,
    RefreshResult,
    RPCRequest,
    RPCResult,
    SendRequest,
    SubRefreshRequest,
    SubRefreshResult,
    SubscribeRequest,
    SubscribeResult,
    UnsubscribeRequest,
    UnsubscribeResult,
)
from orchestra.policy.access import AccessRequest
from orchestra.policy.grants import HISTORY, PRESENCE, SUBSCRIBE, Grant
from orchestra.refusal import RefusedError
from orchestra.session.calls import Caller
from orchestra.session.subscribing import Wishes, subscribe_to, subscribe_unasked
from orchestra.urls import BadTargetError, check_channel

if TYPE_CHECKING:
    from orchestra.session.session import Session

NODE = "orchestra"
"""The name of the server, which clients whose commands come by another way give back."""

MAX_HISTORY = 256 * 1024
"""How many bytes of messages are told at once of what a channel retains. It is a copy for whoever
has asked, who may go on from there."""

LONGEST = 2**31 - 1
"""The longest time after which a client is told to refresh something, in seconds."""

REFRESH_AHEAD = 5.0
"""How many seconds before something expires a client is told to refresh it."""


async def settled(session: Session, value: Any) -> Any:
    """What was decided, at once or after a while, if the client is still there then."""
    if iscoroutine(value):
        value = Deferred.fromCoroutine(value)
    found = await value if isinstance(value, Deferred) else value
    if session.is_leaving:
        raise CancelledError
    return found


async def connect(session: Session, request: ConnectRequest) -> ConnectResult:
    """Find out who it is, and let it in."""
    factory = session.factory
    try:
        data = None if request.data is None else value_of(request.data)
        grant = await granted(session, request.token, data)
        factory.entrance.check_room()
        factory.entrance.welcome(session, grant)
    except RefusedError as error:
        factory.activity.refused(session.peer, error.status, str(error), error.kind)
        raise in_vain(error) from None
    session.come_in()
    expires, ttl = time_left(session, grant)
    subs = {}
    for subscription in grant.subscriptions:
        wishes = Wishes.of(request.subs.get(subscription.channel))
        try:
            subs[subscription.channel] = subscribe_unasked(session, subscription, wishes)
        except RefusedError as error:  # there is no place in it
            factory.activity.refused(session.peer, error.status, str(error), error.kind)
    return ConnectResult(
        client=session.client_id,
        expires=expires,
        ttl=ttl,
        subs=subs,
        ping=session.pings.seconds,
        pong=session.pings.are_answered,
        session=session.emulated,
        node=NODE if session.emulated else "",
    )


async def granted(session: Session, token: str, data: Any = None) -> Grant:
    """What somebody may do.

    :raises RefusedError: if it may not come in.
    """
    request = AccessRequest(
        "GET",
        "",
        session.remote,
        session.uri,
        session.headers,
        token=token or None,
        data=data,
    )
    grant: Grant = await settled(session, session.factory.access.connect(request))
    return grant


def in_vain(refusal: RefusedError) -> Exception:
    """What a refusal is to those who are let in by a token.

    :returns: what closes the connection, if another attempt with the same token is in vain.
    """
    if refusal.status == 401 and refusal.kind != "expired":
        return DisconnectError(codes.INVALID_TOKEN, str(refusal))
    return refusal


def time_left(session: Session, grant: Grant) -> tuple[bool, int]:
    """Whether a grant expires, and after how many seconds it is to be refreshed."""
    if grant.expires is None:
        return False, 0
    left = grant.expires - session.factory.hub.wall_clock() - REFRESH_AHEAD
    return True, max(1, floor(min(left, LONGEST)))


async def subscribe(session: Session, request: SubscribeRequest) -> SubscribeResult:
    """Listen to a channel, from now on or from where the client was."""
    channel = channel_of(request.channel)
    # Who was let in all the same would take what comes for something else.
    if request.type:
        raise CommandError(replace(codes.NOT_AVAILABLE, message="every channel is a log here"))
    if request.tf is not None:
        raise RefusedError(400, "messages have no tags that could be filtered by")
    check_subscription(session, channel)
    check_new(session, channel)
    access, wishes = session.factory.access, Wishes.of(request)
    if not request.token:
        session.grant.check(SUBSCRIBE, channel)
        await settled(session, access.subscribe(session.grant, channel))
        check_subscription(session, channel)  # the server may have been quicker
        session.grant.check(SUBSCRIBE, channel)  # of which there may be another by now
        return subscribe_to(session, channel, session.grant, wishes)
    grant = await settled(session, access.subscription(session.grant, channel, request.token))
    check_subscription(session, channel)
    grant.check(SUBSCRIBE, channel)
    grant.check_time(session.factory.hub.wall_clock)
    if grant is session.grant:
        return subscribe_to(session, channel, grant, wishes)
    data = None
    for told in grant.subscriptions:
        if told.channel == channel:
            data = told.data
            wishes = wishes._replace(wants_moves=wishes.wants_moves or told.join_leave)
    result = subscribe_to(session, channel, grant, wishes)
    expires, ttl = time_left(session, grant)
    return replace(result, expires=expires, ttl=ttl, data=None if data is None else raw(data))


def check_subscription(session: Session, channel: str) -> None:
    """Make sure that a session may listen to one more channel.

    :raises CommandError: if it does already, or to as many as it may.
    """
    if channel in session.subscriptions:
        raise CommandError(codes.ALREADY_SUBSCRIBED)
    if 0 < session.factory.max_subscriptions <= len(session.subscriptions):
        raise CommandError(codes.LIMIT_EXCEEDED)


async def unsubscribe(session: Session, request: UnsubscribeRequest) -> UnsubscribeResult:
    """Listen to a channel no more."""
    subscription = session.subscriptions.pop(channel_of(request.channel), None)
    if subscription is not None:
        subscription.leave()
    return UnsubscribeResult()


async def presence(session: Session, request: PresenceRequest) -> PresenceResult:
    """Tell who is in a channel."""
    channel = channel_of(request.channel)
    session.grant.check(PRESENCE, channel)
    return results.presence_result(session.factory.hub, channel)


async def presence_stats(session: Session, request: PresenceStatsRequest) -> PresenceStatsResult:
    """Tell how many are in a channel."""
    channel = channel_of(request.channel)
    session.grant.check(PRESENCE, channel)
    return results.stats_result(session.factory.hub, channel)


async def history(session: Session, request: HistoryRequest) -> HistoryResult:
    """Tell what a channel retains."""
    channel = channel_of(request.channel)
    session.grant.check(HISTORY, channel)
    return results.history_result(
        session.factory.hub,
        channel,
        session.codec,
        limit=request.limit,
        since=request.since,
        reverse=request.reverse,
        size=MAX_HISTORY,
    )


async def ping(session: Session, request: PingRequest) -> PingResult:
    """Answer that the server is there."""
    return PingResult()


async def send(session: Session, request: SendRequest) -> None:
    """Hand a message to the application."""
    handler = session.factory.on_message
    if handler is None:
        raise DisconnectError(codes.CONNECTION_NOT_AVAILABLE)
    await settled(session, handler(caller_of(session), value_of(request.data)))


async def rpc(session: Session, request: RPCRequest) -> RPCResult:
    """Have the application answer."""
    handler = session.factory.rpc.get(request.method)
    if handler is None:
        raise CommandError(codes.NOT_AVAILABLE)
    value = await settled(session, handler(caller_of(session), value_of(request.data)))
    return RPCResult(data=raw(value))


async def refresh(session: Session, request: RefreshRequest) -> RefreshResult:
    """Take a new token in the place of one that expires."""
    try:
        grant = await granted(session, request.token)
        grant.check_time(session.factory.hub.wall_clock)
    except RefusedError as error:
        raise in_vain(error) from None
    if grant.identity != session.identity:
        raise DisconnectError(codes.INVALID_TOKEN, "the token is somebody else's")
    session.renew(grant)
    expires, ttl = time_left(session, grant)
    return RefreshResult(client=session.client_id, expires=expires, ttl=ttl)


async def sub_refresh(session: Session, request: SubRefreshRequest) -> SubRefreshResult:
    """Take a new token for a subscription in the place of one that expires."""
    channel = channel_of(request.channel)
    subscription = session.subscriptions.get(channel)
    if subscription is None:
        raise CommandError(codes.PERMISSION_DENIED)
    access = session.factory.access
    grant = await settled(session, access.subscription(session.grant, channel, request.token))
    if session.subscriptions.get(channel) is not subscription:
        raise CommandError(codes.PERMISSION_DENIED)
    grant.check_time(session.factory.hub.wall_clock)
    grant.check(SUBSCRIBE, channel)
    subscription.grant = grant
    subscription.hold_until_expired()
    expires, ttl = time_left(session, grant)
    return SubRefreshResult(expires=expires, ttl=ttl)


def channel_of(name: str) -> str:
    """Make sure that something names a channel.

    :raises RefusedError: if it does not.
    """
    try:
        return check_channel(name)
    except BadTargetError as error:
        if error.status == 404:
            raise CommandError(codes.UNKNOWN_CHANNEL) from None
        raise


def check_new(session: Session, channel: str) -> None:
    """Make sure that a client may bring a channel into being, if there is none of the name.

    :raises RefusedError: if it has brought too many.
    """
    factory = session.factory
    if factory.hub.position(channel) is None and not session.new_channels.take(
        1, factory.reactor.seconds()
    ):
        raise RefusedError(429, "too many new channels")


def caller_of(session: Session) -> Caller:
    """Whose session it is, for an application."""
    return Caller(session.client_id, session.identity, session.grant)
