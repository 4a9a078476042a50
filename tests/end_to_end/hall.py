"""The concert hall in a real browser: who opens its page, plays there, and listens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.end_to_end.server import PATIENCE, Place

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

EAR = Path(__file__).with_name("ear.js")
"""What listens to the sound of a page."""

DESK: dict[str, Any] = {"viewport": {"width": 1200, "height": 880}}
"""A page on a desk, as options of a browser's context."""

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
SMALL_PHONE: dict[str, Any] = {**PHONE, "viewport": {"width": 360, "height": 740}}
DARK: dict[str, Any] = {**DESK, "color_scheme": "dark"}

PLAIN: dict[str, Any] = {"viewport": {"width": 320, "height": 480}, "reduced_motion": "reduce"}
"""A page that nobody looks at, and that has little to draw."""

KNOWN = """settings => {
    if (location.protocol === "http:") localStorage.orchestra = settings
}"""
"""What a browser remembers of who sat there before, also where it has other pages by now."""

IS_AWAY = re.compile("WebSocket connection to '.*' failed|Failed to load resource: net::ERR_")
"""What a browser says itself of a server that is not there."""

IS_REFUSED = re.compile("Failed to load resource: the server responded with a status of 40[13]")
"""What it says of a server that wants a token or a key."""


class Watched:
    """A page, and what it has to complain of."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.name = name
        self.errors: list[str] = []
        """What the page has complained of: an error of its own, or of what its policy forbids."""
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)


class Musician(Watched):
    """A page of the hall with whoever sits at it."""

    def __init__(self, page: Page, name: str, instrument: str) -> None:
        super().__init__(page, name)
        self.instrument = instrument

    def go(self, place: Place, channel: str, query: str = "") -> None:
        """Go into a hall, where the page is silent as long as nobody has touched it."""
        self.page.goto(place.http(f"/{query}#{channel}"))
        self.is_back()

    def enter(self, place: Place, channel: str, query: str = "") -> None:
        """Go into a hall, and touch the page, so that it may sound."""
        self.go(place, channel, query)
        self.page.locator("#stage").click()
        self.page.wait_for_selector("#silent", state="hidden")
        self.page.wait_for_selector("#clock:has-text('known to')")

    def sit(self) -> None:
        """Say who it is, and choose the instrument."""
        self.page.locator("fieldset label", has_text=self.instrument).click()
        field = self.page.get_by_label("Name", exact=True)
        field.fill(self.name)
        field.press("Enter")
        field.blur()

    def key(self, note: str) -> Locator:
        """A key of the page's keyboard, such as ``C4`` or ``C sharp 4``."""
        return self.page.get_by_role("button", name=note, exact=True)

    def seat(self, name: str, state: str = "") -> Locator:
        """The seat of somebody else."""
        return self.page.locator(f"#seats li{state}", has_text=f"{name},")

    def seat_of_a_line(self) -> Locator:
        """The seat of a client that is no page."""
        return self.page.locator("#seats li[title='plain line']")

    def sees(self, *names: str) -> None:
        """Wait until these are there, with their instruments, and nobody else."""
        self.page.wait_for_function(
            """names => {
                const seats = [...document.querySelectorAll("#seats li")]
                return JSON.stringify(seats.map(seat => seat.title).sort()) === names
            }""",
            arg=json.dumps(sorted(names), separators=(",", ":")),
        )

    @property
    def title(self) -> str:
        """How the others see it."""
        return f"{self.name}, {self.instrument.lower()}"

    @property
    def own_title(self) -> str:
        """How it sees itself."""
        return f"{self.name} (you), {self.instrument.lower()}"

    def say(self, text: str) -> None:
        """Say something to all."""
        field = self.page.locator("#say")
        field.fill(text)
        field.press("Enter")
        field.blur()

    def reads(self, *lines: str) -> None:
        """Wait until a line is in the programme, and others after it."""
        self.page.wait_for_function(
            """lines => {
                for (const {textContent} of document.querySelectorAll("#log p"))
                    if (textContent === lines[0]) lines.shift()
                return !lines.length
            }""",
            arg=list(lines),
        )

    @property
    def programme(self) -> list[str]:
        """All lines in the programme."""
        return self.page.locator("#log p").all_text_contents()

    def notices(self, text: str) -> None:
        """Wait until the page says something of the line."""
        self.page.wait_for_selector(f"#notice:has-text('{text}')")

    def is_back(self) -> None:
        """Wait until the page has a line again."""
        self.page.wait_for_selector("#status.here")

    def is_cut(self) -> None:
        """Wait until the page knows that it has none."""
        self.page.wait_for_selector("#status.cut")

    # What is heard, for who has an ear.

    def hears_nothing(self, within: float = PATIENCE) -> None:
        """Wait for silence, for so many seconds, and forget what was before."""
        script = "ear.isSilent() && (ear.forget(), true)"
        self.page.wait_for_function(script, timeout=1000 * within)

    def hears(self, hertz: float) -> None:
        """Wait for a sound after a silence, and see to it that it has this pitch."""
        handle = self.page.wait_for_function("ear.hertz()")
        assert abs(handle.json_value() / hertz - 1) < 0.02

    def forgets(self) -> None:
        """Forget what was heard."""
        self.page.evaluate("ear.forget()")

    def onsets(self, count: int) -> list[float]:
        """When sounds begin, of all not forgotten, in seconds of Unix time, as they are heard."""
        handle = self.page.wait_for_function(
            "count => { const found = ear.onsets(); return found.length >= count && found }",
            arg=count,
            polling=200,
        )
        found: list[float] = handle.json_value()
        return [milliseconds / 1000 for milliseconds in found]


