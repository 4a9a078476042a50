"""The image, as far as it can be had without Docker: its steps, in a folder of their own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.server import ANY_PORT, PATIENCE, Server, started

# Downloading and building may take their time.
pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
IN_IMAGE = "/opt/orchestra"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, each with what follows it."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / "deploy" / "Dockerfile").read_text(), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line]


def only(name: str) -> str:
    (found,) = (rest for instruction, rest in instructions() if instruction == name)
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands in the image, built from nothing but what is copied into the first stage."""
    source, built = tmp_path_factory.mktemp("src"), tmp_path_factory.mktemp("image")
    for instruction, rest in instructions():
        if instruction == "COPY" and not rest.startswith("--from"):
            *names, target = rest.split()
            for name in names:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / target)
                else:
                    shutil.copy(ROOT / name, source / target)
    steps = only("RUN").replace(IN_IMAGE, str(built)).replace("python -m", f"{sys.executable} -m")
    ended = subprocess.run(steps, shell=True, cwd=source, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    shutil.rmtree(source)
    return built


def command(image: Path, text: str) -> list[str]:
    """A command of the Dockerfile, with where things are instead of where they would be."""
    (vector,) = re.findall(r"\[.*\]", text)  # as a list, without a shell between
    return [part.replace(IN_IMAGE, str(image)) for part in json.loads(vector)]


def is_healthy(image: Path, server: Server) -> bool:
    """What Docker would find when it asks a server."""
    check = command(image, only("HEALTHCHECK"))
    assert check[-1].count("8080") == 1
    check[-1] = check[-1].replace("8080", str(server.port))
    proxies = {"http_proxy": "http://127.0.0.1:1"}  # as it may be set for all containers
    return subprocess.run(check, env=proxies, timeout=PATIENCE).returncode == 0


def test_only_what_is_copied_goes_to_docker() -> None:
    """.dockerignore lets through what the Dockerfile copies, all of which is there."""
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY"]
    sources = {name for names in copied for name in names if "--from=build" not in names}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == sources
    assert all((ROOT / name).exists() for name in sources)


def test_the_last_stage_has_no_compiler_and_no_root() -> None:
    """It begins with a slim image, only copies, and its user is a number other than 0."""
    names = [name for name, _ in instructions()]
    last = instructions()[len(names) - names[::-1].index("FROM") - 1 :]
    assert last[0][1].startswith("python:")
    assert "-slim" in last[0][1]
    assert "RUN" not in dict(last)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", dict(last)["USER"])


def test_it_serves_and_is_healthy(image: Path, tmp_path: Path) -> None:
    """Options go behind the entry point; SIGTERM ends it in good order; then it is not healthy."""
    run = [*command(image, only("ENTRYPOINT")), *ANY_PORT]
    with started(run, tmp_path) as server:
        server.wait_until_listening()
        assert json.loads(server.log[-1])["event"] == "listening"
        assert is_healthy(image, server)
        with server.connect() as client:
            client.send("hello")
            assert client.recv(timeout=PATIENCE) == "Echo: hello"
        assert server.stop() == 0
        assert not is_healthy(image, server)
    assert "plugin cache" not in server.text


def test_it_notes_the_plugins_when_it_is_built(image: Path) -> None:
    """The user that runs it may not write, and would be told so in the log each time."""
    assert list(image.rglob("dropin.cache"))
