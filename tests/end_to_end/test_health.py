"""How the server is, as a load balancer asks: with curl, and over a connection that it keeps."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Curl
from tests.end_to_end.server import ANY_PORT, PATIENCE, TWISTD, Server, serving, started

PATHS = [("/healthz", b"ok\n"), ("/readyz", b"ready\n")]


@pytest.mark.parametrize(("path", "text"), PATHS)
def test_a_watchdog_is_answered(server: Server, curl: Curl, path: str, text: bytes) -> None:
    """Whatever it sends along, and nobody may keep the answer."""
    strange = ["--header", "Origin: https://evil.example", "--header", "Authorization: Bearer x"]
    for more in ([], strange, ["--http1.0"], ["--http1.0", "--header", "Host:"]):
        answer = curl(server.http(path), *more)
        assert (answer.status, answer.body) == (200, text)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        head = curl(server.http(path), "--head", *more)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(text))


@pytest.mark.parametrize(("path", "text"), PATHS)
def test_a_full_server_is_well(tmp_path: Path, curl: Curl, path: str, text: bytes) -> None:
    """It has as many clients as it may, and says so to the next; that is no failure."""
    with serving(tmp_path, "--max-connections", "2") as server, server.connect(), server.connect():
        refused = curl(server.http("/"), "--header", "Accept: text/event-stream")
        assert refused.status == 503
        answer = curl(server.http(path))
        assert (answer.status, answer.body) == (200, text)


def test_a_server_that_is_short_of_files_is_well(tmp_path: Path, curl: Curl) -> None:
    """Some are left for those who ask."""
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("bash is not installed")
    script = 'ulimit -n 96 && exec "$0" -n --pidfile= orchestra "$@"'
    with started([shell, "-c", script, TWISTD, *ANY_PORT], tmp_path) as server:
        server.wait_until_listening()
        # Of 96, a fourth is left for others than clients, and for who comes then.
        clients = [server.silent() for _ in range(71)]
        assert curl(server.http("/"), "--header", "Accept: text/event-stream").status == 503
        for path, text in PATHS:
            assert curl(server.http(path)).body == text
        for client in clients:
            client.close()


def test_asking_leaves_no_trace(tmp_path: Path) -> None:
    """A thousand times on one connection: not a line of the log is about it."""
    with serving(tmp_path) as server:
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as http:
            http.connect()
            its_socket = http.sock
            for number in range(1000):
                http.request("GET", PATHS[number % 2][0])
                answer = http.getresponse()
                assert (answer.status, answer.read()) == (200, PATHS[number % 2][1])
            assert http.sock is its_socket
        assert server.stop() == 0
    assert re.search(
        r"may come in and play: .*\n.*Received SIGTERM", server.text
    )  # with nothing between
