"""The SDK for JavaScript where connections, proxies and servers end in the middle of things."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.proxies import KEEPING, proxying, relaying
from tests.end_to_end.sdk import WAYS, WEBSOCKET, Node, Subscription
from tests.end_to_end.server import PATIENCE, Place, Server, pouring, serving


def play(place: Place, channel: str, *messages: str) -> None:
    """Play messages, and wait until they have been played."""
    with place.connect(f"/{channel}") as player:
        for message in messages:
            player.send(message)
            player.recv(timeout=PATIENCE)


def recovered(subscription: Subscription) -> bool:
    """Wait until it is subscribed again, and tell whether it has all that it has missed."""
    context = subscription.wait("subscribed")
    assert context["wasRecovering"] is True
    found: bool = context["recovered"]
    return found


def heard(subscription: Subscription, count: int) -> list[Any]:
    """The data of the next publications, whose offsets are all those that come next."""
    publications = [subscription.wait("publication") for _ in range(count)]
    first = publications[0]["offset"]
    offsets = [publication["offset"] for publication in publications]
    assert offsets == list(range(first, first + count))
    return [publication["data"] for publication in publications]


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_is_cut(node: Node, server: Server, way: str) -> None:
    """Cut off while messages pour, it comes back, and hears each of them once and in order."""
    channel = f"cut-{way}"
    with relaying(server) as relay:
        sdk = node.connected(relay, way)
        subscription = sdk.subscribe(channel, recoverable=True)
        assert subscription.state == "subscribed"
        with pouring(server, f"/{channel}") as stop:
            data = []
            for _ in range(3):
                data += heard(subscription, 100)
                relay.cut()
                assert recovered(subscription)
            count = stop()
        play(server, channel, "the end")
        data += heard(subscription, count + 1 - len(data))
        assert data == [*range(count), "the end"]
        assert subscription.so_far("publication") == []
        sdk.do("disconnect")


@pytest.mark.parametrize("kind", KEEPING)
def test_a_proxy_is_killed(node: Node, server: Server, tmp_path: Path, kind: str) -> None:
    """Nothing is lost, nothing comes twice, and all is in order, on several connections."""
    channel = f"killed-{kind}"
    with proxying(kind, tmp_path, server.port) as proxy:
        clients = [node.connected(proxy, way) for way in WAYS]
        subscriptions = [client.subscribe(channel, recoverable=True) for client in clients]
        with pouring(server, f"/{channel}") as stop:
            before = [heard(subscription, 50) for subscription in subscriptions]
            proxy.kill()
            proxy.start()
            back = [recovered(subscription) for subscription in subscriptions]
            assert back == [True] * len(WAYS)
            count = stop()
        for data, subscription in zip(before, subscriptions, strict=True):
            assert data + heard(subscription, count - 50) == list(range(count))
        for client in clients:
            client.do("disconnect")


def test_too_much_is_missed(node: Node, tmp_path: Path) -> None:
    """Who was away for longer than the history reaches is told so, and hears what comes then."""
    with serving(tmp_path, "--history-messages=3") as server, relaying(server) as relay:
        sdk = node.connected(relay)
        subscription = sdk.subscribe("gap", recoverable=True)
        play(server, "gap", "1")
        assert subscription.hear() == [1]
        relay.shut()
        play(server, "gap", *map(str, range(2, 11)))
        relay.open()
        assert not recovered(subscription)
        play(server, "gap", "11")
        assert subscription.hear() == [11]
        sdk.do("disconnect")
        assert server.stop() == 0


def test_a_state_of_ones_own(node: Node, tmp_path: Path) -> None:
    """With getState, the SDK asks for it at first, and again if it has missed too much (112)."""
    with serving(tmp_path, "--history-messages=3") as server, relaying(server) as relay:
        sdk = node.connected(relay)
        play(server, "state", "1", "2")
        subscription = sdk.subscribe("state", recoverable=True, state=True)
        subscription.wait("state")
        play(server, "state", "3")
        assert subscription.hear() == [3]
        relay.cut()
        assert recovered(subscription)
        assert subscription.so_far("state") == []
        relay.shut()
        play(server, "state", *map(str, range(4, 11)))
        relay.open()
        subscription.wait("state")
        assert recovered(subscription)
        play(server, "state", "11")
        assert subscription.hear() == [11]
        sdk.do("disconnect")
        assert server.stop() == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_the_server_is_restarted(node: Node, tmp_path: Path, way: str, is_killed: bool) -> None:
    """The SDK comes back by itself. It is told that it may have missed something, since nobody
    can know; nothing comes twice, and what is played after that it hears."""
    with serving(tmp_path) as first, relaying(first) as relay:
        sdk = node.connected(relay, way)
        subscription = sdk.subscribe("restarted", recoverable=True)
        player = node.connected(first)
        for number in range(2000):
            player.order("publish", "restarted", number)
        before = heard(subscription, 50)
        first.stop(signal.SIGKILL if is_killed else signal.SIGTERM)
        assert sdk.wait("connecting")["code"] == 0
        cut = sdk.wait("connecting")
        assert (cut["code"], cut["reason"]) == (
            (1, "transport closed") if is_killed else (3001, "shutdown")
        )
        with serving(tmp_path) as second:
            play(second, "restarted", "between")
            relay.target = second
            assert not recovered(subscription)
            before += [publication["data"] for publication in subscription.so_far("publication")]
            assert before == list(range(len(before)))
            play(second, "restarted", "after", "and so on")
            assert heard(subscription, 2) == ["after", "and so on"]
            assert subscription.so_far("publication") == []
            sdk.do("disconnect")
            assert second.stop() == 0
        player.do("disconnect")


def test_a_subscription_is_kept_from_the_beginning(node: Node, server: Server) -> None:
    """One that begins where a client was before the process hears all since then."""
    first = node.connected(server, WEBSOCKET)
    position = first.subscribe("since", recoverable=True)
    play(server, "since", "1", "2", "3")
    seen = position.wait("publication")
    history = first.do("history", "since", {"limit": 0})
    first.do("disconnect")
    second = node.connected(server, WEBSOCKET)
    since = {"offset": seen["offset"], "epoch": history["epoch"]}
    subscription = second.subscribe("since", since=since)
    assert heard(subscription, 2) == [2, 3]
    second.do("disconnect")
