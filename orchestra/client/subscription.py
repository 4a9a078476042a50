"""A subscription of a client: what was received of a channel, and who is given it."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger

from orchestra.client.events import Event
from orchestra.position import Position

ROOM = 1024 * 1024
"""How many bytes of payload may wait for an application that iterates, before nothing more is
read from the server."""

MESSAGE = 500
"""As how many bytes a message counts beside its payload."""


class Received(NamedTuple):
    """A message as it came from the server."""

    payload: bytes
    """The content; UTF-8 unless :attr:`is_binary`."""

    is_binary: bool
    """Whether it is binary data rather than text."""

    position: Position
    """Its place in the channel. Whoever subscribes since then gets what comes after it."""


class _Gap(NamedTuple):
    """Messages that are missing."""

    missed: int | None
    position: Position


class Subscription:
    """The messages of a channel, each once and in order, however often the connection breaks.

    With a callback they are given to it as they come. Without one the subscription is iterated
    over, ``async for message in subscription``; what is not taken waits, and if it is much,
    nothing more is read, so that the server keeps the rest.

    When messages are missing, because the connection was away for longer than the channel
    retains them, ``on_gap`` is called and it goes on with what there is.
    """

    _log = Logger()

    def __init__(
        self,
        channel: str,
        on_message: Callable[[Received], object] | None,
        on_gap: Callable[[int | None], object] | None,
        stop: Callable[[Subscription], object],
        last: int = 0,
        since: Position | None = None,
    ) -> None:
        self.channel = channel
        self.last = last
        """With how many of the retained messages it begins."""
        self._on_message = on_message
        self._on_gap = on_gap
        self._stop = stop
        self._received: deque[Received | _Gap] = deque()
        self._waiting: Deferred[None] | None = None
        self._size = 0
        self.has_ended = False
        """Whether nothing more will come."""
        self._error: Exception | None = None
        self._producer: IPushProducer | None = None
        self.is_paused = False
        """Whether nothing is read, because enough waits for the application."""
        self.position: Position | None = since
        """Up to where messages were given to the application, if that is known by now."""
        self.received: Position | None = since
        """Up to where they were received."""
        self.failed = 0
        """How many streams in a row came to nothing."""

    # What the application asks for.

    def stop(self) -> None:
        """Listen no more. Whoever iterates gets what was received, and comes to the end."""
        self._stop(self)

    def __aiter__(self) -> Subscription:
        """Iterate over the messages that come."""
        return self

    async def __anext__(self) -> Received:
        """The next message.

        :raises StopAsyncIteration: if the subscription was stopped.
        :raises RequestRefusedError: if the server does not serve it.
        """
        if self._on_message is not None:
            raise RuntimeError("the messages of this subscription go to its callback")
        if self._waiting is not None:
            raise RuntimeError("somebody iterates over this subscription already")
        while True:
            while not self._received:
                await self._more()
            message = self._received.popleft()
            if isinstance(message, Received):
                break
            self._pass_gap(message)
        self._size -= _size(message)
        self.position = message.position
        self._flow()
        return message

    async def _more(self) -> None:
        if self.has_ended:
            raise self._error or StopAsyncIteration
        self._waiting = Deferred()
        try:
            await self._waiting
        finally:
            self._waiting = None

    # What the client does.

    def began(self, producer: IPushProducer | None) -> None:
        """A stream has begun, or ended.

        :param producer: of its bytes.
        """
        self._producer = producer
        self.is_paused = False
        self._flow()

    def at(self, last_id: str) -> None:
        """The stream has said up to where it is."""
        try:
            self.received = Position.parse(last_id)
        except ValueError:  # there is none yet
            return
        self.failed = 0
        if self.position is None:
            self.position = self.received

    def event(self, event: Event) -> None:
        """An event has come."""
        if event.kind == "gap":
            missed = json.loads(event.data)["missed"]
            self._log.warn(
                "{how_many} messages of {channel} are missing",
                how_many="Some" if missed is None else missed,
                channel=self.channel,
                missed=missed,
            )
            gap = _Gap(missed, Position.parse(event.last_id))
            if self._on_message is not None:
                self._pass_gap(gap)
            else:  # it has its place among the messages
                self._received.append(gap)
                self._wake()
        elif event.kind in ("", "binary"):
            self._message(event)

    def ended(self, error: Exception | None = None) -> None:
        """Nothing more will come.

        :param error: why, if it was not stopped.
        """
        if not self.has_ended:
            self.has_ended, self._error = True, error
            self._wake()

    def _message(self, event: Event) -> None:
        is_binary = event.kind == "binary"
        if is_binary:
            payload = b64decode(event.data)
        elif event.base64 is not None:
            payload = b64decode(event.base64)
        else:
            payload = event.data.encode()
        message = Received(payload, is_binary, Position.parse(event.last_id))
        if self.position is None:  # offsets have no gaps
            self.position = Position(message.position.epoch, message.position.offset - 1)
        if self._on_message is not None:
            self._call(self._on_message, message)
            self.position = message.position
            return
        self._received.append(message)
        self._size += _size(message)
        self._flow()
        self._wake()

    def _pass_gap(self, gap: _Gap) -> None:
        self.position = gap.position
        if self._on_gap is not None:
            self._call(self._on_gap, gap.missed)

    def _call(self, callback: Callable[[Any], object], argument: object) -> None:
        try:
            callback(argument)
        except Exception:
            self._log.failure("A callback for {channel} failed", channel=self.channel)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def _flow(self) -> None:
        if self._producer is None:
            return
        if self.is_paused and self._size <= ROOM // 2:
            self.is_paused = False
            self._producer.resumeProducing()
        elif self._size > ROOM:  # again, even; a stream that begins is resumed by others
            self.is_paused = True
            self._producer.pauseProducing()


def _size(message: Received) -> int:
    return MESSAGE + len(message.payload)
