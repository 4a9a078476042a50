"""A request that is being served, whose it is, and how it comes to its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from autobahn.twisted.util import peer2str
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from orchestra.refusal import RefusedError
from orchestra.web.answers import METHODS, body, finish, headers_of, refuse

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory


@dataclass(repr=False)
class Visit:
    """A request, and whose it is."""

    request: Request
    uri: bytes
    """Its target, as it would be if the resource were a whole site."""

    headers: dict[str, str]
    address: str
    peer: str
    """The same for the log."""

    is_gone: bool = False
    """Whether the client has left before it was answered."""

    async def settled(self, value: Any) -> Any:
        """What was decided, at once or by a Deferred, if the client is still there."""
        found = await value if isinstance(value, Deferred) else value
        if self.is_gone:
            raise CancelledError
        return found

    @property
    def body(self) -> bytes:
        """What came with it."""
        content: Any = self.request.content
        content.seek(0)
        text: bytes = content.read()
        return text


def serve(
    factory: OrchestraFactory,
    request: Request,
    answer: Callable[[Visit], Awaitable[int | bytes]],
    *,
    allow: str = METHODS,
    challenge: str | None = None,
) -> int | bytes:
    """Serve a request, once it is known whose it is, and that the page it is from may ask.

    If the client leaves before it is answered, ``answer`` is cancelled.

    :param answer: returns the body of the answer, or :data:`NOT_DONE_YET` if it answers by itself;
        it refuses by raising :class:`orchestra.RefusedError`.
    :param allow: the methods that a refusal tells of.
    :param challenge: what it takes to prove who one is; that of the factory's access by default.
    :returns: what a resource's ``render`` does.
    """
    visit = Visit(request, target_of(request), headers_of(request), "", peer2str(request.channel))

    async def answered() -> int | bytes:
        found: int | bytes
        try:
            visit.address, visit.peer = factory.entrance.whose(
                request.getClientAddress(), visit.peer, visit.headers
            )
            factory.admission.check(visit.headers)
            found = await answer(visit)
        except Exception as error:
            if visit.is_gone:
                return NOT_DONE_YET
            if not isinstance(error, RefusedError):
                factory.report(Failure(), "a request could not be served")
                error = RefusedError(500, "internal server error")
            found = refuse(factory, request, visit.peer, error, allow=allow, challenge=challenge)
        return found if isinstance(found, int) else body(request, found)

    answering = Deferred.fromCoroutine(answered())
    if answering.called:
        return cast("int | bytes", answering.result)

    # Whoever decides takes a while, or there is much to do. The client may leave meanwhile.
    def leave(_: Failure) -> None:
        visit.is_gone = True
        answering.cancel()

    request.notifyFinish().addErrback(leave)
    answering.addCallback(partial(finish, request))
    return NOT_DONE_YET


def target_of(request: Request) -> bytes:
    """The target of a request, as it would be if the resource were a whole site."""
    uri: bytes = request.uri
    if request.prepath:  # it is mounted somewhere
        path, question, query = uri.partition(b"?")
        segments = path.split(b"/")[1 + len(request.prepath) :]
        uri = b"/" + b"/".join(segments) + question + query
    return uri
