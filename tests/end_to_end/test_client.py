"""The client against the real server process, in the real reactor."""

from __future__ import annotations

import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_twisted
from OpenSSL.crypto import FILETYPE_ASN1
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import deferLater
from twisted.logger import LogEvent
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

from orchestra.client import (
    OrchestraClient,
    Position,
    Received,
    RequestRefusedError,
    Subscription,
)
from orchestra.client.subscription import ROOM
from tests.end_to_end.server import PATIENCE, TWISTD, serving, started, tls_endpoint
from tests.end_to_end.test_examples import EXAMPLES, free_port
from tests.events import lines

pytestmark = pytest.mark.usefixtures("log")

T = TypeVar("T")
reactor: Any = global_reactor

CONTENTS: list[tuple[bytes, bool]] = [
    (b"", False),
    (b"", True),
    (b"hello", False),
    ("Grüße 🎻\0\x7f\ufeff".encode(), False),
    (b"\r", False),
    (b"\n", False),
    (b"\r\n", False),
    (b"a\rb\nc\r\nd\n\re\n\n\r\r", False),
    (b"data: x\n\nid: e:1\n\n", False),
    (bytes(range(256)), True),
    (b"\xff\r\n" * 1000, True),
    (b"x" * 1024 * 1024, False),
    (b"\r\n" * (512 * 1024), False),
    (b"\0" * 1024 * 1024, True),
]
"""Each a payload, and whether it is binary."""


@asynccontextmanager
async def running(url: str, agent: Agent | None = None) -> AsyncIterator[OrchestraClient]:
    """A client that runs until the block is left, and then has closed its connections."""
    client = OrchestraClient(url, agent=agent, retry_policy=lambda failed: min(0.05 * failed, 1))
    client.startService()
    try:
        yield client
    finally:
        await client.stopService()
    assert not client._streams


async def soon(awaitable: Awaitable[T]) -> T:
    """What is awaited, if it comes in time."""

    async def wait() -> T:
        return await awaitable

    waiting: Deferred[T] = Deferred.fromCoroutine(wait())
    return await waiting.addTimeout(PATIENCE, reactor)


async def some_of(subscription: Subscription, count: int) -> list[Received]:
    """The next messages, so many of them."""
    return [await soon(subscription.__anext__()) for _ in range(count)]


async def begun(subscription: Subscription) -> None:
    """Wait until its stream has begun, so that it hears what is played from now on."""

    async def wait() -> None:
        while subscription.received is None:
            await deferLater(reactor, 0.01)

    await soon(wait())


@pytest_twisted.ensureDeferred
async def test_it_listens_and_plays(tmp_path: Path) -> None:
    """With a callback and by iteration, among clients of WebSockets."""
    with serving(tmp_path) as server:
        async with running(f"http://127.0.0.1:{server.port}") as client:
            heard: Deferred[Received] = Deferred()
            await begun(client.subscribe("strings", heard.callback))
            winds = client.subscribe("winds")
            await begun(winds)
            with server.connect("/strings") as alice, server.connect("/winds") as bob:
                alice.send("from a WebSocket")
                message = await soon(heard)
                assert message[:2] == (b"from a WebSocket", False)
                assert message.position.offset == 1
                first = await soon(client.publish("winds", b"from a client"))
                second = await soon(client.publish("winds", b"\xff", is_binary=True))
                assert bob.recv(timeout=PATIENCE) == "Echo: from a client"
                assert bob.recv(timeout=PATIENCE) == b"\xff"
            assert await some_of(winds, 2) == [
                (b"from a client", False, first),
                (b"\xff", True, second),
            ]
            assert second == Position(first.epoch, first.offset + 1)
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest_twisted.ensureDeferred
async def test_contents_are_exact(tmp_path: Path) -> None:
    """To the byte: all that can be published, as it is played and from the past."""
    with serving(tmp_path, "--history-bytes", "100000000") as server:
        async with running(f"http://127.0.0.1:{server.port}/") as client:
            present = client.subscribe("strings")
            await begun(present)
            published = [client.publish("strings", *content) for content in CONTENTS]
            positions = await soon(gatherResults(published))
            past = client.subscribe("strings", last=len(CONTENTS))
            since = client.subscribe("strings", since=positions[3])
            expected = [
                (*content, position) for content, position in zip(CONTENTS, positions, strict=True)
            ]
            assert await some_of(present, len(CONTENTS)) == expected
            assert await some_of(past, len(CONTENTS)) == expected
            assert await some_of(since, len(CONTENTS) - 4) == expected[4:]
        assert server.stop() == 0


