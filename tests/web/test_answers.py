"""How requests are answered that neither listen nor publish, and what goes with every answer."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from orchestra.web.answers import METHODS
from orchestra.websocket.factory import OrchestraFactory
from tests.events import captured, named
from tests.memory import join
from tests.outlets import Outlet, Payloads
from tests.web.client import EventSource, WebClient
from tests.web.conftest import Serve

HERE = "http://localhost:8080"
ELSEWHERE = "https://example.com"
STREAM = {"Accept": "text/event-stream"}


@pytest.mark.parametrize(
    ("method", "target", "status", "reason", "header"),
    [
        ("GET", "/", 426, "connect with a WebSocket, or accept", ("upgrade", "websocket")),
        ("GET", "/strings?last=1", 426, "connect with a WebSocket", ("upgrade", "websocket")),
        ("HEAD", "/", 426, "", ("upgrade", "websocket")),
        ("PUT", "/", 405, "the method must be one of", ("allow", METHODS)),
        ("DELETE", "/strings", 405, "the method must be one of", ("allow", METHODS)),
        ("get", "/strings", 405, "the method must be one of", ("allow", METHODS)),
        ("GET", "/api/x", 404, "the server's own", None),
        ("POST", "/healthz", 404, "the server's own", None),
        ("GET", "/podium?presence", 404, "the server's own", None),
        ("GET", "/a%00b?presence", 400, "must not contain control characters", None),
        ("GET", "/?presence=all", 400, "presence must have no value", None),
        ("POST", "/" + "x" * 256, 400, "1 to 255 bytes", None),
        ("DELETE", "/?last=x", 400, "last must be", None),
    ],
)
def test_what_cannot_be_served_is_refused(
    factory: OrchestraFactory,
    method: str,
    target: str,
    status: int,
    reason: str,
    header: tuple[str, str] | None,
) -> None:
    """With a status, one line that says why, and what goes with it; the log has it as well."""
    client = WebClient(factory)
    with captured() as events:
        answer = client.do(method, target)
    assert answer.status == status
    assert reason in answer.text
    assert answer.text[:-1].isprintable()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert int(answer.headers["content-length"]) > 0
    if header is not None:
        assert answer.headers[header[0]] == header[1]
    (refused,) = named(events, "refused")
    assert (refused["status"], refused["peer"]) == (status, "tcp4:127.0.0.1:50000")
    if answer.text:
        assert refused["reason"] == answer.text[:-1]
    assert client.get("/healthz").status == 200
    assert factory.hub.channels() == {}


@pytest.mark.parametrize("target", ["/strings?presence", "/strings?presence=count"])
def test_presence_of_nobody(factory: OrchestraFactory, target: str) -> None:
    """A channel that is not there has no members, and asking does not make it."""
    answer = WebClient(factory).get(target)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["clients"] == answer.json["identities"] == 0
    assert answer.json.get("members", []) == []
    assert factory.hub.channels() == {}


def test_presence_tells_who_is_there(serve: Serve) -> None:
    """Each client of the channel, whatever it speaks, those first that came first."""
    now = iter([100.0, 101.2345])
    factory = serve({"wall_clock": lambda: next(now)})
    socket, stream = join(factory, "/strings"), EventSource(factory, "/strings")
    client = WebClient(factory)
    assert client.get("/strings?presence").json == {
        "clients": 2,
        "identities": 0,
        "members": [
            {"client": socket.server.client_id, "since": 100.0},
            {"client": stream.server.client_id, "since": 101.234},
        ],
    }
    assert client.get("/strings?presence=count").json == {"clients": 2, "identities": 0}
    assert client.get("/brass?presence=count").json == {"clients": 0, "identities": 0}
    socket.vanish()
    members = client.get("/strings?presence").json["members"]
    assert [member["client"] for member in members] == [stream.server.client_id]


def test_presence_tells_whose_clients_they_are(factory: OrchestraFactory) -> None:
    """Where that is known, and how many different ones there are."""
    hub = factory.hub
    members = [
        hub.member(client, name) for client, name in (("1", "Ann"), ("2", "Ann"), ("3", "Bob"))
    ]
    seats = [hub.attach("main", Outlet(), Payloads(), member=member) for member in members]
    answer = WebClient(factory).get("/?presence").json
    assert (answer["clients"], answer["identities"]) == (3, 2)
    assert [member["identity"] for member in answer["members"]] == ["Ann", "Ann", "Bob"]
    for seat in seats:
        hub.unsubscribe(seat)


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/?presence", {}),
        ("/?presence=count", {}),
        ("/healthz", {}),
        ("/readyz", {}),
        ("/", {"Accept": "text/html"}),
        ("/", {}),
        ("/?last=x", {}),
        ("/api", {}),
        ("/", {"Origin": ELSEWHERE}),
        ("/", {"Origin": HERE}),
        ("/?last=x", STREAM),
    ],
)
def test_head_is_get_without_a_body(
    factory: OrchestraFactory, target: str, headers: dict[str, str]
) -> None:
    """Status and headers are the same, the length included."""
    client = WebClient(factory)
    with captured() as events:
        head, get = client.do("HEAD", target, **headers), client.get(target, **headers)
    assert head.body == b"" != get.body
    assert head.status == get.status
    assert head.headers | {"date": ""} == get.headers | {"date": ""}
    assert not [event for event in events if event.get("event") != "refused"], "nothing is odd"


def test_head_of_a_stream_listens_to_nothing(factory: OrchestraFactory) -> None:
    """It has the headers of a stream, and no length, as a stream has none (RFC 9110 sec. 8.6)."""
    client = WebClient(factory)
    head = client.do("HEAD", "/strings", Origin=HERE, **STREAM)
    assert head.status == 200
    assert factory.clients == set()
    stream = EventSource(factory, "/strings", Origin=HERE).answer
    for answer in (head, stream):
        del answer.headers["date"]
    assert head.headers | {"connection": "close"} == stream.headers
    assert client.get("/healthz").status == 200


# Pages of other origins.


def test_without_an_origin_nobody_has_to_be_let_read(factory: OrchestraFactory) -> None:
    """But whoever keeps answers for others learns that they differ by origin."""
    headers = WebClient(factory).get("/?presence").headers
    assert headers["vary"] == "Origin"
    assert not [name for name in headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("origins", "origin", "is_allowed"),
    [
        (["same"], HERE, True),
        (["same"], ELSEWHERE, False),
        (["same"], "null", False),
        ([ELSEWHERE], ELSEWHERE, True),
        ([ELSEWHERE], HERE, False),
        (["*"], ELSEWHERE, True),
        (["null"], "null", True),
    ],
)
@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/?presence", {}),
        ("GET", "/?last=x", {}),
        ("HEAD", "/?presence", {}),
        ("POST", "/", {}),
        ("PUT", "/", {}),
        ("OPTIONS", "/", {}),
        ("GET", "/", STREAM),
    ],
)
def test_pages_of_allowed_origins_may_read_and_no_others(
    serve: Serve,
    clock: Clock,
    origins: list[str],
    origin: str,
    is_allowed: bool,
    method: str,
    target: str,
    headers: dict[str, str],
) -> None:
    """Whatever the answer is, even a refusal; the others are refused before anything is done."""
    factory = serve(origins=origins)
    client = WebClient(factory)
    answer = client.do(method, target, Origin=origin, **headers)
    if is_allowed:
        assert answer.status != 403
        assert answer.headers["vary"] == "Origin"
        assert answer.headers["access-control-allow-origin"] == origin
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"Idempotent-Replayed", "Retry-After"} <= set(exposed)
        assert "access-control-allow-credentials" not in answer.headers
    else:
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert factory.hub.channels() == {}
        assert factory.clients == set()


def test_a_page_may_ask_what_it_may_send(factory: OrchestraFactory) -> None:
    """A browser's preflight learns the methods and headers, without a body or a length."""
    answer = WebClient(factory).do(
        "OPTIONS",
        "/strings",
        Origin=HERE,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="idempotency-key",
    )
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == METHODS
    assert answer.headers["access-control-allow-methods"] == METHODS
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"content-type", "idempotency-key", "last-event-id"} <= set(allowed)
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "content-length" not in answer.headers  # RFC 9110 section 8.6
    assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize("origin", ["\x1b[2J", "\xe9", "a\tb"])
