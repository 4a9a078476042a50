"""A client's connection as the factory sees it, whatever is spoken on it."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import randbytes
from typing import TYPE_CHECKING, Any

from orchestra.connection.close_codes import EXPIRED, Close
from orchestra.connection.expiry import Expiry
from orchestra.connection.outflow import Outflow
from orchestra.message import Publisher
from orchestra.observe.activity import ConnectionKind
from orchestra.policy.grants import EVERYTHING, Grant, ServerSubscription
from orchestra.position import Position

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory


class Client:
    """Somebody who listens on a connection. It translates, and decides nothing.

    It knows whose connection it is, for how long that may listen, and whether its
    :class:`orchestra.connection.outflow.Outflow` is full. It keeps no messages.

    To what it listens, how a connection begins and ends, and what a client sends, is for a
    subclass to say.
    """

    factory: OrchestraFactory
    transport: Any
    peer: Any  # a string, its address for the log; Autobahn's annotation says that it may be None

    address: str | None = None
    """Whose place among the connections of its address it has; ``None`` if it is not counted."""

    grant: Grant = EVERYTHING
    """What it may do."""

    identity: str | None = None
    """Whose client it is, if that is known."""

    is_gone = False
    """Whether its connection is gone."""

    connection_kind: ConnectionKind
    """By what it comes, and what is spoken on it."""

    client_id = ""
    """A random string of its own for each client, from when it begins to listen."""

    publisher = ""
    """The same, with whose client it is: what its messages are published with."""

    _outflow: Outflow
    write: Callable[[bytes | memoryview], None]
    """Send whole frames or events."""

    _expiry: Expiry | None = None

    def open_outflow(self) -> None:
        """Take over the transport's way out."""
        self._outflow = Outflow(self.transport, self._filled, self._drained)
        self.write = self._outflow.write

    def register(self) -> None:
        """Register with the factory, and begin to look at how long the grant holds."""
        # Unique, but no secret; and short, since SDKs are told it with each message.
        self.client_id = self.publisher = urlsafe_b64encode(randbytes(9)).decode()
        if self.identity is not None or self.grant.info is not None:
            self.publisher = Publisher(self.client_id, self.identity, self.grant.info)
        self.factory.register(self)
        self.watch_expiry()

    @property
    def listens_to(self) -> str:
        """The name of its channel, for the log; empty if there may be several."""
        return ""

    @property
    def is_allowed(self) -> bool:
        """Whether it is still there, and what let it in still holds."""
        return not self.is_gone and self.grant.holds(self.factory.hub.wall_clock)

    def watch_expiry(self) -> None:
        """Have it closed once the grant that it has now holds no longer."""
        self._forget_expiry()
        if self.grant.expires is not None:
            self._expiry = Expiry(
                self.grant.expires,
                partial(self.close, EXPIRED),
                self.factory.hub.wall_clock,
                self.factory.reactor,
            )

    def _forget_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.stop()
            self._expiry = None

    # The way out.

    @property
    def send(self) -> Callable[[bytes | memoryview], int] | None:
        """Send what there is room for at once; ``None`` where the transport cannot."""
        return self._outflow.send

    def _filled(self) -> None:
        self.factory.backpressure.filled(self, self._outflow.holds)
        self.pause()

    def _drained(self) -> None:
        self.factory.backpressure.drained(self)
        self.send_first()
        self.listen()

    def pause(self) -> None:
        """Read no further: the outflow is full."""
        raise NotImplementedError

    def listen(self) -> None:
        """Read, unless the outflow is full: then that begins once it has drained."""
        raise NotImplementedError

    def send_first(self) -> None:
        """Send what goes before more messages, now that there is room; by default nothing."""

    # What the factory asks for.

    def give_up(self) -> None:
        """Close the connection of a client that does not read."""
        raise NotImplementedError

    def close(self, close: Close) -> None:
        """Close the connection once the client has been sent all that was published so far.

        A client whose transport is full gets it as it reads, as long as the history holds it.
        """
        raise NotImplementedError

    def say_farewell(self, close: Close) -> None:
        """Close the connection: all is written that goes before that."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drop the connection at once, whatever state it is in."""
        self.transport.abortConnection()

    def leave(self, code: int | None, reason: str | None) -> None:
        """The connection is gone: leave the factory.

        :param code: the close code of whoever closed first.
        :param reason: the reason that went with it.
        """
        self.is_gone = True
        self._forget_expiry()
        self.factory.backpressure.gone(self)
        self.stop_listening()
        self.factory.unregister(self, code, reason)

    def stop_listening(self) -> None:
        """Leave every channel."""
        raise NotImplementedError

    def finish_listening(self) -> None:
        """Write what is published and not written yet, if there is room for it, and leave."""
        raise NotImplementedError

    # What the server API asks for.

    def unsubscribe(self, channel: str, code: int, reason: str) -> None:
        """Have it listen to a channel no more.

        :param code: what it is told with that, if its dialect has codes for it.
        :param reason: one line that it is told.
        """
        raise NotImplementedError

    def subscribe(self, subscription: ServerSubscription, since: Position | None = None) -> None:
        """Have it listen to a channel that it has not asked for, unless it does already.

        :param since: up to where it knows the channel already.
        :raises RefusedError: if there is no place in the channel.
        """
        raise NotImplementedError

    def refresh(self, expires: float | None) -> None:
        """Let it stay for another time. If that is over, it is closed.

        :param expires: until when, in seconds of Unix time; ``None`` for always.
        """
        self.grant = replace(self.grant, expires=expires)
        self.watch_expiry()
