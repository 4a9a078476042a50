"""How many connections come in at a time."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Port

from orchestra.accepting import FEW, MANY, QUEUE, prepare
from orchestra.websocket.factory import OrchestraFactory
from tests.memory import join


class Waiting:
    """A listening socket behind which more connections wait than can be accepted."""

    def __init__(self) -> None:
        self.accepted = 0
        self.queue: int | None = None

    def listen(self, queue: int) -> None:
        self.queue = queue

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        self.accepted += 1
        return socket.socket(), ("127.0.0.1", 1)


class Nobody(Factory):
    """Lets nobody in."""

    def buildProtocol(self, addr: IPv4Address) -> Protocol | None:
        return None


@pytest.fixture
def port(clock: Clock) -> Port:
    port = Port(0, Nobody(), reactor=clock)
    port.socket = Waiting()
    port.numberAccepts = 100
    return port


def test_there_is_an_end_to_accepting(port: Port, clock: Clock) -> None:
    """Few at a time while somebody plays, more while nobody would wait; never ever more."""
    factory = OrchestraFactory(reactor=clock)
    prepare(port, factory)

    def accepted() -> int:
        before = port.socket.accepted
        port.doRead()
        return port.socket.accepted - before

    assert [accepted() for _ in range(5)] == [MANY] * 5
    client = join(factory)
    client.send("hello")
    assert [accepted() for _ in range(5)] == [FEW] * 5
    clock.advance(1)
    assert accepted() == MANY
    client.vanish()


@pytest.mark.parametrize(("chosen", "queue"), [(50, QUEUE), (10, None), (100, None)])
def test_the_queue_is_long(port: Port, clock: Clock, chosen: int, queue: int | None) -> None:
    """Unless its length was chosen, which Twisted's default was not."""
    port.backlog = chosen
    prepare(port, OrchestraFactory(reactor=clock))
    assert port.socket.queue == queue


def test_it_is_still_a_port(port: Port, clock: Clock) -> None:
    """All else of it is as it was; what is no port is left alone."""
    prepare(port, OrchestraFactory(reactor=clock))
    assert isinstance(port, Port)
    assert type(port).__name__ == "Port"
    other = object()
    prepare(other, OrchestraFactory(reactor=clock))
    assert type(other) is object
