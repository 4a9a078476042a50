"""Everything between a server and its clients breaks, all the time, and nobody misses a message.

Players play numbered messages without pause. Readers write down what they hear: the client of
``orchestra.client`` in processes of their own, which are killed and started again, and one that
speaks HTTP by itself. Most connections go through a relay that cuts and stalls them. In the end
all that was written down is compared.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from orchestra.position import Position
from tests.chaos.relay import Line, Relay
from tests.chaos.scribe import Record, content, place, records
from tests.end_to_end.server import PATIENCE, Server

SCRIBE = Path(__file__).with_name("scribe.py")

STAGE, FLEETING = "stage", "fleeting"
"""A channel that keeps everything, and one that soon forgets."""

RETAINED = 100
"""How many messages the one retains that forgets."""

CONFIGURATION = f"""
ping-interval = 2

[channels.{STAGE}]
history-messages = 1000000
history-bytes = 1000000000
history-age = 86400

[channels.{FLEETING}]
history-messages = {RETAINED}
"""

RATE = 25.0
"""How many messages a second each player plays."""

END = (b"the end", False)

BREAKS = {
    "cut": 8,
    "reset": 6,
    "answer lost": 4,
    "stall": 4,
    "relay gone": 1,
    "killed": 2,
    "torn": 1,
}
"""What happens to connections and readers, and how often in proportion."""


class Scribe:
    """A process of ``scribe.py``, and its file."""

    def __init__(self, folder: Path, name: str, what: str, *arguments: str) -> None:
        """
        :param what: it does.
        :param arguments: its URL, its channel, and what else it is told.
        """
        self.name = name
        self.path = folder / f"{name}.txt"
        self._log = folder / f"{name}.log"
        url, channel, *more = arguments
        self._command = [sys.executable, str(SCRIBE), what, url, channel, str(self.path), *more]
        self.start()

    def start(self) -> None:
        """Start it, again after it has ended."""
        self.is_away = False
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)

    async def kill(self) -> None:
        """End it without a warning."""
        self.is_away = True
        self.process.kill()
        while self.process.poll() is None:
            await asyncio.sleep(0.01)

    def tear(self, size: int) -> None:
        """Lose some bytes of what it has written last, as if it had been killed in the middle."""
        if self.path.exists():
            os.truncate(self.path, max(0, self.path.stat().st_size - size))

    @property
    def last(self) -> Position | None:
        """The position in the last line."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - 100_000))
            lines = file.read().splitlines(keepends=True)
            if lines and lines[-1].endswith(b"\n"):
                return place(lines[-1])
        return None

    @property
    def log(self) -> str:
        """What the process had to say."""
        return self._log.read_text()


