"""Readers that lag behind, on every kind of connection and in every event loop."""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect, unix_connect

from benchmarks.wire import handshake
from tests.end_to_end.server import ANY_PORT, PATIENCE, Server, serving, tls_endpoint

SIZE = 16 * 1024
BEHIND = 2 * 1024 * 1024 // SIZE
"""How many notes lie within the history."""

BEYOND = 8 * 1024 * 1024 // SIZE
"""How many notes go beyond it."""


def open_tcp(port: int, small: bool) -> socket.socket:
    """A connection whose receive buffer is small, or as large as the system likes it."""
    client = socket.socket()
    if small:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.connect(("127.0.0.1", port))
    return client


def play_and_lag(server: Server, slow: ClientConnection, player: ClientConnection) -> None:
    """One plays and hears itself; the other reads late, and then too late."""
    notes = [f"{number:05}" + "x" * SIZE for number in range(BEHIND + BEYOND)]
    for note in notes[:BEHIND]:
        player.send(note)
        assert player.recv(timeout=PATIENCE) == "Echo: " + note
    for note in notes[:BEHIND]:
        assert slow.recv(timeout=PATIENCE) == "Echo: " + note
    player.send("together")
    assert player.recv(timeout=PATIENCE) == slow.recv(timeout=PATIENCE) == "Echo: together"
    for note in notes[BEHIND:]:
        player.send(note)
        assert player.recv(timeout=PATIENCE) == "Echo: " + note
    server.wait_for("was too slow")
    heard: list[str | bytes] = []
    with pytest.raises(ConnectionClosed) as closed:
        heard.extend(slow)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "slow reader")
    assert heard == ["Echo: " + note for note in notes[BEHIND : BEHIND + len(heard)]]
    assert len(heard) < BEYOND / 2
    player.send("still here")
    assert player.recv(timeout=PATIENCE) == "Echo: still here"


@pytest.mark.parametrize("reactor", ["epoll", "poll", "select", "asyncio"])
def test_over_tcp(tmp_path: Path, reactor: str) -> None:
    """Who lags within the history loses nothing, who lags beyond it is told so; others don't."""
    with serving(tmp_path, twistd=["--reactor", reactor]) as server:
        url = server.url()
        with (
            connect(url, sock=open_tcp(server.port, small=True), max_size=None) as slow,
            connect(url, sock=open_tcp(server.port, small=False), max_size=None) as player,
        ):
            play_and_lag(server, slow, player)
        assert server.stop() == 0
    assert "Traceback" not in server.text


def test_compressed(tmp_path: Path) -> None:
    """The same, where both have agreed to compress."""
    with serving(tmp_path, "--compress") as server:
        url = server.url()
        with (
            connect(url, sock=open_tcp(server.port, small=True), max_size=None) as slow,
            connect(url, sock=open_tcp(server.port, small=False), max_size=None) as player,
        ):
            for client in (slow, player):
                (extension,) = client.protocol.extensions
                assert extension.name == "permessage-deflate"
            notes = [f"{number:05} " * 3000 for number in range(100)]
            for note in notes:
                player.send(note)
                assert player.recv(timeout=PATIENCE) == "Echo: " + note
            for note in notes:
                assert slow.recv(timeout=PATIENCE) == "Echo: " + note
        assert server.stop() == 0


@pytest.mark.parametrize("reactor", ["epoll", "asyncio"])
def test_over_tls(tmp_path: Path, reactor: str) -> None:
    """What is encrypted is not sent past the encryption."""
    endpoint, context = tls_endpoint(tmp_path)
    # This client reads and writes in two threads. With version 1.3 the server's tickets come after
    # the handshake, and reading them while it writes makes it lose what it writes, now and then.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(tmp_path, "--listen", endpoint, twistd=["--reactor", reactor]) as server:
        url = f"wss://127.0.0.1:{server.port}/"

        def secure(small: bool) -> ClientConnection:
            its_socket = open_tcp(server.port, small)
            return connect(url, sock=its_socket, ssl=context, max_size=None)

        with secure(small=True) as slow, secure(small=False) as player:
            play_and_lag(server, slow, player)
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.mark.parametrize("reactor", ["epoll", "asyncio"])
def test_over_a_unix_socket(tmp_path: Path, reactor: str) -> None:
    """A UNIX socket has a buffer of its own kind."""
    path = str(tmp_path / "orchestra.sock")
    options = ("--listen", f"unix:{path}", *ANY_PORT)
    with serving(tmp_path, *options, twistd=["--reactor", reactor]) as server:
        with (
            unix_connect(path, max_size=None) as slow,
            unix_connect(path, max_size=None) as player,
        ):
            play_and_lag(server, slow, player)
        assert server.stop() == 0


def test_a_full_server(tmp_path: Path) -> None:
    """One client too many is refused with 503 and when to try again; then one leaves."""
    with serving(tmp_path, "--max-connections=2") as server:
        with server.connect() as one:
            with server.connect():
                with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as late:
                    late.sendall(handshake(server.port))
                    answer = late.makefile("rb").read()
                assert answer.startswith(b"HTTP/1.1 503 the server is full\r\n")
                assert re.search(rb"\r\nRetry-After: [123]\r\n", answer)
            server.wait_for("A musician has left the orchestra.")
            with server.connect() as two:
                two.send("hello")
                assert one.recv(timeout=PATIENCE) == "Echo: hello"
        assert server.stop() == 0


def test_stalled_readers_hold_nobody_up_for_long(tmp_path: Path) -> None:
    """When they have too much waiting for them, who plays waits until they are closed."""
    with serving(tmp_path, "--max-buffered=80000") as server:
        stalled = [server.silent() for _ in range(3)]
        with server.connect() as player:
            for number in range(50):
                note = f"{number:05}" + "x" * SIZE
                player.send(note)
                assert player.recv(timeout=PATIENCE) == "Echo: " + note
        for _ in stalled:
            server.wait_for("was too slow")
        for client in stalled:
            client.close()
        assert server.stop() == 0
    assert "Traceback" not in server.text
