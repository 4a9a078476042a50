"""What ``ws`` for Node makes of the server: each way to close, to fragment and to compress.

What it plays is heard by itself and by clients of the ``websockets`` library in the same channel,
which see whether it comes in one frame.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.server import PATIENCE, Server, serving
from tests.end_to_end.test_second_opinion import (
    ALLOWED,
    DISTANT,
    NOT_ALLOWED,
    PATTERNS,
    REASONS,
    TUNE,
    UNHEARD_OF,
    hear,
    join,
)


@dataclass
class Stage:
    """Where Node's clients play: a server, and the folder with the script."""

    server: Server
    compresses: bool
    folder: Path

    def play(self, *scenes: dict[str, Any]) -> list[list[dict[str, Any]]]:
        """Have scenes played, and return what became of each client of each of them."""
        run = subprocess.run(
            ["node", "second_opinion.mjs", self.server.url()],
            cwd=self.folder,
            check=True,
            timeout=PATIENCE,
            input=json.dumps(scenes),
            capture_output=True,
            text=True,
        )
        outcomes: list[list[dict[str, Any]]] = json.loads(run.stdout)
        assert len(outcomes) == len(scenes)
        return outcomes


@pytest.fixture(scope="module", params=[(), ("--compress",)], ids=["plain", "compressing"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, node_folder: Path
) -> Iterator[Stage]:
    """A server as it is by default, and one that compresses for those who offer it."""
    with serving(tmp_path_factory.mktemp("server"), *request.param) as server:
        yield Stage(server, "--compress" in request.param, node_folder)
        assert server.stop() == 0
    assert "Traceback" not in server.text


Note = tuple[Sequence[bytes], bool]
"""The fragments of a message, and whether it is binary."""


def note(content: Note, **options: bool) -> dict[str, Any]:
    """A message as the script takes it."""
    fragments, is_binary = content
    encoded = [b64encode(fragment).decode() for fragment in fragments]
    return {"fragments": encoded, "binary": is_binary, "compress": True, **options}


def echo(content: Note) -> str | bytes:
    """What is heard of a message."""
    fragments, is_binary = content
    whole = b"".join(fragments)
    return whole if is_binary else "Echo: " + whole.decode()


def digest(content: Note) -> dict[str, Any]:
    """How the script tells of a message that it has heard."""
    heard = echo(content)
    is_binary = isinstance(heard, bytes)
    if not is_binary:
        heard = heard.encode()
    return {"binary": is_binary, "size": len(heard), "sha256": sha256(heard).hexdigest()}


def scene(channel: str, **parts: Any) -> dict[str, Any]:
    return {"channel": channel, "offers": [True], "notes": [], "close": [1000], **parts}


def test_a_close_is_answered_with_the_same(stage: Stage) -> None:
    """Each code, with each reason, comes back; and so does a close without a code (1005)."""
    closes = [[code, reason] for code in ALLOWED for reason in REASONS.values()]
    outcomes = stage.play(*(scene("closing", close=close) for close in (*closes, [])))
    answers = [[client["code"], client["reason"]] for (client,) in outcomes]
    assert answers == [*closes, [1005, ""]]
    assert all("error" not in client for (client,) in outcomes)


def test_a_wrong_close_is_answered_with_what_is_wrong(stage: Stage) -> None:
    """A code that must not be sent, or half a code, with 1002; a reason that is no text, 1007."""
    wrong = {struct.pack("!H", code) + b"because": 1002 for code in (*NOT_ALLOWED, UNHEARD_OF)}
    wrong |= {b"\x03": 1002, b"\x03\xe8\xff": 1007, b"\x03\xe8" + "ü".encode()[:1]: 1007}
    outcomes = stage.play(
        *(scene("closing", close=b64encode(payload).decode()) for payload in wrong)
    )
    assert [client["code"] for (client,) in outcomes] == list(wrong.values())
    assert all("error" not in client for (client,) in outcomes)


@pytest.mark.parametrize("pings", [False, True], ids=["alone", "between pings"])
@pytest.mark.parametrize("offer", [False, {"threshold": 0}], ids=["as they are", "compressed"])
def test_fragments_are_heard_as_one(stage: Stage, offer: Any, pings: bool) -> None:
    """Everyone hears the whole message once, in one frame; pings are answered in their order."""
    played = [(pattern, is_binary) for pattern in PATTERNS.values() for is_binary in (False, True)]
    notes = [note(content, pings=pings) for content in played]
    with (
        join(stage.server, "/fragments") as listener,
        join(stage.server, "/fragments", compression=None) as plain,
    ):
        (clients,) = stage.play(scene("fragments", offers=[offer, True], notes=notes))
        everything = [*played, *played]
        for client in clients:
            assert client["heard"] == [digest(content) for content in everything]
            assert client["pongs"] == sorted(set(client["pongs"]))
            assert bool(client["pongs"]) == pings
            assert (client["code"], client.get("error")) == (1000, None)
        for other in (listener, plain):
            assert hear(other, len(everything)) == [echo(content) for content in everything]


PLAYED: list[Note] = [
    *(([text.encode()], False) for text in ("", "hi", TUNE, TUNE)),
    ([TUNE[n : n + 1000].encode() for n in range(0, len(TUNE), 1000)], False),
    *(([data], True) for data in (b"", bytes(5000), random.Random(7692).randbytes(3000))),
    *(([data], True) for data in DISTANT),
]
OFFERS: list[Any] = [
    False,
    True,
    *({"serverMaxWindowBits": bits} for bits in range(8, 16)),
    *({"clientMaxWindowBits": bits} for bits in (False, True, *range(8, 16))),
    *(
        {"serverNoContextTakeover": True, "clientNoContextTakeover": True, "threshold": size}
        for size in (0, 1024, 10**6)
    ),
    {"serverNoContextTakeover": False},
    {"serverNoContextTakeover": True},
    {"clientNoContextTakeover": True},
    {"serverMaxWindowBits": 9, "clientMaxWindowBits": 9, "threshold": 0},
    {"serverMaxWindowBits": 15, "clientMaxWindowBits": 15, "threshold": 0},
    {"serverMaxWindowBits": 10, "clientMaxWindowBits": 12, "serverNoContextTakeover": True},
]


def test_every_offer_is_served(stage: Stage) -> None:
    """Whatever is offered, all hear the same, compressed if the server does and the offer can be.

    A window of 256 bytes cannot be: zlib has none.
    """
    with (
        join(stage.server, "/choir") as listener,
        join(stage.server, "/choir", compression=None) as plain,
    ):
        notes = [note(content) for content in PLAYED]
        (clients,) = stage.play(scene("choir", offers=OFFERS, notes=notes))
        everything = PLAYED * len(OFFERS)
        heard = [digest(content) for content in everything]
        for client, offer in zip(clients, OFFERS, strict=True):
            assert (client["code"], client.get("error")) == (1000, None), offer
            assert client["heard"] == heard, offer
            can_be = offer is not False and (offer is True or 8 not in offer.values())
            agreed = "permessage-deflate" if can_be and stage.compresses else ""
            assert client["extensions"] == agreed, offer
        for other in (listener, plain):
            assert hear(other, len(everything)) == [echo(content) for content in everything]


def test_a_client_that_insists_on_its_context(stage: Stage) -> None:
    """ws can be told to refuse what the server always asks for, and then does not connect.

    The offer does not tell, so that it is for the client to refuse; nobody else is affected.
    """
    offers = [{"clientNoContextTakeover": False}, True]
    notes = [note(content) for content in PLAYED]
    ((insisting, other),) = stage.play(scene("context", offers=offers, notes=notes))
    if stage.compresses:
        assert insisting["error"] == "Invalid Sec-WebSocket-Extensions header"
        assert len(other["heard"]) == len(PLAYED)
    else:
        assert "error" not in insisting
        assert len(other["heard"]) == 2 * len(PLAYED)
