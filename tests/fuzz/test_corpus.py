"""Every seed has the property, and whatever breaks the property is noticed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from orchestra.connection.entrance import Entrance
from orchestra.web import visit
from orchestra.web.event_stream import EventStream
from orchestra.web.http_channel import WebChannel, WebRequest
from orchestra.web.resource import OrchestraResource
from orchestra.websocket import intake, opening
from orchestra.websocket.deflate import Inflater
from orchestra.websocket.protocol import OrchestraProtocol
from tests.fuzz import frames, http
from tests.fuzz.seeds import CORPUS, SEEDS, SITE
from tests.fuzz.stage import Script

CHECKS: dict[str, Callable[[bytes], None]] = {"frames": frames.check, "http": http.check}
ALL = [(target, name) for target, seeds in SEEDS.items() for name in seeds]


@pytest.mark.parametrize(("target", "name"), ALL)
def test_every_seed_has_the_property(target: str, name: str) -> None:
    """What the fuzzer starts from is as it should be, on any machine and without the fuzzer."""
    CHECKS[target]((CORPUS / target / name).read_bytes())


@pytest.mark.parametrize("name", SITE)
def test_what_is_no_handshake_has_the_property(name: str) -> None:
    """Requests for the site, one or many, alone or before a handshake."""
    http.check(SITE[name])


@pytest.mark.parametrize("target", SEEDS)
def test_the_corpus_is_what_the_seeds_say(target: str) -> None:
    """No file is missing, outdated, or there by chance."""
    there = {path.name: path.read_bytes() for path in (CORPUS / target).iterdir()}
    assert there == SEEDS[target], "python -m tests.fuzz.seeds writes them"


@pytest.mark.parametrize("target", SEEDS)
def test_any_input_is_a_script(target: str) -> None:
    """The shortest inputs of all, and seeds that are cut off anywhere in their first bytes."""
    for data in (b"", b"\0", b"\xff", b"\xff" * 9, *(bytes([n, 255, 7, 1]) for n in range(256))):
        CHECKS[target](data)
    for seed in SEEDS[target].values():
        for size in range(1, 12):
            CHECKS[target](seed[:size])


def test_a_script_says_what_comes_when() -> None:
    """It is cut where it says, in whatever order, and the last piece comes again."""
    data = Script.write(b"0123456789", options=5, cuts=(7, 2, 7), again=2)
    assert Script.read(data) == Script(5, [b"01", b"23456", b"789", b"789", b"789"])
    assert Script.read(b"\5") == Script(5, [])


class Broken(Exception):
    """Raised where nothing should be."""


def fail(*args: Any, **options: Any) -> Any:
    raise Broken


read_burst = intake.read_burst
refuse = OrchestraProtocol.sendHttpErrorResponse
on_ping = OrchestraProtocol.onPing
on_message = OrchestraProtocol.onMessage
frame_data = OrchestraProtocol.onFrameData
process = OrchestraProtocol.processHandshake


def one_message_too_few(*args: Any) -> Any:
    contents, size = read_burst(*args)
    return contents[:-1], size


def one_byte_too_few(*args: Any) -> Any:
    contents, size = read_burst(*args)
    return contents, size - (size > 10)


def text_that_is_none(data: bytes, *args: Any) -> Any:
    contents, size = read_burst(data, *args)
    return (contents, size) if contents or data[:1] != b"\x81" else ([(b"\xff", False)], len(data))


def pings_that_are_empty(self: Any, payload: bytes) -> None:
    on_ping(self, b"")


def nothing_is_compressed(self: Any, payload: bytes, is_binary: bool) -> None:
    if self._perMessageCompress is None:
        on_message(self, payload, is_binary)


def frames_that_are_kept(self: Any, payload: bytes) -> Any:
    self.data += payload
    return frame_data(self, payload)


def what_is_behind_the_end_is_kept(self: Any, data: bytes) -> bytes:
    piece: bytes = self._decompressor.decompress(data)
    return piece


def everybody_waits(self: Any) -> None:
    self._is_queued = True


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (intake, "read_burst", one_message_too_few),
        (intake, "read_burst", one_byte_too_few),
        (intake, "read_burst", text_that_is_none),
        (OrchestraProtocol, "onMessages", fail),
        (OrchestraProtocol, "onPing", pings_that_are_empty),
        (OrchestraProtocol, "onMessage", nothing_is_compressed),
        (OrchestraProtocol, "onFrameData", frames_that_are_kept),
        (Inflater, "inflate", what_is_behind_the_end_is_kept),
        (OrchestraProtocol, "_queue", everybody_waits),
        (intake, "PIECES", 10**6),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_connection_that_is_broken_is_noticed(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any
) -> None:
    """Some seed shows it."""
    monkeypatch.setattr(owner, name, broken)
    assert shown(frames.check, SEEDS["frames"].values())


def answers(self: Any, code: int, reason: str, *more: Any) -> None:
    refuse(self, 500, reason, *more)


def reflects(self: Any, code: int, reason: str, *more: Any) -> None:
    refuse(self, code, "because of \r\n" + reason, *more)


def answers_twice(self: Any, *args: Any) -> None:
    refuse(self, *args)
    refuse(self, *args)


def goes_on(self: Any, abort: bool = False) -> None:
    """Leave the connection open."""


def takes_anything(data: bytes, any_origin: bool) -> Any:
    end = data.find(b"\r\n\r\n")
    fields = {"host": "localhost", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
    return opening.Handshake("GET / HTTP/1.1", "/", "localhost", fields, end + 4)


def takes_it_early(self: Any) -> None:
    self.data += b"\r\n\r\n"
    process(self)


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (OrchestraProtocol, "sendHttpErrorResponse", answers),
        (OrchestraProtocol, "sendHttpErrorResponse", reflects),
        (OrchestraProtocol, "sendHttpErrorResponse", answers_twice),
        (OrchestraProtocol, "dropConnection", goes_on),
        (OrchestraProtocol, "processHandshake", takes_it_early),
        (OrchestraProtocol, "processHandshake", fail),
        (Entrance, "admit", fail),
        (opening, "read_handshake", takes_anything),
        (opening, "MAX_HEAD", 100_000),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_opening_that_is_broken_is_noticed(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any
) -> None:
    """Some seed shows it."""
    monkeypatch.setattr(owner, name, broken)
    assert shown(http.check, SEEDS["http"].values())


def serves_in_turn(self: Any, request: Any) -> None:
    """Forget to go on behind a request."""


def goes_on_for_ever(self: Any, request: Any, version: bytes) -> bool:
    return True


def streams_nothing(self: Any, pages: Any) -> None:
    """Leave the client without an answer."""


def tells_no_length(request: Any, body: bytes) -> bytes:
    return b"" if request.method == b"HEAD" else body[:-1]


def keeps_its_place(self: Any) -> None:
    self.place = None
    leave(self)


def keeps_counting(self: Any) -> None:
    self._orchestra.countConnections += 1
    leave(self)


leave = WebChannel._leave


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        (OrchestraResource, "render", fail),
        (WebChannel, "dataReceived", fail),
        (WebChannel, "requestDone", serves_in_turn),
        (WebChannel, "checkPersistence", goes_on_for_ever),
        (WebChannel, "_leave", keeps_counting),
        (WebChannel, "_leave", keeps_its_place),
        (WebRequest, "_check", fail),
        (EventStream, "begin", streams_nothing),
        (visit, "body", tells_no_length),
        (OrchestraResource, "_answer", fail),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_site_that_is_broken_is_noticed(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any
) -> None:
    """Some request shows it."""
    monkeypatch.setattr(owner, name, broken)
    assert shown(http.check, SITE.values())


def shown(check: Callable[[bytes], None], seeds: Iterable[bytes]) -> bool:
    """Whether a seed has the property no more."""
    for seed in seeds:
        try:
            check(seed)
        except (AssertionError, Broken):
            return True
    return False


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: x,\tUPGRADE\r\n"
        b"Sec-WebSocket-Version: 13 \r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        b"GET http://a/b?c HTTP/1.1\r\nHost: [::1]:80\r\nUpgrade: x\r\nUpgrade: websocket\r\n"
        b"Connection: upgrade\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ],
)
def test_what_the_independent_reading_takes_for_a_handshake(head: bytes) -> None:
    """A handshake, and none that lacks a line or has one twice."""
    assert http.handshake_key(head)
    lines = head.split(b"\r\n")
    needed = [
        n for n, line in enumerate(lines) if not line.startswith((b"Upgrade: x", b"Content"))
    ]
    for n in needed:
        assert not http.handshake_key(b"\r\n".join(lines[:n] + lines[n + 1 :]))
    for name in (b"host", b"sec-websocket-key", b"sec-websocket-version"):
        (line,) = (line for line in lines if line.lower().startswith(name))
        assert not http.handshake_key(b"\r\n".join([*lines, line]))
    for more in (b"Transfer-Encoding: chunked", b"Content-Length: 1", b" x", b"x y: z", b"x: \0"):
        assert not http.handshake_key(b"\r\n".join([*lines, more]))


def test_without_the_fuzzer_it_says_how_to_get_it(tmp_path: Path) -> None:
    """One line, and exit status 1."""
    (tmp_path / "atheris.py").write_text("raise ImportError")
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "http", "--seconds=1"],
        cwd=CORPUS.parent.parent.parent,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    assert "pip install '.[fuzz]'" in line
