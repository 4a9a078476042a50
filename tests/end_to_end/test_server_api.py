"""The server API of the real process, as Centrifugo's own clients for Python and curl use it."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import centrifuge
import pytest
from cent import (
    AsyncClient,
    BatchRequest,
    BroadcastRequest,
    CentApiResponseError,
    CentTransportError,
    CentUnauthorizedError,
    ChannelsRequest,
    Client,
    Disconnect,
    DisconnectRequest,
    HistoryRemoveRequest,
    HistoryRequest,
    InfoRequest,
    PresenceRequest,
    PresenceStatsRequest,
    PublishRequest,
    RefreshRequest,
    StreamPosition,
    SubscribeRequest,
    UnsubscribeRequest,
)
from centrifuge import ClientEventHandler
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.end_to_end.conftest import Curl
from tests.end_to_end.server import PATIENCE, Server, serving
from tests.end_to_end.tokens import API_KEY, api_key_file, key_file, token

DOCS = Path(__file__).parent.parent.parent / "docs" / "reference" / "server-api.rst"
EXCHANGE = re.compile(r"^    POST (\S+)\n(    .*?)\n\n(    .*?)\n(?=\n\S|\Z)", re.M | re.S)
CHANGING = {"epoch", "client", "uid", "name", "version"}
"""What is another one each time."""


def come(server: Server, path: str, user: str, **claims: Any) -> ClientConnection:
    """A WebSocket of a user."""
    bearer = {"Authorization": f"Bearer {token(sub=user, **claims)}"}
    return server.connect(path, additional_headers=bearer)


def hear(client: ClientConnection) -> str | bytes:
    return client.recv(timeout=PATIENCE)


def closed(client: ClientConnection) -> tuple[int, str]:
    """What a client is told that is closed."""
    with pytest.raises(ConnectionClosed) as caught:
        hear(client)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def test_publishing(guarded: Server, cent: Client) -> None:
    """What it publishes is heard, JSON as it was written and binary data; a key plays it once."""
    with come(guarded, "/cent", "ann") as ann, come(guarded, "/cent/more", "bob") as bob:
        request = PublishRequest(channel="cent", data={"a": [1, None]}, idempotency_key="k")
        first = cent.publish(request)
        assert cent.publish(request) == first
        assert (first.offset, len(first.epoch)) == (1, 8)
        cent.publish(PublishRequest(channel="cent", data=None, b64data="/w=="))
        both = BroadcastRequest(channels=["cent", "cent/more", "\0"], data="tutti")
        responses = cent.broadcast(both).responses
        assert [r.result and r.result.offset for r in responses] == [3, 1, None]
        assert responses[2].error is not None
        assert responses[2].error.code == 107
        said = hear(ann)
        assert isinstance(said, str)
        assert json.loads(said.removeprefix("Echo: ")) == {"a": [1, None]}
        assert [hear(ann), hear(ann), hear(bob)] == [b"\xff", "Echo: tutti", "Echo: tutti"]
        with pytest.raises(CentApiResponseError, match="another message") as caught:
            cent.publish(PublishRequest(channel="cent", data=2, idempotency_key="k"))
        assert caught.value.code == 107
        with pytest.raises(CentApiResponseError, match="tags is not available") as caught:
            cent.publish(PublishRequest(channel="cent", data=2, tags={"a": "b"}))
        assert caught.value.code == 108


def test_the_past(guarded: Server, cent: Client) -> None:
    """It is read by pages, in both directions, and what is gone is not passed over in silence."""
    for number in range(5):
        cent.publish(PublishRequest(channel="past", data=number))

    def read(**options: Any) -> tuple[list[Any], StreamPosition]:
        result = cent.history(HistoryRequest(channel="past", **options))
        assert (result.offset, len(result.epoch)) == (5, 8)
        found = result.publications
        last = StreamPosition(offset=found[-1].offset if found else 0, epoch=result.epoch)
        return [publication.data for publication in found], last

    assert read()[0] == []
    assert read(limit=-1)[0] == [0, 1, 2, 3, 4]
    assert read(limit=2, reverse=True)[0] == [4, 3]
    for reverse in (False, True):
        pages, (page, last) = [], read(limit=2, reverse=reverse)
        while page:
            pages.append(page)
            page, last = read(limit=2, since=last, reverse=reverse)
        assert pages == ([[4, 3], [2, 1], [0]] if reverse else [[0, 1], [2, 3], [4]])
    with pytest.raises(CentApiResponseError, match="unrecoverable") as caught:
        read(limit=2, since=StreamPosition(offset=1, epoch="other"))
    assert caught.value.code == 112
    with pytest.raises(CentApiResponseError) as caught:
        cent.history_remove(HistoryRemoveRequest(channel="past"))
    assert caught.value.code == 108


def test_who_is_there(guarded: Server, cent: Client) -> None:
    """Of whom it is known whose client it is, it is told; and what they play has their names."""
    with come(guarded, "/present", "ann", info={"part": "viola"}) as ann:
        with come(guarded, "/present", "ann") as again, come(guarded, "/present/2", "bob") as bob:
            clients = list(cent.presence(PresenceRequest(channel="present")).presence.items())
            assert [(c.user, c.conn_info) for _, c in clients] == [
                ("ann", {"part": "viola"}),
                ("ann", None),
            ]
            assert all(c.client == key for key, c in clients)
            stats = cent.presence_stats(PresenceStatsRequest(channel="present"))
            assert (stats.num_clients, stats.num_users) == (2, 1)
            channels = cent.channels(ChannelsRequest(pattern="present*")).channels
            assert {name: c.num_clients for name, c in channels.items()} == {
                "present": 2,
                "present/2": 1,
            }
            (node,) = cent.info(InfoRequest()).nodes
            assert min(node.num_clients, node.num_subs) >= 3
            assert min(node.num_users, node.num_channels) >= 2
            ann.send("hello")
            assert hear(again) == "Echo: hello"
            bob.close()
        (played,) = cent.history(HistoryRequest(channel="present", limit=1)).publications
        assert (played.data, played.offset) == ("hello", 1)
        assert played.info is not None
        assert played.info.client == clients[0][0]
    assert cent.presence(PresenceRequest(channel="nobody/here")).presence == {}


def test_seeing_clients_off(guarded: Server, cent: Client) -> None:
    """One of a user's, all but some, or all, with a code and a reason; others stay."""
    users = ("eve", "eve", "eve", "mallory")
    with ExitStack() as stack:
        eves = [stack.enter_context(come(guarded, "/door", user)) for user in users]
        ids = list(cent.presence(PresenceRequest(channel="door")).presence)
        cent.disconnect(DisconnectRequest(user="mallory", client=ids[0]))  # which is not theirs
        cent.disconnect(DisconnectRequest(user="eve", client=ids[0]))
        assert closed(eves[0]) == (3503, "force disconnect")
        bye = Disconnect(code=4321, reason="the concert is over ♪")
        cent.publish(PublishRequest(channel="door", data="before"))
        cent.disconnect(DisconnectRequest(user="eve", whitelist=[ids[2]], disconnect=bye))
        assert hear(eves[1]) == "Echo: before"
        assert closed(eves[1]) == (4321, "the concert is over ♪")
        cent.unsubscribe(UnsubscribeRequest(user="eve", channel="another"))
        cent.subscribe(SubscribeRequest(user="eve", channel="another", data={"a": 1}))
        eves[2].ping().wait(timeout=PATIENCE)
        assert hear(eves[2]) == "Echo: before"
        cent.unsubscribe(UnsubscribeRequest(user="eve", channel="door"))
        assert closed(eves[2]) == (1008, "server unsubscribe")
        assert hear(eves[3]) == "Echo: before"
        cent.refresh(RefreshRequest(user="mallory", expire_at=2**33))
        eves[3].ping().wait(timeout=PATIENCE)
        cent.refresh(RefreshRequest(user="mallory", expired=True))
        assert closed(eves[3])[0] == 1008
        for code, reason in ((2999, ""), (5000, ""), (4000, "x" * 124), (4000, "a\nb")):
            wrong = Disconnect(code=code, reason=reason)
            with pytest.raises(CentApiResponseError, match="disconnect") as caught:
                cent.disconnect(DisconnectRequest(user="eve", disconnect=wrong))
            assert caught.value.code == 107


