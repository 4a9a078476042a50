"""Starting the real server: where it listens, on what, and what stops it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect, unix_connect

from tests.end_to_end.server import ANY_PORT, PATIENCE, TWISTD, serving, started, tls_endpoint


def run(cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is to end by itself."""
    return subprocess.run(command, cwd=cwd, timeout=PATIENCE, capture_output=True, text=True)


@pytest.mark.parametrize("reactor", ["epoll", "poll", "select", "asyncio"])
def test_every_reactor(tmp_path: Path, reactor: str) -> None:
    """The same server, whichever event loop turns it."""
    with serving(tmp_path, twistd=["--reactor", reactor]) as server:
        with server.connect() as alice, server.connect() as bob:
            alice.send("hello")
            assert alice.recv(timeout=PATIENCE) == bob.recv(timeout=PATIENCE) == "Echo: hello"
        assert server.stop() == 0
    assert "Traceback" not in server.text


def test_python_m_twisted(tmp_path: Path) -> None:
    """The other runner of Twisted knows the command too, and ends as well."""
    command = [sys.executable, "-m", "twisted", "--log-format=text", "orchestra", "--port=0"]
    with started(command, tmp_path) as server:
        server.wait_for("files can be open at once")
        server.wait_until_listening()
        with server.connect() as alice:
            alice.send("hello")
            assert alice.recv(timeout=PATIENCE) == "Echo: hello"
        assert server.stop() == 0


def test_tls(tmp_path: Path) -> None:
    """An endpoint string with key and certificate is all it takes; the client verifies."""
    endpoint, context = tls_endpoint(tmp_path)

    async def play(url: str) -> None:
        options = {"ssl": context, "max_size": None}
        async with connect_async(url, **options) as alice, connect_async(url, **options) as bob:
            assert bob.transport.get_extra_info("ssl_object").version() == "TLSv1.3"
            for note in ("hello", "x" * 1024 * 1024):
                await alice.send(note)
                assert await bob.recv() == "Echo: " + note

    with serving(tmp_path, "--listen", endpoint) as server:
        asyncio.run(asyncio.wait_for(play(f"wss://127.0.0.1:{server.port}/"), PATIENCE))
        assert server.stop() == 0


def test_several_places_are_one_server(tmp_path: Path) -> None:
    """Clients of a UNIX socket and of a port hear each other."""
    path = str(tmp_path / "orchestra.sock")
    with serving(tmp_path, "--listen", f"unix:{path}", "--port", "0") as server:
        with server.connect() as alice, unix_connect(path) as bob:
            bob.send("hello")
            assert alice.recv(timeout=PATIENCE) == bob.recv(timeout=PATIENCE) == "Echo: hello"
        assert server.stop() == 0
    assert not os.path.exists(path)


def test_processes_share_a_port(tmp_path: Path) -> None:
    """Connections come to both; each has channels of its own; one stops, and the other goes on."""
    with ExitStack() as stack:
        # Keeps the port for them, and takes no connections itself.
        keeper = stack.enter_context(socket.socket())
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind(("127.0.0.1", 0))
        where = f"tcp:{keeper.getsockname()[1]}:interface=127.0.0.1"
        one, other = (
            stack.enter_context(
                serving(tmp_path, "--reuse-port", "--listen", where, "--prefix", prefix)
            )
            for prefix in ("one", "other")
        )
        clients = {}
        for _ in range(100):
            client = stack.enter_context(one.connect())
            client.send("")
            clients[client.recv(timeout=PATIENCE)] = client
            if len(clients) == 2:
                break
        assert set(clients) == {"one", "other"}
        assert one.stop() == 0
        assert set(clients["one"]) <= {"one"}
        assert clients["one"].close_code == 1001
        clients["other"].send("on")
        while clients["other"].recv(timeout=PATIENCE) != "otheron":
            pass
        for _ in range(10):
            with one.connect("/anew") as client:
                client.send("")
                assert client.recv(timeout=PATIENCE) == "other"
        assert other.stop() == 0


def test_systemd_hands_over_a_socket(tmp_path: Path) -> None:
    """A socket that systemd listens on is served as it would be under its unit."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # The descriptor is to be number 3, and the process the one that LISTEN_PID names.
        script = (
            f"exec 3<&{listener.fileno()}; export LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$; "
            f"exec {TWISTD} -n --pidfile= orchestra --listen systemd:domain=INET:index=0"
        )
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=tmp_path, pass_fds=[listener.fileno()]
        )
    try:
        url = f"ws://127.0.0.1:{port}/"
        with connect(url, open_timeout=PATIENCE) as alice:
            alice.send("hello")
            assert alice.recv(timeout=PATIENCE) == "Echo: hello"
        process.terminate()
        assert process.wait(timeout=PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def test_open_files_are_raised_at_start(tmp_path: Path) -> None:
    """A low soft limit does not bound the number of clients; the log tells the real one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = f"ulimit -Sn 64; exec {TWISTD} -n --pidfile= orchestra --port 0"
    with started(["bash", "-c", script], tmp_path) as server:
        server.wait_until_listening()
        server.wait_for(f"Up to {hard} files can be open at once \\(the limit was 64\\).")
        with ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(100)]
            clients[0].send("hello")
            assert {client.recv(timeout=PATIENCE) for client in clients} == {"Echo: hello"}
        assert server.stop() == 0


