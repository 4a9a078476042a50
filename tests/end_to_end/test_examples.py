"""Every example, as it stands, and the documentation that shows them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.end_to_end.server import PATIENCE, TWISTD, Server, started

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"


def orchestra(server: Server) -> None:
    with server.connect() as alice:
        alice.send("hello")
        assert alice.recv(timeout=PATIENCE) == "hello"


def metronome(server: Server) -> None:
    with server.connect() as alice:
        first, second = (alice.recv(timeout=PATIENCE) for _ in range(2))
    number = int(str(first).removeprefix("Echo: beat "))
    assert second == f"Echo: beat {number + 1}"


def website(server: Server) -> None:
    with urlopen(f"http://127.0.0.1:{server.port}/", timeout=PATIENCE) as page:
        assert page.read() == b"The orchestra plays at /live.\n"
    with server.connect("/live") as alice, server.connect("/live/brass") as bob:
        alice.send("hello")
        bob.send("brass")
        assert alice.recv(timeout=PATIENCE) == "Echo: hello"
        assert bob.recv(timeout=PATIENCE) == "Echo: brass"


def answer(server: Server) -> None:
    with server.connect() as alice:
        alice.send("A")
        assert alice.recv(timeout=PATIENCE) == "Echo: A"
        assert alice.recv(timeout=PATIENCE) == "Echo: the oboe gives an A"


SCENES: dict[str, Callable[[Server], None]] = {
    "orchestra.tac": orchestra,
    "metronome.tac": metronome,
    "website.tac": website,
    "answer.tac": answer,
}


def free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("name", SCENES)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    """It does what it says, and ends when it is told to."""
    example = str(EXAMPLES / name)
    port = free_port()
    command = [TWISTD, "--nodaemon", "--pidfile=", "--python", example]
    with started(command, tmp_path, PORT=str(port)) as server:
        server.port = port
        server.wait_for(f"starting on {port}")
        SCENES[name](server)
        server.stop()
    assert "Traceback" not in server.text
    assert server.text.count("has joined") == server.text.count("has left") > 0


def test_no_example_is_without_a_test() -> None:
    """Each file in the folder is run above."""
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == set(SCENES)


@pytest.mark.parametrize("name", SCENES)
def test_an_example_is_short_and_shown(name: str) -> None:
    """20 lines or fewer, and the documentation shows them to the letter."""
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) <= 20
    code = text.split('"""\n\n', 1)[1]
    indented = "".join("    " + line if line.strip() else line for line in code.splitlines(True))
    shown = (ROOT / "docs" / "embedding.rst").read_text()
    assert indented in shown, f"docs/embedding.rst does not show {name} as it is"
    assert os.fspath(Path("examples") / name) in shown
