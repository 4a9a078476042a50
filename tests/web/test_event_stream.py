"""Event streams in memory: what a client hears, and that it is a client like any other."""

from __future__ import annotations

import gc
import json
import socket
import weakref
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from orchestra.connection.backpressure import PATIENCE
from orchestra.connection.close_codes import GOING_AWAY
from orchestra.connection.outflow import CHUNK
from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.interfaces import IOutlet
from orchestra.position import Position
from orchestra.settings import LATEST, SKIP, ChannelSettings
from orchestra.web.event_stream import EventStream
from orchestra.websocket.factory import OrchestraFactory
from tests.events import captured, named
from tests.memory import BUFFER, MemoryClient, join
from tests.web.client import EventSource, WebClient, texts
from tests.web.conftest import Serve
from tests.web.reader import Event

STREAM = {"Accept": "text/event-stream"}


def play(factory: OrchestraFactory, clock: Clock, *texts: str, channel: str = "main") -> None:
    """Publish texts, a turn each."""
    for text in texts:
        factory.broadcast(text.encode(), channel=channel)
        clock.advance(0)


def position(factory: OrchestraFactory, channel: str = "main") -> Position:
    place = factory.hub.position(channel)
    assert place is not None
    return place


def gaps(events: list[Event]) -> list[int | None]:
    """How many messages each gap says are missing."""
    return [json.loads(event.data)["missed"] for event in events if event.type == "gap"]


def moves(events: list[Event]) -> list[tuple[str, str]]:
    """Who came and left, of events that are nothing else."""
    assert {event.type for event in events} <= {"presence"}, events
    return [(what, m["client"]) for e in events for what, m in json.loads(e.data).items()]


# What it begins with.


def test_a_stream_begins_with_its_place(factory: OrchestraFactory, clock: Clock) -> None:
    """Who comes back before the first message misses none, and not all come back at once."""
    play(factory, clock, "before")
    streams = [EventSource(factory, f"/?last={n % 2}") for n in range(20)]
    for n, stream in enumerate(streams):
        headers = stream.answer.headers
        assert stream.answer.status == 200
        assert headers["content-type"] == "text/event-stream"
        assert headers["cache-control"] == "no-store"
        assert headers["connection"] == "close"
        assert "content-length" not in headers
        assert texts(stream.before) == ["before"] * (n % 2)
        assert stream.reader.last_event_id == str(position(factory))
    retries = [stream.reader.retry or 0 for stream in streams]
    assert 1000 <= min(retries) < max(retries) <= 3000


def test_the_place_comes_before_the_first_message(factory: OrchestraFactory, clock: Clock) -> None:
    """It is that of what comes before all that the client asked for."""
    play(factory, clock, "1", "2", "3")
    client = WebClient(factory)
    client.ask("GET", "/?last=2", **STREAM)
    client.read()
    epoch = position(factory).epoch
    assert f"id: {epoch}:1\n\nid: {epoch}:2\ndata: 2\n\n".encode() in client.rest


def test_messages_are_events(factory: OrchestraFactory, clock: Clock) -> None:
    """Text as it is, without a prefix; binary data in base64; each with its place as its id."""
    stream, other = EventSource(factory, "/strings"), EventSource(factory, "/brass")
    factory.broadcast("Bläser ♪\n\n two".encode(), channel="strings")
    factory.broadcast(b"\x00\xff", isBinary=True, channel="strings")
    factory.broadcast(b"a\r\nb\rc", channel="strings")
    factory.broadcast(b"", channel="strings")
    clock.advance(0)
    text, binary, returns, empty = stream.hear()
    epoch = position(factory, "strings").epoch
    assert text == Event("message", "Bläser ♪\n\n two", f"{epoch}:1", {})
    assert (binary.type, binary.last_event_id) == ("binary", f"{epoch}:2")
    assert b64decode(binary.data) == b"\x00\xff"
    assert (returns.type, returns.data) == ("message", "a\nb\nc")
    assert b64decode(returns.others["base64"]) == b"a\r\nb\rc"
    assert empty == Event("message", "", f"{epoch}:4", {})
    assert other.hear() == []


