"""The real server as systemd would run it, and its units, as systemd understands them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect, unix_connect

from tests.end_to_end.server import ANY_PORT, PATIENCE, TWISTD, Place, started
from tests.end_to_end.test_examples import free_port
from tests.notify import Systemd

DEPLOY = Path(__file__).parents[2] / "deploy"
EXPOSURE = 3
"""How exposed the server may be at the most by systemd's measure, from 0 to 100."""

WATCHDOG = 3.0
"""After how many seconds without a word from it systemd would end the server."""


def tool(name: str) -> str:
    binary = shutil.which(name)
    if binary is None:
        pytest.skip(f"{name} is not installed")
    return binary


def command() -> list[str]:
    """What the unit starts, with the twistd of this environment.

    It may not write code in memory, as MemoryDenyWriteExecute= has it, where the kernel can forbid
    that without systemd (PR_SET_MDWE, since Linux 6.3).
    """
    (start,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "orchestra.service").read_text(), re.M)
    _, *arguments = shlex.split(start)
    forbid = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); "
    return [
        sys.executable,
        "-c",
        forbid + "os.execv(sys.argv[1], sys.argv[1:])",
        TWISTD,
        *arguments,
    ]


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units, with the twistd of this environment."""
    for name in ("orchestra.service", "orchestra.socket"):
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/orchestra/bin/twistd", TWISTD))
    return [str(tmp_path / "orchestra.service"), str(tmp_path / "orchestra.socket")]


def test_it_is_ready_when_it_can_be_connected_to(tmp_path: Path, systemd: Systemd) -> None:
    """systemd is told so no earlier, then that the server lives, and at the end that it stops."""
    path = str(tmp_path / "a.sock")
    environ = {**systemd.environ, "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}
    run = [TWISTD, "-n", "--pidfile=", "orchestra", "--listen", f"unix:{path}"]
    with started(run, tmp_path, **environ) as server:
        assert systemd.hear(PATIENCE) == "READY=1\nSTATUS=clients: 0"
        with unix_connect(path) as client:
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "Echo: hello"
            systemd.told()
            for _ in range(2):
                assert systemd.hear(WATCHDOG) == "WATCHDOG=1\nSTATUS=clients: 1"
        server.process.send_signal(signal.SIGSTOP)
        os.waitpid(server.process.pid, os.WUNTRACED)
        systemd.told()
        with pytest.raises(TimeoutError):
            systemd.hear(WATCHDOG)
        server.process.send_signal(signal.SIGCONT)
        assert systemd.hear(PATIENCE).startswith("WATCHDOG=1\n")
        assert server.stop() == 0
        assert systemd.told()[-1] == "STOPPING=1"
    assert "Traceback" not in server.text


def test_what_is_stuck_is_told(tmp_path: Path) -> None:
    """With what the unit sets, the watchdog's signal has the server say where it was."""
    run = [TWISTD, "-n", "--pidfile=", "orchestra", *ANY_PORT]
    with started(run, tmp_path, PYTHONFAULTHANDLER="1") as server:
        server.wait_until_listening()
        with server.connect():  # so it is in the event loop
            pass
        assert server.stop(signal.SIGABRT) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in server.text
    assert re.search(r"line \d+ in mainLoop", server.text)


def test_systemd_listens_and_starts_the_server(tmp_path: Path, systemd: Systemd) -> None:
    """The unit's command line gets both of the sockets, and whoever came first waited for it."""
    activate = tool("systemd-socket-activate")
    place = Place()
    place.port = free_port()
    listen = [f"--listen=127.0.0.1:{place.port}", f"--listen=[::1]:{place.port}"]
    setenv = [f"--setenv={name}={value}" for name, value in systemd.environ.items()]
    names = "--fdname=orchestra:orchestra"
    with started([activate, *listen, names, *setenv, *command()], tmp_path) as server:
        server.wait_for(r"Listening on \[::1\]")
        with place.connect() as alice, connect(f"ws://[::1]:{place.port}/") as bob:
            alice.send("hello")
            assert alice.recv(timeout=PATIENCE) == bob.recv(timeout=PATIENCE) == "Echo: hello"
            assert systemd.hear(PATIENCE).startswith("READY=1\n")
        assert server.stop() == 0
    assert "Traceback" not in server.text


def test_a_socket_has_a_name(tmp_path: Path) -> None:
    """One of several can be told by the name that its unit has given it."""
    activate = tool("systemd-socket-activate")
    place = Place()
    place.port = free_port()
    run = [activate, f"--listen={tmp_path}/other", f"--listen=127.0.0.1:{place.port}"]
    run += ["--fdname=other:web", TWISTD, "-n", "--pidfile=", "orchestra"]
    with started([*run, "--listen", "systemd:domain=INET:name=web"], tmp_path) as server:
        server.wait_for(rf"Listening on 127.0.0.1:{place.port} as")
        with place.connect() as alice:
            alice.send("hello")
            assert alice.recv(timeout=PATIENCE) == "Echo: hello"
        assert server.stop() == 0


def test_the_units_are_understood(units: list[str]) -> None:
    """By systemd itself, without a warning."""
    run = [tool("systemd-analyze"), "verify", "--man=no", *units]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.stdout + ended.stderr == ""
    assert ended.returncode == 0


def test_the_unit_gives_the_server_little(units: list[str]) -> None:
    """systemd finds it to be exposed to next to nothing."""
    run = [tool("systemd-analyze"), "security", "--no-pager", "--offline=true"]
    run += [f"--threshold={EXPOSURE}", units[0]]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
