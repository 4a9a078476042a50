"""A session's pings: whether the client is still there."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from orchestra.dialects.centrifuge.schema import Reply

if TYPE_CHECKING:
    from orchestra.connection.timers import Timer
    from orchestra.session.session import Session


class Pings:
    """Sends pings to a client, and has the session end if it gives no sign of life after one.

    Whatever it sends is one, and so is that it reads what was written.
    """

    __slots__ = ("_heard_at", "_next", "_pong", "_seconds", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seconds = session.factory.reactor.seconds
        self._heard_at = 0.0
        self._next: Timer | None = None
        self._pong: Timer | None = None

    @property
    def seconds(self) -> int:
        """How many seconds there are between pings, at the most; 0 for no pings."""
        return ceil(self._session.factory.autoPingInterval or 0)

    @property
    def are_answered(self) -> bool:
        """Whether a ping must be answered."""
        factory = self._session.factory
        return bool(
            self._session.can_answer and factory.autoPingInterval and factory.autoPingTimeout
        )

    def start(self) -> None:
        """Begin, if there are to be any."""
        factory = self._session.factory
        if factory.autoPingInterval:
            self._next = factory.timers.call_later(factory.autoPingInterval, self._send)

    def heard(self) -> None:
        """The client has given a sign of life."""
        self._heard_at = self._seconds()

    def stop(self) -> None:
        """Send none, and wait for no answer."""
        for timer in (self._next, self._pong):
            if timer is not None:
                timer.cancel()

    def _send(self) -> None:
        session = self._session
        # Who has not read what was sent before need not read this: reading is life enough.
        if not session.is_full:
            session.write(session.frame([session.codec.encode(Reply())]))
        if self.are_answered:
            self._pong = session.factory.timers.call_later(
                session.factory.autoPingTimeout, partial(self._look_for_life, self._seconds())
            )
        self.start()

    def _look_for_life(self, since: float) -> None:
        # Of one that is held nothing is read, and so no answer either; unless it is held because
        # it reads nothing itself.
        is_held = self._session.queue.is_held and not self._session.is_full
        if self._heard_at < since and not is_held:
            self._session.no_pong()
