"""What may stand between a client and the server: nginx, HAProxy, and a relay of our own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.server import Place, Server

DEPLOY = Path(__file__).parents[2] / "deploy"
"""Where the configurations are that the documentation shows, and that are run here."""

NGINX_USER = "user root;" if os.geteuid() == 0 else ""
"""Or its workers would be nobody, whom pytest's folders are closed to."""

NGINX_TCP = "nginx"
NGINX_UNIX = "nginx to a UNIX socket"
NGINX_OLD = "nginx with HTTP/1.0"
"""What nginx speaks for as long as it is told nothing, up to version 1.29.6."""
HAPROXY_TCP = "HAProxy"

KEEPING = (NGINX_TCP, HAPROXY_TCP)
"""Those that keep TCP connections to the server for the next request, whosever it is."""

UPGRADING = (*KEEPING, NGINX_UNIX)
"""Those that let WebSockets through."""

PROXIES = (*UPGRADING, NGINX_OLD)

# What is a comment unless there are several servers.
_SHARING = {
    NGINX_TCP: {"# hash $uri": "hash $uri", "# server 127.0.0.1:8081": "server 127.0.0.1:8081"},
    HAPROXY_TCP: {
        "# balance uri": "balance uri",
        "# hash-type": "hash-type",
        "# server another": "server another",
    },
}


class Proxy(Place):
    """A proxy in processes of its own, which can be killed and started again.

    It listens on a socket of ours. So its port is there all the time, and whoever connects
    between its death and its next life waits.
    """

    def __init__(self, kind: str, folder: Path, port: int, path: str, another: int) -> None:
        """
        :param port: where it finds the server.
        :param path: the UNIX socket where it finds it as well.
        :param another: where there is another server, for some of the channels; 0 for nowhere.
        """
        is_nginx = kind != HAPROXY_TCP
        self._command = [_binary("nginx" if is_nginx else "haproxy")]
        self._command += ["-e", "stderr", "-g", "daemon off;", "-c"] if is_nginx else ["-db", "-f"]
        self._command.append(f"{folder}/config")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        Path(folder, "config").write_text(self.config(kind, folder, port, path, another))
        self.start()

    def config(self, kind: str, folder: Path, port: int, path: str, another: int) -> str:
        """Its configuration."""
        if kind == HAPROXY_TCP:
            changes = self._haproxy(port)
        else:
            upstream = f"unix:{path}" if kind == NGINX_UNIX else f"127.0.0.1:{port}"
            changes = self._nginx(folder, upstream, is_old=kind == NGINX_OLD)
        if another:
            changes |= _SHARING[kind]
            changes["127.0.0.1:8081"] = f"127.0.0.1:{another}"
        text = (DEPLOY / ("haproxy.cfg" if kind == HAPROXY_TCP else "nginx.conf")).read_text()
        return _changed(text, changes)

    def start(self) -> None:
        """Let it live."""
        listener = self.listener.fileno()
        process = subprocess.Popen(
            self._command,
            env={**os.environ, "NGINX": f"{listener};"},  # in which nginx looks for its sockets
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[listener],
            start_new_session=True,
        )
        self.output = Server(process)
        """Its processes, as far as they write logs."""

    def _nginx(self, folder: Path, upstream: str, is_old: bool) -> dict[str, str]:
        paths = "".join(
            f"{kind}_temp_path {folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        changes = {
            "user www-data;": NGINX_USER,
            "worker_processes auto;": "",
            "/run/nginx.pid": f"{folder}/nginx.pid",
            "/var/log/nginx/error.log": "/dev/stdout",
            "/var/log/nginx/access.log": "/dev/stdout",
            "http {": f"http {{ {paths}",
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            "listen [::]:80;": "",
            "server 127.0.0.1:8080;": f"server {upstream};",
        }
        if is_old:
            changes["proxy_http_version 1.1;"] = "proxy_http_version 1.0;"
            changes["proxy_set_header Upgrade $http_upgrade;"] = ""
            changes["proxy_set_header Connection $connection_upgrade;"] = ""
        return changes

    def _haproxy(self, port: int) -> dict[str, str]:
        return {
            "log /dev/log local0": "log stdout format raw local0",
            "user haproxy": "",
            "group haproxy": "",
            "chroot /var/lib/haproxy": "",
            "bind :::80 v4v6": f"bind fd@{self.listener.fileno()}",
            "server orchestra 127.0.0.1:8080": f"server orchestra 127.0.0.1:{port}",
        }

    def kill(self) -> None:
        """End it at once, with all its workers."""
        os.killpg(self.output.process.pid, signal.SIGKILL)
        self.output.ended()
        assert self.output.process.stdout is not None
        self.output.process.stdout.close()

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self.listener.close()


def _binary(name: str) -> str:
    binary = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if binary is None:
        pytest.skip(f"{name} is not installed")
    return binary


def _changed(text: str, changes: dict[str, str]) -> str:
    # What is shown, with nothing changed but where things are, and for whom they are.
    for shown, run in changes.items():
        assert text.count(shown) == 1, f"it has {shown!r} {text.count(shown)} times"
        text = text.replace(shown, run)
    return text


@contextmanager
def proxying(
    kind: str, folder: Path, port: int, path: str = "", another: int = 0
) -> Iterator[Proxy]:
    """Run a proxy in front of the server, or of two, until the block is left."""
    proxy = Proxy(kind, folder, port, path, another)
    try:
        yield proxy
    finally:
        proxy.close()


class Relay(Place):
    """Passes on whatever comes to a port of its own, and can cut the connections at any byte."""

    def __init__(self, target: Place) -> None:
        """
        :param target: where it is passed on to; it may be replaced.
        """
        self.target = target
        self._lock = threading.Lock()
        self._is_shut = False
        self._ends: set[socket.socket] = set()
        handler = type("Handler", (_RelayHandler,), {"relay": self})
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def shut(self) -> None:
        """Cut all connections, and those that come from now on."""
        with self._lock:
            self._is_shut = True
            for end in self._ends:
                _cut(end)

    def open(self) -> None:
        """Let connections be again."""
        with self._lock:
            self._is_shut = False

    def cut(self) -> None:
        """Cut the connections that there are."""
        self.shut()
        self.open()

    def close(self) -> None:
        """End it for good."""
        self.shut()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def join(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on between both ends of a connection until one of them is closed, or cut."""
        ends = {client, server}
        with self._lock:
            if self._is_shut:
                return
            self._ends |= ends
        back = threading.Thread(target=_pass_on, args=(server, client))
        back.start()
        _pass_on(client, server)
        back.join()
        with self._lock:
            self._ends -= ends


class _RelayHandler(socketserver.BaseRequestHandler):
    relay: Relay
    request: Any

    def handle(self) -> None:
        with (
            suppress(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", self.relay.target.port)) as server,
        ):
            self.relay.join(self.request, server)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    _cut(source)
    _cut(sink)


def _cut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relaying(target: Place) -> Iterator[Relay]:
    """Run a relay until the block is left."""
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.close()
