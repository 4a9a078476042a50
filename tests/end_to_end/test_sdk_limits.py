"""What SDKs are told by numbers: errors, and why connections are closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.commands import PATH, Speaker, speaking
from tests.end_to_end.sdk import Node, SdkError
from tests.end_to_end.server import PATIENCE, Server, serving
from tests.end_to_end.tokens import allowing, key_file


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with little patience and small limits."""
    limits = ("--max-message-size=100", "--max-message-rate=5", "--max-subscriptions=2")
    times = ("--handshake-timeout=0.5", "--ping-interval=0.5", "--ping-timeout=0.4")
    with serving(tmp_path_factory.mktemp("strict"), *limits, *times) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


def refused(sdk: Any, do: str, *args: Any) -> int:
    """The code that a call is refused with."""
    with pytest.raises(SdkError) as raised:
        sdk.do(do, *args)
    return raised.value.code


@pytest.mark.parametrize("channel", ["", "x" * 256, "ü" * 128, "a\x00b"])
@pytest.mark.parametrize("what", ["subscribe", "publish", "presence", "presence_stats", "history"])
def test_what_is_no_channel(server: Server, channel: str, what: str) -> None:
    """It is a bad request (107), and the connection goes on."""
    command = {"channel": channel} | ({"data": 1} if what == "publish" else {})
    with speaking(server) as speaker:
        assert speaker.refused({what: command}) == 107
        assert speaker.ask({"ping": {}}) == [{"ping": {}}]


def test_what_cannot_be_a_channel(server: Server) -> None:
    """Where other things are on the server there is no channel (102)."""
    with speaking(server) as speaker:
        for channel in ("connection/websocket", "healthz"):
            assert speaker.refused({"subscribe": {"channel": channel}}) == 102
            assert speaker.refused({"publish": {"channel": channel, "data": 1}}) == 102


def test_what_is_not_allowed(node: Node, tmp_path: Path) -> None:
    """Each of listening, playing, knowing who is there and having the past is refused (103)."""
    with serving(tmp_path, f"--token-key-file={key_file(tmp_path)}") as server:
        for may, does in {
            "sub": [],
            "pub": ["publish"],
            "prs": ["presence", "presenceStats"],
            "hst": ["history"],
        }.items():
            sdk = node.connected(server, token=allowing(may, channels=("own",)))
            for method in ("publish", "presence", "presenceStats", "history"):
                args = {"publish": [1], "history": [{"limit": 1}]}.get(method, [])
                if method in does:
                    sdk.do(method, "own", *args)
                else:
                    assert refused(sdk, method, "own", *args) == 103
                assert refused(sdk, method, "other", *args) == 103
            subscription = sdk.subscription("own")
            if may == "sub":
                subscription.subscribe()
            else:
                subscription.do("subscribe")
                assert subscription.wait("unsubscribed")["code"] == 103
            other = sdk.subscription("other")
            other.do("subscribe")
            assert other.wait("unsubscribed")["code"] == 103
            assert sdk.state == "connected"
            sdk.do("disconnect")
        assert server.stop() == 0
    assert "Traceback" not in server.text


def test_limits(node: Node, strict: Server) -> None:
    """A message too large (106), too many subscriptions (106), too many messages (111)."""
    sdk = node.connected(strict)
    one, two, three = (sdk.subscription(name) for name in ("one", "two", "three"))
    one.subscribe()
    two.subscribe()
    three.do("subscribe")
    assert three.wait("unsubscribed")["code"] == 106
    one.do("unsubscribe")
    three.subscribe()
    assert refused(sdk, "publish", "two", "x" * 101) == 106
    sdk.do("publish", "two", "x" * 100)
    answers = [sdk.order("publish", "two", number) for number in range(20)]
    codes = [
        error.code
        for answer in answers
        if isinstance(error := answer.exception(PATIENCE), SdkError)
    ]
    assert set(codes) == {111}
    assert 10 <= len(codes) < 20
    assert two.hear() == ["x" * 100]
    assert two.hear(20 - len(codes)) == list(range(20 - len(codes)))
    assert sdk.state == "connected"
    sdk.do("disconnect")


