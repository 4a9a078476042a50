"""The podium in a real browser, of a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.end_to_end.conftest import Curl
from tests.end_to_end.hall import IS_REFUSED, Hall
from tests.end_to_end.server import PATIENCE, Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

KEY = "key-of-an-operator"
DRAWN = """() => [...document.querySelectorAll("canvas")].map(canvas => canvas.toDataURL())"""


def reads(page: Page, name: str, test: str) -> None:
    """Wait until a number on the page is as it should be."""
    page.wait_for_function(
        f"name => (v => {test})(+document.getElementById(name).textContent.replace(',', ''))",
        arg=name,
        timeout=1000 * PATIENCE,
        polling=50,
    )


def test_it_shows_what_happens(hall: Hall, tmp_path: Path) -> None:
    """Plots move, the latency is measured, and what the form plays is heard by who listens, until
    it is stopped."""
    with serving(tmp_path) as server, server.connect("/rehearsal") as listener:
        page = hall.watch(server.http("/podium")).page
        reads(page, "connections-now", "v === 2")
        reads(page, "p50-now", "v > 0")
        before = page.evaluate(DRAWN)
        page.get_by_label("Messages a second").fill("200")
        page.get_by_label("Bytes of each").fill("7")
        page.get_by_role("button", name="Play").click()
        heard = 0
        while heard < 300:
            heard += listener.recv(timeout=PATIENCE) == "Echo: ......."
        reads(page, "messages-now", "v > 50")
        reads(page, "load-rate", "v > 50")
        page.get_by_role("button", name="Stop").click()
        reads(page, "load-rate", "v === 0")
        assert "rehearsal" in page.locator("#busiest").inner_text()
        for one, other in zip(before, page.evaluate(DRAWN), strict=True):
            assert one != other
        hall.all_leave()
        assert server.stop() == 0


def test_a_key_is_asked_for(hall: Hall, tmp_path: Path) -> None:
    """Where there are API keys. One that is not known is said to be so."""
    hall.expected = IS_REFUSED
    (tmp_path / "keys").write_text(f"{KEY}\n")
    (tmp_path / "keys").chmod(0o600)
    with serving(tmp_path, "--api-key-file", "keys") as server:
        page = hall.watch(server.http("/podium")).page
        secret = page.get_by_label("The key or token")
        secret.fill("not-the-key-of-an-operator")
        page.keyboard.press("Enter")
        page.get_by_text("the API key is not known").wait_for()
        secret.fill(KEY)
        page.keyboard.press("Enter")
        reads(page, "connections-now", "v === 1")
        secret.wait_for(state="hidden")
        hall.all_leave()
        assert server.stop() == 0
    assert KEY not in server.text


def test_who_may_see_the_numbers(server: Server, curl: Curl) -> None:
    """By curl: on this machine, and not by a proxy or another name."""
    url = server.http("/podium/numbers")
    assert json.loads(curl(url).body)["samples"]
    for header in ("X-Forwarded-For: 127.0.0.1", "Host: hall.example", "Via: 1.1 proxy"):
        assert "only for this machine" in curl(url, "-H", header).body.decode()
