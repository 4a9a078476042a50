"""What nobody should find in the log: whatever a request has, but for the name of its channel."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.end_to_end.conftest import Curl
from tests.end_to_end.server import PATIENCE, Server, serving, tls_endpoint

SECRET = "Sw0rdf1sh"
TOKEN = f"token={SECRET}"
HANDSHAKE = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
CREDENTIALS = {"Authorization": f"Bearer {SECRET}", "Cookie": f"session={SECRET}"}


def head(
    line: str = f"GET /strings?{TOKEN} HTTP/1.1", less: str = "", more: str = "", **other: str
) -> bytes:
    """A handshake with secrets in it.

    :param less: a header that it does not have.
    :param more: further lines.
    :param other: headers that it has in place of the usual ones, with underscores in their names.
    """
    headers = {**HANDSHAKE, **CREDENTIALS}
    headers |= {name.replace("_", "-"): value for name, value in other.items()}
    headers.pop(less, None)
    lines = [line, *(f"{name}: {value}" for name, value in headers.items()), more]
    return ("\r\n".join(lines).rstrip("\r\n") + "\r\n\r\n").encode("iso-8859-1")


HANDSHAKES = [
    head(),
    head(more=f"Sec-WebSocket-Protocol: {SECRET}"),
    head(more=f"Sec-WebSocket-Protocol: bearer, {SECRET}"),
    head(more=f"Sec-WebSocket-Protocol: {SECRET}, {SECRET}"),
    head(more=f"Sec-WebSocket-Extensions: {SECRET}; x={SECRET}"),
    head(more=f"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={SECRET}"),
    head(more=f"Sec-WebSocket-Extensions: {SECRET}\r\nSec-WebSocket-Extensions: {SECRET}"),
    head(more=f"X-Forwarded-For: {SECRET}\r\nForwarded: for=_{SECRET}"),
    head(more=f'Forwarded: for={SECRET}; by="'),
    head(Origin=f"https://{SECRET}.example"),
    head(Origin=f"{SECRET}"),
    head(more=f"Origin: http://{SECRET}\r\nOrigin: http://{SECRET}"),
    head(Host=f"{SECRET}:80"),
    head(Host=f"x:{SECRET}"),
    head(Host=f"{SECRET}@x"),
    head(more=f"Host: {SECRET}"),
    head(less="Host"),
    head(Upgrade=f"websocket, {SECRET}"),
    head(Upgrade=f"{SECRET}websocket"),
    head(Upgrade=SECRET),
    head(less="Upgrade"),
    head(Connection=SECRET),
    head(less="Connection"),
    head(Sec_WebSocket_Version=SECRET),
    head(Sec_WebSocket_Version="12"),
    head(less="Sec-WebSocket-Version"),
    head(Sec_WebSocket_Key=SECRET),
    head(Sec_WebSocket_Key=f"{SECRET:!<22}=="),
    head(Sec_WebSocket_Key=f"{SECRET:x<24}"),
    head(less="Sec-WebSocket-Key"),
    head(more=f"Content-Length: {SECRET}"),
    head(more=f"Transfer-Encoding: {SECRET}"),
    head(more=f"{SECRET}"),
    head(more=f"{SECRET} : {SECRET}"),
    head(more=f" {SECRET}"),
    head(more=f"X: {SECRET}\x01"),
    head(more=f"X: {SECRET * 3000}"),
    head(f"GET /api/{SECRET}?{TOKEN} HTTP/1.1"),
    head(f"GET /{SECRET}%00?{TOKEN} HTTP/1.1"),
    head(f"GET /{SECRET}%ff?{TOKEN} HTTP/1.1"),
    head(f"GET /{SECRET * 50}?{TOKEN} HTTP/1.1"),
    head(f"GET /?last={SECRET} HTTP/1.1"),
    head(f"GET /?echo={SECRET} HTTP/1.1"),
    head(f"GET /?since={SECRET} HTTP/1.1"),
    head(f"GET /?presence={SECRET} HTTP/1.1"),
    head("GET /?" + "&".join([TOKEN] * 200) + " HTTP/1.1"),
    head(f"GET /?{TOKEN}#{SECRET} HTTP/1.1"),
    head(f"GET //[{SECRET}?{TOKEN} HTTP/1.1"),
    head(f"GET http://user:{SECRET}@x/?{TOKEN} HTTP/1.1"),
    head(f"GET http://[{SECRET}/ HTTP/1.1"),
    head(f"GET /?{TOKEN} HTTP/1.0"),
    head(f"GET /?{TOKEN} {SECRET}"),
    head(f"GET /?{TOKEN}"),
    head(f"GET /?{TOKEN} x HTTP/1.1"),
    head(f"{SECRET} /?{TOKEN} HTTP/1.1"),
    head(SECRET),
    head(f"POST /?{TOKEN} HTTP/1.1", Content_Length="9" * 5000),
    SECRET.encode() * 5000,
    b"\r\n\r\n" + head(),
    b"\x16\x03\x01\x02\x00" + SECRET.encode() + b"\r\n\r\n",
]
"""What is sent on a connection of its own, and is a handshake more or less."""

POSTED = SECRET.encode()
REQUESTS: list[tuple[bytes | None, list[str]]] = [
    (None, []),
    (None, ["--header", "Accept: text/html"]),
    (None, ["--header", "Accept: text/event-stream", "--header", f"Origin: http://{SECRET}"]),
    (None, ["--request", SECRET]),
    (None, ["--request", "PUT"]),
    (None, ["--request", "OPTIONS", "--header", f"Access-Control-Request-Headers: {SECRET}"]),
    (None, ["--head"]),
    (POSTED, []),
    (POSTED, ["--header", f"Content-Type: {SECRET}"]),
    (POSTED, ["--header", f"Content-Type: text/plain; charset={SECRET}"]),
    (POSTED, ["--header", f"Content-Encoding: {SECRET}"]),
    (POSTED, ["--header", f"Content-Type: multipart/form-data; boundary={SECRET}"]),
    (POSTED, ["--header", "Content-Type: application/x-www-form-urlencoded"]),
    (POSTED, ["--header", f"Idempotency-Key: {SECRET}"]),
    (POSTED + b"x", ["--header", f"Idempotency-Key: {SECRET}"]),
    (POSTED, ["--header", f"Idempotency-Key: {SECRET * 40}"]),
    (POSTED + b"\xff", ["--header", "Content-Type: text/plain"]),
    (POSTED * 200, []),
    (POSTED * 200, ["--header", "Transfer-Encoding: chunked"]),
    (POSTED, ["--header", f"Last-Event-ID: {SECRET}"]),
    (POSTED, ["--header", f"Expect: {SECRET}"]),
    (POSTED, ["--user", f"user:{SECRET}"]),
]
"""Bodies that are posted, and further options of curl."""


def send(server: Server, *pieces: bytes) -> bytes:
    """Send something, and read what comes first after each piece."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        for data in pieces:
            client.sendall(data)
            with suppress(ConnectionResetError):
                answer += client.recv(65536)
    return answer


