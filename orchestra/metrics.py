"""Metrics for Prometheus, as a service beside the one that they are of."""

from __future__ import annotations

from typing import Any

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint

from orchestra.observe.collector import OrchestraCollector
from orchestra.observe.lag import ReactorLag
from orchestra.observe.scraping import MetricsResource, MetricsSite
from orchestra.service import ListeningService, describe
from orchestra.websocket.factory import OrchestraFactory


def endpoint_string(text: str) -> str:
    """The endpoint string that is meant: digits alone are a port of this machine only."""
    is_port = text.isascii() and text.isdigit()
    return f"tcp:{text}:interface=127.0.0.1" if is_port else text


class MetricsService(ListeningService):
    """Tells whoever asks for ``/metrics`` what a factory and its hub count, and of the process.

    It has a port of its own, since what it tells is for operators and not for clients. Who may
    ask is not its business: listen where only they can connect.
    """

    def __init__(
        self,
        factory: OrchestraFactory,
        endpoint: str | IStreamServerEndpoint,
        *,
        reactor: Any = None,
    ) -> None:
        """
        :param factory: whose metrics they are.
        :param endpoint: where to listen, as an endpoint or as Twisted's endpoint string; digits
            alone are a port on 127.0.0.1.
        :param reactor: the global one by default.
        :raises ValueError: if the endpoint string cannot be understood.
        """
        if reactor is None:
            from twisted.internet import reactor
        self.registry = CollectorRegistry()
        """What else is told: of the process, and what an application registers here. Its
        collectors are asked in a thread of their own, not in the reactor's."""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._lag = ReactorLag(reactor)
        resource = MetricsResource(OrchestraCollector(factory, self._lag.seen), self.registry)
        if isinstance(endpoint, str):
            endpoint = endpoint_string(endpoint)
        super().__init__(MetricsSite(resource, reactor), [endpoint], reactor)
        self.setName("metrics")

    def startService(self) -> None:
        """Listen, unless that is done already, and begin to measure the reactor.

        :raises ListenError: if that fails at once.
        """
        super().startService()
        self._lag.start()

    def stopService(self) -> Deferred[None]:
        """Listen no more. Who has asked is still answered.

        :returns: fires when nobody listens any more.
        """
        super().stopService()
        self._lag.stop()
        return Deferred.fromCoroutine(self.stop_listening())

    def opened(self, port: IListeningPort) -> None:
        """Log where the metrics are."""
        self._log.info(
            "Metrics are on {address}", event="metrics", address=describe(port.getHost())
        )
