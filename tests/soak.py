"""Some minutes of everything at once: ``python -m tests.soak --minutes 5``.

Clients of the ``websockets`` library come and go, in order and abruptly, play, listen, stall, and
send nonsense, while a few stay and check that they miss nothing. In the end all have left, and the
server has no more memory and no more files open than in the beginning.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benchmarks.system import memory
from benchmarks.wire import frame
from tests.chaos.siege import open_files
from tests.end_to_end.server import PATIENCE, Server, serving

RESIDENTS = 10
"""How many clients stay from the beginning to the end."""

VISITORS = 150
"""How many come and go at the same time."""

GROWTH = 16 * 2**20
"""How much more memory there may be in the end, in bytes: what is in the middle of being freed."""

CHANNELS = ("main", "strings", "brass")


@dataclass
class Tally:
    """What happened."""

    visits: Counter[str] = field(default_factory=Counter)
    notes: int = 0
    problems: list[str] = field(default_factory=list)


async def reside(client: ClientConnection, tally: Tally, number: int, until: float) -> None:
    """Play numbered notes, and check that those of each resident come without a gap."""
    last: dict[str, int] = {}
    sent = 0

    async def listen() -> None:
        nonlocal sent
        async for note in client:
            tally.notes += 1
            text = str(note).removeprefix("Echo: ")
            if not text.startswith("resident "):
                continue
            _, player, count = text.split()
            if player in last and int(count) != last[player] + 1:
                tally.problems.append(f"{number}: {player} {count} after {last[player]}")
            last[player] = int(count)

    listening = asyncio.ensure_future(listen())
    while time.monotonic() < until and not listening.done():
        await client.send(f"resident {number} {sent}")
        sent += 1
        await asyncio.sleep(random.uniform(0, 0.1))
    deadline = time.monotonic() + PATIENCE
    while last.get(str(number)) != sent - 1:
        if listening.done() or time.monotonic() > deadline:
            tally.problems.append(f"{number}: the end was not heard; {client.close_reason}")
            break
        await asyncio.sleep(0.05)
    await client.close()
    await listening


async def listen(client: ClientConnection) -> None:
    """Hear some notes, and leave."""
    for _ in range(random.randrange(50)):
        await asyncio.wait_for(client.recv(), 1)


async def play(client: ClientConnection) -> None:
    """Play in bursts, text and binary, whole and in fragments."""
    for _ in range(random.randrange(20)):
        size = random.choice((0, 1, 100, 1000, 60_000))
        note = random.choice(("x" * size, b"\xff" * size, ["x" * size, "y", ""]))
        await client.send(note)
        await asyncio.sleep(random.uniform(0, 0.05))


async def stall(client: ClientConnection) -> None:
    """Read nothing for a while."""
    client.transport.pause_reading()
    await asyncio.sleep(random.uniform(0, 10))
    client.transport.resume_reading()


async def vanish(client: ClientConnection) -> None:
    """Be gone without a word."""
    client.transport.abort()


async def rave(client: ClientConnection) -> None:
    """Send what is wrong."""
    nonsense = (b"\xff" * 50, frame(b"\xff"), b"\x89\xff" + b"\xff" * 100, frame(b"", opcode=11))
    client.transport.write(random.choice(nonsense))
    await asyncio.wait_for(client.wait_closed(), 10)


async def be_late(client: ClientConnection) -> None:
    """Hear the past."""
    await asyncio.wait_for(client.recv(), 1)


Visit = Callable[[ClientConnection], Awaitable[None]]
VISITS: tuple[Visit, ...] = (listen, play, stall, vanish, rave, be_late)


async def visit(server: Server, tally: Tally, until: float) -> None:
    """Come and go, again and again."""
    while time.monotonic() < until:
        what = random.choice(VISITS)
        path = f"/{random.choice(CHANNELS)}?last={random.choice((0, 10, 1000))}"
        tally.visits[what.__name__] += 1
        url = server.url(path + random.choice(("", "&echo=0")))
        compression = random.choice((None, "deflate"))
        with suppress(ConnectionClosed, TimeoutError, InvalidStatus):
            async with connect(
                url, max_size=None, compression=compression, open_timeout=PATIENCE, close_timeout=5
            ) as client:
                await what(client)


async def season(server: Server, seconds: float, tally: Tally) -> None:
    """All that happens between the beginning and the end."""
    until = time.monotonic() + seconds
    residents = [await connect(server.url(), max_size=None) for _ in range(RESIDENTS)]
    # From now on everybody hears everything.
    await asyncio.gather(
        *(reside(client, tally, number, until) for number, client in enumerate(residents)),
        *(visit(server, tally, until) for _ in range(VISITORS)),
    )


async def settled(server: Server, files: int) -> None:
    """Wait until the server has noticed that everybody has left."""
    deadline = time.monotonic() + PATIENCE
    while open_files(server) > files and time.monotonic() < deadline:
        await asyncio.sleep(0.1)


def soak(folder: Path, seconds: float) -> list[str]:
    """Run a server through a season, and tell what happened.

    :returns: what was wrong; nothing, if all went well.
    """
    # What is retained in the end would count as growth.
    retention = ("--history-age", "1", "--history-bytes", "1000000", "--close-timeout", "1")
    with serving(folder, "--compress", *retention) as server:
        with server.connect():
            files = open_files(server) - 1
        asyncio.run(season(server, min(10.0, seconds), Tally()))  # until memory has its shape
        asyncio.run(settled(server, files))
        before = memory(server.process.pid)
        tally = Tally()
        asyncio.run(season(server, seconds, tally))
        asyncio.run(settled(server, files))
        after, files_after = memory(server.process.pid), open_files(server)
        status = server.stop()
    visits = ", ".join(f"{name} {count}" for name, count in sorted(tally.visits.items()))
    print(f"visits: {visits}; notes heard by those who stayed: {tally.notes}")
    print(f"memory: {before / 2**20:.1f} MiB, then {after / 2**20:.1f} MiB; files: {files_after}")
    problems = tally.problems
    if after > before + GROWTH:
        problems.append(f"memory has grown by {(after - before) / 2**20:.1f} MiB")
    if files_after > files:
        problems.append(f"{files_after - files} files stay open")
    if status:
        problems.append(f"exit status {status}")
    if "Traceback" in server.text:
        problems.append(server.text)
    return problems


def main() -> None:
    """Read the command line, and end with status 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="how long [default: 5]")
    minutes = parser.parse_args().minutes
    if not 0 < minutes <= 24 * 60:
        parser.error(f"--minutes {minutes}: must be more than 0, and a day at the most")
    with tempfile.TemporaryDirectory() as folder:
        problems = soak(Path(folder), 60 * minutes)
    for problem in problems[:20]:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
