"""The SDK for Python, unmodified, in JSON and in protobuf, compressed and not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from centrifuge import Client, ReplyError, SubscriptionEventHandler
from websockets.asyncio.client import connect

from tests.end_to_end.commands import PATH
from tests.end_to_end.proxies import relaying
from tests.end_to_end.server import PATIENCE, Place, Server, pouring, serving
from tests.end_to_end.test_sdk import AWKWARD


class Listener(SubscriptionEventHandler):
    """Keeps what happens to a subscription."""

    def __init__(self) -> None:
        self.publications: asyncio.Queue[Any] = asyncio.Queue()
        self.moves: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.subscribed: asyncio.Queue[Any] = asyncio.Queue()

    async def on_publication(self, ctx: Any) -> None:
        await self.publications.put(ctx.pub)

    async def on_join(self, ctx: Any) -> None:
        await self.moves.put(("join", ctx.info.client))

    async def on_leave(self, ctx: Any) -> None:
        await self.moves.put(("leave", ctx.info.client))

    async def on_subscribed(self, ctx: Any) -> None:
        await self.subscribed.put(ctx)


@pytest.fixture(scope="module", params=[(), ("--compress",)], ids=["plain", "compressing"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with a long memory, and one that compresses for those who offer it."""
    memory = ("--history-messages=1000000", "--history-bytes=100000000")
    with serving(tmp_path_factory.mktemp("server"), *memory, *request.param) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


@asynccontextmanager
async def client(place: Place, is_binary: bool, **options: Any) -> AsyncIterator[Client]:
    """A client that is connected, until the block is left."""
    sdk = Client(place.url(PATH), use_protobuf=is_binary, proxy=None, **options)
    await sdk.connect()
    await sdk.ready(PATIENCE)
    try:
        yield sdk
    finally:
        await sdk.disconnect()


async def listening(sdk: Client, channel: str, **options: Any) -> Listener:
    """Subscribe to a channel, and tell what happens there."""
    listener = Listener()
    subscription = sdk.new_subscription(channel, listener, **options)
    await subscription.subscribe()
    await subscription.ready(PATIENCE)
    await listener.subscribed.get()
    return listener


def run(scene: Awaitable[None]) -> None:
    """Run a scene, within the time that a test may take."""

    async def play() -> None:
        await asyncio.wait_for(scene, PATIENCE)
        # The SDK leaves it to tasks of its own to close what it had.
        closing = asyncio.all_tasks() - {asyncio.current_task()}
        if closing:
            await asyncio.wait(closing)

    asyncio.run(play())


def encoded(is_binary: bool, data: Any) -> Any:
    """Data as the SDK is given it: with protobuf, bytes of JSON."""
    return json.dumps(data).encode() if is_binary else data


def decoded(is_binary: bool, data: Any) -> Any:
    """What data says that the SDK has given."""
    return json.loads(data) if is_binary else data


@pytest.mark.parametrize("is_binary", [False, True], ids=["JSON", "protobuf"])
def test_both_hear_each_other(stage: Server, is_binary: bool) -> None:
    """Whatever one plays, one that speaks JSON and one that speaks protobuf hear as it was."""
    channel = f"python-{is_binary}"

    async def scene() -> None:
        async with client(stage, is_binary) as alice, client(stage, not is_binary) as bob:
            heard = [await listening(sdk, channel) for sdk in (alice, bob)]
            for data in AWKWARD:
                await alice.publish(channel, encoded(is_binary, data))
            for listener, binary in zip(heard, (is_binary, not is_binary), strict=True):
                publications = [await listener.publications.get() for _ in AWKWARD]
                assert [decoded(binary, p.data) for p in publications] == AWKWARD
                assert [p.offset for p in publications] == list(range(1, len(AWKWARD) + 1))
            past = await alice.history(channel, limit=3, reverse=True)
            found = [decoded(is_binary, p.data) for p in past.publications]
            assert found == AWKWARD[:-4:-1]

    run(scene())


@pytest.mark.parametrize("is_binary", [False, True], ids=["JSON", "protobuf"])
def test_who_is_there(stage: Server, is_binary: bool) -> None:
    """Each of them, and who comes and leaves."""
    channel = f"present-{is_binary}"

    async def scene() -> None:
        async with client(stage, is_binary) as alice:
            listener = await listening(alice, channel, join_leave=True)
            _, first = await listener.moves.get()
            async with client(stage, is_binary) as bob:
                await listening(bob, channel)
                joined, second = await listener.moves.get()
                assert joined == "join"
                present = await alice.presence(channel)
                assert set(present.clients) == {first, second}
                stats = await bob.presence_stats(channel)
                assert (stats.num_clients, stats.num_users) == (2, 0)
            assert await listener.moves.get() == ("leave", second)

    run(scene())


@pytest.mark.parametrize("is_binary", [False, True], ids=["JSON", "protobuf"])
def test_a_connection_is_cut(stage: Server, is_binary: bool) -> None:
    """Cut off while messages pour, it hears each of them once, and in order."""
    channel = f"cut-{is_binary}"

    async def scene() -> None:
        with relaying(stage) as relay:
            async with client(relay, is_binary) as sdk:
                listener = await listening(sdk, channel, recoverable=True)
                with pouring(stage, f"/{channel}") as stop:
                    publications = [await listener.publications.get() for _ in range(100)]
                    relay.cut()
                    back = await listener.subscribed.get()
                    assert (back.was_recovering, back.recovered) == (True, True)
                    count = await asyncio.to_thread(stop)
                while len(publications) < count:
                    publications.append(await listener.publications.get())
                assert [decoded(is_binary, p.data) for p in publications] == list(range(count))

    run(scene())


@pytest.mark.parametrize("is_binary", [False, True], ids=["JSON", "protobuf"])
def test_what_is_refused(stage: Server, is_binary: bool) -> None:
    """It is a reply with an error, and the connection goes on."""

    async def scene() -> None:
        async with client(stage, is_binary) as sdk:
            with pytest.raises(ReplyError) as raised:
                await sdk.rpc("sing", encoded(is_binary, {}))
            assert raised.value.code == 108
            with pytest.raises(ReplyError) as raised:
                await sdk.publish("x" * 1000, encoded(is_binary, 1))
            assert raised.value.code == 107
            await sdk.publish("x", encoded(is_binary, 1))

    run(scene())


def test_it_is_compressed(stage: Server, request: pytest.FixtureRequest) -> None:
    """Where the server compresses, this client's library has agreed to it, as it always does."""

    async def scene() -> None:
        async with connect(stage.url(PATH), proxy=None) as connection:
            agreed = [extension.name for extension in connection.protocol.extensions]
            compresses = request.node.callspec.id == "compressing"
            assert agreed == (["permessage-deflate"] if compresses else [])

    run(scene())