class Hall:
    """The pages of a test, in one browser."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.pages: list[Watched] = []
        self.expected: re.Pattern[str] | None = None
        """What the pages' browsers complain of because of what the test does."""

    def open(
        self,
        name: str = "Ann",
        instrument: str = "Violin",
        *,
        is_known: bool = True,
        has_ear: bool = False,
        script: str = "",
        beside: Musician | None = None,
        **options: Any,
    ) -> Musician:
        """A page for a musician, which is nowhere yet.

        :param is_known: whether the browser remembers the name and the instrument.
        :param has_ear: whether what it plays can be listened to. It is without its policy then.
        :param script: what runs before the page's own scripts.
        :param beside: somebody in whose browser it is, in a page that costs less than one in a
            browser of its own; by default it is alone.
        :param options: of the browser's context, such as those of :data:`PHONE`.
        """
        page = self._page(beside, bypass_csp=has_ear, **options)
        if is_known:
            settings = json.dumps({"name": name, "instrument": instrument.lower()})
            page.add_init_script(f"({KNOWN})({json.dumps(settings)})")
        if has_ear:
            page.add_init_script(path=EAR)
        if script:
            page.add_init_script(script)
        musician = Musician(page, name, instrument)
        self.pages.append(musician)
        return musician

    def watch(self, url: str, **options: Any) -> Watched:
        """A page at a URL, at which nobody plays.

        :param options: of the browser's context.
        """
        watched = Watched(self._page(None, **options), url)
        self.pages.append(watched)
        watched.page.goto(url)
        return watched

    def _page(self, beside: Watched | None, **options: Any) -> Page:
        if beside:
            return beside.page.context.new_page()
        context = self._browser.new_context(**{**DESK, **options})
        context.set_default_timeout(1000 * PATIENCE)
        return context.new_page()

    def leave(self, watched: Watched) -> None:
        """Close a page, which has had nothing to complain of."""
        context = watched.page.context
        watched.page.close()
        self.pages.remove(watched)
        if not context.pages:
            context.close()
        errors = watched.errors
        if self.expected:
            errors = [error for error in errors if not self.expected.match(error)]
        assert not errors, f"in the page of {watched.name}: {errors}"

    def all_leave(self) -> None:
        """Close all pages."""
        for watched in list(self.pages):
            self.leave(watched)


@contextmanager
def visiting(browser: Browser) -> Iterator[Hall]:
    """Open pages until the block is left; none of them may have had an error."""
    hall = Hall(browser)
    try:
        yield hall
        hall.all_leave()
    finally:
        for watched in hall.pages:
            watched.page.context.close()
