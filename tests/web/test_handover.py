"""A transport goes from one protocol to another, whatever is around it."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from orchestra.web.handover import hand_over
from tests.memory import MemoryTransport


class Receiver(Protocol):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


def wrapped(before: Receiver) -> tuple[Any, Any]:
    """A connection within TLS, or something like it, and that around it."""
    wrapper: Any = ProtocolWrapper(WrappingFactory(Factory()), before)
    outer = MemoryTransport(wrapper)
    wrapper.makeConnection(outer)
    return wrapper, outer


def test_a_plain_transport_delivers_to_another() -> None:
    """Which is connected to it then."""
    before, after = Receiver(), Receiver()
    transport = MemoryTransport(before)
    hand_over(transport, after)
    transport.protocol.dataReceived(b"hello")
    assert (before.received, after.received) == (b"", b"hello")
    assert after.transport is transport


def test_a_wrapper_delivers_to_another() -> None:
    """What is around it stays as it is."""
    before, after = Receiver(), Receiver()
    wrapper, outer = wrapped(before)
    hand_over(wrapper, after)
    outer.protocol.dataReceived(b"hello")
    assert outer.protocol is wrapper
    assert (before.received, after.received) == (b"", b"hello")
    assert after.transport is wrapper


def test_a_transport_whose_protocol_is_wrapped_delivers_to_another() -> None:
    """TLS that begins on a connection puts itself between the two."""
    before, after = Receiver(), Receiver()
    wrapper, outer = wrapped(before)
    hand_over(outer, after)
    outer.protocol.dataReceived(b"hello")
    assert outer.protocol is wrapper
    assert (before.received, after.received) == (b"", b"hello")
    assert after.transport is outer
