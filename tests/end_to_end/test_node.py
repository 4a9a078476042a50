"""A client in another language: ``ws`` for Node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.server import PATIENCE, serving


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
