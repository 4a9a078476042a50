"""The metrics of the real process, asked for with curl and checked with Prometheus' own tool."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.end_to_end.conftest import Curl
from tests.end_to_end.server import PATIENCE, TWISTD, Server, serving
from tests.metrics import read

Scrape = Callable[[], dict[str, float]]


def metrics_url(server: Server) -> str:
    """Where the metrics of a server are; it logs that before it listens for clients."""
    (line,) = [line for line in server.log if "Metrics are on tcp 127.0.0.1:" in line]
    return f"http://127.0.0.1:{line.rpartition(':')[2]}/metrics"


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Server]:
    """A server that tells how it is, with numbers of their own for some channels."""
    options = ("--metrics=0", "--metrics-channels=a/*", "--history-messages=100")
    with serving(tmp_path, *options) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.fixture
def scrape(measured: Server, curl: Curl) -> Scrape:
    """What it tells."""

    def scrape() -> dict[str, float]:
        answer = curl(metrics_url(measured))
        assert answer.status == 200
        return read(answer.body.decode())

    return scrape


def eventually(scrape: Scrape, **expected: float) -> dict[str, float]:
    """Ask until some numbers are what they are to be, which they are as soon as all is done."""
    for _ in range(1000):
        found = scrape()
        if all(found[name] == value for name, value in expected.items()):
            return found
    raise AssertionError({name: found[name] for name in expected})


def test_the_numbers_add_up(measured: Server, scrape: Scrape, curl: Curl) -> None:
    """Every message goes to every subscriber, by whichever way it came."""
    clients, messages, note = 5, 20, "C#4"
    with ExitStack() as stack:
        players = [stack.enter_context(measured.connect("/a/1")) for _ in range(clients)]
        stream = stack.enter_context(curl.stream(measured.http("/a/1")))
        for _ in range(messages):
            players[0].send(note)
        curl.post(measured.http("/a/1"), note)
        for player in players:
            for _ in range(messages + 1):
                assert player.recv(timeout=PATIENCE) == "Echo: " + note
        events = [stream.hear() for _ in range(messages + 1)]
        found = scrape()
    assert found['orchestra_published_messages_total{source="websocket"}'] == messages
    assert found['orchestra_published_bytes_total{source="websocket"}'] == messages * len(note)
    assert found['orchestra_published_messages_total{source="post"}'] == 1
    assert found['orchestra_published_messages_total{source="application"}'] == 0
    assert found["orchestra_deliveries_total"] == (clients + 1) * (messages + 1)
    frames = clients * (messages + 1) * (2 + len("Echo: " + note))
    blocks = sum(len(f"id: {event.id}\ndata: {note}\n\n") for event in events)
    assert found["orchestra_delivered_bytes_total"] == frames + blocks
    assert found["orchestra_retained_messages"] == messages + 1
    assert found["orchestra_retained_bytes"] == (messages + 1) * len(note)
    assert found["orchestra_channels"] == 1
    assert found["orchestra_subscribers"] == clients + 1
    assert found['orchestra_connections{dialect="raw",transport="websocket"}'] == clients
    assert found['orchestra_connections{dialect="event_stream",transport="event_stream"}'] == 1
    assert 1 <= found["orchestra_delivery_delay_seconds_count"] <= messages + 1
    assert 0 < found["orchestra_delivery_delay_seconds_sum"] < PATIENCE
    mine = '{channel="a/1"}'
    assert found["orchestra_channel_published_messages_total" + mine] == messages + 1
    assert found["orchestra_channel_deliveries_total" + mine] == (clients + 1) * (messages + 1)
    assert found["orchestra_channel_subscribers" + mine] == clients + 1
    assert found["orchestra_channel_retained_messages" + mine] == messages + 1
    assert found["process_open_fds"] > clients
    normal = {'orchestra_connections_closed_total{code="1000"}': clients}
    left = {'orchestra_connections_closed_total{code="none"}': 1, "orchestra_subscribers": 0}
    found = eventually(scrape_with_zeros(scrape), **normal, **left)
    assert found['orchestra_connections_opened_total{dialect="raw",transport="websocket"}'] == 5


def scrape_with_zeros(scrape: Scrape) -> Scrape:
    """The same, with the close codes that nobody has had yet."""

    def all_codes() -> dict[str, float]:
        codes = [f'orchestra_connections_closed_total{{code="{c}"}}' for c in ("1000", "none")]
        return dict.fromkeys(codes, 0.0) | scrape()

    return all_codes


def test_prometheus_own_tool_has_nothing_to_say(measured: Server, curl: Curl) -> None:
    """Names, units and types are as its conventions have them, whatever has been counted."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    with measured.connect("/a/1") as player:
        player.send("C#4")
        player.recv(timeout=PATIENCE)
    curl(measured.http("/api"))
    text = curl(metrics_url(measured)).body
    ran = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, timeout=PATIENCE
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_refusals_by_reason(measured: Server, scrape: Scrape, curl: Curl) -> None:
    """WebSockets, requests, and what is no HTTP at all."""
    with pytest.raises(InvalidStatus), measured.connect(origin="https://example.com"):
        pass
    curl(measured.http("/api"), "--header", "Accept: text/event-stream")
    curl(measured.http("/"), "--request", "PUT")
    with socket.create_connection(("127.0.0.1", measured.port), PATIENCE) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
    name = "orchestra_refused_requests_total"
    found = {key: value for key, value in scrape().items() if key.startswith(name)}
    assert found == {
        name + '{reason="origin",status="403"}': 1,
        name + '{reason="not_found",status="404"}': 1,
        name + '{reason="method",status="405"}': 1,
        name + '{reason="malformed",status="400"}': 1,
    }


