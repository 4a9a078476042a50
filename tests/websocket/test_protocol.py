"""One connection, in memory: what it lets in, what it sends, how it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from twisted.internet.task import Clock
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from zope.interface.verify import verifyObject

from orchestra.connection.backpressure import PATIENCE
from orchestra.connection.close_codes import GOING_AWAY
from orchestra.connection.outflow import CHUNK
from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.interfaces import IOutlet
from orchestra.message import Content
from orchestra.settings import LATEST, SKIP, ChannelSettings
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.protocol import OrchestraProtocol
from tests.events import captured, named
from tests.memory import BUFFER, MemoryClient, join


@pytest.fixture
def factory(clock: Clock) -> Iterator[OrchestraFactory]:
    hub = Hub(Retention(messages=100), clock=clock.seconds)
    factory = OrchestraFactory(hub, reactor=clock)
    yield factory
    for client in tuple(factory.clients):
        client.abort()
    assert not factory.clients
    clock.pump([60, 600, 600])  # until nothing of the past is left either
    assert [call for call in clock.getDelayedCalls() if call.active()] == []


def turn(clock: Clock) -> None:
    """End the turn of the event loop."""
    clock.advance(0)


def flood(client: MemoryClient, clock: Clock, times: int) -> None:
    """Play 10 KB so many times, a turn each, and hear it all."""
    for _ in range(times):
        client.send("x" * 10_000)
        turn(clock)
        assert len(client.read()) == 1


def test_everyone_hears_what_one_plays(factory: OrchestraFactory, clock: Clock) -> None:
    """Text reaches each client of the channel, the sender too, with the prefix."""
    one, two = join(factory), join(factory)
    one.send("hello")
    turn(clock)
    assert one.read() == two.read() == ["Echo: hello"]


def test_binary_is_relayed_as_it_is(factory: OrchestraFactory, clock: Clock) -> None:
    """Binary messages stay binary and get no prefix."""
    one, two = join(factory), join(factory)
    one.send(b"\x00\xff")
    turn(clock)
    assert one.read() == two.read() == [b"\x00\xff"]


@pytest.mark.parametrize("size", [0, 1, 119, 120, 65529, 65530, 1024 * 1024])
def test_messages_of_every_length_come_back(
    factory: OrchestraFactory, clock: Clock, size: int
) -> None:
    """From the empty message to the largest, around each length encoding of the frames."""
    client = join(factory)
    client.send("x" * size)
    turn(clock)
    assert client.read() == ["Echo: " + "x" * size]


def test_a_prefix_of_ones_own(clock: Clock) -> None:
    """The prefix is whatever the factory was told, and nothing at all for a relay."""
    for prefix in ("♪ ", ""):
        client = join(OrchestraFactory(prefix=prefix, reactor=clock))
        client.send("hello")
        turn(clock)
        assert client.read() == [prefix + "hello"]
        client.vanish()


def test_channels_do_not_hear_each_other(factory: OrchestraFactory, clock: Clock) -> None:
    """The path names the channel; the root is the channel "main"."""
    main, root, strings, brass = (join(factory, url) for url in ("/main", "/", "/strings", "/b/c"))
    root.send("to main")
    strings.send("to strings")
    turn(clock)
    assert main.read() == root.read() == ["Echo: to main"]
    assert strings.read() == ["Echo: to strings"]
    assert brass.read() == []
    factory.broadcast(b"to brass", channel="b/c")
    turn(clock)
    assert brass.read() == ["Echo: to brass"]


def test_all_hear_the_same_order(factory: OrchestraFactory, clock: Clock) -> None:
    """Messages of several senders within a turn come to everyone in one order."""
    clients = [join(factory) for _ in range(3)]
    for number, client in enumerate(clients):
        client.send(f"{number} first", f"{number} second")
    turn(clock)
    heard = [client.read() for client in clients]
    assert heard[0] == heard[1] == heard[2]
    assert len(heard[0]) == 6


def test_last_replays_the_past(factory: OrchestraFactory, clock: Clock) -> None:
    """A client that asks for the last messages gets them before what is new."""
    client = join(factory, "/strings")
    client.send("1", "2", b"3")
    turn(clock)
    late = MemoryClient(factory, "/strings?last=2")
    client.send("4")
    turn(clock)
    assert late.read() == ["Echo: 2", b"3", "Echo: 4"]


def test_echo_0_leaves_out_ones_own(factory: OrchestraFactory, clock: Clock) -> None:
    """A client that does not want its own messages gets the others'."""
    quiet, other = join(factory, "/?echo=0"), join(factory, "/?echo=1")
    quiet.send("mine")
    other.send("yours")
    turn(clock)
    assert quiet.read() == ["Echo: yours"]
    assert other.read() == ["Echo: mine", "Echo: yours"]


