"""SDKs that do not read what is played."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect

from benchmarks.system import memory
from tests.end_to_end.commands import PATH, Speaker
from tests.end_to_end.sdk import WAYS, running
from tests.end_to_end.server import PATIENCE, serving
from tests.end_to_end.test_slow_readers import BEHIND, SIZE, open_tcp

MIB = 1024 * 1024
MUCH = 56 * MIB // SIZE
"""How many notes are too many for everybody who does not read."""


def play(player: ClientConnection, start: int, end: int) -> None:
    """Play and hear numbers, each in a large note of JSON."""
    for number in range(start, end):
        note = f'[{number:6}, "{"x" * SIZE}"]'
        player.send(note)
        assert player.recv(timeout=PATIENCE) == "Echo: " + note


def listening(connection: ClientConnection, channel: str) -> Speaker:
    """A client that has subscribed to a channel."""
    speaker = Speaker(connection)
    subscribe = {"subscribe": {"channel": channel, "recoverable": True}}
    speaker.ask({"connect": {}}, subscribe)
    return speaker


@pytest.mark.parametrize("options", [(), ("--compress",)], ids=["plain", "compressed"])
def test_who_stops_reading(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Whoever reads on in time misses nothing. Others are not held up, the server keeps nothing
    for it, and if it does not read on, it is closed with 3008."""
    with serving(tmp_path, *options) as server:
        url, patient = server.url(PATH), {"max_size": None, "close_timeout": 0.5}
        with (
            connect(url, sock=open_tcp(server.port, small=True), **patient) as behind,
            connect(url, sock=open_tcp(server.port, small=True), **patient) as stalled,
            server.connect("/slow") as player,
        ):
            slow = [listening(connection, "slow") for connection in (behind, stalled)]
            play(player, 0, BEHIND)
            heard = [slow[0].hear()["push"]["pub"] for _ in range(BEHIND)]
            assert [publication["data"][0] for publication in heard] == list(range(BEHIND))
            before, start = memory(server.process.pid), time.monotonic()
            play(player, BEHIND, MUCH)
            assert time.monotonic() - start < PATIENCE
            assert memory(server.process.pid) - before < 16 * MIB
            assert server.wait_for("was too slow")
            assert slow[1].closed() == (3008, "slow")
            player.send("still here")
            assert player.recv(timeout=PATIENCE) == "Echo: still here"
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.mark.parametrize("way", WAYS)
def test_an_sdk_that_was_too_slow(node_folder: Path, tmp_path: Path, way: str) -> None:
    """Its process halted, it is closed; it comes back by itself, is told that it was not
    recovered, and hears what comes after that."""
    with serving(tmp_path, "--close-timeout=60") as server, running(node_folder) as node:
        sdk = node.connected(server, way)
        subscription = sdk.subscribe("halted", recoverable=True)
        with server.connect("/halted") as player:
            node.process.send_signal(signal.SIGSTOP)
            play(player, 0, MUCH)
            server.wait_for("was too slow")
            node.process.send_signal(signal.SIGCONT)
            assert sdk.wait("connecting")["code"] == 0
            assert sdk.wait("connecting")["code"] == 3008
            back = subscription.wait("subscribed")
            assert (back["wasRecovering"], back["recovered"]) == (True, False)
            heard = [publication["data"][0] for publication in subscription.so_far("publication")]
            assert heard == list(range(len(heard)))
            player.send("after")
            assert subscription.hear() == ["after"]
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.mark.parametrize("way", WAYS)
def test_an_sdk_that_skips(node_folder: Path, tmp_path: Path, way: str) -> None:
    """Where slow readers skip what they missed, an SDK is told of that: it is unsubscribed (2500)
    and subscribes again by itself, not recovered, on the same connection."""
    with serving(tmp_path, "--slow-reader=skip") as server, running(node_folder) as node:
        sdk = node.connected(server, way)
        subscription = sdk.subscribe("skipping", recoverable=True)
        assert subscription.wait("subscribing")["code"] == 0
        with server.connect("/skipping") as player:
            node.process.send_signal(signal.SIGSTOP)
            play(player, 0, MUCH)
            node.process.send_signal(signal.SIGCONT)
            assert subscription.wait("subscribing")["code"] == 2500
            back = subscription.wait("subscribed")
            assert (back["wasRecovering"], back["recovered"]) == (True, False)
            heard = [publication["data"][0] for publication in subscription.so_far("publication")]
            assert heard == list(range(len(heard)))
            player.send("after")
            assert subscription.hear() == ["after"]
        assert len(sdk.so_far("connecting")) == 1
        assert server.stop() == 0
    assert "Traceback" not in server.text
