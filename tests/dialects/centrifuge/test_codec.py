"""The Centrifuge protocol in JSON, held against the codec of centrifuge-python."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from orchestra.dialects.centrifuge.codec import JSON, MAX_COMMANDS, read_json
from orchestra.dialects.centrifuge.codes import (
    INTERNAL,
    SHUTDOWN,
    UNAUTHORIZED,
    UNSUBSCRIBED_BY_SERVER,
)
from orchestra.dialects.centrifuge.schema import (
    BadCommandError,
    ClientInfo,
    Command,
    ConnectRequest,
    ConnectResult,
    HistoryRequest,
    HistoryResult,
    PingRequest,
    PingResult,
    PresenceResult,
    PresenceStatsResult,
    Publication,
    PublishResult,
    Push,
    RefreshResult,
    Reply,
    RPCRequest,
    RPCResult,
    StreamPosition,
    SubRefreshResult,
    Subscribe,
    SubscribeRequest,
    SubscribeResult,
    UnsubscribeResult,
)
from orchestra.message import Entry, Publisher
from orchestra.presence import Member, Move
from tests.dialects.centrifuge.values import TEXTS, VALUES, json_texts, strict

PUBLISHERS = st.none() | TEXTS | st.builds(Publisher, TEXTS, st.none() | TEXTS, VALUES)
CONTENTS = (
    st.tuples(st.binary(), st.just(True))
    | st.tuples(json_texts(), st.just(False))
    | st.tuples(TEXTS.map(str.encode), st.just(False))
)
ENTRIES = st.lists(
    st.builds(lambda content, who: (*content, who, 0.0), CONTENTS, PUBLISHERS), max_size=4
)


def read(data: bytes) -> list[dict[str, Any]]:
    """The replies as centrifuge-python reads them."""
    codecs = pytest.importorskip("centrifuge.codecs")
    found: list[dict[str, Any]] = codecs._JsonCodec.decode_replies(data.decode())
    return found


def written(*commands: dict[str, Any]) -> bytes:
    """Commands as centrifuge-python writes them."""
    codecs = pytest.importorskip("centrifuge.codecs")
    text: str = codecs._JsonCodec.encode_commands(commands)
    return text.encode()


def value(data: Raw | None) -> Any:
    assert data is not None
    return strict(bytes(data))


# Commands


def test_commands_are_read() -> None:
    """All of a frame, in their order, with what is not there as its default."""
    frame = written(
        {"id": 1, "connect": {"token": "t", "data": {"a": 1}, "subs": {"x": {"offset": 3}}}},
        {"id": 2, "subscribe": {"channel": "♪", "recover": True, "epoch": "e", "flag": 1}},
        {"id": 3, "history": {"channel": "x", "limit": -1, "since": {"offset": 7}}},
        {"id": 4, "ping": {}},
        {"id": 2**32 - 1, "rpc": {"data": None}},
        {},
    )
    connect, *others, rpc, pong = JSON.decode(frame)
    assert connect.connect is not None
    assert value(connect.connect.data) == {"a": 1}
    assert (connect.connect.token, connect.connect.subs) == (
        "t",
        {"x": SubscribeRequest(offset=3)},
    )
    assert others == [
        Command(2, subscribe=SubscribeRequest("♪", recover=True, epoch="e", flag=1)),
        Command(3, history=HistoryRequest("x", -1, StreamPosition(7))),
        Command(4, ping=PingRequest()),
    ]
    assert rpc.rpc is not None
    assert value(rpc.rpc.data) is None
    assert pong == Command()


@pytest.mark.parametrize("frame", [b"", b"\n", b" \r\n\n"])
def test_blank_lines_are_nothing(frame: bytes) -> None:
    """A frame may have none but these, and they may stand between commands."""
    assert JSON.decode(frame) == []
    assert JSON.decode(frame + b"\n{}\n" + frame + b'\n{"id":1}\r\n') == [Command(), Command(1)]


def test_data_that_is_not_there_is_not_null() -> None:
    """Null is a value like any other."""
    without, null = JSON.decode(b'{"rpc":{}}\n{"rpc":{"data":null}}')
    assert without.rpc == RPCRequest()
    assert null.rpc is not None
    assert null.rpc.data is not None
    assert bytes(null.rpc.data) == b"null"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('{"id":-1}', "id: expected `int` >= 0"),
        ('{"id":4294967296}', "id: expected `int` <= 4294967295"),
        ('{"id":"secret"}', "id: expected `int`, got `str`"),
        ('{"subscribe":{"offset":-1}}', "subscribe.offset: expected `int` >= 0"),
        ('{"subscribe":{"recover":1}}', "subscribe.recover: expected `bool`, got `int`"),
        ('{"connect":{"subs":{"secret":{"offset":-1}}}}', "connect.subs[...].offset: "),
        ('{"history":{"limit":2147483648}}', "history.limit: expected `int` <= 2147483647"),
        ('["secret"]', "a command: expected `object`, got `array`"),
        ("secret", "a command must be valid JSON on one line"),
        ('{"id":1,\n"ping":{}}', "a command must be valid JSON on one line"),
        ('{"id":1}{"id":2}', "a command must be valid JSON on one line"),
        ('{"rpc":{"data":"\\ud800"}}', "a command must be valid JSON on one line"),
        ('{"rpc":{"data":' + "[" * 100_000, "a command must not be nested so deeply"),
        ("{}\n" * MAX_COMMANDS, "a frame may have at most 4096 commands"),
    ],
)
def test_bad_commands_are_told_what_is_wrong(command: str, words: str) -> None:
    """In one line, which repeats nothing that was sent."""
    with pytest.raises(BadCommandError) as caught:
        JSON.decode(command.encode())
    assert str(caught.value).startswith(words)
    assert "secret" not in str(caught.value)


def test_a_frame_may_have_many_commands() -> None:
    """As many as are allowed."""
    assert len(JSON.decode(b"\n".join([b"{}"] * MAX_COMMANDS))) == MAX_COMMANDS


def test_what_is_no_utf8_is_refused() -> None:
    """Where it would be text."""
    with pytest.raises(BadCommandError, match="a command must be UTF-8"):
        JSON.decode(b'{"connect":{"token":"\xff"}}')


PIECES = st.sampled_from(
    [
        b'{"id":',
        b"1",
        b"}",
        b"{",
        b'"connect"',
        b":",
        b",",
        b'"data"',
        b"\n",
        b'"\xff"',
        b"[",
        b"]",
    ]
)


@given(st.binary() | st.lists(PIECES).map(b"".join))
def test_whatever_is_sent_is_commands_or_bad(frame: bytes) -> None:
    """Nothing else is ever raised."""
    try:
        commands = JSON.decode(frame)
    except BadCommandError:
        return
    assert all(isinstance(command, Command) for command in commands)


# Replies


@pytest.mark.parametrize(
    ("reply", "heard"),
    [
        (Reply(), {}),
        (Reply(1, publish=PublishResult()), {"id": 1, "publish": {}}),
        (Reply(1, unsubscribe=UnsubscribeResult()), {"id": 1, "unsubscribe": {}}),
        (Reply(1, UNAUTHORIZED), {"id": 1, "error": {"code": 101, "message": "unauthorized"}}),
        (Reply(1, ping=PingResult()), {"id": 1, "ping": {}}),
        (Reply(1, subscribe=SubscribeResult()), {"id": 1, "subscribe": {}}),
        (
            Reply(1, INTERNAL),
            {
                "id": 1,
                "error": {"code": 100, "message": "internal server error", "temporary": True},
            },
        ),
        (
            Reply(
                1,
                connect=ConnectResult(
                    "c", subs={"a": SubscribeResult(offset=3, data=Raw(b"[1,\n2]"))}, ping=25
                ),
            ),
            {
                "id": 1,
                "connect": {
                    "client": "c",
                    "subs": {"a": {"offset": 3, "data": [1, 2]}},
                    "ping": 25,
                },
            },
        ),
        (
            Reply(1, history=HistoryResult([Publication(Raw(b"0"), offset=2)], "e", 2)),
            {
                "id": 1,
                "history": {"publications": [{"data": 0, "offset": 2}], "epoch": "e", "offset": 2},
            },
        ),
        (
            Reply(1, presence=PresenceResult({"c": ClientInfo("ann", "c", Raw(b"{}"))})),
            {
                "id": 1,
                "presence": {"presence": {"c": {"user": "ann", "client": "c", "conn_info": {}}}},
            },
        ),
        (
            Reply(1, presence_stats=PresenceStatsResult(2, 1)),
            {"id": 1, "presence_stats": {"num_clients": 2, "num_users": 1}},
        ),
        (Reply(1, rpc=RPCResult(Raw(b"null"))), {"id": 1, "rpc": {"data": None}}),
        (Reply(1, refresh=RefreshResult(expires=True, ttl=9)), None),
        (Reply(1, sub_refresh=SubRefreshResult(True, 9)), None),
        (
            Reply(push=Push("a", unsubscribe=UNSUBSCRIBED_BY_SERVER)),
            {
                "push": {
                    "channel": "a",
                    "unsubscribe": {"code": 2000, "reason": "server unsubscribe"},
                }
            },
        ),
        (
            Reply(push=Push(disconnect=SHUTDOWN)),
            {"push": {"disconnect": {"code": 3001, "reason": "shutdown"}}},
        ),
        (
            Reply(push=Push("a", subscribe=Subscribe(True, "e"))),
            {"push": {"channel": "a", "subscribe": {"recoverable": True, "epoch": "e"}}},
        ),
    ],
)
def test_replies_are_written_without_what_has_its_default(
    reply: Reply, heard: dict[str, Any] | None
) -> None:
    """A result is there even if it is empty, and all is on one line."""
    written = JSON.encode(reply)
    assert b"\n" not in written
    if heard is not None:
        assert read(written) == [heard]
    assert len(read(written)[0]) == len(json.loads(written))


def test_replies_are_joined_by_lines() -> None:
    """A frame with several is read as these."""
    replies = [JSON.encode(Reply(1, ping=PingResult())), JSON.encode(Reply(2, INTERNAL))]
    assert [reply["id"] for reply in read(JSON.join(replies))] == [1, 2]
    assert JSON.join(replies[:1]) == replies[0]


# Messages and moves


@given(TEXTS, ENTRIES, st.integers(1, 2**62))
def test_the_fast_way_says_the_same(channel: str, entries: list[Entry], first: int) -> None:
    """Pushes that are put together are those that a reply is encoded to, each on one line."""
    offsets = range(first, first + len(entries))
    pushes = JSON.publications(channel, entries, offsets)
    slowly = [
        JSON.encode(Reply(push=Push(channel, JSON.publication(entry, offset))))
        for entry, offset in zip(entries, offsets, strict=True)
    ]
    assert [strict(push) for push in pushes] == [
        # An empty channel is left out; there is none with that name.
        {"push": {"channel": channel} | strict(push)["push"]}
        for push in slowly
    ]
    assert not any(b"\n" in push or b"\r" in push for push in pushes)


def test_a_publication_says_who_it_is_from() -> None:
    """As much as is known of them."""
    entries: list[Entry] = [
        (b"hello", False, Publisher("c1", "ann", {"name": "Ann"}), 0.0),
        (b"[1]", False, "c2", 0.0),
        (b"\xff", True, None, 0.0),
    ]
    replies = read(JSON.join(JSON.publications("lobby", entries, [5, 7, 8])))
    assert [reply["push"] for reply in replies] == [
        {
            "channel": "lobby",
            "pub": {
                "data": "hello",
                "info": {"user": "ann", "client": "c1", "conn_info": {"name": "Ann"}},
                "offset": 5,
            },
        },
        {"channel": "lobby", "pub": {"data": [1], "info": {"client": "c2"}, "offset": 7}},
        {"channel": "lobby", "pub": {"data": {"b64": "/w=="}, "offset": 8}},
    ]


def test_moves_are_pushes() -> None:
    """Who came and who left, with what is known of them."""
    ann = Member("c1", "ann\ud800", 12.5, {"name": "Ann"})
    moves = [Move(ann, True), Move(Member("c2", None, 13.0), False)]
    entries: list[Entry] = [(move.encoded(), False, move.member.client, 0.0) for move in moves]
    assert read(JSON.join(JSON.moves("lobby", entries))) == [
        {
            "push": {
                "channel": "lobby",
                "join": {
                    "info": {"user": "ann?", "client": "c1", "conn_info": {"name": "Ann"}},
                },
            }
        },
        {"push": {"channel": "lobby", "leave": {"info": {"client": "c2"}}}},
    ]


@given(VALUES, st.booleans())
def test_what_a_client_publishes_reaches_clients_as_it_was(data: Any, ascii_only: bool) -> None:
    """From a command's data to that of the push, whatever JSON it is."""
    text = json.dumps(
        {"id": 1, "publish": {"channel": "a", "data": data}}, ensure_ascii=ascii_only
    )
    (command,) = JSON.decode(text.encode())
    assert command.publish is not None
    assert command.publish.data is not None
    payload, is_binary = JSON.content(command.publish.data)
    (push,) = JSON.publications("a", [(payload, is_binary, None, 0.0)], [1])
    assert read(push)[0]["push"]["pub"]["data"] == data