@pytest.fixture(params=["text", "json"])
def secretive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server whose log has no notes, and that has stopped well with no secret in it."""
    options = ["--log-notes=off", f"--log-format={request.param}", "--max-message-size=1000"]
    options += ["--trusted-proxy=127.0.0.1", "--close-timeout=1"]
    with serving(tmp_path, *options) as server:
        yield server
        assert server.stop() == 0
    if request.param == "json":
        for line in server.log:
            assert isinstance(json.loads(line), dict)
    assert "Traceback" not in server.text
    assert SECRET not in server.text
    assert POSTED.hex() not in server.text


def test_a_handshake(secretive: Server) -> None:
    """However wrong it is, neither the log nor the reason of the refusal repeats any of it."""
    statuses = set()
    for data in HANDSHAKES:
        answer = send(secretive, data)
        assert answer.startswith(b"HTTP/1.1 "), data
        assert POSTED not in answer, data
        statuses.add(int(answer.split()[1]))
    assert statuses >= {101, 400, 403, 404, 405, 426, 431, 505}


def test_a_request(secretive: Server, curl: Curl) -> None:
    """Nor what is asked for, how, or what is posted, whether that is played or not."""
    statuses = set()
    more = [f"-H{name}: {value}" for name, value in CREDENTIALS.items()]
    for path in ("/strings", f"/api/{SECRET}", "/healthz"):
        for body, options in REQUESTS:
            url = secretive.http(f"{path}?{TOKEN}")
            if body is None:
                answer = curl(url, *more, *options)
            else:
                kind = "" if any("Content-Type" in option for option in options) else "text/plain"
                answer = curl.post(url, body, *more, *options, kind=kind)
            statuses.add(answer.status)
    assert statuses >= {200, 204, 400, 403, 404, 405, 413, 415, 422, 426}


def test_what_is_played(secretive: Server) -> None:
    """Nor a message, a ping, the reason of a close, or frames that are wrong."""
    hello = f"hello {SECRET}"
    with secretive.connect("/strings") as listener:
        for message in (hello, hello.encode()):
            listener.send(message)
            assert SECRET in str(listener.recv(timeout=PATIENCE))
        listener.ping(SECRET).wait(PATIENCE)
        listener.close(4000, SECRET)
    with secretive.connect("/strings") as client:
        client.send(hello * 100)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=PATIENCE)
    frames = [
        b"\x81\x89\0\0\0\0" + POSTED[:-1] + b"\xff",  # no UTF-8
        b"\xf1\x89\0\0\0\0" + POSTED,  # reserved bits
        b"\x87\x89\0\0\0\0" + POSTED,  # an unknown opcode
        b"\x81\x09" + POSTED,  # not masked
        b"\x88\x89\0\0\0\0" + POSTED,  # a close with no code that there is
        b"\x88\x8b\0\0\0\0\x03\xe8" + POSTED[:-1] + b"\xff",
        POSTED * 10,
    ]
    for data in frames:
        assert b" 101 " in send(secretive, head(), data)
    secretive.wait_for("has left|left")


def test_over_tls(tmp_path: Path) -> None:
    """Nor what comes to a place where TLS is spoken, and is none."""
    endpoint, _ = tls_endpoint(tmp_path)
    with serving(tmp_path, "--listen", endpoint) as server:
        send(server, head())
        send(server, b"\x16\x03\x01\x00\x09" + POSTED)
        send(server, POSTED * 100)
        server.wait_for("TLS with .* failed")
        assert server.stop() == 0
    assert SECRET not in server.text
    assert "Traceback" not in server.text