def test_who_speaks_what_does_not_matter(factory: OrchestraFactory, clock: Clock) -> None:
    """WebSockets, streams and those who post hear each other, in one order."""
    stream, player = EventSource(factory, "/strings"), join(factory, "/strings")
    player.send("one", b"\x02")
    assert WebClient(factory).post("/strings", "three").status == 200
    assert WebClient(factory).post("/strings", b"\x04").status == 200
    clock.advance(0)
    assert player.read() == ["Echo: one", b"\x02", "Echo: three", b"\x04"]
    assert [event.data for event in stream.hear()] == ["one", "Ag==", "three", "BA=="]


# Coming back.


@pytest.mark.parametrize(
    ("query", "header", "expected"),
    [
        ("last=2", None, ["3", "4"]),
        ("since={1}", None, ["2", "3", "4"]),
        ("last=2&since={1}", None, ["2", "3", "4"]),
        ("since={4}", None, []),
        ("", "{3}", ["4"]),
        ("last=2", "{3}", ["4"]),
        ("since={1}", "{3}", ["4"]),
        ("since={3}", "{0}", ["1", "2", "3", "4"]),
    ],
)
def test_a_client_says_where_it_goes_on(
    factory: OrchestraFactory, clock: Clock, query: str, header: str | None, expected: list[str]
) -> None:
    """What it was told last counts, whatever its URL has; that of the URL before a number."""
    play(factory, clock, "1", "2", "3", "4")
    epoch = position(factory).epoch
    at = [f"{epoch}:{offset}" for offset in range(5)]
    headers = {} if header is None else {"Last_Event_ID": header.format(*at)}
    stream = EventSource(factory, "/?" + query.format(*at), **headers)
    assert texts(stream.before) == expected
    play(factory, clock, "5")
    assert texts(stream.hear()) == ["5"]
    assert factory.activity.missed_messages == 0


@pytest.mark.parametrize(
    ("last_event_id", "missed"),
    [
        ("{epoch}:0", 3),
        ("{epoch}:2", 1),
        ("{epoch}:9", None),
        ("0123abcd:4", None),
        ("0123abcd:0", None),
        ("nonsense", None),
        ("{epoch}:", None),
        ("{epoch}:03", None),
        ("\xe9", None),
        ("", None),
    ],
)
def test_a_place_that_is_gone_is_a_gap(
    serve: Serve, clock: Clock, last_event_id: str, missed: int | None
) -> None:
    """The client learns how much is missing, if that can be known, and where it goes on."""
    factory = serve({"retention": Retention(messages=2)})
    play(factory, clock, "1", "2", "3", "4", "5")
    epoch = position(factory).epoch
    with captured() as events:
        stream = EventSource(factory, "/", Last_Event_ID=last_event_id.format(epoch=epoch))
    gap, *rest = stream.before
    assert (gap.type, gap.last_event_id) == ("gap", f"{epoch}:3")
    assert json.loads(gap.data) == {"missed": missed}
    assert texts(rest) == ["4", "5"]
    (told,) = named(events, "missed")
    assert (told["channel"], told["missed"]) == ("main", missed)
    assert factory.activity.missed_messages == (missed or 0)


def test_a_malformed_since_is_refused(factory: OrchestraFactory, clock: Clock) -> None:
    """It was never told by a server, so that there is something wrong with the application."""
    play(factory, clock, "1")
    client = WebClient(factory)
    for since in ("nonsense", "", f"{position(factory)}&since={position(factory)}"):
        assert client.get(f"/?since={since}", **STREAM).status == 400
    stream = EventSource(factory, "/?since=0123abcd:4")
    assert gaps(stream.before[:1]) == [None]
    assert texts(stream.before[1:]) == ["1"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(["play", "play", "break", "break while it is played"])))
def test_who_comes_back_misses_nothing(clock: Clock, steps: list[str]) -> None:
    """However often the connection breaks, each message is heard once, and in order."""
    factory = OrchestraFactory(Hub(clock=clock.seconds), reactor=clock)
    other, stream = EventSource(factory), EventSource(factory)
    heard: list[str] = []
    played = 0
    for step in [*steps, "break"]:
        if step != "break":
            factory.broadcast(b"%d" % played)
            played += 1
        if step == "play":
            clock.advance(0)
        else:
            heard += texts(stream.hear())
            stream.vanish()
            stream = EventSource(factory, "/", Last_Event_ID=stream.reader.last_event_id)
            heard += texts(stream.before)
    clock.advance(0)
    assert heard + texts(stream.hear()) == [str(number) for number in range(played)]
    for each in (stream, other):
        each.vanish()