def test_batches(cent: Client) -> None:
    """The replies are those of the requests, in their order."""
    requests = [PublishRequest(channel="batch", data=n) for n in range(500)]
    history = HistoryRequest(channel="batch", limit=-1)
    replies = cent.batch(BatchRequest(requests=[*requests, history], parallel=True)).replies
    assert [reply.offset for reply in replies[:-1]] == list(range(1, 501))
    assert [publication.data for publication in replies[-1].publications] == list(range(500))


def test_the_client_for_asyncio(guarded: Server) -> None:
    """It works as well, several requests at the same time."""

    async def play() -> None:
        client = AsyncClient(guarded.http("/api"), api_key=API_KEY, timeout=PATIENCE)
        try:
            requests = [PublishRequest(channel="async", data={"n": n}) for n in range(20)]
            places = await asyncio.gather(*[client.publish(request) for request in requests])
            assert sorted(place.offset for place in places) == list(range(1, 21))
            batch = BatchRequest(requests=[PresenceStatsRequest(channel="async")])
            assert (await client.batch(batch)).replies[0].num_clients == 0
            result = await client.history(HistoryRequest(channel="async", limit=100))
            assert {p.data["n"] for p in result.publications} == set(range(20))
        finally:
            await client._session.close()

    asyncio.run(play())