def test_a_fragmented_message_is_one_message(factory: OrchestraFactory, clock: Clock) -> None:
    """Fragments, with a ping between them, come back as a whole; the ping is answered."""
    client = join(factory)
    client.ws.send_text(b"hel", fin=False)
    client.ws.send_ping(b"still there?")
    client.ws.send_continuation(b"lo", fin=True)
    client.deliver()
    turn(clock)
    assert client.read() == ["Echo: hello"]


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [
        ("/a%00b", 400, "a channel name must not contain control characters"),
        ("/" + "x" * 256, 400, "a channel name must have 1 to 255 bytes of UTF-8, not 256"),
        ("/?last=all", 400, "last must be a whole number from 0 to 1000000000"),
        ("/api/publish", 404, "this path is the server's own and names no channel"),
    ],
)
def test_a_bad_url_is_refused(
    factory: OrchestraFactory, url: str, status: int, reason: str
) -> None:
    """Status and reason come before there is a WebSocket, and are logged."""
    with captured() as events:
        client = MemoryClient(factory, url)
        client.read()
    assert client.refusal.status_code == status
    assert client.refusal.reason_phrase == reason
    assert bytes(client.refusal.body or b"") == reason.encode() + b"\n"
    assert client.transport.disconnected
    assert named(events, "refused") == [
        {"event": "refused", "peer": "tcp4:127.0.0.1:50000", "status": status, "reason": reason}
    ]
    assert named(events, "joined") == named(events, "left") == []


@pytest.mark.parametrize(
    ("request_line", "status", "header"),
    [
        (b"GET / HTTP/1.1", b"400", b"Connection: close"),
        (b"GET / HTTP/1.0", b"505", b"Connection: close"),
        (b"nonsense", b"400", b"Connection: close"),
    ],
)
def test_what_is_no_good_handshake_is_refused(
    factory: OrchestraFactory, request_line: bytes, status: bytes, header: bytes
) -> None:
    """It gets the status for what is wrong with it, and what goes with that."""
    client = MemoryClient(factory)
    server = factory.buildProtocol(client.transport.getPeer())
    transport = type(client.transport)(server)
    server.makeConnection(transport)
    server.dataReceived(request_line + b"\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n")
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 " + status + b" ")
    assert header + b"\r\n" in answer
    assert b"Autobahn" not in answer
    assert transport.disconnected


@pytest.mark.parametrize("query", ["since=1f2e3d4c:0", "presence", "presence=count&last=1"])
def test_what_is_for_streams_is_refused(factory: OrchestraFactory, query: str) -> None:
    """A WebSocket could not be told of a gap, or who comes, so that it learns it at once."""
    client = MemoryClient(factory, f"/?{query}")
    client.read()
    assert client.refusal.status_code == 400
    assert client.refusal.reason_phrase == "since and presence are for event streams"
    assert factory.hub.channels() == {}


def test_nobody_is_let_in_while_the_server_stops(factory: OrchestraFactory) -> None:
    """A handshake that comes too late is refused, and told to try again."""
    factory.accepting = False
    client = MemoryClient(factory)
    client.read()
    assert client.refusal.status_code == 503
    assert 1 <= int(client.refusal.headers["Retry-After"]) <= 3


