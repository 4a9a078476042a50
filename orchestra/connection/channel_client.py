"""A client that listens to one channel: that of the URL it has asked for."""

from __future__ import annotations

from zope.interface import implementer

from orchestra.connection.client import Client
from orchestra.connection.close_codes import INTERNAL_ERROR, SLOW_READER, Close, refused
from orchestra.interfaces import IEncoding, IOutlet
from orchestra.policy.grants import ServerSubscription
from orchestra.policy.limits import TokenBucket
from orchestra.position import Position
from orchestra.subscriber import Subscriber
from orchestra.urls import Target


@implementer(IOutlet)
class ChannelClient(Client):
    """A client of one channel: the outlet of one subscriber, which it pauses while it is full."""

    target = Target()
    """What the client asked for in its URL."""

    may_publish = True
    """Whether it may publish in its channel."""

    allowance: TokenBucket | None = None
    """How much it may publish, if that is limited."""

    _subscriber: Subscriber | None = None
    _farewell: Close | None = None

    def join(self, encoding: IEncoding, skip_own: bool = False) -> Subscriber:
        """Register with the factory and take a place in the channel.

        :param skip_own: whether its own messages are left out.
        :returns: the subscriber, paused.
        """
        self.register()
        hub, target = self.factory.hub, self.target
        self.allowance = self.factory.allowance(self.factory.settings(target.channel))
        self._subscriber = hub.attach(
            target.channel,
            self,
            encoding,
            last=target.last,
            since=target.since,
            skip=self.client_id if skip_own else None,
            member=hub.member(self.client_id, self.identity, self.grant.info),
        )
        return self._subscriber

    @property
    def listens_to(self) -> str:
        """The name of its channel."""
        return self.target.channel

    def listen(self) -> None:
        """Read, unless the outflow is full: then that begins once it has drained."""
        if self._subscriber is not None and not self._outflow.full:
            self._subscriber.resume()

    def pause(self) -> None:
        """Read no further: the outflow is full."""
        if self._subscriber is not None:
            self._subscriber.pause()

    def stop_listening(self) -> None:
        """Leave the channel."""
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            self.factory.hub.unsubscribe(subscriber)

    def finish_listening(self) -> None:
        """Write what is published and not written yet, if there is room for it, and leave."""
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            subscriber.finish()
            self.factory.hub.unsubscribe(subscriber)

    # The outlet.

    def gap(self, missed: int | None, position: Position) -> None:
        """Note that the client has missed something."""
        self.factory.activity.missed(self.peer, self.target.channel, missed)

    def evict(self, missed: int) -> None:
        """Close the connection of a client that is too slow."""
        self._subscriber = None
        self.factory.activity.evicted(self.peer, self.target.channel, missed)
        self.close(SLOW_READER)

    def fail(self) -> None:
        """Close the connection of a client that an application's own code cannot serve."""
        self._subscriber = None
        self.close(INTERNAL_ERROR)

    def end(self) -> None:
        """All is written that was to be written before the farewell: say it."""
        if self._farewell is not None:
            self.say_farewell(self._farewell)

    # What the factory asks for.

    def give_up(self) -> None:
        """Close the connection of a client that does not read."""
        if self._subscriber is not None:
            self.factory.hub.unsubscribe(self._subscriber)
            self.evict(0)

    def close(self, close: Close) -> None:
        """Close the connection once the client has been sent all that was published so far."""
        if self._subscriber is None:
            self.say_farewell(close)
        elif self._farewell is None:
            self._farewell = close
            self._subscriber.finish()

    # What the server API asks for.

    def unsubscribe(self, channel: str, code: int, reason: str) -> None:
        """Close the connection, if the channel is its own: there is no other to go on with."""
        if channel == self.target.channel:
            self.close(refused(403, reason))

    def subscribe(self, subscription: ServerSubscription, since: Position | None = None) -> None:
        """Do nothing: it stays in its channel."""
