"""Servers for sessions, of which nothing may stay."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.websocket.factory import OrchestraFactory

Serve = Callable[..., OrchestraFactory]


@pytest.fixture
def serve(clock: Clock, log: list[LogEvent]) -> Iterator[Serve]:
    """Make a factory; nothing of its clients stays in the end."""
    factories: list[OrchestraFactory] = []

    def serve(**options: Any) -> OrchestraFactory:
        hub = Hub(
            options.pop("retention", Retention(messages=100)),
            clock=clock.seconds,
            wall_clock=options.pop("wall_clock", clock.seconds),
            channels=options.pop("channels", {}),
            slow_reader=options.pop("slow_reader", "close"),
        )
        factories.append(OrchestraFactory(hub, reactor=clock, **options))
        return factories[-1]

    yield serve
    for factory in factories:
        for client in tuple(factory.clients):
            client.abort()
        nothing_is_left(factory)
    clock.pump([100, 600, 600])  # until nothing of the past is left either
    left = [call for call in clock.getDelayedCalls() if call.active()]
    assert left == []
    for factory in factories:
        if factory.encodings._known:
            gc.collect()
        assert not factory.encodings._known


@pytest.fixture
def server(serve: Serve) -> OrchestraFactory:
    """A server that lets everybody in."""
    return serve()


def nothing_is_left(factory: OrchestraFactory) -> None:
    """Nothing of a client is."""
    assert not factory.clients
    assert factory.countConnections == 0
    assert not factory.admission._per_address
    assert not any(factory.hub.channels().values())
    assert not factory.hub._watched
    assert not any(len(factory.hub.presence(name)) for name in factory.hub.channels())
    assert not factory.backpressure._held
    assert not factory.backpressure.full
