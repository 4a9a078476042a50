"""What fails around the server: clients, files, disks, clocks, and the server itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.wire import frame, frame_size
from tests.end_to_end.server import ANY_PORT, PATIENCE, TWISTD, Server, serving, started

CROWD = Path(__file__).with_name("crowd.py")
FAKETIME = "/usr/lib/*/faketime/libfaketime.so.1"


@contextmanager
def crowd(url: str, name: str, clients: int) -> Iterator[subprocess.Popen[str]]:
    """Clients in a process of their own, all of which play and tell what they heard."""
    command = [sys.executable, str(CROWD), url, name, str(clients)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "playing\n"
            yield process
        finally:
            process.kill()


def heard_by(process: subprocess.Popen[str]) -> list[list[str]]:
    """What each of a crowd's clients has heard, once the server has closed their connections."""
    out, _ = process.communicate(timeout=PATIENCE)
    found: list[list[str]] = json.loads(out)
    return found


def check_agreement(heard: list[list[str]]) -> None:
    """All that were there to the end have heard the same, in one order, none of it twice.

    Who came later begins later.
    """
    longest = max(heard, key=len)
    for notes in heard:
        assert notes == longest[len(longest) - len(notes) :]
    assert len(set(longest)) == len(longest)


def test_half_of_the_clients_are_killed(tmp_path: Path) -> None:
    """In the midst of their playing: the others hear all that got through, and play on."""
    with serving(tmp_path, "--history-messages", "1000000") as server:
        url = server.url()
        with crowd(url, "stay", 10) as staying, crowd(url, "go", 10) as going:
            with server.connect(max_queue=None) as witness:
                until = time.monotonic() + 1
                while time.monotonic() < until:
                    witness.recv(timeout=PATIENCE)
                going.kill()
                going.wait()
                last = {"stay": 0, "go": 0}
                while last["stay"] < 2000:  # as long as any of the killed can be heard, and longer
                    note = str(witness.recv(timeout=PATIENCE)).removeprefix("Echo: ")
                    last[note.partition(" ")[0]] += 1
            server.wait_for("more musicians have left|has left")
            assert server.stop() == 0
            heard = heard_by(staying)
    check_agreement(heard)
    assert {note.split()[0] for note in heard[0]} == {"stay", "go"}
    assert "Traceback" not in server.text


def test_the_end_at_full_load_loses_nothing(tmp_path: Path) -> None:
    """On SIGTERM: what one client heard, all heard who stayed; its own echo is the last proof."""
    with (
        serving(tmp_path, "--history-messages", "1000000") as server,
        crowd(server.url(), "a", 20) as one,
        crowd(server.url(), "b", 20) as two,
        server.connect(max_queue=None) as witness,
    ):
        notes = [witness.recv(timeout=PATIENCE) for _ in range(3000)]
        assert server.stop() == 0
        notes += witness  # until it is closed in good order
        assert witness.close_code == 1001
        heard = heard_by(one) + heard_by(two)
    heard.append([str(note).removeprefix("Echo: ") for note in notes])
    check_agreement(heard)
    ends = {notes[-1] for notes in heard}
    assert len(ends) == 1
    assert "Traceback" not in server.text


@pytest.mark.parametrize("files", [40, 120])
def test_files_run_out(tmp_path: Path, files: int) -> None:
    """Who comes then is refused or dropped; when others have left, there is room by itself."""
    script = f"ulimit -n {files}; exec {TWISTD} -n --pidfile= orchestra {' '.join(ANY_PORT)}"
    with started(["bash", "-c", script], tmp_path) as server:
        server.wait_until_listening()
        for _ in range(3):
            with ExitStack() as stack:
                first = stack.enter_context(server.connect())
                for _ in range(2 * files):
                    place = ("127.0.0.1", server.port)
                    stack.enter_context(socket.create_connection(place, PATIENCE))
                first.send("hello")
                assert first.recv(timeout=PATIENCE) == "Echo: hello"
            until_it_is_let_in(server)
        assert server.stop() == 0
    assert "Traceback" not in server.text
    assert len(server.log) < 1000