@pytest_twisted.ensureDeferred
async def test_many_channels(tmp_path: Path) -> None:
    """Each subscription hears its own channel, all of it, in the order in which it was played."""
    with serving(tmp_path) as server:
        async with running(f"http://127.0.0.1:{server.port}/") as client:
            channels = [f"section/{number} {'ä' * number}" for number in range(50)]
            subscriptions = [client.subscribe(channel) for channel in channels]
            for subscription in subscriptions:
                await begun(subscription)
            for number in range(20):
                for channel in channels:
                    client.publish(channel, f"{channel}: {number}".encode())
            for channel, subscription in zip(channels, subscriptions, strict=True):
                messages = await some_of(subscription, 20)
                assert [message.payload.decode() for message in messages] == [
                    f"{channel}: {number}" for number in range(20)
                ]
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@pytest_twisted.ensureDeferred
async def test_another_server_takes_over(tmp_path: Path, number: signal.Signals) -> None:
    """It is found by itself; that its past is another one is told, and nothing is lost of it."""
    port = free_port()
    here = ("--listen", f"tcp:{port}:interface=127.0.0.1")
    gaps: list[int | None] = []
    with serving(tmp_path, *here) as server:
        client = OrchestraClient(
            f"http://127.0.0.1:{port}/", retry_policy=lambda failed: min(0.05 * failed, 1)
        )
        client.startService()
        subscription = client.subscribe("strings", on_gap=gaps.append)
        await begun(subscription)
        first = await soon(client.publish("strings", b"first"))
        assert await some_of(subscription, 1) == [(b"first", False, first)]
        server.stop(number)
    between = client.publish("strings", b"between")
    await deferLater(reactor, 0.3)
    assert not between.called
    with serving(tmp_path, *here) as server:
        second = await soon(between)
        assert await some_of(subscription, 1) == [(b"between", False, second)]
        assert second.epoch != first.epoch
        assert gaps == [None]
        await client.stopService()
        assert server.stop() == 0


@pytest_twisted.ensureDeferred
async def test_whoever_was_away_for_too_long_is_told(tmp_path: Path) -> None:
    """With how many messages are gone, and goes on with the oldest there is."""
    with serving(tmp_path, "--history-messages", "10") as server:
        async with running(f"http://127.0.0.1:{server.port}/") as client:
            positions = [await soon(client.publish("strings", b"%d" % n)) for n in range(30)]
            gaps: list[int | None] = []
            subscription = client.subscribe("strings", since=positions[4], on_gap=gaps.append)
            messages = await some_of(subscription, 10)
            assert [message.payload for message in messages] == [b"%d" % n for n in range(20, 30)]
            assert gaps == [15]
        assert server.stop() == 0


@pytest_twisted.ensureDeferred
async def test_a_slow_listener_holds_little(tmp_path: Path) -> None:
    """The rest waits in the server, and comes when it is taken, all of it and in order."""
    note, count = b"x" * 100_000, 200
    with serving(tmp_path, "--history-bytes", "100000000") as server:
        async with running(f"http://127.0.0.1:{server.port}/") as client:
            subscription = client.subscribe("strings", last=count)
            await begun(subscription)
            for number in range(count):
                await soon(client.publish("strings", b"%d " % number + note))
            assert subscription.is_paused
            assert subscription._size < ROOM + 200_000
            messages = await some_of(subscription, count)
            assert [message.payload.split()[0] for message in messages] == [
                b"%d" % number for number in range(count)
            ]
        assert server.stop() == 0


