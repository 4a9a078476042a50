"""What systemd is told of the process: ready, alive, stopping (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

BEAT = 10.0
"""How often the status is told where no watchdog asks for more, in seconds."""


class Notifier:
    """Tells the service manager that started the process how it is.

    Without ``NOTIFY_SOCKET`` in the environment it does nothing, and a message that cannot be sent
    never disturbs the server. It knows what to say, and leaves it to its caller when.
    """

    _log = Logger()

    def __init__(self, clock: Any, environ: Mapping[str, str] = os.environ) -> None:
        """
        :param clock: the reactor. The watchdog hears of it for as long as it turns.
        :param environ: where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are found.
        """
        self._environ = environ
        self._is_heard = True
        self._is_ready = False
        self._status: Callable[[], str] = str
        self._beats = LoopingCall(self._beat)
        self._beats.clock = clock
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # in the abstract namespace (unix(7))
            self._address = "\0" + self._address[1:]
        if self._address:
            # Open for good, so that a beat needs no file when there are none left.
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    def ready(self, status: Callable[[], str]) -> None:
        """Say that the process serves, and from now on again and again that it lives.

        :param status: gives one line about how it is, for whoever asks systemd.
        """
        if self._address:
            self._is_ready = True
            self._status = status
            self._send("READY=1", f"STATUS={status()}")
            self._beats.start(self._watchdog / 2 or BEAT, now=False)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that the process reads its files anew, until the block is left.

        One that is not ready yet, or is about to end, does not become ready by that.
        """
        if self._is_ready:
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if self._is_ready:
                self._send("READY=1")

    def stopping(self) -> None:
        """Say that the process is about to end. It goes on saying that it lives until it does."""
        self._is_ready = False
        self._send("STOPPING=1")

    @property
    def _watchdog(self) -> float:
        # After how many seconds without a beat it bites; 0 for never (sd_watchdog_enabled(3)).
        pid = str(os.getpid())
        microseconds = self._environ.get("WATCHDOG_USEC", "")
        if self._environ.get("WATCHDOG_PID", pid) != pid or not microseconds.isdecimal():
            return 0
        return int(microseconds) / 1e6

    def _beat(self) -> None:
        alive = ["WATCHDOG=1"] if self._watchdog else []
        self._send(*alive, f"STATUS={self._status()}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
            self._is_heard = True
        except OSError as error:
            if self._is_heard:
                self._log.warn("systemd cannot be told anything: {error}", error=str(error))
            self._is_heard = False
