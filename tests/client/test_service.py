"""The client against a server that says what the test has it say, in memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from twisted.application.service import IService
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer
from zope.interface.verify import verifyObject

from orchestra.client import OrchestraClient, Position, Received, RequestRefusedError
from orchestra.client.service import CLOSING, SILENCE
from orchestra.client.subscription import ROOM
from tests.client.stage import Request, Stage
from tests.events import lines
from tests.memory import MemoryTransport

T = TypeVar("T")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def doubled(failed: int) -> float:
    """How long the client waits: 1, 2, 4 seconds …"""
    return 2.0**failed


@pytest.fixture
def client(clock: Clock, stage: Stage, log: list[LogEvent]) -> Iterator[OrchestraClient]:
    """A client that runs; nothing is left of it in the end."""
    agent = Agent.usingEndpointFactory(clock, stage)
    client = OrchestraClient("http://orchestra", agent=agent, reactor=clock, retry_policy=doubled)
    client.startService()
    yield client
    stopped = client.stopService()
    stage.close()
    assert stopped.called
    assert not clock.getDelayedCalls()
    assert not client._locks
    assert not client._streams
    assert not client._subscriptions


def started(coroutine: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    return Deferred.fromCoroutine(coroutine)


def result(deferred: Deferred[T]) -> T:
    """What a Deferred has fired with."""
    results: list[T | Failure] = []
    deferred.addBoth(results.append)
    assert results, "it has not fired yet"
    (value,) = results
    if isinstance(value, Failure):
        value.raiseException()
    return value  # type: ignore[return-value]


def taken(messages: list[Received]) -> list[int]:
    return [message.position.offset for message in messages]


def test_it_is_a_service(client: OrchestraClient) -> None:
    """It can be part of an application."""
    verifyObject(IService, client)


# Listening.


@pytest.mark.parametrize(
    ("url", "channel", "target"),
    [
        ("http://orchestra", "strings", "/strings"),
        ("http://orchestra/", "main", "/main"),
        ("http://orchestra/live", "a/b", "/live/a/b"),
        ("http://orchestra/live/", "Bläser", "/live/Bl%C3%A4ser"),
        ("http://orchestra", "what?#% +", "/what%3F%23%25%20%2B"),
    ],
)
def test_a_channel_has_its_url(
    clock: Clock, stage: Stage, url: str, channel: str, target: str
) -> None:
    """The name follows the server's address, or that of where it is mounted, percent-encoded."""
    agent = Agent.usingEndpointFactory(clock, stage)
    client = OrchestraClient(url, agent=agent, reactor=clock)
    client.startService()
    client.subscribe(channel)
    request = stage.request()
    assert (request.method, request.target) == ("GET", target)
    assert request.headers["host"] == "orchestra"
    assert request.headers["accept"] == "text/event-stream"
    assert "last-event-id" not in request.headers
    client.publish(channel, b"x").addErrback(lambda _: None)
    request = stage.request()
    assert (request.method, request.target) == ("POST", target)
    client.stopService()


def test_messages_come(client: OrchestraClient, stage: Stage) -> None:
    """To a callback, or to whoever iterates; also those that come with the response's head."""
    heard: list[Received] = []
    client.subscribe("strings", heard.append)
    stage.request().begin(b"id: e:4\n\nid: e:5\ndata: a\n\nid: e:6\nevent: binary\ndata: /w==\n\n")
    assert heard == [(b"a", False, Position("e", 5)), (b"\xff", True, Position("e", 6))]
    subscription = client.subscribe("strings")
    stage.request().begin(b"id: e:5\ndata: a\n\n")
    assert result(started(subscription.__anext__())) == heard[0]


def test_a_stream_may_come_in_chunks(client: OrchestraClient, stage: Stage) -> None:
    """As from a proxy, which cuts where it likes."""
    heard: list[Received] = []
    client.subscribe("strings", heard.append)
    request = stage.request()
    request.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    for byte in b"id: e:1\ndata: a\n\n":
        request.send(b"1\r\n%c\r\n" % byte)
    assert taken(heard) == [1]
    request.send(b"0\r\n\r\n")
    assert request.is_left


