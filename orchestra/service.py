"""The server as a service: for an application of one's own, or for ``twistd``."""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from orchestra.accepting import endpoint_from_string, prepare
from orchestra.hub import Hub
from orchestra.websocket.factory import OrchestraFactory

GRACE = 10.0
"""How long clients may take to leave when the service stops, in seconds."""


class ListenError(Exception):
    """An endpoint cannot be listened on.

    :ivar endpoint: the endpoint.
    """

    def __init__(self, endpoint: IStreamServerEndpoint, reason: BaseException | None) -> None:
        super().__init__(str(reason) or type(reason).__name__)
        self.endpoint = endpoint


class OrchestraService(Service):
    """Listens while it runs, and sees its clients off when it stops.

    Without an endpoint it only does the latter, for a factory that is mounted in a web site.
    """

    _log = Logger()

    def __init__(
        self,
        hub: Hub | OrchestraFactory,
        *endpoints: str | IStreamServerEndpoint,
        grace: float = GRACE,
        reuse_port: bool = False,
        reactor: Any = None,
    ) -> None:
        """
        :param hub: the hub to serve, or a factory that serves one with other settings than the
            usual ones.
        :param endpoints: where to listen, as endpoints or as Twisted's endpoint strings.
        :param grace: how many seconds clients may take to leave when the service stops.
        :param reuse_port: whether other processes may listen on the same ports. The endpoints have
            to be strings then, each for a port; :class:`orchestra.accepting.SharedPorts` does the
            same for endpoints of other kinds.
        :param reactor: the global one by default.
        :raises ValueError: if an endpoint string cannot be understood, or a port cannot be shared.
        """
        if reactor is None:
            from twisted.internet import reactor
        self.setName("orchestra")
        if not isinstance(hub, OrchestraFactory):
            hub = OrchestraFactory(hub, reactor=reactor)
        self.factory = hub
        self.hub = hub.hub
        self.grace = grace
        if reuse_port and not all(isinstance(e, str) for e in endpoints):
            raise ValueError("reuse_port goes only with endpoints that are strings")
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
        """Let clients in; listen, unless that is done already.

        :raises ListenError: if that fails at once.
        """
        super().startService()
        self.factory.accepting = True
        if not self._listening:
            self._listen()

    def listening(self) -> Deferred[bool]:
        """Wait until it is known whether the service, once started, listens on all its endpoints.

        :returns: fires with whether it does.
        """
        return gatherResults(self._listening).addCallback(all)

    def stopService(self) -> Deferred[None]:
        """Listen no more, deliver what was published, and see the clients off.

        :returns: fires when the last client is gone, or was dropped when the grace was over.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def _listen(self) -> None:
        for endpoint in self._endpoints:
            listening = maybeDeferred(endpoint.listen, self.factory)
            if listening.called and isinstance(listening.result, Failure):
                failure = listening.result
                listening.addErrback(lambda _: None)
                raise ListenError(endpoint, failure.value)
            self._listening.append(listening.addCallbacks(self._opened, self._failed))

    def _opened(self, port: IListeningPort) -> IListeningPort:
        prepare(port, self.factory)
        self._log.info(
            "Listening on {address}", event="listening", address=_describe(port.getHost())
        )
        return port

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("An endpoint cannot be listened on", failure)

    async def _stop(self) -> None:
        listening, self._listening = self._listening, []
        for waiting in listening:
            waiting.cancel()
        ports = [await waiting for waiting in listening]
        await gatherResults([maybeDeferred(port.stopListening) for port in ports if port])
        await self.factory.drain(self.grace)
        self.factory.activity.flush()


def _describe(address: IAddress) -> str:
    if isinstance(address, (IPv4Address, IPv6Address)):
        host = f"[{address.host}]" if isinstance(address, IPv6Address) else address.host
        return f"{address.type.lower()} {host}:{address.port}"
    if isinstance(address, UNIXAddress) and address.name is not None:
        return f"unix {os.fsdecode(address.name)}"
    return str(address)
