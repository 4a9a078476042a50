"""The Centrifuge protocol in protobuf, held against the codec of centrifuge-python."""

from __future__ import annotations

import sys
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from orchestra.dialects.centrifuge import protobuf
from orchestra.dialects.centrifuge.codec import JSON, MAX_COMMANDS, Codec
from orchestra.dialects.centrifuge.codes import INTERNAL, UNSUBSCRIBED_BY_SERVER
from orchestra.dialects.centrifuge.schema import (
    BadCommandError,
    ClientInfo,
    Command,
    ConnectResult,
    HistoryRequest,
    PresenceResult,
    Publication,
    PublishRequest,
    PublishResult,
    Push,
    Reply,
    StreamPosition,
    SubscribeRequest,
    SubscribeResult,
)
from orchestra.message import Entry, Publisher
from orchestra.presence import Member, Move
from tests.dialects.centrifuge.test_codec import ENTRIES
from tests.dialects.centrifuge.values import TEXTS, json_texts

codecs = pytest.importorskip("centrifuge.codecs")
schema = pytest.importorskip("centrifuge.protocol.client_pb2")
loaded = protobuf.load()
assert loaded is not None
PROTOBUF: Codec = loaded


def read(data: bytes) -> list[dict[str, Any]]:
    """The replies as centrifuge-python reads them."""
    found: list[dict[str, Any]] = codecs._ProtobufCodec.decode_replies(data)
    return found


def written(*commands: dict[str, Any]) -> bytes:
    """Commands as centrifuge-python writes them."""
    frame: bytes = codecs._ProtobufCodec.encode_commands(commands)
    return frame


