"""The server API in memory: who may ask, what a request is, and what the methods do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.web.resource import Resource
from twisted.web.server import Site

from orchestra.history import Retention
from orchestra.policy.api_keys import ApiKeys
from orchestra.policy.grants import Grant, ServerSubscription
from orchestra.position import Position
from orchestra.refusal import RefusedError
from orchestra.settings import ChannelSettings
from orchestra.web.api_methods import MAX_CHANNELS, METHODS
from orchestra.web.server_api import LEAST_BODY, SLICE, ServerApiResource
from orchestra.websocket.factory import OrchestraFactory
from tests.events import lines, named
from tests.memory import MemoryClient, join
from tests.policy.asked import AskedPolicy
from tests.web.client import Answer, EventSource, WebClient, chunked, request, texts
from tests.web.conftest import Serve

pytestmark = pytest.mark.usefixtures("log")

KEY = "key-of-an-application"


@pytest.fixture
def factory(serve: Serve) -> OrchestraFactory:
    """A server with an API key, whose policy lets everybody in."""
    return serve(api_keys=ApiKeys([KEY]), policy=AskedPolicy())


def come(factory: OrchestraFactory, identity: str | None, url: str = "/") -> MemoryClient:
    """A WebSocket of somebody."""
    policy: Any = factory.access.policy
    policy.grant = Grant(identity)
    return join(factory, url)


def ask(factory: Any, method: str, body: Any, /, **headers: str) -> Answer:
    """Ask the server something by a connection of its own."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WebClient(factory).do("POST", f"/api/{method}", data, **{"X_API_Key": KEY, **headers})


def result(factory: Any, method: str, **request: Any) -> Any:
    """What a method answers that does what it is asked for."""
    answer = ask(factory, method, request)
    assert (answer.status, list(answer.json)) == (200, ["result"]), answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.json["result"]


def error(factory: Any, method: str, **request: Any) -> tuple[int, str]:
    """What a method answers that does not."""
    answer = ask(factory, method, request)
    assert (answer.status, list(answer.json)) == (200, ["error"]), answer
    assert answer.json["error"].keys() == {"code", "message"}
    return answer.json["error"]["code"], answer.json["error"]["message"]


# Who may ask.


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "an API key is needed"),
        ({"X_API_Key": ""}, "not known"),
        ({"X_API_Key": KEY[:-1]}, "not known"),
        ({"X_API_Key": KEY[:-1], "Authorization": f"apikey {KEY}"}, "not known"),
        ({"Authorization": f"Bearer {KEY}"}, "an API key is needed"),
        ({"Authorization": "apikey"}, "not known"),
        ({"Authorization": KEY}, "an API key is needed"),
    ],
)
@pytest.mark.parametrize("path", ["", "/", "/publish", "/nothing", "/publish?api_key=" + KEY])
def test_nobody_without_a_key_may_ask(
    factory: OrchestraFactory, path: str, headers: dict[str, str], reason: str
) -> None:
    """Nor learn what there is."""
    for method in ("POST", "GET", "OPTIONS"):
        answer = WebClient(factory).do(method, f"/api{path}", **headers)
        assert (answer.status, reason in answer.text) == (401, True)
        assert answer.headers["www-authenticate"] == "apikey"
    assert factory.hub.channels() == {}


@pytest.mark.parametrize("headers", [{"X_API_Key": KEY}, {"Authorization": f"ApiKey {KEY}"}])
def test_whoever_has_a_key_may(factory: OrchestraFactory, headers: dict[str, str]) -> None:
    """By either header."""
    answer = WebClient(factory).do("POST", "/api/info", b"{}", **headers)
    assert answer.status == 200


def test_without_keys_there_is_no_api(serve: Serve, log: list[LogEvent]) -> None:
    """And the reason says what it takes; whoever brings a key does not change that."""
    for options in ({}, {"policy": AskedPolicy()}):
        factory = serve(**options)
        answer = ask(factory, "publish", {"channel": "main", "data": 1})
        assert (answer.status, "--api-key-file" in answer.text) == (404, True)
        assert ask(factory, "publish", b"x" * 2_000_000).status == 404
        assert factory.hub.channels() == {}
    assert KEY not in "\n".join(lines(log))


