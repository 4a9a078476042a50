"""What pages in a browser do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.end_to_end.server import Place

if TYPE_CHECKING:
    from playwright.sync_api import Page

LISTEN = """url => {
    window.heard = []
    window.opened = 0
    window.source = new EventSource(url)
    source.onopen = () => { opened += 1 }
    for (const kind of ["message", "binary", "gap", "presence"])
        source.addEventListener(kind, event => heard.push([kind, event.data]))
}"""

SUBMIT = """url => {
    const form = document.createElement("form")
    Object.assign(form, {method: "POST", enctype: "text/plain", action: url})
    form.append(Object.assign(document.createElement("input"), {name: "foreign", value: "form"}))
    document.body.append(form)
    form.submit()
}"""

POST = """async ([url, type, key, body]) => {
    const headers = key ? {"Content-Type": type, "Idempotency-Key": key} : {"Content-Type": type}
    const answer = await fetch(url, {method: "POST", headers, body})
    return [answer.status, answer.headers.get("Idempotent-Replayed"), await answer.text()]
}"""


def open_at(page: Page, place: Place) -> None:
    """Go to where the page has the origin of a place, and may do all that pages may."""
    page.goto(place.http("/healthz"))


def listen(page: Page, url: str) -> None:
    """Open an event source, which keeps what it hears."""
    page.evaluate(LISTEN, url)
    page.wait_for_function("opened === 1")


def hear(page: Page, count: int) -> list[list[str]]:
    """The kinds and the data of the next events."""
    page.wait_for_function("count => heard.length >= count", arg=count)
    heard: list[list[str]] = page.evaluate("count => heard.splice(0, count)", count)
    return heard
