"""The concert hall's modules in a browser, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

HALL = Path(__file__).parents[2] / "orchestra/hall"
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}


def answer(route: Route) -> None:
    """A file of the hall at ``/hall/x/``; ``/`` is an empty page, and there is nothing else."""
    path = route.request.url.removeprefix("http://localhost")
    file = HALL / path.removeprefix("/hall/x/")
    if path == "/":
        route.fulfill(content_type="text/html", body="<!doctype html><title>Hall</title>")
    elif path.startswith("/hall/x/") and file.parent == HALL and file.is_file():
        route.fulfill(content_type=TYPES[file.suffix], body=file.read_bytes())
    else:
        route.fulfill(status=404)


@pytest.fixture
def hall(page: Page) -> Page:
    """A page at ``http://localhost/``, whose scripts import ``/hall/x/<file>``."""
    page.context.route("**/*", answer)
    page.goto("http://localhost/")
    return page
