"""The SDK for JavaScript, and what an application's server does to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cent import (
    BroadcastRequest,
    Client,
    Disconnect,
    DisconnectRequest,
    PublishRequest,
    RefreshRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)

from tests.end_to_end.sdk import WAYS, Node, Sdk
from tests.end_to_end.server import Server
from tests.end_to_end.tokens import token


@pytest.fixture(params=WAYS)
def sdk(request: pytest.FixtureRequest, node: Node, guarded: Server) -> Iterator[Sdk]:
    """A client of a user that is called as it speaks."""
    sdk = node.connected(guarded, request.param, token=token(sub=request.param))
    assert sdk.wait("connecting")["code"] == 0
    yield sdk
    sdk.do("disconnect")


@pytest.fixture
def user(sdk: Sdk, request: pytest.FixtureRequest) -> str:
    """The user whose client it is."""
    name: str = request.node.callspec.params["sdk"]
    return name


def test_what_is_published(sdk: Sdk, cent: Client, user: str) -> None:
    """It is heard as it was, nobody having played it."""
    one, two = (sdk.subscribe(f"{name}-{user}") for name in ("one", "two"))
    for data in ({"a": ["ü"]}, "12", 12, "", [], "x y"):
        cent.publish(PublishRequest(channel=f"one-{user}", data=data))
        publication = one.wait("publication")
        assert publication["data"] == data
        assert "info" not in publication
    cent.broadcast(BroadcastRequest(channels=[f"one-{user}", f"two-{user}"], data="all"))
    assert one.hear() == two.hear() == ["all"]


def test_it_is_unsubscribed(sdk: Sdk, cent: Client, user: str) -> None:
    """It does not subscribe again by itself (2000), but may if it is told to."""
    subscription = sdk.subscribe(f"channel-{user}")
    cent.unsubscribe(UnsubscribeRequest(user=user, channel=f"channel-{user}"))
    assert subscription.wait("unsubscribed")["code"] == 2000
    sdk.do("publish", f"channel-{user}", "unheard")
    assert subscription.state == "unsubscribed"
    subscription.subscribe()
    sdk.do("publish", f"channel-{user}", "heard")
    assert subscription.hear() == ["heard"]


def test_it_is_subscribed(sdk: Sdk, cent: Client, user: str) -> None:
    """To a channel that it did not ask for, which it hears until it is unsubscribed."""
    channel = f"given-{user}"
    cent.subscribe(SubscribeRequest(user=user, channel=channel, data={"seat": 7}))
    subscribed = sdk.wait("subscribed")
    assert (subscribed["channel"], subscribed["data"]) == (channel, {"seat": 7})
    cent.publish(PublishRequest(channel=channel, data=1))
    publication = sdk.wait("publication")
    assert (publication["channel"], publication["data"]) == (channel, 1)
    cent.unsubscribe(UnsubscribeRequest(user=user, channel=channel))
    assert sdk.wait("unsubscribed")["channel"] == channel
    cent.publish(PublishRequest(channel=channel, data=2))
    assert sdk.do("history", channel, {"limit": -1})["publications"][-1]["data"] == 2
    assert sdk.so_far("publication") == []


@pytest.mark.parametrize("code", [3000, 3499, 4000, 4499])
def test_it_is_sent_away_and_comes_back(sdk: Sdk, cent: Client, user: str, code: int) -> None:
    """With these codes, the SDK connects again by itself, and goes on where it was."""
    channel = f"back-{user}-{code}"
    subscription = sdk.subscribe(channel, recoverable=True)
    why = Disconnect(code=code, reason="come back")
    cent.disconnect(DisconnectRequest(user=user, disconnect=why))
    cent.publish(PublishRequest(channel=channel, data="meanwhile"))
    context = sdk.wait("connecting")
    assert (context["code"], context["reason"]) == (code, "come back")
    assert subscription.wait("subscribed")["recovered"] is True
    assert subscription.hear() == ["meanwhile"]


@pytest.mark.parametrize("code", [0, 3500, 3999, 4500, 4999])
def test_it_is_sent_away(sdk: Sdk, cent: Client, user: str, code: int) -> None:
    """With these, and by default, it stays away."""
    why = Disconnect(code=code, reason="good bye") if code else None
    cent.disconnect(DisconnectRequest(user=user, disconnect=why))
    context = sdk.wait("disconnected")
    expected = (code, "good bye") if code else (3503, "force disconnect")
    assert (context["code"], context["reason"]) == expected
    assert sdk.state == "disconnected"
    assert sdk.so_far("connecting") == []


def test_its_time_is_over(sdk: Sdk, cent: Client, user: str) -> None:
    """It is told that it has expired (3005), and comes back with its token."""
    cent.refresh(RefreshRequest(user=user, expired=True))
    assert sdk.wait("connecting")["code"] == 3005
    sdk.back()
