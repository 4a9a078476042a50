"""SDKs and their tokens, which expire, are refreshed, and are refused.

A token holds for five seconds longer than it says, and is to be refreshed when it says that it has
expired. One that says so for some seconds already is refreshed after a second, then.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from orchestra.policy.tokens import LEEWAY
from tests.end_to_end.commands import PATH, Speaker, speaking
from tests.end_to_end.proxies import relaying
from tests.end_to_end.sdk import WAYS, WEBSOCKET, Node
from tests.end_to_end.server import Server, serving
from tests.end_to_end.tokens import allowing, key_file, token

SOON = 3.0
"""In how many seconds a token expires that has to be refreshed before."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets nobody in without a token."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, f"--token-key-file={key_file(folder)}") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


def expiring(seconds: float = SOON, **claims: Any) -> str:
    """A token that the server takes for some seconds more, its leeway included."""
    return token(exp=time.time() + seconds - LEEWAY, **claims)


def for_channel(channel: str, seconds: float = 3600, **claims: Any) -> str:
    """A token that lets its owner listen to a channel."""
    return expiring(seconds, channel=channel, **claims)


NOWHERE: dict[str, Any] = {"caps": []}
"""What a token says that allows nothing."""


def test_tokens_are_refreshed(node: Node, server: Server) -> None:
    """Those of the connection and of a subscription: getToken is asked, and both go on without
    an interruption, while somebody is closed whose token expired a second later."""
    clients, subscriptions = [], []
    for way in WAYS:
        client = node.new(server, way, token=expiring(), tokens=[expiring(3600)])
        client.connect()
        tokens = [for_channel("refreshed")]
        soon = for_channel("refreshed", SOON)
        subscriptions.append(client.subscribe("refreshed", token=soon, tokens=tokens))
        clients.append(client)
    with speaking(server, token=expiring(SOON + 1)) as somebody:
        for part in (*clients, *subscriptions):
            part.wait("token")
        assert somebody.closed()[0] == 3005
    clients[0].do("publish", "refreshed", "still here")
    for client, subscription in zip(clients, subscriptions, strict=True):
        assert subscription.hear() == ["still here"]
        assert [context["code"] for context in client.so_far("connecting")] == [0]
        assert [context["code"] for context in subscription.so_far("subscribing")] == [0]
        assert subscription.so_far("unsubscribed") == client.so_far("error") == []
        client.do("disconnect")


def test_tokens_that_are_not_refreshed(server: Server) -> None:
    """The subscription is ended (2501), and the connection is closed (3005)."""
    with speaking(server, token=expiring(2.5)) as speaker:
        subscribe = {"subscribe": {"channel": "once", "token": for_channel("once", 1)}}
        (reply,) = speaker.ask(subscribe)
        assert (reply["subscribe"]["expires"], reply["subscribe"]["ttl"]) == (True, 1)
        push = speaker.hear()["push"]
        assert (push["channel"], push["unsubscribe"]["code"]) == ("once", 2501)
        assert speaker.closed()[0] == 3005


@pytest.mark.parametrize("way", WAYS)
def test_tokens_that_have_expired(node: Node, server: Server, way: str) -> None:
    """They are refused as that (109), so that the SDK asks for others, and comes in."""
    channel = f"expired-{way}"
    sdk = node.new(server, way, token=expiring(-1), tokens=[expiring(3600)])
    sdk.connect()
    sdk.wait("token")
    assert sdk.wait("error")["error"]["code"] == 109
    tokens = [for_channel(channel)]
    subscription = sdk.subscribe(channel, token=for_channel(channel, -1), tokens=tokens)
    subscription.wait("token")
    assert subscription.wait("error")["error"]["code"] == 109
    assert subscription.state == "subscribed"
    sdk.do("disconnect")


