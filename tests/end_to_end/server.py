"""The real server process, for tests that talk to it."""

from __future__ import annotations

import itertools
import os
import queue
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import trustme
from websockets.sync.client import ClientConnection, connect

TWISTD = str(Path(sys.executable).with_name("twistd"))
ANY_PORT = ("--listen", "tcp:0:interface=127.0.0.1")
PATIENCE = 30.0
"""How long anything may take, in seconds, before a test fails."""


class Place:
    """Where the server is found, or what stands in front of it."""

    port: int

    def url(self, path: str = "/") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def http(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def connect(self, path: str = "/", **options: object) -> ClientConnection:
        """A client that has shaken hands, without a limit to what it takes."""
        return connect(self.url(path), max_size=None, open_timeout=PATIENCE, **options)


class Server(Place):
    """A server process: its log, its address, and how it ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until a line of the log matches, and return the match."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            assert line is not None, f"no {pattern!r} in the log:\n" + "\n".join(self.log)
            self.log.append(line)
            if match := re.search(pattern, line):
                return match

    @property
    def text(self) -> str:
        """The whole log of a server that has ended."""
        return "\n".join(self.log)

    def silent(self, path: str = "/") -> socket.socket:
        """A client that has shaken hands and then neither reads nor writes."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert client.recv(12) == b"HTTP/1.1 101"
        return client

    def wait_until_listening(self) -> None:
        """Wait until it listens on a port, and remember which."""
        self.port = int(self.wait_for(r"Listening on tcp \S+:(\d+)")[1])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end, read the rest of the log, and return the exit status."""
        status = self.process.wait(timeout=PATIENCE)
        self._reader.join(timeout=PATIENCE)
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            self.log.append(line)
        return status


def tls_endpoint(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Where to listen with a certificate of our own, and what a client trusts it by."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    key, chain = folder / "key.pem", folder / "cert.pem"
    certificate.private_key_pem.write_to_path(str(key))
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={chain}", context


@contextmanager
def started(command: Sequence[str], cwd: Path, **environment: str) -> Iterator[Server]:
    """Run a command that logs to its standard output until the block is left."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def serving(cwd: Path, *options: str, twistd: Sequence[str] = ()) -> Iterator[Server]:
    """Run ``twistd -n orchestra`` with options, on any port if they say none, and wait for it."""
    if not any(option.startswith(("--listen", "--port")) for option in options):
        options = (*ANY_PORT, *options)
    command = [TWISTD, "-n", "--pidfile=", *twistd, "orchestra", *options]
    with started(command, cwd) as server:
        server.wait_until_listening()
        yield server


@contextmanager
def pouring(server: Place, path: str) -> Iterator[Callable[[], int]]:
    """Play 0, 1, 2 … in a channel all the time, until the function is called that this gives.

    The function tells how many were played.
    """
    enough = threading.Event()

    def play() -> int:
        with server.connect(path) as player:
            for number in itertools.count():
                if enough.is_set():
                    break
                player.send(str(number))
                player.recv(timeout=PATIENCE)
            return number

    def stop() -> int:
        enough.set()
        return playing.result(timeout=PATIENCE)

    with ThreadPoolExecutor() as pool:
        playing = pool.submit(play)
        try:
            yield stop
        finally:
            enough.set()