def test_an_evicted_slow_reader(measured: Server, scrape: Scrape) -> None:
    """It lags, what it holds is told, and then it is one that was evicted."""
    note = "x" * 64 * 1024
    slow = measured.silent()
    with measured.connect("/?echo=0") as player:
        for number in range(1000):
            player.send(note)
            player.ping().wait(PATIENCE)
            if number == 50:
                found = scrape()
                assert found["orchestra_lagging_subscribers"] == 1
                assert found["orchestra_full_connections"] == 1
                assert found["orchestra_buffered_bytes"] > 0
                assert found["orchestra_evicted_readers_total"] == 0
            if number % 50 == 0 and scrape()["orchestra_evicted_readers_total"]:
                break
        found = scrape()
        assert found["orchestra_evicted_readers_total"] == 1
        assert found["orchestra_missed_messages_total"] >= 1
        assert found["orchestra_lagging_subscribers"] == 0
        slow.close()
        eventually(scrape, orchestra_full_connections=0, orchestra_buffered_bytes=0)


def test_a_client_is_told_nothing(measured: Server, curl: Curl) -> None:
    """The metrics are not where the clients are, nor the other way round."""
    assert curl(measured.http("/metrics")).status == 426, "there it is a channel like any other"
    url = metrics_url(measured)
    assert curl(url.removesuffix("/metrics") + "/").status == 404
    assert curl(url, "--request", "DELETE").status == 501
    assert curl.post(url, "C#4").status == 405


def test_many_scrapes_at_once(measured: Server, curl: Curl) -> None:
    """All are answered, while messages are played."""
    url = metrics_url(measured)
    with ThreadPoolExecutor(16) as pool, measured.connect() as player:
        asked = [pool.submit(curl, url) for _ in range(64)]
        for _ in range(100):
            player.send("C#4")
            assert player.recv(timeout=PATIENCE) == "Echo: C#4"
        for answer in asked:
            read(answer.result(PATIENCE).body.decode())


def test_a_scrape_while_the_server_stops(tmp_path: Path, curl: Curl) -> None:
    """As long as there are clients to see off, it tells how many; then it is over."""
    with serving(tmp_path, "--metrics=0", "--close-timeout=0") as server:
        stalled = server.silent()  # and does not answer a close
        server.process.send_signal(signal.SIGTERM)
        server.wait_for(rf"Port {server.port} Closed")
        answer = curl(metrics_url(server))
        assert 'transport="websocket"} 1.0\n' in answer.body.decode()
        stalled.close()
        assert server.ended() == 0
    assert "Traceback" not in server.text


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--metrics=nonsense:1"], ["--metrics nonsense:1: Unknown endpoint type"]),
        (["--metrics=65536"], ["--metrics 65536: ", "a port from 0 to 65535"]),
        (["--metrics=unix:/nowhere/at/all"], ["--metrics unix:/nowhere/at/all: ", "free"]),
        (["--metrics=0", "--metrics-channels=/a"], ["--metrics-channels /a: must be a name"]),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, options: list[str], parts: list[str]) -> None:
    """It names the option, the value and what is allowed; no traceback, and exit status 1."""
    check_one_line(tmp_path, options, parts)


def check_one_line(cwd: Path, options: list[str], parts: list[str]) -> None:
    for runner in ([TWISTD, "-n"], [sys.executable, "-m", "twisted"]):
        ran = subprocess.run(
            [*runner, "orchestra", "--port=0", *options],
            cwd=cwd,
            timeout=PATIENCE,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 1
        (line,) = ran.stderr.splitlines()
        assert line.startswith("orchestra: ")
        for part in parts:
            assert part in line
        assert "Traceback" not in ran.stdout


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The line names the option, on the command line and in a file."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        words = [f"--metrics {port}: ", "Address already in use", "free to listen on"]
        check_one_line(tmp_path, ["--metrics", port], words)
        (tmp_path / "orchestra.toml").write_text(f"metrics = {port}\n")
        words[0] = f"orchestra.toml:1: metrics = '{port}': "
        check_one_line(tmp_path, ["--config=orchestra.toml"], words)
