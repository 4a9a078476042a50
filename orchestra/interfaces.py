"""What the core asks of those who plug into it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from orchestra.message import Entry
from orchestra.position import Position

if TYPE_CHECKING:
    from orchestra.policy.access import AccessRequest


class IEncoding(Interface):
    """How messages look to one kind of subscriber.

    Subscribers that share an encoding (the same object) share what it makes: a channel calls
    :meth:`encode` once per turn and hands the result to each of them.
    """

    def encode(entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> Any:
        """Turn messages into what the outlet writes.

        :param entries: of the log, at least one, in their order.
        :param offsets: the offset of each; there are gaps where a subscriber skips some.
        :param epoch: of the log.
        :returns: whatever the outlets of this encoding take: bytes for a connection.
        """


class IOutlet(Interface):
    """Where a subscriber writes to: a connection, or a callback.

    An outlet never refuses a write. One that is full says so with
    :meth:`orchestra.Subscriber.pause`, from inside the write if it likes.
    """

    send = Attribute(
        """A shorter way to write, or ``None``.

        A function that takes as much of the bytes as there is room for at once, does nothing
        else, and returns how much that was; if it raises, it was nothing. What it leaves, as a
        view of the bytes, is written. It is used only while the subscriber is not paused.
        """
    )

    def write(data: Any) -> None:
        """Take what the encoding made of the next messages."""

    def gap(missed: int | None, position: Position) -> None:
        """Learn that messages are missing between what was written and what will be.

        :param missed: how many; ``None`` if that cannot be known.
        :param position: where it goes on, that is, after which message.
        """

    def evict(missed: int) -> None:
        """Learn that the subscriber fell off the log, and gets nothing more.

        :param missed: how many of its messages are gone already.
        """

    def fail() -> None:
        """Learn that the subscriber gets nothing more, because its encoding or outlet raised."""

    def end() -> None:
        """Learn that all was written that :meth:`orchestra.Subscriber.finish` asked for."""


class IPolicy(Interface):
    """An application's own rules for who may come in, and what they may do.

    What it is asked it answers at once, or by a Deferred or a coroutine, within a few seconds. It
    refuses by raising :class:`orchestra.RefusedError`, whose reason the client is told.
    :class:`orchestra.Policy` is a base that allows everything.
    """

    challenge = Attribute("""What goes with a 401 as ``WWW-Authenticate``, such as ``Bearer``.""")

    takes_cookies = Attribute(
        """Whether a cookie may tell who somebody is. Then it is not possible that pages of all
        origins are let in, and those of other origins that are may send cookies."""
    )

    subscribe = Attribute(
        """A function that is asked as well before somebody listens in a channel, or ``None``.

        It takes the grant and the name of the channel; the grant allows it. It is not asked where
        a token for the channel was sent, of which :attr:`subscription` is asked, nor about the
        channels that a client gets without asking.
        """
    )

    publish = Attribute(
        """A function that is asked as well for each message that a client plays, or ``None``.

        It takes the grant, the name of the channel, and the message as a pair of payload and
        whether that is binary; the grant allows it. Until it has answered, nothing more is read
        from this client. If it refuses, a client of one channel is closed, and one of an SDK is
        told so in the reply.
        """
    )

    subscription = Attribute(
        """A function that is asked what a token for a single channel allows, or ``None`` if there
        are no such tokens.

        It takes the grant of the connection, the name of the channel, and the token that the
        client sent to listen there; and again for each with which it wants to stay. It returns an
        :class:`orchestra.Grant`, whose capabilities and expiry count for this channel.
        """
    )

    def connect(request: AccessRequest) -> Any:
        """Find out who somebody is that wants to come in.

        :param request: what is known of them; for a WebSocket and a stream that is once for each,
            for all else once for each request. For a client of an SDK, whose request has no
            channel, it is once more for each token with which it wants to stay; there is no data
            then, and the identity must be the same.
        :returns: an :class:`orchestra.Grant`: who it is, and what that allows.
        """
