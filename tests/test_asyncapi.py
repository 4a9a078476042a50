"""The AsyncAPI document has all that is spoken in the Centrifuge protocol, as it is spoken now."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from jsonschema import Draft7Validator
from msgspec import Raw, Struct

from orchestra.dialects.centrifuge.codec import JSON
from orchestra.dialects.centrifuge.schema import (
    ClientInfo,
    Command,
    ConnectRequest,
    EmulationRequest,
    Push,
    Reply,
)
from tests.asyncapi import DOCUMENT, PATH, fitting, messages_of

REQUIRED = {Raw: Raw(b"null"), int: 100, str: "", ClientInfo: ClientInfo()}
"""Values for fields that have no default, by their types."""


def parts(kind: type[Struct]) -> Iterator[tuple[str, Any]]:
    """Each part of which an object has one: its name, and one with nothing but what it needs."""
    for field in msgspec.structs.fields(kind):
        for part in get_args(field.type):
            if isinstance(part, type) and issubclass(part, Struct) and part is not Push:
                needs = [f for f in msgspec.structs.fields(part) if f.required]
                yield field.name, part(**{f.name: REQUIRED[f.type] for f in needs})


COMMANDS = {name: Command(id=1, **{name: part}) for name, part in parts(Command)}
REPLIES = {name: Reply(id=1, **{name: part}) for name, part in parts(Reply)}
PUSHES = {name: Reply(push=Push(channel="strings", **{name: part})) for name, part in parts(Push)}


def message(name: str, kind: str) -> str:
    """What the message with a part is called in the document."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others)) + kind


def test_it_is_up_to_date() -> None:
    """Whoever changes the schema in the code writes it again."""
    script = PATH.parent / "_ext" / "asyncapi.py"
    assert PATH.read_text() == runpy.run_path(str(script))["document"]()


def test_its_schemas_are_schemas() -> None:
    """Each is one of JSON Schema draft 7, which those of AsyncAPI 3 are a superset of."""
    schemas = [*DOCUMENT["components"]["schemas"].values()]
    schemas += [message["payload"] for message in DOCUMENT["components"]["messages"].values()]
    for schema in schemas:
        Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_in_it(name: str) -> None:
    """As that command, and no other."""
    value = msgspec.json.decode(msgspec.json.encode(COMMANDS[name]))
    assert fitting(value, "command") == [message(name, "Command")]
    assert not fitting(value | {"another": 1}, "command")


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_in_it(name: str) -> None:
    """As that reply, and no other."""
    value = msgspec.json.decode(JSON.encode(REPLIES[name]))
    assert fitting(value, "reply") == [message(name, "Reply")]


@pytest.mark.parametrize("name", PUSHES)
def test_a_push_is_in_it(name: str) -> None:
    """As that push, and no other; with a channel, if it is about one."""
    value = msgspec.json.decode(JSON.encode(PUSHES[name]))
    if name in ("connect", "disconnect", "refresh"):
        assert fitting(value, "reply") == []
        del value["push"]["channel"]
    assert fitting(value, "reply") == [message(name, "Push")]
    assert fitting(value["push"], "uniSse reply") == [message(f"uni_{name}", "Event")]


def test_what_is_posted_is_in_it() -> None:
    """Commands of a session that is elsewhere, and what begins a stream for those who listen."""
    request = msgspec.structs.asdict(EmulationRequest("a session", "{}"))
    assert fitting(request | {"node": "orchestra"}, "emulation") == ["emulation"]
    assert not fitting({"data": "{}"}, "emulation")
    connect = msgspec.json.decode(msgspec.json.encode(ConnectRequest("a token")))
    assert fitting(connect, "uniSse") == ["uniConnect"]


def test_nothing_else_is_in_it() -> None:
    """There is no message that is none of these, but for the ping and its answer."""
    assert len(messages_of("command")) == len(COMMANDS) + 1
    assert len(messages_of("reply")) == len(REPLIES) + len(PUSHES) + 1
    assert fitting({}, "command") == ["pong"]
    assert fitting({}, "reply") == ["ping"]
