"""Pages: the files of a folder, and the URLs at which browsers find them."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EACCES
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from orchestra.urls import RESERVED
from orchestra.web.page import LOOK_AGAIN, MAX_COMPRESSED, Page, content_type
from orchestra.web.pages import CHECKED, FOR_GOOD, HALL, PIECE, _Sending, load_hall
from orchestra.websocket.factory import OrchestraFactory
from tests.events import captured, named
from tests.memory import BUFFER
from tests.web.client import UPGRADE, Answer, EventSource, WebClient, texts
from tests.web.conftest import Serve

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
INDEX = '<!doctype html><script type="module" src="hall/{version}/app.js"></script>'
APP = "export const notes = [" + "'C#4', " * 200 + "];\n"
OWN = Path(__file__).parent.parent.parent / "orchestra" / "hall"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page of somebody's own."""
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "index.html").write_text(INDEX)
    (folder / "app.js").write_text(APP)
    (folder / "images").mkdir()
    (folder / "images" / "a b.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture
def page(folder: Path) -> Page:
    return Page(folder)


@pytest.fixture
def client(serve: Serve, page: Page) -> WebClient:
    """A client of a server with that page."""
    return WebClient(serve(page=page))


def is_the_channels(answer: Answer) -> bool:
    """Whether a GET was answered as in a channel, of which it asks for nothing that there is."""
    return (answer.status, answer.headers.get("upgrade")) == (426, "websocket")


def undated(headers: dict[str, str]) -> dict[str, str]:
    """Headers without the time, which goes on."""
    return {name: value for name, value in headers.items() if name != "date"}


def look_later(client: WebClient) -> None:
    """Let so much time pass that the folder is looked at again."""
    client._clock.advance(LOOK_AGAIN)


class TestFolder:
    """What is a page, and what is in it."""

    def test_all_files_are_there(self, folder: Path) -> None:
        """By the paths that lead to them; what is hidden is not, nor what is elsewhere."""
        (folder / ".env").write_text("SECRET")
        (folder / ".git").mkdir()
        (folder / ".git" / "config").write_text("SECRET")
        elsewhere = folder.parent / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "secret.txt").write_text("SECRET")
        (folder / "linked").symlink_to(elsewhere)
        (folder / "round").symlink_to(folder)
        (folder / "nothing").symlink_to(folder / "none")
        (folder / "link.js").symlink_to(folder / "app.js")
        os.mkfifo(folder / "pipe")
        assert Page(folder)._files.keys() == {
            b"index.html",
            b"app.js",
            b"link.js",
            b"images/a b.png",
        }

    def test_a_name_may_have_any_bytes(self, folder: Path) -> None:
        """Whatever the file system takes."""
        (folder / os.fsdecode(b"\xff.js")).write_text("x")
        (folder / "Bläser.js").write_text("y")
        page = Page(folder)
        for name, body in ((b"\xff.js", b"x"), ("Bläser.js".encode(), b"y")):
            found = page.get(name)
            assert found is not None
            assert found.plain.body == body

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda folder: (folder / "index.html").unlink(), "has no index.html"),
            (lambda folder: (folder / "index.html").rename(folder / ".i"), "has no index.html"),
            (lambda folder: folder.rename(folder.with_name("x")), "No such file or directory"),
            (lambda folder: (folder / "big").write_bytes(bytes(2000)), "is too large"),
            (lambda folder: [(folder / f"{i}").touch() for i in range(8)], "is too large"),
            (lambda folder: [(folder / f"{i}").mkdir() for i in range(8)], "is too large"),
            (lambda folder: (folder / "/".join("abcdefgh")).mkdir(parents=True), "is too large"),
        ],
    )
    def test_what_is_no_page_is_refused(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        spoil: Callable[[Path], Any],
        reason: str,
    ) -> None:
        """With what is wrong, and what is allowed."""
        monkeypatch.setattr("orchestra.web.page.MAX_SIZE", len(INDEX) + len(APP) + 1000)
        monkeypatch.setattr("orchestra.web.page.MAX_FILES", 10)
        Page(folder)
        spoil(folder)
        with pytest.raises(ValueError, match=rf"^{reason}; must be a folder with an index\.html"):
            Page(folder)

    @pytest.mark.parametrize("gone", ["app.js", "below"])
    def test_what_is_deleted_meanwhile_is_left_out(
        self, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, gone: str
    ) -> None:
        """Between the moment at which it is found and that at which it is looked at."""
        (folder / "below").mkdir()
        page = Page(folder)
        scandir = os.scandir

        @contextmanager
        def deleting(path: str) -> Iterator[list[os.DirEntry[str]]]:
            with scandir(path) as entries:
                found = list(entries)
            place = folder / gone
            if place.is_dir():
                place.rmdir()
            else:
                place.unlink(missing_ok=True)
            yield found

        monkeypatch.setattr(os, "scandir", deleting)
        with captured() as events:
            page.refresh(clock.seconds())
        assert named(events, "page-failed") == []
        assert page.get(b"index.html") is not None
        assert page.get(gone.encode()) is None

    def test_a_file_is_no_folder(self, folder: Path) -> None:
        """Not even the index."""
        with pytest.raises(ValueError, match=r"^Not a directory; must be a folder"):
            Page(folder / "index.html")

    def test_a_file_that_cannot_be_read_is_named(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that whoever reads that knows which one."""
        read = Path.read_bytes

        def strict(path: Path) -> bytes:
            if path.name == "app.js":
                raise PermissionError(EACCES, os.strerror(EACCES))
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", strict)
        with pytest.raises(ValueError, match=r"^app\.js: Permission denied; must be a folder"):
            Page(folder)

    def test_the_version_is_that_of_all_files(self, folder: Path) -> None:
        """The same for the same files, another one as soon as a name or a byte is another."""
        versions = [Page(folder).version]
        (folder / "app.js").touch()
        assert Page(folder).version == versions[0]
        (folder / "app.js").write_text("x")
        versions.append(Page(folder).version)
        (folder / "app.js").rename(folder / "apple.js")
        versions.append(Page(folder).version)
        (folder / "empty").touch()
        versions.append(Page(folder).version)
        assert len(set(versions)) == 4
        assert all(version.isalnum() for version in versions)

    def test_only_urls_with_the_version_are_replaced(self, folder: Path) -> None:
        """In HTML; nothing else that is in braces is touched, nor is any other file."""
        text = "hall/{version}/a.js {version} hall/{version} /hall/{version}/b {{version}}"
        (folder / "index.html").write_text(text)
        (folder / "app.js").write_text(text)
        page = Page(folder)
        index, app = page.get(b"index.html"), page.get(b"app.js")
        assert index is not None
        assert app is not None
        version = page.version
        assert index.plain.body.decode() == (
            f"hall/{version}/a.js {{version}} hall/{{version}} /hall/{version}/b {{{{version}}}}"
        )
        assert app.plain.body.decode() == text

    def test_tags_change_with_what_is_sent(self, folder: Path) -> None:
        """That of the index as well when only the version in it is another."""

        def tags() -> list[str]:
            page = Page(folder)
            names = (b"index.html", b"app.js", b"images/a b.png")
            return [file.plain.etag for name in names if (file := page.get(name)) is not None]

        before = tags()
        (folder / "app.js").write_text("x")
        after = tags()
        assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("a.html", "text/html; charset=utf-8"),
            ("a.JS", "text/javascript; charset=utf-8"),
            ("x.y/a.mjs", "text/javascript; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.svg", "image/svg+xml"),
            ("a.json", "application/json"),
            ("a.js.map", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.webp", "image/webp"),
            ("a.woff2", "font/woff2"),
            ("a.ogg", "audio/ogg"),
            ("a.js.gz", "application/gzip"),
            ("a.js.bz2", "application/octet-stream"),
            ("LICENSE", "application/octet-stream"),
            ("data:text/html,x", "application/octet-stream"),
            ("http://x/a.js", "text/javascript; charset=utf-8"),
            ("a.\udcff", "application/octet-stream"),
        ],
    )
    def test_the_type_is_that_of_the_name(self, name: str, kind: str) -> None:
        """The same on every machine, and text is UTF-8."""
        assert content_type(name) == kind


class TestUrls:
    """What is served where."""

    def test_a_browser_gets_the_index(self, client: WebClient, page: Page) -> None:
        """It may keep it, and asks each time whether that is still the same."""
        answer = client.get("/", **HTML)
        assert answer.status == 200
        assert answer.text == INDEX.replace("{version}", page.version)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == CHECKED
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "content-security-policy" not in answer.headers  # which is its own business
        assert client.get("/?token=x", **HTML).text == answer.text
        assert is_the_channels(client.get("/", Accept="*/*"))
        assert is_the_channels(client.get("/"))

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/app.js", "text/javascript; charset=utf-8"),
            ("/app%2Ejs", "text/javascript; charset=utf-8"),
            ("/app.js?v=1", "text/javascript; charset=utf-8"),
            ("/app.js?v=%ff&%00&x=%", "text/javascript; charset=utf-8"),
            ("http://localhost:8080/app.js", "text/javascript; charset=utf-8"),
            ("/images/a%20b.png", "image/png"),
            ("/index.html", "text/html; charset=utf-8"),
        ],
    )
    def test_its_files_are_beside_it(self, client: WebClient, path: str, kind: str) -> None:
        """At their own names, whatever is accepted."""
        answer = client.get(path)
        assert (answer.status, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["cache-control"] == CHECKED
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_what_is_a_channels_stays_the_channels(self, serve: Serve, page: Page) -> None:
        """Streams, presence, POST and WebSockets at a file's path, and at the page's."""
        factory = serve(page=page)
        client = WebClient(factory)
        streams = [EventSource(factory, path) for path in ("/app.js", "/")]
        for path in ("/app.js", "/"):
            assert client.post(path, "hello").status == 200
            client._clock.advance(0)
            assert client.get(f"{path}?presence=count", **HTML).json["clients"] == 1
            assert client.get(f"{path}?x&presence", **HTML).json["clients"] == 1
            assert client.get(f"{path}?{'x&' * 200}", **HTML).status == 400
            assert client.do("OPTIONS", path).status == 204
            upgrading = WebClient(factory)
            upgrading.ask("GET", path, **UPGRADE, **HTML)
            assert [answer.status for answer in upgrading.read()] == [101]
        assert [texts(stream.hear()) for stream in streams] == [["hello"]] * 2

    @pytest.mark.parametrize("path", ["/strings", "/images", "/images/", "/app.js/", "/image"])
    def test_other_paths_are_channels(self, client: WebClient, path: str) -> None:
        """Folders among them, and a browser is told no more than others."""
        assert is_the_channels(client.get(path, **HTML))

    def test_reserved_paths_stay_the_servers(self, serve: Serve, folder: Path) -> None:
        """Whatever the folder has there."""
        for name in RESERVED:
            (folder / name).mkdir()
            (folder / name / "x").write_text("a file of the page")
        client = WebClient(serve(page=Page(folder)))
        for name in RESERVED:
            for path in (f"/{name}/x", f"/{name}%2Fx", f"/%{ord(name[0]):x}{name[1:]}/x"):
                assert client.get(path).status == 404
        for name in ("healthz", "readyz"):
            (folder / name / "x").unlink()
            (folder / name).rmdir()
            (folder / name).write_text("a file of the page")
        look_later(client)
        assert client.get("/healthz").text == "ok\n"

    @pytest.mark.parametrize(
        "path",
        [
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/..\\secret.txt",
            "/..%5csecret.txt",
            "/images/../../secret.txt",
            "/./../secret.txt",
            "//secret.txt",
            "/%2fsecret.txt",
            "/secret.txt%00",
            "/%252e%252e/secret.txt",
            "/.hidden",
            "/%2ehidden",
        ],
    )
    @pytest.mark.parametrize("before", ["", "/hall/{version}", "/hall/x"])
    def test_no_path_leads_out_of_the_folder(
        self, folder: Path, serve: Serve, before: str, path: str
    ) -> None:
        """There is nothing to be reached but what is in memory, each by the one name it has."""
        (folder.parent / "secret.txt").write_text("SECRET")
        (folder / ".hidden").write_text("SECRET")
        page = Page(folder)
        client = WebClient(serve(page=page))
        answer = client.get(before.format(version=page.version) + path)
        assert answer.status in (400, 404, 426)
        assert "SECRET" not in answer.text
        assert not answer.headers["content-type"].startswith("text/html")

    @pytest.mark.parametrize("path", ["//app.js", "/./app.js", "/images//a%20b.png", "/APP.JS"])
    def test_a_file_has_one_path(self, client: WebClient, path: str) -> None:
        """What only looks like it is another channel's."""
        assert client.get(path).status in (400, 426)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.sampled_from(["/", "/hall/", "/hall/x/", "/app.js?", "/app.js?presence", "/podium"]),
        st.one_of(
            st.text(st.characters(min_codepoint=33, max_codepoint=126)),
            st.text(st.sampled_from("/.%\\2e05c?&=#app.js")),
            st.binary().map(quote),
        ),
    )
    def test_whatever_is_asked_for_is_answered(
        self, client: WebClient, path: str, text: str
    ) -> None:
        """With a file that there is, or as if there were no page; never with an error of ours."""
        answer = client.get(path + text)
        assert answer.status in (200, 400, 404, 426)
        assert not client.transport.disconnecting

    def test_files_of_the_version_are_kept_for_good(self, client: WebClient, page: Page) -> None:
        """Which is in the URL, so that it never means anything else."""
        answer = client.get(f"/hall/{page.version}/app.js")
        assert (answer.status, answer.text) == (200, APP)
        assert answer.headers["cache-control"] == FOR_GOOD
        assert answer.headers["vary"] == "Accept-Encoding"
        image = client.get(f"/hall/{page.version}/images/a%20b.png")
        assert (image.body, image.headers["cache-control"]) == (b"\x89PNG", FOR_GOOD)

    def test_a_page_from_before_a_change_gets_what_there_is(
        self, client: WebClient, page: Page, folder: Path
    ) -> None:
        """But may not keep it under that URL."""
        old = page.version
        (folder / "app.js").write_text("new")
        look_later(client)
        for version in (old, "x", "%20", ""):
            answer = client.get(f"/hall/{version}/app.js")
            assert (answer.text, answer.headers["cache-control"]) == ("new", CHECKED)
        assert client.get(f"/hall/{page.version}/app.js").headers["cache-control"] == FOR_GOOD
        assert page.version != old

    @pytest.mark.parametrize("path", ["", "/", "/{version}", "/{version}/", "/{version}/none.js"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_what_is_not_there_is_not_found(
        self, client: WebClient, page: Page, method: str, path: str
    ) -> None:
        """With a line that says so."""
        with captured() as events:
            answer = client.do(method, "/hall" + path.format(version=page.version), **HTML)
        assert answer.status == 404
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text.count("\n") == (method == "GET")
        assert [event["status"] for event in named(events, "refused")] == [404]

    def test_of_a_version_only_its_own_files_are_there(
        self, client: WebClient, page: Page
    ) -> None:
        """So that nothing is kept for good that is another page's."""
        assert client.get(f"/hall/{HALL.version}/index.html").status == 200
        assert client.get(f"/hall/{HALL.version}/app.js").status == 404
        assert client.get(f"/hall/{page.version}/podium.html").status == 404

    def test_what_is_no_get_is_none_of_its_business(self, client: WebClient, page: Page) -> None:
        """The server's own URLs take nothing else."""
        for path in (f"/hall/{page.version}/app.js", "/podium"):
            assert client.post(path, "hello").status == 404


class TestOwn:
    """The server's own page, which is there by default."""

    def test_it_is_at_its_urls(self, factory: OrchestraFactory) -> None:
        """Its files only by version, so that their names stay those of channels."""
        client = WebClient(factory)
        for path, name in (("/", "index.html"), ("/podium", "podium.html")):
            text = (OWN / name).read_text().replace("hall/{version}/", f"hall/{HALL.version}/")
            assert client.get(path, **HTML).text == text
        for file in OWN.iterdir():
            answer = client.get(f"/hall/{HALL.version}/{file.name}")
            assert (answer.status, answer.headers["cache-control"]) == (200, FOR_GOOD)
            assert is_the_channels(client.get(f"/{file.name}"))
        assert client.get("/podium").status == 200
        assert client.get("/podium/x").status == 404

    def test_it_is_as_strict_as_can_be(self, factory: OrchestraFactory) -> None:
        """Nothing runs but its own files, nobody shows it in a page of theirs."""
        client = WebClient(factory)
        for path in ("/", "/podium", f"/hall/{HALL.version}/main.js", "/hall/x/main.js"):
            headers = client.get(path, **HTML).headers
            assert headers["content-security-policy"] == (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
                "require-trusted-types-for 'script'"
            )
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-resource-policy"] == "same-origin"

    def test_an_installation_without_it_is_said_to_be_broken(self, tmp_path: Path) -> None:
        """By what Python says of what cannot be imported, with the folder."""
        with pytest.raises(ImportError, match=r"installed again: .*: has no index\.html; must be"):
            load_hall(tmp_path)

    def test_nothing_in_it_is_inline(self) -> None:
        """Or its own policy would not let it run."""
        for file in OWN.glob("*.html"):
            text = file.read_text()
            for word in ("<style", " style=", "<script>", " onclick=", " onload=", "javascript:"):
                assert word not in text
            for script in re.findall(r"<script[^>]*>", text):
                assert 'src="hall/{version}/' in script

    def test_it_is_small(self) -> None:
        """All of it together, as browsers get it, is far below 100 KB."""
        files = HALL._files.values()
        assert sum(len((file.compressed or file.plain).body) for file in files) < 90_000

    def test_the_podium_is_its_own_beside_another_page(
        self, client: WebClient, page: Page
    ) -> None:
        """With its policy, and its files are there by their version."""
        podium = client.get("/podium", **HTML)
        assert "content-security-policy" in podium.headers
        assert podium.text == (OWN / "podium.html").read_text().replace(
            "hall/{version}/", f"hall/{HALL.version}/"
        )
        own = client.get(f"/hall/{HALL.version}/main.js")
        assert (own.status, own.headers["cache-control"]) == (200, FOR_GOOD)
        assert "content-security-policy" in own.headers
        assert HALL.version != page.version

    def test_it_is_read_once(self, factory: OrchestraFactory, clock: Clock) -> None:
        """And never looked at again, by no factory."""
        assert factory.page is HALL
        client = WebClient(factory)
        for _ in range(3):
            clock.advance(LOOK_AGAIN)
            for path in ("/", "/podium", "/hall/x/main.js"):
                assert client.get(path, **HTML).status == 200
        assert HALL._look_after < 0

    def test_without_a_page_there_is_none(self, serve: Serve) -> None:
        """Neither at / nor elsewhere, and all is as for other channels and the server's own."""
        client = WebClient(serve(page=None))
        assert is_the_channels(client.get("/", **HTML))
        for path in ("/podium", f"/hall/{HALL.version}/main.js", "/hall/x/main.js", "/hall"):
            answer = client.get(path, **HTML)
            assert answer.status == 404
            assert answer.text == "this path is the server's own and names no channel\n"


class TestSending:
    """How a file is sent."""

    def test_what_becomes_smaller_is_compressed(self, client: WebClient, page: Page) -> None:
        """For those who take it, under a tag of its own, and once for all."""
        plain = client.get("/app.js")
        answers = [client.get("/app.js", Accept_Encoding="br, gzip") for _ in range(2)]
        for answer in answers:
            assert answer.headers["content-encoding"] == "gzip"
            assert answer.headers["content-length"] == str(len(answer.body))
            assert answer.headers["vary"] == plain.headers["vary"]
            assert gzip.decompress(answer.body) == plain.body == APP.encode()
            assert len(answer.body) < len(plain.body)
            assert answer.headers["etag"] != plain.headers["etag"]
        assert "content-encoding" not in plain.headers
        app = page.get(b"app.js")
        assert app is not None
        assert app.compressed is app.compressed
        assert "content-encoding" not in client.get("/app.js", Accept_Encoding="gzip;q=0").headers

    @pytest.mark.parametrize(
        ("name", "size", "is_compressed"),
        [
            ("a.txt", 1000, True),
            ("a.json", 1000, True),
            ("a.svg", 1000, True),
            ("a.wasm", 1000, True),
            ("a.txt", 3, False),
            ("a.txt", 0, False),
            ("a.png", 1000, False),
            ("a.woff2", 1000, False),
            ("a.gz", 1000, False),
            ("a.txt", MAX_COMPRESSED, True),
            ("a.txt", MAX_COMPRESSED + 1, False),
        ],
    )
    def test_what_is_compressed(
        self, folder: Path, client: WebClient, name: str, size: int, is_compressed: bool
    ) -> None:
        """What is text of some kind, becomes smaller, and does not hold up everybody else."""
        (folder / name).write_bytes(b"x" * size)
        look_later(client)
        client.ask("GET", f"/{name}", Accept_Encoding="gzip")
        (answer,) = self.read_all(client)
        assert answer.status == 200
        assert (answer.headers.get("content-encoding") == "gzip") is is_compressed
        body = gzip.decompress(answer.body) if is_compressed else answer.body
        assert body == b"x" * size

    @pytest.mark.parametrize("path", ["/", "/app.js", "/hall/x/app.js", "/podium"])
    @pytest.mark.parametrize("encoding", ["identity", "gzip"])
    def test_what_the_client_has_is_not_sent_again(
        self, client: WebClient, path: str, encoding: str
    ) -> None:
        """The answer has what a cache needs to know, and neither a body nor its length."""
        accepted = {**HTML, "Accept_Encoding": encoding}
        full = client.get(path, **accepted)
        etag = full.headers["etag"]
        for known in (etag, f"W/{etag}", "*", f'"x", {etag}'):
            for method in ("GET", "HEAD"):
                answer = client.do(method, path, If_None_Match=known, **accepted)
                assert (answer.status, answer.body) == (304, b"")
                for name in ("etag", "cache-control", "vary"):
                    assert answer.headers[name] == full.headers[name]
                assert not {"content-length", "transfer-encoding"} & answer.headers.keys()
        other = client.get(path, If_None_Match='"x"', **accepted)
        assert (other.status, other.body) == (200, full.body)
        assert undated(other.headers) == undated(full.headers)
        assert not client.transport.disconnecting

    @pytest.mark.parametrize("path", ["/", "/app.js", "/hall/x/app.js", "/podium", "/big.txt"])
    @pytest.mark.parametrize("encoding", ["identity", "gzip"])
    def test_head_is_get_without_a_body(
        self, client: WebClient, folder: Path, path: str, encoding: str
    ) -> None:
        """Status and headers are the same, the length included."""
        (folder / "big.txt").write_bytes(b"x" * (3 * PIECE))
        accepted = {**HTML, "Accept_Encoding": encoding}
        client.ask("GET", path, **accepted)
        (full,) = self.read_all(client)
        head = client.do("HEAD", path, **accepted)
        assert (head.status, head.body) == (200, b"")
        assert undated(head.headers) == undated(full.headers)
        assert head.headers["content-length"] == str(len(full.body))

    @pytest.mark.parametrize("extra", [-1, 0, 1])
    @pytest.mark.parametrize("pieces", [1, 2, 40])
    def test_a_large_file_waits_for_its_reader(
        self, client: WebClient, folder: Path, log: list[LogEvent], pieces: int, extra: int
    ) -> None:
        """Never is more than a few pieces of it in the buffer of a client who takes nothing."""
        body = os.urandom(pieces * PIECE + extra)
        (folder / "big.bin").write_bytes(body)
        look_later(client)
        for _ in range(2):  # on the same connection
            client.ask("GET", "/big.bin")
            client._clock.advance(1)
            assert len(client.transport.buffer) < BUFFER + 2 * PIECE
            (answer,) = self.read_all(client)
            assert answer.body == body
            assert "transfer-encoding" not in answer.headers
        assert not client.transport.disconnecting

    def test_a_transport_may_have_it_go_on_at_once(self) -> None:
        """From within a write, as Twisted says that some do: all is sent once, and in order."""

        class Request:
            def __init__(self) -> None:
                self.written: list[bytes] = []
                self.calls: list[str] = []

            def registerProducer(self, producer: Any, streaming: bool) -> None:
                self.producer = producer

            def unregisterProducer(self) -> None:
                self.calls.append("unregistered")

            def write(self, data: bytes) -> None:
                self.written.append(data)
                self.producer.pauseProducing()
                self.producer.resumeProducing()

            def finish(self) -> None:
                self.calls.append("finished")

        request: Any = Request()
        body = os.urandom(3 * PIECE + 1)
        _Sending(request, body).begin()
        assert b"".join(request.written) == body
        assert request.calls == ["unregistered", "finished"]

    def test_a_reader_may_leave_in_the_middle(self, client: WebClient, folder: Path) -> None:
        """Which is nobody's trouble."""
        (folder / "big.bin").write_bytes(bytes(40 * PIECE))
        look_later(client)
        client.ask("GET", "/big.bin")
        with captured() as events:
            client.transport.take()
            client.vanish()
            client._clock.advance(1)
        assert events == []

    @staticmethod
    def read_all(client: WebClient) -> list[Answer]:
        """Read an answer that comes in pieces."""
        taken = b""
        while client.transport.buffer:
            taken += client.transport.take()
            client._clock.advance(0)
        client.transport.buffer += taken
        return client.read()


class TestEditing:
    """Somebody edits the files of their page, and loads it again."""

    def test_a_change_is_seen_a_second_later(self, client: WebClient, folder: Path) -> None:
        """Not before, since the folder is not looked at for each request."""
        assert client.get("/app.js").text == APP
        (folder / "app.js").write_text("changed")
        client._clock.advance(LOOK_AGAIN - 0.01)
        assert client.get("/app.js").text == APP
        client._clock.advance(0.01)
        assert client.get("/app.js").text == "changed"

    @pytest.mark.parametrize("path", ["/", "/app.js", "/hall/x/app.js", "/new.js"])
    def test_whatever_is_asked_for_has_it_looked_at(
        self, client: WebClient, folder: Path, page: Page, path: str
    ) -> None:
        """A file that is new as well."""
        before = page.version
        (folder / "new.js").write_text("new")
        client.get(path, **HTML)
        assert page.version != before
        (folder / "new.js").unlink()
        look_later(client)
        client.get(path, **HTML)
        assert page.version == before

    @pytest.mark.parametrize("path", ["/healthz", "/podium", "/strings?presence", "/api/x"])
    def test_what_is_not_for_it_has_nothing_looked_at(
        self, client: WebClient, page: Page, path: str
    ) -> None:
        """The disk is none of their business."""
        client._clock.advance(LOOK_AGAIN)
        before = page._look_after
        client.get(path, **HTML)
        assert page._look_after == before

    def test_the_same_size_and_a_file_that_replaces_it(
        self, client: WebClient, folder: Path
    ) -> None:
        """A change is seen by more than a size, and files may be moved into place."""
        assert client.get("/app.js").text == APP
        stat = (folder / "app.js").stat()
        (folder / "app.new").write_text(APP.upper())
        os.utime(folder / "app.new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        (folder / "app.new").replace(folder / "app.js")
        look_later(client)
        assert client.get("/app.js").text == APP.upper()

    def test_nothing_is_read_that_has_not_changed(
        self, client: WebClient, page: Page, folder: Path
    ) -> None:
        """However often it is asked for."""
        client.get("/app.js")
        before = page.get(b"app.js")
        for _ in range(3):
            look_later(client)
            client.get("/app.js")
        assert page.get(b"app.js") is before
        (folder / "app.js").touch()
        look_later(client)
        client.get("/app.js")
        assert page.get(b"app.js") is not before

    def test_a_page_that_is_gone_stays(self, client: WebClient, folder: Path) -> None:
        """In memory as it was, which is logged once, until it is back and is gone again."""
        client.get("/app.js")
        moved = folder.with_name("moved")
        with captured() as events:
            for count in (1, 2):
                folder.rename(moved)
                for _ in range(3):
                    look_later(client)
                    assert client.get("/app.js").text == APP
                (failed, *others) = named(events, "page-failed")
                assert len(others) + 1 == count
                assert failed["folder"] == str(folder)
                assert failed["reason"].startswith("No such file or directory; must be a folder")
                moved.rename(folder)
                look_later(client)
                assert client.get("/app.js").text == APP
        (folder / "app.js").write_text("back")
        look_later(client)
        assert client.get("/app.js").text == "back"

    def test_half_a_page_is_none(
        self, client: WebClient, folder: Path, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing of it is taken over, and it is not read again until something changes."""
        version = page.version
        (folder / "app.js").write_text("half")
        (folder / "index.html").rename(folder / "later")
        reads = []
        read = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read(path))
        with captured() as events:
            for _ in range(3):
                look_later(client)
                assert client.get("/app.js").text == APP
                assert client.get("/later").status == 426
        assert len(named(events, "page-failed")) == 1
        assert len(reads) == 3
        assert page.version == version
        (folder / "later").rename(folder / "index.html")
        look_later(client)
        assert client.get("/app.js").text == "half"

    def test_a_file_that_goes_while_it_is_read_is_just_not_there(
        self, client: WebClient, folder: Path, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An editor has saved, and removed what it had beside the file."""
        (folder / "4913").touch()
        read = Path.read_bytes

        def slow(path: Path) -> bytes:
            if path.name == "4913":
                path.unlink()
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", slow)
        with captured() as events:
            assert client.get("/app.js").text == APP
            assert client.get("/4913").status == 426
            look_later(client)
            assert client.get("/app.js").text == APP
        assert events == [] or not named(events, "page-failed")

    def test_the_folder_is_known_for_good(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve
    ) -> None:
        """Also when the process goes somewhere else, as twistd does."""
        monkeypatch.chdir(tmp_path)
        client = WebClient(serve(page=Page("page")))
        monkeypatch.chdir("/")
        (folder / "app.js").write_text("changed")
        assert client.get("/app.js").text == "changed"
