"""The format of the log: text for people, JSON for machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import IO, Any

from twisted.logger import FileLogObserver, LogEvent, formatEvent

FORMATS = ("text", "json")
"""What ``--log-format`` takes."""

# What many programs take for the end of a line, and JSON does not.
_ESCAPED = str.maketrans({c: f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"})

_SIMPLE = (str, int, float, bool, type(None))


def format_as_json(event: LogEvent) -> str:
    """One log event as one line: a JSON object.

    It has ``time`` (ISO 8601, UTC), ``level``, ``logger`` and ``message``, the event's own fields
    as far as they are strings, numbers or booleans, and ``traceback`` if there is a failure.
    """
    level = event.get("log_level")
    logger = event.get("log_namespace", "-")
    is_legacy = logger == "log_legacy"  # of twisted.python.log: its fields are Twisted's own
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds"),
        "level": level.name if level is not None else "info",
        "logger": event.get("log_system", "-") if is_legacy else logger,
        "message": formatEvent(event),
    }
    for key, value in event.items():
        if not (is_legacy or key.startswith("log_")) and isinstance(value, _SIMPLE):
            line.setdefault(key, value)
    if "log_failure" in event:
        line["traceback"] = event["log_failure"].getTraceback()
    return json.dumps(line, ensure_ascii=False).translate(_ESCAPED) + "\n"


def json_observer(file: IO[Any]) -> FileLogObserver:
    """An observer that writes each event to a file as a line of JSON."""
    return FileLogObserver(file, format_as_json)
