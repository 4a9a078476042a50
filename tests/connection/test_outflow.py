"""The way out of a connection: at once, in chunks, or later."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from orchestra.connection.outflow import (
    BUFFER,
    CHUNK,
    UNSENT,
    Outflow,
    limit_unsent,
    sends_at_once,
)
from orchestra.websocket.factory import OrchestraFactory
from tests.memory import MemoryTransport


class Poller:
    """What a connection asks of a reactor: whether it wants to write."""

    def __init__(self) -> None:
        self.writers: set[Connection] = set()

    def addWriter(self, connection: Connection) -> None:
        self.writers.add(connection)

    def removeWriter(self, connection: Connection) -> None:
        self.writers.discard(connection)

    def addReader(self, connection: Connection) -> None:
        pass

    def removeReader(self, connection: Connection) -> None:
        pass


class Line:
    """A real connection of Twisted's over a pair of sockets, polled by the test."""

    def __init__(self, before: bytes = b"", protocol: Protocol | None = None) -> None:
        """
        :param before: what somebody has written to the connection already.
        :param protocol: a protocol that has an outflow of its own; by default there is one here.
        """
        self.poller = Poller()
        ours, self.peer = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        self.peer.setblocking(False)
        self.transport: Any = Connection(ours, protocol or Protocol(), self.poller)
        self.transport.getPeer = lambda: IPv4Address("TCP", "127.0.0.1", 50000)
        self.transport.connected = 1
        self.transport.write(before)
        self.events: list[str] = []
        if protocol is not None:
            protocol.makeConnection(self.transport)
            return
        self.outflow = Outflow(
            self.transport,
            lambda: self.events.append("filled"),
            lambda: self.events.append("drained"),
        )

    def read(self) -> bytes:
        """What has come to the other end."""
        data = b""
        while True:
            try:
                piece = self.peer.recv(1 << 20)
            except BlockingIOError:
                return data
            if not piece:
                return data
            data += piece

    def read_all(self) -> bytes:
        """Read, and have the connection write, until there is nothing more."""
        data = self.read()
        while self.poller.writers:
            self.transport.doWrite()
            data += self.read()
        return data

    @property
    def held(self) -> int:
        """How many bytes the transport holds."""
        return len(self.transport.dataBuffer) + self.transport._tempDataLen

    def close(self) -> None:
        self.transport.getHandle().close()
        self.peer.close()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


def test_it_is_the_transports_producer(line: Line) -> None:
    """It provides what the transport asks of a producer."""
    assert verifyObject(IPushProducer, line.outflow)
    assert line.transport.producer is line.outflow


def test_what_the_socket_takes_is_sent_at_once(line: Line) -> None:
    """Nothing is buffered, and the reactor is not asked to write."""
    line.outflow.write(b"hello")
    assert line.peer.recv(100) == b"hello"
    assert not line.poller.writers


def test_what_is_buffered_goes_first() -> None:
    """What others wrote before there was an outflow is sent before what it writes."""
    line = Line(before=b"first, ")
    line.outflow.write(b"second")
    assert line.read() == b""
    assert line.read_all() == b"first, second"
    line.outflow.write(b", third")
    assert line.read() == b", third"
    line.close()


