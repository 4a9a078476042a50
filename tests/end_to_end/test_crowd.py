"""Many clients at once."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from tests.end_to_end.server import PATIENCE, serving

CLIENTS = 500
NOTES = 200


async def _evening(url: str) -> list[list[str | bytes]]:
    clients = await asyncio.gather(
        *(connect(url, open_timeout=PATIENCE, max_queue=None) for _ in range(CLIENTS))
    )

    async def listen(client: ClientConnection) -> list[str | bytes]:
        return [await client.recv() for _ in range(NOTES)]

    listening = [asyncio.ensure_future(listen(client)) for client in clients]
    players = clients[:: CLIENTS // 10]
    for number in range(NOTES // len(players)):
        for player, client in enumerate(players):
            await client.send(f"{player} plays {number}")
    heard = await asyncio.gather(*listening)
    await asyncio.gather(*(client.close() for client in clients))
    return heard


def test_500_clients_hear_the_same_200_notes_in_the_same_order(tmp_path: Path) -> None:
    """Ten of them play at once; each hears all of it, each player's notes in their order."""
    with serving(tmp_path) as server:
        heard = asyncio.run(asyncio.wait_for(_evening(server.url("/evening")), 2 * PATIENCE))
        assert server.stop() == 0
    assert len(heard) == CLIENTS
    assert all(notes == heard[0] for notes in heard)
    for player in range(10):
        of_this_player = [note for note in heard[0] if str(note).startswith(f"Echo: {player} ")]
        assert of_this_player == [f"Echo: {player} plays {number}" for number in range(20)]
    for one, more in (
        ("A new musician has joined the orchestra!", r"(\d+) more musicians have joined"),
        ("A musician has left the orchestra.", r"(\d+) more musicians have left"),
    ):
        summaries = [int(count) for count in re.findall(more, server.text)]
        assert server.text.count(one) + sum(summaries) == CLIENTS