def test_pages_of_other_origins_may_not(factory: OrchestraFactory) -> None:
    """Even with a key; and those that come in as clients are not told that they may send one."""
    answer = ask(factory, "info", {}, Origin="https://evil.example")
    assert answer.status == 403
    asked = WebClient(factory).do("OPTIONS", "/api/info", Origin="http://localhost:8080")
    assert asked.status == 401
    assert not [name for name in asked.headers if name.startswith("access-control")]


# What a request is.


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS", "BREW"])
def test_the_method_is_post(factory: OrchestraFactory, method: str) -> None:
    """And it is said that it is."""
    answer = WebClient(factory).do(method, "/api/info", X_API_Key=KEY)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["nothing", "publish/", "rpc", "batch/x", "//publish"])
def test_paths_that_are_none(factory: OrchestraFactory, path: str) -> None:
    """Are refused before it is looked at what they bring."""
    assert ask(factory, path, b"no JSON").status == 404


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("publish", b"", "the body must be JSON"),
        ("publish", b"channel=main&data=1", "the body must be JSON"),
        ("publish", b'{"channel": "main", "data": 1} x', "the body must be JSON"),
        ("publish", b'{"channel": "main", "data": "\xff"}', "the body must be UTF-8"),
        ("publish", b'{"channel": "main", "data": ' + b"[" * 100_000, "nested so deeply"),
        ("publish", b"[]", "Expected `object`, got `array`"),
        ("publish", b'{"data": 1}', "missing required field `channel`"),
        ("publish", b'{"channel": 1}', "Expected `str`, got `int` - at `$.channel`"),
        ("publish", b'{"channel": "a", "tags": {"secret": 1}}', "got `int` - at `$.tags[...]`"),
        ("history", b'{"channel": "a", "limit": "1"}', "at `$.limit`"),
        ("history", b'{"channel": "a", "limit": ' + b"1" * 5000 + b"}", "at `$.limit`"),
        ("disconnect", b"{}", "missing required field `user`"),
        ("batch", b'{"commands": {}}', "Expected `array`"),
        ("batch", b'{"commands": [{"publish": {}}]}', "field `channel` - at `$.commands[0]"),
        ("", b'{"method": "secret"}', "method must be one of publish, "),
        ("", b'{"params": {}}', "missing required field `method`"),
        ("", b'{"method": "publish"}', "missing required field `channel`"),
    ],
)
def test_what_is_no_request(
    factory: OrchestraFactory, path: str, body: bytes, reason: str
) -> None:
    """Is refused with 400 and what is wrong with it, and does nothing."""
    answer = ask(factory, path, body)
    assert (answer.status, reason in answer.text) == (400, True), answer.text
    assert "secret" not in answer.text
    assert answer.text[:-1].isprintable()
    assert factory.hub.channels() == {}


def test_the_type_of_a_body_does_not_matter(factory: OrchestraFactory) -> None:
    """Nor does the order of its fields, nor those that are not known."""
    body = b'{"more": [], "data": 1,\n "channel": "main", "skip_history": true, "delta": true}'
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        assert ask(factory, "publish", body, Content_Type=kind).status == 200


@pytest.mark.parametrize("is_known", [True, False])
def test_large_bodies(serve: Serve, is_known: bool) -> None:
    """Come only from whoever has a key, whether it is said before how long they are or not."""
    factory = serve(api_keys=ApiKeys([KEY]), max_message_size=200_000)
    key = KEY if is_known else KEY[:-1]
    body = b'{"channel": "main", "b64data": "%b"}' % (b"AAAA" * 60_000)
    as_chunks = chunked(*[body[n : n + 50_000] for n in range(0, len(body), 50_000)])
    for sent, headers in ((body, {}), (as_chunks, {"Transfer_Encoding": "chunked"})):
        answer = ask(factory, "publish", sent, X_API_Key=key, **headers)
        assert answer.status == (200 if is_known else 401)
    answer = ask(factory, "publish", b"x" * 1_600_001, X_API_Key=key)
    assert answer.status == (413 if is_known else 401)
    if is_known:
        assert answer.text == "a request must be 1600000 bytes or less\n"
        # That of channels is what it was.
        answer = WebClient(factory).post("/apis", b"x" * 200_001, X_API_Key=key)
        assert (answer.status, answer.text) == (413, "a message must be 200000 bytes or less\n")


