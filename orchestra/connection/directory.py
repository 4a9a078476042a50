"""Whose clients are which."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestra.connection.client import Client


class Directory:
    """The clients by their identities. Its length is the number of different identities.

    What counts is the identity that a client has when it comes. One without any costs nothing.
    """

    __slots__ = ("_clients", "_identities")

    def __init__(self) -> None:
        self._clients: dict[str, set[Client]] = {}
        self._identities: dict[Client, str] = {}

    def __len__(self) -> int:
        """How many identities there are."""
        return len(self._clients)

    def clients(self, identity: str) -> Collection[Client]:
        """The clients of one identity, as they are now."""
        return tuple(self._clients.get(identity, ()))

    def add(self, client: Client) -> None:
        """A client has come."""
        if client.identity:
            self._identities[client] = client.identity
            self._clients.setdefault(client.identity, set()).add(client)

    def remove(self, client: Client) -> None:
        """A client is gone."""
        identity = self._identities.pop(client, None)
        if identity is not None:
            clients = self._clients[identity]
            clients.remove(client)
            if not clients:
                del self._clients[identity]