def test_it_goes_on_after_the_last_message(
    client: OrchestraClient, stage: Stage, clock: Clock
) -> None:
    """What has come by half is not counted, whether in the middle of a line or of an event."""
    heard: list[Received] = []
    client.subscribe("strings", heard.append)
    request = stage.request()
    request.begin(b"id: e:0\n\n")
    for offset, half in enumerate((b"", b"id: e:9", b"id: e:9\n", b"id: e:9\ndata: x\n"), 1):
        request.note(offset)
        request.send(half)
        request.cut()
        clock.advance(1)
        request = stage.request()
        assert request.headers["last-event-id"] == f"e:{offset}"
        request.begin()
    assert taken(heard) == [1, 2, 3, 4]


def test_it_goes_on_where_the_stream_began(
    client: OrchestraClient, stage: Stage, clock: Clock
) -> None:
    """Even before the first message it is known after which one it would have come."""
    client.subscribe("strings")
    request = stage.request()
    request.begin(b"retry: 1000\nid: e:7\n\n")
    request.cut()
    clock.advance(1)
    assert stage.request().headers["last-event-id"] == "e:7"


@pytest.mark.parametrize(("milliseconds", "seconds"), [(7500, 7.5), (10**8, SILENCE)])
def test_it_comes_back_when_the_server_wants_it(
    client: OrchestraClient, stage: Stage, clock: Clock, milliseconds: int, seconds: float
) -> None:
    """As a stream's last word: of many who were sent away each comes at another time. What it says
    at the beginning is not for one that draws a delay itself."""
    client.subscribe("strings")
    request = stage.request()
    request.begin(b"retry: 3000\nid: e:7\n\n")
    request.cut()
    clock.advance(1)
    request = stage.request()
    request.begin(b"retry: 3000\nid: e:7\n\n")
    request.send(b"retry: %d\n: going away\n\n" % milliseconds)
    request.cut()
    clock.advance(seconds - 0.1)
    assert stage.requests() == []
    clock.advance(0.1)
    assert stage.request().headers["last-event-id"] == "e:7"


def test_it_goes_on_after_a_gap(client: OrchestraClient, stage: Stage, clock: Clock) -> None:
    """Whoever was told that messages are missing is not told again."""
    told: list[object] = []
    subscription = client.subscribe("strings", told.append, on_gap=told.append)
    request = stage.request()
    request.begin(b'id: e:7\nevent: gap\ndata: {"missed": 3}\n\n')
    request.cut()
    clock.advance(1)
    assert stage.request().headers["last-event-id"] == "e:7"
    assert told == [3]
    assert subscription.position == Position("e", 7)


def test_the_past_is_asked_for_until_there_is_a_place(
    client: OrchestraClient, stage: Stage, clock: Clock
) -> None:
    """Once it is known where the stream began, that place is what counts."""
    client.subscribe("strings", last=10)
    request = stage.request()
    assert request.target == "/strings?last=10"
    request.begin()
    request.cut()
    clock.advance(2)
    request = stage.request()
    assert request.target == "/strings?last=10"
    assert "last-event-id" not in request.headers
    request.begin(b"id: e:7\n\n")
    request.cut()
    clock.advance(1)
    request = stage.request()
    assert (request.target, request.headers["last-event-id"]) == ("/strings", "e:7")


def test_it_can_begin_after_a_position(client: OrchestraClient, stage: Stage) -> None:
    """Whoever knows up to where it has read asks for nothing else."""
    client.subscribe("strings", last=10, since=Position("e", 7))
    request = stage.request()
    assert (request.target, request.headers["last-event-id"]) == ("/strings", "e:7")


def waits(clock: Clock, stage: Stage) -> float:
    """After how many seconds the client tries again."""
    before = stage.attempts
    seconds = 0.0
    while stage.attempts == before:
        assert seconds < 1000, "it does not try again"
        clock.advance(0.5)
        seconds += 0.5
    return seconds


