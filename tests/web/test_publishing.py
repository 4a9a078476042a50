"""Publishing by POST: what is taken, from whom, and how often."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import UNIXAddress
from twisted.internet.task import Clock

from orchestra.history import Retention
from orchestra.refusal import RefusedError
from orchestra.settings import ChannelSettings
from orchestra.web.http_channel import LINGER
from orchestra.web.publishing import content_of, key_of
from orchestra.websocket.factory import OrchestraFactory
from tests.events import captured, lines, named
from tests.memory import join
from tests.web.client import EventSource, WebClient, chunked, request, texts
from tests.web.conftest import Serve

TEXT = {"Content_Type": "text/plain"}


# What a body is.


@pytest.mark.parametrize(
    ("content_type", "is_binary"),
    [
        ("text/plain", False),
        ("TEXT/Plain", False),
        ("text/plain; charset=utf-8", False),
        ('text/plain;charset="UTF-8"', False),
        ("text/plain; charset=us-ascii", False),
        ("text/plain; format=flowed; Charset = utf8", False),
        ("text/html", False),
        ("text/csv", False),
        ("application/json", False),
        ("application/xml", False),
        ("application/ld+json", False),
        ("application/atom+xml; charset=utf-8", False),
        ("application/x-ndjson", False),
        ("application/octet-stream", True),
        ("application/cbor", True),
        ("application/msgpack", True),
        ("application/protobuf", True),
        ("image/png", True),
        ("audio/mpeg", True),
        ("video/mp4", True),
        ("font/woff2", True),
        ("image/svg+xml", True),
        (None, True),
    ],
)
def test_the_type_says_whether_it_is_text(content_type: str | None, is_binary: bool) -> None:
    """Without one it is binary; what is text has to be UTF-8, and what is not may be anything."""
    headers = {} if content_type is None else {"content-type": content_type}
    assert content_of("Bläser".encode(), headers) == ("Bläser".encode(), is_binary)
    assert content_of(b"", headers) == (b"", is_binary)
    if is_binary:
        assert content_of(b"\xff", headers) == (b"\xff", True)
    else:
        with pytest.raises(RefusedError, match="text must be UTF-8") as caught:
            content_of(b"\xff", headers)
        assert caught.value.status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/zip"},
        {"content-type": "application/pdf"},
        {"content-type": "message/http"},
        {"content-type": "text/plain; charset=iso-8859-1"},
        {"content-type": "application/json;charset='utf-16'"},
        {"content-type": "text"},
        {"content-type": "text/"},
        {"content-type": ""},
        {"content-type": "text/plain, text/plain"},
        {"content-type": "text/plain", "content-encoding": "gzip"},
        {"content-encoding": "gzip, identity"},
    ],
)
def test_what_is_no_message_is_refused(headers: dict[str, str]) -> None:
    """A form of any page, another charset, and what would have to be decoded first."""
    with pytest.raises(RefusedError) as caught:
        content_of(b"x", headers)
    assert caught.value.status == 415


@given(st.text(), st.binary())
def test_any_type_is_one_or_refused(content_type: str, body: bytes) -> None:
    """Whatever stands in the header: the body comes through as it is, or not at all."""
    try:
        content, _ = content_of(body, {"content-type": content_type})
    except RefusedError:
        return
    assert content == body


def test_reading_a_type_takes_a_time_that_grows_with_its_length() -> None:
    """If it were its square, a value as long as this would take hours."""
    for value in (" ", "a", "/", ";", "; charset", ";charset=", "a/b;" + ";" * 9, "\t;"):
        with suppress(RefusedError):
            content_of(b"x", {"content-type": value * (2_000_000 // len(value))})


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("one", "one"),
        ('"one"', "one"),
        ('"one two, three"', "one two, three"),
        ("a" * 255, "a" * 255),
        ('"' + "a" * 255 + '"', "a" * 255),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (None, None),
    ],
)
def test_an_idempotency_key_is_with_or_without_quotes(header: str | None, key: str | None) -> None:
    """Either way it is the same."""
    assert key_of({} if header is None else {"idempotency-key": header}) == key


@pytest.mark.parametrize("header", ["", '""', "a" * 256, "a b", '"a', 'a"b"', "\xe9", "a\tb", "♪"])
def test_what_is_no_idempotency_key_is_refused(header: str) -> None:
    """Rather than that something is played twice."""
    with pytest.raises(RefusedError, match="Idempotency-Key must have 1 to 255") as caught:
        key_of({"idempotency-key": header})
    assert caught.value.status == 400


# Publishing.


def test_what_is_posted_is_heard(factory: OrchestraFactory, clock: Clock) -> None:
    """By all in its channel, as text or as binary data; the answer says where it is."""
    socket, stream = join(factory, "/strings"), EventSource(factory, "/strings")
    client = WebClient(factory)
    first, second = client.post("/strings", "Bläser"), client.post("/strings", b"\xff")
    clock.advance(0)
    assert socket.read() == ["Echo: Bläser", b"\xff"]
    assert [event.data for event in stream.hear()] == ["Bläser", "/w=="]
    place = factory.hub.position("strings")
    assert place is not None
    assert (first.status, second.status) == (200, 200)
    assert first.json == {"offset": 1, "epoch": place.epoch}
    assert second.json == {"offset": 2, "epoch": place.epoch}
    assert first.headers["content-type"] == "application/json"
    assert first.headers["cache-control"] == "no-store"
    assert client.post("/", "to main").json["offset"] == 1


def test_the_log_has_what_is_posted(factory: OrchestraFactory) -> None:
    """Like what is played by those who listen."""
    with captured() as events:
        join(factory)
        WebClient(factory).post("/strings", "hello")
    assert named(events, "note") == [
        {
            "event": "note",
            "note": "hello",
            "size": 5,
            "peer": "tcp4:127.0.0.1:50000",
            "channel": "strings",
            "count": 1,
        }
    ]
    assert "Received a note: hello" in lines(events)


@pytest.mark.parametrize("pieces", [(b"hello",), (b"h", b"ell", b"o"), (b"hel\r\n", b"\r\n0\r\n")])
def test_a_body_may_come_in_chunks(factory: OrchestraFactory, pieces: tuple[bytes, ...]) -> None:
    """Without a length that is told before."""
    client = WebClient(factory)
    client.ask("POST", "/", chunked(*pieces), Transfer_Encoding="chunked")
    (answer,) = client.read()
    assert answer.status == 200
    assert [note.payload for note in factory.hub.history("main")] == [b"".join(pieces)]


def test_who_asks_first_is_told_to_go_on(factory: OrchestraFactory) -> None:
    """Or is refused before it has sent the body."""
    client = WebClient(factory)
    client.send(request("POST", "/", Content_Length="5", Expect="100-continue"))
    assert client.transport.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert client.transport.take().startswith(b"HTTP/1.1 200 OK\r\n")
    client.send(request("POST", "/", Content_Length="2000000", Expect="100-continue"))
    assert client.transport.take().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("target", "body", "headers", "status"),
    [
        ("/", b"\xff", TEXT, 400),
        ("/", b"x", {"Idempotency_Key": ""}, 400),
        ("/%ff", b"x", {}, 400),
        ("/api", b"x", {}, 404),
        ("/", b"x", {"Origin": "https://evil.example"}, 403),
        ("/", b"x", {"Content_Type": "multipart/form-data; boundary=x"}, 415),
        ("/", b"a=b", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ("/", b"x", {"Content_Encoding": "gzip"}, 415),
    ],
)
def test_what_is_refused_is_not_played(
    factory: OrchestraFactory, target: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    """The log has why, and the connection goes on."""
    client = WebClient(factory)
    with captured() as events:
        answer = client.do("POST", target, body, **headers)
    assert answer.status == status
    assert [event["status"] for event in named(events, "refused")] == [status]
    assert named(events, "note") == []
    assert factory.hub.channels() == {}
    assert client.post("/", "hello").status == 200


def test_a_server_that_stops_takes_nothing(factory: OrchestraFactory) -> None:
    """It says when to try again, not to all the same; that may be with another one."""
    factory.accepting = False
    answers = [WebClient(factory).post("/", "hello") for _ in range(100)]
    assert {answer.status for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"1", "2", "3"}
    assert factory.hub.channels() == {}


# How large it may be.


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (request("POST", "/", Content_Length="101"), b"x" * 101),
        (request("POST", "/", Transfer_Encoding="chunked") + b"65\r\n" + b"x" * 101, b"\r\n0\r\n"),
        (
            request("POST", "/", Transfer_Encoding="chunked")
            + chunked(*[b"x"] * 101).removesuffix(b"0\r\n\r\n"),
            b"0\r\n\r\n",
        ),
    ],
    ids=["length", "chunk", "chunks"],
)
def test_what_is_too_large_is_refused_while_it_comes(
    serve: Serve, clock: Clock, start: bytes, rest: bytes, is_first: bool
) -> None:
    """The client has time to read the answer: what it still sends is thrown away meanwhile."""
    factory = serve(max_message_size=100)
    client = WebClient(factory)
    if not is_first:
        assert client.get("/healthz").status == 200
    with captured() as events:
        client.send(start)
    data = client.transport.take()
    head, _, body = data.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    assert status == "HTTP/1.1 413 a message must be 100 bytes or less"
    assert body == b"a message must be 100 bytes or less\n"
    assert {f"Content-Length: {len(body)}", "Connection: close"} <= set(headers)
    assert [event["status"] for event in named(events, "refused")] == [413]
    client.send(rest)
    for _ in range(10):
        client.send(b"x" * 65536)
    assert not client.transport.disconnecting
    assert client.transport.take() == b""
    assert len(client.server._buffer) == 0
    clock.advance(LINGER + 0.1)
    assert client.transport.disconnecting
    client.transport.take()
    assert client.is_gone
    assert factory.hub.channels() == {}


def test_what_is_as_large_as_allowed_is_taken(serve: Serve) -> None:
    """However it comes, and to the byte; an empty message is one as well."""
    factory = serve(max_message_size=100)
    client = WebClient(factory)
    assert client.post("/", "x" * 100).status == 200
    client.ask("POST", "/", chunked(*[b"x"] * 100), Transfer_Encoding="chunked")
    assert client.read()[0].status == 200
    assert client.post("/", "").status == 200
    assert [len(note.payload) for note in factory.hub.history("main")] == [100, 100, 0]


def test_each_channel_has_a_size_of_its_own(serve: Serve) -> None:
    """Smaller, larger, or none at all; nothing that could be a message is refused too early."""
    channels = {
        "small": ChannelSettings(max_message_size=10),
        "large": ChannelSettings(max_message_size=1000),
    }
    factory = serve({"channels": channels}, max_message_size=100)
    client = WebClient(factory)
    for channel, size in (("small", 10), ("large", 1000), ("other", 100)):
        assert client.post(f"/{channel}", "x" * size).status == 200
        answer = WebClient(factory).post(f"/{channel}", "x" * (size + 1))
        assert (answer.status, answer.text) == (413, f"a message must be {size} bytes or less\n")
    assert client.post("/small", "x" * 1000).status == 413
    assert client.get("/healthz").status == 200
    channels["any"] = ChannelSettings(max_message_size=0)
    client = WebClient(serve({"channels": channels}, max_message_size=100))
    assert client.post("/any", "x" * 5_000_000).status == 200
    assert client.post("/other", "x" * 101).status == 413


# Who may.


def test_a_channel_has_its_publishers(serve: Serve) -> None:
    """Addresses that may publish in it; the application itself may always."""
    channels = {
        "none": ChannelSettings(publishers=()),
        "others": ChannelSettings(publishers=("10.0.0.0/8",)),
        "here": ChannelSettings(publishers=("127.0.0.0/8", "192.0.2.1")),
        "all": ChannelSettings(max_message_rate=1),
    }
    factory = serve({"channels": channels}, trusted_proxies=["127.0.0.1"])
    client = WebClient(factory)

    def status(channel: str, address: str | None = None) -> int:
        headers = {} if address is None else {"X_Forwarded_For": address}
        return client.post(f"/{channel}", "hello", **headers).status

    assert [status(channel) for channel in (*channels, "main")] == [403, 403, 200, 200, 200]
    assert [status("others", address) for address in ("10.1.2.3", "11.0.0.1")] == [200, 403]
    assert [status("here", address) for address in ("192.0.2.1", "192.0.2.2")] == [200, 403]
    factory.broadcast(b"from the application", channel="none")
    assert len(factory.hub.history("none")) == 1


def test_who_may_not_publish_learns_nothing_of_keys(serve: Serve) -> None:
    """Neither whether one was used, nor what was published with it."""
    factory = serve({"channels": {"none": ChannelSettings(publishers=())}})
    factory.hub.publish("none", b"secret", idempotency_key="one")
    answer = WebClient(factory).post("/none", "secret", Idempotency_Key="one")
    assert answer.status == 403


# How often.


def test_an_address_has_its_rate(serve: Serve, clock: Clock) -> None:
    """A burst, and then the rate, on however many connections; who is refused may try again."""
    factory = serve(max_message_rate=2, message_burst=3)
    clients = [WebClient(factory) for _ in range(2)]

    def statuses(count: int) -> list[int]:
        return [clients[n % 2].post("/", "hello").status for n in range(count)]

    assert statuses(5) == [200, 200, 200, 429, 429]
    refused = clients[0].post("/", "hello")
    assert (refused.text, refused.headers["retry-after"]) == ("too many messages\n", "1")
    clock.advance(0.5)
    assert statuses(2) == [200, 429]
    clock.advance(50)
    assert statuses(4) == [200, 200, 200, 429]
    assert len(factory.hub.history("main")) == 7


def test_addresses_do_not_take_from_each_other(serve: Serve) -> None:
    """Each has its own rate, and one network of IPv6 has one."""
    factory = serve(max_message_rate=1, trusted_proxies=["127.0.0.1"])
    client = WebClient(factory)

    def status(address: str) -> int:
        return client.post("/", "hello", X_Forwarded_For=address).status

    addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
    assert [status(address) for address in addresses] == [200, 200, 200, 429, 200]
    assert [status(address) for address in addresses] == [429] * 5


def test_who_stands_for_others_has_no_rate(serve: Serve) -> None:
    """A proxy that says nothing of its client, and whoever comes through a UNIX socket."""
    factory = serve(max_message_rate=1, trusted_proxies=["127.0.0.1"])
    client = WebClient(factory)
    assert [client.post("/", "hello").status for _ in range(5)] == [200] * 5
    local = WebClient(serve(max_message_rate=1))
    transport: Any = local.transport
    transport.getPeer = lambda: UNIXAddress(b"")
    assert [local.post("/", "hello").status for _ in range(5)] == [200] * 5


def test_each_channel_has_a_rate_of_its_own(serve: Serve) -> None:
    """Another one, or none; what is published in one channel counts in no other."""
    channels = {
        "quick": ChannelSettings(max_message_rate=4),
        "burst": ChannelSettings(message_burst=3),
        "free": ChannelSettings(max_message_rate=0),
    }
    client = WebClient(serve({"channels": channels}, max_message_rate=2, message_burst=2))
    for channel, count in (("main", 2), ("quick", 2), ("burst", 3), ("free", 9)):
        statuses = [client.post(f"/{channel}", "hello").status for _ in range(9)]
        assert statuses == [200] * count + [429] * (9 - count)


# Once and no more.


def test_a_key_has_it_played_once(factory: OrchestraFactory, clock: Clock) -> None:
    """Whoever does not know whether it has arrived sends it again, and gets the same answer."""
    stream = EventSource(factory, "/strings")
    client = WebClient(factory)
    with captured() as events:
        first = client.post("/strings", "hello", Idempotency_Key='"one"')
        client.post("/strings", "between")
        again = [client.post("/strings", "hello", Idempotency_Key=key) for key in ("one", '"one"')]
        other = client.post("/strings", "hello", Idempotency_Key="two")
    clock.advance(0)
    assert texts(stream.hear()) == ["hello", "between", "hello"]
    assert first.json["offset"] == 1
    assert "idempotent-replayed" not in first.headers | other.headers
    for answer in again:
        assert (answer.status, answer.json) == (200, first.json)
        assert answer.headers["idempotent-replayed"] == "true"
    assert [event["note"] for event in named(events, "note")] == ["hello", "between", "hello"]


def test_a_key_is_a_channels_own(factory: OrchestraFactory) -> None:
    """The same one may be used for another message elsewhere."""
    client = WebClient(factory)
    for channel in ("/strings", "/brass"):
        answer = client.post(channel, channel, Idempotency_Key="one")
        assert answer.json["offset"] == 1
        assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"other", TEXT), (b"hello", {}), (b"", TEXT)],
    ids=["text", "kind", ""],
)
def test_a_key_that_is_used_for_something_else_is_refused(
    factory: OrchestraFactory, body: bytes, headers: dict[str, str]
) -> None:
    """With 422: something is wrong with whoever sends it."""
    client = WebClient(factory)
    client.post("/", "hello", Idempotency_Key="one")
    with captured() as events:
        answer = client.do("POST", "/", body, Idempotency_Key="one", **headers)
    assert (answer.status, answer.text) == (422, "the key was used for another message\n")
    assert named(events, "note") == []
    assert len(factory.hub.history("main")) == 1


def test_sending_it_again_is_not_too_often(serve: Serve) -> None:
    """What is not played again counts for nothing."""
    client = WebClient(serve(max_message_rate=1))
    statuses = [client.post("/", "hello", Idempotency_Key="one").status for _ in range(5)]
    assert statuses == [200] * 5
    assert client.post("/", "hello", Idempotency_Key="two").status == 429
    assert client.post("/", "hello", Idempotency_Key="one").status == 200


def test_a_key_is_forgotten_with_its_message(serve: Serve, clock: Clock) -> None:
    """It is known as long as the message is retained, and then it is new."""
    client = WebClient(serve({"retention": Retention(messages=2)}))
    client.post("/", "hello", Idempotency_Key="one")
    for number in range(2):
        client.post("/", str(number))
        clock.advance(0)
    answer = client.post("/", "other", Idempotency_Key="one")
    assert answer.json["offset"] == 4
    assert "idempotent-replayed" not in answer.headers


def test_a_refused_message_leaves_no_key(serve: Serve, clock: Clock) -> None:
    """Whoever was refused for too many messages may send it again with the same key."""
    client = WebClient(serve(max_message_rate=1))
    client.post("/", "hello")
    assert client.post("/", "again", Idempotency_Key="one").status == 429
    clock.advance(1)
    answer = client.post("/", "again", Idempotency_Key="one")
    assert answer.status == 200
    assert "idempotent-replayed" not in answer.headers


def test_a_flood_is_delivered_within_its_turn(
    factory: OrchestraFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is posted in one turn does not fill the memory, any more than what is played."""
    monkeypatch.setattr("orchestra.hub.MAX_UNDELIVERED", 10_000)
    stream = EventSource(factory)
    message = request("POST", "/", b"x" * 6000)
    client = WebClient(factory)
    client.server.dataReceived(message)
    assert stream.transport.take() == b""
    other = WebClient(factory)
    other.server.dataReceived(message)
    assert stream.transport.take().count(b"event: binary") == 2
