"""What ``twistd orchestra`` and ``python -m twisted orchestra`` run."""

from __future__ import annotations

from twisted.application.service import IService
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint

from orchestra.hub import Hub
from orchestra.memory import needs_of
from orchestra.metrics import MetricsService
from orchestra.observe.runner_log import log_is_hidden, log_observer
from orchestra.options import Options
from orchestra.policy.origins import SAME
from orchestra.process import ProcessService
from orchestra.service import ListenError, OrchestraService
from orchestra.tls import explain
from orchestra.websocket.factory import OrchestraFactory

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """Make the service that the options ask for."""
    from twisted.internet import reactor

    hub = Hub(
        options["retention"],
        slow_reader=options["slow-reader"],
        channels=options["channels"],
        counted_apart=options["metrics-channels"],
    )
    factory = OrchestraFactory(
        hub,
        prefix=options["prefix"],
        max_message_size=options["max-message-size"],
        max_connections=options["max-connections"],
        max_buffered=options["max-buffered"],
        compress=bool(options["compress"]),
        origins=options["origin"] or [SAME],
        trusted_proxies=options["trusted-proxy"],
        max_connections_per_address=options["max-connections-per-address"],
        max_subscriptions=options["max-subscriptions"],
        max_message_rate=options["max-message-rate"],
        message_burst=options["message-burst"],
        handshake_timeout=options["handshake-timeout"],
        close_timeout=options["close-timeout"],
        ping_interval=options["ping-interval"],
        ping_timeout=options["ping-timeout"],
        policy=options["policy"],
        api_keys=options["api-keys"],
        log_notes=options["log-notes"] == "on",
        page=options["page-shown"],
    )
    endpoints: dict[IStreamServerEndpoint, str] = options["endpoints"]
    service = OrchestraService(factory, *endpoints, grace=options["grace"], drain=options["drain"])

    for_metrics: dict[IStreamServerEndpoint, str] = options["metrics-endpoints"]

    def say(error: ListenError) -> str:
        words = {**endpoints, **for_metrics}[error.endpoint]
        return f"orchestra: {words}: {explain(error)}; must be a place that is free to listen on"

    observer = log_observer(options["log-format"], options.parent, options["log-level"])
    files = [*options["certificates"], options["token-keys"], options["api-keys"]]
    root = ProcessService(
        reactor,
        say,
        observer,
        log_is_hidden(options.parent),
        needs_of(factory, tls=any(isinstance(e, SSL4ServerEndpoint) for e in endpoints)),
        [file.reload for file in files if file is not None],
    )
    for endpoint in for_metrics:  # before the other, so that it stops after it
        MetricsService(factory, endpoint).setServiceParent(root)
    service.setServiceParent(root)
    return root
