"""Reading an event stream: from bytes, in whatever pieces they come, to events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_END_OF_LINE = re.compile(rb"\r\n|\r|\n")
_MILLISECONDS = re.compile("[0-9]{1,9}")


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
        :param limit: how many bytes a line, or all lines of data of an event, may have.
        """
        self.last_id = ""
        """The last id that was seen, whether with an event or alone."""
        self.farewell = 0.0
        """After how many seconds the server wants us back, if that was the last that it said. What
        it says when a stream begins, with an id, is for clients that draw no delay themselves."""
        self._limit = limit
        self._line: list[bytes] = []  # what has come of it
        self._size = 0  # of that, and of the data that waits for the event's end
        self._fields: dict[str, str] = {}
        self._data: list[str] = []
        self._is_first = True
        self._skips_newline = False  # the second half of an end of line

    def read(self, data: bytes) -> Iterator[Event]:
        """The events that are complete with some more bytes.

        :raises ValueError: if an event is larger than the limit.
        """
        if data and self._skips_newline:
            self._skips_newline = False
            data = data.removeprefix(b"\n")
        at = 0
        for match in _END_OF_LINE.finditer(data):
            self._take(data[at : match.start()])
            at = match.end()
            event = self._end_line()
            if event is not None:
                yield event
        self._take(data[at:])
        self._skips_newline = self._skips_newline or data.endswith(b"\r")

    def _take(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise ValueError(f"an event has more than {self._limit} bytes")
        self._line.append(data)

    def _end_line(self) -> Event | None:
        text = b"".join(self._line)
        self._line.clear()
        line = text.decode(errors="replace")
        if self._is_first:
            line = line.removeprefix("\ufeff")
            self._is_first = False
        if not line:
            return self._end_event()
        if not self._field(line):
            self._size -= len(text)
        return None

    def _end_event(self) -> Event | None:
        fields, lines = self._fields, self._data
        self._fields, self._data, self._size = {}, [], 0
        self.last_id = fields.get("id", self.last_id)
        self.farewell = int(fields.get("retry", 0)) / 1000 if "id" not in fields else 0.0
        if not lines:
            return None
        return Event(fields.get("event", ""), "\n".join(lines), self.last_id, fields.get("base64"))

    def _field(self, line: str) -> bool:
        # Whether it is one of those that add up.
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif (
            name in ("event", "base64")
            or (name == "id" and "\0" not in value)
            or (name == "retry" and _MILLISECONDS.fullmatch(value))
        ):
            self._fields[name] = value
        return name == "data"