@pytest.mark.parametrize(
    "given",
    ["", "nonsense", token(key="another secret, of a length that will do"), for_channel("x")],
    ids=["none", "malformed", "of others", "for a channel"],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_is_none(node: Node, server: Server, way: str, given: str) -> None:
    """The connection is closed with 3500, and the SDK does not come back."""
    sdk = node.new(server, way, token=given)
    sdk.do("connect")
    assert sdk.wait("disconnected")["code"] == 3500
    assert sdk.state == "disconnected"


def test_who_has_no_token_any_more(node: Node, server: Server) -> None:
    """Where getToken has none, the SDK disconnects by itself."""
    sdk = node.new(server, token=expiring(), tokens=[None])
    sdk.connect()
    assert sdk.wait("disconnected")["reason"] == "unauthorized"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (for_channel("other"), 103),
        (for_channel("single", sub="viola"), 103),
        (token(), 101),
        ("nonsense", 101),
        ("", 103),
    ],
    ids=["for another channel", "of somebody else", "of a connection", "malformed", "none"],
)
def test_a_token_for_another_subscription(
    node: Node, server: Server, given: str, code: int
) -> None:
    """It is refused, and the connection goes on. The right one is enough, even where the
    connection's own token allows nothing."""
    sdk = node.connected(server, token=token(**NOWHERE))
    subscription = sdk.subscription("single", token=given)
    subscription.do("subscribe")
    assert subscription.wait("unsubscribed")["code"] == code
    sdk.subscribe("right", token=for_channel("right"))
    sdk.do("disconnect")


def test_a_token_of_somebody_else(server: Server) -> None:
    """A connection stays with whose it was: it is closed with 3500 otherwise."""
    with speaking(server, token=expiring(3600)) as speaker:
        (reply,) = speaker.ask({"refresh": {"token": expiring(3600)}})
        assert reply["refresh"]["expires"]
        speaker.say({"id": 2, "refresh": {"token": expiring(3600, sub="viola")}})
        assert speaker.closed()[0] == 3500


@pytest.mark.parametrize("way", WAYS)
def test_who_it_is(node: Node, server: Server, way: str) -> None:
    """What a token says of its owner is told with what it plays, and of who is there."""
    channel = f"who-{way}"
    info = {"name": "Ö"}
    alice = node.connected(server, way, token=token(info=info))
    bob = node.connected(server, WEBSOCKET, token=token(sub="viola"))
    subscription = bob.subscribe(channel, joinLeave=True)
    subscription.wait("join")
    alice.subscribe(channel)
    expected = {"client": alice.client_id, "user": "oboe", "connInfo": info}
    assert subscription.wait("join")["info"] == expected
    alice.do("publish", channel, 1)
    assert subscription.wait("publication")["info"] == expected
    assert bob.do("presenceStats", channel) == {"numClients": 2, "numUsers": 2}
    present = bob.do("presence", channel)["clients"][alice.client_id]
    assert {"user": "oboe", "client": alice.client_id, "connInfo": info}.items() <= present.items()
    alice.do("disconnect")
    assert subscription.wait("leave")["info"] == expected
    bob.do("disconnect")


@pytest.mark.parametrize("way", WAYS)
def test_channels_of_a_token(node: Node, server: Server, way: str) -> None:
    """Its owner gets them without asking, with what it has for them; cut off, nothing is lost."""
    one, two = f"one-{way}", f"two-{way}"
    subs = {one: {"data": {"seat": 7}}, two: {}}
    with relaying(server) as relay:
        player = node.connected(server, token=token(sub="conductor"))
        may = allowing("hst", channels=(one, two), subs=subs)
        sdk = node.connected(relay, way, token=may)
        subscribed = [sdk.wait("subscribed") for _ in subs]
        seats = {context["channel"]: context.get("data") for context in subscribed}
        assert set(seats) == {one, two}
        assert seats[one] == {"seat": 7}
        for number in range(3):
            player.do("publish", one, number)
        relay.shut()
        for number in range(3, 6):
            player.do("publish", one, number)
        relay.open()
        back = [sdk.wait("subscribed") for _ in range(2)]
        assert all(context["recovered"] for context in back)
        player.do("publish", two, "the end")
        publications = [sdk.wait("publication") for _ in range(7)]
        heard = [(publication["channel"], publication["data"]) for publication in publications]
        assert heard == [*((one, number) for number in range(6)), (two, "the end")]
        for client in (sdk, player):
            client.do("disconnect")


def test_a_token_of_the_request(server: Server) -> None:
    """Where the command has none, that of the handshake counts."""
    headers = {"Authorization": f"Bearer {token()}"}
    with server.connect(PATH, additional_headers=headers) as connection:
        (reply,) = Speaker(connection).ask({"connect": {}})
        assert reply["connect"]["client"]
    with server.connect(PATH, additional_headers=headers) as connection:
        speaker = Speaker(connection)
        speaker.say({"id": 1, "connect": {"token": "nonsense"}})
        assert speaker.closed()[0] == 3500
