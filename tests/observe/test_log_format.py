"""Log events as JSON."""

from __future__ import annotations

import io
import json
from typing import Any

from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure

from orchestra.observe.log_format import json_observer


def written(*emit: Any) -> list[dict[str, Any]]:
    """What an observer writes of the events that a logger is made to emit."""
    file = io.StringIO()
    publisher = LogPublisher(json_observer(file))
    logger = Logger(namespace="a.namespace", observer=publisher)
    for call in emit:
        call(logger)
    assert file.getvalue().endswith("\n")
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_an_event_is_a_line_with_its_fields() -> None:
    """Time, level, logger, text and the event's own fields; nothing of Twisted's insides."""
    (line,) = written(
        lambda log: log.warn("{count} left", count=2, channel="Bläser", clean=True, code=None)
    )
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warn",
        "logger": "a.namespace",
        "message": "2 left",
        "count": 2,
        "channel": "Bläser",
        "clean": True,
        "code": None,
    }


def test_newlines_stay_within_the_line() -> None:
    """One event is one line, whatever is in it."""
    ends = "\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
    lines = written(lambda log: log.info("two\nlines {x}", x=ends), lambda log: log.info("next"))
    assert [line["message"] for line in lines] == [f"two\nlines {ends}", "next"]


def test_fields_that_json_cannot_hold_are_left_out() -> None:
    """Objects appear in the text at the most; the fields of the line itself are not overridden."""
    (line,) = written(lambda log: log.info("{thing}", thing=object, time="mine"))
    assert "thing" not in line
    assert line["time"] != "mine"


def test_a_failure_has_its_traceback() -> None:
    """The traceback is a field of the line."""
    (line,) = written(lambda log: log.failure("oh", Failure(RuntimeError("no bow"))))
    assert line["level"] == "critical"
    assert "no bow" in line["traceback"]


def test_events_of_the_old_logging_are_lines_too() -> None:
    """Twisted's own older messages come through with their text."""
    file = io.StringIO()
    observer = json_observer(file)
    publisher = legacy.LogPublisher(
        observerPublisher=LogPublisher(), publishPublisher=LogPublisher(observer)
    )
    publisher.msg("a port", "was opened")
    line = json.loads(file.getvalue())
    assert line["message"] == "a port was opened"
    assert line["level"] == LogLevel.info.name
    assert set(line) == {"time", "level", "logger", "message"}
