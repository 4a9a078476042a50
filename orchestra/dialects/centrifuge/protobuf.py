"""The Centrifuge protocol in protobuf, for those who have the extra ``protobuf`` installed.

Commands and replies are messages of its schema, each with its length as a varint before it. Fields
have the same names there as in :mod:`orchestra.dialects.centrifuge.schema`, so one is made of the
other by going through them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from msgspec import Raw, Struct, ValidationError, convert

from orchestra.dialects.centrifuge.codec import MAX_COMMANDS, TOO_MANY, Codec
from orchestra.dialects.centrifuge.content import (
    Publishers,
    content_of_json,
    is_json,
    json_string,
)
from orchestra.dialects.centrifuge.schema import (
    BadCommandError,
    ClientInfo,
    Command,
    PublishResult,
    Reply,
)
from orchestra.message import Content, Entry
from orchestra.refusal import RefusedError

_PONG = Command()
_PUBLISHED = PublishResult()


@cache
def load() -> ProtobufCodec | None:
    """The codec, or ``None`` if the extra is not installed.

    The schema is that of the package ``centrifuge-python``, which takes a moment to import.
    """
    try:
        schema: Any = import_module("centrifuge.protocol.client_pb2")
    except ImportError:
        return None
    return ProtobufCodec(schema, import_module("google.protobuf.message").DecodeError)


def protobuf_codec() -> Codec:
    """The codec for those who speak protobuf.

    :raises RefusedError: if that is not installed.
    """
    codec = load()
    if codec is None:
        raise RefusedError(400, "this server speaks the protocol in JSON only, not in protobuf")
    return codec


class ProtobufCodec(Codec):
    """The protocol in protobuf."""

    name = "protobuf"
    is_binary = True

    def __init__(self, schema: Any, malformed: type[Exception]) -> None:
        """
        :param schema: the module that was made of ``client.proto``.
        :param malformed: what its messages raise for what is none of them.
        """
        self._schema = schema
        self._malformed = malformed
        self._publishers = Publishers(self._client_info)

    def decode(self, frame: bytes) -> list[Command]:
        """Read the commands, each behind its length."""
        commands: list[Command] = []
        read = self._schema.Command.FromString
        at = 0
        try:
            while at < len(frame):
                size, at = _length(frame, at)
                if size > len(frame) - at:
                    raise BadCommandError("a command must be as long as it says")
                if len(commands) == MAX_COMMANDS:
                    raise BadCommandError(TOO_MANY)
                found = _read(read(frame[at : at + size])) if size else None
                commands.append(convert(found, Command) if found else _PONG)
                at += size
        except self._malformed:
            raise BadCommandError("a command must be protobuf of the schema") from None
        except ValidationError as error:
            raise BadCommandError.about(error) from None
        return commands

    def emulated(self, body: bytes) -> tuple[str, bytes]:
        """Read a message whose data is a frame."""
        try:
            request = self._schema.EmulationRequest.FromString(body)
        except self._malformed:
            raise BadCommandError("the body must be protobuf of the schema") from None
        return request.session, request.data

    def encode(self, reply: Reply) -> bytes:
        """Write a reply, without its length."""
        written: bytes = _write(reply, self._schema.Reply()).SerializeToString()
        return written

    def published(self, command: int) -> bytes:
        """Write the reply to a command to publish."""
        return self.encode(Reply(command, publish=_PUBLISHED))

    def publications(
        self, channel: str, entries: Sequence[Entry], offsets: Sequence[int]
    ) -> list[bytes]:
        """Messages as replies, all made by the same one, of which only some fields change."""
        reply = self._schema.Reply()
        reply.push.channel = channel
        publication = reply.push.pub
        info, data = self._publishers.info, self.data
        replies: list[bytes] = []
        for (payload, is_binary, publisher, _), offset in zip(entries, offsets, strict=True):
            publication.data = data(payload, is_binary)
            publication.offset = offset
            if publisher is None:
                publication.ClearField("info")
            else:
                publication.info.CopyFrom(info(publisher))
            replies.append(reply.SerializeToString())
        return replies

    def data(self, payload: bytes, is_binary: bool) -> bytes:
        """The bytes of the message; text that is no JSON is a JSON string."""
        return payload if is_binary or is_json(payload) else json_string(payload)

    def content(self, data: Raw) -> Content:
        """The message that JSON is; anything else is binary data."""
        payload = bytes(data)
        try:
            if is_json(payload):
                return content_of_json(payload, exact=True)
        except BadCommandError:  # it is JSON but for its characters
            pass
        return payload, True

    def join(self, replies: Sequence[bytes]) -> bytes:
        """The replies, each behind its length."""
        parts: list[bytes] = []
        for reply in replies:
            parts += (_varint(len(reply)), reply)
        return b"".join(parts)

    def _client_info(self, info: ClientInfo) -> Any:
        return _write(info, self._schema.ClientInfo())


def _read(message: Any) -> dict[str, Any]:
    # Only of what is there: an empty field and none at all are the same here.
    return {field.name: _plain(value) for field, value in message.ListFields()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return Raw(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return _read(value) if hasattr(value, "ListFields") else value


def _write(struct: Struct, message: Any) -> Any:
    # Into the message that is there: not every release makes one of dictionaries in dictionaries.
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if isinstance(value, Struct):
            part = getattr(message, name)
            part.SetInParent()  # even if it is empty
            _write(value, part)
        elif isinstance(value, dict):
            parts = getattr(message, name)
            for key, item in value.items():
                _write(item, parts[key])
        elif isinstance(value, list):
            for item in value:
                _write(item, getattr(message, name).add())
        elif value is not None:
            setattr(message, name, bytes(value) if isinstance(value, Raw) else value)
    return message


def _length(frame: bytes, at: int) -> tuple[int, int]:
    # A varint: seven bits a byte, the lowest first. Five are enough for any frame that there is.
    size = 0
    for shift in range(0, 35, 7):
        if at == len(frame):
            break
        byte = frame[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, at
    raise BadCommandError("the length of a command must be a varint of at most 5 bytes")


def _varint(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    written = bytearray()
    while size >= 0x80:
        written.append(size & 0x7F | 0x80)
        size >>= 7
    written.append(size)
    return bytes(written)
