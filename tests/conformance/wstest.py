"""Finding ``wstest``, the suite's program, which runs with Python 2.7 only, or installing it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = ROOT / ".venv-conformance"
"""Where it is installed if it is not there."""

VERSION = "25.10.1"
"""What is installed, of the package ``autobahntestsuite``."""

# The last one that makes environments of Python 2.7, whichever Python runs it.
_VIRTUALENV = "virtualenv==20.21.1"

_NAMES = ("python2.7", "python2", "pypy2.7", "pypy2", "pypy")
_ANSWER_WITHIN = 60.0
_INSTALL_WITHIN = 300.0


class MissingError(Exception):
    """There is no ``wstest``; the message says what was tried."""


@dataclass(frozen=True)
class Wstest:
    """A ``wstest`` that runs."""

    path: Path
    version: str


def without_python(**more: str) -> dict[str, str]:
    """The environment for a program of another Python: without what is meant for this one."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, **more}


def _said_by(*command: str | Path) -> str | None:
    # What a command prints; None if it cannot be run, or fails.
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_ANSWER_WITHIN,
            env=without_python(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None


def tried(path: Path) -> Wstest | None:
    """A ``wstest``, if it runs and says which one it is."""
    path = path.absolute()
    for line in (_said_by(path, "-a") or "").splitlines():
        name, _, version = line.partition(" ")
        if name == "AutobahnTestSuite":
            return Wstest(path, version)
    return None


def on_path(*names: str) -> Iterator[Path]:
    """All programs of these names on the ``PATH``: the first one may be a shim without a program
    behind it."""
    for name in names:
        for folder in os.get_exec_path():
            if found := shutil.which(name, path=folder):
                yield Path(found)


def pythons() -> Iterator[Path]:
    """What may be a Python 2.7: on the ``PATH``, and among those of pyenv."""
    yield from on_path(*_NAMES)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob("versions/2.7*/bin/python2.7"))


def running(candidates: Iterable[Path]) -> Iterator[Path]:
    """Those that are a Python 2.7, by what they say when they are run."""
    seen = set()
    for candidate in candidates:
        code = "import sys; print('%d.%d %s' % (sys.version_info[:2] + (sys.executable,)))"
        version, _, program = (_said_by(candidate, "-c", code) or "").strip().partition(" ")
        if version == "2.7" and program not in seen:
            seen.add(program)
            yield Path(program)


def install(python: Path, environment: Path) -> None:
    """Make an environment of Python 2.7 with the suite in it.

    :raises MissingError: if that fails; nothing of it is left then.
    """

    def run(*command: str | Path, env: dict[str, str]) -> None:
        subprocess.run(
            command, env=env, check=True, capture_output=True, text=True, timeout=_INSTALL_WITHIN
        )

    pip = ("-m", "pip", "--disable-pip-version-check", "install")
    try:
        with tempfile.TemporaryDirectory() as tools:
            ours = {**os.environ, "PYTHONPATH": tools}
            run(sys.executable, *pip, "--target", tools, _VIRTUALENV, env=ours)
            virtualenv = (sys.executable, "-m", "virtualenv", "--clear", "--python", python)
            run(*virtualenv, environment, env=ours)
        suite = f"autobahntestsuite=={VERSION}"
        run(environment / "bin" / "python", *pip, suite, env=without_python())
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(environment, ignore_errors=True)
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise MissingError(f"{python} is there, but not what it takes: {said[-1]}") from None


def find(
    given: Path | None = None,
    environment: Path = ENVIRONMENT,
    candidates: Iterable[Path] | None = None,
    tell: Callable[[str], None] = print,
) -> Wstest:
    """The ``wstest`` that is given; else the one on the ``PATH``; else that of the environment,
    which is made if it is not there.

    :param candidates: what may be a Python 2.7; by default what :func:`pythons` finds.
    :param tell: is told when something is installed.
    :raises MissingError: if there is none.
    """
    if given is not None:
        if found := tried(given):
            return found
        raise MissingError(f"{given} does not run")
    for path in on_path("wstest"):
        if found := tried(path):
            return found
    program = environment / "bin" / "wstest"
    if (found := tried(program)) and found.version == VERSION:
        return found
    failures = []
    for python in running(pythons() if candidates is None else candidates):
        tell(f"Installing autobahntestsuite {VERSION} for {python} in {environment} ...")
        try:
            install(python, environment)
        except MissingError as error:
            failures.append(str(error))
            continue
        if found := tried(program):
            return found
        failures.append(f"{program} has been installed, but does not run")
    raise MissingError("; ".join(failures) or "wstest is not installed, nor is Python 2.7")
