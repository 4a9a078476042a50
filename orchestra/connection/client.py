"""A client's connection as the hub and the factory see it, whatever is spoken on it."""

from __future__ import annotations

from collections.abc import Callable
from random import randbytes
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from orchestra.connection.close_codes import EXPIRED, INTERNAL_ERROR, SLOW_READER, Close
from orchestra.connection.outflow import Outflow
from orchestra.interfaces import IEncoding, IOutlet
from orchestra.observe.activity import ConnectionKind
from orchestra.policy.grants import EVERYTHING, Grant
from orchestra.policy.limits import TokenBucket
from orchestra.position import Position
from orchestra.subscriber import Subscriber
from orchestra.urls import Target

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

LOOK_AT_CLOCK = 600.0
"""After how many seconds, at the most, it is seen whether what a client may do has expired: the
time of day may be set."""


@implementer(IOutlet)
class Client:
    """Somebody who listens on a connection. It translates, and decides nothing.

    Towards the hub it is the outlet of one subscriber, which it pauses while its
    :class:`orchestra.connection.outflow.Outflow` is full. It keeps no messages.

    How a connection begins and ends, and what a client sends, is for a subclass to say.
    """

    factory: OrchestraFactory
    transport: Any
    peer: Any  # a string, its address for the log; Autobahn's annotation says that it may be None

    target = Target()
    """What the client asked for in its URL."""

    address: str | None = None
    """Whose place among the connections of its address it has; ``None`` if it is not counted."""

    grant: Grant = EVERYTHING
    """What it may do."""

    identity: str | None = None
    """Whose client it is, if that is known."""

    is_gone = False
    """Whether its connection is gone."""

    may_publish = True
    """Whether it may publish in its channel."""

    allowance: TokenBucket | None = None
    """How much it may publish, if that is limited."""

    connection_kind: ConnectionKind
    """By what it comes, and what is spoken on it."""

    client_id = ""
    """A random string of its own for each client, from when it begins to listen."""

    _outflow: Outflow
    write: Callable[[bytes | memoryview], None]
    """Send whole frames or events."""

    _subscriber: Subscriber | None = None
    _farewell: Close | None = None
    _expiry: IDelayedCall | None = None

    def open_outflow(self) -> None:
        """Take over the transport's way out."""
        self._outflow = Outflow(self.transport, self._filled, self._drained)
        self.write = self._outflow.write

    def join(self, encoding: IEncoding, skip_own: bool = False) -> Subscriber:
        """Register with the factory and take a place in the channel.

        :param skip_own: whether its own messages are left out.
        :returns: the subscriber, paused.
        """
        self.client_id = randbytes(8).hex()  # unique, but no secret
        self.factory.register(self)
        hub, target = self.factory.hub, self.target
        self._subscriber = hub.attach(
            target.channel,
            self,
            encoding,
            last=target.last,
            since=target.since,
            skip=self.client_id if skip_own else None,
            member=hub.member(self.client_id, self.identity, self.grant.info),
        )
        if self.grant.expires is not None:
            self._watch_expiry(self.grant.expires)
        return self._subscriber

    @property
    def is_allowed(self) -> bool:
        """Whether it is still there, and what let it in still holds."""
        return not self.is_gone and self.grant.holds(self.factory.hub.wall_clock)

    def _watch_expiry(self, expires: float) -> None:
        left = max(expires - self.factory.hub.wall_clock(), 0.0)
        wait = min(left, LOOK_AT_CLOCK)
        self._expiry = self.factory.reactor.callLater(wait, self._look_at_clock, expires)

    def _look_at_clock(self, expires: float) -> None:
        self._expiry = None
        if self.grant.holds(self.factory.hub.wall_clock):
            self._watch_expiry(expires)
        else:
            self.close(EXPIRED)

    def listen(self) -> None:
        """Read, unless the outflow is full: then that begins once it has drained."""
        if self._subscriber is not None and not self._outflow.full:
            self._subscriber.resume()

    # The outlet.

    @property
    def send(self) -> Callable[[bytes | memoryview], int] | None:
        """Send what there is room for at once; ``None`` where the transport cannot."""
        return self._outflow.send

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

    def _filled(self) -> None:
        self.factory.backpressure.filled(self, self._outflow.holds)
        if self._subscriber is not None:
            self._subscriber.pause()

    def send_first(self) -> None:
        """Send what goes before more messages, now that there is room; by default nothing."""

    def _drained(self) -> None:
        self.factory.backpressure.drained(self)
        self.send_first()
        self.listen()

    # What the factory asks for.

    def give_up(self) -> None:
        """Close the connection of a client that does not read."""
        if self._subscriber is not None:
            self.factory.hub.unsubscribe(self._subscriber)
            self.evict(0)

    def close(self, close: Close) -> None:
        """Close the connection once the client has been sent all that was published so far.

        A client whose transport is full gets it as it reads, as long as the history holds it.
        """
        if self._subscriber is None:
            self.say_farewell(close)
        elif self._farewell is None:
            self._farewell = close
            self._subscriber.finish()

    def say_farewell(self, close: Close) -> None:
        """Close the connection: all is written that goes before that."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drop the connection at once, whatever state it is in."""
        self.transport.abortConnection()

    def leave(self, code: int | None, reason: str | None) -> None:
        """The connection is gone: leave the channel and the factory.

        :param code: the close code of whoever closed first.
        :param reason: the reason that went with it.
        """
        self.is_gone = True
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        self.factory.backpressure.gone(self)
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            self.factory.hub.unsubscribe(subscriber)
        self.factory.unregister(self, code, reason)