def test_large_bodies(guarded: Server, cent: Client, curl: Curl) -> None:
    """The largest message fits, however it is written; a larger one is an error of its own, and a
    body without end is not waited for."""
    size = 1024 * 1024
    assert cent.publish(PublishRequest(channel="large", data="\x01" * size)).offset == 1
    with pytest.raises(CentApiResponseError, match="1048576 bytes or less") as caught:
        cent.publish(PublishRequest(channel="large", data="\x01" * (size + 1)))
    assert caught.value.code == 106
    with pytest.raises(CentTransportError) as refused:
        cent.publish(PublishRequest(channel="large", data="x" * (8 * size)))
    assert refused.value.status_code == 413
    url, body = guarded.http("/api/publish"), b"x" * (2 * size)
    for headers in ([], ["-HX-API-Key: none-that-is-known"], ["-HTransfer-Encoding: chunked"]):
        answer = curl.post(url, body, *headers)
        assert answer.status == 401
    assert curl.post(url, body, f"-HX-API-Key: {API_KEY}").body == b"the body must be JSON\n"


def test_who_has_no_key(guarded: Server, server: Server, curl: Curl) -> None:
    """Can do nothing; and where there are no keys, nobody can."""
    for key in ("", "not-a-key-of-the-server"):
        client = Client(guarded.http("/api"), api_key=key)
        with pytest.raises(CentUnauthorizedError):
            client.publish(PublishRequest(channel="cent", data=1))
        client._session.close()
    body = '{"channel": "curl", "data": 1}'
    url = guarded.http("/api/publish")
    good = curl.post(url, body, "-H", f"Authorization: apikey {API_KEY}")
    assert json.loads(good.body)["result"]["offset"] == 1
    bad = curl.post(url, body, "-H", f"Authorization: Bearer {token()}")
    assert (bad.status, bad.headers["www-authenticate"]) == (401, "apikey")
    none = curl.post(server.http("/api/publish"), body, "-H", f"X-API-Key: {API_KEY}")
    assert (none.status, b"--api-key-file" in none.body) == (404, True)


