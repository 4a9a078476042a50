"""What sessions publish: one message, once that is decided on, or all that came together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from orchestra.connection.publishing import check_address, too_large, too_many
from orchestra.counters import WEBSOCKET
from orchestra.dialects.centrifuge.schema import Command, PublishRequest, PublishResult
from orchestra.message import Content
from orchestra.policy.grants import PUBLISH
from orchestra.refusal import RefusedError
from orchestra.session.commands import channel_of, check_new, settled
from orchestra.settings import ChannelSettings

if TYPE_CHECKING:
    from orchestra.session.session import Session

BURST = 64
"""How many messages are published at once before it is looked at whether others should have a
turn."""


async def publish(session: Session, request: PublishRequest) -> PublishResult:
    """Play a message, once the policy has decided on it."""
    channel = request.channel
    content = message_check(session, check_publisher(session, channel))(request)
    await settled(session, session.factory.access.publish(session.grant, channel, content))
    session.grant.check_time(session.factory.hub.wall_clock)
    play(session, channel, [content])
    return PublishResult()


def publishes_at_once(session: Session) -> bool:
    """Whether nobody else has to be asked about what a session publishes."""
    return session.is_connected and not session.factory.access.asks_to_publish


def publish_burst(session: Session, channel: str, commands: deque[Command]) -> None:
    """Perform the next commands, as far as they publish in the same channel.

    What holds there is looked at once for all of them, and they are played together.

    :param channel: where the first of them publishes.
    :param commands: of which those are taken.
    """
    refusal = None
    try:
        check = message_check(session, check_publisher(session, channel))
    except Exception as error:
        refusal = error
    published = session.codec.published
    contents: list[Content] = []
    replies: list[bytes] = []
    left = BURST
    while left and commands:
        number, request = commands[0].id, commands[0].publish
        if request is None or not number or request.channel != channel:
            break
        left -= 1
        commands.popleft()
        if refusal is not None:
            session.refuse(number, refusal)
            continue
        try:
            contents.append(check(request))
        except Exception as error:
            session.reply(*replies)
            replies.clear()
            session.refuse(number, error)
        else:
            replies.append(published(number))
    if contents:
        session.reply(*replies)
        play(session, channel, contents)


def play(session: Session, channel: str, contents: list[Content]) -> None:
    """Publish what may be published."""
    factory = session.factory
    factory.activity.notes(session.peer, channel, len(factory.clients), contents)
    factory.hub.publish_all(channel, contents, session.publisher, WEBSOCKET)
    if factory.backpressure.is_high:
        factory.backpressure.hold(session)


def check_publisher(session: Session, channel: str) -> ChannelSettings:
    """Make sure that a session may publish in a channel, as far as the grant and the settings say.

    :returns: what holds for its messages there; see :func:`message_check`.
    """
    factory = session.factory
    if channel in session.subscriptions:
        session.grant.check(PUBLISH, channel)
    else:
        session.grant.check(PUBLISH, channel_of(channel))
        check_new(session, channel)
    settings = factory.settings(channel)
    if settings is not factory.defaults:
        check_address(factory, session.remote, settings)
    return settings


def message_check(
    session: Session, settings: ChannelSettings
) -> Callable[[PublishRequest], Content]:
    """What makes sure that a message may be played by who may publish.

    :param settings: of the channel.
    :returns: a function that takes a request, and returns the message; it raises
        :class:`orchestra.RefusedError` and :class:`BadCommandError`.
    """
    content_of = session.codec.content
    longest = settings.max_message_size or inf
    allowance = None
    if settings.max_message_rate:
        allowances = session.allowances
        if settings not in allowances:
            allowances[settings] = session.factory.allowance(settings)
        allowance = allowances[settings]

    def check(request: PublishRequest) -> Content:
        if request.data is None:
            raise RefusedError(400, "publish must have data")
        content = content_of(request.data)
        if len(content[0]) > longest:
            raise too_large(int(longest))
        if allowance is not None and not allowance.take(1, session.factory.reactor.seconds()):
            raise too_many()
        return content

    return check
