"""A place of a session in one channel."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from zope.interface import implementer

from orchestra.connection.expiry import Expiry
from orchestra.interfaces import IOutlet
from orchestra.policy.grants import Grant
from orchestra.position import Position
from orchestra.subscriber import Subscriber

if TYPE_CHECKING:
    from orchestra.session.session import Session


@implementer(IOutlet)
class Subscription:
    """Reads one channel for a session, into the session's connection.

    What is to be done when it can read no more is for the session to say.
    """

    __slots__ = (
        "_expiry",
        "_session",
        "_watcher",
        "channel",
        "grant",
        "is_positioned",
        "is_servers",
        "send",
        "subscriber",
        "write",
    )

    subscriber: Subscriber
    """Its place in the channel's log."""

    def __init__(self, session: Session, channel: str, grant: Grant) -> None:
        """
        :param channel: its name.
        :param grant: what lets it listen there: that of the session, or one of its own.
        """
        self._session = session
        self.channel = channel
        self.grant = grant
        self.write = session.write
        self.send = session.send
        self.is_positioned = False
        """Whether the client counts the offsets, and must not miss any."""
        self.is_servers = False
        """Whether the client has it without having asked."""
        self._watcher: Subscriber | None = None
        self._expiry: Expiry | None = None

    def watch(self, watcher: Subscriber) -> None:
        """Tell of those who come and leave as well.

        :param watcher: reads that, into an outlet of its own.
        """
        self._watcher = watcher

    def hold_until_expired(self) -> None:
        """Have the session unsubscribe it when its own grant has expired."""
        if self._expiry is not None:
            self._expiry.stop()
            self._expiry = None
        if self.grant is not self._session.grant and self.grant.expires is not None:
            hub = self._session.factory.hub
            self._expiry = Expiry(
                self.grant.expires,
                partial(self._session.subscription_expired, self),
                hub.wall_clock,
                self._session.factory.reactor,
            )

    def resume(self) -> None:
        """Read on."""
        self.subscriber.resume()
        if self._watcher is not None and not self._session.is_full:
            self._watcher.resume()

    def pause(self) -> None:
        """Read no further for now."""
        self.subscriber.pause()
        if self._watcher is not None:
            self._watcher.pause()

    def finish(self) -> None:
        """Read what there is, tell the session, and be gone."""
        self._release()
        self.subscriber.finish()

    def leave(self) -> None:
        """Read nothing more, and leave the channel."""
        self._release()
        self._session.factory.hub.unsubscribe(self.subscriber)

    def _release(self) -> None:
        if self._expiry is not None:
            self._expiry.stop()
            self._expiry = None
        self.watch_no_more()

    def watch_no_more(self) -> None:
        """Tell no more of those who come and leave."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self._session.factory.hub.unsubscribe(watcher)

    # The outlet.

    def gap(self, missed: int | None, position: Position) -> None:
        """Note that messages are missing; whoever counts them has to come back."""
        self._session.missed(self, missed)

    def evict(self, missed: int) -> None:
        """The session is too slow for the channel."""
        self._session.evicted(self, missed)

    def fail(self) -> None:
        """What the channel has cannot be put to the client."""
        self._session.failed(self)

    def end(self) -> None:
        """All is written that was to be written."""
        self._session.finished(self)


@implementer(IOutlet)
class Watcher:
    """Reads who comes to a channel and leaves it, into a session's connection."""

    __slots__ = ("send", "write")

    def __init__(self, session: Session) -> None:
        self.write = session.write
        self.send = session.send

    def gap(self, missed: int | None, position: Position) -> None:
        """The protocol has no word for that; a client can ask anew who is there."""

    def evict(self, missed: int) -> None:
        """It does not come to that: who is slow goes on further ahead."""

    def fail(self) -> None:
        """The subscription itself learns of it as well."""

    def end(self) -> None:
        """It is never asked to finish."""
