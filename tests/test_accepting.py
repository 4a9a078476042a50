"""How many connections come in at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Port

from orchestra.accepting import (
    FEW,
    MANY,
    QUEUE,
    NotSharedError,
    endpoint_from_string,
    prepare,
)
from orchestra.websocket.factory import OrchestraFactory
from tests.end_to_end.server import tls_endpoint
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


def tcp(folder: Path) -> str:
    return "tcp:0:interface=127.0.0.1"


def tcp6(folder: Path) -> str:
    return "tcp6:0:interface=\\:\\:1"


def ssl(folder: Path) -> str:
    return tls_endpoint(folder)[0]


@pytest.mark.parametrize("kind", [tcp, tcp6, ssl])
@pytest_twisted.inlineCallbacks
def test_a_port_is_shared(kind: Callable[[Path], str], tmp_path: Path) -> Any:
    """Those who say so can listen on the same port, and nobody else can; it is a port like any."""
    text = kind(tmp_path)
    first = yield endpoint_from_string(reactor, text, reuse_port=True).listen(Nobody())
    again = text.replace(":0:", f":{first.getHost().port}:", 1)
    second = yield endpoint_from_string(reactor, again, reuse_port=True).listen(Nobody())
    assert first.getHost() == second.getHost()
    assert isinstance(second, Port)
    with pytest.raises(CannotListenError):
        yield endpoint_from_string(reactor, again).listen(Nobody())
    yield first.stopListening()
    yield second.stopListening()


@pytest.mark.parametrize("text", ["unix:/tmp/a", "stdio:"])
def test_what_is_no_port_cannot_be_shared(text: str) -> None:
    """Whoever asks for that is told, instead of two processes that get in each other's way."""
    endpoint_from_string(reactor, text)
    with pytest.raises(NotSharedError, match="only a port: tcp:, tcp6: or ssl:"):
        endpoint_from_string(reactor, text, reuse_port=True)
