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

from tests.end_to_end.server import Place

NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    upstream orchestra {{
        server {upstream};
        keepalive 1;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://orchestra;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            {version}
        }}
    }}
}}
"""

NGINX_USER = "user root;" if os.geteuid() == 0 else ""
"""Or its workers would be nobody, whom pytest's folders are closed to."""

HTTP_1_1 = """
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
"""
"""What nginx has to be told for WebSockets, and for connections to the server that it keeps."""

HTTP_1_0 = "proxy_http_version 1.0;"
"""What nginx speaks for as long as it is told nothing, up to version 1.29.6."""

HAPROXY = """
defaults
    mode http
    option forwardfor
    option abortonclose
    http-reuse always
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend public
    bind fd@{listener}
    default_backend orchestra
backend orchestra
    server orchestra {upstream}
"""
"""It would not notice that who listens to a stream has left before there is more to send, if it
were not told to."""

NGINX_TCP = "nginx"
NGINX_UNIX = "nginx to a UNIX socket"
NGINX_OLD = "nginx with HTTP/1.0"
HAPROXY_TCP = "HAProxy"

KEEPING = (NGINX_TCP, HAPROXY_TCP)
"""Those that keep TCP connections to the server for the next request, whosever it is."""

UPGRADING = (*KEEPING, NGINX_UNIX)
"""Those that let WebSockets through."""

PROXIES = (*UPGRADING, NGINX_OLD)


class Proxy(Place):
    """A proxy in processes of its own, which can be killed and started again.

    It listens on a socket of ours. So its port is there all the time, and whoever connects
    between its death and its next life waits.
    """

    def __init__(self, kind: str, folder: Path, port: int, path: str) -> None:
        """
        :param port: where it finds the server.
        :param path: the UNIX socket where it finds it as well.
        """
        is_nginx = kind != HAPROXY_TCP
        self._command = [_binary("nginx" if is_nginx else "haproxy")]
        self._command += ["-e", "stderr", "-c"] if is_nginx else ["-db", "-f"]
        self._command.append(f"{folder}/config")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        Path(folder, "config").write_text(self.config(kind, folder, port, path))
        self.start()

    def config(self, kind: str, folder: Path, port: int, path: str) -> str:
        """Its configuration."""
        return (HAPROXY if kind == HAPROXY_TCP else NGINX).format(
            folder=folder,
            listener=self.listener.fileno(),
            port=self.port,
            upstream=f"unix:{path}" if kind == NGINX_UNIX else f"127.0.0.1:{port}",
            user=NGINX_USER,
            version=HTTP_1_0 if kind == NGINX_OLD else HTTP_1_1,
        )

    def start(self) -> None:
        """Let it live."""
        listener = self.listener.fileno()
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, "NGINX": f"{listener};"},  # in which nginx looks for its sockets
            pass_fds=[listener],
            start_new_session=True,
        )

    def kill(self) -> None:
        """End it at once, with all its workers."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """End it for good."""
        if self._process.poll() is None:
            self.kill()
        self.listener.close()


def _binary(name: str) -> str:
    binary = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if binary is None:
        pytest.skip(f"{name} is not installed")
    return binary


@contextmanager
def proxying(kind: str, folder: Path, port: int, path: str = "") -> Iterator[Proxy]:
    """Run a proxy in front of the server until the block is left."""
    proxy = Proxy(kind, folder, port, path)
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
