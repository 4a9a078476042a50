"""The server as a service: for an application of one's own, or for ``twistd``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from orchestra.accepting import endpoint_from_string, prepare
from orchestra.hub import Hub
from orchestra.tls import explain
from orchestra.websocket.factory import OrchestraFactory

GRACE = 10.0
"""How long clients may take to leave when the service stops, in seconds."""

DRAIN = 0.0
"""Over how many seconds clients are closed when the service stops. A client that is closed has
to have somewhere else to go, and who stops the server to be ready to wait: neither can be known
here."""


class ListenError(Exception):
    """An endpoint cannot be listened on.

    :ivar endpoint: the endpoint.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, reason: BaseException) -> None:
        super().__init__(explain(reason))
        self.endpoint = endpoint


class ListeningService(Service):
    """Listens while it runs."""

    _log = Logger()

    def __init__(
        self,
        listener: IProtocolFactory,
        endpoints: Iterable[str | IStreamServerEndpoint],
        reactor: Any,
        *,
        reuse_port: bool = False,
    ) -> None:
        """
        :param listener: what makes the protocols of the connections.
        :param endpoints: where to listen, as endpoints or as Twisted's endpoint strings.
        :param reuse_port: whether other processes may listen on the same ports. The endpoints have
            to be strings then.
        :raises ValueError: if an endpoint string cannot be understood, or a port cannot be shared.
        """
        if reuse_port and not all(isinstance(e, str) for e in endpoints):
            raise ValueError("reuse_port goes only with endpoints that are strings")
        self._listener = listener
        self._endpoints = [
            endpoint_from_string(reactor, e, reuse_port) if isinstance(e, str) else e
            for e in endpoints
        ]
        self._listening: list[Deferred[IListeningPort | None]] = []

    def privilegedStartService(self) -> None:
        """Listen, while there may still be the privileges that low ports need.

        :raises ListenError: if that fails at once, as it does when a port is taken.
        """
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """Listen, unless that is done already.

        :raises ListenError: if that fails at once.
        """
        super().startService()
        if not self._listening:
            self._listen()

    def listening(self) -> Deferred[bool]:
        """Wait until it is known whether the service, once started, listens on all its endpoints.

        :returns: fires with whether it does.
        """
        return gatherResults(self._listening).addCallback(all)

    def opened(self, port: IListeningPort) -> None:
        """Learn of a port that is listened on now."""
        raise NotImplementedError

    async def stop_listening(self) -> None:
        """Listen no more."""
        listening, self._listening = self._listening, []
        for waiting in listening:
            waiting.cancel()
        ports = [await waiting for waiting in listening]
        await gatherResults([maybeDeferred(port.stopListening) for port in ports if port])

    def _listen(self) -> None:
        for endpoint in self._endpoints:
            listening = maybeDeferred(endpoint.listen, self._listener)
            if listening.called and isinstance(listening.result, Failure):
                failure = listening.result
                listening.addErrback(lambda _: None)
                assert failure.value is not None
                raise ListenError(endpoint, failure.value)
            self._listening.append(listening.addCallbacks(self._opened, self._failed))

    def _opened(self, port: IListeningPort) -> IListeningPort:
        self.opened(port)
        return port

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("An endpoint cannot be listened on", failure)


class OrchestraService(ListeningService):
    """Listens while it runs, and sees its clients off when it stops.

    Without an endpoint it only does the latter, for a factory that is mounted in a web site.
    """

    def __init__(
        self,
        hub: Hub | OrchestraFactory,
        *endpoints: str | IStreamServerEndpoint,
        grace: float = GRACE,
        drain: float = DRAIN,
        reuse_port: bool = False,
        reactor: Any = None,
    ) -> None:
        """
        :param hub: the hub to serve, or a factory that serves one with other settings than the
            usual ones.
        :param endpoints: where to listen, as endpoints or as Twisted's endpoint strings.
        :param grace: how many seconds clients may take to leave when the service stops.
        :param drain: over how many seconds they are closed then, each at another time, while the
            endpoints are still listened on and whoever comes is told to go elsewhere; see
            :meth:`OrchestraFactory.drain`. With 0, nothing is listened on any more at once.
        :param reuse_port: whether other processes may listen on the same ports. The endpoints have
            to be strings then, each for a port; :class:`orchestra.accepting.SharedPorts` does the
            same for endpoints of other kinds.
        :param reactor: the global one by default.
        :raises ValueError: if an endpoint string cannot be understood, a port cannot be shared, or
            a drain is negative.
        """
        if not drain >= 0:
            raise ValueError(f"drain must be 0 or more, not {drain!r}")
        if reactor is None:
            from twisted.internet import reactor
        self.setName("orchestra")
        if not isinstance(hub, OrchestraFactory):
            hub = OrchestraFactory(hub, reactor=reactor)
        self.factory = hub
        self.hub = hub.hub
        self.grace = grace
        self.drain = drain
        super().__init__(hub, endpoints, reactor, reuse_port=reuse_port)

    def startService(self) -> None:
        """Let clients in; listen, unless that is done already.

        :raises ListenError: if that fails at once.
        """
        self.factory.accepting = True
        self._log.info("{access}", event="access", access=str(self.factory.access))
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Let nobody in, deliver what was published, see the clients off, and listen no more.

        :returns: fires when the last client is gone, or was dropped when the grace was over.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def opened(self, port: IListeningPort) -> None:
        """Make a port ready for many who come at once, and log where it is."""
        prepare(port, self.factory)
        self._log.info(
            "Listening on {address}", event="listening", address=describe(port.getHost())
        )

    async def _stop(self) -> None:
        if self.drain:  # before that, so that who asks is told
            await self.factory.drain(self.grace, self.drain)
        await self.stop_listening()
        await self.factory.drain(self.grace)
        self.factory.activity.flush()


def describe(address: IAddress) -> str:
    """An address that is listened on, for the log."""
    if isinstance(address, (IPv4Address, IPv6Address)):
        host = f"[{address.host}]" if isinstance(address, IPv6Address) else address.host
        return f"{address.type.lower()} {host}:{address.port}"
    if isinstance(address, UNIXAddress) and address.name is not None:
        return f"unix {os.fsdecode(address.name)}"
    return str(address)
