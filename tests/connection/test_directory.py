"""Whose clients are which."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from orchestra.connection.directory import Directory
from orchestra.hub import Hub
from orchestra.policy.grants import Grant
from orchestra.websocket.factory import OrchestraFactory
from tests.memory import MemoryClient, join
from tests.policy.asked import AskedPolicy


class Someone(SimpleNamespace):
    """Stands for a client."""

    __hash__ = object.__hash__


def test_clients_are_found_by_whose_they_are() -> None:
    """Until they are gone; nothing stays of an identity without clients."""
    directory = Directory()
    ann, again, bob, nobody, empty = clients = [
        Someone(identity=identity) for identity in ("ann", "ann", "bob", None, "")
    ]
    for client in clients:
        directory.add(client)
    assert set(directory.clients("ann")) == {ann, again}
    assert list(directory.clients("bob")) == [bob]
    assert list(directory.clients("")) == list(directory.clients("eve")) == []
    assert len(directory) == 2
    ann.identity = "bob"  # which an application may do: what counts is what it was
    while_looked_at = directory.clients("ann")
    for client in (ann, nobody, empty, nobody):
        directory.remove(client)
    assert set(while_looked_at) == {ann, again}
    assert list(directory.clients("ann")) == [again]
    for client in (again, bob):
        directory.remove(client)
    assert len(directory) == 0
    assert directory._clients == directory._identities == {}


def test_the_factory_knows_whose_clients_it_has(clock: Any) -> None:
    """Those who listen, by a WebSocket here; and those of whom it is not known."""
    policy = AskedPolicy(grant=Grant("ann"))
    factory = OrchestraFactory(Hub(), policy=policy, reactor=clock)

    def come(identity: str | None) -> MemoryClient:
        policy.grant = Grant(identity)
        return join(factory)

    clients = [come(identity) for identity in ("ann", "ann", None, "")]
    assert {c.client_id for c in factory.clients_of("ann")} == {
        client.server.client_id for client in clients[:2]
    }
    assert {c.client_id for c in factory.clients_of("")} == {
        client.server.client_id for client in clients[2:]
    }
    assert factory.identities == 1
    for client in clients:
        client.vanish()
    assert factory.identities == len(factory.clients_of("ann")) == len(factory.clients_of("")) == 0
