"""What machines that read the log can rely on: the events, their levels and their fields.

The table here is the contract. What is in it changes only with a new major version; fields and
events may be added.
"""

from __future__ import annotations

import ast
import io
import json
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher, textFileLogObserver
from zope.interface import implementer

from orchestra.memory import Memory, Needs
from orchestra.metrics import MetricsService
from orchestra.observe.activity import (
    FAILURES_PER_SECOND,
    MOVES_PER_SECOND,
    NOTES_PER_SECOND,
    ActivityLog,
)
from orchestra.observe.log_format import json_observer
from orchestra.policy.secret_files import warn_if_exposed
from orchestra.process import ProcessService, StartError, compare_memory, raise_open_files
from orchestra.service import OrchestraService
from orchestra.tls import ServerCertificate
from orchestra.web.page import Page
from orchestra.websocket.factory import OrchestraFactory
from tests.certificates import Issuer
from tests.memory import join

ROOT = Path(__file__).parent.parent.parent
HEADERS = {"time", "level", "logger", "message"}
"""What every line has."""

MEMORY = {"limit", "source", "needed", "connections", "channels"}

CONTRACT: dict[str, tuple[set[str], set[str]]] = {
    # Of the process.
    "open-files": ({"info", "warn"}, {"limit", "before"}),
    "memory": ({"info", "warn"}, MEMORY),
    "certificate": ({"info"}, {"file", "description"}),
    "certificate-warning": ({"warn"}, {"warning"}),
    "listening": ({"info"}, {"address"}),
    "metrics": ({"info"}, {"address"}),
    "access": ({"info"}, {"access"}),
    "exposed": ({"warn"}, {"path"}),
    "reload": ({"info"}, set()),
    "reloaded": ({"info"}, {"line"}),
    "reload-failed": ({"error"}, {"reason"}),
    "not-started": ({"critical"}, {"reason"}),
    "page-failed": ({"error"}, {"folder", "reason"}),
    "stopping": ({"info"}, {"signal"}),
    "draining": ({"info"}, {"count", "seconds"}),
    "aborted": ({"warn"}, {"count"}),
    "drained": ({"info"}, {"left", "closed", "dropped"}),
    "failed": ({"critical"}, {"what", "traceback"}),
    # Of the clients.
    "joined": ({"info"}, {"peer", "channel", "count"}),
    "left": ({"info"}, {"peer", "channel", "count", "code", "reason"}),
    "note": ({"info"}, {"peer", "channel", "count", "size", "note"}),
    "refused": ({"info"}, {"peer", "status", "reason"}),
    "tls-failed": ({"info"}, {"peer", "reason"}),
    "missed": ({"warn"}, {"peer", "channel", "missed", "missed_messages"}),
    "evicted": ({"warn"}, {"peer", "channel", "missed", "evictions", "missed_messages"}),
    # What was not logged one by one in a second.
    "arrivals": ({"info"}, {"arrivals"}),
    "departures": ({"info"}, {"departures"}),
    "notes": ({"info"}, {"notes"}),
    "refusals": ({"info"}, {"refusals"}),
    "tls_failures": ({"info"}, {"tls_failures"}),
    "gaps": ({"info"}, {"gaps"}),
    "failures": ({"info"}, {"failures"}),
}
"""By the name of the event: the levels that it may have, and its fields."""


@implementer(IStreamServerEndpoint)
class Taken:
    """A place that cannot be listened on."""

    def listen(self, factory: object) -> None:
        raise OSError("in use")