def test_an_sdk(guarded: Server) -> None:
    """A client of many channels is subscribed, told of what is published, unsubscribed and seen
    off, each with the words that it understands; and it is known as what it is."""
    said: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    class Events(ClientEventHandler):
        async def on_subscribed(self, ctx: Any) -> None:
            await said.put(("subscribed", ctx.channel, ctx.data))

        async def on_publication(self, ctx: Any) -> None:
            await said.put(("publication", ctx.channel, ctx.pub.data, ctx.pub.offset))

        async def on_unsubscribed(self, ctx: Any) -> None:
            await said.put(("unsubscribed", ctx.channel))

        async def on_disconnected(self, ctx: Any) -> None:
            await said.put(("disconnected", ctx.code, ctx.reason))

    async def hear() -> tuple[Any, ...]:
        return await asyncio.wait_for(said.get(), PATIENCE)

    async def play() -> None:
        api = AsyncClient(guarded.http("/api"), api_key=API_KEY, timeout=PATIENCE)
        url = guarded.url("/connection/websocket")
        ann = centrifuge.Client(url, events=Events(), token=token(sub="sdk", info={"a": 1}))
        try:
            await ann.connect()
            await ann.ready(PATIENCE)
            subscribe = SubscribeRequest(user="sdk", channel="sdk", data={"part": "horn"})
            await api.subscribe(subscribe)
            assert await hear() == ("subscribed", "sdk", {"part": "horn"})
            first = await api.publish(PublishRequest(channel="sdk", data={"n": [1]}))
            assert await hear() == ("publication", "sdk", {"n": [1]}, 1)
            await api.publish(PublishRequest(channel="sdk", data="two"))
            assert await hear() == ("publication", "sdk", "two", 2)
            (info,) = (await api.presence(PresenceRequest(channel="sdk"))).presence.values()
            assert (info.user, info.conn_info) == ("sdk", {"a": 1})
            await api.unsubscribe(UnsubscribeRequest(user="sdk", channel="sdk"))
            assert await hear() == ("unsubscribed", "sdk")
            stats = await api.presence_stats(PresenceStatsRequest(channel="sdk"))
            assert stats.num_clients == 0
            subscribe.recover_since = StreamPosition(offset=1, epoch=first.epoch)
            await api.subscribe(subscribe)
            assert await hear() == ("subscribed", "sdk", {"part": "horn"})
            assert await hear() == ("publication", "sdk", "two", 2)
            await api.refresh(RefreshRequest(user="sdk", expire_at=2**33))
            bye = Disconnect(code=4500, reason="the concert is over")
            await api.disconnect(DisconnectRequest(user="sdk", disconnect=bye))
            assert await hear() == ("disconnected", 4500, "the concert is over")
        finally:
            await ann.disconnect()
            await api._session.close()

    asyncio.run(play())


class Reading:
    """What the documentation shows, put into what there is now."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}

    def ask(self, text: str) -> str:
        """Text that is shown, with what is another one each time."""
        for shown, now in self._now.items():
            text = text.replace(f'"{shown}"', f'"{now}"')
        return text

    def learn(self, shown: Any, found: Any) -> None:
        """Learn from an answer what there is now."""
        if isinstance(shown, list):
            for value, its_value in zip(shown, found, strict=True):
                self.learn(value, its_value)
        elif isinstance(shown, dict):
            if "presence" in shown:
                shown, found = (list(each["presence"].values()) for each in (shown, found))
                self.learn(shown, found)
                return
            for key in shown.keys() & found.keys():
                if key in CHANGING:
                    self._now.setdefault(shown[key], found[key])
                else:
                    self.learn(shown[key], found[key])


def test_the_documentation(tmp_path: Path, curl: Curl) -> None:
    """Each exchange that is shown happens like that, one after the other."""
    options = ("--token-key-file", key_file(tmp_path), "--api-key-file", api_key_file(tmp_path))
    reading = Reading()
    text = DOCS.read_text()
    exchanges = EXCHANGE.findall(text)
    assert len(exchanges) == text.count("POST /api") == 15
    with (
        serving(tmp_path, *options) as server,
        come(server, "/strings", "ann", info={"part": "viola"}),
    ):
        for path, request, answer in exchanges:
            body = reading.ask(textwrap.dedent(request))
            found = curl.post(server.http(path), body, f"-HX-API-Key: {API_KEY}")
            assert found.status == 200, found.body
            told = json.loads(found.body)
            reading.learn(json.loads(answer), told)
            shown = json.loads(reading.ask(answer))
            for node in told.get("result", {}).get("nodes", ()):
                assert node.pop("uptime") < PATIENCE
                del shown["result"]["nodes"][0]["uptime"]
            assert told == shown
