"""What clients in other languages and pages in a browser need."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cent import Client

from tests.end_to_end.sdk import Node, running
from tests.end_to_end.server import PATIENCE, Server, serving
from tests.end_to_end.tokens import API_KEY, api_key_file, key_file


@pytest.fixture(scope="module")
def node(node_folder: Path) -> Iterator[Node]:
    """A process in which there are clients of the SDK for JavaScript."""
    with running(node_folder) as node:
        yield node


class Answer(NamedTuple):
    """What curl was answered."""

    statuses: list[int]
    """Of the answer, and before it of those that only said to go on."""

    headers: dict[str, str]
    """By their names in lower case."""

    body: bytes

    @property
    def status(self) -> int:
        return self.statuses[-1]


class Event(NamedTuple):
    """An event of a stream."""

    kind: str
    data: str
    id: str


class Stream:
    """A stream as curl gets it, read as the HTML standard says (section 9.2.6)."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout is not None
        self._lines = iter(process.stdout.readline, b"")
        statuses, self.headers = _read_head(self._lines)
        assert statuses == [200]
        self.last_id = ""
        self.retry = 0
        """After how many milliseconds it wants its readers to come back."""
        self.comments: list[str] = []
        self._parts = self._read()
        assert next(self._parts) is None, "it does not begin with where it begins"

    def _read(self) -> Iterator[Event | str | None]:
        # Events, comments, and None for a block that is no event. One that is cut off is none.
        kind, data, place = "message", [], ""
        for line in self._lines:
            if not line.endswith(b"\n"):
                break
            name, _, value = line[:-1].decode().partition(":")
            value = value.removeprefix(" ")
            if line == b"\n":
                self.last_id = place
                yield Event(kind, "\n".join(data), place) if data else None
                kind, data = "message", []
            elif not name:
                yield value
            elif name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "id":
                place = value
            elif name == "retry":
                self.retry = int(value)

    def __iter__(self) -> Iterator[Event]:
        """The events that come, up to the end of the stream."""
        for part in self._parts:
            if isinstance(part, Event):
                yield part
            elif part is not None:
                self.comments.append(part)

    def hear(self) -> Event:
        """The next event."""
        event = next(iter(self), None)
        assert event is not None, "the stream has ended"
        return event

    def comment(self) -> str:
        """The next comment."""
        comment = next((part for part in self._parts if isinstance(part, str)), None)
        assert comment is not None, "the stream has ended"
        return comment

    def ended(self) -> int:
        """The exit status of curl."""
        return self.process.wait(timeout=PATIENCE)


def _read_head(lines: Iterator[bytes]) -> tuple[list[int], dict[str, str]]:
    # With those of the answers that come before the answer (RFC 9110 section 15.2).
    statuses: list[int] = []
    headers: dict[str, str] = {}
    while not statuses or statuses[-1] < 200:
        statuses.append(int(next(lines).split()[1]))
        headers = {}
        while line := next(lines).decode("iso-8859-1").rstrip("\r\n"):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
    return statuses, headers


class Curl:
    """The command."""

    def __init__(self, binary: str) -> None:
        # Without what its configuration and its environment might say.
        self._command = [binary, "--disable", "--noproxy", "*", "--silent", "--show-error"]
        self._command += ["--include", "--max-time", str(PATIENCE)]

    def __call__(self, url: str, *options: str, **streams: Any) -> Answer:
        """Ask, and wait for the answer."""
        command = [*self._command, *options, url]
        run = subprocess.run(command, stdout=subprocess.PIPE, timeout=2 * PATIENCE, **streams)
        assert run.returncode == 0
        lines = iter(run.stdout.splitlines(keepends=True))
        return Answer(*_read_head(lines), b"".join(lines))

    def post(self, url: str, body: str | bytes, *options: str, kind: str | None = None) -> Answer:
        """Post text or binary data, of that type unless told otherwise."""
        if kind is None:
            kind = "text/plain" if isinstance(body, str) else "application/octet-stream"
        data = body.encode() if isinstance(body, str) else body
        type_and_body = ["--header", f"Content-Type: {kind}", "--data-binary", "@-"]
        return self(url, *type_and_body, *options, input=data)

    @contextmanager
    def stream(self, url: str, *options: str, last_id: str | None = None) -> Iterator[Stream]:
        """Listen to an event stream, or go on with one after its last id, until the block ends."""
        command = [*self._command, "--no-buffer", "--header", "Accept: text/event-stream"]
        if last_id is not None:
            command += ["--header", f"Last-Event-ID: {last_id}"]
        with subprocess.Popen([*command, *options, url], stdout=subprocess.PIPE) as process:
            try:
                yield Stream(process)
            finally:
                process.kill()


@pytest.fixture(scope="session")
def curl() -> Curl:
    """curl, as it is installed."""
    binary = shutil.which("curl")
    if binary is None:
        pytest.skip("curl is not installed")
    return Curl(binary)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as it is by default, but for a longer memory; each test has channels of its own."""
    memory = ("--history-messages=1000000", "--history-bytes=100000000")
    with serving(tmp_path_factory.mktemp("server"), *memory) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants tokens, and takes API keys."""
    folder = tmp_path_factory.mktemp("guarded")
    options = ("--token-key-file", key_file(folder), "--api-key-file", api_key_file(folder))
    with serving(folder, *options) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.fixture
def cent(guarded: Server) -> Iterator[Client]:
    """Centrifugo's package for its server API, as it is."""
    client = Client(guarded.http("/api"), api_key=API_KEY, timeout=PATIENCE)
    yield client
    client._session.close()
