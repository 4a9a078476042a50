"""TLS of the real server, with clients that verify it: certificates, and reloading them."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.certificates import Issuer, serial
from tests.end_to_end.conftest import Curl
from tests.end_to_end.server import PATIENCE, TWISTD, Server, serving

KINDS = ("port", "endpoint")


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


def speaking(issuer: Issuer, kind: str = "port") -> tuple[str, ...]:
    """The options with which a port speaks TLS, in either way."""
    if kind == "port":
        return ("--port=0", f"--tls-certificate={issuer.certificate}", f"--tls-key={issuer.key}")
    return (
        "--listen",
        f"ssl:0:interface=127.0.0.1:privateKey={issuer.key}:certKey={issuer.certificate}",
    )


def run(test: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 2 * PATIENCE))


def secure(server: Server, issuer: Issuer, path: str = "/") -> connect:
    """A client that verifies; the asyncio one, which gets on with version 1.3."""
    url = f"wss://127.0.0.1:{server.port}{path}"
    return connect(url, ssl=issuer.trust, max_size=None, open_timeout=PATIENCE)


def shown(client: ClientConnection) -> int:
    """The serial number of the certificate that a client was shown."""
    return serial(client.transport.get_extra_info("ssl_object").getpeercert(binary_form=True))


async def heard(client: ClientConnection) -> str:
    return str(await asyncio.wait_for(client.recv(), PATIENCE))


def hang_up(server: Server, pattern: str) -> re.Match[str]:
    """Have it reload, and wait for what it says of that."""
    server.process.send_signal(signal.SIGHUP)
    return server.wait_for(pattern)


def test_a_certificate_is_all_it_takes(tmp_path: Path, issuer: Issuer, curl: Curl) -> None:
    """WebSockets, posts and event streams, over TLS 1.3 and 1.2, and HTTP/1.1 is agreed on."""
    issuer.issue(behind=True)
    root = tmp_path / "root.pem"
    root.write_bytes(issuer.authority.cert_pem.bytes())
    options = ("--port=0", f"--tls-certificate={issuer.certificate}")

    async def play(server: Server) -> None:
        async with secure(server, issuer, "/strings") as alice:
            assert alice.transport.get_extra_info("ssl_object").version() == "TLSv1.3"
            for more in (("--tls-max", "1.2"), ("--tlsv1.3",), ("--http1.0",)):
                url = f"https://127.0.0.1:{server.port}/strings"
                answer = await asyncio.to_thread(
                    curl.post, url, "C#4", "--cacert", str(root), *more
                )
                assert answer.status == 200
                assert await heard(alice) == "Echo: C#4"

    with serving(tmp_path, *options) as server:
        run(play(server))
        url = f"https://127.0.0.1:{server.port}/strings?last=1"
        with curl.stream(url, "--cacert", str(root)) as stream:
            assert stream.hear().data == "C#4"
        assert server.stop() == 0
    assert "Traceback" not in server.text
    assert re.search(
        rf"The certificate {issuer.certificate} is for 127\.0\.0\.1, until \d{{4}}-", server.text
    )


@pytest.mark.parametrize("authority", ["the same authority", "another authority"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_certificate(tmp_path: Path, issuer: Issuer, kind: str, authority: str) -> None:
    """Who is there plays on; who comes then is shown the new certificate; both hear each other."""
    first = issuer.issue()

    async def play(server: Server) -> None:
        async with secure(server, issuer) as old:
            assert shown(old) == first
            renewed = issuer if authority == "the same authority" else Issuer(tmp_path)
            second = renewed.issue("127.0.0.1", "example.com")
            line = await asyncio.to_thread(hang_up, server, "Reloaded the certificate (.*)")
            assert line[1].startswith(f"{issuer.certificate}: for 127.0.0.1, example.com, until ")
            async with secure(server, renewed) as new:
                assert shown(new) == second != first
                await old.send("hello")
                assert await heard(new) == await heard(old) == "Echo: hello"
                await new.send("hello, too")
                assert await heard(new) == await heard(old) == "Echo: hello, too"
            if renewed is not issuer:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await secure(server, issuer)

    with serving(tmp_path, *speaking(issuer, kind)) as server:
        run(play(server))
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_reload_that_fails(tmp_path: Path, issuer: Issuer, kind: str) -> None:
    """The log says which file and why, in a line; all stays as it was, until it succeeds."""
    first = issuer.issue()

    async def play(server: Server) -> None:
        async with secure(server, issuer) as old:
            key = issuer.key.read_bytes()
            second = issuer.issue()
            new_key = issuer.key.read_bytes()
            issuer.key.write_bytes(new_key[: len(new_key) // 2])
            failed = "Reloading failed, all stays as it was: (.*)"
            line = await asyncio.to_thread(hang_up, server, failed)
            assert line[1].startswith(f"{issuer.key}: is not whole")
            issuer.key.write_bytes(key)
            line = await asyncio.to_thread(hang_up, server, failed)
            assert line[1] == (
                f"{issuer.key}: has not the private key of the first certificate in "
                f"{issuer.certificate}"
            )
            issuer.encrypt_key()
            line = await asyncio.to_thread(hang_up, server, failed)
            assert line[1] == f"{issuer.key}: has a private key that is encrypted"
            async with secure(server, issuer) as late:
                assert shown(late) == first
                await late.send("hello")
                assert await heard(old) == await heard(late) == "Echo: hello"
            issuer.key.write_bytes(new_key)
            await asyncio.to_thread(hang_up, server, "Reloaded the certificate")
            async with secure(server, issuer) as new:
                assert shown(new) == second

    with serving(tmp_path, *speaking(issuer, kind)) as server:
        run(play(server))
        assert server.stop() == 0
    assert "Traceback" not in server.text


def test_nothing_is_lost_while_it_reloads(tmp_path: Path, issuer: Issuer) -> None:
    """Ten thousand messages flow across fifty reloads, each once and in order, to everybody."""
    issuer.issue()
    messages, reloads = 10_000, 50

    async def listen(client: ClientConnection) -> None:
        for number in range(messages):
            assert await heard(client) == f"Echo: {number}"

    async def play(server: Server) -> None:
        async with secure(server, issuer) as alice, secure(server, issuer) as bob:
            listening = asyncio.gather(listen(alice), listen(bob))
            for number in range(messages):
                await alice.send(str(number))
                if number % (messages // reloads) == 0:
                    issuer.issue()
                    server.process.send_signal(signal.SIGHUP)
                    async with secure(server, issuer):
                        pass
            await listening

    memory = f"--history-messages={messages}"
    with serving(tmp_path, *speaking(issuer), memory) as server:
        run(play(server))
        assert server.stop() == 0
    assert server.text.count("Reloaded the certificate") > reloads / 2
    assert "Reloading failed" not in server.text
    assert "Traceback" not in server.text


def test_sighup_without_anything_to_reload(tmp_path: Path) -> None:
    """By default that signal ends a process; this one goes on, and logs it."""
    with serving(tmp_path) as server:
        with server.connect() as alice:
            hang_up(server, "Received SIGHUP; there is nothing to reload.")
            alice.send("hello")
            assert alice.recv(timeout=PATIENCE) == "Echo: hello"
        assert server.stop() == 0


def test_a_daemon_in_another_directory(tmp_path: Path, issuer: Issuer) -> None:
    """Where twistd changes the directory, files are still those that were meant at the start."""
    first = issuer.issue(days=3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log, pid = tmp_path / "twistd.log", tmp_path / "twistd.pid"
    command = [TWISTD, f"--rundir={elsewhere}", f"--logfile={log}", f"--pidfile={pid}"]
    command += ["orchestra", "--port=0", "--tls-certificate=cert.pem", "--tls-key=key.pem"]
    command += [f"--listen=ssl:{port}:interface=127.0.0.1:privateKey=key.pem:certKey=cert.pem"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=PATIENCE)
    process = os.pidfd_open(int(pid.read_text()))

    async def play() -> None:
        url = f"wss://127.0.0.1:{port}/"
        async with connect(url, ssl=issuer.trust, open_timeout=PATIENCE) as old:
            assert shown(old) == first
            assert log.read_text().count(f"{issuer.certificate} expires soon, on ") == 2
            second = issuer.issue()
            signal.pidfd_send_signal(process, signal.SIGHUP)
            while log.read_text().count(f"Reloaded the certificate {issuer.certificate}: ") < 2:
                await old.send("hello")
                assert await heard(old) == "Echo: hello"
            async with connect(url, ssl=issuer.trust, open_timeout=PATIENCE) as new:
                assert shown(new) == second

    try:
        run(play())
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended_in_time, _, _ = select.select([process], [], [], PATIENCE)
        assert ended_in_time
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        os.close(process)
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_plain_text_where_tls_is_spoken(tmp_path: Path, issuer: Issuer, kind: str) -> None:
    """It gets no answer in plain text, its connection ends, and the log has no traceback."""
    issuer.issue()
    with serving(tmp_path, *speaking(issuer, kind)) as server:
        for sent in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", bytes(100), b"\x16\x03\x01"):
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
                plain.sendall(sent)
                plain.shutdown(socket.SHUT_WR)
                answer = plain.makefile("rb").read()
            assert b"HTTP" not in answer
            assert len(answer) <= 7  # an alert (RFC 8446 section 6) at the most
        assert server.stop() == 0
    assert server.text.count("failed: http request") == 1
    for word in ("Traceback", "Unhandled", "#error", "#critical"):
        assert word not in server.text


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_tls_1_1(tmp_path: Path, issuer: Issuer, kind: str) -> None:
    """It is refused (RFC 8996), and the log has no traceback."""
    issuer.issue()
    trust = issuer.trust
    trust.minimum_version = trust.maximum_version = ssl.TLSVersion.TLSv1_1
    trust.set_ciphers("DEFAULT:@SECLEVEL=0")  # or this client would not even ask
    with serving(tmp_path, *speaking(issuer, kind)) as server:
        with (
            socket.create_connection(("127.0.0.1", server.port), PATIENCE) as old,
            pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"),
        ):
            trust.wrap_socket(old, server_hostname="127.0.0.1")
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_handshake_that_does_not_end(
    tmp_path: Path, issuer: Issuer, kind: str, sent: bytes
) -> None:
    """TLS has to be agreed on within the handshake's timeout, or the connection is dropped."""
    issuer.issue()
    with serving(tmp_path, *speaking(issuer, kind), "--handshake-timeout=0.5") as server:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as slow:
            slow.sendall(sent)
            begun = time.monotonic()
            with suppress(ConnectionResetError):
                assert slow.recv(100) == b""
            assert time.monotonic() - begun > 0.4, "it was not the timeout"
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--tls-certificate=none.pem"], ["--tls-certificate none.pem: No such file", "PEM file"]),
        (["--tls-certificate=cert.pem"], ["--tls-certificate cert.pem: has no private key"]),
        (["--tls-key=key.pem"], ["--tls-key key.pem: goes only with a tls-certificate"]),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, issuer: Issuer, options: list[str], parts: list[str]
) -> None:
    """It names the option, the value and what is allowed; no traceback, and exit status 1."""
    issuer.issue()
    command = [TWISTD, "-n", "orchestra", *options]
    ended = subprocess.run(command, cwd=tmp_path, timeout=PATIENCE, capture_output=True, text=True)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    for part in parts:
        assert part in line
    assert "Traceback" not in ended.stdout