def test_without_the_extra_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed is not spoken, and that is no error."""
    monkeypatch.setitem(sys.modules, "centrifuge.protocol.client_pb2", None)
    assert protobuf.load.__wrapped__() is None


def test_commands_are_read() -> None:
    """All of a frame, in their order, with what is not there as its default."""
    frame = written(
        {"id": 1, "connect": {"token": "t", "data": "e30=", "subs": {"x": {"offset": 3}}}},
        {},
        {"id": 2, "subscribe": {"channel": "♪", "delta": "fossil"}},
        {"id": 3, "history": {"channel": "x", "limit": -1, "since": {"offset": "7"}}},
        {"id": 4, "publish": {"channel": "x" * 300, "data": ""}},
        {"id": 5, "ping": {}},
    )
    connect, *others, ping = PROTOBUF.decode(frame)
    assert connect.connect is not None
    assert connect.connect.data is not None
    assert bytes(connect.connect.data) == b"{}"
    assert connect.connect.subs == {"x": SubscribeRequest(offset=3)}
    assert others == [
        Command(),
        Command(2, subscribe=SubscribeRequest("♪")),
        Command(3, history=HistoryRequest("x", -1, StreamPosition(7))),
        Command(4, publish=PublishRequest("x" * 300)),
    ]
    assert ping.ping is not None
    assert PROTOBUF.decode(b"") == []


def test_a_filter_is_seen() -> None:
    """Whatever it is: who wants one is to be told that there are none."""
    frame = written({"id": 2, "subscribe": {"channel": "♪", "tf": {"nodes": [{"op": "a"}]}}})
    (command,) = PROTOBUF.decode(frame)
    assert command.subscribe is not None
    assert command.subscribe.tf is not None


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"\x06secret", "a command must be protobuf of the schema"),
        (b"\x07secret", "a command must be as long as it says"),
        (b"\x80", "the length of a command must be a varint of at most 5 bytes"),
        (b"\x80\x80\x80\x80\x80\x00", "the length of a command must be a varint of at most 5"),
        (b"\0" * (MAX_COMMANDS + 1), "a frame may have at most 4096 commands"),
        (
            written({"subscribe": {"offset": str(2**64 - 1)}}),
            "subscribe.offset: expected `int` <= 9223372036854775807",
        ),
    ],
)
def test_bad_commands_are_told_what_is_wrong(frame: bytes, words: str) -> None:
    """In one line, which repeats nothing that was sent."""
    with pytest.raises(BadCommandError) as caught:
        PROTOBUF.decode(frame)
    assert str(caught.value).startswith(words)


def test_a_frame_may_have_many_commands() -> None:
    """As many as are allowed."""
    assert PROTOBUF.decode(b"\0" * MAX_COMMANDS) == [Command()] * MAX_COMMANDS


@given(st.binary() | st.binary(max_size=100).map(lambda data: bytes((len(data),)) + data))
@example(b"\x05\x22\x03\x0a\x01\xff")
def test_whatever_is_sent_is_commands_or_bad(frame: bytes) -> None:
    """Nothing else is ever raised."""
    try:
        commands = PROTOBUF.decode(frame)
    except BadCommandError:
        return
    assert all(isinstance(command, Command) for command in commands)


def test_replies_are_written_each_behind_its_length() -> None:
    """With what has its default left out, but for results that are empty."""
    publication = Publication(Raw(b"\xff"), ClientInfo("ann", "c", Raw(b"{}")), 2)
    replies = [
        Reply(
            1, connect=ConnectResult("c", subs={"a": SubscribeResult(publications=[publication])})
        ),
        Reply(2, publish=PublishResult()),
        Reply(3, INTERNAL),
        Reply(4, presence=PresenceResult({"c": ClientInfo(client="c")})),
        Reply(push=Push("x" * 200_000, unsubscribe=UNSUBSCRIBED_BY_SERVER)),
        Reply(),
    ]
    frame = PROTOBUF.join([PROTOBUF.encode(reply) for reply in replies])
    info = {"user": "ann", "client": "c", "conn_info": "e30="}
    found = {"data": "/w==", "info": info, "offset": "2"}
    assert read(frame) == [
        {"id": 1, "connect": {"client": "c", "subs": {"a": {"publications": [found]}}}},
        {"id": 2, "publish": {}},
        {"id": 3, "error": {"code": 100, "message": "internal server error", "temporary": True}},
        {"id": 4, "presence": {"presence": {"c": {"client": "c"}}}},
        {
            "push": {
                "channel": "x" * 200_000,
                "unsubscribe": {"code": 2000, "reason": "server unsubscribe"},
            }
        },
        {},
    ]


@given(TEXTS, ENTRIES, st.integers(1, 2**62))
def test_the_fast_way_says_the_same(channel: str, entries: list[Entry], first: int) -> None:
    """A push that is made of the one before has nothing of it."""
    offsets = range(first, first + len(entries))
    assert PROTOBUF.publications(channel, entries, offsets) == [
        PROTOBUF.encode(Reply(push=Push(channel, PROTOBUF.publication(entry, offset))))
        for entry, offset in zip(entries, offsets, strict=True)
    ]


def test_publications_say_who_they_are_from() -> None:
    """As much as is known of them; the data is JSON, or whatever bytes were published."""
    entries: list[Entry] = [
        (b"hello", False, Publisher("c1", "ann", {"name": "Ann"}), 0.0),
        (b"[1,\n2]", False, None, 0.0),
        (b"\xff", True, "c2", 0.0),
    ]
    pushes = [
        reply["push"]["pub"]
        for reply in read(PROTOBUF.join(PROTOBUF.publications("lobby", entries, [1, 2, 4])))
    ]
    assert [b64decode(push["data"]) for push in pushes] == [b'"hello"', b"[1,\n2]", b"\xff"]
    assert b64decode(pushes[0]["info"]["conn_info"]) == b'{"name":"Ann"}'
    assert [push.get("info", {}).get("client") for push in pushes] == ["c1", None, "c2"]
    assert [push["offset"] for push in pushes] == ["1", "2", "4"]


def test_moves_are_pushes() -> None:
    """Who came and who left."""
    moves = [Move(Member("c1", "ann", 1.0), True), Move(Member("c2", None, 2.0), False)]
    entries: list[Entry] = [(move.encoded(), False, None, 0.0) for move in moves]
    assert read(PROTOBUF.join(PROTOBUF.moves("lobby", entries))) == [
        {"push": {"channel": "lobby", "join": {"info": {"user": "ann", "client": "c1"}}}},
        {"push": {"channel": "lobby", "leave": {"info": {"client": "c2"}}}},
    ]


@given(st.binary(min_size=1) | json_texts() | TEXTS.map(str.encode))
@example(b'"\\u0041"')
@example(b'"a"')
@example(b'""')
@example(b' "a"')
@example(b'"\xff"')
@example(b"hello")
@example(b'{"a":"\\ud800"}')
def test_what_a_client_publishes_reaches_clients_as_it_was(data: bytes) -> None:
    """To the byte, and those who speak JSON hear it as well."""
    content = PROTOBUF.content(Raw(data))
    publication = PROTOBUF.publication((*content, None, 0.0), 1)
    assert bytes(publication.data) == data
    assert JSON.publications("a", [(*content, None, 0.0)], [1])


def test_what_is_no_json_is_binary_data() -> None:
    """Text without quotes is, too, since nothing says that it is text."""
    assert PROTOBUF.content(Raw(b"hello")) == (b"hello", True)
    assert PROTOBUF.content(Raw(b'"hello"')) == (b"hello", False)
    assert PROTOBUF.content(Raw(b'"\xff"')) == (b'"\xff"', True)
    assert PROTOBUF.content(Raw(b"[1]")) == (b"[1]", False)


@given(TEXTS, st.binary())
def test_commands_that_come_by_another_way(session: str, data: bytes) -> None:
    """They are bytes in a message, which says whose they are."""
    request = schema.EmulationRequest(session=session, node="n", data=data)
    assert PROTOBUF.emulated(request.SerializeToString()) == (session, data)


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05a", b"\x12\x01\xff"])
def test_commands_that_come_by_another_way_are_checked(body: bytes) -> None:
    """What is no such message is refused."""
    with pytest.raises(BadCommandError):
        PROTOBUF.emulated(body)