def test_what_there_is_not(node: Node, server: Server) -> None:
    """A method that nobody has registered is not available (108)."""
    sdk = node.connected(server)
    assert refused(sdk, "rpc", "sing", {}) == 108
    sdk.do("disconnect")


def test_a_channel_twice(server: Server) -> None:
    """A second subscription is refused (105), and the first goes on."""
    with speaking(server) as speaker:
        subscribe = {"subscribe": {"channel": "twice"}}
        first, second = speaker.ask(subscribe, subscribe)
        assert "subscribe" in first
        assert second["error"]["code"] == 105
        speaker.say({"id": 9, "publish": {"channel": "twice", "data": 1}})
        heard = [speaker.hear(), speaker.hear()]
        assert {"id": 9, "publish": {}} in heard
        assert [line["push"]["pub"]["data"] for line in heard if "push" in line] == [1]


@pytest.mark.parametrize(
    "frame",
    [
        "garbage",
        "[]",
        "{",
        '{"id": 1}',
        '{"id": 1, "dance": {}}',
        '{"id": "1", "ping": {}}',
        '{"id": -1, "ping": {}}',
        '{"ping": {}}',
        '{"id": 1, "connect": {}}',
        '{"id": 1, "subscribe": 1}',
        '{"id": 1, "history": {"channel": "x", "limit": "all"}}',
        b"\xff\x00",
    ],
)
def test_what_is_no_command(server: Server, frame: str | bytes) -> None:
    """The connection is closed with 3501, which no SDK comes back after."""
    with speaking(server) as speaker:
        speaker.connection.send(frame)
        assert speaker.closed()[0] == 3501


@pytest.mark.parametrize(
    "command",
    [
        {"id": 1, "subscribe": {"channel": "early"}},
        {"id": 1, "publish": {"channel": "early", "data": 1}},
        {"id": 1, "ping": {}},
        {"send": {"data": 1}},
        {},
    ],
)
def test_a_command_before_connecting(server: Server, command: dict[str, Any]) -> None:
    """The connection is closed with 3501, and nothing is performed."""
    with server.connect("/early") as plain, server.connect(PATH) as connection:
        speaker = Speaker(connection)
        speaker.say(command, {"id": 2, "connect": {}})
        assert speaker.closed()[0] == 3501
        plain.send("after")
        assert plain.recv(timeout=PATIENCE) == "Echo: after"


def test_who_does_not_connect(strict: Server) -> None:
    """Whoever sends no command is closed when the time to shake hands is over (3502)."""
    with strict.connect(PATH) as connection:
        assert Speaker(connection).closed()[0] == 3502


def test_who_does_not_answer(strict: Server) -> None:
    """Whoever does not answer pings is closed (3012); an answer, or any command, is enough."""
    with speaking(strict) as silent:
        assert silent.hear() == {}
        assert silent.closed()[0] == 3012
    with speaking(strict) as alive:
        for answer in ({}, {"id": 1, "ping": {}}, {}):
            assert alive.hear() == {}
            alive.say(answer)
            assert not answer or alive.hear() == answer
        assert alive.hear() == {}


def test_an_sdk_answers_pings(node: Node, strict: Server) -> None:
    """It stays where others are closed; its pings are its own and not the WebSocket's."""
    sdk = node.connected(strict)
    with speaking(strict) as silent:
        assert silent.closed()[0] == 3012
    with speaking(strict) as silent:
        assert silent.closed()[0] == 3012
    assert sdk.so_far("disconnected") == []
    assert len(sdk.so_far("connecting")) == 1
    assert sdk.state == "connected"
    sdk.do("disconnect")
