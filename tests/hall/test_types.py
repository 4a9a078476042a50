"""What holds for all files of the hall: types, what the CSP wants of them, and their size."""

from __future__ import annotations

import gzip
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.end_to_end.server import PATIENCE
from tests.hall.files import HALL

FILES = sorted(HALL.iterdir())
MODULES = [file for file in FILES if file.suffix == ".js"]
PAGES = [file for file in FILES if file.suffix == ".html"]

COMPILE = (
    *("--strict", "--checkJs", "--allowJs", "--noEmit", "--skipLibCheck"),
    *("--target", "es2022", "--module", "es2022", "--lib", "es2022,dom,dom.iterable"),
)

# What a Content-Security-Policy with Trusted Types would refuse, or what would be unsafe without.
UNSAFE = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|parseFromString|srcdoc"
    r"|createContextualFragment|eval|new Function|document\.write(ln)?"
    r"|setAttribute\(\s*[\"'`](style|on\w*))\b"
)
IMPORT = re.compile(r"(?:\bfrom|\bimport)\s*\(?\s*[\"']([^\"']*)[\"']")


def test_types(node_folder: Path, tmp_path: Path) -> None:
    """They are said, and right, everywhere: all that is wrong is what is so on purpose."""
    wrong = tmp_path / "wrong.js"
    wrong.write_text("/** @param {string} text */\nexport const length = (text) => text * 2;\n")
    compiler = node_folder / "node_modules/typescript/bin/tsc"
    command = ["node", compiler, *COMPILE, *MODULES, wrong]
    run = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE)
    errors = run.stdout.splitlines()
    assert len(errors) == 1, run.stdout + run.stderr
    assert "wrong.js(2,33): error TS2362" in errors[0]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module(module: Path) -> None:
    """It makes no HTML and no code of text, and all that it imports is a module beside it."""
    text = module.read_text()
    assert not (found := UNSAFE.search(text)), found
    for name in IMPORT.findall(text):
        assert name.startswith("./"), name
        assert HALL / name in MODULES, name


def faults(text: str) -> list[str]:
    """What is not in the style of CONTRIBUTING.rst, as far as that is easily told."""
    lines = text.splitlines()
    long = [f"line {number} is too long" for number, line in enumerate(lines, 1) if len(line) > 99]
    return long + (["all is checked anyway"] if "@ts-check" in text else [])


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_the_style(module: Path) -> None:
    """No line is longer than Python's may be, and no file asks for the checks that all have."""
    assert faults(module.read_text()) == []


class Elements(HTMLParser):
    """What a page has that a Content-Security-Policy without anything inline refuses."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.named: list[str] = []
        self._inside = ""
        self.feed(page.read_text())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        self.refused += [name for name in names if name == "style" or name.startswith("on")]
        self.refused += [tag] if tag == "style" or (tag == "script" and "src" not in names) else []
        self.refused += [tag] if tag in ("base", "iframe", "object", "embed") else []
        self.refused += [name for name in names if name in ("action", "formaction")]
        self.named += [
            value or ""
            for name, value in attrs
            if (name == "src" or (tag == "link" and name == "href"))
        ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page(page: Path) -> None:
    """Nothing is inline, nothing foreign, and all files that it names are there."""
    elements = Elements(page)
    assert elements.refused == []
    for name in elements.named:
        assert name.startswith("hall/{version}/"), name
        assert HALL / name.removeprefix("hall/{version}/") in FILES, name


def test_what_is_refused_is_found(tmp_path: Path) -> None:
    """Or the tests above would prove nothing."""
    page = tmp_path / "page.html"
    page.write_text(
        "<style>p {}</style><script>1</script><script src=x></script><p style='a' onclick=b>"
        "<iframe src=y></iframe><link href=z><form action=q>"
    )
    elements = Elements(page)
    assert sorted(elements.refused) == ["action", "iframe", "onclick", "script", "style", "style"]
    assert elements.named == ["x", "y", "z"]
    for text in ("a.innerHTML = b", "eval(a)", "new Function(a)", "a.setAttribute('onclick', b)"):
        assert UNSAFE.search(text), text
    assert len(faults("// @ts-check\n" + "é" * 99 + "\n" + "x" * 100)) == 2
    code = "import 'a'; import {b} from \"c\"; export * from 'd'; await import('e')"
    assert IMPORT.findall(code) == ["a", "c", "d", "e"]


def test_the_size() -> None:
    """All of it is small, as it goes over the network."""
    sizes = {file.name: len(gzip.compress(file.read_bytes())) for file in FILES}
    assert sum(sizes.values()) < 100_000, sizes
