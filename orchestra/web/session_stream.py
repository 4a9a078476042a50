"""Sessions on an HTTP response without an end, for networks that let no WebSocket through."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from orchestra.connection.close_codes import Close
from orchestra.dialects import event_stream
from orchestra.dialects.centrifuge.codes import Disconnect, Error, disconnect_of
from orchestra.dialects.centrifuge.encodings import Framing
from orchestra.dialects.centrifuge.protobuf import protobuf_codec
from orchestra.dialects.centrifuge.schema import Command, ConnectRequest, Push, Reply
from orchestra.observe.activity import ConnectionKind
from orchestra.policy.reconnecting import reconnect_delay
from orchestra.refusal import RefusedError
from orchestra.session.session import Session
from orchestra.web.stream import StreamClient, stream_headers

MAX_WAITING = 64
"""How many requests with commands of a session may wait until they are taken."""

_WRAPPED = b'{"push":'  # in JSON a reply with a push is that, the push, and a brace

# How replies are written. Each is the same object for all streams of a kind, since it is by the
# object that subscribers share what is encoded.


def lines(replies: list[bytes]) -> bytes:
    """Replies in JSON, one a line."""
    return b"%b\n" % b"\n".join(replies)


def messages(replies: list[bytes]) -> bytes:
    """Replies in protobuf, each behind its length."""
    return protobuf_codec().join(replies)


def events(replies: list[bytes]) -> bytes:
    """Replies in JSON, an event each."""
    return b"".join([b"data: %b\n\n" % reply for reply in replies])


def push_events(replies: list[bytes]) -> bytes:
    """Replies in JSON that have nothing but a push, which is an event each."""
    return events(
        [
            reply[len(_WRAPPED) : -1] if reply.startswith(_WRAPPED) else reply  # a ping
            for reply in replies
        ]
    )


class SessionStream(StreamClient, Session):
    """A session whose replies and pushes are in an HTTP response."""

    content_type: str
    """Of the response."""

    retries = False
    """Whether those who read it come back by themselves, when the response says."""

    _come_back: float | None = None

    def connectionMade(self) -> None:
        """Take over the transport."""
        self.prepare()
        super().connectionMade()

    def answer_with(self, headers: Iterable[tuple[str, str]]) -> None:
        """Answer the request, and wait for the command to connect.

        :param headers: that go with the answer, beside those of every stream.
        """
        head = self.head([*stream_headers(self.content_type).items(), *headers])
        retry = event_stream.opening(reconnect_delay(), None) if self.retries else b""
        self.write(head + retry)
        self.begin()

    def close(self, close: Close) -> None:
        """End the stream once the client has been sent all that was published so far."""
        if not self.is_leaving:
            self._come_back = close.come_back
        super().close(close)

    def say_farewell(self, close: Close) -> None:
        """End the stream: all is written that goes before that."""
        push = Push(disconnect=Disconnect(close.code, close.reason))
        farewell = self.frame([self.codec.encode(Reply(push=push))])
        if self.retries and self._come_back is not None:
            farewell = event_stream.retry(self._come_back) + farewell
        self.end_with(farewell, close)


class _Waiting(NamedTuple):
    commands: bytes
    taken: Deferred[None]


class EmulatedStream(SessionStream):
    """A session whose commands come by requests of their own, once it is connected.

    Whoever knows its name may send them. What cannot be performed yet waits with the requests, as
    it would on a WebSocket with the client: neither is answered, and their number is bounded.
    """

    def connectionMade(self) -> None:
        """Take over the transport, and be found by a name that nobody can guess."""
        self.emulated = secrets.token_hex(16)
        self.factory.emulated[self.emulated] = self
        self._posts: deque[_Waiting] = deque()
        self._is_closed = False  # to what is posted, since there are commands that wait
        super().connectionMade()

    def post(self, commands: bytes) -> Deferred[None] | None:
        """Take commands that have come by a request of their own.

        :param commands: a frame.
        :returns: a Deferred, if they have to wait: it fires when they are taken, and fails with
            :class:`orchestra.RefusedError` if the client leaves before that.
        :raises RefusedError: if too many are waiting already.
        """
        if not self._is_closed:
            self.queue.received(commands)
            return None
        if len(self._posts) >= MAX_WAITING:
            raise RefusedError(429, "too many requests of the session wait for their turn")
        waiting = _Waiting(commands, Deferred(lambda _: self._posts.remove(waiting)))
        self._posts.append(waiting)
        return waiting.taken

    def read_no_more(self) -> None:
        """Let what is posted wait."""
        self._is_closed = True

    def read_on(self) -> None:
        """Take what was posted, until something has to wait again."""
        self._is_closed = False
        while self._posts and not self._is_closed:
            commands, taken = self._posts.popleft()
            self.queue.received(commands)
            taken.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone: leave, and take nothing more."""
        del self.factory.emulated[self.emulated]
        super().connectionLost(reason)
        while self._posts:
            self._posts.popleft().taken.errback(no_session())


def no_session() -> RefusedError:
    """Why commands are refused whose session is not there; clients come back with another."""
    return RefusedError(404, "there is no such session")


class HttpStream(EmulatedStream):
    """A session on a response that is nothing but replies, in JSON or in protobuf."""

    connection_kind = ConnectionKind.HTTP_STREAM
    content_type = "application/x-ndjson"
    frame: Framing = staticmethod(lines)

    def speak_protobuf(self) -> None:
        """Speak protobuf.

        :raises RefusedError: if the server does not.
        """
        self.codec = protobuf_codec()
        self.frame = messages
        self.content_type = "application/octet-stream"


class SseStream(EmulatedStream):
    """A session on an event stream."""

    connection_kind = ConnectionKind.SSE
    content_type = event_stream.CONTENT_TYPE
    frame: Framing = staticmethod(events)


class UniSseStream(SessionStream):
    """A session on an event stream that has no commands: it hears what its grant has it hear.

    Its pushes are not put into replies, and what would be an error ends it.
    """

    connection_kind = ConnectionKind.UNI_SSE
    content_type = event_stream.CONTENT_TYPE
    frame: Framing = staticmethod(push_events)
    retries = True
    can_answer = False

    def connect(self, request: ConnectRequest) -> None:
        """Come in."""
        self.queue.perform(Command(id=1, connect=request))

    def answer(self, command: int, name: str, result: Any) -> None:
        """Tell how the connection begins, as a push."""
        self.push(Push(connect=result))

    def answer_with_error(self, command: int, error: Error) -> None:
        """End the stream, which is of no use."""
        self.disconnect(disconnect_of(error))
