"""Every example, as it stands, and the documentation that shows them."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.end_to_end.server import PATIENCE, TWISTD, Server, serving, started
from tests.end_to_end.tokens import key_file, token

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"


def orchestra(server: Server) -> None:
    with server.connect() as alice:
        alice.send("hello")
        assert alice.recv(timeout=PATIENCE) == "hello"


def metronome(server: Server) -> None:
    with server.connect() as alice:
        first, second = (alice.recv(timeout=PATIENCE) for _ in range(2))
    number = int(str(first).removeprefix("Echo: beat "))
    assert second == f"Echo: beat {number + 1}"


def website(server: Server) -> None:
    with urlopen(f"http://127.0.0.1:{server.port}/", timeout=PATIENCE) as page:
        assert page.read() == b"The orchestra plays at /live.\n"
    with server.connect("/live") as alice, server.connect("/live/brass") as bob:
        alice.send("hello")
        bob.send("brass")
        assert alice.recv(timeout=PATIENCE) == "Echo: hello"
        assert bob.recv(timeout=PATIENCE) == "Echo: brass"


def answer(server: Server) -> None:
    with server.connect() as alice:
        alice.send("A")
        assert alice.recv(timeout=PATIENCE) == "Echo: A"
        assert alice.recv(timeout=PATIENCE) == "Echo: the oboe gives an A"


def tutorial(server: Server) -> None:
    with urlopen(server.http(), timeout=PATIENCE) as page:
        assert page.read() == (EXAMPLES / "tutorial.html").read_bytes()
    with server.connect("/live/strings") as alice:
        note = Request(server.http("/live/strings"), b"C#4", {"Content-Type": "text/plain"})
        urlopen(note, timeout=PATIENCE).close()
        assert alice.recv(timeout=PATIENCE) == "Echo: C#4"


SCENES: dict[str, Callable[[Server], None]] = {
    "orchestra.tac": orchestra,
    "metronome.tac": metronome,
    "website.tac": website,
    "answer.tac": answer,
    "tutorial.tac": tutorial,
}


def passwords(server: Server) -> None:
    def basic(pair: str) -> dict[str, str]:
        return {"Authorization": "Basic " + b64encode(pair.encode()).decode()}

    for headers in ({}, basic("oboe:baton"), basic("viola:"), {"Authorization": "Basic oboé"}):
        with pytest.raises(InvalidStatus) as refused:
            server.connect(additional_headers=headers)
        response = refused.value.response
        assert (response.status_code, response.body) == (
            401,
            b"the name or the password is wrong\n",
        )
        assert response.headers["WWW-Authenticate"] == 'Basic realm="orchestra"'
    with (
        server.connect(additional_headers=basic("conductor:baton")) as conductor,
        server.connect(additional_headers=basic("oboe:reed")) as oboe,
    ):
        oboe.send("hello")
        with pytest.raises(ConnectionClosed, match="publishing is not allowed in this channel"):
            oboe.recv(timeout=PATIENCE)
        conductor.send("one")
        assert conductor.recv(timeout=PATIENCE) == "Echo: one"


def rules(server: Server) -> None:
    with (
        server.connect("/oboe?name=oboe") as oboe,
        server.connect("/oboe?name=viola") as viola,
        server.connect("/oboe") as nobody,
    ):
        for other in (viola, nobody):
            other.send("hello")
            with pytest.raises(ConnectionClosed, match="only its owner plays in this channel"):
                other.recv(timeout=PATIENCE)
        oboe.send("A")
        assert oboe.recv(timeout=PATIENCE) == "Echo: A"
    note = Request(server.http("/oboe"), b"B", {"Content-Type": "text/plain"})
    with pytest.raises(HTTPError, match="403"):
        urlopen(note, timeout=PATIENCE)


POLICIES: dict[str, Callable[[Server], None]] = {"passwords.tac": passwords, "rules.tac": rules}


def free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("name", [*SCENES, *POLICIES])
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    """It does what it says, and ends when it is told to."""
    example = str(EXAMPLES / name)
    port = free_port()
    command = [TWISTD, "--nodaemon", "--pidfile=", "--python", example]
    with started(command, tmp_path, PORT=str(port)) as server:
        server.port = port
        server.wait_for(f"starting on {port}")
        (SCENES | POLICIES)[name](server)
        server.stop()
    assert "Traceback" not in server.text
    assert server.text.count("has joined") == server.text.count("has left") > 0


def test_calls_are_answered(tmp_path: Path, node_folder: Path) -> None:
    """What an SDK calls is answered or refused, and what it sends is played."""
    port = free_port()
    command = [TWISTD, "--nodaemon", "--pidfile=", "--python", str(EXAMPLES / "calls.tac")]
    with started(command, tmp_path, PORT=str(port)) as server:
        server.port = port
        server.wait_for(f"starting on {port}")
        caller = ["node", "calls.mjs", server.url("/connection/websocket")]
        told = subprocess.check_output(caller, cwd=node_folder, text=True, timeout=PATIENCE)
        server.stop()
    assert json.loads(told) == {
        "tempo": 180,
        "refused": {"code": 107, "message": "there is no such tempo"},
        "heard": "bravo",
    }
    assert "Traceback" not in server.text


def test_two_tabs_and_a_script_hear_each_other(
    tmp_path: Path, browser: Browser, node_folder: Path
) -> None:
    """What is played in one of them, or by a POST, all of them show, in the same order."""
    bundle = node_folder / "node_modules" / "centrifuge" / "dist" / "centrifuge.js"
    port = free_port()
    site = f"http://127.0.0.1:{port}"
    pages = tmp_path / "pages"
    pages.mkdir()
    shutil.copy(bundle, pages)
    serve = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with ExitStack() as stack:
        stack.enter_context(started(serve, pages)).wait_for("Serving HTTP")
        server = stack.enter_context(serving(tmp_path, "--origin", site))
        html = (EXAMPLES / "sdk.html").read_text()
        assert html.count("localhost:8080") == 1
        html = html.replace("localhost:8080", f"127.0.0.1:{server.port}")
        (pages / "sdk.html").write_text(html)
        context = stack.enter_context(browser.new_context())
        context.set_default_timeout(1000 * PATIENCE)
        tabs = [context.new_page() for _ in range(2)]
        for tab in tabs:
            tab.goto(f"{site}/sdk.html")
            tab.wait_for_function("strings.state === 'subscribed'")
        script = stack.enter_context(
            started(
                [sys.executable, str(EXAMPLES / "sdk.py"), "D4"],
                tmp_path,
                ORCHESTRA=server.url("/connection/websocket"),
            )
        )
        script.wait_for("^D4$")
        tabs[0].fill("input", "C#4")
        tabs[0].click("button")
        script.wait_for("^C#4$")
        note = b'{"note": "E4"}'
        kind = {"Content-Type": "application/json"}
        urlopen(Request(server.http("/strings"), note, kind), timeout=PATIENCE).close()
        script.wait_for("^E4$")
        for tab in tabs:
            tab.wait_for_function("document.querySelectorAll('li').length === 3")
            assert tab.locator("li").all_inner_texts() == ["D4", "C#4", "E4"]
    assert "Traceback" not in "\n".join(script.log + server.log)


def test_the_duet_plays(tmp_path: Path) -> None:
    """Each note of the solo is answered with its chord, in order."""
    duet = [TWISTD, "--nodaemon", "--pidfile=", "--python", str(EXAMPLES / "duet.tac")]
    chords = {"C4": "C E G", "E4": "E G B", "G4": "G B D", "A4": "A C E"}
    with serving(tmp_path, "--prefix", "") as server:
        with (
            server.connect("/solo") as solo,
            server.connect("/accompaniment") as accompaniment,
            started(duet, tmp_path, ORCHESTRA=f"http://127.0.0.1:{server.port}/") as players,
        ):
            notes = [str(solo.recv(timeout=PATIENCE)) for _ in range(6)]
            answers = [str(accompaniment.recv(timeout=PATIENCE)) for _ in range(4)]
            players.stop()
        assert server.stop() == 0
    assert notes == [*chords, *chords][:6]
    # The accompanist may have come too late for the first notes.
    assert " / ".join(answers) in " / ".join(2 * [*chords.values()])
    assert "Traceback" not in players.text + server.text


def test_the_configuration_serves(tmp_path: Path) -> None:
    """The file is read, and what is set for some channels holds there."""
    options = ("--config", str(EXAMPLES / "orchestra.toml"), "--port", "0")
    with serving(tmp_path, *options) as server:
        with server.connect("/chat") as alice, server.connect("/strings") as bob:
            for client, heard in ((alice, "hello"), (bob, "Echo: hello")):
                client.send("hello")
                assert client.recv(timeout=PATIENCE) == heard
        assert server.stop() == 0
    assert "Traceback" not in server.text


def example(name: str, *arguments: str) -> str:
    """What a script of the examples prints."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.check_output(command, text=True, timeout=PATIENCE).strip()