@pytest_twisted.ensureDeferred
async def test_over_tls(tmp_path: Path, log: list[LogEvent]) -> None:
    """With an agent that trusts the server; one that does not never speaks to it."""
    endpoint, context = tls_endpoint(tmp_path)
    with serving(tmp_path, "--listen", endpoint) as server:
        url = f"https://127.0.0.1:{server.port}/"
        async with running(url) as client:
            client.subscribe("strings")

            async def refused() -> None:
                while not any("certificate verify failed" in line for line in lines(log)):
                    await deferLater(reactor, 0.01)

            await soon(refused())
        async with running(url, trusting(context)) as client:
            subscription = client.subscribe("strings")
            await begun(subscription)
            position = await soon(client.publish("strings", b"hello"))
            assert await some_of(subscription, 1) == [(b"hello", False, position)]
        server.wait_for("has left")
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest_twisted.ensureDeferred
async def test_a_slow_listener_can_leave_over_tls(tmp_path: Path) -> None:
    """While both sides are full: it has closed its connection soon, and so has the server."""
    endpoint, context = tls_endpoint(tmp_path)
    with serving(tmp_path, "--listen", endpoint, "--history-bytes", "100000000") as server:
        async with running(f"https://127.0.0.1:{server.port}/", trusting(context)) as client:
            subscription = client.subscribe("strings")
            await begun(subscription)
            for _ in range(100):
                await soon(client.publish("strings", b"x" * 100_000))
            assert subscription.is_paused
        server.wait_for("has left")
        assert server.stop() == 0
    assert "Traceback" not in server.text


def trusting(context: ssl.SSLContext) -> Agent:
    """An agent that trusts the authorities of a context."""
    authorities = [
        Certificate.load(data, FILETYPE_ASN1) for data in context.get_ca_certs(binary_form=True)
    ]
    policy = BrowserLikePolicyForHTTPS(trustRootFromCertificates(authorities))
    return Agent(reactor, contextFactory=policy)


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_mounted_in_a_site(tmp_path: Path, log: list[LogEvent]) -> None:
    """The client is given the place where it is mounted, and finds nothing elsewhere."""
    port = free_port()
    command = [TWISTD, "--nodaemon", "--pidfile=", "--python", str(EXAMPLES / "website.tac")]
    with started(command, tmp_path, PORT=str(port)) as server:
        server.wait_for(f"starting on {port}")
        async with running(f"http://127.0.0.1:{port}/live") as client:
            subscription = client.subscribe("a/b")
            await begun(subscription)
            position = await soon(client.publish("a/b", b"hello"))
            assert await some_of(subscription, 1) == [(b"hello", False, position)]
        async with running(f"http://127.0.0.1:{port}/") as client:
            with pytest.raises(RequestRefusedError) as caught:
                await soon(client.subscribe("strings").__anext__())
            assert caught.value.status == 404
            del log[:]
        server.stop()
    assert "Traceback" not in server.text


@pytest_twisted.ensureDeferred
async def test_what_the_server_does_not_take(tmp_path: Path, log: list[LogEvent]) -> None:
    """It is told to whoever asked for it, with the server's own words."""
    with serving(tmp_path, "--max-message-size", "10") as server:
        async with running(f"http://127.0.0.1:{server.port}/") as client:
            attempts: list[tuple[Coroutine[Any, Any, object] | Deferred[Any], int, str]] = [
                (client.publish("strings", b"x" * 11), 413, "10 bytes or less"),
                (client.publish("strings", b"\xff"), 400, "text must be UTF-8"),
                (client.publish("podium/strings", b"x"), 404, "names no channel"),
                (client.subscribe("podium/strings").__anext__(), 404, "names no channel"),
                (client.subscribe("x" * 256).__anext__(), 400, "1 to 255 bytes"),
            ]
            for attempt, status, reason in attempts:
                with pytest.raises(RequestRefusedError, match=reason) as caught:
                    await soon(attempt)
                assert caught.value.status == status
            del log[:]
        assert server.stop() == 0
