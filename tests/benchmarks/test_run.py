"""The whole program, in small."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.attacks import ATTACKS, READY
from benchmarks.load import rush
from benchmarks.measures import (
    attacked,
    connections,
    idle,
    load,
    paced,
    round_trip,
    saturated,
    sdk,
    stalled,
    storm,
)
from benchmarks.servers import ROOT, SERVERS, Server, missing, running

TINY = (
    saturated(12, 0.2),
    sdk(12, 0.2),
    paced(12, 100, 0.3),
    connections(20),
    storm(20),
    stalled(2, 2),
    round_trip(0.1),
    idle(5, 0.2),
    attacked("pings", 0.2),
    attacked("joining and leaving", 0.2),
)


def test_it_measures_the_real_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every measure gives sensible numbers; a peer that is missing is named."""
    absent = Server("absent", "An absent server", SERVERS["bun"].command, lambda: "")
    servers = {"orchestra": SERVERS["orchestra"], "absent": absent}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.servers.PEERS", tmp_path)
        patch.setattr("benchmarks.__main__.SERVERS", servers)
        main(["--output", str(tmp_path), "--rounds", "1"], plan=TINY)
    shown = capsys.readouterr().out
    assert "An absent server is missing; to get it: npm install" in shown
    assert "saturated, 12 clients" in shown
    written = json.loads((tmp_path / "results.json").read_text())
    values = written["medians"]["orchestra"]
    assert values["saturated-12"]["deliveries_per_s"] > 100
    assert values["sdk-12"]["deliveries_per_s"] > 100
    assert values["sdk-12"]["share"] > 0
    assert values["paced-12-100"]["delivered"] == pytest.approx(1.0)
    assert values["paced-12-100"]["p50_ms"] > 0
    assert values["connections"]["kib_per_connection"] >= 0
    assert values["storm"]["back_s"] > 0
    assert values["storm"]["cpu_us_per_reconnect"] >= 0
    assert values["stalled"]["slowdown"] > 0
    assert values["round-trip"]["p50_us"] > 0
    assert values["idle"]["core_percent"] >= 0
    for attack in ("attacked-pings", "attacked-joining-and-leaving"):
        assert values[attack]["times_quiet"] > 0
    assert set(written["machine"]) == {"cpu", "cores", "kernel", "python"}
    assert (tmp_path / "deliveries.svg").exists()


def test_more_may_come_at_once_than_can_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others follow as there is room, and all of them are let in."""
    monkeypatch.setattr("benchmarks.load.QUEUE", 3)
    with running(SERVERS["orchestra"]) as server, ExitStack() as stack:
        clients = rush(server.port, 20)
        for client in clients:
            stack.enter_context(client.socket)
    assert len(clients) == 20
    assert all(client.answer.startswith(b"HTTP/1.1 101") for client in clients)


def test_every_attack_begins() -> None:
    """Each kind of hostile client gets to do what it is called after, and ends with its time."""
    with running(SERVERS["orchestra"]) as server:
        for kind in ATTACKS:
            command = [sys.executable, "-m", "benchmarks.attacks", kind, str(server.port), "0.05"]
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
            assert (run.stdout, run.stderr, run.returncode) == (READY + "\n", "", 0), kind


def test_a_server_that_does_not_start_is_an_error() -> None:
    """The measure says so, and the run goes on."""
    broken = Server("broken", "Broken", lambda port, folder: ["false"], lambda: "")
    assert load(broken, {"do": "connections", "clients": 1}) == {"error": "it does not listen"}


def test_a_job_that_fails_is_an_error() -> None:
    """With the reason that it gives."""
    values = load(SERVERS["orchestra"], {"do": "connections", "clients": -1, "tempo": 1})
    assert "unexpected keyword argument 'tempo'" in values["error"]


def test_every_peer_is_there_or_says_how_to_get_it() -> None:
    """None is left out silently."""
    for server in SERVERS.values():
        hint = missing(server)
        assert hint is None or "install" in hint


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--servers", "tuba"], "benchmarks: --servers tuba: must be one of orchestra, node, bun"),
        (["--measures", "x"], "benchmarks: --measures x: must be one of saturated-10, "),
        (["--rounds", "0"], "--rounds 0: must be 1 or more"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], line: str) -> None:
    """In a line that names the option, the value and what is allowed; the exit status is 2."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 2
    assert line in run.stderr
    assert "Traceback" not in run.stderr
