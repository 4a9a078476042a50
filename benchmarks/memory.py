"""What of the server takes how much memory: ``python -m benchmarks.memory``.

These are the constants of the bound in ``orchestra/memory.py`` and ``docs/how-to/memory.rst``.
Each line is measured with a fresh process of the server, whose clients are on the same machine.
"""

from __future__ import annotations

import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import trustme

from benchmarks.load import AT_ONCE
from benchmarks.servers import Running, Server, running
from benchmarks.system import allow_open_files, memory
from benchmarks.wire import frame, handshake

KIB = 1024
SETTLE = 0.5
"""How long the server is left alone before its memory is looked at, in seconds."""

PATIENCE = 30.0
"""How long a client waits for an answer, in seconds."""

_REQUESTS = {
    "websocket": handshake,
    "event stream": lambda port: _get(port, "/", "Accept: text/event-stream"),
    "kept HTTP connection": lambda port: _get(port, "/healthz"),
}
_SLOW = 300
_PLAYED = 40 * 1024 * KIB


def _get(port: int, path: str, *headers: str) -> bytes:
    lines = (f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *headers, "", "")
    return "\r\n".join(lines).encode()


@contextmanager
def serving(*options: str, tls: Path | None = None) -> Iterator[Running]:
    """Run the server with options.

    :param tls: a file with a key and a certificate, if it is to speak TLS.
    """

    def command(port: int, folder: Path) -> Sequence[str]:
        place = f"tcp:{port}:interface=127.0.0.1"
        if tls is not None:
            place = f"ssl:{port}:interface=127.0.0.1:privateKey={tls}:certKey={tls}"
        return sys.executable, "-m", "twisted", "orchestra", "--listen", place, *options

    with running(Server("orchestra", "Orchestra", command, str)) as server:
        time.sleep(SETTLE)
        yield server


