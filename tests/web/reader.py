"""What a browser makes of an event stream: the HTML standard, section 9.2.6, to the letter."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from typing import NamedTuple


class Event(NamedTuple):
    """An event as a page gets it."""

    type: str
    data: str
    last_event_id: str
    others: dict[str, str]
    """The fields that the standard has readers ignore."""


class EventReader:
    """Reads a stream, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._has_begun = False
        self._rest = ""
        self._type = self._data = self._id = ""
        self._others: dict[str, str] = {}
        self.last_event_id = ""
        """What the reader comes back with."""
        self.retry: int | None = None
        """After how many milliseconds it comes back."""
        self.comments: list[str] = []
        """What it ignores."""

    def feed(self, data: bytes) -> list[Event]:
        """Read a piece.

        :returns: the events that are complete with it.
        """
        text = self._decoder.decode(data)
        if text and not self._has_begun:
            self._has_begun = True
            text = text.removeprefix("\ufeff")
        # A carriage return at the end may be half of a line's end.
        *lines, self._rest = re.split(r"\r\n|\n|\r(?!\Z)", self._rest + text)
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not field:
            self.comments.append(value)
        elif field == "event":
            self._type = value
        elif field == "data":
            self._data += value + "\n"
        elif field == "id":
            if "\0" not in value:
                self._id = value
        elif field == "retry":
            if re.fullmatch("[0-9]+", value):
                self.retry = int(value)
        else:
            self._others[field] = value
        return None

    def _dispatch(self) -> Event | None:
        self.last_event_id = self._id
        data, kind, others = self._data, self._type, self._others
        self._data, self._type, self._others = "", "", {}
        if not data:
            return None
        return Event(kind or "message", data.removesuffix("\n"), self.last_event_id, others)
