"""Stopping the real server one client after the other."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection as SyncClient

from tests.end_to_end.conftest import Curl
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
    assert max(len(heard) for _, _, heard in found) == 40
    assert re.search(r"Seeing 40 clients off in 2\.0 seconds\.", server.text)
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
        server.wait_for(r"Seeing 500 clients off in 50\.0 seconds\.")
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
