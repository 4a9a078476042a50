"""The AsyncAPI document, read by the parser of those who make AsyncAPI."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.asyncapi import DOCUMENT, PATH
from tests.end_to_end.server import PATIENCE


def read(document: Path, node_folder: Path) -> dict[str, Any]:
    """What the parser finds in a document, and what it has against it."""
    run = subprocess.run(
        ["node", "asyncapi.mjs", str(document)],
        cwd=node_folder,
        check=True,
        timeout=PATIENCE,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_the_document_is_valid(node_folder: Path) -> None:
    """Nothing is wrong with it, and all its operations are found."""
    found = read(PATH, node_folder)
    assert found["complaints"] == []
    assert found["operations"] == list(DOCUMENT["operations"])


def test_one_that_is_not_is_found_out(tmp_path: Path, node_folder: Path) -> None:
    """A link that leads nowhere, and a word that AsyncAPI does not know."""
    lost = json.dumps(DOCUMENT).replace("#/components/schemas/PublishRequest", "#/nowhere")
    unknown = json.dumps(DOCUMENT | {"chanels": {}})
    for text in (lost, unknown):
        path = tmp_path / "asyncapi.json"
        path.write_text(text)
        assert read(path, node_folder)["complaints"]