def test_whose_large_body_it_was(serve: Serve, log: list[LogEvent]) -> None:
    """Is logged as a proxy tells it, though the request has not come yet."""
    factory = serve(api_keys=ApiKeys([KEY]), trusted_proxies=["127.0.0.1"], max_message_size=10)
    for key, size in ((KEY[:-1], 11), (KEY, LEAST_BODY + 1)):
        ask(factory, "publish", b"x" * size, X_API_Key=key, X_Forwarded_For="192.0.2.1")
    refused = [(event["status"], event["peer"]) for event in named(log, "refused")]
    assert refused == [(401, "192.0.2.1"), (413, "192.0.2.1")]


def test_small_messages_leave_room_for_large_batches(serve: Serve) -> None:
    """As many as fit into a megabyte; and where messages have no limit, bodies have none."""
    factory = serve(api_keys=ApiKeys([KEY]), max_message_size=10)
    commands = [{"publish": {"channel": "main", "data": n}} for n in range(20_000)]
    assert len(json.dumps(commands)) < LEAST_BODY
    answer = ask(factory, "batch", {"commands": commands[:1000]})
    assert answer.status == 200
    assert ask(factory, "batch", b"x" * (LEAST_BODY + 1)).status == 413
    boundless = serve(api_keys=ApiKeys([KEY]), max_message_size=0)
    assert ask(boundless, "publish", b"x" * 20_000_000).status == 400


