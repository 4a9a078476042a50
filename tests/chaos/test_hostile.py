"""Hostile clients against the real server.

What each of them may cost the others in time is measured by ``python -m benchmarks --hostile``.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.wire import handshake
from tests.chaos.siege import Siege, answer, flood, siege
from tests.end_to_end.server import PATIENCE, serving
from tests.frames import deflated, frame

MILLION = 1_000_000


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    """One server for all that does not need options of its own: it has to survive them all."""
    with siege(tmp_path_factory.mktemp("server"), "--compress") as server:
        yield server


@pytest.fixture(autouse=True)
def _checked(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each attack everybody else is still served."""
    yield
    if "besieged" in request.fixturenames:
        request.getfixturevalue("besieged").check()


def test_a_handshake_that_drips(tmp_path: Path) -> None:
    """Bytes that come one by one are no reason to wait longer than the timeout."""
    with siege(tmp_path, "--handshake-timeout", "1") as besieged:
        with besieged.attacker(b"GET / HTTP/1.1\r\n") as client:
            start = time.monotonic()
            for byte in b"X-Drop: drip\r\n" * 1000:
                if select.select([client], [], [], 0.05)[0]:
                    break
                client.sendall(bytes([byte]))
            assert answer(client) == b""
        assert 0.9 < time.monotonic() - start < PATIENCE
        besieged.wait_for_files()


def test_headers_without_end(besieged: Siege) -> None:
    """They are refused with 431 once they are longer than 16 KiB, however many more come."""
    with besieged.attacker(b"GET / HTTP/1.1\r\n" + b"X-More: and more\r\n" * 1000) as client:
        assert answer(client).startswith(b"HTTP/1.1 431 the request's head must be 16384 bytes")
    for _ in range(20):
        with besieged.attacker(b"GET / HTTP/1.1\r\nX: ") as client:
            assert not flood(client, b"x" * 65536, 1000)
    besieged.wait_for_files()


def test_a_thousand_handshakes_that_never_finish(tmp_path: Path) -> None:
    """They are held until the timeout, and are all gone after it."""
    with siege(tmp_path, "--handshake-timeout", "2") as besieged, ExitStack() as stack:
        beginning = handshake(besieged.server.port)[:-2]
        clients = [stack.enter_context(besieged.attacker(beginning)) for _ in range(1000)]
        besieged.check()
        for client in clients:
            assert answer(client) == b""
        besieged.wait_for_files()


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"HTTP/1.1", b"HTTP/1.0", 505),
        (b"HTTP/1.1", b"HTTP/2.0", 505),
        (b"HTTP/1.1", b"ICY/1.1", 505),
        (b"Version: 13", b"Version: 12", 426),
        (b"Version: 13", b"Version: -1", 426),
        (b"Version: 13", b"Version: " + b"9" * 5000, 400),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 400),
        (b"Sec-WebSocket-Key:", b"X-Key:", 400),
        (b"Host:", b"X-Host:", 400),
        (b"Connection: Upgrade", b"Connection: close", 400),
        (b"Origin: http://", b"Origin: http://evil.", 403),
        (b"GET /", b"GET /%00", 400),
        (b"GET /", b"GET /" + b"x" * 10_000, 400),
        (b"GET /", b"GET /%", 101),
        (b"GET /", b"GET /..", 101),
        (b"GET /", b"GET /../../etc/passwd", 101),
        (b"GET /", b"GET /%ff", 400),
        (b"GET /", b"GET /api/../x", 404),
    ],
)
def test_a_wrong_request(besieged: Siege, old: bytes, new: bytes, status: int) -> None:
    """It is answered once, with its status; a path is a name, and leads to no file."""
    request = handshake(besieged.server.port)
    assert old in request
    with besieged.attacker(request.replace(old, new, 1)) as client:
        if status == 101:
            assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
        else:
            assert answer(client).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"GET", b"PATCH", 405),
        (b"Upgrade: websocket", b"Upgrade: h2c", 426),
        (b"Upgrade: websocket\r\n", b"", 426),
    ],
)
def test_a_request_that_is_no_handshake(
    besieged: Siege, old: bytes, new: bytes, status: int
) -> None:
    """It is answered all the same, and the connection kept if that is wanted."""
    request = handshake(besieged.server.port).replace(old, new, 1)
    with besieged.attacker(request) as client:
        assert client.recv(4096).startswith(b"HTTP/1.1 %d " % status)
        client.sendall(request.replace(b"Connection: Upgrade", b"Connection: close"))
        assert answer(client).startswith(b"HTTP/1.1 %d " % status)


