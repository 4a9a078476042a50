"""What a client sends and receives by HTTP: bodies with an end, and streams without."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from orchestra.client.events import EventReader
from orchestra.client.subscription import Subscription


@implementer(IBodyProducer)
class Body:
    """The body of a request, sent at once."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self.length = len(payload)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Send it."""
        consumer.write(self._payload)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is sent already."""

    def resumeProducing(self) -> None:
        """It is sent already."""

    def stopProducing(self) -> None:
        """It is sent already."""


class Answer(Protocol):
    """The body of a response that has an end."""

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._hang_up())
        """Fires with the body."""
        self._body = b""

    def dataReceived(self, data: bytes) -> None:
        """Take a part of the body."""
        self._body += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """That was all."""
        if not self.done.called:
            if reason.check(ResponseDone, PotentialDataLoss):
                self.done.callback(self._body)
            else:
                self.done.errback(reason)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


@implementer(IPushProducer)
class Stream(Protocol):
    """The body of one event stream."""

    def __init__(self, subscription: Subscription, reactor: Any, silence: float) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._hang_up())
        """Fires when the stream has ended."""
        self.closed: Deferred[None] = Deferred()
        """Fires when its connection is gone."""
        self._subscription = subscription
        self._reactor = reactor
        self._silence = silence
        self._reader = EventReader()
        self._timer: IDelayedCall | None = None

    @property
    def farewell(self) -> float:
        """After how many seconds the server wants us back; 0 if it did not say so at the end."""
        return self._reader.farewell

    def connectionMade(self) -> None:
        """Begin to read."""
        self._timer = self._reactor.callLater(self._silence, self._too_silent)
        self._subscription.began(self)

    def dataReceived(self, data: bytes) -> None:
        """Take a part of the stream."""
        if self.done.called:
            return
        assert self._timer is not None
        self._timer.reset(self._silence)
        try:
            for event in self._reader.read(data):
                # Not before, or it would be lost with whoever does not get it.
                self._subscription.event(event)
                self._subscription.at(event.last_id)
                if self._subscription.has_ended:
                    self._end(CancelledError())
                    return
            self._subscription.at(self._reader.last_id)
        except Exception as error:
            self._end(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream has ended."""
        self._end(None)
        self.closed.callback(None)

    def pauseProducing(self) -> None:
        """Read nothing more for now."""
        cast(IPushProducer, self.transport).pauseProducing()

    def resumeProducing(self) -> None:
        """Read on. That nothing came so far is not the server's fault."""
        cast(IPushProducer, self.transport).resumeProducing()
        if self._timer is not None and self._timer.active():
            self._timer.reset(self._silence)

    def stopProducing(self) -> None:
        """End the stream."""
        self._end(None)

    def _too_silent(self) -> None:
        if self._subscription.is_paused:
            self._timer = self._reactor.callLater(self._silence, self._too_silent)
        else:
            self._end(TimeoutError(f"nothing came for {self._silence:g} seconds"))

    def _end(self, error: Exception | None) -> None:
        if not self.done.called:
            self._hang_up()
            if error is None:
                self.done.callback(None)
            else:
                self.done.errback(error)

    def _hang_up(self) -> None:
        if self._subscription.is_paused:  # TLS reads the end of a connection
            self.resumeProducing()
        self._subscription.began(None)
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.transport is not None:
            self.transport.loseConnection()
