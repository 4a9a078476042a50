"""The house as it is planned: what may import what, and what must not be there."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "orchestra"
CORE = (
    "position",
    "message",
    "interfaces",
    "history",
    "pieces",
    "settings",
    "counters",
    "presence",
    "subscriber",
    "head",
    "channel",
    "listener",
    "hub",
)
# From the top to the bottom; each may import only from those behind it, and from its own kind.
FLOORS = (
    ("tap",),
    ("options",),
    ("config",),
    ("values",),
    ("process", "systemd"),
    ("metrics",),
    ("memory",),
    ("service", "accepting", "client"),
    ("websocket",),
    ("web",),
    ("session",),
    ("connection",),
    ("observe", "dialects", "urls", "policy", "tls"),
    ("refusal",),
    ("hub",),
    ("listener", "channel"),
    ("subscriber", "head", "history", "pieces", "presence", "settings", "counters"),
    ("interfaces",),
    ("message",),
    ("position",),
)


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def imports(path: Path) -> set[str]:
    """The modules that a module imports when it runs; those for types alone do not count."""

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    return set(walk(ast.parse(path.read_text())))


def floor(module: str) -> int:
    """How far down a module is."""
    room = module.split(".")[1]
    (number,) = (n for n, rooms in enumerate(FLOORS) if room in rooms)
    return number


@pytest.mark.parametrize("name", CORE)
def test_the_core_does_no_io(name: str) -> None:
    """It knows neither Twisted nor Autobahn, nor sockets, threads or files."""
    allowed = {"__future__", "bisect", "collections", "dataclasses", "functools", "itertools"}
    allowed |= {
        "heapq",
        "json",
        "logging",
        "math",
        "operator",
        "orchestra",
        "re",
        "secrets",
        "time",
        "typing",
    }
    allowed |= {"unicodedata", "zope"}
    found = {module.split(".")[0] for module in imports(PACKAGE / f"{name}.py")}
    assert found <= allowed


@pytest.mark.parametrize(("module", "path"), [m for m in modules() if "__init__" not in m[0]])
def test_imports_run_downwards(module: str, path: Path) -> None:
    """A module imports only from its own floor and from those below."""
    for imported in imports(path):
        if imported.startswith("orchestra."):
            assert floor(module) <= floor(imported), f"{module} imports {imported}"


def test_every_module_has_its_floor_and_its_docstring() -> None:
    """A new module finds its place in the plan, and says what it is."""
    for module, path in modules():
        if "__init__" not in module:
            floor(module)
        assert ast.get_docstring(ast.parse(path.read_text())), module


def test_importing_installs_no_reactor() -> None:
    """An application can still choose its reactor after it has imported the public names."""
    code = "import sys, orchestra; print('twisted.internet.reactor' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


def test_the_public_names_are_there() -> None:
    """What the package says it offers, it offers, with a docstring each."""
    import orchestra

    for name in orchestra.__all__:
        assert getattr(orchestra, name).__doc__, name