def test_it_waits_longer_each_time(client: OrchestraClient, stage: Stage, clock: Clock) -> None:
    """As the policy says for so many failures in a row; a stream that says something ends them."""
    stage.is_reachable = False
    client.subscribe("strings")
    assert [waits(clock, stage) for _ in range(4)] == [2, 4, 8, 16]
    stage.is_reachable = True
    waits(clock, stage)
    request = stage.request()
    for _ in range(3):  # the same place each time, for nobody plays
        request.begin(b"id: e:7\n\n")
        request.cut()
        assert waits(clock, stage) == 1
        request = stage.request()
    for seconds in (2, 4):
        request.begin(b": nothing\n\n")
        request.cut()
        assert waits(clock, stage) == seconds
        request = stage.request()


def test_by_default_it_waits_as_twisted_does(clock: Clock, stage: Stage) -> None:
    """A second or two, later up to a minute, and never quite the same."""
    client = OrchestraClient(
        "http://orchestra", agent=Agent.usingEndpointFactory(clock, stage), reactor=clock
    )
    client.startService()
    client.subscribe("strings")
    request = stage.request()
    request.begin(b"id: e:7\n\n")
    request.cut()
    delays = []
    stage.is_reachable = False
    for _ in range(20):
        (call,) = clock.getDelayedCalls()
        delays.append(call.getTime() - clock.seconds())
        clock.advance(delays[-1])
    assert 1 <= delays[0] <= 2
    assert 60 <= delays[-1] <= 61
    assert len(set(delays)) == len(delays)
    client.stopService()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_waited_for(
    client: OrchestraClient, stage: Stage, clock: Clock, log: list[LogEvent], status: int
) -> None:
    """A server that does not serve now is asked again, by listeners and players."""
    client.subscribe("strings")
    stage.request().answer(status, b"not now\n")
    assert waits(clock, stage) == 2
    stage.request().begin()
    published = client.publish("strings", b"a")
    stage.request().answer(status, b"not now\n")
    assert waits(clock, stage) == 2
    stage.request().publish(1)
    assert result(published) == Position("e", 1)
    assert f"The stream of strings is made anew: {status} not now" in lines(log)
    assert f"Publishing is tried again: {status} not now" in lines(log)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("10", 10),
        ("1", 2),
        ("0", 2),
        ("86400", SILENCE),
        ("", 2),
        ("-5", 2),
        ("1e3", 2),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 2),
    ],
)
def test_the_server_may_say_when(
    client: OrchestraClient, stage: Stage, clock: Clock, after: str, seconds: float
) -> None:
    """Nobody comes back before that, nor before the policy says so; within reason."""
    client.subscribe("strings")
    stage.request().answer(503, Retry_After=after)
    assert waits(clock, stage) == seconds
    stage.request()
    client.publish("strings", b"a").addErrback(lambda _: None)
    stage.request().answer(503, Retry_After=after)
    assert waits(clock, stage) == seconds


@pytest.mark.parametrize("status", [204, 301, 400, 403, 404, 410, 413, 422, 501, 505])
def test_a_refusal_is_the_end_of_a_subscription(
    client: OrchestraClient, stage: Stage, log: list[LogEvent], status: int
) -> None:
    """Whoever iterates learns why, and so does the log; the others go on."""
    refused = client.subscribe("podium")
    waiting = started(refused.__anext__())
    body = b"" if status == 204 else b"it is\nlike that\n"
    stage.request().answer(status, body)
    with pytest.raises(RequestRefusedError, match=f"{status} {body.decode().strip()}") as caught:
        result(waiting)
    assert caught.value.status == status
    (failed,) = [event for event in log if "log_failure" in event]
    assert lines([failed]) == ["The subscription to podium has failed"]
    assert failed["log_failure"].check(RequestRefusedError)
    log.clear()
    refused.stop()
    assert stage.attempts == 1
    client.subscribe("strings")
    assert stage.request().target == "/strings"


def test_a_long_refusal_is_cut(client: OrchestraClient, stage: Stage, log: list[LogEvent]) -> None:
    """Whatever a server says, the log has little of it."""
    client.subscribe("strings")
    stage.request().answer(403, b"\xff" + b"x" * 100_000)
    (failed,) = [event for event in log if "log_failure" in event]
    assert failed["log_failure"].getErrorMessage() == "403 \ufffd" + "x" * 199
    log.clear()