def test_a_token_is_given(tmp_path: Path) -> None:
    """The server lets its owner in, by the same file, as the one it is for."""
    secret = key_file(tmp_path)
    headers = {"Authorization": f"Bearer {example('give_token.py', secret, 'oboe')}"}
    with serving(tmp_path, "--token-key-file", secret) as server:
        with server.connect(additional_headers=headers) as oboe:
            oboe.send("A")
            assert oboe.recv(timeout=PATIENCE) == "Echo: A"
            presence = Request(server.http("/?presence"), headers=headers)
            with urlopen(presence, timeout=PATIENCE) as answer:
                assert json.load(answer)["members"][0]["identity"] == "oboe"
        assert server.stop() == 0


def test_a_set_of_keys_is_made(tmp_path: Path) -> None:
    """The server takes tokens by any of them, under its file's name."""
    private = {name: ed25519.Ed25519PrivateKey.generate() for name in ("old", "new")}
    paths = [tmp_path / f"{name}.pem" for name in private]
    for path, key in zip(paths, private.values(), strict=True):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        path.write_bytes(pem)
    keys = key_file(tmp_path, example("key_set.py", *map(str, paths)))
    with serving(tmp_path, "--token-jwks-file", keys) as server:
        for name, key in private.items():
            headers = {"Authorization": f"Bearer {token(key, 'EdDSA', name)}"}
            with server.connect(additional_headers=headers):
                pass
        assert server.stop() == 0


def test_no_example_is_without_a_test() -> None:
    """Each file in the folder is run above."""
    others = {
        "calls.tac",
        "duet.tac",
        "give_token.py",
        "key_set.py",
        "orchestra.toml",
        "sdk.html",
        "sdk.py",
        "tutorial.html",
        *POLICIES,
    }
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == set(SCENES) | others


@pytest.mark.parametrize("name", SCENES)
def test_an_example_is_short(name: str) -> None:
    """20 lines or fewer."""
    assert len((EXAMPLES / name).read_text().splitlines()) <= 20


def test_the_documentation_shows_every_example() -> None:
    """Each file is in one of its pages, as it is."""
    pages = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.rst"))
    shown = re.findall(r"^\.\. literalinclude:: [./]*/examples/(.+)$", pages, re.MULTILINE)
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} <= set(shown)
