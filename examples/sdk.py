"""Plays notes and goes on to listen: python sdk.py C#4 D4"""

import asyncio
import os
import sys

from centrifuge import Client, PublicationContext, SubscriptionEventHandler

SERVER = os.environ.get("ORCHESTRA", "ws://localhost:8080/connection/websocket")


class Listener(SubscriptionEventHandler):
    async def on_publication(self, ctx: PublicationContext) -> None:
        print(ctx.pub.data["note"], flush=True)


async def play(*notes: str) -> None:
    client = Client(SERVER)
    strings = client.new_subscription("strings", Listener(), recoverable=True)
    await client.connect()
    await strings.subscribe()
    await strings.ready()
    for note in notes:
        await strings.publish({"note": note})
    await asyncio.Future()


asyncio.run(play(*sys.argv[1:]))