def test_what_fails_inside_is_reported(
    factory: OrchestraFactory, log: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And answered with 500, without a word of it."""

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setitem(METHODS, "info", METHODS["info"]._replace(do=fail))
    for path, body in (("info", {}), ("batch", {"commands": [{"info": {}}]})):
        answer = ask(factory, path, body)
        assert (answer.status, answer.text) == (500, "internal server error\n")
        (failed,) = named(log, "failed")
        assert failed["what"] == "a request could not be served"
        log.clear()


def test_a_server_that_stops_takes_nothing(factory: OrchestraFactory) -> None:
    """It is another server's turn, which the answer says as elsewhere."""
    factory.accepting = False
    answer = ask(factory, "publish", {"channel": "main", "data": 1})
    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    factory.accepting = True


def test_one_path_for_all(factory: OrchestraFactory) -> None:
    """Takes a command with its method, and has its id in the answer."""
    for path in ("", "/"):
        command = {"method": "publish", "params": {"channel": "main", "data": 1}, "id": 7}
        answer = WebClient(factory).do(
            "POST", f"/api{path}", json.dumps(command).encode(), X_API_Key=KEY
        )
        assert answer.json["id"] == 7
        assert answer.json["result"]["offset"] > 0
    answer = ask(factory, "", {"method": "info"})
    assert list(answer.json) == ["result"]
    answer = ask(factory, "", {"id": 8, "method": "presence", "params": {"channel": ""}})
    assert (answer.json["id"], answer.json["error"]["code"]) == (8, 107)


def test_it_can_be_mounted_elsewhere(factory: OrchestraFactory, clock: Clock) -> None:
    """In somebody else's site, at any path."""
    root, below = Resource(), Resource()
    root.putChild(b"their", below)
    below.putChild(b"own", ServerApiResource(factory))
    site = Site(root, reactor=clock)
    body = b'{"channel": "main", "data": 1}'
    for path, more in (("publish", {}), ("batch", {"commands": []})):
        data = json.dumps(more).encode() if more else body
        answer = WebClient(site).do("POST", f"/their/own/{path}", data, X_API_Key=KEY)
        assert answer.status == 200
    assert WebClient(site).do("POST", "/their/own/publish", body).status == 401
    assert WebClient(site).do("POST", "/their/own/api/publish", body, X_API_Key=KEY).status == 404
    clock.pump([100])  # until the connections are no more


# Publishing.


@pytest.mark.parametrize(
    ("data", "heard"),
    [
        (b'{"a": [1,  2.50]}', '{"a": [1,  2.50]}'),
        (b'"Bl\\u00e4ser"', "Bläser"),
        (b'"42"', '"42"'),
        (b"42", "42"),
        (b"null", "null"),
        (b'""', ""),
    ],
)
def test_what_is_published(
    factory: OrchestraFactory, clock: Clock, data: bytes, heard: str
) -> None:
    """Is the exact text that it was, or what a string says; and counts by where it is from."""
    stream = EventSource(factory, "/strings")
    answer = ask(factory, "publish", b'{"channel": "strings", "data": %b}' % data)
    clock.advance(0)
    assert texts(stream.hear()) == [heard]
    (message,) = factory.hub.history("strings")
    assert answer.json == {"result": {"offset": 1, "epoch": message.epoch}}
    assert (message.payload, message.is_binary, message.publisher) == (
        heard.encode(),
        False,
        None,
    )
    assert factory.hub.ledger.total().published["api"].messages == 1


def test_binary_data(factory: OrchestraFactory) -> None:
    """Is what its base64 says, whether there is other data or not."""
    result(factory, "publish", channel="main", b64data="/wA=")
    result(factory, "publish", channel="main", b64data="/wA=", data=1)
    result(factory, "publish", channel="main", b64data="", data=1)
    assert [m[1:3] for m in factory.hub.history("main")] == [
        (b"\xff\0", True),
        (b"\xff\0", True),
        (b"1", False),
    ]


def test_the_log_has_what_is_published(factory: OrchestraFactory, log: list[LogEvent]) -> None:
    """As what others play, with whose request it was."""
    result(factory, "publish", channel="main", data="hello")
    (note,) = named(log, "note")
    assert (note["note"], note["peer"]) == ("hello", "tcp4:127.0.0.1:50000")


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        ({"channel": "", "data": 1}, 107, "1 to 255 bytes"),
        ({"channel": "a\0", "data": 1}, 107, "control characters"),
        ({"channel": "a"}, 107, "data or b64data is needed"),
        ({"channel": "a", "b64data": "secret!"}, 107, "b64data must be base64"),
        ({"channel": "a", "b64data": "YWJj!"}, 107, "b64data must be base64"),
        ({"channel": "a", "data": 1, "idempotency_key": "k" * 256}, 107, "255 characters"),
        ({"channel": "a", "data": 1, "tags": {"secret": "b"}}, 108, "tags is not"),
        ({"channel": "a", "data": 1, "version": 1}, 108, "version is not"),
        ({"channel": "small", "data": "x" * 11}, 106, "10 bytes or less"),
    ],
)
def test_what_cannot_be_published(
    serve: Serve, request_: dict[str, Any], code: int, reason: str
) -> None:
    """Has an error with a reason that repeats nothing; by a broadcast as well."""
    small = {"small": ChannelSettings(max_message_size=10)}
    factory = serve({"channels": small}, api_keys=ApiKeys([KEY]))
    found, words = error(factory, "publish", **request_)
    assert (found, reason in words) == (code, True), words
    assert "secret" not in words
    channel = request_.pop("channel")
    answer = ask(factory, "broadcast", {**request_, "channels": [channel]}).json
    errors = [
        response["error"] for response in answer.get("result", {}).get("responses", [answer])
    ]
    assert errors == [{"code": code, "message": words}]
    assert factory.hub.channels() == {}


def test_a_key_plays_it_once(factory: OrchestraFactory) -> None:
    """In each channel; something else with the same key is an error."""
    first = result(factory, "publish", channel="a", data=1, idempotency_key="k")
    assert result(factory, "publish", channel="a", data=1, idempotency_key="k") == first
    assert error(factory, "publish", channel="a", data=2, idempotency_key="k") == (
        107,
        "the key was used for another message",
    )
    both = result(factory, "broadcast", channels=["a", "b"], data=1, idempotency_key="k")
    assert [response["result"]["offset"] for response in both["responses"]] == [1, 1]
    assert len(factory.hub.history("a")) == 1
    result(factory, "publish", channel="a", data=1, idempotency_key="")
    result(factory, "publish", channel="a", data=1, idempotency_key="")
    assert len(factory.hub.history("a")) == 3


