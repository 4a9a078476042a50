"""Commands of a session that come together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.task import Clock

from orchestra import ChannelSettings, Hub, OrchestraFactory
from orchestra.dialects.centrifuge import codes
from tests.memory import MemoryClient


class Sdk:
    """A client that speaks the protocol, and has come in."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.factory = OrchestraFactory(reactor=self.clock, **options)
        self.client = MemoryClient(self.factory, "/connection/websocket")
        self.frames()
        self.send({"id": 1, "connect": {}})
        self.frames()

    def send(self, *frames: Any) -> None:
        """Have the server receive frames at once."""
        self.client.send(*map(text_of, frames))

    def frames(self) -> list[list[Any]]:
        """What the server has sent since the last time: frames with replies."""
        self.clock.advance(0)
        return [[json.loads(line) for line in str(m).split("\n")] for m in self.client.read()]

    def heard(self, channel: str) -> list[bytes]:
        """What the channel has."""
        return [message.payload for message in self.factory.hub.history(channel)]


def text_of(frame: Any) -> str:
    """One command, several, or text that is none."""
    if isinstance(frame, str):
        return frame
    return "\n".join(map(json.dumps, frame if isinstance(frame, list) else [frame]))


def publish(number: int, data: Any, channel: str = "band") -> dict[str, Any]:
    """A command to publish."""
    return {"id": number, "publish": {"channel": channel, "data": data}}


def published(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """The replies to such commands."""
    return [{"id": number, "publish": {}} for number in numbers]


def test_frames_that_came_together_are_answered_together() -> None:
    """In one frame, whether each had one command or several; and all is played in its order."""
    sdk = Sdk()
    sdk.send(publish(2, 2), [publish(3, 3), publish(4, 4)], publish(5, 5))
    assert sdk.frames() == [published([2, 3, 4, 5])]
    assert sdk.heard("band") == [b"2", b"3", b"4", b"5"]


def test_more_than_a_burst_is_published() -> None:
    """It takes several goes, of which nothing is seen."""
    sdk = Sdk()
    sdk.send([publish(n, n) for n in range(2, 200)])
    assert [reply for frame in sdk.frames() for reply in frame] == published(range(2, 200))
    assert sdk.heard("band") == [b"%d" % n for n in range(2, 200)]


def test_one_that_is_refused_does_not_keep_others_from_being_played() -> None:
    """Each has its reply, in the order of the commands."""
    sdk = Sdk(max_message_size=5)
    sdk.send([publish(2, 2), publish(3, "too long"), {"id": 4, "publish": {"channel": "band"}}])
    sdk.send(publish(5, 5))
    (first, second) = sdk.frames()
    assert [(reply["id"], "error" in reply) for reply in first + second] == [
        (2, False),
        (3, True),
        (4, True),
        (5, False),
    ]
    assert sdk.heard("band") == [b"2", b"5"]


def test_channels_may_take_turns() -> None:
    """Each message goes to its own channel, by its own settings; replies keep their order."""
    settings = {"quiet": ChannelSettings(max_message_size=1)}
    sdk = Sdk(hub=Hub(channels=settings))
    commands = [
        publish(2, 2),
        publish(3, 30, "quiet"),
        publish(4, 4, "quiet"),
        publish(5, 50),
        publish(6, 6, "no\nname"),
        publish(7, 7, "no\nname"),
    ]
    sdk.send(commands)
    (replies,) = sdk.frames()
    errors = {reply["id"]: reply["error"]["code"] for reply in replies if "error" in reply}
    assert [reply["id"] for reply in replies] == [2, 3, 4, 5, 6, 7]
    assert errors == {3: 106, 6: 107, 7: 107}
    assert sdk.heard("band") == [b"2", b"50"]
    assert sdk.heard("quiet") == [b"4"]


def test_what_comes_before_a_subscription_is_not_heard() -> None:
    """Commands are performed in their order, be they to publish or others."""
    sdk = Sdk()
    subscribe = {"id": 3, "subscribe": {"channel": "band"}}
    sdk.send([publish(2, 2), subscribe, publish(4, 4)])
    replies, pushes = sdk.frames()
    assert [reply["id"] for reply in replies] == [2, 3, 4]
    assert [push["push"]["pub"]["data"] for push in pushes] == [4]


def test_a_publication_without_an_id_is_no_command() -> None:
    """The connection is closed, as with other commands; what came before it is played."""
    sdk = Sdk()
    sdk.send([publish(2, 2), publish(0, 3), publish(4, 4)])
    assert sdk.frames() == [published([2])]
    assert sdk.heard("band") == [b"2"]
    assert sdk.client.ws.close_code == codes.BAD_FRAME.code


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_bad_frame_ends_it_after_what_was_good(is_alone: bool) -> None:
    """What came before is done and answered, what comes behind is not."""
    sdk = Sdk()
    frames = [publish(2, 2), "}", publish(3, 3)]
    if is_alone:
        for frame in frames:
            sdk.send(frame)
    else:
        sdk.send(*frames)
    assert sdk.frames() == [published([2])]
    assert sdk.heard("band") == [b"2"]
    assert sdk.client.ws.close_code == codes.BAD_FRAME.code
