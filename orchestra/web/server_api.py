"""The server API: what an application's servers ask of this one, by HTTP.

Requests and answers are those of Centrifugo's HTTP API, so that its clients work with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import decode, encode
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import Request

from orchestra.policy.api_keys import NO_KEY, SCHEME, find_key
from orchestra.refusal import RefusedError
from orchestra.web.answers import answer_json
from orchestra.web.api_batch import BatchRequest, replies
from orchestra.web.api_methods import METHODS, ServerApi
from orchestra.web.visit import Visit, serve

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

SLICE = 200
"""After how many messages' worth of work a batch lets others have their turn."""

LEAST_BODY = 1024 * 1024
"""How long a request's body may be at the least, in bytes."""

TIMES_MESSAGE = 8
"""How many times as long as the largest message it may be: in JSON a character of a message may
take six."""

_METHOD = "POST"

Asked = TypeVar("Asked")


class _Command(Struct):
    """What is sent to the API's own path: which method it is for, and its request."""

    method: str
    params: Raw = Raw(b"{}")
    id: int = 0


class ServerApiResource(Resource):
    """The server API of a factory, for whoever has one of its API keys.

    The server's own site has it at ``/api``. In a site of your own it is mounted by
    ``root.putChild(b"api", ServerApiResource(factory))``; how long a body may be is that site's
    business then.
    """

    isLeaf = True

    def __init__(self, factory: OrchestraFactory) -> None:
        """
        :param factory: has the API keys; without any, nothing is served.
        """
        super().__init__()
        self._factory = factory
        self._api = ServerApi(factory)

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Make sure that a request has an API key.

        :param headers: of the request, by their names in lower case.
        :raises RefusedError: if it has none that is known, or there are none.
        """
        keys = self._factory.access.api_keys
        if keys is None:
            reason = "this path is the server's own; its API needs API keys (--api-key-file)"
            raise RefusedError(404, reason)
        key = find_key(headers)
        if key is None:
            raise RefusedError(401, NO_KEY)
        keys.check(key)

    def render(self, request: Request) -> int | bytes:
        """Serve a request."""
        return serve(self._factory, request, self._answer, allow=_METHOD, challenge=SCHEME)

    async def _answer(self, visit: Visit) -> bytes:
        self.check_key(visit.headers)
        return answer_json(visit.request, encode(await self._done(visit)))

    async def _done(self, visit: Visit) -> dict[str, Any]:
        request, peer = visit.request, visit.peer
        if request.method != _METHOD.encode():
            raise RefusedError(405, f"the method must be {_METHOD}")
        below: Any = request.postpath
        asked, path = visit.body, b"/".join(below).decode("iso-8859-1")
        if path == "batch":
            return await self._batch(peer, _read(asked, BatchRequest))
        if not path:
            return self._command(peer, _read(asked, _Command))
        method = METHODS.get(path)
        if method is None:
            raise RefusedError(404, "the server API has no such method")
        return self._api.call(peer, method, _read(asked, method.request))

    async def _batch(self, peer: str, batch: BatchRequest) -> dict[str, Any]:
        done, work = [], 0
        for reply, its_work in replies(self._api, peer, batch):
            done.append(reply)
            work += its_work
            if work >= SLICE:
                work = 0
                await deferLater(self._factory.reactor, 0)
        return {"replies": done}

    def _command(self, peer: str, command: _Command) -> dict[str, Any]:
        method = METHODS.get(command.method)
        if method is None:
            raise RefusedError(400, f"method must be one of {', '.join(METHODS)}")
        answer = self._api.call(peer, method, _read(bytes(command.params), method.request))
        return {"id": command.id, **answer} if command.id else answer


def _read(body: bytes, kind: type[Asked]) -> Asked:
    try:
        body.decode()
        return decode(body, type=kind)
    except ValidationError as error:  # it has types and names of ours, and nothing that was sent
        reason = str(error)
    except UnicodeDecodeError:
        reason = "the body must be UTF-8"
    except DecodeError:
        reason = "the body must be JSON"
    except RecursionError:
        reason = "the body must not be nested so deeply"
    raise RefusedError(400, reason)
