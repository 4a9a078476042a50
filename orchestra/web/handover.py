"""How a connection goes from one protocol to another."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper

from orchestra.refusal import RefusedError
from orchestra.web.http_channel import WebChannel


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


def check_connection(channel: Any) -> None:
    """Make sure that an HTTP channel has a connection that can be taken over.

    :raises RefusedError: if it has none, as with HTTP/2.
    """
    if channel.transport is None:
        raise RefusedError(426, "this needs HTTP/1.1 here: there is no connection to take over")


def place_of(channel: Any) -> str | None:
    """The place of its address that a connection of the server's own site has."""
    place: str | None = getattr(channel, "place", None)
    return place


def take_over(channel: Any, protocol: Protocol) -> None:
    """Have a protocol go on with the connection of an HTTP channel."""
    if isinstance(channel, WebChannel):
        channel.place = None  # the protocol has it now
        transport = channel.give_up_transport(protocol)
    else:
        transport, channel.transport = channel.transport, None
        # The site's HTTP channel is the transport's producer; the client's protocol is to be.
        transport.unregisterProducer()
    hand_over(transport, protocol)
