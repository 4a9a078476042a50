"""The numbers that the podium shows, and who may see them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from msgspec.json import encode
from twisted.web.resource import Resource
from twisted.web.server import Request

from orchestra.observe.collector import OrchestraCollector
from orchestra.policy.access import AccessRequest
from orchestra.policy.addresses import address_of
from orchestra.policy.api_keys import NO_KEY, SCHEME, find_key
from orchestra.policy.locality import is_local
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

ONLY_HERE = (
    "the podium is only for this machine: open it by http://localhost there, and through no "
    "proxy; for others the server needs API keys (--api-key-file) or tokens (--token-key-file)"
)
"""What somebody elsewhere is told, where nobody can prove who they are."""

NOT_ALL = (
    "the podium takes an API key, or a token that allows everything: one without caps, where the "
    "application has no rules of its own for each channel"
)
"""What somebody is told who may do some things only."""


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

    That is whoever has one of its API keys, or a token that allows everything; where there is
    neither, who is on this machine.
    """

    isLeaf = True

    def __init__(self, factory: OrchestraFactory) -> None:
        super().__init__()
        self._factory = factory
        self._numbers = Numbers(factory)

    def render(self, request: Request) -> int | bytes:
        """Serve a request."""
        access = self._factory.access
        challenge = SCHEME if access.policy is None else access.challenge
        return serve(self._factory, request, self._answer, allow=_METHODS, challenge=challenge)

    async def _answer(self, visit: Visit) -> bytes:
        # Nothing of an answer, also not of a refusal, holds for the next who asks.
        visit.request.setHeader("Cache-Control", "no-store")
        await self._check(visit)
        if visit.request.method not in (b"GET", b"HEAD"):
            raise RefusedError(405, f"the method must be one of {_METHODS}")
        return answer_json(visit.request, self._numbers.read())

    async def _check(self, visit: Visit) -> None:
        access, headers = self._factory.access, visit.headers
        key = None if access.api_keys is None else find_key(headers)
        if access.api_keys is not None and key is not None:
            access.api_keys.check(key)
        elif access.policy is not None:
            uri = visit.uri.decode("iso-8859-1")
            grant = await visit.settled(
                access.connect(AccessRequest("GET", "", visit.address, uri, headers))
            )
            grant.check_time(self._factory.hub.wall_clock)
            # Where the policy is asked for each channel as well, a grant does not say all.
            if grant.capabilities is not None or access.policy.subscribe is not None:
                # Something else would let them in (RFC 9110 section 11.6.1).
                visit.request.setHeader("WWW-Authenticate", access.challenge)
                raise RefusedError(403, NOT_ALL)
        elif access.api_keys is not None:
            raise RefusedError(401, NO_KEY)
        elif not is_local(
            address_of(visit.request.getClientAddress()), headers, self._factory.admission.proxies
        ):
            raise RefusedError(403, ONLY_HERE)