@pytest.mark.parametrize(
    ("url", "channel", "error"),
    [
        ("localhost:8080", "strings", "Unsupported scheme"),
        ("http://orchestra", "\ud800", "surrogates"),
    ],
)
def test_what_can_never_be_asked_for_is_not_tried_again(
    clock: Clock, log: list[LogEvent], url: str, channel: str, error: str
) -> None:
    """A URL or a name that makes no request fails at once."""
    client = OrchestraClient(url, reactor=clock)
    client.startService()
    for failing in (
        started(client.subscribe(channel).__anext__()),
        client.publish(channel, b"x"),
    ):
        with pytest.raises(Exception, match=error):
            result(failing)
    assert not clock.getDelayedCalls()
    log.clear()


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", ""])
def test_what_is_no_event_stream_is_no_stream(
    client: OrchestraClient, stage: Stage, clock: Clock, log: list[LogEvent], kind: str
) -> None:
    """The page of somebody in between is not read as one; it is logged, and tried again."""
    heard: list[Received] = []
    client.subscribe("strings", heard.append)
    headers = {"Content_Type": kind} if kind else {}
    stage.request().answer(200, b"id: e:1\ndata: x\n\n", **headers)
    assert waits(clock, stage) == 2
    request = stage.request()
    request.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\nid: e:1\n\n".encode())
    clock.advance(SILENCE)
    assert request.is_left
    assert waits(clock, stage) == 4
    assert "last-event-id" not in stage.request().headers
    assert heard == []
    line = next(line for line in lines(log) if "made anew" in line)
    assert line.endswith(f"no event stream, but {kind or 'of no type'}")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"id: 2\ndata: x",
        b"id: e:2\nevent: binary\ndata: x",
        b"id: e:2\ndata:\nbase64: x",
        b"id: e:2\nevent: gap\ndata: x",
        b"id: e:2\nevent: gap\ndata: {}",
    ],
)
def test_nonsense_on_a_stream_is_the_end_of_it(
    client: OrchestraClient, stage: Stage, clock: Clock, log: list[LogEvent], nonsense: bytes
) -> None:
    """What cannot be a message is not passed over: it is logged, and asked for again."""
    heard: list[Received] = []
    client.subscribe("strings", heard.append)
    request = stage.request()
    request.begin(b"id: e:1\ndata: x\n\n" + nonsense + b"\n\nid: e:3\ndata: x\n\n")
    assert request.is_left
    request.note(4)
    assert taken(heard) == [1]
    clock.advance(1)
    assert stage.request().headers["last-event-id"] == "e:1"
    assert "The stream of strings is made anew: " in " ".join(lines(log))


def silent(client: OrchestraClient, stage: Stage) -> Iterator[Request]:
    """Requests on which nothing more comes, of each kind and at each point."""
    client.subscribe("strings")
    yield stage.request()
    client.subscribe("brass")
    request = stage.request()
    request.begin()
    yield request
    client.subscribe("winds")
    request = stage.request()
    request.send(b"HTTP/1.1 503 Not now\r\nContent-Length: 10\r\n\r\nhalf")
    yield request
    client.publish("drums", b"a").addErrback(lambda _: None)
    yield stage.request()
    client.publish("choir", b"a").addErrback(lambda _: None)
    request = stage.request()
    request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    yield request


def test_silence_is_the_end_of_a_connection(
    client: OrchestraClient, stage: Stage, clock: Clock, log: list[LogEvent]
) -> None:
    """A server that says nothing for so long is taken for dead, and asked anew."""
    requests = list(silent(client, stage))
    clock.advance(SILENCE - 0.1)
    assert not any(request.is_left for request in requests)
    clock.advance(0.1)
    assert all(request.is_left for request in requests)
    clock.advance(2)
    again = stage.requests()
    assert sorted((request.method, request.target) for request in again) == sorted(
        (request.method, request.target) for request in requests
    )
    reasons = {line.partition(": ")[2] for line in lines(log) if "anew" in line or "again" in line}
    assert reasons == {"no answer for 60 seconds", "nothing came for 60 seconds"}


