"""Where Prometheus comes to ask: ``/metrics``, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

PATH = b"metrics"

TIMEOUT = 75.0
"""How many seconds a connection may be idle, or an answer wait to be read."""


class _Collected(Collector):
    """What was collected already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class MetricsResource(Resource):
    """Answers with all metrics, as text.

    What the reactor's thread changes is read there, at once. The rest is done in another thread:
    to count the open files of a server with thousands of clients takes many milliseconds. Who asks
    while that is going on is answered together with all the others that do, so that many who ask
    at once cost no more than two.
    """

    _log = Logger()

    def __init__(
        self,
        here: Collector,
        elsewhere: CollectorRegistry,
        in_thread: Callable[..., Deferred[bytes]] = deferToThread,
    ) -> None:
        """
        :param here: is asked in the reactor's thread.
        :param elsewhere: is asked in another one.
        :param in_thread: calls a function with an argument there.
        """
        super().__init__()
        self._here = here
        self._elsewhere = elsewhere
        self._in_thread = in_thread
        self._waiting: set[Request] = set()
        self._is_busy = False

    def render_GET(self, request: Request) -> int:
        """Answer, when it is done; that is for HEAD as well."""
        self._waiting.add(request)
        request.notifyFinish().addErrback(lambda _: self._waiting.discard(request))
        if not self._is_busy:
            self._is_busy = True
            Deferred.fromCoroutine(self._answer_all())
        return NOT_DONE_YET

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                asked = frozenset(self._waiting)
                answer = await self._collect()
                for request in asked & self._waiting:  # without those that are gone
                    self._waiting.remove(request)
                    _answer(request, *answer)
        finally:
            self._is_busy = False

    async def _collect(self) -> tuple[int, str, bytes]:
        # The status, the type and the body of an answer.
        try:
            collected = _Collected(self._here.collect())
            text = await self._in_thread(self._written, collected)
        except Exception:  # of a collector that an application has registered
            self._log.failure("The metrics cannot be collected", Failure())
            return 500, "text/plain; charset=utf-8", b"internal server error\n"
        return 200, CONTENT_TYPE_LATEST, text

    def _written(self, collected: Collector) -> bytes:
        return generate_latest(collected) + generate_latest(self._elsewhere)


def _answer(request: Request, status: int, content_type: str, text: bytes) -> None:
    request.setResponseCode(status)
    request.setHeader("Content-Type", content_type)
    request.setHeader("Content-Length", str(len(text)))
    request.write(text)
    request.finish()


class _Request(Request):
    """A request whose body is thrown away: none means anything here."""

    def gotLength(self, length: int | None) -> None:
        """Begin with a body, of which nothing will come."""
        super().gotLength(0)

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body."""


class MetricsSite(Site):
    """A site with nothing but ``/metrics``."""

    noisy = False

    def __init__(self, metrics: MetricsResource, reactor: Any) -> None:
        root = Resource()
        root.putChild(PATH, metrics)
        super().__init__(root, requestFactory=_Request, timeout=TIMEOUT, reactor=reactor)
        self.displayTracebacks = False

    def log(self, request: Any) -> None:
        """Keep no log of requests."""
