"""A server under attack: somebody else on it who must not notice, and what may not grow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from websockets.sync.client import ClientConnection

from benchmarks.system import memory
from benchmarks.wire import handshake
from tests.end_to_end.server import PATIENCE, Server, serving

MEMORY = 32 * 2**20
"""By how much an attack may have the server grow, in bytes."""

_QUIET = ("Traceback", "Unhandled", "Error:", "\x1b")


def open_files(server: Server) -> int:
    """How many files a server has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


class Siege:
    """A server with a client that plays and hears while others are hostile."""

    def __init__(self, server: Server, bystander: ClientConnection) -> None:
        """
        :param bystander: a client in the channel ``main``.
        """
        self.server = server
        self.bystander = bystander
        self._echo(100)
        self.memory = memory(server.process.pid)
        self.files = open_files(server)

    def _echo(self, times: int) -> None:
        for number in range(times):
            self.bystander.send(f"note {number}")
            assert self.bystander.recv(timeout=PATIENCE) == f"Echo: note {number}"

    def check(self) -> None:
        """Somebody else still plays and hears, and the server has not grown."""
        self._echo(10)
        grown = memory(self.server.process.pid) - self.memory
        assert grown <= MEMORY, f"grown by {grown / 2**20:.0f} MiB"

    def attacker(self, data: bytes = b"", number: int = 1) -> socket.socket:
        """A connection that has sent something.

        :param number: of its address, for one has not ports for all.
        """
        address = (f"127.0.0.{number}", 0)
        client = socket.create_connection(("127.0.0.1", self.server.port), PATIENCE, address)
        client.sendall(data)
        return client

    def joined(self, path: str = "/attack") -> socket.socket:
        """A connection that has shaken hands, in a channel of its own."""
        request = handshake(self.server.port)
        client = self.attacker(request.replace(b"GET / ", f"GET {path} ".encode()))
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
        return client

    def wait_for_files(self) -> None:
        """Wait until the server has no more files open than in the beginning."""
        while open_files(self.server) > self.files:
            self._echo(1)


@contextmanager
def siege(cwd: Path, *options: str) -> Iterator[Siege]:
    """Besiege a server. It must survive, stop in good order, and have nothing to complain of."""
    with serving(cwd, *options) as server:
        with server.connect() as bystander:
            besieged = Siege(server, bystander)
            yield besieged
            besieged.check()
        assert server.stop() == 0
    for word in _QUIET:
        assert word not in server.text, server.text[-5000:]


def flood(client: socket.socket, data: bytes, times: int) -> bool:
    """Send something again and again.

    :returns: whether the server took all of it, rather than closing the connection.
    """
    try:
        for _ in range(times):
            client.sendall(data)
    except ConnectionError:
        return False
    return True


def answer(client: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    received = b""
    with suppress(ConnectionError):
        while data := client.recv(1 << 20):
            received += data
    return received
