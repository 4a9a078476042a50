"""Clients that play one after the other and keep what they hear: ``crowd.py URL NAME CLIENTS``.

Each has a few notes of its own on the way. When all connections are closed, what each of them has
heard is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

ON_THE_WAY = 5


async def play(client: ClientConnection, name: str) -> list[str]:
    """Play until the server closes the connection.

    :param name: what each note begins with.
    :returns: what was heard.
    """
    heard: list[str] = []
    played = echoed = 0
    try:
        while True:
            with suppress(ConnectionClosed):  # but what came before that is still to be heard
                while played - echoed < ON_THE_WAY:
                    await client.send(f"{name} {played}")
                    played += 1
            note = str(await client.recv()).removeprefix("Echo: ")
            heard.append(note)
            echoed += note.startswith(name + " ")
    except ConnectionClosed:
        return heard


async def main(url: str, name: str, count: int) -> None:
    """Have so many clients play."""
    clients = [await connect(url, max_queue=None, ping_interval=None) for _ in range(count)]
    print("playing", flush=True)
    playing = [play(client, f"{name} {number}") for number, client in enumerate(clients)]
    print(json.dumps(await asyncio.gather(*playing)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