@pytest.fixture
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Puts back what a process of its own changes."""
    monkeypatch.setattr("orchestra.process.relax_collector", lambda: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Reactor(MemoryReactorClock):
    """A reactor that can be told to stop."""

    def callFromThread(self, call: Any, *args: object, **kwargs: object) -> None:
        call(*args, **kwargs)

    def stop(self) -> None:
        pass


def everything(clock: Clock, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have every event happen."""
    activity = ActivityLog(clock)
    for _ in range(MOVES_PER_SECOND + 1):
        activity.joined("peer", "main", 1)
        activity.left("peer", "main", 0, None, "why")
        activity.refused("peer", 400, "why")
        activity.tls_failed("peer", "why")
        activity.missed("peer", "main", None)
    activity.evicted("peer", "main", 1)
    activity.notes("peer", "main", 1, [(b"a", False), (b"b", True)] * NOTES_PER_SECOND)
    activity.flush()

    for limit in (1, 3):
        monkeypatch.setattr("orchestra.process.memory", lambda _, m=limit: Memory(m, "a file", 1))
        compare_memory(Needs(0, 1, 0, 1, 0))

    reactor = Reactor()
    service = OrchestraService(OrchestraFactory(reactor=clock), Taken(), reactor=reactor)
    issuer = Issuer(folder)
    issuer.issue(days=1)
    certificate = ServerCertificate(str(issuer.certificate), str(issuer.key))
    issuer.key.chmod(0o644)
    warn_if_exposed(str(issuer.key))
    root = ProcessService(reactor, log_is_hidden=True, reloads=[certificate.reload])
    root.reload()
    issuer.key.write_text("")
    root.reload()
    service.setServiceParent(root)
    with pytest.raises(StartError):
        root.startService()
    root._stop(signal.SIGTERM, None)
    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", _refuse)
        raise_open_files()

    index = folder / "index.html"
    index.touch()
    page = Page(folder)
    index.unlink()
    page.refresh(0)

    factory = OrchestraFactory(reactor=clock)
    OrchestraService(factory, "tcp:0", reactor=reactor).startService()
    MetricsService(factory, "0", reactor=reactor).privilegedStartService()
    client = join(factory)
    for _ in range(FAILURES_PER_SECOND + 1):
        factory._report(RuntimeError("oh"), "something")
    factory.activity.flush()
    factory.drain(1, 1)
    clock.pump([0.1] * 30)
    assert client.transport.disconnected


def _refuse(*_: object) -> None:
    raise ValueError("not that many")


@pytest.fixture
def log(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, _as_before: None
) -> list[str]:
    """What is written of everything, as JSON and then as text."""
    files = io.StringIO(), io.StringIO()
    observers = json_observer(files[0]), textFileLogObserver(files[1])
    for observer in observers:
        globalLogPublisher.addObserver(observer)
    try:
        everything(clock, monkeypatch, tmp_path)
    finally:
        for observer in observers:
            globalLogPublisher.removeObserver(observer)
    return [file.getvalue() for file in files]


def test_the_events_are_as_they_are_told_to_be(log: list[str]) -> None:
    """Each has a level and the fields that the table says, and each of the table happens."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for line in log[0].splitlines():
        fields = json.loads(line)
        assert fields.keys() >= HEADERS
        if "event" in fields:
            levels, names = found.setdefault(fields["event"], (set(), set()))
            levels.add(fields["level"])
            names |= fields.keys() - HEADERS - {"event"}
    assert found.keys() == CONTRACT.keys()
    for name, (levels, names) in CONTRACT.items():
        assert found[name][0] == levels, name
        assert found[name][1] >= names, name


def test_no_event_is_missing_from_the_table() -> None:
    """Whatever the server calls an event is in it."""
    found = set()
    for path in (ROOT / "orchestra").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "event":
                found |= {name.value for name in [node.value] if isinstance(name, ast.Constant)}
    counted = {"arrivals", "departures", "notes", "refusals", "tls_failures", "gaps"}
    counted.add("failures")
    assert found | counted | {"memory"} == CONTRACT.keys()


def test_an_event_is_a_line(log: list[str]) -> None:
    """Of JSON always; in text, the traceback of what has failed follows, each line with a tab."""
    events = [json.loads(line) for line in log[0].splitlines()]
    begun = re.findall(r"^\d{4}-\d\d-\d\dT\S+ \[.*", log[1], re.MULTILINE)
    assert len(begun) == len(events) > len(CONTRACT)
    more = [line for line in log[1].splitlines() if line not in begun]
    assert [line.strip() for line in more if line.strip()] == [
        line for event in events for line in event.get("traceback", "").splitlines()
    ]
    assert all(line.startswith("\t") for line in more)
