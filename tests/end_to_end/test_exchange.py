"""An evening with the real server, and what its log says of it."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.end_to_end.server import PATIENCE, serving

LINE = re.compile(r"^\S+ \[orchestra#info\] (.*)$", re.MULTILINE)


def test_a_session(tmp_path: Path) -> None:
    """Join, play, listen and leave; text, binary, nothing, and a great deal."""
    with serving(tmp_path) as server:
        with server.connect() as alice, server.connect() as bob, server.connect("/brass") as carol:
            large = "x" * (1024 * 1024)
            for played, heard in (
                ("hello", "Echo: hello"),
                (b"\x00\xff", b"\x00\xff"),
                ("", "Echo: "),
                (b"", b""),
                ("Grüße 🎻", "Echo: Grüße 🎻"),
                (large, "Echo: " + large),
            ):
                alice.send(played)
                assert alice.recv(timeout=PATIENCE) == heard
                assert bob.recv(timeout=PATIENCE) == heard
            carol.send("only brass")
            assert carol.recv(timeout=PATIENCE) == "Echo: only brass"
            bob.send("bye")
            assert alice.recv(timeout=PATIENCE) == bob.recv(timeout=PATIENCE) == "Echo: bye"
        assert server.stop() == 0
    assert LINE.findall(server.text) == [
        "A new musician has joined the orchestra!",
        "A new musician has joined the orchestra!",
        "A new musician has joined the orchestra!",
        "Received a note: hello",
        "Received a note: <2 bytes, binary>",
        "Received a note: ",
        "Received a note: <0 bytes, binary>",
        "Received a note: Grüße 🎻",
        "Received a note: " + "x" * 200 + "…",
        "Received a note: only brass",
        "Received a note: bye",
        "A musician has left the orchestra.",
        "A musician has left the orchestra.",
        "A musician has left the orchestra.",
    ]


def test_the_url_says_how_to_join(tmp_path: Path) -> None:
    """The past on request, one's own messages left out on request, nonsense refused."""
    with serving(tmp_path) as server:
        with server.connect("/strings") as alice, server.connect("/strings?echo=0") as bob:
            for note in ("1", "2", "3"):
                alice.send(note)
                assert alice.recv(timeout=PATIENCE) == "Echo: " + note
                assert bob.recv(timeout=PATIENCE) == "Echo: " + note
            bob.send("mine")
            assert alice.recv(timeout=PATIENCE) == "Echo: mine"
            alice.send("4")
            assert bob.recv(timeout=PATIENCE) == "Echo: 4"
            with server.connect("/strings?last=2") as late:
                assert late.recv(timeout=PATIENCE) == "Echo: mine"
                assert late.recv(timeout=PATIENCE) == "Echo: 4"
        with pytest.raises(InvalidStatus) as caught:
            server.connect("/strings?last=some")
        assert caught.value.response.status_code == 400
        assert caught.value.response.body == b"last must be a whole number from 0 to 1000000000\n"


def test_one_that_vanishes_has_left(tmp_path: Path) -> None:
    """A connection that is reset without a close frame is a departure like any other."""
    with serving(tmp_path) as server, server.connect() as alice:
        bob = server.silent()
        bob.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        bob.close()
        server.wait_for("A musician has left the orchestra.")
        alice.send("still here")
        assert alice.recv(timeout=PATIENCE) == "Echo: still here"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping(tmp_path: Path, number: signal.Signals) -> None:
    """Each client gets what was published and 1001, and the process ends with status 0."""
    with serving(tmp_path) as server, server.connect() as alice, server.connect() as bob:
        alice.send("the last note")
        server.wait_for("Received a note: the last note")
        assert server.stop(number) == 0
        for client in (alice, bob):
            assert client.recv(timeout=PATIENCE) == "Echo: the last note"
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(timeout=PATIENCE)
            assert caught.value.rcvd is not None
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1001, "going away")
        with pytest.raises(ConnectionRefusedError):
            server.connect()
    assert "Traceback" not in server.text


def test_stopping_waits_no_longer_than_the_grace(tmp_path: Path) -> None:
    """A client that reads nothing does not hold up the end, nor what the others get."""
    with serving(tmp_path, "--grace", "1") as server, server.connect() as alice:
        stalled = server.silent()
        for _ in range(30):
            alice.send("x" * 100_000)
            assert len(alice.recv(timeout=PATIENCE)) == 100_006
        before = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - before < PATIENCE
        stalled.close()
    assert "Clients that did not leave in time are dropped: 1." in server.text


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Whoever does not want to wait for the grace signals again."""
    with serving(tmp_path, "--grace", "3600") as server:
        stalled = server.silent()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("Received SIGTERM, stopping.")
        assert server.stop(signal.SIGTERM) == -signal.SIGTERM
        stalled.close()


def test_a_log_for_machines(tmp_path: Path) -> None:
    """Every line of it is a JSON object, from the first to the last."""
    with serving(tmp_path, "--log-format", "json") as server:
        with server.connect("/strings") as alice:
            alice.send("two\nlines")
            assert alice.recv(timeout=PATIENCE) == "Echo: two\nlines"
        server.stop()
    events = [json.loads(line) for line in server.log]
    assert all({"time", "level", "logger", "message"} <= set(event) for event in events)
    joined, note, left = (
        next(event for event in events if event.get("event") == name)
        for name in ("joined", "note", "left")
    )
    assert joined["message"] == "A new musician has joined the orchestra!"
    assert (joined["channel"], joined["count"]) == ("strings", 1)
    assert note["note"] == "two\\nlines"
    assert (left["code"], left["count"]) == (1000, 0)