# Signs of life.


def test_a_stream_has_a_heartbeat(serve: Serve, clock: Clock) -> None:
    """A comment each ping interval, which is nothing to who reads events."""
    stream = EventSource(serve(ping_interval=10))
    for _ in range(3):
        clock.advance(9)
        assert stream.transport.take() == b""
        clock.advance(1)
        data = stream.transport.take()
        assert data == b":\n\n"
        assert stream.reader.feed(data) == []


def test_without_pings_there_is_no_heartbeat(serve: Serve, clock: Clock) -> None:
    """Zero means that there is none."""
    stream = EventSource(serve(ping_interval=0))
    for _ in range(10):
        clock.advance(100)
    assert stream.transport.take() == b""


def test_who_does_not_read_gets_no_heartbeats_on_top(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """What is sent to a full transport piles up."""
    stream = EventSource(factory)
    play(factory, clock, "x" * 500_000)
    for _ in range(10):
        clock.advance(25)
    assert texts(stream.hear()) == ["x" * 500_000]
    assert stream.reader.comments == []
    clock.advance(25)
    assert stream.transport.take() == b":\n\n"


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
@pytest.mark.parametrize(
    ("interval", "timeout", "expected"),
    [(10, 5.5, 15_500), (0, 5.5, 0), (10, 0, 0)],
)
def test_the_kernel_notices_who_is_gone(
    serve: Serve, interval: float, timeout: float, expected: int
) -> None:
    """As soon as pings would, if there were any: nobody answers a heartbeat."""
    factory = serve(ping_interval=interval, ping_timeout=timeout)
    with socket.socket() as its_socket:
        listen_on(factory, its_socket)
        option = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert its_socket.getsockopt(*option) == expected


def test_where_there_is_no_tcp_nobody_is_gone_without_a_word(factory: OrchestraFactory) -> None:
    """A UNIX socket knows of no such option, and needs none."""
    with socket.socket(socket.AF_UNIX) as its_socket:
        listen_on(factory, its_socket)


def listen_on(factory: OrchestraFactory, its_socket: socket.socket) -> None:
    """Ask for a stream on a connection with a socket."""
    client = WebClient(factory)
    transport: Any = client.transport
    transport.socket = its_socket
    client.ask("GET", "/", **STREAM)
    assert client.read()[0].status == 200


# Who comes and leaves.


def test_a_stream_may_hear_who_comes_and_leaves(factory: OrchestraFactory, clock: Clock) -> None:
    """As events of their own, beside the messages; itself it is not told of."""
    play(factory, clock, "before", channel="strings")
    stream = EventSource(factory, "/strings?presence&last=1")
    plain = EventSource(factory, "/strings")
    client, elsewhere = join(factory, "/strings"), join(factory, "/brass")
    client.send("hello")
    clock.advance(0)
    ids = [each.server.client_id for each in (plain, client)]
    client.vanish()
    elsewhere.vanish()
    clock.advance(0)
    events = stream.hear()
    assert texts(stream.before) == ["before"]
    assert [event.data for event in events if event.type == "message"] == ["hello"]
    assert moves([event for event in events if event.type != "message"]) == [
        ("join", ids[0]),
        ("join", ids[1]),
        ("leave", ids[1]),
    ]
    assert {event.last_event_id for event in events} == {str(position(factory, "strings"))} | {
        stream.before[-1].last_event_id
    }
    assert texts(plain.hear()) == ["hello"]


def test_watchers_hear_each_other(factory: OrchestraFactory, clock: Clock) -> None:
    """Each hears of those who came after it, as bytes that are the same for all."""
    streams = [EventSource(factory, "/?presence=count") for _ in range(3)]
    pieces = [written(stream) for stream in streams]
    clock.advance(0)
    ids = [stream.server.client_id for stream in streams]
    assert [moves(stream.hear()) for stream in streams] == [
        [("join", ids[1]), ("join", ids[2])],
        [("join", ids[2])],
        [],
    ]
    for each in pieces:
        each.clear()
    streams.pop(0).vanish()
    clock.advance(0)
    assert [moves(stream.hear()) for stream in streams] == [[("leave", ids[0])]] * 2
    assert pieces[1][0] is pieces[2][0]


def test_one_that_is_too_slow_misses_moves(factory: OrchestraFactory, clock: Clock) -> None:
    """It learns how many, and can ask anew who is there; of the messages it misses none."""
    stream = EventSource(factory, "/?presence")
    play(factory, clock, "x" * 500_000)
    for _ in range(600):
        join(factory).vanish()
    clock.advance(0)
    first, *events = stream.hear()
    assert first.data == "x" * 500_000
    assert json.loads(events[0].data) == {"missed": 200}
    assert len(moves(events[1:])) == 1000
    play(factory, clock, "and on")
    assert texts(stream.hear()) == ["and on"]


def test_one_that_is_full_of_moves_is_full(factory: OrchestraFactory, clock: Clock) -> None:
    """When its transport has drained and is full again at once, nothing more is read for it."""
    stream = EventSource(factory, "/?presence")
    play(factory, clock, "x" * 100_000)
    for _ in range(600):
        join(factory).vanish()
    play(factory, clock, *["y" * 50_000] * 50)
    server = stream.server
    heard = 0
    while data := stream.transport.take():
        heard += sum(event.type == "message" for event in stream.reader.feed(data))
        assert sum(map(len, server._outflow._waiting)) < 4 * BUFFER
    assert heard == 51


# How it ends.


def test_the_log_has_streams_like_sockets(factory: OrchestraFactory, clock: Clock) -> None:
    """Arrivals, departures and their counts are the same, whatever is spoken."""
    with captured() as events:
        stream = EventSource(factory, "/strings")
        client = join(factory, "/strings")
        stream.vanish()
        client.close(1000)
        client.read()
    peer = {"peer": "tcp4:127.0.0.1:50000", "channel": "strings"}
    assert named(events, "joined") == [
        {"event": "joined", "count": count, **peer} for count in (1, 2)
    ]
    assert named(events, "left") == [
        {"event": "left", "count": 1, "code": None, "reason": "", **peer},
        {"event": "left", "count": 0, "code": 1000, "reason": "", **peer},
    ]
    assert factory.hub.channels() == {"strings": 0}


def test_a_stream_that_is_closed_is_told_why(factory: OrchestraFactory, clock: Clock) -> None:
    """In a comment behind all that was published; then the connection ends, and the log tells."""
    stream = EventSource(factory)
    factory.broadcast(b"the last note")
    with captured() as events:
        factory.drain(10)
        assert texts(stream.hear()) == ["the last note"]
    assert stream.reader.comments == ["going away"]
    assert stream.is_gone
    (left,) = named(events, "left")
    assert (left["code"], left["reason"]) == (1001, "going away")


def test_a_slow_stream_gets_it_all_before_its_end(factory: OrchestraFactory, clock: Clock) -> None:
    """As long as it reads within the grace."""
    stream = EventSource(factory)
    play(factory, clock, *["x" * 10_000] * 50)
    factory.drain(10)
    assert len(texts(stream.hear())) == 50
    assert stream.reader.comments == ["going away"]
    assert stream.is_gone


def test_a_full_transport_pauses_only_its_own_stream(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """One that does not read is written no more than its buffer takes, and catches up later."""
    slow, fast = EventSource(factory), EventSource(factory)
    sent = [f"{number:05}" + "x" * 10_000 for number in range(50)]
    heard = []
    for text in sent:
        play(factory, clock, text)
        heard += texts(fast.hear())
    assert heard == sent
    assert len(slow.transport.buffer) < BUFFER + 11_000
    assert slow.server._subscriber.paused
    assert texts(slow.hear()) == sent
    play(factory, clock, "and on")
    assert texts(slow.hear()) == texts(fast.hear()) == ["and on"]


def test_a_large_message_does_not_fill_a_transport(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """A transport holds a part of it, and the rest is shared."""
    stream = EventSource(factory)
    play(factory, clock, "x" * 1_000_000)
    assert len(stream.transport.buffer) <= BUFFER + CHUNK
    assert texts(stream.hear()) == ["x" * 1_000_000]


def test_a_stream_that_falls_off_the_log_is_closed(serve: Serve, clock: Clock) -> None:
    """It gets what its transport had taken, and a comment; the log has how many were missed."""
    factory = serve({"retention": Retention(messages=5)})
    stream = EventSource(factory, "/strings")
    with captured() as events:
        play(factory, clock, "x" * 100_000, *map(str, range(20)), channel="strings")
        assert texts(stream.hear()) == ["x" * 100_000]
    assert stream.reader.comments == ["slow reader"]
    assert stream.is_gone
    assert named(events, "evicted") == [
        {
            "event": "evicted",
            "peer": "tcp4:127.0.0.1:50000",
            "channel": "strings",
            "missed": 1,
            "evictions": 1,
            "missed_messages": 1,
        }
    ]
    (left,) = named(events, "left")
    assert (left["code"], left["reason"]) == (1013, "slow reader")


def test_an_evicted_stream_that_never_reads_is_dropped(serve: Serve, clock: Clock) -> None:
    """It is given the close timeout to take its end."""
    factory = serve({"retention": Retention(messages=5)}, close_timeout=3)
    stream = EventSource(factory)
    play(factory, clock, "x" * 100_000, *map(str, range(20)))
    clock.advance(2.9)
    assert not stream.is_gone
    clock.advance(0.2)
    assert stream.is_gone
    assert factory.clients == set()


def test_no_timer_outlives_its_stream(factory: OrchestraFactory, clock: Clock) -> None:
    """Whoever is gone in the middle of its end is not kept until it would have been too late."""
    stream = EventSource(factory, "/?presence")
    play(factory, clock, "x" * 500_000)
    factory.drain(10)
    stream.server.say_farewell(GOING_AWAY)
    stream.vanish()
    gone = weakref.ref(stream.server)
    del stream
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("slow_reader", "missed", "rest"),
    [(SKIP, 16, ["17", "18", "19", "20", "21"]), (LATEST, 20, ["21"])],
)
def test_a_slow_stream_may_go_on_further_ahead(
    serve: Serve, clock: Clock, slow_reader: str, missed: int, rest: list[str]
) -> None:
    """At the oldest message that is retained, or at the newest; it is told what it has missed."""
    channels = {"strings": ChannelSettings(slow_reader=slow_reader)}
    factory = serve({"retention": Retention(messages=5), "channels": channels})
    stream = EventSource(factory, "/strings")
    with captured() as events:
        play(factory, clock, "x" * 100_000, *map(str, range(1, 22)), channel="strings")
        first, gap, *others = stream.hear()
    epoch = position(factory, "strings").epoch
    assert first.data == "x" * 100_000
    assert gap == Event("gap", f'{{"missed": {missed}}}', f"{epoch}:{1 + missed}", {})
    assert texts(others) == rest
    assert [event["missed"] for event in named(events, "missed")] == [missed]
    assert factory.activity.missed_messages == missed
    assert factory.activity.evictions == 0
    assert not stream.transport.disconnecting


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    slow_reader=st.sampled_from([SKIP, LATEST]),
    steps=st.lists(st.one_of(st.just("read"), st.sampled_from([1, 20_000, 70_000]))),
    is_hasty=st.booleans(),
)
def test_what_is_heard_and_what_is_missed_is_all_there_was(
    clock: Clock, slow_reader: str, steps: list[str | int], is_hasty: bool
) -> None:
    """Whenever a slow stream reads: the gaps say exactly what is missing, and so does the log."""
    hub = Hub(Retention(messages=3), clock=clock.seconds, slow_reader=slow_reader)
    factory = OrchestraFactory(hub, reactor=clock)
    stream = EventSource(factory)
    events = []
    for step in steps:
        if step == "read":
            events += stream.reader.feed(stream.transport.take())
        else:
            factory.broadcast(b"x" * int(step))
            if not is_hasty:
                clock.advance(0)
    clock.advance(0)
    events += stream.hear()
    at, missed = 0, 0
    for event in events:
        skipped = json.loads(event.data)["missed"] if event.type == "gap" else 1
        assert skipped > 0
        at += skipped
        missed += skipped if event.type == "gap" else 0
        assert event.last_event_id.partition(":")[2] == str(at)
    assert at == sum(step != "read" for step in steps)
    assert factory.activity.missed_messages == missed
    stream.vanish()


def test_publishers_wait_for_slow_streams(serve: Serve, clock: Clock) -> None:
    """When transports hold more than the bound, and only for a moment."""
    factory = serve(max_buffered=2 * (BUFFER + CHUNK))
    slow, publisher = [EventSource(factory) for _ in range(3)], join(factory)
    while publisher.transport.reading:
        publisher.send("x" * 10_000)
        clock.advance(0)
        publisher.read()
    assert WebClient(factory).post("/", "hello").status == 503
    slow[0].hear()
    assert publisher.transport.reading
    assert WebClient(factory).post("/", "x" * 100_000).status == 200
    clock.advance(0)
    publisher.read()
    publisher.send("hello")
    assert not publisher.transport.reading
    with captured() as events:
        clock.advance(PATIENCE)
    assert len(named(events, "evicted")) == 3
    for stream in slow:
        stream.hear()
        assert stream.reader.comments == ["slow reader"]
        assert stream.is_gone
    assert publisher.transport.reading


def test_what_fails_in_an_application_ends_the_stream(
    factory: OrchestraFactory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a comment that says no more than that; the log has the traceback."""

    def fail(*args: Any) -> bytes:
        raise RuntimeError("no score")

    stream = EventSource(factory)
    monkeypatch.setattr("orchestra.dialects.event_stream._fields", fail)
    with captured() as events:
        play(factory, clock, "hello")
        assert stream.hear() == []
    assert stream.reader.comments == ["internal error"]
    assert stream.is_gone
    (failure,) = [event["log_failure"] for event in events if "log_failure" in event]
    assert str(failure.value) == "no score"
    assert [event["code"] for event in named(events, "left")] == [1011]


# What it costs, and what it is.


def written(client: WebClient) -> list[bytes]:
    """What the server writes to a client's transport from now on, piece by piece."""
    pieces: list[bytes] = []
    transport: Any = client.transport
    write = transport.write

    def record(data: bytes) -> None:
        pieces.append(data)
        write(data)

    transport.write = record
    return pieces


def test_a_message_is_encoded_once_for_all_streams(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """The same bytes are written to each of them."""
    streams = [EventSource(factory, f"/?last={n}") for n in range(3)]
    pieces = [written(stream) for stream in streams]
    play(factory, clock, "hello", "again")
    first, *others = pieces
    assert len(first) == 2
    for other in others:
        assert [a is b for a, b in zip(first, other, strict=True)] == [True, True]


def test_those_who_catch_up_share_as_well(factory: OrchestraFactory, clock: Clock) -> None:
    """What many lag behind by is encoded once, when the first of them reads it."""
    streams = [EventSource(factory) for _ in range(3)]
    play(factory, clock, "x" * 100_000, "1", "2", "3")
    pieces = [written(stream) for stream in streams]
    for stream in streams:
        stream.hear()
    assert pieces[0][-1].count(b"data: ") == 3
    assert pieces[0][-1] is pieces[1][-1] is pieces[2][-1]


def test_it_is_an_outlet(factory: OrchestraFactory) -> None:
    """The stream and its watcher provide what the hub asks, and none fails when it is gone."""
    stream = EventSource(factory, "/?presence")
    server = stream.server
    assert isinstance(server, EventStream)
    watcher = server._watcher
    assert verifyObject(IOutlet, server)
    assert verifyObject(IOutlet, watcher)
    stream.vanish()
    server._filled()
    server._drained()
    watcher.evict(1)
    watcher.fail()
    watcher.end()


def test_a_channel_has_so_many_places(serve: Serve) -> None:
    """For streams and WebSockets together; the others are refused, and told to come back."""
    channels = {"s*": ChannelSettings(max_connections=2)}
    factory = serve({"channels": channels})
    stream, client = EventSource(factory, "/strings"), join(factory, "/strings")
    refused = WebClient(factory).get("/strings", **STREAM)
    assert (refused.status, refused.text) == (503, "the channel is full\n")
    assert refused.headers["retry-after"] in ("1", "2", "3")
    late = MemoryClient(factory, "/strings")
    late.read()
    assert late.refusal.status_code == 503
    assert EventSource(factory, "/brass").answer.status == 200
    assert EventSource(factory, "/solo").answer.status == 200
    for leaving in (stream, client):
        leaving.vanish()
        assert EventSource(factory, "/strings").answer.status == 200