def test_nothing_overtakes_the_handshake(clock: Clock) -> None:
    """A client whose connection has something to send before it hears what is played after it."""
    factory = OrchestraFactory(reactor=clock)
    protocol: Any = factory.buildProtocol(None)
    line = Line(before=b"first, ", protocol=protocol)
    protocol.dataReceived(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert factory.clients == {protocol}
    for note in (b"a", b"b"):
        factory.broadcast(note)
        clock.advance(0)
    assert line.read() == b""
    sent = line.read_all()
    assert sent.startswith(b"first, HTTP/1.1 101 ")
    assert sent.endswith(b"\r\n\r\n\x81\x07Echo: a\x81\x07Echo: b")
    factory.broadcast(b"c")
    clock.advance(0)
    assert line.read() == b"\x81\x07Echo: c"
    protocol.connectionLost(Failure(ConnectionDone()))
    line.close()


def test_it_is_full_as_soon_as_the_socket_is(line: Line) -> None:
    """Whoever has no room for all of a write is given nothing more before it has drained."""
    send = line.outflow.send
    assert send is not None
    while not line.outflow.full:
        line.outflow.write(b"x" * 1000)
    assert line.events == ["filled"]
    assert line.held <= 1000
    assert line.read_all()
    assert line.events == ["filled", "drained"]
    assert send(b"room again") == 10


def test_a_full_transport_holds_little_of_a_large_message(line: Line) -> None:
    """The rest waits as a view of the one object that all clients share."""
    message = b"x" * 1_000_000
    line.outflow.write(message)
    assert line.outflow.full
    assert line.events == ["filled"]
    assert line.held <= line.outflow.holds == CHUNK
    (rest,) = line.outflow._waiting
    assert isinstance(rest, memoryview)
    assert rest.obj is message
    assert line.read_all() == message
    assert line.events[-1] == "drained"
    assert not line.outflow.full
    assert not line.outflow._waiting


def test_control_frames_come_between_messages(line: Line) -> None:
    """What is written while half a message waits is sent behind it, in its order."""
    message = b"x" * 1_000_000
    line.outflow.write(message)
    line.outflow.write(b"pong")
    line.outflow.write(b"close")
    assert line.read_all() == message + b"pongclose"


def test_closing_waits_for_what_is_to_be_sent(line: Line) -> None:
    """The connection is lost behind the last byte, not in the middle of a message."""
    message = b"x" * 1_000_000
    line.outflow.write(message)
    line.outflow.close()
    assert not line.transport.disconnecting
    assert line.read_all() == message
    assert line.transport.disconnecting
    assert line.transport.producer is None
    assert line.events == ["filled"] * line.events.count("filled")


def test_closing_with_nothing_to_send_is_done_at_once(line: Line) -> None:
    """The transport itself sends what it still holds."""
    line.outflow.close()
    assert line.transport.disconnecting
    assert line.transport.producer is None


def test_a_broken_connection_is_left_to_the_reactor(line: Line) -> None:
    """Writing to a peer that is gone raises nothing; the reactor finds out by itself."""
    line.peer.close()
    line.outflow.write(b"hello")
    assert line.poller.writers == {line.transport}
    assert isinstance(line.transport.doWrite(), Exception)


def test_when_the_transport_is_gone_nothing_is_kept(line: Line) -> None:
    """What was waiting for it is let go of."""
    line.outflow.write(b"x" * 1_000_000)
    line.outflow.stopProducing()
    assert not line.outflow._waiting


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 200_000), st.booleans()), max_size=12))
def test_every_byte_is_sent_once_and_in_order(steps: list[tuple[int, bool]]) -> None:
    """Whatever is written, and however it is read in between."""
    line = Line()
    try:
        written, read = b"", b""
        for number, (size, reads) in enumerate(steps):
            data = bytes([number]) * size
            line.outflow.write(data)
            written += data
            if reads:
                read += line.read()
                if line.poller.writers:
                    line.transport.doWrite()
        assert read + line.read_all() == written
    finally:
        line.close()


def test_only_plain_connections_send_at_once(line: Line) -> None:
    """TLS encrypts what it is given, and a wrapper does what it wants with it."""
    assert sends_at_once(line.transport)
    wrapper = ProtocolWrapper(WrappingFactory(ServerFactory()), Protocol())
    wrapper.makeConnection(line.transport)
    assert wrapper.getHandle() is line.transport.getHandle()
    assert not sends_at_once(wrapper)
    line.transport.TLS = True
    assert not sends_at_once(line.transport)


def test_other_transports_get_it_in_chunks() -> None:
    """One that only has a method to write never holds much more than its bound."""
    protocol = Protocol()
    transport = MemoryTransport(protocol)
    outflow = Outflow(transport, lambda: None, lambda: None)
    message = b"x" * 1_000_000
    outflow.write(message)
    assert outflow.full
    assert len(transport.buffer) <= outflow.holds == BUFFER + CHUNK
    taken = b""
    while data := transport.take():
        assert len(data) <= BUFFER + CHUNK
        taken += data
    assert taken == message


def test_the_kernel_holds_little_that_is_unsent() -> None:
    """Of a TCP connection, wrapped or not; other kinds of sockets are left as they are."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        transport: Any = Connection(ours, Protocol(), Poller())
        wrapper = ProtocolWrapper(WrappingFactory(ServerFactory()), Protocol())
        wrapper.makeConnection(transport)
        limit_unsent(wrapper)
        option = (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        assert ours.getsockopt(*option) == UNSENT
        assert theirs.getsockopt(*option) != UNSENT
    limit_unsent(MemoryTransport(Protocol()))
