"""The documentation of the Centrifuge protocol: exchanges are played, and nothing is left out."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestra.dialects.centrifuge import codes
from orchestra.dialects.centrifuge.schema import Command, Push
from tests.asyncapi import fitting
from tests.end_to_end.exchanges import Exchange, Player, exchanges
from tests.end_to_end.server import TWISTD, Server, serving, started
from tests.end_to_end.test_examples import EXAMPLES, ROOT, free_port
from tests.end_to_end.tokens import API_KEY, api_key_file, key_file, token

PAGE = (ROOT / "docs" / "protocol.rst").read_text()
EXCHANGES = list(exchanges(PAGE))

OPTIONS = {
    "": (),
    "plain": ("--prefix", ""),
    "pings": ("--ping-interval", "1", "--ping-timeout", "1"),
    "limits": (
        *("--max-subscriptions", "1", "--max-message-size", "20"),
        *("--max-message-rate", "0.001", "--message-burst", "1"),
    ),
    "short": ("--history-messages", "2"),
}
"""Those of the servers on which exchanges are played, by their names."""


def tokens() -> dict[str, str]:
    """Those that exchanges have, by their names there."""
    now = int(time.time())
    news = {"channels": ["news"], "allow": ["hst"]}
    return {
        "<token>": token(
            exp=now + 3600, info={"name": "Olga"}, caps=[news], subs={"news": {"data": "today"}}
        ),
        "<next token>": token(exp=now + 7200, caps=[news]),
        "<token of viola>": token(sub="viola", exp=now + 3600),
        "<old token>": token(exp=now - 3600),
        "<forged token>": token(key="1" * 32),
        "<short token>": token(exp=now + 3600, expire_at=now + 5),
        "<token for strings>": token(exp=now + 3600, channel="strings"),
        "<short token for strings>": token(exp=now + 3600, channel="strings", expire_at=now + 2),
        "<API key>": API_KEY,
    }


@contextmanager
def server_for(name: str, folder: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server on which exchanges are played, and the names of what they have."""
    if name == "calls":
        port = free_port()
        command = [TWISTD, "--nodaemon", "--pidfile=", "--python", str(EXAMPLES / "calls.tac")]
        with started(command, folder, PORT=str(port)) as server:
            server.port = port
            server.wait_for(f"starting on {port}")
            yield server, {}
    elif name == "tokens":
        secrets = (
            *("--token-key-file", key_file(folder), "--api-key-file", api_key_file(folder)),
        )
        with serving(folder, *secrets) as server:
            yield server, tokens()
    else:
        with serving(folder, *OPTIONS[name]) as server:
            yield server, {}


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: f"line {exchange.number}")
def test_an_exchange_is_as_it_is_shown(exchange: Exchange, tmp_path: Path) -> None:
    """All that is received is what is shown, and nothing else; AsyncAPI has each message."""
    with server_for(exchange.server, tmp_path) as (server, names):
        player = Player(server, names)
        player.play(exchange.lines)
        server.stop()
    assert "Traceback" not in server.text
    for operation, value in player.said:
        assert len(fitting(value, operation)) == 1, (operation, value)


def shown(is_sent: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """What SDKs send or get in exchanges, and on which connection."""
    for exchange in EXCHANGES:
        for line in exchange.lines:
            is_sdks = not line.speaker.startswith(("api", "emulation", "raw"))
            if is_sdks and line.text.startswith("{") and line.is_sent is is_sent:
                yield line.speaker, Player.parsed(line.text)


def test_every_command_has_an_exchange() -> None:
    """And is answered in it."""
    commands = set(Command.__struct_fields__) - {"id"}
    assert commands <= {name for _, command in shown(True) for name in command}
    assert commands - {"send"} <= {name for _, reply in shown(False) for name in reply}


def test_every_push_has_an_exchange() -> None:
    """And is explained."""
    pushes = set(Push.__struct_fields__) - {"channel"}
    seen: set[str] = set()
    for speaker, reply in shown(False):
        # At /connection/uni_sse a push is in no reply.
        seen |= reply.keys() if speaker == "uni_sse" else reply.get("push", {}).keys()
    assert pushes <= seen
    for name in pushes:
        assert f"\n``{name}``\n" in PAGE


def named(path: Path) -> set[str]:
    """The numbers' names that a module uses."""
    tree = ast.parse(path.read_text())
    if path.name == "codes.py":
        compared = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in compared]
        return {name.id for name in names if isinstance(name.ctx, ast.Load)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "codes":
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == codes.__name__:
            found |= {alias.name for alias in node.names}
    return found


def sent_codes() -> set[int]:
    """Those that clients may be sent. The errors of the server API are not for them."""
    paths = list((ROOT / "orchestra").rglob("*.py"))
    everywhere = set[str]().union(*map(named, paths))
    for_clients = set[str]().union(*(named(p) for p in paths if not p.name.startswith("api")))
    errors = {n for n, value in vars(codes).items() if isinstance(value, codes.Error)}
    others = {
        n
        for n, value in vars(codes).items()
        if isinstance(value, codes.Disconnect | codes.Unsubscribed)
    }
    return {vars(codes)[n].code for n in (errors & for_clients) | (others & everywhere)}


def test_every_code_has_its_row() -> None:
    """All that the server sends, and no others."""
    rows = re.findall(r"^(\d{3,4})  ", PAGE, re.MULTILINE)
    assert set(map(int, rows)) == sent_codes()
    assert len(rows) == len(set(rows))


def test_an_exchange_that_is_not_so_fails(tmp_path: Path) -> None:
    """Another value, something that does not come, or something more that comes."""
    connect = '> {"id": 1, "connect": {}}\n < {"id": 1, "connect": '
    right = '{"client": "<client>", "ping": 25, "pong": true}}'
    wrong = [
        connect + '{"client": "<client>", "ping": 26, "pong": true}}',
        connect + '{"client": "<client>", "pong": true}}',
        connect + '{"client": "<client>", "ping": 25, "pong": true, "data": null}}',
        connect + right + '\n > {"id": 2, "ping": {}}',
        connect + right + '\n > {"id": 2, "ping": {}}\n < (3501: bad request)',
        connect + right + "\n > C#4\n < (3501: bad request)",
        connect + right + '\n b> {"id": 1, "connect": {}}\n b< {"id": 1, "connect": ' + right,
    ]
    with serving(tmp_path) as server:
        (exchange,) = exchanges(" " + connect + right)
        Player(server, {}).play(exchange.lines)
        for text in wrong:
            (exchange,) = exchanges(" " + text)
            with pytest.raises((AssertionError, pytest.fail.Exception)):
                Player(server, {}).play(exchange.lines)
