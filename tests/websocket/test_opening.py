"""How connections begin, held against how Autobahn begins them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock

from orchestra.observe.activity import MOVES_PER_SECOND
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.handshake import read_handshake
from orchestra.websocket.opening import MAX_HEAD
from orchestra.websocket.protocol import OrchestraProtocol
from tests.events import captured, named
from tests.memory import MemoryClient, MemoryTransport, join

COMMON = {
    "Host": "localhost:8080",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
BROWSER = {
    **COMMON,
    "Connection": "keep-alive, Upgrade",
    "Origin": "https://example.com",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)",
    "Accept-Language": "en-GB,en;q=0.5",
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
    "Cookie": "seat=12; part=second violin",
}


class Plain(OrchestraProtocol):
    """A connection that has its handshake read by Autobahn."""

    def _read_directly(self) -> None:
        return None


def request(headers: Any, line: str = "GET /strings?last=1 HTTP/1.1") -> bytes:
    pairs = headers.items() if isinstance(headers, dict) else headers
    return "\r\n".join([line, *(f"{n}: {v}" for n, v in pairs), "", ""]).encode("iso-8859-1")


def answered(
    protocol: type[OrchestraProtocol], clock: Clock, data: bytes, **options: Any
) -> tuple[bytes, dict[str, Any]]:
    """What a factory answers to a request, and what its protocol knows of it."""
    factory = OrchestraFactory(reactor=clock, **options)
    factory.protocol = protocol
    server = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
    transport = MemoryTransport(server)
    server.makeConnection(transport)
    server.dataReceived(data)
    # Without what is another one each time, where it is no handshake.
    answer = re.sub(rb'\r\nDate: [^\r]*|"epoch": "\w*"', b"", transport.buffer)
    known = {
        name: getattr(server, name, None)
        for name in (
            *("http_headers", "http_request_data", "http_request_uri", "http_request_host"),
            *("http_request_path", "http_request_params", "http_status_line", "data", "state"),
            *("websocket_version", "websocket_protocols", "websocket_origin", "_wskey"),
            *("websocket_extensions", "websocket_protocol_in_use", "peer", "target"),
        )
    }
    server.abort()
    return answer, known


VALUES = st.sampled_from(
    [
        *("localhost", "localhost:80", "localhost:http", "[::1]:8080", "[::1]", "", "a b", "höst"),
        *("websocket", "WebSocket", "h2c", "h2c, websocket", "Upgrade", "keep-alive", "close"),
        *("13", "8", "7", "013", "x", "13, 13"),
        *("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=", "dGhl!HNhbXBsZSBub25jZQ=="),
        *("https://example.com", "http://example.com:8080", "null", "file:///etc", "example.com"),
        *("chat", "chat, chat", "permessage-deflate", "x; y=1", "10.0.0.1, 10.0.0.2"),
    ]
)
NAMES = st.sampled_from(
    [*BROWSER, "origin", "HOST", "Sec-WebSocket-Protocol", "X-Forwarded-For", "X Y", "", "Bad\x0b"]
)
LINES = st.sampled_from(
    [
        *("GET / HTTP/1.1", "GET /a/b%20c HTTP/1.1", "GET /?last=2&echo=0 HTTP/1.1"),
        *("GET  / HTTP/1.1", "GET /#x HTTP/1.1", "GET http://localhost/ HTTP/1.1"),
        *("POST / HTTP/1.1", "GET / HTTP/1.0", "GET /", "GET //host/x HTTP/1.1", "get / HTTP/1.1"),
        *("GET /?a=%ff&b HTTP/1.1", "GET /;p?x HTTP/1.1", "GET /[x HTTP/1.1"),
    ]
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    line=LINES,
    start=st.sampled_from([COMMON, BROWSER]),
    without=st.sets(NAMES, max_size=1),
    more=st.lists(st.tuples(NAMES, VALUES), max_size=2),
    rest=st.sampled_from([b"", b"\x81\x85\0\0\0\0hello"]),
    compress=st.booleans(),
)
@example("GET / HTTP/1.1", COMMON, set(), [], b"", False)
@example("GET / HTTP/1.1", BROWSER, set(), [], b"\x81\x85\0\0\0\0hello", True)
@example("GET / HTTP/1.1", COMMON, {"Host"}, [("Host", "localhost:http")], b"", False)
@example("GET / HTTP/1.1", COMMON, set(), [("Origin", "example.com")], b"", False)
def test_it_is_autobahns_handshake_but_faster(
    clock: Clock,
    line: str,
    start: dict[str, str],
    without: set[str],
    more: list[tuple[str, str]],
    rest: bytes,
    compress: bool,
) -> None:
    """Whatever is asked for and however, the answer is the same, and so is what is known."""
    headers = [(name, value) for name, value in start.items() if name not in without]
    data = request([*headers, *more], line) + rest
    assert answered(OrchestraProtocol, clock, data, compress=compress) == answered(
        Plain, clock, data, compress=compress
    )


@pytest.mark.parametrize("headers", [COMMON, BROWSER])
def test_what_common_clients_send_is_read_directly(headers: dict[str, str]) -> None:
    """A plain client's request and a browser's are common."""
    data = request(headers)
    handshake = read_handshake(data + b"\x81", any_origin=True)
    assert handshake is not None
    assert handshake.size == len(data)
    assert handshake.target == "/strings?last=1"
    assert read_handshake(data[:-1], any_origin=True) is None


def test_origins_are_for_autobahn_to_judge() -> None:
    """Where not all of them are allowed, a request with an origin is not common."""
    assert read_handshake(request(COMMON), any_origin=False) is not None
    assert read_handshake(request(BROWSER), any_origin=False) is None


def test_a_connection_begins_as_autobahns(clock: Clock) -> None:
    """Each attribute that Autobahn sets on a new connection is there, with the same value."""
    factory = OrchestraFactory(reactor=clock, compress=True, ping_interval=7)
    ours = factory.buildProtocol(None)
    theirs: Any = WebSocketServerProtocol()
    theirs.factory = factory
    for server in (ours, theirs):
        server.makeConnection(MemoryTransport(server))
    assert ours.transport.no_delay, "Autobahn asks for it too, but before it knows its options"
    assert ours.transport_details.marshal() == theirs.transport_details.marshal()
    names = set(vars(theirs)) - {"factory", "transport", "connected", "utf8validator"}
    assert len(names) > 40
    for name in names:
        mine, its = getattr(ours, name), getattr(theirs, name)
        assert type(mine) is type(its), name
        if isinstance(its, (bool, int, float, str, bytes, list)):
            assert mine == its, name
    assert len(vars(ours)) < 15
    assert factory.countConnections == 2
    for server in (ours, theirs):
        server.transport.abortConnection()


def test_an_option_of_the_protocols_own_stays(clock: Clock) -> None:
    """As in Autobahn, a subclass may set an option for its connections."""

    class Eager(OrchestraProtocol):
        autoPingInterval = 3

    factory = OrchestraFactory(reactor=clock)
    factory.protocol = Eager
    assert factory.buildProtocol(None).autoPingInterval == 3
    factory.protocol = OrchestraProtocol
    assert factory.buildProtocol(None).autoPingInterval == 25


def test_objects_of_a_connection_are_its_own(clock: Clock) -> None:
    """What is made on demand is made for each connection."""
    factory = OrchestraFactory(reactor=clock)
    one, two = join(factory), join(factory)
    assert one.server.trafficStats is one.server.trafficStats
    assert one.server.trafficStats is not two.server.trafficStats
    assert one.server.utf8validator is not two.server.utf8validator
    one.vanish()
    two.vanish()


class Doorkeeper(OrchestraProtocol):
    """Admits later, or not at all, as an application's own protocol may."""

    answer: Any = None

    def onConnect(self, request: Any) -> Any:
        super().onConnect(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def guarded(clock: Clock) -> OrchestraFactory:
    factory = OrchestraFactory(reactor=clock)
    factory.protocol = type("Guarded", (Doorkeeper,), {})
    return factory


def test_an_application_may_take_its_time_to_admit(guarded: OrchestraFactory) -> None:
    """A Deferred is waited for, and its failure is a refusal."""
    for failure, status in ((None, 101), (ConnectionDeny(403, "not you"), 403)):
        guarded.protocol.answer = decision = Deferred[None]()
        client = MemoryClient(guarded)
        assert client.transport.take() == b""
        if failure is None:
            decision.callback(None)
        else:
            decision.errback(failure)
        assert client.transport.take().startswith(b"HTTP/1.1 %d " % status)
        client.vanish()


UNCOMMON = request({**COMMON, "Sec-WebSocket-Protocol": "chat"})


def connected(factory: OrchestraFactory) -> tuple[Any, MemoryTransport]:
    """A connection that has received nothing yet."""
    server = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
    transport = MemoryTransport(server)
    server.makeConnection(transport)
    return server, transport


@pytest.mark.parametrize("data", [request(COMMON), UNCOMMON])
@pytest.mark.parametrize("later", [False, True])
def test_an_application_that_fails_gives_nothing_away(
    guarded: OrchestraFactory, data: bytes, later: bool
) -> None:
    """The client learns that something failed, the log what it was."""
    error = RuntimeError("the password is swordfish")
    guarded.protocol.answer = Deferred[None]() if later else error
    server, transport = connected(guarded)
    with captured() as events:
        server.dataReceived(data)
        if later:
            guarded.protocol.answer.errback(error)
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 500 internal server error\r\n")
    assert b"swordfish" not in answer
    failures = [event["log_failure"] for event in events if "log_failure" in event]
    assert [str(failure.value) for failure in failures] == ["the password is swordfish"]
    assert [event["status"] for event in named(events, "refused")] == [500]


def test_what_fails_is_not_told_where_notes_are_not(clock: Clock) -> None:
    """Without notes in the log, it has the type of what was raised and where, and no more."""
    factory = OrchestraFactory(reactor=clock, log_notes=False)
    factory.protocol = type("Guarded", (Doorkeeper,), {"answer": RuntimeError("swordfish")})
    server, _ = connected(factory)
    with captured() as events:
        server.dataReceived(request(COMMON))
    (failure,) = [event["log_failure"] for event in events if "log_failure" in event]
    text = failure.getTraceback()
    assert "WithheldError: builtins.RuntimeError" in text
    assert "in onConnect" in text
    assert "swordfish" not in text


@pytest.mark.parametrize("data", [request(COMMON), UNCOMMON])
def test_who_is_gone_before_the_decision_is_not_let_in(
    guarded: OrchestraFactory, data: bytes
) -> None:
    """Neither answered nor counted, whatever is decided then."""
    for failure in (None, ConnectionDeny(403, "not you")):
        guarded.protocol.answer = decision = Deferred[None]()
        server, transport = connected(guarded)
        server.dataReceived(data)
        transport.lose(ConnectionLost())
        if failure is None:
            decision.callback(None)
        else:
            decision.errback(failure)
        assert transport.buffer == b""
        assert guarded.clients == set()


@pytest.mark.parametrize("data", [request(COMMON), UNCOMMON])
def test_nothing_may_come_before_the_answer(guarded: OrchestraFactory, data: bytes) -> None:
    """A second request is not read as a handshake of its own, nor is a flood kept."""
    for more, status in ((request(COMMON), 400), (b"\x89\x80\0\0\0\0" * 3000, 431)):
        guarded.protocol.answer = decision = Deferred[None]()
        server, transport = connected(guarded)
        server.dataReceived(data)
        server.dataReceived(b"\x89\x80")
        assert not transport.disconnecting
        server.dataReceived(more)
        assert transport.take().startswith(b"HTTP/1.1 %d " % status)
        decision.callback(None)
        assert guarded.clients == set()


def test_what_comes_after_a_refusal_is_dropped(clock: Clock) -> None:
    """A peer that does not read the answer cannot fill the memory until it is dropped."""
    server, transport = connected(OrchestraFactory(reactor=clock))
    server.dataReceived(b"nonsense\r\n\r\n")
    assert transport.disconnecting
    kept = len(server.data)
    for _ in range(10):
        server.dataReceived(b"x" * 65536)
    assert len(server.data) == kept
    clock.advance(5)
    assert transport.disconnected


KEY = "the header Sec-WebSocket-Key must be there once, with 16 bytes in base64"
VERSION = "the header Sec-WebSocket-Version must be 13"
EXTENSIONS = "the header Sec-WebSocket-Extensions must come once"
PROTOCOLS = "the header Sec-WebSocket-Protocol must name each protocol once"
ORIGIN = "the header Origin is malformed"
CONNECTION = "the header Connection must have the word Upgrade"


def changed(**headers: str) -> bytes:
    """A handshake with other headers, by their names with underscores."""
    return request({**COMMON, **{n.replace("_", "-"): value for n, value in headers.items()}})


def twice(name: str, *values: str) -> bytes:
    """A handshake with more headers of a name."""
    return request([*COMMON.items(), *[(name, value) for value in values]])


def without(name: str) -> bytes:
    """A handshake without a header."""
    return request({key: value for key, value in COMMON.items() if key != name})


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (request(COMMON, "GET //[SECRET HTTP/1.1"), 400, "the URL cannot be parsed"),
        (request(COMMON, "GET /?a#SECRET HTTP/1.1"), 400, "the URL must have no fragment"),
        (request(COMMON, "GET / SECRET"), 505, "a request for a WebSocket must be HTTP/1.1"),
        (without("Host"), 400, "the request must have one header Host"),
        (twice("Host", "SECRET"), 400, "the request must have one header Host"),
        (changed(Host="x:SECRET"), 400, "the header Host is malformed"),
        (changed(Host="SECRET@x"), 400, "the header Host is malformed"),
        (changed(Upgrade="SECRETwebsocket"), 400, "the header Upgrade must be websocket"),
        (changed(Connection="SECRET"), 400, CONNECTION),
        (without("Connection"), 400, CONNECTION),
        (changed(Sec_WebSocket_Version="SECRET"), 400, VERSION),
        (changed(Sec_WebSocket_Version="987654"), 426, VERSION),
        (twice("Sec-WebSocket-Version", "SECRET"), 400, VERSION),
        (without("Sec-WebSocket-Version"), 400, VERSION),
        (changed(Sec_WebSocket_Protocol="SECRET, SECRET"), 400, PROTOCOLS),
        (changed(Origin="https:SECRET"), 400, ORIGIN),
        (twice("Origin", "http://a", "http://SECRET"), 400, ORIGIN),
        (
            changed(Origin="https://SECRET.example"),
            403,
            "pages of this origin are not allowed to connect",
        ),
        (without("Sec-WebSocket-Key"), 400, KEY),
        (changed(Sec_WebSocket_Key="SECRET"), 400, KEY),
        (changed(Sec_WebSocket_Key="SECRET" * 4), 400, KEY),
        (changed(Sec_WebSocket_Key="SECRET" + "!" * 16 + "=="), 400, KEY),
        (twice("Sec-WebSocket-Key", "SECRET"), 400, KEY),
        (twice("Sec-WebSocket-Extensions", "SECRET", "SECRET"), 400, EXTENSIONS),
    ],
)
def test_a_refusal_says_what_is_wrong_and_repeats_nothing(
    clock: Clock, data: bytes, status: int, reason: str
) -> None:
    """Neither to the client nor to the log: in what was asked for there may be a token."""
    server, transport = connected(OrchestraFactory(reactor=clock))
    with captured() as events:
        server.dataReceived(data)
    answer = transport.take().decode()
    assert answer.startswith(f"HTTP/1.1 {status} {reason}\r\n")
    assert "SECRET" not in answer
    assert "987654" not in answer
    assert [(e["status"], e["reason"]) for e in named(events, "refused")] == [(status, reason)]


