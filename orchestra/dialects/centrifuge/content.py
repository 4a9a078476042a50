"""What messages are in the Centrifuge protocol, and what is published there as a message.

Its data is JSON; in protobuf it may be any bytes. So text that is JSON is that JSON, other text is
a JSON string, and binary data is an object with its base64. What is published there comes back as
it was.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from json import JSONEncoder
from typing import Any, Generic, TypeVar

from msgspec import DecodeError, Raw
from msgspec.json import Decoder, Encoder

from orchestra.dialects.centrifuge.schema import BadCommandError, ClientInfo
from orchestra.message import Content, Entry, Publisher

KNOWN = 4096
"""Of how many publishers it is kept what is written of them."""

# As numbers they are found in a fifth of the time that they take as bytes.
LINE_FEED, CARRIAGE_RETURN = b"\n\r"

T = TypeVar("T")

_decode = Decoder(Raw).decode
_decode_list = Decoder(list[Raw]).decode
_decode_string = Decoder(str).decode
_decode_value = Decoder().decode
_encode = Encoder().encode
# It writes ASCII, in which even halves of surrogate pairs have a way to be said.
_encode_value = JSONEncoder(separators=(",", ":"), allow_nan=False).encode

# What JSON begins and ends with. Most text that is none is known by that, without an exception.
_FIRST = frozenset(b'{["-0123456789 \t\r\n')
_LAST = frozenset(b'}]"0123456789el \t\r\n')
_WORDS = frozenset((b"true", b"false", b"null"))
_BEGIN_WORDS = frozenset(b"tfn")


def is_json(text: bytes) -> bool:
    """Whether text is JSON that clients can read.

    JSON with halves of surrogate pairs is none, nor what is nested too deeply.

    :param text: UTF-8.
    """
    if not text or text[-1] not in _LAST:
        return False
    if text[0] not in _FIRST:
        return text[0] in _BEGIN_WORDS and text.rstrip(b" \t\r\n") in _WORDS
    try:
        _decode(text)
    except (DecodeError, RecursionError):
        return False
    return True


def all_json(entries: Sequence[Entry]) -> bool:
    """Whether messages are JSON on a line each, with nothing around it, as nearly all of them are.

    It takes a third of the time that they would take one by one.
    """
    payloads = [payload for payload, is_binary, _, _ in entries if not is_binary]
    if len(payloads) < len(entries):
        return False
    text = b"[%b]" % b",".join(payloads)
    if LINE_FEED in text or CARRIAGE_RETURN in text:
        return False
    try:
        found = _decode_list(text)
    except (DecodeError, RecursionError):
        return False
    # One might end what another has begun. Then some would be longer or shorter than they were.
    return list(map(len, found)) == list(map(len, payloads))


def message_json(payload: bytes, is_binary: bool) -> bytes:
    """A message as JSON on one line.

    :param payload: of the message; UTF-8 unless it is binary.
    """
    if is_binary:
        return b'{"b64":"%b"}' % b64encode(payload)
    if not is_json(payload):
        return json_string(payload)
    return one_line(payload)


def json_string(text: bytes) -> bytes:
    """Text as a JSON string.

    :param text: UTF-8.
    """
    return _encode(text.decode())


def one_line(text: bytes) -> bytes:
    """JSON without ends of lines. It has them only between its tokens, where spaces do as well."""
    if LINE_FEED in text or CARRIAGE_RETURN in text:
        return text.replace(b"\n", b" ").replace(b"\r", b" ")
    return text


def content_of_json(data: bytes, exact: bool = False) -> Content:
    """What published JSON is as a message: its text, or if it is a string, what that says.

    :param data: valid JSON.
    :param exact: whether it has to come back to the byte, and not only as the same value.
    :raises BadCommandError: if it is no UTF-8.
    """
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            raise BadCommandError("data must be UTF-8") from None
    if data[:1] != b'"':
        return data, False
    text = _decode_string(data).encode()
    # A string that says JSON would come back as that JSON. So it stays in quotes.
    if is_json(text) or (exact and json_string(text) != data):
        return data, False
    return text, False


def raw(value: Any) -> Raw:
    """A value of an application's as data.

    :param value: what JSON has a word for.
    :raises TypeError: if it has something else in it, bytes for example.
    :raises ValueError: if it has infinity, NaN or itself in it.
    """
    return Raw(_encode_value(value).encode())


def value_of(data: Raw | None) -> Any:
    """What a client has sent as a value of JSON; bytes, if it is none."""
    if data is None:
        return None
    try:
        return _decode_value(data)
    except (DecodeError, RecursionError, UnicodeDecodeError):
        return bytes(data)


def info_of(client: str, identity: str | None, info: Any) -> ClientInfo:
    """What clients are told of one of them.

    :param client: its id.
    :param identity: whose it is, if that is known.
    :param info: what else is known of it, as a value of JSON.
    """
    return ClientInfo(
        # An identity of an application's may be no Unicode, and these must be.
        user="" if identity is None else identity.encode("utf-8", "replace").decode(),
        client=client,
        conn_info=None if info is None else raw(info),
    )


def publisher_info(publisher: str) -> ClientInfo:
    """What clients are told of who has published something."""
    if isinstance(publisher, Publisher):
        return info_of(str(publisher), publisher.identity, publisher.info)
    return info_of(publisher, None, None)


class Publishers(Generic[T]):
    """What is written of those who publish, made once for each that is heard of again."""

    def __init__(self, write: Callable[[ClientInfo], T]) -> None:
        self._write = write
        self._known: dict[str, tuple[str, T]] = {}

    def info(self, publisher: str) -> T:
        """What is written of one of them."""
        found = self._known.get(publisher)
        # Who has the same id is equal, even if more is known of it by now.
        if found is not None and found[0] is publisher:
            return found[1]
        if len(self._known) >= KNOWN:
            self._known.clear()
        written = self._write(publisher_info(publisher))
        self._known[publisher] = publisher, written
        return written
