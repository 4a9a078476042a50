"""How the Centrifuge protocol is written: what a codec does, and the one for JSON.

Commands, replies and pushes in JSON are objects on a line each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder, Encoder
from msgspec.json import decode as decode_json

from orchestra.dialects.centrifuge.content import (
    LINE_FEED,
    Publishers,
    all_json,
    content_of_json,
    info_of,
    message_json,
    one_line,
    publisher_info,
)
from orchestra.dialects.centrifuge.schema import (
    BadCommandError,
    ClientInfo,
    Command,
    EmulationRequest,
    Join,
    Leave,
    Publication,
    Push,
    Reply,
)
from orchestra.message import Content, Entry
from orchestra.presence import Move

__all__ = ["JSON", "BadCommandError", "Codec", "read_json"]

MAX_COMMANDS = 4096
"""How many commands a frame may have: who comes back to many channels asks for all at once."""

TOO_MANY = f"a frame may have at most {MAX_COMMANDS} commands"
"""What a client is told that sends more."""


Asked = TypeVar("Asked")


class Codec(ABC):
    """How commands are read, and replies written. It knows nothing of connections."""

    name: str
    """In a word: ``json`` or ``protobuf``."""

    is_binary: bool
    """Whether its WebSocket frames are binary."""

    @abstractmethod
    def decode(self, frame: bytes) -> list[Command]:
        """Read the commands of a frame.

        :raises BadCommandError: if it is malformed, or there are too many.
        """

    @abstractmethod
    def emulated(self, body: bytes) -> tuple[str, bytes]:
        """Read a request that brings the commands of a session elsewhere.

        :returns: the session's secret name, and a frame.
        :raises BadCommandError: if it is malformed.
        """

    @abstractmethod
    def encode(self, reply: Reply) -> bytes:
        """Write a reply. To be a frame it has to be joined, even if it is alone."""

    @abstractmethod
    def published(self, command: int) -> bytes:
        """Write the reply to a command to publish. It is the fast way.

        :param command: its id.
        """

    @abstractmethod
    def publications(
        self, channel: str, entries: Sequence[Entry], offsets: Sequence[int]
    ) -> list[bytes]:
        """Messages of a channel as replies with pushes, one each. It is the fast way."""

    def publication(self, entry: Entry, offset: int) -> Publication:
        """A message of a channel, for a result."""
        payload, is_binary, publisher, _ = entry
        info = None if publisher is None else publisher_info(publisher)
        return Publication(Raw(self.data(payload, is_binary)), info, offset)

    def moves(self, channel: str, entries: Sequence[Entry]) -> list[bytes]:
        """Who came to a channel and left, as replies with pushes, one each.

        :param entries: of the log of moves, which :meth:`orchestra.Hub.watch` is for.
        """
        return [self.encode(_push_of(channel, entry)) for entry in entries]

    @abstractmethod
    def data(self, payload: bytes, is_binary: bool) -> bytes:
        """A message as the data of a publication.

        :param payload: of the message; UTF-8 unless it is binary.
        """

    @abstractmethod
    def content(self, data: Raw) -> Content:
        """What published data is as a message.

        :raises BadCommandError: if it cannot be one.
        """

    @abstractmethod
    def join(self, replies: Sequence[bytes]) -> bytes:
        """What a frame with these replies has."""


def _push_of(channel: str, entry: Entry) -> Reply:
    # Who came to a channel, or left it: an entry of the log of moves.
    member, joined = Move.decoded(entry[0])
    info = info_of(member.client, member.identity, member.info)
    if joined:
        return Reply(push=Push(channel, join=Join(info)))
    return Reply(push=Push(channel, leave=Leave(info)))


_AFTER = b',"offset":'  # what comes behind the data, and who it is from


_MALFORMED = (DecodeError, UnicodeError, RecursionError)


def _explained(error: Exception) -> BadCommandError:
    # What was wrong with a command.
    if isinstance(error, ValidationError):
        return BadCommandError.about(error)
    if isinstance(error, DecodeError):
        return BadCommandError("a command must be valid JSON on one line")
    if isinstance(error, UnicodeError):
        return BadCommandError("a command must be UTF-8")
    return BadCommandError("a command must not be nested so deeply")


def read_json(body: bytes, kind: type[Asked]) -> Asked:
    """Read a request that is nothing else.

    :param kind: what it asks for.
    :raises BadCommandError: if it is malformed.
    """
    try:
        return decode_json(body, type=kind)
    except _MALFORMED as error:
        raise _explained(error) from None


class JSONCodec(Codec):
    """The protocol in JSON."""

    name = "json"
    is_binary = False

    def __init__(self) -> None:
        decoder = Decoder(Command)
        self._decode, self._decode_lines = decoder.decode, decoder.decode_lines
        self._encode = Encoder().encode
        self._publishers = Publishers(self._after)

    def decode(self, frame: bytes) -> list[Command]:
        """Read the commands, each on a line. Blank lines are nothing."""
        lines: Sequence[bytes] = (frame,)
        if LINE_FEED in frame:
            ends = frame.count(b"\n")
            if ends >= MAX_COMMANDS:
                raise BadCommandError(TOO_MANY)
            try:
                found: list[Command] = self._decode_lines(frame)
                if len(found) == ends + 1:
                    return found
            except (DecodeError, UnicodeDecodeError, RecursionError):
                pass  # one by one it is seen what is wrong
            lines = frame.split(b"\n")
        decode = self._decode
        try:
            return [decode(line) for line in lines if line and not line.isspace()]
        except _MALFORMED as error:
            raise _explained(error) from None

    def emulated(self, body: bytes) -> tuple[str, bytes]:
        """Read an object whose data is a string of commands."""
        request = read_json(body, EmulationRequest)
        return request.session, request.data.encode()

    def encode(self, reply: Reply) -> bytes:
        """Write a reply on one line."""
        return one_line(self._encode(reply))  # what is raw may have been written on several

    def published(self, command: int) -> bytes:
        """Write the reply to a command to publish."""
        return b'{"id":%d,"publish":{}}' % command

    def publications(
        self, channel: str, entries: Sequence[Entry], offsets: Sequence[int]
    ) -> list[bytes]:
        """Messages as replies, put together from parts that are the same for many."""
        before = b'{"push":{"channel":%b,"pub":{"data":' % self._encode(channel)
        info = self._publishers.info
        are_json = all_json(entries)
        replies: list[bytes] = []
        add = replies.append
        last: str | None = None
        after = _AFTER
        for (payload, is_binary, publisher, _), offset in zip(entries, offsets, strict=True):
            data = payload if are_json else message_json(payload, is_binary)
            if publisher is not last:  # often several come from the same one
                after = _AFTER if publisher is None else info(publisher)
                last = publisher
            add(b"%b%b%b%d}}}" % (before, data, after, offset))
        return replies

    def _after(self, info: ClientInfo) -> bytes:
        return b',"info":%b%b' % (self._encode(info), _AFTER)

    def data(self, payload: bytes, is_binary: bool) -> bytes:
        """The JSON that the message is, or that tells it."""
        return message_json(payload, is_binary)

    def content(self, data: Raw) -> Content:
        """The message that JSON is."""
        return content_of_json(bytes(data))

    def join(self, replies: Sequence[bytes]) -> bytes:
        """The replies with an end of line between them."""
        return b"\n".join(replies)


JSON: Codec = JSONCodec()
"""It has no state but what it remembers, so there is one for all."""
