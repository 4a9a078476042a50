"""Some minutes in which everything between the server and its clients breaks."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.chaos.recovery import BREAKS, CONFIGURATION, Recovery
from tests.end_to_end.server import serving

SECONDS = float(os.environ.get("RECOVERY_SECONDS", "90"))
"""For how long things break."""

SEED = int(os.environ.get("RECOVERY_SEED", random.randrange(2**32)))
"""Of what breaks, and when. What others do in the meantime has no seed."""


@pytest.mark.timeout(180 + SECONDS)
def test_nobody_misses_a_message(tmp_path: Path) -> None:
    """Whoever comes back has each message once and in order, or is told how many are missing."""
    print(f"RECOVERY_SEED={SEED} RECOVERY_SECONDS={SECONDS:g}")
    configuration = tmp_path / "orchestra.toml"
    configuration.write_text(CONFIGURATION)
    with serving(tmp_path, "--config", str(configuration)) as server:
        recovery = Recovery(server, tmp_path, SEED)
        try:
            asyncio.run(recovery.run(SECONDS))
        finally:
            recovery.end()
        status = server.stop()
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(recovery.done.items())))
    assert not recovery.problems, "\n".join(recovery.problems[:20])
    assert (status, "Traceback" in server.text) == (0, False), server.text[-3000:]
    for kind in (*BREAKS, "held away", "told that it was played before"):
        assert recovery.done[kind] >= max(1, SECONDS // 60), f"there was hardly any {kind}"
    assert recovery.done["messages"] > SECONDS * 10
    assert recovery.done["plain streams"] > SECONDS / 60