def test_the_application_may_publish_everywhere(serve: Serve) -> None:
    """Where its clients may not, and as fast as it likes."""
    closed = {"closed": ChannelSettings(publishers=(), max_message_rate=1)}
    factory = serve({"channels": closed}, api_keys=ApiKeys([KEY]))
    for _ in range(10):
        result(factory, "publish", channel="closed", data=1)
    assert WebClient(factory).post("/closed", "x", X_API_Key=KEY).status == 403


def test_slow_readers_hold_it_up(factory: OrchestraFactory, clock: Clock) -> None:
    """For that moment, it is an error after which it may be tried again."""
    factory.backpressure.bound = 1
    stream = EventSource(factory)
    factory.hub.publish("main", b"x" * 1_000_000)
    clock.advance(0)
    assert factory.backpressure.is_high
    assert error(factory, "publish", channel="main", data=1) == (
        100,
        "slow readers have to catch up first",
    )
    stream.vanish()


def test_broadcasts_have_a_limit(factory: OrchestraFactory) -> None:
    """And none at all is no broadcast."""
    assert error(factory, "broadcast", channels=[], data=1)[0] == 107
    many = [str(n) for n in range(MAX_CHANNELS)]
    assert len(result(factory, "broadcast", channels=many, data=1)["responses"]) == MAX_CHANNELS
    assert error(factory, "broadcast", channels=[*many, "x"], data=1)[0] == 106


# What there is.


def test_what_there_is(factory: OrchestraFactory, clock: Clock) -> None:
    """Clients, users, channels and subscribers; those of the application are no clients."""
    come(factory, "ann", "/strings")
    come(factory, "ann", "/strings")
    come(factory, None, "/brass")
    factory.hub.publish("empty", b"x")
    own = factory.hub.subscribe("empty", lambda message: None)
    clock.advance(61.9)
    (node,) = result(factory, "info")["nodes"]
    factory.hub.unsubscribe(own)
    uid = node.pop("uid")
    assert len(uid) == 32
    assert node.pop("name")
    assert node == {
        "version": "0.1.0",
        "num_clients": 3,
        "num_users": 1,
        "num_channels": 3,
        "num_subs": 4,
        "uptime": 61,
    }
    assert result(factory, "info")["nodes"][0]["uid"] == uid
    strings, brass = {"strings": {"num_clients": 2}}, {"brass": {"num_clients": 1}}
    assert result(factory, "channels") == {"channels": strings | brass}
    assert result(factory, "channels", pattern="") == {"channels": strings | brass}
    assert result(factory, "channels", pattern="*s{s,}") == {"channels": strings | brass}
    assert result(factory, "channels", pattern="b*") == {"channels": brass}
    assert result(factory, "channels", pattern="none") == {"channels": {}}
    assert error(factory, "channels", pattern="[")[0] == 107
    assert result(factory, "presence_stats", channel="strings") == {
        "num_clients": 2,
        "num_users": 1,
    }
    presence = result(factory, "presence", channel="brass")["presence"]
    assert [info["client"] for info in presence.values()] == list(presence)
    assert result(factory, "presence", channel="none") == {"presence": {}}
    for method in ("presence", "presence_stats", "history"):
        assert error(factory, method, channel="")[0] == 107


def test_the_past(factory: OrchestraFactory) -> None:
    """Is told with all that there is of it, and never less than its place."""
    empty = {"publications": [], "offset": 0, "epoch": ""}
    assert result(factory, "history", channel="main", limit=10) == empty
    place = result(factory, "publish", channel="main", data={"a": 1})
    assert result(factory, "history", channel="main") == {"publications": [], **place}
    played = {"data": {"a": 1}, "offset": 1}
    assert result(factory, "history", channel="main", limit=1) == {
        "publications": [played],
        **place,
    }
    gone = {"offset": 1, "epoch": "another"}
    assert error(factory, "history", channel="main", since=gone)[0] == 112
    assert error(factory, "history_remove", channel="main")[0] == 108
    assert len(factory.hub.history("main")) == 1


# Clients.


