"""A client in another language: ``ws`` for Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.server import PATIENCE, serving

NODE = Path(__file__).with_name("node")


@pytest.fixture(scope="module")
def node_folder(request: pytest.FixtureRequest) -> Path:
    """A folder with the scripts and what they need from npm, kept for the next run."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("node")
    for file in NODE.iterdir():
        shutil.copy(file, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
    subprocess.run(command, cwd=folder, check=True, timeout=4 * PATIENCE, capture_output=True)
    return folder


@pytest.mark.parametrize("options", [(), ("--compress",)])
def test_a_session_in_node(tmp_path: Path, node_folder: Path, options: tuple[str, ...]) -> None:
    """Text, binary, nothing and a great deal come back as they should, and so does a close."""
    with serving(tmp_path, *options) as server:
        run = subprocess.run(
            ["node", "session.mjs", server.url("/node")],
            cwd=node_folder,
            check=True,
            timeout=PATIENCE,
            capture_output=True,
            text=True,
        )
        server.wait_for("A musician has left the orchestra.")
        server.wait_for("A musician has left the orchestra.")
    heard = [
        "Echo: hello",
        {"binary": "00ff"},
        "Echo: ",
        {"start": "Echo: xxxx", "length": 2**20 + 6},
    ]
    assert json.loads(run.stdout) == {
        "alice": heard,
        "bob": heard,
        "code": 3000,
        "reason": "enough",
    }
