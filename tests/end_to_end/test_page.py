"""The pages of the real server, as curl and a browser get them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.conftest import Curl
from tests.end_to_end.server import Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

HTML = ("--header", "Accept: text/html")
INDEX = """<!doctype html>
<meta charset="utf-8">
<title>Strings</title>
<link rel="icon" href="hall/{version}/icons/violin.svg">
<script type="module" src="hall/{version}/app.js"></script>
"""
APP = """import { channel } from "./parts/channel.js";
const source = new EventSource(channel);
source.onmessage = (event) => { document.title = event.data; };
source.onopen = () => fetch(channel, { method: "POST", body: "C#4" });
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of somebody's own, with a module that imports another one."""
    folder = tmp_path_factory.mktemp("server") / "page"
    for part in ("parts", "icons"):
        (folder / part).mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "app.js").write_text(APP)
    (folder / "parts" / "channel.js").write_text('export const channel = "/strings";\n')
    (folder / "icons" / "violin.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>\n')
    (folder / "large.bin").write_bytes(bytes(range(256)) * 4096 * 20)
    return folder


@pytest.fixture(scope="module")
def shown(folder: Path) -> Iterator[Server]:
    """A server with that page, by a path that is relative to where it is started."""
    with serving(folder.parent, "--page=page") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


def test_a_page_of_ones_own(shown: Server, curl: Curl, folder: Path) -> None:
    """curl gets it, compressed or not, large or small, and what it names is there for good."""
    index = curl(shown.http("/"), *HTML)
    (script,) = re.findall(r'src="(hall/[0-9a-f]{16}/app\.js)"', index.body.decode())
    app = curl(shown.http(f"/{script}"))
    assert (app.status, app.body.decode()) == (200, APP)
    assert "immutable" in app.headers["cache-control"]
    small = curl(shown.http("/app.js"), "--compressed")
    assert small.headers["content-encoding"] == "gzip"
    assert small.body.decode() == APP  # which curl has unpacked
    large = curl(shown.http("/large.bin"))
    assert large.body == (folder / "large.bin").read_bytes()
    assert curl.post(shown.http("/app.js"), "C#4").status == 200


def test_it_is_asked_for_again_and_not_sent_again(
    shown: Server, curl: Curl, tmp_path: Path
) -> None:
    """By curl's own way to keep a tag."""
    tag = str(tmp_path / "etag")
    assert curl(shown.http("/"), *HTML, "--etag-save", tag).status == 200
    again = curl(shown.http("/"), *HTML, "--etag-compare", tag)
    assert (again.status, again.body) == (304, b"")


def test_a_browser_runs_it(shown: Server, page: Page) -> None:
    """Its modules find each other beside the version, and its stream is the channel's."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(shown.http("/"))
    page.wait_for_function("document.title === 'C#4'")
    version = r"/hall/[0-9a-f]{16}"
    for name in (r"/app\.js", r"/parts/channel\.js"):
        assert [url for url in asked if re.search(version + name, url)]


def test_the_folder_is_where_the_process_began(tmp_path: Path, curl: Curl) -> None:
    """Though it goes somewhere else, as a daemon does: what changes there later is seen."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text("before")
    with serving(tmp_path, "--page=page", twistd=["--rundir=/"]) as server:
        (folder / "index.html").write_text("after")
        assert curl(server.http("/"), *HTML).body == b"after"
        assert server.stop() == 0


def test_none(tmp_path: Path, curl: Curl) -> None:
    """With --no-page a browser is told what others are."""
    with serving(tmp_path, "--no-page") as server:
        assert curl(server.http("/"), *HTML).status == 426
        assert curl(server.http("/podium"), *HTML).status == 404
        assert server.stop() == 0
