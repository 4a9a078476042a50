"""The SDK for JavaScript, unmodified, and the real server: what is said arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.end_to_end.sdk import BINARY, WAYS, WEBSOCKET, Node, Sdk, SdkError
from tests.end_to_end.server import PATIENCE, Server

AWKWARD: list[Any] = [
    {"note": "hello"},
    "hello",
    "",
    " x",
    "x ",
    "\n",
    "12",
    12,
    -0.5,
    1e300,
    2**53 - 1,
    "123456789012345678901234567890",
    None,
    "null",
    True,
    "true",
    [],
    {},
    '{"a": 1}',
    '"quoted"',
    '"',
    "\\",
    "{",
    {"a": [1, {"b": "ü\n\r\u2028🎻"}]},
    "Grüße 🎻 \u0000 \u2028",
    [[[[[[None]]]]]],
    {"": {"": ""}},
    {"b64": "AAE="},
    "x" * 100_000,
]
"""Data that could become something else on its way."""


@contextmanager
def together(node: Node, server: Server, *ways: str, **options: Any) -> Iterator[list[Sdk]]:
    """Clients that are connected, until the block is left."""
    clients = [node.connected(server, way, **options) for way in ways]
    yield clients
    for client in clients:
        client.do("disconnect")


def whose(event: dict[str, Any]) -> str:
    """The id of the client that an event is about, whose user is not known."""
    info = event["info"]
    assert not info.get("user")
    client: str = info["client"]
    return client


@pytest.mark.parametrize("listening", WAYS)
@pytest.mark.parametrize("playing", WAYS)
def test_clients_hear_each_other(node: Node, server: Server, playing: str, listening: str) -> None:
    """Whatever one plays, both hear as it was and in order, with whose it is and the offset."""
    channel = f"duet:{playing}:{listening}"
    with together(node, server, playing, listening) as (alice, bob):
        subscriptions = [client.subscribe(channel) for client in (alice, bob)]
        for data in AWKWARD:
            assert alice.do("publish", channel, data) == {}
        for subscription in subscriptions:
            heard = [subscription.wait("publication") for _ in AWKWARD]
            assert [publication["data"] for publication in heard] == AWKWARD
            assert [publication["offset"] for publication in heard] == [
                number + 1 for number in range(len(AWKWARD))
            ]
            assert {whose(publication) for publication in heard} == {alice.client_id}


RAW: list[tuple[str | bytes, Any, Any]] = [
    ("hello", "hello", None),
    ("", "", None),
    (" x", " x", None),
    ('{"a": [1,\n 2]}', {"a": [1, 2]}, None),
    ("12", 12, None),
    ('"12"', "12", None),
    ("null", None, None),
    ("Grüße 🎻 \x00", "Grüße 🎻 \x00", None),
    ('{"a": ', '{"a": ', None),
    (b"\x00\xff", {"b64": "AP8="}, {"bytes": "AP8="}),
    (b"", {"b64": ""}, None),
]
"""What a plain WebSocket sends, what it is as data, and in protobuf if it is something else."""


@pytest.mark.parametrize("way", WAYS)
def test_a_plain_web_socket_is_heard(node: Node, server: Server, way: str) -> None:
    """JSON is that data, other text a string; binary is base64 in JSON, and itself in protobuf."""
    with together(node, server, way) as (sdk,), server.connect(f"/heard-{way}") as plain:
        subscription = sdk.subscribe(f"heard-{way}")
        for message, _, _ in RAW:
            plain.send(message)
        expected = [
            binary if way in BINARY and binary is not None else data for _, data, binary in RAW
        ]
        if way in BINARY:
            expected[-1] = {"bytes": ""}
        assert subscription.hear(len(RAW)) == expected


TEXTS: list[tuple[Any, str]] = [
    ("hello", "hello"),
    ("", ""),
    (" x", " x"),
    ("two\nlines", "two\nlines"),
    ("12", '"12"'),
    ("null", '"null"'),
    ('{"a": 1}', '"{\\"a\\": 1}"'),
    ("{a}", "{a}"),
    (12, "12"),
    (None, "null"),
    ([1, {"b": "ü"}], '[1,{"b":"ü"}]'),
]
"""What an SDK publishes, and the text of that."""


@pytest.mark.parametrize("way", WAYS)
def test_a_plain_web_socket_hears(node: Node, server: Server, way: str) -> None:
    """It gets the JSON; of a string what that says, unless that would be taken for JSON."""
    with together(node, server, way) as (sdk,), server.connect(f"/hears-{way}") as plain:
        for data, _ in TEXTS:
            sdk.do("publish", f"hears-{way}", data)
        heard = [plain.recv(timeout=PATIENCE) for _ in TEXTS]
        assert heard == ["Echo: " + text for _, text in TEXTS]


@pytest.mark.parametrize("way", WAYS)
def test_who_is_there(node: Node, server: Server, way: str) -> None:
    """Presence tells of each client, also of plain ones; who comes and leaves is told as well."""
    channel = f"present-{way}"
    with together(node, server, way, WEBSOCKET) as (alice, bob):
        watching = alice.subscribe(channel, joinLeave=True)
        assert whose(watching.wait("join")) == alice.client_id
        also = bob.subscribe(channel)
        assert whose(watching.wait("join")) == bob.client_id
        present = alice.do("presence", channel)["clients"]
        assert {name: info["client"] for name, info in present.items()} == {
            client.client_id: client.client_id for client in (alice, bob)
        }
        with server.connect(f"/{channel}"):
            plain = whose(watching.wait("join"))
            assert bob.do("presenceStats", channel)["numClients"] == 3
            assert set(alice.do("presence", channel)["clients"]) == {*present, plain}
        assert whose(watching.wait("leave")) == plain
        also.do("unsubscribe")
        assert whose(watching.wait("leave")) == bob.client_id
        also.subscribe()
        assert whose(watching.wait("join")) == bob.client_id
        bob.do("disconnect")
        assert whose(watching.wait("leave")) == bob.client_id
        assert alice.do("presenceStats", channel)["numClients"] == 1
        assert also.so_far("join") == also.so_far("leave") == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_reverse", [False, True], ids=["forward", "backward"])
def test_paging_through_the_past(node: Node, server: Server, way: str, is_reverse: bool) -> None:
    """Page by page, each message is seen once, and in order; from the end as well."""
    channel = f"past-{way}-{is_reverse}"
    with together(node, server, way) as (sdk,), server.connect(f"/{channel}") as plain:
        for number in range(25):
            plain.send(str(number))
            plain.recv(timeout=PATIENCE)
        top = sdk.do("history", channel, {"limit": 0})
        assert (top["publications"], top["offset"]) == ([], 25)
        whole = sdk.do("history", channel, {"limit": -1})
        assert [publication["data"] for publication in whole["publications"]] == list(range(25))
        seen: list[int] = []
        options: dict[str, Any] = {"limit": 10, "reverse": is_reverse}
        while page := sdk.do("history", channel, options)["publications"]:
            assert len(page) <= 10
            seen += [publication["data"] for publication in page]
            options["since"] = {"offset": page[-1]["offset"], "epoch": top["epoch"]}
        assert seen == (list(reversed(range(25))) if is_reverse else list(range(25)))


def test_an_epoch_that_is_over(node: Node, server: Server) -> None:
    """The past since a place in another life of the channel is not to be had (112)."""
    with together(node, server, WEBSOCKET) as (sdk,):
        sdk.subscribe("epochs")
        sdk.do("publish", "epochs", "hello")
        with pytest.raises(SdkError) as raised:
            sdk.do("history", "epochs", {"limit": 1, "since": {"offset": 0, "epoch": "other"}})
        assert raised.value.code == 112


@pytest.mark.parametrize("way", WAYS)
def test_many_channels_on_one_connection(node: Node, server: Server, way: str) -> None:
    """A hundred, asked for in one frame: what is played in each is heard there, and not twice."""
    with together(node, server, way, WEBSOCKET) as (listening, playing):
        channels = [f"many-{way}:{number}" for number in range(100)]
        subscriptions = [listening.subscription(channel) for channel in channels]
        listening.do("startBatching")
        for subscription in subscriptions:
            subscription.do("subscribe")
        listening.do("stopBatching")
        for subscription in subscriptions:
            subscription.wait("subscribed")
        playing.do("startBatching")
        published = [
            playing.order("publish", channel, [channel, turn])
            for turn in range(3)
            for channel in channels
        ]
        playing.do("stopBatching")
        assert all(answer.result(PATIENCE) == {} for answer in published)
        for channel, subscription in zip(channels, subscriptions, strict=True):
            assert subscription.hear(3) == [[channel, turn] for turn in range(3)]
        assert all(subscription.so_far("publication") == [] for subscription in subscriptions)


@pytest.mark.parametrize("way", WAYS)
def test_who_has_unsubscribed_hears_nothing_more(node: Node, server: Server, way: str) -> None:
    """The other subscriptions of the connection go on."""
    with together(node, server, way) as (sdk,), server.connect(f"/one-{way}") as plain:
        one, two = (sdk.subscribe(f"{name}-{way}") for name in ("one", "two"))
        one.do("unsubscribe")
        assert one.wait("unsubscribed")["code"] == 0
        plain.send("unheard")
        plain.recv(timeout=PATIENCE)
        two.do("publish", "heard")
        assert two.hear() == ["heard"]
        assert one.so_far("publication") == []
