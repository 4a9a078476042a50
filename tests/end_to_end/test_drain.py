"""Stopping the real server one client after the other."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import AsyncExitStack, ExitStack, closing
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection as SyncClient

from tests.end_to_end.conftest import Curl
from tests.end_to_end.proxies import KEEPING, NGINX_TCP, NGINX_USER, Proxy
from tests.end_to_end.server import PATIENCE, Server, serving


async def closes(server: Server, count: int) -> list[tuple[float, int | None, list[str | bytes]]]:
    """Join so many clients and tell the server to stop.

    :returns: of each client, how many seconds later it was closed, with which code, and what it
        had heard. While they are there, one after the other plays.
    """
    async with AsyncExitStack() as stack:
        clients: list[ClientConnection] = [
            await stack.enter_async_context(connect(server.url())) for _ in range(count)
        ]
        server.process.send_signal(signal.SIGTERM)
        start = time.monotonic()

        async def listen(client: ClientConnection) -> tuple[float, int | None, list[str | bytes]]:
            await client.send("hello")
            heard = [note async for note in client]
            return time.monotonic() - start, client.close_code, heard

        return await asyncio.gather(*map(listen, clients))


def test_clients_are_closed_one_after_the_other(tmp_path: Path) -> None:
    """Over most of the time that there is, in any order; they play and hear until then."""
    with serving(tmp_path, "--drain=2") as server:
        found = asyncio.run(asyncio.wait_for(closes(server, 40), PATIENCE))
        assert server.ended() == 0
    moments = [moment for moment, _, _ in found]
    assert max(moments) - min(moments) > 1
    assert len({round(moment, 1) for moment in moments}) > 10
    assert moments != sorted(moments)
    assert {code for _, code, _ in found} == {1001}
    # Who is closed late has heard all that was played; nobody has missed something between.
    assert {note for _, _, heard in found for note in heard} == {"Echo: hello"}
    # One that is closed at once may not have come to play.
    assert max(len(heard) for _, _, heard in found) >= 35
    assert re.search(r"Seeing clients off within 2\.0 seconds: 40\.", server.text)
    assert re.search(r"All clients are gone: 0 had left, 40 were closed, 0 dropped\.", server.text)
    assert "Traceback" not in server.text


def plays(client: SyncClient) -> bool:
    """Whether a client that has not been closed so far can play and hears itself."""
    try:
        client.send("still here")
        return client.recv(timeout=PATIENCE) == "Echo: still here"
    except ConnectionClosed:
        return False


def test_while_it_drains(tmp_path: Path, curl: Curl) -> None:
    """It is alive and not ready, lets nobody in, and those who are there go on; a second signal
    ends it at once, whatever time there is."""
    with serving(tmp_path, "--drain=3600") as server, ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(500)]
        server.process.send_signal(signal.SIGTERM)
        server.wait_for(r"Seeing clients off within 50\.0 seconds: 500\.")
        assert curl(server.http("/healthz")).status == 200
        ready = curl(server.http("/readyz"))
        assert (ready.status, ready.body) == (503, b"shutting down\n")
        for refused in (
            curl(server.http("/"), "--header", "Accept: text/event-stream"),
            curl.post(server.http("/"), "hello"),
        ):
            assert refused.status == 503
            assert 1 <= int(refused.headers["retry-after"]) <= 3
        with pytest.raises(InvalidStatus) as caught:
            server.connect()
        assert caught.value.response.status_code == 503
        assert any(plays(client) for client in clients)
        assert server.stop(signal.SIGINT) == -signal.SIGINT


NGINX = """
{user}
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}

    upstream orchestra {{
        least_conn;
        server 127.0.0.1:{one};
        server 127.0.0.1:{two};
        keepalive 16;
    }}

    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://orchestra;
            proxy_next_upstream error timeout http_503 non_idempotent;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }}
    }}
}}
"""

HAPROXY = """
defaults
    mode http
    option abortonclose
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h

frontend public
    bind fd@{listener}
    default_backend orchestra

backend orchestra
    balance leastconn
    option httpchk GET /readyz
    retries 3
    retry-on conn-failure empty-response 503
    option redispatch 1
    server one 127.0.0.1:{one} check inter 2s fall 1
    server two 127.0.0.1:{two} check inter 2s fall 1
"""


class Balancer(Proxy):
    """A proxy in front of two servers, set up as docs/how-to/restart.rst has it."""

    def __init__(self, kind: str, folder: Path, one: int, two: int) -> None:
        self._two = two
        super().__init__(kind, folder, one, "", 0)

    def config(self, kind: str, folder: Path, port: int, path: str, another: int) -> str:
        """Its configuration."""
        return (NGINX if kind == NGINX_TCP else HAPROXY).format(
            folder=folder,
            listener=self.listener.fileno(),
            port=self.port,
            one=port,
            two=self._two,
            user=NGINX_USER,
        )


@pytest.mark.parametrize("kind", KEEPING)
def test_a_balancer_has_nobody_refused(tmp_path: Path, curl: Curl, kind: str) -> None:
    """While one of two servers drains, until it is gone, whoever comes is served by the other."""
    folders = [tmp_path / name for name in ("one", "two", "proxy")]
    for folder in folders:
        folder.mkdir()
    with (
        serving(folders[0], "--drain=3") as one,
        serving(folders[1]) as two,
        closing(Balancer(kind, folders[2], one.port, two.port)) as proxy,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(proxy.connect(f"/{number}")) for number in range(60)]
        one.process.send_signal(signal.SIGTERM)
        one.wait_for(r"Seeing clients off within [23]\.\d seconds: [23]\d\.")
        while one.process.poll() is None:
            with proxy.connect("/probe") as probe:
                probe.send("hello")
                assert probe.recv(timeout=PATIENCE) == "Echo: hello"
            assert curl.post(proxy.http("/probe"), "hello").status == 200
            with curl.stream(proxy.http("/probe")) as stream:
                assert stream.retry
        assert one.ended() == 0
        stay = sum(plays(client) for client in clients)
        assert 20 <= stay <= 40
        assert [client.close_code for client in clients].count(1001) == 60 - stay
        assert two.stop() == 0


def test_streams_are_told_when_to_come_back(tmp_path: Path, curl: Curl) -> None:
    """Each to another moment, behind all that was published before its end."""
    with serving(tmp_path, "--drain=1") as server, ExitStack() as stack:
        url = server.http("/strings")
        streams = [stack.enter_context(curl.stream(url)) for _ in range(20)]
        first = [stream.retry for stream in streams]
        assert curl.post(url, "the last note").status == 200
        server.process.send_signal(signal.SIGTERM)
        for stream in streams:
            assert [event.data for event in stream] == ["the last note"]
            assert stream.comments == ["going away"]
            assert stream.ended() == 0
        last = [stream.retry for stream in streams]
        assert server.ended() == 0
    assert last != first
    assert len(set(last)) > 10
    assert 1000 <= min(last) < max(last) <= 3000
    assert "Traceback" not in server.text