def test_every_byte_counts_against_silence(
    client: OrchestraClient, stage: Stage, clock: Clock
) -> None:
    """A heartbeat is enough."""
    client.subscribe("strings")
    request = stage.request()
    request.begin()
    for _ in range(5):
        clock.advance(SILENCE - 1)
        request.send(b":\n\n")
    assert not request.is_left
    clock.advance(SILENCE)
    assert request.is_left


def test_much_that_is_not_taken_is_left_to_the_server(
    client: OrchestraClient, stage: Stage, clock: Clock
) -> None:
    """Nothing more is read; that is no silence, which is counted again from when it is."""
    subscription = client.subscribe("strings")
    request = stage.request()
    request.begin()
    offset = 0
    while request.transport.reading:
        offset += 1
        request.note(offset, "x" * 10_000)
    assert offset > ROOM / 11_000
    clock.advance(5 * SILENCE)
    clock.advance(SILENCE - 1)
    for _ in range(offset):
        result(started(subscription.__anext__()))
    assert request.transport.reading
    clock.advance(SILENCE - 1)
    assert not request.is_left
    clock.advance(1)
    assert request.is_left


def test_a_connection_may_break_while_nothing_is_read(
    client: OrchestraClient, stage: Stage, clock: Clock
) -> None:
    """The next one goes on after what was received, and is not read either if that still waits."""
    subscription = client.subscribe("strings")
    request = stage.request()
    request.begin(b"id: e:1\ndata: " + b"x" * ROOM + b"\n\n")
    assert subscription.is_paused
    request.cut()
    assert not subscription.is_paused
    clock.advance(1)
    request = stage.request()
    assert request.headers["last-event-id"] == "e:1"
    request.begin(b"id: e:2\ndata: x\n\n")
    assert subscription.is_paused
    assert not request.transport.reading


def test_what_was_received_is_not_asked_for_again(
    client: OrchestraClient, stage: Stage, clock: Clock
) -> None:
    """What waits for whoever iterates outlives the connection, and is not doubled."""
    subscription = client.subscribe("strings")
    request = stage.request()
    request.begin()
    request.note(1)
    request.note(2)
    result(started(subscription.__anext__()))
    request.cut()
    clock.advance(1)
    request = stage.request()
    assert request.headers["last-event-id"] == "e:2"
    request.begin()
    request.note(3)
    heard = [result(started(subscription.__anext__())) for _ in range(2)]
    assert taken(heard) == [2, 3]
    assert subscription.position == Position("e", 3)


# The end of a subscription, and of all of them.


def connecting(stage: Stage, clock: Clock, start: Callable[[], object]) -> None:
    stage.is_reachable = None
    start()
    assert stage.attempts == 1


def asking(stage: Stage, clock: Clock, start: Callable[[], object]) -> None:
    start()
    stage.request()


