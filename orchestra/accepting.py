"""How a port accepts connections: a long queue, a few of it at a time, and with whom it shares."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.tcp import Port
from twisted.protocols.tls import TLSMemoryBIOFactory

from orchestra.websocket.factory import OrchestraFactory

QUEUE = 4096
"""How many connections may wait to be accepted; more is up to the kernel's own limit."""

FEW = 2
"""How many connections a port accepts in a turn of the reactor while messages are played."""

MANY = 64
"""How many it accepts in a turn while there are none to wait for that."""

_DEFAULT_QUEUE = 50


def prepare(port: Any, factory: OrchestraFactory) -> None:
    """Make a port ready for many who come at once, and for those who must not wait for them.

    Twisted's queue is so short that most of them would be dropped, and come again a second or
    more later. And its ports accept as long as somebody connects, and allow themselves more each
    time that they did not come to an end: whoever connects as fast as that can stop everything
    else. That number is set after each turn, so that it takes a class in which it cannot be set.

    :param port: what an endpoint listens on; one that is not Twisted's own is left alone, and so
        is a queue whose length was chosen.
    """
    if not isinstance(port, Port):
        return
    if port.backlog == _DEFAULT_QUEUE:
        port.socket.listen(QUEUE)
    number = property(lambda _: FEW if factory.activity.is_played else MANY, lambda *_: None)
    kind = type(port)
    port.__class__ = type(kind.__name__, (kind,), {"numberAccepts": number})


class NotSharedError(ValueError):
    """There is no port at an endpoint that processes could share."""


class SharedPorts:
    """Stands for the reactor where an endpoint listens on a port that processes are to share.

    ::

        endpoint = SSL4ServerEndpoint(SharedPorts(reactor), 8443, certificate)

    It can do nothing but that, so that an endpoint without a port fails.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """Listen as :meth:`IReactorTCP.listenTCP` does."""
        shared = _SharedPort(port, factory, backlog, interface, self._reactor)
        shared.startListening()
        return shared

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """Listen as :meth:`IReactorSSL.listenSSL` does."""
        wrapped = TLSMemoryBIOFactory(contextFactory, False, factory)
        return self.listenTCP(port, wrapped, backlog, interface)


class _SharedPort(Port):
    def createInternetSocket(self) -> socket.socket:
        created: socket.socket = super().createInternetSocket()
        created.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return created


def endpoint_from_string(
    reactor: Any, description: str, reuse_port: bool = False
) -> IStreamServerEndpoint:
    """An endpoint by Twisted's string for it.

    :param reuse_port: whether other processes of the same user may listen on the same port, if
        all of them say so (``SO_REUSEPORT``, socket(7)). Linux spreads the connections over them.
    :raises ValueError: if the string cannot be understood.
    :raises NotSharedError: if processes cannot share what it stands for.
    """
    ports = SharedPorts(reactor) if reuse_port else reactor
    try:
        endpoint: IStreamServerEndpoint = serverFromString(ports, description)
    except LookupError:
        if description.startswith("systemd:"):  # Twisted tells only the index, or the name
            raise ValueError("systemd has handed over no such socket") from None
        raise
    if reuse_port and not isinstance(
        endpoint, (TCP4ServerEndpoint, TCP6ServerEndpoint, SSL4ServerEndpoint)
    ):
        raise NotSharedError("processes can share only a port: tcp:, tcp6: or ssl:")
    return endpoint
