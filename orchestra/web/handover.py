"""How a connection goes from one protocol to another."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper


def hand_over(transport: Any, protocol: Protocol) -> None:
    """Have a transport deliver to another protocol from now on, and connect that.

    Whoever had the transport before has unregistered its producer.
    """
    if isinstance(transport, ProtocolWrapper):  # TLS, a proxy's protocol
        transport.wrappedProtocol = protocol
    elif isinstance(transport.protocol, ProtocolWrapper):  # TLS that began later
        transport.protocol.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    protocol.makeConnection(transport)
    transport.resumeProducing()  # whoever had it may have wanted nothing more to come
