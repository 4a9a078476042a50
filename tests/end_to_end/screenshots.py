"""Take the screenshots of the documentation: the podium, and a hall in which some musicians play.

``python -m tests.end_to_end.screenshots [FOLDER]``; by default the folder is ``docs/images``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tests.end_to_end.hall import DARK, DESK, PHONE, PLAIN, Hall, Musician, visiting
from tests.end_to_end.server import Place, Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOLDER = Path(__file__).parents[2] / "docs/images"

BAND: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "Ann": ("Violin", DESK, "hall-light.png"),
    "Ben": ("Cello", DARK, "hall-dark.png"),
    "Cid": ("Flute", PHONE, "hall-phone.png"),
    "Dora": ("Piano", PLAIN, None),
    "Eve": ("Drums", PLAIN, None),
}
"""Who plays: the instrument, the options of the browser's context, and the file of the page."""

WATCHED: dict[str, Literal["light", "dark"]] = {
    "podium-light.png": "light",
    "podium-dark.png": "dark",
}
"""Pictures of the podium, and the colours of each."""

LOAD = {"Messages a second": "200", "Bytes of each": "64", "Seconds to play": "600"}
"""What it has the server do, by the fields of its form."""

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
    """A server, in a browser for which it is where it is by default."""

    def __init__(self, server: Server) -> None:
        self.port = server.port

    def http(self, path: str = "/") -> str:
        return f"http://localhost:8080{path}"


def take(browser: Browser, place: Place, folder: Path, seconds: float) -> list[Path]:
    """Take all screenshots.

    :param place: of a server with nobody in its hall.
    :param folder: where they are written to; it is made if it is not there.
    :param seconds: how long the server has something to do before the podium is taken.
    :returns: the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with visiting(browser) as hall:
        files = _podium(hall, place, folder, seconds)
    with (
        visiting(browser) as hall,
        place.connect("/", max_queue=None) as plain,  # it does not read, and has to end
    ):
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
        for name, (_, _, file) in BAND.items():
            if file:
                band[name].page.screenshot(path=folder / file)
                files.append(folder / file)
    return files


def _podium(hall: Hall, place: Place, folder: Path, seconds: float) -> list[Path]:
    page = hall.watch(place.http("/podium"), reduced_motion="reduce").page
    for label, value in LOAD.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(1000 * seconds)
    for file, colours in WATCHED.items():
        page.emulate_media(color_scheme=colours)
        page.screenshot(path=folder / file)
    return [folder / file for file in WATCHED]


def _seated(hall: Hall, place: Place) -> dict[str, Musician]:
    band: dict[str, Musician] = {}
    unseen: Musician | None = None
    for name, (instrument, options, file) in BAND.items():
        band[name] = hall.open(name, instrument, beside=None if file else unseen, **options)
        if file:
            band[name].enter(place, "")
        else:
            unseen = band[name]
            unseen.go(place, "")
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
    with (
        tempfile.TemporaryDirectory() as empty,
        serving(Path(empty)) as server,
        sync_playwright() as playwright,
    ):
        name = f"--host-resolver-rules=MAP localhost:8080 127.0.0.1:{server.port}"
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", name]
        )
        for file in take(browser, _Named(server), folder, seconds=60):
            print(f"{file}: {file.stat().st_size} bytes")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