@contextmanager
def joined(
    port: int, request: bytes, count: int, tls: bool, room: int = 0
) -> Iterator[list[socket.socket]]:
    """Connect so many clients, and wait until each is answered; they leave with the block.

    :param room: bytes of the receive buffer, for clients that are not going to read.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ExitStack() as stack:
        clients: list[socket.socket] = []
        for _ in range(count):
            client = socket.socket()
            client.settimeout(PATIENCE)
            if room:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            client.connect(("127.0.0.1", port))
            if tls:
                client = context.wrap_socket(client)
            clients.append(stack.enter_context(client))
            client.sendall(request)
            assert client.recv(12)[9:12] in (b"101", b"200")
        yield clients


def connections(request: Callable[[int], bytes], count: int, tls: Path | None) -> dict[str, float]:
    """What an idle connection takes, in the server and in the kernel, in bytes."""
    with serving(tls=tls) as server:
        # The first connections cost more than others.
        with joined(server.port, request(server.port), AT_ONCE, tls is not None):
            pass
        time.sleep(SETTLE)
        before, slab = memory(server.pid), _slab()
        with joined(server.port, request(server.port), count, tls is not None):
            time.sleep(SETTLE)
            return {
                "server": (memory(server.pid) - before) / count,
                "kernel": (_slab() - slab) / count / 2,  # which has both ends
            }


def channels(count: int) -> float:
    """What a channel takes that nobody is in and that has one small message, in bytes."""
    with serving() as server, closing(_http(server.port)) as http:
        _post(http, [f"/warm-{number}" for number in range(AT_ONCE)])
        before = memory(server.pid)
        _post(http, [f"/channel-{number}" for number in range(count)])
        time.sleep(SETTLE)
        return (memory(server.pid) - before) / count


def _http(port: int) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", port, timeout=PATIENCE)


def _post(http: HTTPConnection, paths: Sequence[str]) -> None:
    for path in paths:
        http.request("POST", path, b"x" * 64)
        http.getresponse().read()


def messages(count: int, size: int) -> float:
    """What a retained message takes beside its payload, in bytes."""
    options = ("--history-messages", str(2 * count), "--history-bytes", str(2**34))
    with (
        serving(*options) as server,
        joined(server.port, handshake(server.port), 1, tls=False) as (client,),
    ):
        _play(client, size, 1000)
        before = memory(server.pid)
        _play(client, size, count)
        time.sleep(SETTLE)
        return (memory(server.pid) - before) / count - size


def _play(client: socket.socket, size: int, count: int) -> None:
    # With few in flight, so that nothing but what is retained stays.
    message, window = frame(b"x" * size), 64
    for _ in range(count // window):
        client.sendall(message * window)
        left = window * size
        while left > 0:
            left -= len(client.recv(1 << 20))


def slow_readers(count: int, tls: Path | None) -> dict[str, float]:
    """What a reader takes that reads nothing, while its channel is played in, in bytes.

    That is beside what an idle one takes, and without what the channel retains.
    """
    options = ("--slow-reader", "skip", "--ping-interval", "0", "--max-buffered", "0")
    with serving(*options, tls=tls) as server:
        where = server.port, handshake(server.port)
        with joined(*where, 1, tls is not None) as (player,):
            _play(player, 16 * KIB, _PLAYED // (16 * KIB))
            with joined(*where, count, tls is not None, room=4 * KIB):
                before, kernel = memory(server.pid), _tcp()
                _play(player, 16 * KIB, _PLAYED // (16 * KIB))
                time.sleep(SETTLE)
                held = memory(server.pid) - before, _tcp() - kernel
                return {"server": held[0] / count, "kernel": held[1] / count}


def largest(size: int) -> float:
    """What the server grows by while a message is posted to it, as a multiple of its size."""
    options = ("--max-message-size", str(size), "--history-bytes", str(size))
    with (
        serving(*options) as server,
        closing(_http(server.port)) as http,
        joined(server.port, handshake(server.port), 1, tls=False) as (listener,),
    ):
        before = memory(server.pid)
        http.request("POST", "/", b"x" * size)
        http.getresponse().read()
        listener.recv(1)
        return (_peak(server.pid) - before) / size


def _peak(pid: int) -> int:
    return _kilobytes(f"/proc/{pid}/status", "VmHWM:")


def _slab() -> int:
    return _kilobytes("/proc/meminfo", "Slab:")


def _tcp() -> int:
    # In pages (tcp(7)).
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * 4 * KIB
    return 0


def _kilobytes(path: str, name: str) -> int:
    (line,) = [line for line in Path(path).read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) * KIB


def main() -> None:
    """Measure everything, and print what was found."""
    allow_open_files()

    def show(what: str, bytes_: float, note: Any = "") -> None:
        print(f"{what:44} {bytes_ / KIB:10,.2f} KiB  {note}", flush=True)

    with serving() as server:
        show("the server, when nobody is there", memory(server.pid))
    with tempfile.TemporaryDirectory() as folder:
        tls = Path(folder, "server.pem")
        certificate = trustme.CA().issue_cert("127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(tls))
        for name, request in _REQUESTS.items():
            for secure in (None, tls):
                found = connections(request, 1000 if secure else 3000, secure)
                label = f"{name}{', TLS' if secure else ''}, idle"
                show(label, found["server"], f"and {found['kernel'] / KIB:.2f} in the kernel")
        for secure in (None, tls):
            found = slow_readers(_SLOW, secure)
            label = f"slow reader{', TLS' if secure else ''}, beside that"
            show(label, found["server"], f"and {found['kernel'] / KIB:.2f} in the kernel")
    show("channel with a message of 64 bytes", channels(20_000))
    for count, size in ((102_400, 64), (6_400, 4096)):
        show(f"retained message of {size} bytes, beside these", messages(count, size))
    size = 64 * KIB * KIB
    print(f"{'posting the largest message':44} {largest(size):10,.2f} times its size")


if __name__ == "__main__":
    main()
