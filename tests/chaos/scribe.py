"""Clients in processes of their own that write down what they hear, or what they have played.

``scribe.py listen URL CHANNEL FILE STYLE`` writes a line for each message, and for each gap. It
may be killed at any time: when it is started again it goes on after the last line, and half a line
is as good as none. ``scribe.py play URL CHANNEL FILE NAME RATE`` plays numbered messages until
SIGTERM, and writes a line with the position of each that it knows to be played.
"""

from __future__ import annotations

import signal
import sys
from base64 import b64decode, b64encode
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react
from twisted.logger import globalLogBeginner, textFileLogObserver

from orchestra.client import OrchestraClient, Position, Received

ALL = 1_000_000_000
"""With how many messages of the past a scribe begins that has written nothing yet."""

SILENCE = 5.0
"""After how many seconds without a byte it takes its connection for dead."""

ON_THE_WAY = 20
"""How many messages a player has on the way at the most."""

DOZE = 10.0
"""For how many seconds one that dozes takes nothing: until there is no room for more."""

SIZES = (0, 1, 10, 100, 100, 100, 100, 100, 1000, 1000, 5000)
ALPHABET = "abc ABC ü🎻\r\n\0:"


class Record(NamedTuple):
    """A line of a scribe that listens."""

    position: Position
    kind: str
    """``text``, ``binary``, or ``gap`` before what comes next."""

    content: bytes
    """The payload; of a gap, how many messages are missing."""

    def line(self) -> bytes:
        """The record as it is written."""
        content = b64encode(self.content).decode()
        return f"{self.position} {self.kind} {content}\n".encode()


def place(line: bytes) -> Position:
    """The position in a line."""
    return Position.parse(line.split(b" ", 1)[0].decode())


def records(path: Path) -> list[Record]:
    """What a scribe has written, without half a line."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [
        Record(place(line), kind.decode(), b64decode(content, validate=True))
        for line, (_, kind, content) in ((line, line.split(b" ")) for line in lines)
    ]


def content(name: str, number: int) -> tuple[bytes, bool]:
    """A message of somebody's, always the same: its payload, and whether it is binary."""
    random = Random(f"{name} {number}")
    head = f"{name} {number} ".encode()
    size = random.choice(SIZES)
    if random.random() < 0.3:
        return head + random.randbytes(size), True
    return head + "".join(random.choices(ALPHABET, k=size)).encode(), False


def client_for(reactor: Any, url: str) -> OrchestraClient:
    """A client that comes back soon, as the time for it is short here."""
    client = OrchestraClient(
        url,
        retry_policy=lambda failed: min(0.1 * 2**failed, 1.0) * Random().uniform(0.5, 1),
        silence=SILENCE,
    )
    client.startService()
    reactor.addSystemEventTrigger("before", "shutdown", client.stopService)
    return client


async def listen(reactor: Any, url: str, channel: str, path: Path, style: str) -> None:
    """Write down what comes, until the process ends.

    :param style: ``callback``, ``iterate``, or ``doze``: iterate, and stop at times.
    """
    before = records(path)
    since = before[-1].position if before else None
    with path.open("ab", buffering=0) as file:
        file.truncate(sum(len(record.line()) for record in before))

        def note(message: Received) -> None:
            kind = "binary" if message.is_binary else "text"
            file.write(Record(message.position, kind, message.payload).line())

        def gap(missed: int | None) -> None:
            assert subscription.position is not None
            file.write(Record(subscription.position, "gap", str(missed).encode()).line())

        subscription = client_for(reactor, url).subscribe(
            channel,
            note if style == "callback" else None,
            last=ALL,
            since=since,
            on_gap=gap,
        )
        if style == "callback":
            await Deferred()
        async for message in subscription:
            note(message)
            if style == "doze" and message.position.offset % 1500 == 0:
                await deferLater(reactor, DOZE)


async def play(reactor: Any, url: str, channel: str, path: Path, name: str, rate: str) -> None:
    """Play until SIGTERM, and end when it is known of all messages where they are.

    :param rate: how many a second, at the most.
    """
    told_to_end: list[int] = []
    await deferLater(reactor, 0, signal.signal, signal.SIGTERM, lambda *_: told_to_end.append(1))
    client = client_for(reactor, url)
    number = known = 0
    with path.open("ab", buffering=0) as file:

        def note(position: Position, number: int) -> None:
            nonlocal known
            known += 1
            file.write(f"{number} {position}\n".encode())

        while not told_to_end:
            if number - known < ON_THE_WAY:
                client.publish(channel, *content(name, number)).addCallback(note, number)
                number += 1
            await deferLater(reactor, 1 / float(rate))
        while known < number:
            await deferLater(reactor, 0.05)
    await client.stopService()


def main(reactor: Any, what: str, url: str, channel: str, path: str, *more: str) -> Deferred[None]:
    """Do what the command line says."""
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    doing: Coroutine[Any, Any, None] = {"listen": listen, "play": play}[what](
        reactor, url, channel, Path(path), *more
    )
    return Deferred.fromCoroutine(doing)


if __name__ == "__main__":
    react(main, sys.argv[1:])
