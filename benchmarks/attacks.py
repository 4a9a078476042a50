"""Hostile clients, each in a process: ``python -m benchmarks.attacks KIND PORT SECONDS``."""

from __future__ import annotations

import os
import socket
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

from benchmarks.system import cores
from benchmarks.wire import frame, handshake

READY = "attacking"
"""What is printed when the attack has begun."""

_BLOCK = 64 * 1024
_AT_ONCE = 256


def _flood(
    unit: bytes, first: bytes = b"", headers: bytes = b""
) -> Callable[[int], Iterator[None]]:
    # The same frame again and again, as fast as the server takes it; what it answers is dropped.
    block = unit * max(1, _BLOCK // len(unit))

    def attack(port: int) -> Iterator[None]:
        with _joined(port, b"/flood?echo=0", headers) as client:
            client.sendall(first)
            client.setblocking(False)
            rest = memoryview(block)
            while True:
                with suppress(BlockingIOError):
                    client.recv(1 << 20)
                try:
                    rest = rest[client.send(rest) :] or memoryview(block)
                except BlockingIOError:
                    time.sleep(0)
                yield

    return attack


def _joined(port: int, path: bytes, headers: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    request = handshake(port).replace(b"GET / ", b"GET " + path + b" ")
    client.sendall(request[:-2] + headers + b"\r\n")
    answer = client.recv(4096)
    if headers and b"permessage-deflate" not in answer:
        raise SystemExit("the server does not compress")
    return client


def _bomb() -> bytes:
    # A message of a mebibyte, in a kilobyte.
    compressor = zlib.compressobj(9, wbits=-15)
    data = compressor.compress("ü".encode() * 2**19) + compressor.flush(zlib.Z_SYNC_FLUSH)
    whole = frame(data[:-4])
    return b"\xc1" + whole[1:]


def _visits(data: Callable[[int], bytes]) -> Callable[[int], Iterator[None]]:
    # Connections that come, say something, wait for an answer, and are gone.
    def attack(port: int) -> Iterator[None]:
        said = data(port)
        while True:
            with socket.create_connection(("127.0.0.1", port)) as client, suppress(OSError):
                client.sendall(said)
                client.recv(4096)
            yield

    return attack


def _half_open(port: int) -> Iterator[None]:
    # Handshakes that never end: new ones come all the time, the oldest are given up.
    clients: list[socket.socket] = []
    while True:
        clients.append(socket.create_connection(("127.0.0.1", port)))
        clients[-1].sendall(b"GET / HTTP/1.1\r\n")
        if len(clients) > _AT_ONCE:
            clients.pop(0).close()
        yield


ATTACKS: dict[str, Callable[[int], Iterator[None]]] = {
    "pings": _flood(frame(b"", opcode=9)),
    "large pings": _flood(frame(b"x" * 125, opcode=9)),
    "pongs": _flood(frame(b"", opcode=10)),
    "empty messages": _flood(frame(b"")),
    "large messages": _flood(frame("ü".encode() * 2**19)),
    "bombs": _flood(_bomb(), headers=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"),
    "empty fragments": _flood(b"\x00\x80\x12\x34\x56\x78", first=b"\x01\x80\x12\x34\x56\x78"),
    "joining and leaving": _visits(handshake),
    "bad requests": _visits(lambda port: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "bad frames": _visits(lambda port: handshake(port) + b"\xff" * 100),
    "unfinished requests": _half_open,
}


def main(kind: str, port: str, seconds: str) -> None:
    """Attack a server on this machine, for so long at the most."""
    os.sched_setaffinity(0, cores()[1])
    os.nice(19)  # those who measure share the core with it
    end = time.monotonic() + float(seconds)
    told = False
    for _ in ATTACKS[kind](int(port)):
        if not told:
            print(READY, flush=True)
            told = True
        if time.monotonic() > end:
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
