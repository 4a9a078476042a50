"""How a session comes to listen to a channel: where it begins, and what it is told of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from orchestra.dialects.centrifuge import codes
from orchestra.dialects.centrifuge.content import raw
from orchestra.dialects.centrifuge.encodings import MoveEncoding, PublicationEncoding
from orchestra.dialects.centrifuge.refusals import CommandError
from orchestra.dialects.centrifuge.schema import (
    Publication,
    Subscribe,
    SubscribeRequest,
    SubscribeResult,
)
from orchestra.hub import Hub
from orchestra.policy.grants import HISTORY, PRESENCE, Grant, ServerSubscription
from orchestra.position import Position
from orchestra.session.subscription import Subscription, Watcher
from orchestra.urls import check_channel

if TYPE_CHECKING:
    from orchestra.session.session import Session

REJECT_UNRECOVERED = 2
"""The flag of a client that wants an error, if it cannot be given all that it has missed."""


class Wishes(NamedTuple):
    """What a client asks for with a subscription."""

    since: tuple[str, int] | None = None
    """The epoch and the offset up to which it has read; the epoch may be empty."""

    is_positioned: bool = False
    """Whether it wants to know the offsets, and to be told if it misses any."""

    is_recoverable: bool = False
    """Whether it wants to be able to come back to where it was."""

    wants_moves: bool = False
    """Whether it wants to be told who comes and leaves."""

    rejects: bool = False
    """Whether it wants no subscription, if it cannot be given all that it has missed."""

    is_servers: bool = False
    """Whether these are the server's wishes, for which a grant need not say anything."""

    @classmethod
    def of(cls, request: SubscribeRequest | None) -> Wishes:
        """Those of a request."""
        if request is None:
            return cls()
        return cls(
            (request.epoch, request.offset) if request.recover else None,
            request.positioned,
            request.recoverable or request.recover,
            request.join_leave,
            bool(request.flag & REJECT_UNRECOVERED),
        )


def subscribe_to(session: Session, channel: str, grant: Grant, wishes: Wishes) -> SubscribeResult:
    """Listen to a channel that may be listened to.

    What the client has missed goes with the result, as far as that is a piece of the log; the rest
    follows as it is read, like everything after it.

    :param grant: what allows it.
    :raises RefusedError: if there is no place in the channel.
    """
    factory = session.factory
    hub = factory.hub
    settings = factory.settings(channel)
    factory.entrance.check_channel(channel, settings)
    keep = settings.retention or hub.retention
    may_recover = wishes.is_servers or session.grant.allows(HISTORY, channel)
    is_recoverable = wishes.is_recoverable and may_recover and keep.keeps_anything
    wants_past = is_recoverable and wishes.since is not None
    since = _place(hub, channel, wishes.since) if wants_past and wishes.since else None
    # Of a channel that there is not nothing has been missed by whoever comes with nothing.
    is_first = wishes.since == ("", 0) and hub.position(channel) is None
    is_recovered = bool(wants_past and (since is not None or is_first))
    if wants_past and wishes.rejects and not is_recovered:
        raise CommandError(codes.UNRECOVERABLE_POSITION)
    subscription = Subscription(session, channel, grant)
    subscription.is_positioned = wishes.is_positioned or is_recoverable
    subscription.is_servers = wishes.is_servers
    encodings = factory.encodings
    may_watch = wishes.is_servers or session.grant.allows(PRESENCE, channel)
    if wishes.wants_moves and may_watch:  # its own coming, too
        moves = encodings.get(MoveEncoding, channel, session.codec, session.frame)
        subscription.watch(hub.attach_watcher(channel, Watcher(session), moves))
    subscription.subscriber = hub.attach(
        channel,
        subscription,
        encodings.get(PublicationEncoding, channel, session.codec, session.frame),
        since=since,
        member=hub.member(session.client_id, session.identity, session.grant.info),
    )
    session.subscriptions[channel] = subscription
    subscription.hold_until_expired()
    begins = subscription.subscriber.offset
    publications: list[Publication] = []
    if since is not None:
        entries, offsets = subscription.subscriber.take_piece()
        publications = list(map(session.codec.publication, entries, offsets))
    session.start(subscription)
    epoch = subscription.subscriber.channel.history.epoch
    return SubscribeResult(
        recoverable=is_recoverable,
        positioned=subscription.is_positioned,
        epoch=epoch if subscription.is_positioned else "",
        offset=begins if subscription.is_positioned else 0,
        was_recovering=wants_past,
        recovered=is_recovered,
        publications=publications,
    )


def subscribe_unasked(
    session: Session, wanted: ServerSubscription, wishes: Wishes
) -> SubscribeResult:
    """Listen to a channel that a client gets without having asked for it.

    :param wishes: where it was before, if it was.
    :raises RefusedError: if there is no place in the channel, or clients cannot have it.
    """
    check_channel(wanted.channel)
    wishes = wishes._replace(
        is_positioned=wanted.recoverable,
        is_recoverable=wanted.recoverable,
        wants_moves=wanted.join_leave,
        rejects=False,
        is_servers=True,
    )
    result = subscribe_to(session, wanted.channel, session.grant, wishes)
    if wanted.data is not None:
        return replace(result, data=raw(wanted.data))
    return result


def as_push(result: SubscribeResult) -> Subscribe:
    """A subscription's result, as it is told to a client that has not asked for it."""
    return Subscribe(
        recoverable=result.recoverable,
        epoch=result.epoch,
        offset=result.offset,
        positioned=result.positioned,
        data=result.data,
    )


def _place(hub: Hub, channel: str, since: tuple[str, int]) -> Position | None:
    # Where a client was, if all that came after that is still there.
    epoch, offset = since
    top = hub.position(channel)
    if top is None:
        return None
    position = Position(epoch or top.epoch, offset)
    return position if hub.reaches(channel, position) else None