def test_the_connect_command_of_nobody_in_particular_is_read() -> None:
    """An empty one asks for no more than to come in."""
    assert JSON.decode(b'{"id": 1, "connect": {}}') == [Command(1, connect=ConnectRequest())]


@given(TEXTS, TEXTS, VALUES)
def test_commands_that_come_by_another_way(session: str, data: str, node: Any) -> None:
    """They are a string in an object, which says whose they are."""
    body = json.dumps({"session": session, "node": node, "data": data})
    assert JSON.emulated(body.encode()) == (session, data.encode())


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"data":{}}', b'{"session":7}', b'{"data":"\\ud800"}', b'"\xff"']
)
def test_commands_that_come_by_another_way_are_checked(body: bytes) -> None:
    """And nothing of them is repeated."""
    with pytest.raises(BadCommandError):
        JSON.emulated(body)


def test_a_request_that_is_nothing_else_is_read() -> None:
    """One that is malformed is refused like a command."""
    assert read_json(b'{"token": "T"}', ConnectRequest) == ConnectRequest("T")
    for body in (b"", b"null", b'{"token": 1}', b"[" * 100_000, b'{"token": "\xff"}'):
        with pytest.raises(BadCommandError):
            read_json(body, ConnectRequest)


@pytest.mark.parametrize(
    "payloads",
    [
        [b"1", b"{}"],
        [b"1,2", b"[3", b"4]"],
        [b' "a', b'",  [1', b"2]"],
        [b" 1", b"2"],
        [b"", b"1"],
        [b"[1,\n2]", b"3"],
        [b'"a"', b"a"],
    ],
)
def test_messages_are_json_by_themselves_or_text(payloads: list[bytes]) -> None:
    """What would be JSON only with its neighbours is not taken for it."""
    entries: list[Entry] = [(payload, False, None, 0.0) for payload in payloads]
    replies = JSON.publications("band", entries, range(1, len(entries) + 1))
    wanted = [
        JSON.encode(Reply(push=Push("band", JSON.publication(e, n))))
        for n, e in enumerate(entries, 1)
    ]
    assert replies == wanted


@given(st.integers(1, 2**32 - 1))
def test_the_reply_to_a_publication(number: int) -> None:
    """The fast way says the same."""
    assert JSON.published(number) == JSON.encode(Reply(number, publish=PublishResult()))
