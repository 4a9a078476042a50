"""Servers whose clients are seen off at the end, and of which nothing stays then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from twisted.internet.task import Clock

from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.websocket.factory import OrchestraFactory

Serve = Callable[..., OrchestraFactory]


@pytest.fixture
def serve(clock: Clock) -> Iterator[Serve]:
    """Make a factory with settings of its own; those of its hub are a dictionary ``hub``."""
    factories = []

    def serve(hub: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> OrchestraFactory:
        settings = {"retention": Retention(messages=100), "clock": clock.seconds, **hub}
        factories.append(OrchestraFactory(Hub(**settings), reactor=clock, **options))
        return factories[-1]

    yield serve
    for factory in factories:
        for channel in tuple(factory.site.channels):
            channel.transport.abortConnection()
        for client in tuple(factory.clients):
            client.abort()
        assert not factory.clients
        assert factory.countConnections == 0
        assert len(factory.admission._per_address) == 0
        assert factory.hub._watched == {}
    clock.pump([100, 600, 600])  # until nothing of the past is left either
    assert [call for call in clock.getDelayedCalls() if call.active()] == []


@pytest.fixture
def factory(serve: Serve) -> OrchestraFactory:
    return serve()