class PlainReader:
    """Reads event streams without any library, and comes back with ``Last-Event-ID``."""

    def __init__(self, port: int) -> None:
        self.records: list[Record] = []
        self.streams = 0
        """How many it has read from so far."""
        self._last_id = ""
        self.reading = asyncio.ensure_future(self._read(port))

    @property
    def has_begun(self) -> bool:
        """Whether it knows where it began, and so misses nothing from then on."""
        return bool(self._last_id)

    async def _read(self, port: int) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
                try:
                    await self._read_from(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.2)

    async def _read_from(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"GET /{STAGE} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        resume = f"Last-Event-ID: {self._last_id}\r\n" if self._last_id else ""
        writer.write(f"{head}{resume}\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        self.streams += 1
        while True:
            event = await reader.readuntil(b"\n\n")
            self._take(event.decode()[:-2].split("\n"))

    def _take(self, lines: list[str]) -> None:
        fields = [line.partition(": ")[::2] for line in lines]
        values = dict(fields)
        self._last_id = values.get("id", self._last_id)
        if "data" in values:
            kind = values.get("event", "text")
            payload = "\n".join(value for name, value in fields if name == "data").encode()
            if kind == "binary" or "base64" in values:
                payload = b64decode(values.get("base64", payload))
            self.records.append(Record(Position.parse(self._last_id), kind, payload))

    async def close(self) -> None:
        """Read no more."""
        self.reading.cancel()
        with suppress(asyncio.CancelledError):
            await self.reading


class Player:
    """Plays numbered messages by WebSockets. Some are lost when a connection breaks."""

    def __init__(self, port: int, name: str, is_over: asyncio.Event) -> None:
        self.name = name
        self.sent = 0
        """How many were sent, perhaps in vain."""
        self.playing = asyncio.ensure_future(self._play(port, is_over))

    async def _play(self, port: int, is_over: asyncio.Event) -> None:
        url = f"ws://127.0.0.1:{port}/{STAGE}?echo=0"
        while not is_over.is_set():
            with suppress(OSError, ConnectionClosed, InvalidHandshake, InvalidMessage):
                async with connect(url, max_size=None, close_timeout=1) as client:
                    hearing = asyncio.ensure_future(_hear(client))
                    while not is_over.is_set() and not hearing.done():
                        payload, is_binary = content(self.name, self.sent)
                        self.sent += 1
                        await client.send(payload if is_binary else payload.decode())
                        await asyncio.sleep(1 / RATE)
            await asyncio.sleep(0.1)


async def _hear(client: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        async for _ in client:
            pass


async def post(port: int, channel: str, payload: bytes, is_binary: bool) -> Record:
    """Publish a message by a plain request."""
    kind = "application/octet-stream" if is_binary else "text/plain"
    head = (
        f"POST /{channel} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + payload)
    answer = await reader.read()
    writer.transport.abort()
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    known = json.loads(answer.partition(b"\r\n\r\n")[2])
    position = Position(known["epoch"], known["offset"])
    return Record(position, "binary" if is_binary else "text", payload)


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 2 * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.05)


class Recovery:
    """All who take part, and what has become of them."""

    def __init__(self, server: Server, folder: Path, seed: int) -> None:
        self.done: Counter[str] = Counter()
        """How often each kind of thing has happened."""
        self.problems: list[str] = []
        """What is wrong."""
        self._port = server.port
        self._folder = folder
        self._random = Random(seed)
        self._relay = Relay(server.port, self.done)
        self._scribes: list[Scribe] = []
        self._later: list[asyncio.Future[None]] = []
        self._fleeting: list[Record] = []

    async def run(self, seconds: float) -> None:
        """Play, break everything for so long, and compare."""
        await self._relay.open()
        direct, relayed = (f"http://127.0.0.1:{port}" for port in (self._port, self._relay.port))
        reference = PlainReader(self._port)
        plain = PlainReader(self._relay.port)
        begun = "the plain readers to begin"  # before anything is played
        await until(lambda: reference.has_begun and plain.has_begun, begun)
        readers = [
            self._scribe(f"{style} {number}", "listen", url, STAGE, style)
            for number, (style, url) in enumerate(
                [
                    ("callback", direct),
                    ("callback", relayed),
                    ("iterate", relayed),
                    ("doze", relayed),
                ]
            )
        ]
        held = [
            self._scribe("held 1", "listen", direct, FLEETING, "iterate"),
            self._scribe("held 2", "listen", relayed, FLEETING, "callback"),
        ]
        posting = [
            self._scribe(name, "play", relayed, STAGE, name, str(RATE))
            for name in ("posting-1", "posting-2")
        ]
        is_over = asyncio.Event()
        players = [
            Player(self._port, "playing-direct", is_over),
            Player(self._relay.port, "playing-relayed", is_over),
        ]
        fleeting = asyncio.ensure_future(self._play_fleeting(is_over))

        end = time.monotonic() + seconds
        holding = [asyncio.ensure_future(self._hold_away(end, scribe)) for scribe in held]
        await self._break_things(end, readers)
        absences = await asyncio.gather(*holding)
        await asyncio.gather(*self._later)

        is_over.set()
        await asyncio.gather(fleeting, *(player.playing for player in players))
        for scribe in posting:
            await self._ended(scribe)
        last = await post(self._port, STAGE, *END)
        self._fleeting.append(await post(self._port, FLEETING, *END))
        for reader in (reference, plain):
            await until(_has_plainly(reader, last.position), "a plain reader to catch up")
            await reader.close()
        for scribe, end_of_it in [
            *((scribe, last) for scribe in readers),
            *((scribe, self._fleeting[-1]) for scribe in held),
        ]:
            await until(_has(scribe, end_of_it.position), f"{scribe.name} to catch up")
            await self._ended(scribe)
        await self._relay.close()

        if reference.streams != 1:
            self.problems.append("the reader that all are compared with has been cut itself")
        played = reference.records
        self.done["messages"] = len(played)
        self.done["plain streams"] = plain.streams
        self._check_played(played, posting, players)
        self._check_heard("the plain reader", plain.records, played)
        for scribe in readers:
            self._check_heard(scribe.name, records(scribe.path), played)
        for scribe, its_absences in zip(held, absences, strict=True):
            self._check_held(scribe, its_absences)

    def end(self) -> None:
        """Leave no process behind."""
        for scribe in self._scribes:
            scribe.process.kill()
            scribe.process.wait()

    def _scribe(self, name: str, what: str, *arguments: str) -> Scribe:
        scribe = Scribe(self._folder, name, what, *arguments)
        self._scribes.append(scribe)
        return scribe

    async def _ended(self, scribe: Scribe) -> None:
        scribe.process.terminate()
        await until(lambda: scribe.process.poll() is not None, f"{scribe.name} to end")
        for word in ("Traceback", "Unhandled"):
            if word in scribe.log:
                self.problems.append(f"{scribe.name}: {scribe.log[-3000:]}")

    async def _play_fleeting(self, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            message = content(FLEETING, len(self._fleeting))
            self._fleeting.append(await post(self._port, FLEETING, *message))
            await asyncio.sleep(1 / RATE)

    # What happens to connections and readers.

    async def _break_things(self, end: float, readers: Sequence[Scribe]) -> None:
        random, kinds = self._random, [*BREAKS]
        while time.monotonic() < end:
            await asyncio.sleep(random.uniform(0.1, 0.5))
            (kind,) = random.choices(kinds, [BREAKS[kind] for kind in kinds])
            seconds, size = random.uniform(0, 2), random.randrange(3000)
            posting = [line for line in self._relay.lines if line.posts]
            others = [line for line in self._relay.lines if not line.posts]
            here = [scribe for scribe in readers if not scribe.is_away]
            if kind in ("cut", "reset") and others:
                random.choice(others).cut_after("down", size, kind)
            if kind in ("cut", "reset") and posting:
                random.choice(posting).cut_after("up", size, kind)
            elif kind == "answer lost" and posting:
                random.choice(posting).cut_after("down", size % 200, kind)
            elif kind == "stall" and self._relay.lines:
                self._do(self._stall(random.choice([*self._relay.lines]), 4 * seconds))
            elif kind == "relay gone" and self._relay.is_open:
                self._do(self._take_relay_away(seconds))
            elif kind == "killed" and here:
                self._do(self._kill(random.choice(here), seconds))
            elif kind == "torn" and here:
                self._do(self._kill(random.choice(here), seconds, 1 + size % 100))

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._later.append(asyncio.ensure_future(coroutine))

    async def _stall(self, line: Line, seconds: float) -> None:
        line.flows.clear()
        await asyncio.sleep(seconds)
        line.flows.set()
        self.done["stall"] += 1

    async def _take_relay_away(self, seconds: float) -> None:
        await self._relay.close()
        await asyncio.sleep(seconds)
        await self._relay.open()
        self.done["relay gone"] += 1

    async def _kill(self, scribe: Scribe, seconds: float, torn: int = 0) -> None:
        await scribe.kill()
        if torn:
            scribe.tear(torn)
        await asyncio.sleep(seconds)
        scribe.start()
        self.done["torn" if torn else "killed"] += 1

    async def _hold_away(self, end: float, scribe: Scribe) -> list[tuple[Position, Position]]:
        """Kill a reader again and again, until what it should read next is gone.

        :returns: where it was each time, and what had been played when it was started again.
        """
        absences: list[tuple[Position, Position]] = []
        while time.monotonic() < end:
            known = absences[-1][1].offset if absences else 0
            await until(
                lambda known=known: (scribe.last or Position("", 0)).offset > known,  # type: ignore[misc]
                f"{scribe.name} to go on",
            )
            await asyncio.sleep(self._random.uniform(0.5, 3))
            await scribe.kill()
            before = records(scribe.path)[-1].position
            beyond = before.offset + RETAINED + self._random.randrange(1, 100)
            await until(
                lambda beyond=beyond: self._fleeting[-1].position.offset > beyond,  # type: ignore[misc]
                "messages to be forgotten",
            )
            absences.append((before, self._fleeting[-1].position))
            scribe.start()
            self.done["held away"] += 1
        return absences

    # What has to be in the end.

    def _check_played(
        self, played: Sequence[Record], posting: Sequence[Scribe], players: Sequence[Player]
    ) -> None:
        epoch = played[0].position.epoch
        if [record.position for record in played] != [
            Position(epoch, offset) for offset in range(1, len(played) + 1)
        ]:
            self.problems.append("the positions are not those of one history")
        numbers: dict[str, list[int]] = {}
        places: dict[tuple[str, int], Position] = {}
        for position, kind, payload in played[:-1]:
            name, number = payload.decode(errors="replace").split(" ", 2)[:2]
            numbers.setdefault(name, []).append(int(number))
            places[name, int(number)] = position
            if content(name, int(number)) != (payload, kind == "binary"):
                self.problems.append(f"{name} {number} is not what was played")
        for scribe in posting:
            known = [line.split(" ") for line in scribe.path.read_text().splitlines()]
            if numbers[scribe.name] != [*range(len(known))]:
                self.problems.append(f"{scribe.name} was not played once and in order")
            for number, position in known:
                if str(places[scribe.name, int(number)]) != position:
                    self.problems.append(f"{scribe.name} {number} is not at {position}")
        direct, relayed = players
        if numbers[direct.name] != [*range(direct.sent)]:
            self.problems.append("not all is played that was sent on a connection that holds")
        if numbers[relayed.name] != sorted(set(numbers[relayed.name])):
            self.problems.append("something is played twice, or not in its order")
        self.done["lost on the way"] = relayed.sent - len(numbers[relayed.name])

    def _check_heard(self, name: str, heard: Sequence[Record], played: Sequence[Record]) -> None:
        if list(heard) != list(played):
            n = next(
                (n for n, (a, b) in enumerate(zip(heard, played, strict=False)) if a != b),
                min(len(heard), len(played)),
            )
            self.problems.append(
                f"{name} has {len(heard)} records of {len(played)}, and at {n}: "
                f"{_short(heard[n - 1 : n + 2])} instead of {_short(played[n - 1 : n + 2])}"
            )

    def _check_held(self, scribe: Scribe, absences: list[tuple[Position, Position]]) -> None:
        heard = records(scribe.path)
        played = {record.position: record for record in self._fleeting}
        first = heard[0]
        offset = first.position.offset - (int(first.content) if first.kind == "gap" else 1)
        for record in heard:
            step = record.position.offset - offset
            if record.kind == "gap":
                if record.content != b"%d" % step or step < 1:
                    self.problems.append(f"{scribe.name}: told {record} after {offset}")
            elif step != 1 or played.get(record.position) != record:
                self.problems.append(f"{scribe.name}: {_short([record])} after {offset}")
            offset = record.position.offset
        following = dict(zip([record.position for record in heard], heard[1:], strict=False))
        for before, known in absences:
            gap = following[before]
            least = known.offset - RETAINED - before.offset
            if gap.kind != "gap" or int(gap.content) < least:
                self.problems.append(f"{scribe.name}: {gap} after {before}, {known} was played")


def _has(scribe: Scribe, position: Position) -> Callable[[], bool]:
    return lambda: scribe.last == position


def _has_plainly(reader: PlainReader, position: Position) -> Callable[[], bool]:
    return lambda: reader.reading.done() or reader.records[-1].position == position


def _short(some: Sequence[Record]) -> str:
    return ", ".join(f"{position} {kind} {data[:30]!r}" for position, kind, data in some)
