"""The service manager that a process tells how it is."""

from __future__ import annotations

import socket


class Systemd:
    """The other end of ``NOTIFY_SOCKET``."""

    def __init__(self, address: str) -> None:
        """
        :param address: a path, or with an @ in front a name in the abstract namespace.
        """
        self.environ = {"NOTIFY_SOCKET": address}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address[0] == "@" else address)

    def told(self) -> list[str]:
        """What it was told since it was last asked, message by message."""
        self._socket.settimeout(0)
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def hear(self, patience: float) -> str:
        """Wait for the next message.

        :param patience: for how many seconds.
        :raises TimeoutError: if there is none by then.
        """
        self._socket.settimeout(patience)
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        """Be gone."""
        self._socket.close()