def until_it_is_let_in(server: Server) -> None:
    """Connect as soon as the server has noticed that others have left."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with server.connect() as client:
                client.send("again")
                assert client.recv(timeout=PATIENCE) == "Echo: again"
            return
        except Exception:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize("options", [[], ["--log-format", "json"]], ids=["text", "json"])
def test_the_disk_is_full(tmp_path: Path, options: list[str]) -> None:
    """Nothing can be logged, and everything else goes on, to an orderly end."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [TWISTD, "-n", "--pidfile=", "orchestra"]
    with (
        Path("/dev/full").open("w") as full,
        subprocess.Popen(
            [*command, "--listen", f"tcp:{port}:interface=127.0.0.1", *options],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            wait_for_port(port)
            for _ in range(20):
                with connect(f"ws://127.0.0.1:{port}/") as client:
                    client.send("x" * 1000)
                    assert client.recv(timeout=PATIENCE) == "Echo: " + "x" * 1000
            process.terminate()
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0
    assert errors == ""


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline


def test_the_clock_jumps(tmp_path: Path) -> None:
    """Set back or forward by a day: messages go on at once, and nobody is dropped."""
    if not (found := sorted(Path("/").glob(FAKETIME[1:]))):
        pytest.skip("libfaketime is not installed")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    environment = {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    command = [TWISTD, "-n", "--pidfile=", "orchestra", *ANY_PORT, "--ping-interval", "0.2"]
    with started(command, tmp_path, **environment) as server:
        server.wait_until_listening()
        with server.connect() as client, server.silent() as pinged:
            for number, jump in enumerate(["+0", "-1d", "+1d", "-1d", "+0"]):
                (tmp_path / "new").write_text(jump)
                os.replace(tmp_path / "new", clock)
                client.send(f"note {number}")
                assert client.recv(timeout=PATIENCE) == f"Echo: note {number}"
                for _ in range(2):  # the first may have been on its way
                    answer_ping(pinged)
        assert server.stop() == 0
    notes = [line for line in server.log if "Received a note" in line]
    assert len({line[:10] for line in notes}) == 3, "the clock did not jump"
    assert "Traceback" not in server.text


def answer_ping(client: socket.socket) -> None:
    """Wait for a ping, past anything else, and answer it."""
    data = b""
    while not (size := frame_size(data)) or len(data) < size:
        more = client.recv(4096)
        assert more, "the connection was closed"
        data = (data + more)[max(0, (data + more).find(b"\x89")) :]
    client.sendall(frame(data[2:size], opcode=10))


def test_an_applications_bugs_are_its_own(tmp_path: Path) -> None:
    """A callback, an encoding and an admission that raise: logged, and nobody else notices."""
    script = tmp_path / "buggy.tac"
    script.write_text(BUGGY)
    with started([TWISTD, "-n", "--pidfile=", "-y", str(script)], tmp_path) as server:
        server.wait_until_listening()
        with server.connect() as client, server.connect("/broken") as victim:
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "Echo: hello"
            server.wait_for("a broken callback")
            with pytest.raises(Exception, match="500"):
                server.connect("/refused").__enter__()
            server.wait_for("a broken admission")
            victim.send("hello")
            with pytest.raises(ConnectionClosed) as closed:
                victim.recv(timeout=PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1011
            server.wait_for("a broken encoding")
            client.send("still here")
            assert client.recv(timeout=PATIENCE) == "Echo: still here"
        assert server.stop() == -signal.SIGTERM  # Twisted's own way to end


BUGGY = """
from twisted.application.service import Application

from orchestra import Hub, OrchestraFactory, OrchestraProtocol, OrchestraService
from orchestra.websocket.frames import FrameEncoding


class Broken(FrameEncoding):
    def encode(self, entries, offsets, epoch):
        raise RuntimeError("a broken encoding")


class Protocol(OrchestraProtocol):
    def onConnect(self, request):
        super().onConnect(request)
        if self.target.channel == "refused":
            raise RuntimeError("a broken admission")

    def onOpen(self):
        super().onOpen()
        if self.target.channel == "broken":
            self.factory.hub.unsubscribe(self._subscriber)
            self._subscriber = self.factory.hub.attach("broken", self, Broken(None))
            self._subscriber.resume()


def callback(message):
    raise RuntimeError("a broken callback")


hub = Hub()
hub.subscribe("main", callback)
factory = OrchestraFactory(hub)
factory.protocol = Protocol
application = Application("buggy")
OrchestraService(factory, "tcp:0:interface=127.0.0.1").setServiceParent(application)
"""
