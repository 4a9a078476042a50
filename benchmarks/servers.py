"""Our server and its peers: how each is started, and how one gets it if it is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.system import children, cores

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"
NGINX_MODULES = Path("/usr/lib/nginx/modules")
FROM_NPM = "npm install --prefix benchmarks/peers --no-package-lock"
FROM_DEBIAN = "apt-get install nginx libnginx-mod-nchan"
PINGS = "pings"
"""It pings its clients."""
SDKS = "SDKs"
"""It speaks the Centrifuge protocol as well."""
PATIENCE = 15.0
"""How long a server may take to listen, in seconds."""


class MissingError(Exception):
    """A server that is not installed; the message says how to get it."""


@dataclass(frozen=True)
class Server:
    """A server that can be measured."""

    name: str
    """What it is called on the command line."""

    label: str
    """What it is called in the table and the plots."""

    command: Callable[[int, Path], Sequence[str]]
    """The command that runs it on a port, with a folder for its files; raises
    :class:`MissingError`."""

    version: Callable[[], str]
    """Which version would run."""

    has: frozenset[str] = frozenset()
    """What it can do that not every server can: :data:`PINGS`, :data:`SDKS`."""


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    port: int
    pid: int
    """The process that does the work."""


def _orchestra(port: int, folder: Path) -> Sequence[str]:
    place = f"tcp:{port}:interface=127.0.0.1"
    # Compression is for those who offer it; the clients of the load do not.
    return sys.executable, "-m", "twisted", "orchestra", "--listen", place, "--compress"


def _python(script: str, module: str) -> Callable[[int, Path], Sequence[str]]:
    def command(port: int, folder: Path) -> Sequence[str]:
        if importlib.util.find_spec(module) is None:
            raise MissingError(f"pip install {module}")
        return sys.executable, str(PEERS / script), str(port)

    return command


def _node(port: int, folder: Path) -> Sequence[str]:
    node = shutil.which("node")
    if node is None:
        raise MissingError("apt-get install nodejs npm")
    if not (PEERS / "node_modules" / "ws").exists():
        raise MissingError(FROM_NPM)
    return node, str(PEERS / "node_ws.mjs"), str(port)


def _bun(port: int, folder: Path) -> Sequence[str]:
    bun = PEERS / "node_modules" / ".bin" / "bun"
    if not bun.exists():
        raise MissingError(FROM_NPM)
    return str(bun), str(PEERS / "bun_publish.js"), str(port)


def _nchan(port: int, folder: Path) -> Sequence[str]:
    nginx = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if nginx is None or not (NGINX_MODULES / "ngx_nchan_module.so").exists():
        raise MissingError(FROM_DEBIAN)
    configuration = folder / "nginx.conf"
    template = (PEERS / "nchan.conf").read_text()
    configuration.write_text(template.format(port=port, folder=folder, modules=NGINX_MODULES))
    return nginx, "-e", "stderr", "-c", str(configuration)


def _package(name: str) -> Callable[[], str]:
    def found() -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "unknown"

    return found


def _said_by(*command: str) -> Callable[[], str]:
    def found() -> str:
        said = subprocess.run(command, capture_output=True, text=True, cwd=PEERS)
        return (said.stdout + said.stderr).strip().rpartition(" ")[2]

    return found


SERVERS = {
    server.name: server
    for server in (
        Server(
            "orchestra", "Orchestra", _orchestra, _package("orchestra"), frozenset({PINGS, SDKS})
        ),
        Server(
            "node",
            "Node ws",
            _node,
            _said_by("node", "-p", "require('ws/package.json').version"),
        ),
        Server("bun", "Bun", _bun, _said_by("node_modules/.bin/bun", "--version")),
        Server(
            "websockets",
            "websockets",
            _python("websockets_broadcast.py", "websockets"),
            _package("websockets"),
        ),
        Server(
            "autobahn",
            "Autobahn",
            _python("autobahn_broadcast.py", "autobahn"),
            _package("autobahn"),
        ),
        Server("nchan", "nchan", _nchan, _said_by("/usr/sbin/nginx", "-v")),
    )
}
ORIGINAL = "node"
"""The server that ratios are taken to."""


def missing(server: Server) -> str | None:
    """How to get a server that is not installed; ``None`` if it is."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            server.command(0, Path(folder))
        except MissingError as error:
            return str(error)
    return None


@contextmanager
def running(server: Server) -> Iterator[Running]:
    """Run a server on a core of its own until the block is left.

    :raises MissingError: if it is not installed.
    :raises TimeoutError: if it does not listen in time.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)  # nginx gives up its rights before it makes its own folders
        process = subprocess.Popen(
            server.command(port, folder),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, cores()[0]),
        )
        try:
            _wait_until_listening(process, port)
            workers = children(process.pid)
            yield Running(port, workers[0] if workers else process.pid)
        finally:
            process.terminate()
            try:
                process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                for pid in (*children(process.pid), process.pid):
                    os.kill(pid, 9)
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            time.sleep(0.1)  # to be done with that
            return
    raise TimeoutError("it does not listen")
