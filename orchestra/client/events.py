"""Reading an event stream: from bytes, in whatever pieces they come, to events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_END_OF_LINE = re.compile(rb"\r\n|\r|\n")


class Event(NamedTuple):
    """An event of a stream (HTML standard, section 9.2.6)."""

    kind: str
    """What its field ``event`` says; empty if it has none."""

    data: str
    """Its lines of data, with newlines between them."""

    last_id: str
    """The last id that was seen, in this event or before it."""

    base64: str | None = None
    """Orchestra's own field, which has the exact text where that has other ends of lines."""


class EventReader:
    """Reads the events of one stream."""

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        """
        :param limit: how many bytes a line, or all lines of an event, may have.
        """
        self.last_id = ""
        """The last id that was seen, whether with an event or alone."""
        self._limit = limit
        self._unread: list[bytes] = []
        self._size = 0
        self._fields: dict[str, str] = {}
        self._data: list[str] = []
        self._is_first = True

    def read(self, data: bytes) -> Iterator[Event]:
        """The events that are complete with some more bytes.

        :raises ValueError: if an event is larger than the limit.
        """
        self._size += len(data)
        if self._size > self._limit:
            raise ValueError(f"an event has more than {self._limit} bytes")
        if b"\n" not in data and b"\r" not in data:
            self._unread.append(data)
            return
        data = b"".join([*self._unread, data])
        at = 0
        for match in _END_OF_LINE.finditer(data):
            if match[0] == b"\r" and match.end() == len(data):
                break  # the newline that belongs to it may still come
            line = data[at : match.start()].decode(errors="replace")
            at = match.end()
            if line:
                self._field(line)
                continue
            self.last_id = self._fields.pop("id", self.last_id)
            fields, lines = self._fields, self._data
            self._fields, self._data = {}, []
            if lines:
                yield Event(
                    fields.get("event", ""), "\n".join(lines), self.last_id, fields.get("base64")
                )
        self._unread = [data[at:]]
        self._size = len(data) - at + sum(map(len, self._data))

    def _field(self, line: str) -> None:
        if self._is_first:
            line = line.removeprefix("\ufeff")
            self._is_first = False
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name in ("event", "base64") or (name == "id" and "\0" not in value):
            self._fields[name] = value
