"""A policy whose answers the test gives."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from orchestra.interfaces import IPolicy
from orchestra.policy.access import AccessRequest
from orchestra.policy.grants import Capability, Grant

HOWS = ("deferred", "coroutine")


def only(*allow: str) -> Grant:
    """A grant of some things in all channels."""
    return Grant("ann", capabilities=(Capability(("*",), frozenset(allow), wildcard=True),))


@implementer(IPolicy)
class AskedPolicy:
    """Takes its time with some questions, until the test answers them, and allows the others."""

    takes_cookies = False
    challenge = "Bearer"

    def __init__(self, *late: str, how: str = "deferred", grant: Grant | None = None) -> None:
        """
        :param late: which questions, ``connect``, ``subscribe``, ``publish`` or ``subscription``,
            take time.
        :param how: whether a Deferred is returned or a coroutine.
        :param grant: what everybody may do.
        """
        self._late = late
        self._how = how
        self.grant = grant or Grant()
        self.waiting: list[Deferred[Any]] = []
        """What is not answered yet, the earliest first."""
        self.asked: list[tuple[Any, ...]] = []
        """What was asked."""
        self.cancelled = 0
        """How many questions were taken back."""
        self.raises: dict[str, Exception] = {}
        """What is raised at once, by the question."""

    def connect(self, request: AccessRequest) -> Any:
        return self._answer("connect", request)

    def subscribe(self, grant: Grant, channel: str) -> Any:
        return self._answer("subscribe", grant, channel)

    def publish(self, grant: Grant, channel: str, content: Any) -> Any:
        return self._answer("publish", grant, channel, content)

    def subscription(self, grant: Grant, channel: str, token: str) -> Any:
        return self._answer("subscription", grant, channel, token)

    def _answer(self, what: str, *question: Any) -> Any:
        self.asked.append((what, *question))
        if what in self.raises:
            raise self.raises[what]
        if what not in self._late:
            return self.grant if what in ("connect", "subscription") else None
        waiting: Deferred[Any] = Deferred(self._cancel)
        self.waiting.append(waiting)
        if self._how == "deferred":
            return waiting

        async def coroutine() -> Any:
            return await waiting

        return coroutine()

    def _cancel(self, waiting: Deferred[Any]) -> None:
        self.waiting.remove(waiting)
        self.cancelled += 1

    def allow(self) -> None:
        """Answer the question that was asked first."""
        self.waiting.pop(0).callback(self.grant)

    def refuse(self, error: Exception) -> None:
        """Answer it with an exception."""
        self.waiting.pop(0).errback(error)

    def questions(self, what: str) -> list[Any]:
        """What was asked of a kind: the last part of each question."""
        return [question[-1] for question in self.asked if question[0] == what]
