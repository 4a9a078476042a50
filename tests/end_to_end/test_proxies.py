"""The real server behind proxies that others wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.end_to_end.conftest import Curl
from tests.end_to_end.proxies import (
    HAPROXY_TCP,
    KEEPING,
    NGINX_TCP,
    PROXIES,
    UPGRADING,
    Proxy,
    proxying,
)
from tests.end_to_end.server import ANY_PORT, PATIENCE, Server, pouring, serving
from tests.end_to_end.test_examples import free_port

MIB = 1024 * 1024
ELSEWHERE = "127.0.0.2"
"""An address of this machine that none of the proxies has."""


@contextmanager
def behind(kind: str, folder: Path, *options: str) -> Iterator[tuple[Server, Proxy]]:
    """A server, which listens on a port and on a UNIX socket, and a proxy in front of it."""
    path = str(folder / "s")
    trust = ("--trusted-proxy=127.0.0.1", "--trusted-proxy=unix")
    listen = (*ANY_PORT, "--listen", f"unix:{path}")
    with (
        serving(folder, *listen, *trust, *options) as server,
        proxying(kind, folder, server.port, path) as proxy,
    ):
        yield server, proxy
    assert "Traceback" not in server.text


@pytest.fixture(scope="module", params=PROXIES)
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Proxy]]:
    """A server behind each of the proxies, with a long memory."""
    memory = ("--history-messages=1000000", "--history-bytes=100000000")
    with behind(request.param, tmp_path_factory.mktemp("stage"), *memory) as stage:
        yield stage
        assert stage[0].stop() == 0


@pytest.fixture
def proxy(stage: tuple[Server, Proxy]) -> Proxy:
    """What the clients see of it."""
    return stage[1]


def served(server: Server, event: str) -> str:
    """Whose the next event of that name is, by the log."""
    return server.wait_for(rf'"event": "{event}".* "peer": "([^"]*)"')[1]


def test_each_event_comes_before_the_next_is_there(proxy: Proxy, curl: Curl) -> None:
    """Nothing on the way waits until there is more to send."""
    with curl.stream(proxy.http("/prompt")) as stream:
        for number in range(5):
            assert curl.post(proxy.http("/prompt"), str(number)).status == 200
            assert stream.hear().data == str(number)


def test_everything_goes_through(proxy: Proxy, curl: Curl) -> None:
    """Large messages and lines, presence, and a refusal are what they are without a proxy."""
    url = proxy.http("/through")
    with curl.stream(url + "?presence") as watching:
        with curl.stream(url) as stream:
            assert "join" in json.loads(watching.hear().data)
            for message in ("x" * MIB, "one\ntwo\n", ""):
                assert curl.post(url, message, "--header", "Expect:").status == 200
                assert stream.hear().data == watching.hear().data == message
            assert curl.post(url, b"\x00\xff").status == 200
            assert stream.hear()[:2] == watching.hear()[:2] == ("binary", "AP8=")
            assert json.loads(curl(url + "?presence=count").body)["clients"] == 2
        assert "leave" in json.loads(watching.hear().data)
        assert json.loads(curl(url + "?presence=count").body)["clients"] == 1
    assert curl(proxy.http("/healthz")).body == b"ok\n"
    assert curl.post(proxy.http("/api"), "x").status == 404


@pytest.mark.parametrize("stage", UPGRADING, indirect=True, scope="module")
def test_websockets_go_through(proxy: Proxy, curl: Curl) -> None:
    """They and streams hear each other, and a close comes through in both directions."""
    url = proxy.http("/upgraded")
    with curl.stream(url) as stream, proxy.connect("/upgraded") as client:
        for message in ("hello", "x" * MIB):
            client.send(message)
            assert client.recv(timeout=PATIENCE) == "Echo: " + message
            assert stream.hear().data == message
        assert curl.post(url, "posted").status == 200
        assert client.recv(timeout=PATIENCE) == "Echo: posted"
        client.send(b"x" * (MIB + 1))
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=PATIENCE)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


def test_pages_of_the_same_host_are_let_in(proxy: Proxy, curl: Curl) -> None:
    """The page's origin is that of the proxy, which passes on which host was asked for."""
    url = proxy.http("/pages")
    own, foreign = (("--header", f"Origin: {origin}") for origin in (proxy.http(""), "http://a.b"))
    with curl.stream(url, *own) as stream:
        assert curl.post(url, "foreign", *foreign).status == 403
        assert curl.post(url, "own", *own).status == 200
        assert stream.hear().data == "own"


