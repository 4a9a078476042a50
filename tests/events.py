"""Log events for tests to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher


@contextmanager
def captured() -> Iterator[list[LogEvent]]:
    """Collect what is logged."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def lines(events: list[LogEvent]) -> list[str]:
    """The text of each event."""
    return [formatEvent(event) for event in events]


def named(events: list[LogEvent], name: str) -> list[dict[str, Any]]:
    """The events of a name, without the fields that every event has."""
    return [
        {key: value for key, value in event.items() if not key.startswith("log_")}
        for event in events
        if event.get("event") == name
    ]
