"""What a client has sent, while an application's policy decides whether it may be played."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from orchestra.connection.close_codes import INTERNAL_ERROR, refused
from orchestra.message import Content
from orchestra.refusal import RefusedError

if TYPE_CHECKING:
    from orchestra.websocket.protocol import OrchestraProtocol


class Undecided:
    """Has the messages of a client decided on one after the other, and plays those that may be.

    While that takes time, nothing more is read from the client, so that what waits is what came
    at once. A client whose message is refused is closed, and the rest of them are not played.
    """

    def __init__(
        self,
        client: OrchestraProtocol,
        decide: Callable[[Content], Deferred[None] | None],
        play: Callable[[Sequence[Content]], object],
    ) -> None:
        """
        :param decide: raises :class:`RefusedError`, or has a Deferred fail with it, if a message
            may not be played.
        :param play: plays messages.
        """
        self._client = client
        self._decide = decide
        self._play = play
        self._waiting: deque[Content] = deque()
        self._is_busy = False
        self._decision: Deferred[None] | None = None  # that takes time

    def add(self, contents: Sequence[Content]) -> None:
        """Take messages that the client sent, in their order."""
        self._waiting.extend(contents)
        if not self._is_busy:
            self._is_busy = True
            Deferred.fromCoroutine(self._work_off()).addErrback(self._failed)

    def stop(self) -> None:
        """Forget all of it: the client is gone."""
        self._waiting.clear()
        if self._decision is not None:
            self._decision.cancel()

    async def _work_off(self) -> None:
        try:
            while self._waiting and self._client.is_allowed:
                content = self._waiting.popleft()
                decision = self._decide(content)
                if decision is not None:
                    self._decision = decision
                    self._client.pause_reading()
                    try:
                        await decision
                    finally:
                        self._decision = None
                        self._client.resume_reading()
                if self._client.is_allowed:
                    self._play([content])
            self._waiting.clear()
        finally:
            self._is_busy = False

    def _failed(self, failure: Failure) -> None:
        self._waiting.clear()
        if not self._client.is_allowed:
            return
        if failure.check(RefusedError):
            error: Any = failure.value
            self._client.close(refused(error.status, str(error)))
        else:
            self._client.factory.report(failure, "a message could not be decided on")
            self._client.close(INTERNAL_ERROR)