def test_a_client_that_closes_is_answered_in_kind(factory: OrchestraFactory, clock: Clock) -> None:
    """What it sent before is played and echoed to it before the close frame comes back."""
    client, other = join(factory), join(factory)
    with captured() as events:
        client.ws.send_text(b"last words")
        client.close(3001, "enough")
        assert client.read() == ["Echo: last words"]
        turn(clock)
    assert client.close_frame == (3001, "enough")
    assert other.read() == ["Echo: last words"]
    assert factory.clients == {other.server}
    assert named(events, "left") == [
        {
            "event": "left",
            "peer": "tcp4:127.0.0.1:50000",
            "channel": "main",
            "count": 1,
            "code": 3001,
            "reason": "enough",
        }
    ]


def test_a_client_that_is_closing_gets_nothing_more(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """Nothing follows a close frame, whoever plays; and what it sends then is not played."""
    client, other = join(factory), join(factory)
    client.server.close(GOING_AWAY)
    client.send("too late")
    other.send("hello")
    turn(clock)
    assert client.read() == []
    assert client.close_frame == (1001, "going away")
    assert other.read() == ["Echo: hello"]


def test_closing_delivers_what_was_published(factory: OrchestraFactory, clock: Clock) -> None:
    """The messages of the turn go before the close frame."""
    client = join(factory)
    factory.broadcast(b"goodbye")
    client.server.close(GOING_AWAY)
    assert client.read() == ["Echo: goodbye"]
    assert client.close_frame == (1001, "going away")
    turn(clock)
    assert not factory.clients


def test_an_abrupt_departure_is_a_departure(factory: OrchestraFactory, clock: Clock) -> None:
    """A client that vanishes leaves the set and the channel, and the others play on."""
    client, other = join(factory), join(factory)
    with captured() as events:
        client.vanish()
        other.send("hello")
        turn(clock)
    assert other.read() == ["Echo: hello"]
    assert factory.clients == {other.server}
    assert factory.hub.channels() == {"main": 1}
    assert [event["code"] for event in named(events, "left")] == [1006]


def test_a_message_that_is_too_large_ends_the_connection(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """One byte beyond the limit is refused with 1009 and played to nobody."""
    client, other = join(factory), join(factory)
    client.send("x" * (1024 * 1024 + 1))
    turn(clock)
    client.read()
    assert client.close_frame is not None
    assert client.close_frame[0] == 1009
    assert other.read() == []


def test_text_that_is_not_utf8_ends_the_connection(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """It is refused with 1007, after an echo of what was right before it."""
    client, other = join(factory), join(factory)
    client.ws.send_text(b"fine")
    client.ws.send_text(b"\xff")
    client.deliver()
    assert client.read() == ["Echo: fine"]
    assert client.close_frame is not None
    assert client.close_frame[0] == 1007
    turn(clock)
    assert other.read() == ["Echo: fine"]


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"\x03\xe7", 1002, "invalid close code 999"),
        (b"\x03\xe8\xff", 1007, "invalid close reason (non-UTF8 payload)"),
        (b"\x03", 1002, "received close control frame with payload len 1"),
    ],
)
def test_a_wrong_close_frame_is_answered(
    factory: OrchestraFactory, clock: Clock, body: bytes, code: int, reason: str
) -> None:
    """What the client sent before it is echoed first, then it learns what was wrong."""
    client, other = join(factory), join(factory)
    client.ws.send_text(b"fine")
    (text,) = client.ws.data_to_send()
    client.server.dataReceived(text + bytes([0x88, 0x80 | len(body)]) + bytes(4) + body)
    assert client.read() == ["Echo: fine"]
    assert client.close_frame == (code, reason)
    assert client.transport.disconnected
    turn(clock)
    assert other.read() == ["Echo: fine"]