def test_what_autobahn_may_say_some_day_is_not_repeated(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words of its that nobody knows yet are replaced as well."""

    def fail(self: Any) -> None:
        self.failHandshake("SECRET is not to my liking", 400)

    monkeypatch.setattr(WebSocketServerProtocol, "processHandshake", fail)
    server, transport = connected(OrchestraFactory(reactor=clock))
    server.dataReceived(UNCOMMON)
    assert transport.take().startswith(b"HTTP/1.1 400 the handshake is malformed\r\n")
    assert "failHandshake" not in vars(server)


@pytest.mark.parametrize("data", [request(COMMON), UNCOMMON])
@pytest.mark.parametrize("later", [False, True])
def test_an_applications_own_reason_is_told(
    guarded: OrchestraFactory, data: bytes, later: bool
) -> None:
    """It is meant for the client, whoever has read the handshake."""
    denial = ConnectionDeny(403, "HTTP Host is none of ours")
    guarded.protocol.answer = Deferred[None]() if later else denial
    server, transport = connected(guarded)
    with captured() as events:
        server.dataReceived(data)
        if later:
            guarded.protocol.answer.errback(denial)
    assert transport.take().startswith(b"HTTP/1.1 403 HTTP Host is none of ours\r\n")
    assert [event["reason"] for event in named(events, "refused")] == [denial.reason]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SSL.Error([("SSL routines", "", "http request"), ("", "", "c\n")]), "c\\n"),
        (SSL.Error(), "Error"),
        (SSL.SysCallError(-1, "Unexpected EOF"), "Unexpected EOF"),
    ],
)
def test_who_speaks_no_tls_is_logged_like_who_is_refused(
    clock: Clock, error: Exception, reason: str
) -> None:
    """With where it came from, so many a second, and as nothing that has failed here."""
    factory = OrchestraFactory(reactor=clock)
    with captured() as events:
        for _ in range(MOVES_PER_SECOND + 7):
            _, transport = connected(factory)
            transport.lose(error)
        clock.advance(1)
    assert len(named(events, "tls-failed")) == MOVES_PER_SECOND
    assert named(events, "tls-failed")[0] == {
        "event": "tls-failed",
        "peer": "tcp4:127.0.0.1:50000",
        "reason": reason,
    }
    assert named(events, "tls_failures") == [{"event": "tls_failures", "tls_failures": 7}]
    assert {event["log_level"].name for event in events} == {"info"}
    assert factory.countConnections == 0


@pytest.mark.parametrize("piece", [1, 7, 1000, 100_000])
def test_a_head_without_end_is_refused(clock: Clock, piece: int) -> None:
    """With 431 as soon as it is longer than allowed, whatever pieces it comes in."""
    with captured() as events:
        server, transport = connected(OrchestraFactory(reactor=clock))
        data = b"GET / HTTP/1.1\r\n" + b"X-Filler: 0123456789\r\n" * 1000
        sent = 0
        while not transport.disconnecting:
            server.dataReceived(data[sent : sent + piece])
            sent += piece
    assert MAX_HEAD < sent <= MAX_HEAD + piece
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 431 the request's head must be 16384 bytes or less\r\n")
    assert [event["status"] for event in named(events, "refused")] == [431]


def test_a_head_may_be_as_long_as_allowed(clock: Clock) -> None:
    """One byte more is too much, even when its end is there."""
    for size, status in ((MAX_HEAD, 101), (MAX_HEAD + 1, 431)):
        filler = size + 4 - len(request({**COMMON, "X": ""}))
        server, transport = connected(OrchestraFactory(reactor=clock))
        server.dataReceived(request({**COMMON, "X": "x" * filler}))
        assert bytes(transport.buffer).startswith(b"HTTP/1.1 %d " % status)
        server.abort()


@pytest.mark.parametrize(
    "line",
    [
        b"X: a\r\n X-Forwarded-For: 1.2.3.4",
        b"X: a\r\n\tX-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-For : 1.2.3.4",
        b" X: a",
        b"X: a\nX-Forwarded-For: 1.2.3.4",
        b"X: a\rX-Forwarded-For: 1.2.3.4",
        b"X: a\x0bX-Forwarded-For: 1.2.3.4",
        b"X: a\x0cX-Forwarded-For: 1.2.3.4",
        b"X: a\x1cX-Forwarded-For: 1.2.3.4",
        b"X: a\0b",
        b"X: a\x7f",
        b"X: \x1b[2J",
        b"X",
        b": a",
        b"X Y: a",
        b"X\xff: a",
    ],
)
def test_a_malformed_head_is_refused(clock: Clock, line: bytes) -> None:
    """Nothing is taken for a header that a proxy would take for something else."""
    head = request(COMMON)[:-2]
    server, transport = connected(OrchestraFactory(reactor=clock))
    server.dataReceived(head + line + b"\r\n\r\n")
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 400 the request's head is malformed\r\n")
    assert transport.disconnected


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n" + request(COMMON),
        b"\r\n\r\n",
        b"GET / HTTP/1.1\n\n\r\n\r\n",
        request(COMMON, "GET /\x0b HTTP/1.1"),
        request({**COMMON, "Transfer-Encoding": "chunked"}),
        request({**COMMON, "Content-Length": "5"}) + b"hello",
        request([*COMMON.items(), ("Content-Length", "0"), ("Content-Length", "5")]),
        request([*COMMON.items(), ("Host", "localhost")]),
        request([*COMMON.items(), ("Sec-WebSocket-Key", COMMON["Sec-WebSocket-Key"])]),
        request({**COMMON, "Sec-WebSocket-Key": "short"}),
        request({name: value for name, value in COMMON.items() if name != "Sec-WebSocket-Key"}),
        request({name: value for name, value in COMMON.items() if name != "Host"}),
        request({**COMMON, "Content-Length": "x"}),
        request({**COMMON, "Content-Length": ""}),
        request({**COMMON, "Sec-WebSocket-Version": "+13"}),
        request({**COMMON, "Sec-WebSocket-Version": "1_3"}),
        request({**COMMON, "Sec-WebSocket-Version": "013"}),
        request({**COMMON, "Sec-WebSocket-Version": "13\xa0"}),
        request({**COMMON, "Sec-WebSocket-Key": COMMON["Sec-WebSocket-Key"] + "\xa0"}),
        request({**COMMON, "Sec-WebSocket-Key": "a\tb"}),
        request({**COMMON, "Upgrade": "websocket\xa0"}),
        request({**COMMON, "Host": "a, b"}),
        request({**COMMON, "Host": "user@localhost"}),
        request({**COMMON, "Host": "localhost:-5"}),
        request({**COMMON, "Host": "<>"}),
        request(COMMON, "GET * HTTP/1.1"),
        request(COMMON, "GET x HTTP/1.1"),
        request(COMMON, "GET ?last=1 HTTP/1.1"),
        request(COMMON, "GET localhost:80 HTTP/1.1"),
        request(COMMON, "GET  / HTTP/1.1"),
        request(COMMON, "GET / HTTP/1.1 "),
        request(COMMON, "GET\xa0/\xa0HTTP/1.1"),
        request({**COMMON, "Sec-WebSocket-Version": "x" * 10_000}),
    ],
)
def test_a_wrong_request_is_refused(clock: Clock, data: bytes) -> None:
    """With 400 and one short line; nothing of it is taken for frames."""
    factory = OrchestraFactory(reactor=clock)
    server, transport = connected(factory)
    server.dataReceived(data)
    answer = transport.take().decode()
    assert transport.disconnected
    assert factory.clients == set()
    head, _, body = answer.partition("\r\n\r\n")
    status, *headers = head.split("\r\n")
    assert status.startswith("HTTP/1.1 400 ")
    assert len(body) <= 201
    assert status == f"HTTP/1.1 400 {body[:-1]}"
    assert body.isascii()
    assert body[:-1].isprintable()
    assert "X-Content-Type-Options: nosniff" in headers


@pytest.mark.parametrize("version", ["12", "8", "14", "-1"])
def test_another_version_is_told_which_is_spoken(clock: Clock, version: str) -> None:
    """With 426, as RFC 6455 section 4.2.2 has it."""
    server, transport = connected(OrchestraFactory(reactor=clock))
    server.dataReceived(request({**COMMON, "Sec-WebSocket-Version": version}))
    answer = transport.take()
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer


def test_bytes_beyond_ascii_are_what_they_are(clock: Clock) -> None:
    """In a path they are as if percent-encoded, elsewhere they neither end nor divide anything."""
    for name in ("Bläser", "àÅ"):
        server, transport = connected(OrchestraFactory(reactor=clock))
        line = f"GET /{name}?last=1 HTTP/1.1".encode().decode("iso-8859-1")
        server.dataReceived(request({**COMMON, "Cookie": "a\x85X: b\xa0"}, line))
        assert bytes(transport.buffer).startswith(b"HTTP/1.1 101 ")
        assert server.target.channel == name
        assert server.http_headers["cookie"] == "a?X: b?"
        assert "x" not in server.http_headers
        server.abort()


def test_pages_of_other_origins_are_refused(clock: Clock) -> None:
    """With 403, whoever reads the request; what is listed is let in."""
    uncommon = {**BROWSER, "Sec-WebSocket-Protocol": "chat"}
    for headers in (BROWSER, uncommon):
        for origins, status in ((["same"], 403), (["https://example.com"], 101), (["*"], 101)):
            server, transport = connected(OrchestraFactory(reactor=clock, origins=origins))
            server.dataReceived(request(headers))
            assert bytes(transport.buffer).startswith(b"HTTP/1.1 %d " % status)
            server.abort()


def test_a_proxy_tells_whose_connection_it_is(clock: Clock) -> None:
    """If it is trusted; the log has that address then. Limits go by it."""
    factory = OrchestraFactory(
        reactor=clock, trusted_proxies=["127.0.0.1"], max_connections_per_address=1
    )
    servers = []
    with captured() as events:
        for address, status in (("192.0.2.1", 101), ("192.0.2.2", 101), ("192.0.2.1", 429)):
            server, transport = connected(factory)
            servers.append(server)
            server.dataReceived(request({**COMMON, "X-Forwarded-For": address}))
            answer = bytes(transport.buffer)
            assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nRetry-After: 1\r\n" in answer
    assert [event["peer"] for event in named(events, "joined")] == ["192.0.2.1", "192.0.2.2"]
    assert [event["peer"] for event in named(events, "refused")] == ["192.0.2.1"]
    servers[0].abort()
    server, transport = connected(factory)
    server.dataReceived(request({**COMMON, "Forwarded": "for=192.0.2.1"}))
    assert bytes(transport.buffer).startswith(b"HTTP/1.1 101 ")
    for each in (*servers, server):
        each.abort()


def test_addresses_have_so_many_places(clock: Clock) -> None:
    """A refusal does not take one, and whoever leaves gives it back, in whatever way."""
    factory = OrchestraFactory(reactor=clock, max_connections_per_address=1)
    for leave in (MemoryClient.vanish, MemoryClient.close):
        client = join(factory)
        late = MemoryClient(factory)
        late.read()
        assert late.refusal.status_code == 429
        assert late.refusal.reason_phrase == "there are too many connections from this address"
        leave(client)
        client.read()
    for url, status in (("/api", 404), ("/?presence", 400), ("/?since=x:1", 400)):
        refused = MemoryClient(factory, url)
        refused.read()
        assert refused.refusal.status_code == status
    join(factory).vanish()
