"""The dialect of event streams: server-sent events, as browsers and others read them.

It is that of the HTML standard, section 9.2, "Server-sent events". Each message is an event whose
id is its position: who comes back tells it, and reads on from there. Text is the event's data;
binary data is an event ``binary``, with its base64 as data.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence

from zope.interface import implementer

from orchestra.interfaces import IEncoding
from orchestra.message import Entry
from orchestra.position import Position

CONTENT_TYPE = "text/event-stream"

HEARTBEAT = b":\n\n"
"""A comment, which says nothing but that the connection is there."""


@implementer(IEncoding)
class EventEncoding:
    """Messages as events."""

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> bytes:
        """The messages' events, one after the other."""
        start = f"id: {epoch}:".encode()
        return b"".join(
            [
                b"%b%d\n%b\n\n" % (start, offset, _fields(payload, is_binary))
                for offset, (payload, is_binary, _, _) in zip(offsets, entries, strict=True)
            ]
        )


def _fields(payload: bytes, is_binary: bool) -> bytes:
    if is_binary:
        return b"event: binary\ndata: " + b64encode(payload)
    if b"\r" in payload:
        # To a reader of events it ends a line as well, and all ends of lines are the same. Who
        # knows of this field, which others ignore, gets what was published to the byte.
        exact = b"\nbase64: " + b64encode(payload)
        payload = payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return b"data: " + payload.replace(b"\n", b"\ndata: ") + exact
    if b"\n" in payload:
        payload = payload.replace(b"\n", b"\ndata: ")
    return b"data: " + payload


@implementer(IEncoding)
class MoveEncoding:
    """Who came and left, as events ``presence`` without an id."""

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> bytes:
        """The moves' events, one after the other."""
        return b"".join([b"event: presence\ndata: %b\n\n" % payload for payload, *_ in entries])


def opening(delay: float, position: Position | None) -> bytes:
    """What a stream begins with.

    :param delay: after how many seconds the client is to come back, if the stream ends.
    :param position: where it begins, so that nothing is lost if it ends before the first
        message.
    """
    place = "" if position is None else f"id: {position}\n"
    return b"%b%b\n" % (retry(delay), place.encode())


def gap(missed: int | None, position: Position) -> bytes:
    """An event that says that messages are missing.

    :param missed: how many; ``None`` if that cannot be known.
    :param position: where the stream goes on.
    """
    return f"id: {position}\nevent: gap\ndata: {json.dumps({'missed': missed})}\n\n".encode()


def moves_missed(missed: int | None) -> bytes:
    """An event that says that events ``presence`` are missing."""
    return f"event: presence\ndata: {json.dumps({'missed': missed})}\n\n".encode()


def retry(delay: float) -> bytes:
    """What tells a client, with the event that follows, when to come back if the stream ends.

    :param delay: after how many seconds.
    """
    return b"retry: %d\n" % round(1000 * delay)


def farewell(reason: str, delay: float | None) -> bytes:
    """What a stream ends with: a comment, for whoever looks at it.

    :param reason: one line.
    :param delay: after how many seconds the client is to come back, if that is not what it was
        told at the beginning.
    """
    when = b"" if delay is None else retry(delay)
    return b"%b: %b\n\n" % (when, reason.encode())
