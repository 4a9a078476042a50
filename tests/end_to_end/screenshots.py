"""Take the screenshots of the documentation, of a hall in which some musicians play.

``python -m tests.end_to_end.screenshots [FOLDER]``; by default the folder is ``docs/images``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.end_to_end.hall import DARK, DESK, PHONE, Hall, Musician, visiting
from tests.end_to_end.server import Place, Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import BrowserType

FOLDER = Path(__file__).parents[2] / "docs/images"

UNSEEN: dict[str, Any] = {**DESK, "reduced_motion": "reduce"}
"""A page that is not taken, and has less to draw."""

BAND: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "Ann": ("Violin", DESK, "hall-light.png"),
    "Ben": ("Cello", DARK, "hall-dark.png"),
    "Cid": ("Flute", PHONE, "hall-phone.png"),
    "Dora": ("Piano", UNSEEN, None),
    "Eve": ("Drums", UNSEEN, None),
}
"""Who plays: the instrument, the options of the browser's context, and the file of the page."""

WATCHED: dict[str, tuple[str, dict[str, Any]]] = {}
"""Pages at which nobody plays, by the file: where they are, and the options of the context."""

PIECE: tuple[dict[str, str], ...] = (
    {"Ann": "k", "Ben": "a", "Dora": "adg", "Eve": "a"},
    {"Ann": "l", "Cid": "g", "Eve": "d"},
    {"Ann": ";", "Ben": "f", "Dora": "fhk", "Eve": "s"},
    {"Ann": "k", "Cid": "f", "Eve": "d"},
    {"Ann": "j", "Ben": "g", "Dora": "gjl", "Eve": "a"},
    {"Ann": "h", "Cid": "d", "Eve": "d"},
    {"Ann": "j", "Ben": "g", "Dora": "dgj", "Eve": "s"},
    {"Ann": "k", "Ben": "a", "Cid": "d", "Dora": "adg", "Eve": "f"},
)
"""What they play: in each step the keys that each of them holds down. The last one is held."""

STEP = 300
"""How long a step is, in milliseconds."""

TALK = (("Ann", "From the double bar?"), ("Ben", "Yes. A little slower, please."))


class _Named(Place):
    """A server, where it is by default."""

    def http(self, path: str = "/") -> str:
        return f"http://localhost:8080{path}"


def take(kind: BrowserType, options: dict[str, Any], server: Server, folder: Path) -> list[Path]:
    """Take all screenshots.

    :param kind: the browser.
    :param options: what it is launched with.
    :param server: with nobody in its hall.
    :param folder: where they are written to; it is made if it is not there.
    :returns: the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"--host-resolver-rules=MAP localhost:8080 127.0.0.1:{server.port}"
    browser = kind.launch(**{**options, "args": [*options.get("args", ()), name]})
    with ExitStack() as closing:
        closing.callback(browser.close)
        hall = closing.enter_context(visiting(browser))
        plain = closing.enter_context(server.connect("/"))
        place = _Named()
        pages = {}
        for file, (path, options) in WATCHED.items():
            watcher = hall.open(file, **options)
            watcher.page.goto(place.http(path))
            pages[file] = watcher.page
        band = _seated(hall, place)
        for name, text in TALK:
            band[name].say(text)
            band["Dora"].reads(f"{name} {text}")
        plain.send("C#4")
        band["Dora"].reads("Echo: C#4")
        band["Dora"].page.locator("#tempo").fill("108")
        band["Dora"].page.locator("#beat").click()
        for musician in band.values():
            musician.page.wait_for_selector("#beat[aria-pressed=true]")
        _play(band)
        pages |= {file: band[name].page for name, (_, _, file) in BAND.items() if file}
        for file, page in pages.items():
            page.screenshot(path=folder / file)
    return [folder / file for file in pages]


def _seated(hall: Hall, place: Place) -> dict[str, Musician]:
    band = {}
    for name, (instrument, options, _) in BAND.items():
        band[name] = hall.open(name, instrument, **options)
        band[name].enter(place, "")
    for musician in band.values():
        others = (other.title for other in band.values() if other is not musician)
        musician.sees(musician.own_title, *others, "plain line")
    return band


def _play(band: dict[str, Musician]) -> None:
    held: list[tuple[str, str]] = []
    for step in PIECE:
        for name, key in held:
            band[name].page.keyboard.up(key)
        held = [(name, key) for name, keys in step.items() for key in keys]
        for name, key in held:
            band[name].page.keyboard.down(key)
        band["Ann"].page.wait_for_timeout(STEP)


def main(arguments: Sequence[str]) -> int:
    """Run it as a command."""
    from playwright.sync_api import sync_playwright

    folder = Path(arguments[0]) if arguments else FOLDER
    options = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
    with (
        tempfile.TemporaryDirectory() as empty,
        serving(Path(empty)) as server,
        sync_playwright() as playwright,
    ):
        for file in take(playwright.chromium, options, server, folder):
            print(f"{file}: {file.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