class Session:
    """Stands for a client of many channels."""

    def __init__(self) -> None:
        self.client_id = "a-session"
        self.identity = "ann"
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *given: self.asked.append((name, *given))


def test_a_session_is_told(factory: OrchestraFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of it, in its terms."""
    session = Session()
    monkeypatch.setattr(factory, "clients_of", lambda user: [session] if user == "ann" else [])
    since = {"offset": 3, "epoch": "e"}
    override = {"force_recovery": {"value": False}, "force_push_join_leave": {"value": True}}
    more = {"data": {"a": 1}, "recover_since": since, "override": override}
    result(factory, "subscribe", user="ann", channel="strings")
    result(factory, "subscribe", user="ann", channel="strings", client="a-session", **more)
    result(factory, "subscribe", user="ann", channel="strings", client="another")
    result(factory, "subscribe", user="bob", channel="strings")
    result(factory, "unsubscribe", user="ann", channel="strings", client="")
    result(factory, "refresh", user="ann", expire_at=123)
    result(factory, "refresh", user="ann")
    result(factory, "refresh", user="ann", expired=True, expire_at=123)
    result(factory, "disconnect", user="ann", whitelist=["a-session"])
    result(factory, "disconnect", user="ann", disconnect={"code": 3000})
    assert session.asked == [
        ("subscribe", ServerSubscription("strings"), None),
        (
            "subscribe",
            ServerSubscription("strings", {"a": 1}, recoverable=False, join_leave=True),
            Position("e", 3),
        ),
        ("unsubscribe", "strings", 2000, "server unsubscribe"),
        ("refresh", 123.0),
        ("refresh", None),
        ("refresh", 0.0),
        ("close", (3000, "", None)),
    ]


def test_one_that_has_no_place_keeps_no_other_out(
    factory: OrchestraFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a user's clients are subscribed that can be, and it is said that one was not."""
    full, session = Session(), Session()
    full.subscribe = lambda *_: refuse()  # type: ignore[attr-defined]
    monkeypatch.setattr(factory, "clients_of", lambda user: [full, session, full])

    def refuse() -> None:
        raise RefusedError(503, "the channel is full")

    found = error(factory, "subscribe", user="ann", channel="strings")
    assert found == (100, "the channel is full")
    assert session.asked == [("subscribe", ServerSubscription("strings"), None)]


@pytest.mark.parametrize("data", [b"[" * 900 + b"]" * 900, b"1e400"])
def test_data_that_no_client_can_be_told(factory: OrchestraFactory, data: bytes) -> None:
    """Is an error, as is a channel that cannot be."""
    body = b'{"user": "ann", "channel": "main", "data": %b}' % data
    assert ask(factory, "subscribe", body).json["error"]["code"] == 107
    assert error(factory, "subscribe", user="ann", channel="")[0] == 107


@pytest.mark.parametrize(
    ("name", "code"), [("", 107), ("a\n", 107), ("x" * 256, 107), ("api/x", 102), ("healthz", 102)]
)
def test_names_that_no_client_can_have(factory: OrchestraFactory, name: str, code: int) -> None:
    """Are errors whatever is asked of them, as they are for clients: nobody could listen there."""
    come(factory, "ann")
    data = {"data": 1}
    for method, more in [
        ("publish", data),
        ("subscribe", {"user": "ann"}),
        ("unsubscribe", {"user": "ann"}),
        ("presence", {}),
        ("presence_stats", {}),
        ("history", {}),
    ]:
        assert error(factory, method, channel=name, **more)[0] == code, method
    good, bad = result(factory, "broadcast", channels=["strings", name], **data)["responses"]
    assert (list(good), bad["error"]["code"]) == (["result"], code)
    assert set(factory.hub.channels()) == {"main", "strings"}


@pytest.mark.parametrize(
    ("method", "field", "value"),
    [
        ("subscribe", "session", "secret"),
        ("subscribe", "info", {"a": 1}),
        ("subscribe", "b64info", "AAAA"),
        ("subscribe", "b64data", "AAAA"),
        ("subscribe", "expire_at", 123),
        ("unsubscribe", "session", "secret"),
        ("disconnect", "session", "secret"),
        ("refresh", "session", "secret"),
        ("refresh", "info", {"a": 1}),
    ],
)
def test_what_is_not_available(
    factory: OrchestraFactory, method: str, field: str, value: Any
) -> None:
    """Is said, rather than that something else is done; empty it asks for nothing."""
    client = come(factory, "ann")
    request = {"user": "ann", "channel": "main", field: value}
    assert error(factory, method, **request) == (108, f"{field} is not available")
    client.deliver()
    assert client.close_frame is None
    if method in ("subscribe", "refresh"):
        result(factory, method, **{**request, field: None if field == "info" else type(value)()})


def test_a_client_of_one_channel(factory: OrchestraFactory, clock: Clock) -> None:
    """Cannot be in another one, and is closed when it is to leave its own: after all that was
    published before."""
    stream = EventSource(factory, "/strings")
    socket = come(factory, "ann", "/strings")
    (streaming,) = factory.clients_of("")
    result(factory, "subscribe", user="ann", channel="brass")
    result(factory, "unsubscribe", user="ann", channel="brass")
    result(factory, "publish", channel="strings", data="before")
    assert socket.read() == ["Echo: before"]
    assert socket.close_frame is None
    result(factory, "publish", channel="strings", data="last")
    result(factory, "unsubscribe", user="ann", channel="strings")
    result(factory, "unsubscribe", user="", channel="strings", client=streaming.client_id)
    assert socket.read() == ["Echo: last"]
    assert socket.close_frame == (1008, "server unsubscribe")
    assert texts(stream.hear()) == ["before", "last"]
    assert stream.reader.comments[-1] == "server unsubscribe"
    assert stream.transport.disconnecting


def test_seeing_off(factory: OrchestraFactory) -> None:
    """All of a user's, one, or all but some, are closed with what they are to be told."""
    anns = [come(factory, "ann") for _ in range(4)]
    bob = come(factory, "bob")
    ids = [client.server.client_id for client in anns]
    bye = {"code": 4999, "reason": "ä" * 61 + "."}

    def closed() -> list[tuple[int, str] | None]:
        found = []
        for client in (*anns, bob):
            client.read()
            found.append(client.close_frame)
        return found

    result(factory, "disconnect", user="bob", client=ids[0])
    result(factory, "disconnect", user="eve")
    assert closed() == [None] * 5
    result(factory, "disconnect", user="ann", client=ids[0], disconnect=bye)
    assert closed() == [(4999, bye["reason"]), *[None] * 4]
    result(factory, "disconnect", user="ann", whitelist=ids[2:])
    usual = (3503, "force disconnect")
    assert closed()[1:] == [usual, None, None, None]
    result(factory, "disconnect", user="ann", whitelist=[])
    assert closed()[2:] == [usual, usual, None]


@pytest.mark.parametrize(
    ("disconnect", "reason"),
    [
        ({"code": 2999}, "disconnect.code must be from 3000 to 4999"),
        ({"code": 5000}, "disconnect.code must be from 3000 to 4999"),
        ({"code": 0, "reason": "x"}, "disconnect.code must be from 3000 to 4999"),
        ({"code": 3000, "reason": "ä" * 62}, "one line of 123 bytes"),
        ({"code": 3000, "reason": "a\nb"}, "one line of 123 bytes"),
    ],
)
def test_what_clients_cannot_be_told(
    factory: OrchestraFactory, disconnect: dict[str, Any], reason: str
) -> None:
    """A close frame has no room for it, or its code means something else."""
    client = come(factory, "ann")
    code, words = error(factory, "disconnect", user="ann", disconnect=disconnect)
    assert (code, reason in words) == (107, True)
    client.read()
    assert client.close_frame is None


def test_letting_in_for_another_time(serve: Serve, clock: Clock) -> None:
    """Longer, shorter, for always, or not at all any more."""
    policy = AskedPolicy()
    factory = serve({"wall_clock": clock.seconds}, api_keys=ApiKeys([KEY]), policy=policy)
    policy.grant = Grant("ann", expires=clock.seconds() + 10)
    client = join(factory)

    def is_there_after(seconds: float) -> bool:
        clock.advance(seconds)
        client.read()
        return client.close_frame is None

    result(factory, "refresh", user="ann", expire_at=int(clock.seconds()) + 30)
    assert is_there_after(29)
    result(factory, "refresh", user="ann")
    assert is_there_after(10_000)
    result(factory, "refresh", user="ann", expire_at=int(clock.seconds()) + 5)
    assert is_there_after(4)
    assert not is_there_after(1)
    assert client.close_frame == (1008, "the token has expired")
    client = come(factory, "ann")
    result(factory, "refresh", user="ann", expire_at=int(clock.seconds()) - 5)
    assert not is_there_after(0)


# Batches.


def batch(factory: Any, *commands: Any) -> Sequence[Any]:
    """The replies of a batch."""
    answer = ask(factory, "batch", {"commands": commands, "parallel": True})
    assert (answer.status, list(answer.json)) == (200, ["replies"])
    replies: Sequence[Any] = answer.json["replies"]
    return replies


def test_a_batch(factory: OrchestraFactory) -> None:
    """Is done in its order, and what fails in it keeps nothing else from being done."""
    replies = batch(
        factory,
        {"publish": {"channel": "main", "data": 1}},
        {"publish": {"channel": "", "data": 1}},
        {"rpc": {"method": "x"}},
        None,
        {},
        {"info": {}, "channels": {}},
        {"history": {"channel": "main", "limit": 1}},
        {"unsubscribe": {"user": "ann", "channel": "main"}},
    )
    assert replies[0]["publish"]["offset"] == 1
    assert [reply["error"]["code"] for reply in replies[1:6]] == [107, 104, 107, 104, 107]
    assert [list(reply) for reply in replies[6:]] == [["history"], ["unsubscribe"]]
    assert replies[6]["history"]["publications"][0]["data"] == 1
    assert batch(factory) == []


def begun(factory: OrchestraFactory, commands: Sequence[Any]) -> WebClient:
    """A client that has asked for a batch, in the turn in which that has come."""
    client = WebClient(factory)
    body = json.dumps({"commands": commands}).encode()
    client._methods.append("POST")
    client.server.dataReceived(request("POST", "/api/batch", body, X_API_Key=KEY))
    return client


def test_a_long_batch_takes_turns(serve: Serve, clock: Clock) -> None:
    """With all others; who leaves meanwhile leaves the rest undone, and the rest of one that comes
    just before the server stops has errors."""
    memory = {"retention": Retention(messages=10_000)}
    factory = serve(memory, api_keys=ApiKeys([KEY]))
    commands = [{"publish": {"channel": "main", "data": n}} for n in range(2 * SLICE)]

    def published() -> int:
        return len(factory.hub.history("main"))

    client = begun(factory, commands)
    assert client.read() == []
    assert 0 < published() <= SLICE
    clock.advance(0)
    (answer,) = client.read()
    offsets = [reply["publish"]["offset"] for reply in answer.json["replies"]]
    assert offsets == list(range(1, 2 * SLICE + 1))
    gone = begun(factory, commands)
    before = published()
    gone.vanish()
    clock.advance(0)
    assert published() == before < 4 * SLICE
    last = begun(factory, commands)
    factory.accepting = False
    clock.advance(0)
    factory.accepting = True
    (answer,) = last.read()
    first, *_, end = answer.json["replies"]
    assert list(first) == ["publish"]
    assert end == {"error": {"code": 100, "message": "the server is shutting down"}}


@pytest.mark.parametrize(
    "command",
    [
        {"broadcast": {"channels": ["a"] * SLICE, "data": 1}},
        {"history": {"channel": "past", "limit": -1}},
    ],
)
def test_what_takes_time_counts_as_much(
    serve: Serve, clock: Clock, command: dict[str, Any]
) -> None:
    """A broadcast as its channels, and a history as its messages."""
    factory = serve({"retention": Retention(messages=SLICE)}, api_keys=ApiKeys([KEY]))
    for _ in range(SLICE):
        factory.hub.publish("past", b"x")
    client = begun(factory, [command, command])
    assert client.read() == []
    clock.advance(0)
    (answer,) = client.read()
    assert len(answer.json["replies"]) == 2