def test_requests_that_are_smuggled(besieged: Siege) -> None:
    """What follows a refusal is not read, and what follows a handshake is frames."""
    request = handshake(besieged.server.port)
    with besieged.attacker(request.replace(b"Key:", b"X:") + request) as client:
        assert answer(client).count(b"HTTP/1.1 ") == 1
    for header in (b"Content-Length: 500", b"Transfer-Encoding: chunked"):
        with besieged.attacker(request[:-2] + header + b"\r\n\r\n" + request) as client:
            received = answer(client)
        assert received.startswith(b"HTTP/1.1 400 a request for a WebSocket has no body")
        assert received.count(b"HTTP/1.1 ") == 1
    with besieged.attacker(request + request) as client:
        client.settimeout(PATIENCE)
        received = client.recv(4096)
        while b"\x03\xea" not in received:  # 1002
            received += client.recv(4096)
        assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("opcode", [0, 1, 2, 8, 9, 10])
def test_a_frame_that_never_comes(besieged: Siege, opcode: int) -> None:
    """One of 2^63 bytes is not waited for, and what comes of it is not kept."""
    for _ in range(20):
        with besieged.joined() as client:
            client.sendall(frame(opcode=opcode, length=2**63 - 1))
            flood(client, b"x" * 65536, 100)


def test_a_flood_of_pings(besieged: Siege) -> None:
    """Answers that are not read are not kept."""
    with besieged.joined() as client:
        assert flood(client, frame(b"x" * 125, opcode=9) * 1000, 100)
        besieged.check()


def test_a_flood_of_pongs(besieged: Siege) -> None:
    """Nobody asked for them, and nobody keeps them."""
    with besieged.joined() as client:
        assert flood(client, frame(b"", opcode=10) * 1000, 200)
        besieged.check()


def test_a_million_empty_messages(besieged: Siege) -> None:
    """They are messages, and no more of them is kept than of others."""
    with besieged.joined("/attack?echo=0") as client:
        assert flood(client, frame(b"") * 1000, MILLION // 1000)
        besieged.check()
        client.sendall(frame(b"done", opcode=9))
        client.settimeout(PATIENCE)
        assert client.recv(4096) == b"\x8a\x04done"


def test_a_message_in_a_million_fragments(besieged: Siege) -> None:
    """Empty ones are no end of it, and not kept; in the end it is heard like any other."""
    with besieged.joined() as client:
        client.sendall(frame(b"hello", fin=False))
        assert flood(client, frame(b"", opcode=0, fin=False) * 1000, MILLION // 1000)
        besieged.check()
        client.sendall(frame(b"", opcode=0))
        client.settimeout(PATIENCE)
        assert client.recv(4096) == b"\x81\x0bEcho: hello"


@pytest.mark.parametrize("mebibytes", [1.01, 200])
def test_a_bomb(besieged: Siege, mebibytes: float) -> None:
    """It is inflated up to the size of a message, and then it is 1009."""
    bomb = frame(deflated(b"\0" * int(mebibytes * 2**20)), rsv=4)
    offer = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    request = handshake(besieged.server.port).replace(b"GET /", b"GET /bomb")[:-2] + offer
    for _ in range(10):
        with besieged.attacker(request) as client:
            client.settimeout(PATIENCE)
            received = client.recv(4096)
            assert b"permessage-deflate" in received
            client.sendall(bomb)
            while b"\x03\xf1" not in received:  # 1009
                received += client.recv(4096)
        besieged.check()


@pytest.mark.parametrize("leaving", ["at once", "after the handshake", "with a reset"])
def test_ten_thousand_come_and_go(besieged: Siege, leaving: str) -> None:
    """Nothing stays behind of them."""
    request = handshake(besieged.server.port).replace(b"GET /", b"GET /crowd")
    for number in range(10_000):
        with besieged.attacker(number=2 + number % 50) as client:
            if leaving == "at once":
                continue
            client.sendall(request)
            client.recv(12)
            if leaving == "with a reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    besieged.wait_for_files()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_is_injected_into_the_log(tmp_path: Path, log_format: str) -> None:
    """Notes, paths, close reasons and headers: one line for each event, and no control in it."""
    evil = "x\n2000-01-01 [-] forged\r\x1b[2Jgone\x9b31m\u202e\u2028\x00\x7f"
    with serving(tmp_path, "--log-format", log_format) as server:
        with server.connect("/%E2%80%AEevil") as client:
            client.send(evil)
            assert client.recv(timeout=PATIENCE) == "Echo: " + evil
            client.close(4000, "r\n\x1b[2J\u2028")
        for line in ("GET /\x1b[2J HTTP/1.1", "GET /%0d%0aforged HTTP/1.1", "\x1b]0;x\x07"):
            request = handshake(server.port).replace(b"GET / HTTP/1.1", line.encode())
            with socket.create_connection(("127.0.0.1", server.port)) as refused:
                refused.sendall(request.replace(b"Origin: ", b"Origin: \x9b"))
                assert answer(refused).startswith(b"HTTP/1.1 4")
        server.wait_for("has left")
        assert server.stop() == 0
    assert "forged" in server.text  # within a line, escaped
    for line in server.log:
        assert line.isprintable() or log_format == "json"
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)
        if log_format == "json":
            json.loads(line)
        else:
            assert not line.startswith("2000-01-01")