def test_an_answered_close_is_an_orderly_end(factory: OrchestraFactory) -> None:
    """When both have closed, what is on its way is still sent; nothing is reset."""
    client = join(factory)
    client.server.close(GOING_AWAY)
    client.server.dataReceived(b"\x88\x80" + bytes(4))
    assert client.transport.disconnecting
    assert not client.transport.disconnected
    client.read()
    assert client.close_frame == (1001, "going away")
    assert client.transport.disconnected


def test_a_full_transport_pauses_only_its_own_client(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """One that does not read is written no more than its buffer takes, and catches up later."""
    slow, fast = join(factory), join(factory)
    sent = [f"{number:05}" + "x" * 10_000 for number in range(50)]
    heard: list[str | bytes] = []
    for message in sent:
        fast.send(message)
        turn(clock)
        heard += fast.read()
    assert heard == ["Echo: " + message for message in sent]
    assert len(slow.transport.buffer) < BUFFER + 11_000
    assert slow.read() == ["Echo: " + message for message in sent]
    fast.send("and on")
    turn(clock)
    assert slow.read() == fast.read() == ["Echo: and on"]


def test_a_reader_that_falls_off_the_log_is_closed(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """It gets what its transport had taken, then 1013 with the reason; that is logged."""
    slow, fast = join(factory, "/strings"), join(factory, "/strings")
    with captured() as events:
        flood(fast, clock, 120)
        assert len(slow.read()) < 20
    assert slow.close_frame == (1013, "slow reader")
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
    assert factory.clients == {fast.server}
    assert [(event["code"], event["reason"]) for event in named(events, "left")] == [
        (1013, "slow reader")
    ]


@pytest.mark.parametrize(("slow_reader", "missed"), [(SKIP, 16), (LATEST, 20)])
def test_a_slow_reader_may_go_on_further_ahead(
    clock: Clock, slow_reader: str, missed: int
) -> None:
    """Where that is set; it cannot be told what it has missed, but the log is."""
    channels = {"strings": ChannelSettings(slow_reader=slow_reader)}
    hub = Hub(Retention(messages=5), clock=clock.seconds, channels=channels)
    factory = OrchestraFactory(hub, reactor=clock)
    slow = join(factory, "/strings")
    with captured() as events:
        for text in ("x" * 100_000, *map(str, range(1, 22))):
            factory.broadcast(text.encode(), channel="strings")
            turn(clock)
        first, *others = slow.read()
    assert first == "Echo: " + "x" * 100_000
    assert others == [f"Echo: {number}" for number in range(1 + missed, 22)]
    assert slow.close_frame is None
    assert [(e["channel"], e["missed"]) for e in named(events, "missed")] == [("strings", missed)]
    assert factory.activity.missed_messages == missed
    slow.vanish()


def test_an_evicted_reader_that_never_reads_is_dropped(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """It is given the close timeout to take the close frame."""
    slow, fast = join(factory), join(factory)
    flood(fast, clock, 120)
    assert not slow.transport.disconnected
    clock.advance(5)
    assert slow.transport.disconnected
    assert factory.clients == {fast.server}


def test_a_slow_reader_gets_it_all_before_it_is_closed(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """Closing waits until the client has read what was published so far, and no longer."""
    slow, fast = join(factory), join(factory)
    flood(fast, clock, 20)
    slow.server.close(GOING_AWAY)
    fast.send("not for the slow one")
    turn(clock)
    assert len(slow.read()) == 20
    assert slow.close_frame == (1001, "going away")


def test_a_slow_reader_that_closes_itself_is_let_go(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """Its close is answered behind what its transport holds, and the rest is not for it."""
    slow, fast = join(factory), join(factory)
    flood(fast, clock, 20)
    slow.close()
    assert factory.hub.channels() == {"main": 1}
    assert len(slow.read()) < 10
    assert slow.close_frame == (1000, "")


def test_a_peer_that_never_takes_its_close_is_dropped(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """A client that closes and then reads nothing does not keep its connection for ever."""
    client = join(factory)
    client.close()
    assert not client.transport.disconnected
    clock.advance(5)
    assert client.transport.disconnected
    assert not factory.clients


def test_one_that_never_shakes_hands_is_dropped(factory: OrchestraFactory, clock: Clock) -> None:
    """A connection has the handshake timeout to become a WebSocket."""
    client = MemoryClient(factory)
    silent = factory.buildProtocol(client.transport.getPeer())
    transport = type(client.transport)(silent)
    silent.makeConnection(transport)
    clock.advance(5)
    assert transport.disconnected
    assert factory.clients == {client.server}


def test_pings_find_out_who_is_gone(factory: OrchestraFactory, clock: Clock) -> None:
    """Who answers pings stays; who does not is dropped after the ping timeout."""
    here, gone = join(factory), join(factory)
    for _ in range(60):
        clock.advance(1)
        here.read()
    assert not here.transport.disconnected
    assert gone.transport.disconnected
    assert factory.clients == {here.server}


def test_playing_is_a_sign_of_life(factory: OrchestraFactory, clock: Clock) -> None:
    """Who plays stays, though its answer to a ping is not there yet."""
    player = join(factory)
    for _ in range(60):
        clock.advance(1)
        player.send("still playing")
    assert not player.transport.disconnected


def test_it_is_an_outlet(factory: OrchestraFactory) -> None:
    """The protocol provides what the hub asks of it, and none of it fails when it is gone."""
    client = join(factory)
    assert verifyObject(IOutlet, client.server)
    client.vanish()
    client.server._filled()
    client.server._drained()


def test_a_full_server_refuses_before_it_reads(clock: Clock) -> None:
    """Whoever comes when all places are taken gets 503 and when to try again, whatever it asks."""
    factory = OrchestraFactory(max_connections=2, reactor=clock)
    clients = [join(factory), join(factory)]
    with captured() as events:
        refused = MemoryClient(factory, "/" + "x" * 300)
        refused.read()
    assert refused.refusal.status_code == 503
    assert refused.refusal.reason_phrase == "the server is full"
    assert int(refused.refusal.headers["Retry-After"]) > 0
    assert [event["status"] for event in named(events, "refused")] == [503]
    clients.pop().vanish()
    clients.append(join(factory))
    assert len(factory.clients) == 2
    for client in clients:
        client.vanish()


def test_a_full_server_waits_for_the_whole_request(clock: Clock) -> None:
    """An answer in the middle of it might not be read."""
    factory = OrchestraFactory(max_connections=1, reactor=clock)
    client = join(factory)
    server = factory.buildProtocol(client.transport.getPeer())
    transport = type(client.transport)(server)
    server.makeConnection(transport)
    server.dataReceived(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n")
    assert transport.take() == b""
    server.dataReceived(b"\r\n")
    assert transport.take().startswith(b"HTTP/1.1 503 ")
    client.vanish()


def test_pings_of_one_that_does_not_read_do_not_pile_up(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """While its transport is full only the last of its pings is kept; it is answered later."""
    slow, fast = join(factory), join(factory)
    flood(fast, clock, 20)
    held = len(slow.transport.buffer)
    for number in range(100):
        slow.ws.send_ping(b"%d" % number)
    slow.deliver()
    assert len(slow.transport.buffer) == held
    assert len(slow.read()) == 20
    assert slow.pongs == [b"99"]
    slow.ws.send_ping(b"and now")
    slow.deliver()
    slow.read()
    assert slow.pongs == [b"99", b"and now"]


def test_a_large_message_does_not_fill_a_transport(
    factory: OrchestraFactory, clock: Clock
) -> None:
    """A transport holds a part of it; pongs and the close frame come behind its end."""
    client = join(factory)
    factory.broadcast(b"x" * 1_000_000)
    turn(clock)
    assert len(client.transport.buffer) <= BUFFER + CHUNK
    client.ws.send_ping(b"still there?")
    client.deliver()
    client.close()
    assert client.read() == ["Echo: " + "x" * 1_000_000]
    assert client.close_frame == (1000, "")
    assert client.transport.disconnected


def test_publishers_wait_for_slow_readers(clock: Clock) -> None:
    """When transports hold more than the bound nothing more is read from who publishes."""
    factory = OrchestraFactory(max_buffered=2 * (BUFFER + CHUNK), reactor=clock)
    slow, publisher = [join(factory) for _ in range(3)], join(factory)
    while publisher.transport.reading:
        publisher.send("x" * 10_000)
        turn(clock)
        publisher.read()
    assert all(len(reader.transport.buffer) > BUFFER for reader in slow)
    assert all(reader.transport.reading for reader in slow)
    slow[0].read()
    assert publisher.transport.reading
    publisher.send("and on")
    turn(clock)
    assert publisher.read()[-1] == "Echo: and on"
    for reader in (*slow, publisher):
        assert reader.read() is not None
        reader.vanish()


def test_nobody_silences_the_others_by_not_reading(clock: Clock) -> None:
    """Who takes nothing while publishers wait is closed as a slow reader, and they go on."""
    factory = OrchestraFactory(max_buffered=2 * (BUFFER + CHUNK), reactor=clock)
    stalled, publisher = [join(factory) for _ in range(3)], join(factory)
    while publisher.transport.reading:
        publisher.send("x" * 10_000)
        turn(clock)
        publisher.read()
    with captured() as events:
        clock.advance(PATIENCE)
        assert len(named(events, "evicted")) == 3
        assert not publisher.transport.reading
        clock.advance(5)
    assert [client.transport.disconnected for client in stalled] == [True, True, True]
    assert publisher.transport.reading
    assert factory.clients == {publisher.server}
    publisher.vanish()
    assert factory.activity.evictions == 3


def test_a_channel_has_its_publishers(clock: Clock) -> None:
    """Who is none of them may listen, and is closed when it plays; nobody hears that."""
    channels = {
        "none": ChannelSettings(publishers=()),
        "others": ChannelSettings(publishers=("10.0.0.0/8", "unix")),
        "here": ChannelSettings(publishers=("127.0.0.0/8",)),
    }
    factory = OrchestraFactory(Hub(clock=clock.seconds, channels=channels), reactor=clock)
    for channel, may in (("none", False), ("others", False), ("here", True), ("main", True)):
        player, listener = join(factory, f"/{channel}"), join(factory, f"/{channel}")
        factory.broadcast(b"listen", channel=channel)
        player.send("mine", "again")
        turn(clock)
        heard = ["Echo: listen", "Echo: mine", "Echo: again"]
        assert player.read() == listener.read() == heard[: 3 if may else 1]
        reason = "publishing is not allowed in this channel"
        assert player.close_frame == (None if may else (1008, reason))
        player.vanish()
        listener.vanish()


def test_a_channel_has_the_publishers_behind_its_proxies(clock: Clock) -> None:
    """It is the client's address that counts, not that of the proxy."""
    channels = {"strings": ChannelSettings(publishers=("127.0.0.1",))}
    hub = Hub(clock=clock.seconds, channels=channels)
    factory = OrchestraFactory(hub, reactor=clock, trusted_proxies=["127.0.0.1"])
    for headers, may in (({}, True), ({"X-Forwarded-For": "192.0.2.1"}, False)):
        client = MemoryClient(factory, "/strings", headers=headers)
        client.read()
        assert client.server.may_publish == may
        client.vanish()


def test_a_channel_has_a_size_of_its_own(clock: Clock) -> None:
    """Smaller, larger, or none at all; others have that of the factory."""
    channels = {
        "small": ChannelSettings(max_message_size=10),
        "large": ChannelSettings(max_message_size=100_000),
        "any": ChannelSettings(max_message_size=0),
        "same": ChannelSettings(prefix="Echo: "),
    }
    hub = Hub(clock=clock.seconds, channels=channels)
    factory = OrchestraFactory(hub, reactor=clock, max_message_size=1000)
    sizes = {"small": 10, "large": 100_000, "any": None, "same": 1000, "main": 1000}
    for channel, size in sizes.items():
        fine = "x" * (1_500_000 if size is None else size)
        client = join(factory, f"/{channel}")
        client.send(fine)
        client.ws.send_text(fine[:1].encode(), fin=False)
        client.ws.send_continuation(fine[1:].encode(), fin=True)
        client.deliver()
        turn(clock)
        assert client.read() == ["Echo: " + fine] * 2
        if size is not None:
            client.send("x" * (size + 1))
            turn(clock)
            assert client.read() == []
            assert client.close_frame is not None
            assert client.close_frame[0] == 1009
        client.vanish()


def test_a_channel_has_a_rate_of_its_own(clock: Clock) -> None:
    """Another one, another burst, or none at all; others have that of the factory."""
    channels = {
        "quick": ChannelSettings(max_message_rate=5),
        "burst": ChannelSettings(max_message_rate=5, message_burst=3),
        "free": ChannelSettings(max_message_rate=0),
    }
    hub = Hub(clock=clock.seconds, channels=channels)
    factory = OrchestraFactory(hub, reactor=clock, max_message_rate=2)
    for channel, count in (("quick", 5), ("burst", 3), ("free", 9), ("main", 2)):
        client = join(factory, f"/{channel}")
        client.send(*"a" * 9)
        turn(clock)
        assert client.read() == ["Echo: a"] * count
        assert client.close_frame == (None if count == 9 else (1008, "too many messages"))
        client.vanish()


def test_a_channel_has_a_prefix_of_its_own(clock: Clock) -> None:
    """With compression as well; those that have the same share what is framed."""
    channels = {
        "relay*": ChannelSettings(prefix=""),
        "strings": ChannelSettings(prefix="♪ "),
        "brass": ChannelSettings(max_message_rate=100),
    }
    hub = Hub(clock=clock.seconds, channels=channels)
    factory = OrchestraFactory(hub, reactor=clock, compress=True, prefix="I say: ")
    prefixes = {"relay/a": "", "strings": "♪ ", "brass": "I say: ", "main": "I say: "}
    for extensions in ([], [ClientPerMessageDeflateFactory()]):
        for channel, prefix in prefixes.items():
            client = join(factory, f"/{channel}", extensions)
            client.send("la" * 100, b"\0")
            turn(clock)
            assert client.read() == [prefix + "la" * 100, b"\0"]
            client.vanish()
    assert factory.encoding(channel="relay/a") is factory.encoding(channel="relay/b")
    assert factory.encoding(channel="brass") is factory.encoding()
    assert factory.encoding(channel="strings") is not factory.encoding()


def test_options_that_are_set_later_hold_for_later_connections(factory: OrchestraFactory) -> None:
    """Connections share the options, and those that are there keep what they have."""
    one = join(factory)
    assert "autoPingInterval" not in vars(one.server)
    factory.setProtocolOptions(autoPingInterval=3, allowNullOrigin=True)
    two = join(factory)
    assert (one.server.autoPingInterval, two.server.autoPingInterval) == (25, 3)


def test_a_protocol_of_ones_own(clock: Clock) -> None:
    """An application's subclass hears each burst of messages, and decides what is played."""

    class Shouting(OrchestraProtocol):
        def onMessages(self, contents: Sequence[Content]) -> None:
            super().onMessages([(payload.upper(), binary) for payload, binary in contents])

    factory = OrchestraFactory(reactor=clock)
    before = join(factory)
    factory.protocol = Shouting
    client = join(factory)
    assert isinstance(client.server, Shouting)
    assert not isinstance(before.server, Shouting)
    client.send("a", "b")
    client.ws.send_text(b"c", fin=False)
    client.ws.send_continuation(b"d", fin=True)
    client.deliver()
    turn(clock)
    assert client.read() == ["Echo: A", "Echo: B", "Echo: CD"]
    client.vanish()
    before.vanish()
