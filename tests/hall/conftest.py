"""The concert hall's modules in a browser, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from orchestra.web.page import content_type
from tests.end_to_end.server import PATIENCE
from tests.hall.files import FAKES, HALL

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route


def answer(route: Route) -> None:
    """A file of the hall at ``/hall/x/``, the tests' own at ``/fakes.js``, an empty page at ``/``,
    and nothing else."""
    path = route.request.url.removeprefix("http://localhost")
    file = FAKES if path == "/fakes.js" else HALL / path.removeprefix("/hall/x/")
    if path == "/":
        route.fulfill(content_type="text/html", body="<!doctype html><title>Hall</title>")
    elif file == FAKES or (path.startswith("/hall/x/") and file.parent == HALL and file.is_file()):
        route.fulfill(content_type=content_type(file.name), body=file.read_bytes())
    else:
        route.fulfill(status=404)


@pytest.fixture(scope="module")
def hall_page(browser: Browser) -> Iterator[Page]:
    """A page that has the hall's files."""
    with browser.new_context() as context:
        context.set_default_timeout(1000 * PATIENCE)
        context.route("**/*", answer)
        yield context.new_page()


@pytest.fixture
def hall(hall_page: Page) -> Page:
    """A fresh page at ``http://localhost/``, whose scripts import ``/hall/x/<file>``."""
    hall_page.goto("http://localhost/")
    return hall_page
