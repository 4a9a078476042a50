"""The numbers that the podium shows."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from msgspec.json import encode
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

from orchestra.observe.collector import OrchestraCollector
from orchestra.policy.access import AccessRequest
from orchestra.policy.addresses import address_of
from orchestra.policy.api_keys import SCHEME
from orchestra.policy.origins import check_own_site
from orchestra.policy.overview import check_overview
from orchestra.refusal import RefusedError
from orchestra.web.answers import answer_json
from orchestra.web.visit import Visit, serve

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

FRESH = 0.5
"""For how many seconds all who ask are told the same."""

BUSIEST = 20
"""How many channels are told of one by one."""

LOOKED_AT = 10_000
"""At how many channels is looked for these."""

_METHODS = "GET, HEAD"

_HEADERS = {
    "Cache-Control": "no-store",  # also of a refusal: it does not hold for the next who asks
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Numbers:
    """What a server measures, as JSON. It measures nothing: it asks whom the metrics ask."""

    def __init__(self, factory: OrchestraFactory) -> None:
        self._factory = factory
        self._collector = OrchestraCollector(factory)
        # Counters of another process have nothing to do with these.
        self._server = secrets.token_hex(4)
        self._told: tuple[float, bytes] | None = None

    def read(self) -> bytes:
        """All numbers, at the most :data:`FRESH` seconds old."""
        now = self._factory.reactor.seconds()
        if self._told is None or not 0 <= now - self._told[0] < FRESH:
            self._told = now, encode(self._now(now))
        return self._told[1]

    def _now(self, now: float) -> dict[str, Any]:
        samples = [
            {"name": sample.name, "labels": sample.labels, "value": sample.value}
            for family in self._collector.collect()
            if family.type != "histogram"
            for sample in family.samples
        ]
        busiest = [each._asdict() for each in self._factory.hub.busiest(BUSIEST, LOOKED_AT)]
        return {"server": self._server, "time": now, "samples": samples, "busiest": busiest}


class PodiumResource(Resource):
    """The numbers of a factory, for whoever may see what all of its channels are called.

    It does not decide who that is: :mod:`orchestra.policy.overview` does.
    """

    isLeaf = True

    def __init__(self, factory: OrchestraFactory) -> None:
        super().__init__()
        self._factory = factory
        self._numbers = Numbers(factory)

    def render(self, request: Request) -> int | bytes:
        """Serve a request."""
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        access = self._factory.access
        challenge = SCHEME if access.policy is None else access.challenge
        return serve(self._factory, request, self._answer, allow=_METHODS, challenge=challenge)

    async def _answer(self, visit: Visit) -> bytes:
        check_own_site(visit.headers)
        await self._check(visit)
        if visit.request.method not in (b"GET", b"HEAD"):
            raise RefusedError(405, f"the method must be one of {_METHODS}")
        return answer_json(visit.request, self._numbers.read())

    async def _check(self, visit: Visit) -> None:
        factory, uri = self._factory, visit.uri.decode("iso-8859-1")
        request = AccessRequest("GET", "", visit.address, uri, visit.headers)
        peer = address_of(visit.request.getClientAddress())
        checking = check_overview(
            factory.access, factory.admission.proxies, factory.hub.wall_clock, request, peer
        )
        try:
            await visit.settled(Deferred.fromCoroutine(checking))
        except RefusedError as error:
            if error.status == 403 and not factory.access.is_open:
                # Something else would let them in (RFC 9110 section 11.6.1).
                visit.request.setHeader("WWW-Authenticate", factory.access.challenge)
            raise