@pytest.mark.parametrize("stage", UPGRADING, indirect=True, scope="module")
def test_sockets_of_pages_of_the_same_host_are_let_in(proxy: Proxy) -> None:
    """For WebSockets it is the same."""
    with proxy.connect("/pages", origin=proxy.http("")) as client:
        client.send("own")
        assert client.recv(timeout=PATIENCE) == "Echo: own"
    with pytest.raises(InvalidStatus) as caught:
        proxy.connect("/pages", origin="http://elsewhere.example")
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize("stage", [HAPROXY_TCP], indirect=True, scope="module")
def test_a_body_without_end_is_refused_through_a_proxy(proxy: Proxy, curl: Curl) -> None:
    """One that passes it on as it comes passes on the answer that comes before its end."""
    options = ("--request", "POST", "--header", "Content-Type: text/plain", "--upload-file", "-")
    with open("/dev/zero", "rb") as endless:
        answer = curl(proxy.http("/endless"), *options, "--header", "Expect:", stdin=endless)
    assert answer.statuses == [413]


def test_a_proxy_dies_and_another_takes_its_place(stage: tuple[Server, Proxy], curl: Curl) -> None:
    """In the middle of a stream: who comes back with its last id hears all of it, and once."""
    server, proxy = stage
    url = proxy.http("/restarted")
    heard: list[str] = []
    with ExitStack() as stack:
        stream = stack.enter_context(curl.stream(url))
        stop = stack.enter_context(pouring(server, "/restarted"))
        for _ in range(2):
            heard += [stream.hear().data for _ in range(100)]
            proxy.kill()
            heard += [event.data for event in stream]
            proxy.start()
            stream = stack.enter_context(curl.stream(url, last_id=stream.last_id))
        count = stop()
        heard += [stream.hear().data for _ in range(count - len(heard))]
        assert curl.post(url, "the end").status == 200
        assert stream.hear().data == "the end"
    assert heard == [str(number) for number in range(count)]


@pytest.mark.parametrize("kind", KEEPING)
def test_a_kept_connection_serves_whoever_comes(tmp_path: Path, curl: Curl, kind: str) -> None:
    """POST, presence, a refusal and at last a WebSocket come on one connection from the proxy."""
    with behind(kind, tmp_path, "--log-format=json") as (server, proxy):
        url = proxy.http("/kept")
        # The proxy says that it forwards for its own address, so that the log has its connection.
        assert curl.post(url, "first").status == 200
        first = served(server, "note")
        assert re.fullmatch(r"tcp4:127\.0\.0\.1:\d+", first)
        assert curl(url + "?presence").status == 200
        assert curl.post(url, "second", kind="application/pdf").status == 415
        assert served(server, "refused") == first
        with proxy.connect("/kept") as client:
            assert served(server, "joined") == first
            assert curl.post(url, "third").status == 200
            assert served(server, "note") != first
            assert client.recv(timeout=PATIENCE) == "Echo: third"
        assert served(server, "left") == first
        assert server.stop() == 0


@pytest.mark.parametrize("kind", PROXIES)
def test_the_log_names_the_client(tmp_path: Path, curl: Curl, kind: str) -> None:
    """It has the address that the proxy was connected to from, whatever the client makes up."""
    with behind(kind, tmp_path, "--log-format=json") as (server, proxy):
        url = proxy.http("/named")
        options = ("--interface", ELSEWHERE, "--header", "X-Forwarded-For: 192.0.2.1")
        with curl.stream(url, *options):
            assert served(server, "joined") == ELSEWHERE
            assert curl.post(url, "hello", *options).status == 200
            assert served(server, "note") == ELSEWHERE
        assert served(server, "left") == ELSEWHERE
        if kind in UPGRADING:
            with proxy.connect("/named", source_address=(ELSEWHERE, 0)):
                assert served(server, "joined") == ELSEWHERE
        assert server.stop() == 0


