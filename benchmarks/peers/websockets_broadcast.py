"""The broadcast of the websockets library. ``python websockets_broadcast.py PORT``"""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

clients: set[ServerConnection] = set()


async def play(client: ServerConnection) -> None:
    """Send what a client sends to all of them."""
    clients.add(client)
    try:
        async for message in client:
            note = f"Echo: {message}" if isinstance(message, str) else message
            broadcast(clients, note)
    finally:
        clients.remove(client)


async def main(port: int) -> None:
    """Serve until the process is killed."""
    async with serve(play, "127.0.0.1", port, compression=None, backlog=4096):
        await asyncio.Future()


asyncio.run(main(int(sys.argv[1])))
