"""One event stream: an HTTP response without an end, and a subscriber of the hub behind it."""

from __future__ import annotations

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from orchestra.connection.channel_client import ChannelClient
from orchestra.connection.close_codes import Close
from orchestra.connection.timers import Timer
from orchestra.dialects.event_stream import (
    CONTENT_TYPE,
    HEARTBEAT,
    EventEncoding,
    MoveEncoding,
    farewell,
    gap,
    moves_missed,
    opening,
)
from orchestra.interfaces import IOutlet
from orchestra.observe.activity import ConnectionKind
from orchestra.policy.reconnecting import reconnect_delay
from orchestra.position import Position
from orchestra.subscriber import Subscriber
from orchestra.web.stream import StreamClient, stream_headers

HEADERS = stream_headers(CONTENT_TYPE)
"""What goes with a stream."""

# The same for all, since it is by the object that subscribers share what is encoded.
_EVENTS = EventEncoding()
_MOVES = MoveEncoding()


class EventStream(ChannelClient, StreamClient):
    """A client that listens to one channel by an event stream."""

    connection_kind = ConnectionKind.EVENT_STREAM
    _watcher: _Watcher | None = None
    _heartbeat: Timer | None = None

    def begin(self, headers: list[tuple[str, str]]) -> None:
        """Answer the request, and start to listen.

        :param headers: that go with the answer, beside those of every stream.
        """
        subscriber = self.join(_EVENTS)
        head = self.head([*HEADERS.items(), *headers])
        self.write(head + opening(reconnect_delay(), subscriber.position))
        if self.target.presence is not None:
            self._watcher = _Watcher(self)
        self._set_heartbeat()
        self.listen()

    def listen(self) -> None:
        """Read, unless the outflow is full; who came and left goes first."""
        if self._watcher is not None and not self._outflow.full:
            self._watcher.subscriber.resume()
        super().listen()

    def _set_heartbeat(self) -> None:
        interval = self.factory.autoPingInterval
        if interval:
            self._heartbeat = self.factory.timers.call_later(interval, self._beat)

    def _beat(self) -> None:
        if not self._outflow.full:
            self.write(HEARTBEAT)
        self._set_heartbeat()

    # The outlet.

    def gap(self, missed: int | None, position: Position) -> None:
        """Tell the client that it has missed something."""
        super().gap(missed, position)
        self.write(gap(missed, position))

    def pause(self) -> None:
        """Read no further: the outflow is full."""
        super().pause()
        if self._watcher is not None:
            self._watcher.subscriber.pause()

    # The way out.

    def close(self, close: Close) -> None:
        """End the stream once the client has been sent all that was published so far.

        It is told no more of who comes and leaves.
        """
        self._stop_watching()
        super().close(close)

    def say_farewell(self, close: Close) -> None:
        """End the stream: all is written that goes before that."""
        if self._closed is None:
            self._stop()
            self.end_with(farewell(close.reason, close.come_back), close)

    def _stop_watching(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self.factory.hub.unsubscribe(watcher.subscriber)

    def _stop(self) -> None:
        self._stop_watching()
        if self._heartbeat is not None:
            self._heartbeat.cancel()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone: leave the channel and the factory."""
        self._stop()
        super().connectionLost(reason)


@implementer(IOutlet)
class _Watcher:
    """A second subscriber, for a stream that asks who comes and leaves."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self.write = stream.write
        self.send = stream.send
        channel = stream.target.channel
        self.subscriber: Subscriber = stream.factory.hub.attach_watcher(channel, self, _MOVES)

    def gap(self, missed: int | None, position: Position) -> None:
        """Tell the client, who can ask anew who is there."""
        self.write(moves_missed(missed))

    def evict(self, missed: int) -> None:
        """It does not come to that: who is slow goes on further ahead."""

    def fail(self) -> None:
        """The stream's own subscriber learns of it as well."""

    def end(self) -> None:
        """It is never asked to finish."""