@pytest.mark.parametrize("headers", [{}, STREAM])
def test_only_what_can_be_an_origin_is_repeated(
    serve: Serve, origin: str, headers: dict[str, str]
) -> None:
    """Where all origins are allowed, any client can send what is none."""
    client = WebClient(serve(origins=["*"]))
    client.get("/healthz")
    client.ask("GET", "/?presence", Origin=origin, **headers)
    (answer,) = client.read()
    assert "access-control-allow-origin" not in answer.headers


# Through proxies.


def test_the_log_has_the_clients_address(serve: Serve) -> None:
    """Not that of the proxy, for refusals and for what is published."""
    factory = serve(trusted_proxies=["127.0.0.1"])
    client = WebClient(factory)
    with captured() as events:
        client.get("/api", X_Forwarded_For="192.0.2.1")
        client.post("/", "hello", X_Forwarded_For="192.0.2.2")
        client.ask("GET", "/", X_Forwarded_For="192.0.2.3", **STREAM)
    peers = [event["peer"] for event in events if "peer" in event]
    assert peers == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_a_proxy_that_says_two_things_is_refused(serve: Serve) -> None:
    """With 400, and the connection goes on, since others may come on it."""
    client = WebClient(serve(trusted_proxies=["127.0.0.1"]))
    answer = client.get("/", X_Forwarded_For="192.0.2.1", Forwarded="for=192.0.2.2")
    assert answer.status == 400
    assert client.get("/?presence", X_Forwarded_For="192.0.2.1").status == 200