@pytest.mark.parametrize("kind", [NGINX_TCP, HAPROXY_TCP])
def test_queries_are_not_logged(tmp_path: Path, curl: Curl, kind: str) -> None:
    """A token in a URL is in no log of the proxy, whatever becomes of the request."""
    with behind(kind, tmp_path) as (server, proxy):
        url = proxy.http("/logged?token=secret")
        with curl.stream(url):
            assert curl.post(url, "hello").status == 200
        with proxy.connect("/logged?token=secret"):
            pass
        assert curl.post(url, "x", kind="application/pdf").status == 415
        assert server.stop() == 0
        assert curl(url).status in (502, 503)
        for _ in range(5):
            proxy.output.wait_for("/logged")
    assert "secret" not in proxy.output.text


@pytest.mark.parametrize("kind", KEEPING)
def test_each_channel_is_in_one_process(tmp_path: Path, curl: Curl, kind: str) -> None:
    """All its clients hear each other, whatever else is in their URLs; and both have channels."""
    trust = "--trusted-proxy=127.0.0.1"
    with (
        serving(tmp_path, "--prefix=one", trust) as one,
        serving(tmp_path, "--prefix=another", trust) as another,
        proxying(kind, tmp_path, one.port, another=another.port) as proxy,
    ):
        prefixes = set()
        for number in range(20):
            path = f"/channel-{number}"
            with proxy.connect(path) as alice, proxy.connect(path + "?last=1") as bob:
                assert curl.post(proxy.http(path), "").status == 200
                heard = alice.recv(timeout=PATIENCE)
                assert bob.recv(timeout=PATIENCE) == heard
                prefixes.add(heard)
        assert prefixes == {"one", "another"}


def test_haproxy_sends_clients_where_they_are_served(tmp_path: Path, curl: Curl) -> None:
    """It asks a server whether it is ready, and has 503 for clients as long as none is."""
    port = free_port()
    with proxying(HAPROXY_TCP, tmp_path, port) as proxy:
        proxy.output.wait_for("is DOWN")
        assert curl(proxy.http("/?presence")).status == 503
        with serving(tmp_path, "--listen", f"tcp:{port}:interface=127.0.0.1") as server:
            proxy.output.wait_for("is UP, reason: Layer7 check passed, code: 200")
            assert curl(proxy.http("/?presence")).status == 200
            assert server.stop() == 0


def test_the_log_names_whoever_is_refused(tmp_path: Path, curl: Curl) -> None:
    """By the address that the proxy tells, before the body has come as well as after."""
    options = ("--log-format=json", "--max-message-size=1000")
    with behind(HAPROXY_TCP, tmp_path, *options) as (server, proxy):
        url = proxy.http("/refused")
        for kind, size, status in (("application/pdf", 1, 415), ("text/plain", 1001, 413)):
            answer = curl.post(url, "x" * size, "--interface", ELSEWHERE, kind=kind)
            assert answer.status == status
            assert served(server, "refused") == ELSEWHERE
        assert server.stop() == 0


@pytest.mark.parametrize("kind", KEEPING)
def test_stopping_behind_a_proxy(tmp_path: Path, curl: Curl, kind: str) -> None:
    """A stream ends in good order after what was published, and then the server does."""
    with behind(kind, tmp_path, "--grace=3600") as (server, proxy):
        url = proxy.http("/stop")
        with curl.stream(url) as stream:
            assert curl.post(url, "the last note").status == 200
            assert server.stop() == 0
            assert [event.data for event in stream] == ["the last note"]
            assert stream.ended() == 0