def being_answered(stage: Stage, clock: Clock, start: Callable[[], object]) -> None:
    start()
    stage.request().send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{")


def being_refused(stage: Stage, clock: Clock, start: Callable[[], object]) -> None:
    start()
    stage.request().send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nhalf")


def waiting(stage: Stage, clock: Clock, start: Callable[[], object]) -> None:
    stage.is_reachable = False
    start()
    clock.advance(1)


MOMENTS = [connecting, asking, being_answered, being_refused, waiting]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("by", ["stop", "stopService"])
def test_a_subscription_can_end_at_any_moment(
    client: OrchestraClient,
    stage: Stage,
    clock: Clock,
    log: list[LogEvent],
    moment: Callable[[Stage, Clock, Callable[[], object]], None],
    by: str,
) -> None:
    """Its connection is closed, whoever waits is told, and nothing more is tried or logged."""
    waiting: list[Deferred[Received]] = []
    moment(stage, clock, lambda: waiting.append(started(client.subscribe("strings").__anext__())))
    (subscription,) = client._subscriptions
    del log[:]
    ended = subscription.stop() if by == "stop" else client.stopService()
    with pytest.raises(StopAsyncIteration):
        result(waiting[0])
    stage.close()
    assert ended is None or ended.called
    assert not clock.getDelayedCalls()
    assert [line for line in lines(log) if "factory" not in line] == []


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("by", ["cancel", "stopService"])
def test_publishing_can_end_at_any_moment(
    client: OrchestraClient,
    stage: Stage,
    clock: Clock,
    log: list[LogEvent],
    moment: Callable[[Stage, Clock, Callable[[], object]], None],
    by: str,
) -> None:
    """It fails as cancelled, its connection is closed, and nothing more is tried or logged."""
    published: list[Deferred[Position]] = []
    moment(stage, clock, lambda: published.append(client.publish("strings", b"a")))
    results: list[Any] = []
    published[0].addBoth(results.append)
    del log[:]
    if by == "cancel":
        published[0].cancel()
    else:
        client.stopService()
    assert results[0].check(CancelledError)
    stage.close()
    assert not clock.getDelayedCalls()
    assert [line for line in lines(log) if "factory" not in line] == []


def test_a_callback_can_stop_its_subscription(client: OrchestraClient, stage: Stage) -> None:
    """It is not called again, whatever has come with the same bytes; others are not concerned."""
    heard: list[Received] = []

    def callback(message: Received) -> None:
        heard.append(message)
        subscription.stop()

    subscription = client.subscribe("strings", callback)
    request = stage.request()
    client.subscribe("strings")
    other = stage.request()
    other.begin()
    request.begin(b"id: e:1\ndata: x\n\nid: e:2\ndata: x\n\n")
    assert taken(heard) == [1]
    assert request.is_left
    assert not other.is_left


@implementer(IAgent)
class Hasty:
    """An agent, and the one response that it has to everything, at once."""

    code = 200
    headers = Headers({"Content-Type": ["text/event-stream"]})

    def __init__(self) -> None:
        self.transport = MemoryTransport(Protocol())

    def request(self, *_: object) -> Deferred[Any]:
        return succeed(self)

    def deliverBody(self, protocol: IProtocol) -> None:
        protocol.makeConnection(self.transport)
        protocol.dataReceived(b"id: e:1\ndata: x\n\nid: e:2\ndata: x\n\n")


def test_a_callback_can_stop_before_there_was_anything_to_wait_for(
    clock: Clock, log: list[LogEvent]
) -> None:
    """An agent may have answered when it returns; that is the end nevertheless."""
    agent = Hasty()
    client = OrchestraClient("http://orchestra", agent=agent, reactor=clock)
    heard: list[Received] = []

    def callback(message: Received) -> None:
        heard.append(message)
        for subscription in tuple(client._subscriptions):
            subscription.stop()

    client.subscribe("strings", callback)
    client.startService()
    assert taken(heard) == [1]
    assert agent.transport.disconnecting
    assert not client._subscriptions
    assert not clock.getDelayedCalls()
    assert lines(log) == []


def test_whoever_iterates_can_stop_in_the_middle(client: OrchestraClient, stage: Stage) -> None:
    """From within the loop, which goes on with what was received, and then ends."""
    heard: list[int] = []

    async def listen() -> None:
        async for message in subscription:
            heard.append(message.position.offset)
            subscription.stop()

    subscription = client.subscribe("strings")
    listening = started(listen())
    request = stage.request()
    request.begin(b"id: e:1\ndata: x\n\n")
    assert heard == [1]
    assert request.is_left
    result(listening)


def test_the_end_waits_for_connections_to_be_closed(
    client: OrchestraClient, stage: Stage, clock: Clock
) -> None:
    """All of them, but for a few seconds only: a peer may be gone."""
    client.subscribe("strings")
    first = stage.request()
    first.begin()
    client.subscribe("brass")
    second = stage.request()
    second.begin()
    stopped = client.stopService()
    first.transport.take()
    assert first.transport.disconnected
    assert not stopped.called
    clock.advance(CLOSING)
    assert stopped.called
    assert second.is_left


def test_what_comes_after_the_end_is_not_heard(client: OrchestraClient, stage: Stage) -> None:
    """A connection that is being closed may still bring something."""
    heard: list[Received] = []
    client.subscribe("strings", heard.append)
    request = stage.request()
    request.begin(b"id: e:1\ndata: x\n\n")
    client.stopService()
    request.note(2)
    assert taken(heard) == [1]


def test_it_can_be_started_again(client: OrchestraClient, stage: Stage) -> None:
    """Subscriptions have ended then, and new ones are served."""
    client.subscribe("strings")
    stage.request()
    client.stopService()
    client.startService()
    assert stage.requests() == []
    client.subscribe("brass")
    assert stage.request().target == "/brass"
    published = client.publish("brass", b"a")
    stage.request().publish(1)
    assert result(published) == Position("e", 1)


def test_what_is_asked_for_before_the_start_waits(
    clock: Clock, stage: Stage, log: list[LogEvent]
) -> None:
    """Subscriptions and messages, these in their order; what was given up until then is not."""
    agent = Agent.usingEndpointFactory(clock, stage)
    client = OrchestraClient("http://orchestra", agent=agent, reactor=clock)
    client.subscribe("strings")
    client.subscribe("winds").stop()
    first, given_up, second = (client.publish("brass", payload) for payload in (b"1", b"2", b"3"))
    given_up.addErrback(lambda failure: failure.trap(CancelledError))
    given_up.cancel()
    clock.advance(1000)
    assert stage.attempts == 0
    client.startService()
    requests = {request.target: request for request in stage.requests()}
    assert set(requests) == {"/strings", "/brass"}
    assert requests["/brass"].body == b"1"
    requests["/brass"].publish(1)
    assert result(first) == Position("e", 1)
    request = stage.request()
    assert request.body == b"3"
    request.publish(2)
    assert result(second) == Position("e", 2)
    client.stopService()


# Publishing.


@pytest.mark.parametrize(
    ("is_binary", "kind"),
    [(False, "text/plain; charset=utf-8"), (True, "application/octet-stream")],
    ids=["text", "binary"],
)
def test_a_message_is_posted(
    client: OrchestraClient, stage: Stage, is_binary: bool, kind: str
) -> None:
    """As it is, with its type and a key of its own, and its position is the answer."""
    keys = set()
    for offset, payload in enumerate((b"", b"a\r\n\rb", b"x" * 100_000), 1):
        published = client.publish("strings", payload, is_binary)
        request = stage.request()
        assert request.body == payload
        assert request.headers["content-length"] == str(len(payload))
        assert request.headers["content-type"] == kind
        keys.add(request.headers["idempotency-key"])
        assert not published.called
        request.publish(offset)
        assert result(published) == Position("e", offset)
    assert len(keys) == 3


def test_messages_of_a_channel_go_one_after_the_other(
    client: OrchestraClient, stage: Stage, clock: Clock
) -> None:
    """In the order in which they were published, whatever goes wrong; channels wait for none."""
    published = [client.publish("strings", b"%d" % number) for number in range(3)]
    request = stage.request()
    other = client.publish("brass", b"other")
    stage.request().publish(1)
    assert result(other) == Position("e", 1)
    bodies = []
    for offset in range(3):
        bodies.append(request.body)
        request.cut()
        clock.advance(2)
        request = stage.request()
        bodies.append(request.body)
        request.publish(offset)
        assert result(published[offset]) == Position("e", offset)
        if offset < 2:
            request = stage.request()
    assert bodies == [b"0", b"0", b"1", b"1", b"2", b"2"]


def before_the_answer(request: Request, clock: Clock) -> None:
    request.cut()


def in_the_answers_head(request: Request, clock: Clock) -> None:
    request.send(b"HTTP/1.1 200 OK\r\nCont")
    request.cut()


def in_the_answers_body(request: Request, clock: Clock) -> None:
    request.send(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"offset": 1, "epoch": "e"}')
    request.cut()


def by_silence(request: Request, clock: Clock) -> None:
    clock.advance(SILENCE)


def with_nonsense(request: Request, clock: Clock) -> None:
    request.answer(200, b"<!doctype html>")


def with_other_json(request: Request, clock: Clock) -> None:
    request.answer(200, b"[]")


def with_no_http(request: Request, clock: Clock) -> None:
    request.send(b"\0\0\r\n\r\n")


@pytest.mark.parametrize(
    "failure",
    [
        before_the_answer,
        in_the_answers_head,
        in_the_answers_body,
        by_silence,
        with_nonsense,
        with_other_json,
        with_no_http,
    ],
)
def test_publishing_is_tried_until_it_is_known_to_be_done(
    client: OrchestraClient,
    stage: Stage,
    clock: Clock,
    failure: Callable[[Request, Clock], None],
) -> None:
    """With the same key each time, by which the server plays it once; later each time."""
    published = client.publish("strings", b"a")
    request = stage.request()
    key = request.headers["idempotency-key"]
    for seconds in (2, 4, 8):
        failure(request, clock)
        assert waits(clock, stage) == seconds
        request = stage.request()
        assert (request.body, request.headers["idempotency-key"]) == (b"a", key)
        assert not published.called
    request.publish(7)
    assert result(published) == Position("e", 7)
    following = client.publish("strings", b"b")
    request = stage.request()
    failure(request, clock)
    assert waits(clock, stage) == 2
    assert stage.request().headers["idempotency-key"] not in ("", key)
    following.addErrback(lambda _: None)


def test_an_answer_without_a_length_ends_with_the_connection(
    client: OrchestraClient, stage: Stage
) -> None:
    """Which is all that HTTP/1.0 knows."""
    published = client.publish("strings", b"a")
    request = stage.request()
    request.send(b'HTTP/1.0 200 OK\r\n\r\n{"offset": 1, "epoch": "e"}')
    assert not published.called
    request.cut()
    assert result(published) == Position("e", 1)


def test_a_message_that_is_refused_holds_nobody_up(client: OrchestraClient, stage: Stage) -> None:
    """Whoever published it learns why, and the next one goes on its way."""
    refused, next_one = client.publish("strings", b"a"), client.publish("strings", b"b")
    stage.request().answer(413, b"a message must be 1 bytes or less\n")
    with pytest.raises(RequestRefusedError, match="413 a message must be") as caught:
        result(refused)
    assert caught.value.status == 413
    request = stage.request()
    assert request.body == b"b"
    request.publish(1)
    assert result(next_one) == Position("e", 1)


def test_a_message_that_is_given_up_holds_nobody_up(client: OrchestraClient, stage: Stage) -> None:
    """One that waits is never sent, and one that is on its way is hung up on."""
    first, second, third = (client.publish("strings", payload) for payload in (b"1", b"2", b"3"))
    for given_up in (second, first):
        given_up.addErrback(lambda failure: failure.trap(CancelledError))
    request = stage.request()
    second.cancel()
    assert not request.is_left
    first.cancel()
    assert request.is_left
    request = stage.request()
    assert request.body == b"3"
    request.publish(1)
    assert result(third) == Position("e", 1)


def test_messages_that_the_end_cuts_off_need_no_care(
    client: OrchestraClient, stage: Stage, log: list[LogEvent]
) -> None:
    """Nothing is logged as unhandled if nobody looks at what becomes of them."""
    for channel in ("strings", "strings", "brass"):
        client.publish(channel, b"a")
    client.stopService()
    client.publish("strings", b"a")  # waits for a start that does not come
    client.stopService()
    gc.collect()
    assert not [event for event in log if "log_failure" in event]


def test_a_chain_of_messages_keeps_its_order(client: OrchestraClient, stage: Stage) -> None:
    """Who publishes the next one as soon as the last is there is served like any other."""
    order: list[int] = []

    async def play() -> None:
        for _ in range(3):
            order.append((await client.publish("strings", b"chained")).offset)

    playing = started(play())
    waiting = client.publish("strings", b"waiting")
    bodies = []
    for offset in range(1, 5):
        request = stage.request()
        bodies.append(request.body)
        request.publish(offset)
    assert bodies == [b"chained", b"waiting", b"chained", b"chained"]
    assert result(waiting) == Position("e", 2)
    result(playing)
    assert order == [1, 3, 4]
