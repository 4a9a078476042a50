"""Fixtures for tests in a real browser, or with packages from npm."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.hall import Hall, visiting
from tests.end_to_end.server import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserType, Page

NODE = Path(__file__).parent / "end_to_end/node"


@pytest.fixture(scope="session")
def node_folder(request: pytest.FixtureRequest) -> Path:
    """A folder with the scripts and what they need from npm, kept for the next run."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("node")
    for file in NODE.iterdir():
        shutil.copy(file, folder)
    command = ["npm", "install", "--ignore-scripts"]
    command += ["--no-audit", "--no-fund", "--no-package-lock"]
    subprocess.run(command, cwd=folder, check=True, timeout=4 * PATIENCE, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[tuple[BrowserType, dict[str, Any]]]:
    """Chromium, as it is installed, and what it is to be launched with."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--no-proxy-server"]
        yield playwright.chromium, {"executable_path": binary, "args": arguments}


@pytest.fixture(scope="module")
def browser(chromium: tuple[BrowserType, dict[str, Any]]) -> Iterator[Browser]:
    """Chromium, as it is by default."""
    kind, options = chromium
    browser = kind.launch(**options)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that has been nowhere."""
    with browser.new_context() as context:
        context.set_default_timeout(1000 * PATIENCE)
        yield context.new_page()


@pytest.fixture
def hall(browser: Browser) -> Iterator[Hall]:
    """Pages of the hall's, of which none has an error, or breaks its policy."""
    with visiting(browser) as hall:
        yield hall
