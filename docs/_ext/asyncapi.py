"""All that is spoken on the server's port, as an AsyncAPI 3 document: docs/asyncapi.json.

What is said in the Centrifuge protocol is taken from its schema in the code. When that has
changed, this writes the file again: ``python docs/_ext/asyncapi.py``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, get_args

import msgspec
from msgspec import Struct

import orchestra
from orchestra.dialects.centrifuge import schema

DOCUMENT = Path(__file__).parent.parent / "asyncapi.json"
"""Where it is."""

Object: TypeAlias = dict[str, Any]

WITHOUT_CHANNEL = {"connect", "disconnect", "refresh"}
"""The pushes that are about no channel."""

TEXT: Object = {"type": "string"}
LAST: Object = {"type": "integer", "minimum": 0}
OFFSET: Object = {"type": "integer", "minimum": 0}
NAME: Object = {
    "channel": {
        "description": "The channel's name: 1 to 255 bytes of UTF-8, percent-encoded. The channel"
        " of the root path is main."
    }
}


def document() -> str:
    """The file, as it should be."""
    messages = {
        name: message
        for part in (_plain(), _commands(), _replies(), _uni_events(), _emulation())
        for name, message in part
    }
    played = ["text", "binary"]
    events = ["textEvent", "binaryEvent", "gapEvent", "presenceEvent"]
    commands, replies = [name for name, _ in _commands()], [name for name, _ in _replies()]
    uni_events = [name for name, _ in _uni_events()]
    channels = {
        "webSocket": _channel(
            "/{channel}",
            "A channel as a WebSocket: each message is one of the channel, and what is sent is"
            " published there.",
            played,
            bindings=_query("ws", last=LAST, echo={"type": "integer", "enum": [0, 1]}, token=TEXT),
        ),
        "eventStream": _channel(
            "/{channel}", "A channel as server-sent events.", events, server="http"
        ),
        "post": _channel(
            "/{channel}", "A channel to play in by POST.", [*played, "position"], server="http"
        ),
        "centrifuge": _channel(
            "/connection/websocket",
            "The Centrifuge client protocol. A text message has an object on each of its lines."
            " The subprotocol is none, or centrifuge-json; with centrifuge-protobuf the same is"
            " spoken in protobuf, in binary messages.",
            [*commands, *replies],
            bindings=_query("ws"),
        ),
        "httpStream": _channel(
            "/connection/http_stream",
            "The same without a WebSocket: the command to connect is posted, and the answer is a"
            " stream of replies, one a line. Further commands are posted to /emulation.",
            ["connectCommand", *replies],
            server="http",
        ),
        "sse": _channel(
            "/connection/sse",
            "The same as server-sent events. The command to connect is in the URL, as cf_connect,"
            " or posted.",
            ["connectCommand", *replies],
            server="http",
        ),
        "emulation": _channel(
            "/emulation",
            "Commands of those who are connected by one of these streams.",
            ["emulation"],
            server="http",
        ),
        "uniSse": _channel(
            "/connection/uni_sse",
            "A stream for those who only listen, as server-sent events. What connect has as a"
            " command may be in the URL, as cf_connect, or posted.",
            ["uniConnect", *uni_events],
            server="http",
        ),
    }
    operations = {
        "play": _operation("receive", "webSocket", played),
        "hear": _operation("send", "webSocket", played),
        "stream": _operation(
            "send",
            "eventStream",
            events,
            bindings={"http": {"method": "GET"}},
        ),
        "post": _operation(
            "receive",
            "post",
            played,
            bindings={"http": {"method": "POST"}},
            reply=_in("post", ["position"]),
        ),
        "command": _operation("receive", "centrifuge", commands),
        "reply": _operation("send", "centrifuge", replies),
        "httpStream": _operation(
            "receive",
            "httpStream",
            ["connectCommand"],
            bindings={"http": {"method": "POST"}},
            reply=_in("httpStream", replies),
        ),
        "sse": _operation(
            "receive",
            "sse",
            ["connectCommand"],
            bindings=_query("http", cf_connect=TEXT),
            reply=_in("sse", replies),
        ),
        "emulation": _operation(
            "receive", "emulation", ["emulation"], bindings={"http": {"method": "POST"}}
        ),
        "uniSse": _operation(
            "receive",
            "uniSse",
            ["uniConnect"],
            bindings=_query("http", cf_connect=TEXT),
            reply=_in("uniSse", uni_events),
        ),
    }
    description = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Orchestra",
            "version": orchestra.__version__,
            "description": "A real-time broadcast server.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "webSocket": {"host": "localhost:8080", "protocol": "ws"},
            "http": {"host": "localhost:8080", "protocol": "http"},
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": _schemas()},
    }
    return json.dumps(description, indent=2) + "\n"


def _channel(
    address: str, description: str, messages: Iterable[str], server: str = "webSocket", **more: Any
) -> Object:
    return {
        "address": address,
        "description": description,
        "servers": [{"$ref": f"#/servers/{server}"}],
        **({"parameters": NAME} if "{" in address else {}),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        **more,
    }


def _query(binding: str, **query: Object) -> Object:
    # What a request has in its URL.
    return {binding: {"method": "GET", "query": {"type": "object", "properties": query}}}


def _operation(action: str, channel: str, messages: Iterable[str], **more: Any) -> Object:
    # What the server does: it sends or receives.
    return {"action": action, **_in(channel, messages), **more}


def _in(channel: str, messages: Iterable[str]) -> Object:
    return {
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _message(summary: str, payload: Object, kind: str = "application/json") -> Object:
    return {"summary": summary, "contentType": kind, "payload": payload}


def _object(required: Iterable[str], **properties: Object) -> Object:
    return {"type": "object", "required": list(required), "properties": properties}


def _plain() -> Iterator[tuple[str, Object]]:
    # The messages of plain WebSockets, event streams and POST.
    base64 = {"type": "string", "contentEncoding": "base64"}
    missed = {"type": ["integer", "null"], "minimum": 1}
    stream = "text/event-stream"
    yield "text", _message("A message of text.", TEXT, "text/plain")
    yield "binary", _message("A message of binary data.", TEXT, "application/octet-stream")
    yield "textEvent", _message("The data of an event: a message of text.", TEXT, stream)
    yield "binaryEvent", _message("The data of an event binary.", base64, stream)
    yield (
        "gapEvent",
        _message(
            "The data of an event gap: how many messages are missing before the next one.",
            _object(["missed"], missed=missed),
            stream,
        ),
    )
    member = _object(
        ["client", "since"], client=TEXT, identity=TEXT, info={}, since={"type": "number"}
    )
    yield (
        "presenceEvent",
        _message(
            "The data of an event presence: who comes and leaves.",
            {
                "oneOf": [
                    _object(["join"], join=member),
                    _object(["leave"], leave=member),
                    _object(["missed"], missed=missed),
                ]
            },
            stream,
        ),
    )
    yield (
        "position",
        _message(
            "Where a message that was posted is in the channel's history.",
            _object(["offset", "epoch"], offset=OFFSET, epoch=TEXT),
        ),
    )


def _parts(kind: type[Struct]) -> Iterator[tuple[str, Object, str]]:
    # The fields of which an object has one: their names, what they have, and what that is for.
    for field in msgspec.structs.fields(kind):
        for part in get_args(field.type):
            if isinstance(part, type) and issubclass(part, Struct):
                reference = {"$ref": f"#/components/schemas/{part.__name__}"}
                yield field.name, reference, inspect.getdoc(part) or ""


def _title(name: str, kind: str) -> str:
    words = name.split("_")
    return words[0] + "".join(map(str.capitalize, words[1:])) + kind


def _commands() -> Iterator[tuple[str, Object]]:
    identifier = {"type": "integer", "minimum": 1, "maximum": 2**32 - 1}
    for name, part, what in _parts(schema.Command):
        required = [name] if name == "send" else ["id", name]
        payload = _object(required, id=identifier, **{name: part})
        yield _title(name, "Command"), _message(what, payload)
    yield "pong", _message("The answer to a ping.", {"type": "object", "maxProperties": 0})


def _replies() -> Iterator[tuple[str, Object]]:
    identifier = {"type": "integer", "minimum": 1, "maximum": 2**32 - 1}
    for name, part, what in _parts(schema.Reply):
        if name != "push":
            payload = _object(["id", name], id=identifier, **{name: part})
            yield _title(name, "Reply"), _message(what, payload)
    for name, push, what in _pushes():
        yield _title(name, "Push"), _message(what, _object(["push"], push=push))
    yield "ping", _message("It wants an answer.", {"type": "object", "maxProperties": 0})


def _pushes() -> Iterator[tuple[str, Object, str]]:
    for name, part, what in _parts(schema.Push):
        about = {} if name in WITHOUT_CHANNEL else {"channel": TEXT}
        yield name, _object([*about, name], **about, **{name: part}), what


def _uni_events() -> Iterator[tuple[str, Object]]:
    # What those are told who cannot ask: pushes that are in no reply.
    for name, push, what in _pushes():
        yield _title(f"uni_{name}", "Event"), _message(what, push, "text/event-stream")
    nothing = {"type": "object", "maxProperties": 0}
    yield "uniPingEvent", _message("Somebody is there.", nothing, "text/event-stream")


def _emulation() -> Iterator[tuple[str, Object]]:
    request = _object(["session", "data"], session=TEXT, node=TEXT, data=TEXT)
    yield "emulation", _message("The session, and a string with its commands.", request)
    connect = {"$ref": "#/components/schemas/ConnectRequest"}
    yield "uniConnect", _message("What the command to connect has.", connect)


def _schemas() -> Object:
    _, found = msgspec.json.schema_components(
        [schema.Command, schema.Reply], ref_template="#/components/schemas/{name}"
    )
    for described in found.values():
        described["description"] = inspect.cleandoc(described["description"])
    return found


if __name__ == "__main__":
    DOCUMENT.write_text(document())
