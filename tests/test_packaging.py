"""What is installed, by each of the ways to install it."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import orchestra

# Downloading and building may take their time.
pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parent.parent
INSTALLED = """
import orchestra, pathlib
package = pathlib.Path(orchestra.__file__).parent
assert (package / "py.typed").exists(), "no type information"
assert orchestra.OrchestraFactory().page is not None, "no page"
print(package)
"""


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that nothing is built in the project's own folder."""
    folder = tmp_path_factory.mktemp("checkout") / "orchestra"
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def built(checkout: Path) -> Path:
    """The folder with the sdist and the wheel that is built from it."""
    run(sys.executable, "-m", "build", cwd=checkout)
    return checkout / "dist"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """A fresh virtual environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    (wheel,) = built.glob("*.whl")
    run(folder / "bin" / "pip", "install", wheel, cwd=folder)
    return folder


def install_again(fresh: Path, *what: str | Path) -> None:
    """Replace what is installed, its dependencies aside."""
    pip = fresh / "bin" / "pip"
    run(pip, "uninstall", "--yes", "orchestra", cwd=fresh)
    assert not list(fresh.rglob("orchestra_plugin.py")), "the uninstallation left the plugin"
    run(pip, "install", "--no-deps", *what, cwd=fresh)


def check(fresh: Path) -> str:
    """Look at an installation from outside the project, and say where the package is."""
    for command in (["bin/twistd", "--help"], ["bin/python", "-m", "twisted", "--help"]):
        listed = run(fresh / command[0], *command[1:], cwd=fresh)
        assert any(line.split()[:1] == ["orchestra"] for line in listed.splitlines()), listed
    version = run(fresh / "bin" / "twistd", "orchestra", "--version", cwd=fresh)
    assert version == f"Orchestra {orchestra.__version__}\n"
    return run(fresh / "bin" / "python", "-c", INSTALLED, cwd=fresh).strip()


def test_the_wheel(fresh: Path) -> None:
    """From a wheel, in a fresh environment, twistd has the command."""
    assert check(fresh).startswith(str(fresh))


def test_the_sdist(fresh: Path, built: Path) -> None:
    """The source distribution has all that it takes."""
    (sdist,) = built.glob("*.tar.gz")
    install_again(fresh, sdist)
    assert check(fresh).startswith(str(fresh))


def test_the_sdist_has_what_operators_copy(built: Path) -> None:
    """The units, the configurations of proxies and the Dockerfile are in it."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"deploy/{path.name}" for path in (ROOT / "deploy").iterdir()} <= files


def test_every_image_of_the_readme_is_there(built: Path) -> None:
    """In the repository and in the sdist."""
    images = re.findall(r"^\.\. image:: (.+)$", (ROOT / "README.rst").read_text(), re.MULTILINE)
    assert images
    assert [name for name in images if not (ROOT / name).is_file()] == []
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert set(images) <= {name.partition("/")[2] for name in archive.getnames()}


def test_all_files_of_the_hall_are_in_both(built: Path) -> None:
    """What browsers are shown is no Python, and is there all the same, to the last file."""
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    hall = {path.relative_to(ROOT).as_posix() for path in (ROOT / "orchestra/hall").rglob("*")}
    assert hall <= set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        assert hall <= {name.partition("/")[2] for name in archive.getnames()}


def test_the_folder(fresh: Path, checkout: Path) -> None:
    """So has ``pip install .``."""
    install_again(fresh, checkout)
    assert check(fresh).startswith(str(fresh))


def test_editable(fresh: Path, checkout: Path) -> None:
    """An editable install runs the project's own files, the plugin among them."""
    install_again(fresh, "--editable", checkout)
    assert check(fresh) == str(checkout / "orchestra")


def test_every_package_is_named() -> None:
    """setup.cfg names the packages one by one: none is forgotten."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = config["options"]["packages"].split()
    there = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "orchestra").rglob("__init__.py")
    }
    assert sorted(named) == sorted({*there, "twisted.plugins"})


def test_twisted_stays_whole() -> None:
    """A package file beside the plugin would hide Twisted, or the plugin, without a word."""
    assert [str(path.relative_to(ROOT)) for path in (ROOT / "twisted").rglob("*.py")] == [
        "twisted/plugins/orchestra_plugin.py"
    ]