def test_what_cannot_fit_is_told_at_start(tmp_path: Path) -> None:
    """Once, with what to lower; as a warning, it is in a log that has nothing less."""
    huge = ("--history-messages=10000000", "--history-bytes=1099511627776")
    quiet = ("--log-level=warn", "--log-format=json")
    command = [TWISTD, "-n", "--pidfile=", "orchestra", *ANY_PORT, *huge, *quiet]
    with started(command, tmp_path) as server:
        server.wait_for("The settings need")
        server.process.kill()
        server.ended()
    (line,) = map(json.loads, server.log)
    assert (line["level"], line["event"]) == ("warn", "memory")
    assert line["needed"] > 2**40 > line["limit"]
    assert re.search(r"lower history-bytes and history-messages \(\d+ MiB\)$", line["message"])


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--tempo=120"], ["--tempo"]),
        (["--port=loud"], ["--port loud", "from 0 to 65535"]),
        (["--grace=-1"], ["--grace -1", "from 0 to 3600"]),
        (["--drain=nan"], ["--drain nan", "from 0 to 3600"]),
        (["--listen=nonsense"], ["--listen nonsense", "tcp:8080"]),
        (["--listen=tcp:65536"], ["--listen tcp:65536", "a port from 0 to 65535"]),
        (["--listen=unix:/nowhere/at/all"], ["--listen unix:/nowhere/at/all", "free"]),
    ],
)
@pytest.mark.parametrize(
    "runner", [[TWISTD, "-n"], [sys.executable, "-m", "twisted"]], ids=["twistd", "twist"]
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, runner: list[str], options: list[str], parts: list[str]
) -> None:
    """It names the option, the value and what is allowed; no traceback, and exit status 1."""
    ended = run(tmp_path, *runner, "orchestra", *options)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    for part in parts:
        assert part in line
    assert "Traceback" not in ended.stdout
    assert not (tmp_path / "twistd.pid").exists()


@pytest.mark.parametrize("option", ["--port", "--listen"])
def test_a_port_that_is_taken(tmp_path: Path, option: str) -> None:
    """The line names the option and the port; there is no traceback and nothing left behind."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = str(listener.getsockname()[1])
        ended = run(tmp_path, TWISTD, "-n", "orchestra", option, port)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"orchestra: {option} {port}: ")
    assert "Address already in use" in line
    assert line.endswith("must be a place that is free to listen on")
    assert "Traceback" not in ended.stdout
    assert list(tmp_path.iterdir()) == []


class TestDaemon:
    """Without -n, twistd goes to the background."""

    def test_it_runs_and_stops(self, tmp_path: Path) -> None:
        """Its PID file and its log file are twistd's, and SIGTERM ends it in good order."""
        path = tmp_path / "a.sock"
        ended = run(tmp_path, TWISTD, "orchestra", "--listen", f"unix:{path}")
        assert ended.returncode == 0, ended.stderr
        pid = int((tmp_path / "twistd.pid").read_text())
        with unix_connect(str(path), open_timeout=PATIENCE) as alice:
            alice.send("hello")
            assert alice.recv(timeout=PATIENCE) == "Echo: hello"
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended_in_time, _, _ = select.select([process], [], [], PATIENCE)
        os.close(process)
        assert ended_in_time
        assert not (tmp_path / "twistd.pid").exists()
        log = (tmp_path / "twistd.log").read_text()
        assert "Received a note: hello" in log
        assert "Server Shut Down." in log

    def test_a_port_that_is_taken(self, tmp_path: Path) -> None:
        """The parent ends with status 1, and the log says why."""
        with socket.create_server(("0.0.0.0", 0)) as listener:
            port = str(listener.getsockname()[1])
            ended = run(tmp_path, TWISTD, "orchestra", "--port", port)
        assert ended.returncode == 1
        assert f"--port {port}" in ended.stderr
        log = (tmp_path / "twistd.log").read_text()
        assert f"#critical] orchestra: --port {port}: " in log
        assert "Address already in use" in log
        assert "Traceback" not in log
        assert not (tmp_path / "twistd.pid").exists()
