"""Who may come in, and what they may do: whoever decides that is asked here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import iscoroutine
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from orchestra.interfaces import IPolicy
from orchestra.message import Content
from orchestra.policy.api_keys import HEADER, NO_KEY, ApiKeys
from orchestra.policy.grants import EVERYTHING, Grant
from orchestra.refusal import RefusedError

TIMEOUT = 4.0
"""How many seconds a decision may take. By default that is less than a handshake may."""


class _KeyGrant(Grant):
    """Of whoever has an API key. The policy is not asked what that may do."""

    __slots__ = ()


_WITH_API_KEY = _KeyGrant()


@dataclass(frozen=True)
class AccessRequest:
    """What is known of somebody who wants to come in. Its ``repr`` shows no secrets."""

    method: str
    """Of the HTTP request: ``GET`` for whoever wants to listen, ``POST`` to play."""

    channel: str
    """The name of the channel; empty for a connection on which many are spoken of."""

    address: str
    """Whose request it is: an address, or ``unix``."""

    uri: str = field(repr=False)
    """The request's target, with its query."""

    headers: Mapping[str, str] = field(repr=False)
    """Of the request, by their names in lower case."""

    token: str | None = field(default=None, repr=False)
    """The one that the client sent once it was connected, where its dialect has a place for it."""

    data: Any = field(default=None, repr=False)
    """What else the client sent with it, as a value of JSON."""

    def query(self, name: str) -> str | None:
        """A value in the query of the URL; ``None`` if there is none."""
        _, _, query = self.uri.partition("?")
        values = parse_qs(query).get(name) if query else None
        return values[0] if values else None


@implementer(IPolicy)
class Policy:
    """A policy that lets everybody in and allows everything: a base for others."""

    challenge = "Bearer"
    """See :class:`orchestra.interfaces.IPolicy`."""

    takes_cookies = False
    """See :class:`orchestra.interfaces.IPolicy`."""

    subscribe: Callable[[Grant, str], Any] | None = None
    """See :class:`orchestra.interfaces.IPolicy`."""

    publish: Callable[[Grant, str, Content], Any] | None = None
    """See :class:`orchestra.interfaces.IPolicy`."""

    subscription: Callable[[Grant, str, str], Any] | None = None
    """See :class:`orchestra.interfaces.IPolicy`."""

    def __str__(self) -> str:
        """What decides, in words for the log."""
        return f"the application ({type(self).__name__})"

    def connect(self, request: AccessRequest) -> Any:
        """Everything is allowed."""
        return EVERYTHING


class Access:
    """Asks an application's policy, but neither longer than a decision may take nor for what an
    API key allows. It decides nothing itself.

    Each question is answered at once if it can be, or else by a Deferred.
    """

    def __init__(
        self,
        clock: IReactorTime,
        policy: IPolicy | None = None,
        api_keys: ApiKeys | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """
        :param policy: asked about whoever has no API key; without one, everybody may come in.
        :param api_keys: whoever has one may do everything. If there are any, and no policy, they
            alone may post.
        :param timeout: how many seconds a decision may take; 0 for any time.
        """
        self._clock = clock
        self._timeout = timeout
        self.policy = policy
        self.api_keys = api_keys
        self.is_open = policy is None and api_keys is None
        """Whether everybody may do everything."""
        self.challenge = "Bearer" if policy is None else policy.challenge
        """What goes with a 401."""
        self.takes_cookies = policy is not None and policy.takes_cookies
        """Whether a cookie may tell who somebody is."""
        self.asks_to_publish = policy is not None and policy.publish is not None
        """Whether the policy wants to be asked for each message of a client."""

    def __str__(self) -> str:
        """Who may come in, in words."""
        if self.policy is not None:
            words = f"Who may come in is decided by {self.policy}."
        elif self.api_keys is not None:
            words = "Everybody may come in and play by a WebSocket; only POST takes an API key."
        else:
            words = "Everybody may come in and play: there is no key for tokens."
        if self.api_keys is not None:
            words += f" There {'is' if len(self.api_keys) == 1 else 'are'} {self.api_keys}."
        return words

    def connect(self, request: AccessRequest) -> Grant | Deferred[Grant]:
        """Who it is, and what that allows.

        :raises RefusedError: if it may not come in; a Deferred may fail with it, too.
        """
        # Not by find_key: what is in Authorization is the policy's to read, by whatever scheme.
        key = request.headers.get(HEADER.lower())
        if key is not None and self.api_keys is not None:
            self.api_keys.check(key)
            return _WITH_API_KEY
        if self.policy is None:
            if request.method == "POST" and self.api_keys is not None:
                raise RefusedError(401, NO_KEY)
            return EVERYTHING
        found: Grant | Deferred[Grant] = self._in_time(self.policy.connect(request))
        return found

    def subscription(self, grant: Grant, channel: str, token: str) -> Grant | Deferred[Grant]:
        """What a token for a single channel allows there.

        Where everything is allowed without it, it is not looked at.

        :param grant: of the connection that it is sent on.
        :raises RefusedError: if it allows nothing; a Deferred may fail with it, too.
        """
        if isinstance(grant, _KeyGrant) or self.policy is None:
            return grant
        if self.policy.subscription is None:
            raise RefusedError(403, "there are no tokens for subscriptions")
        found: Grant | Deferred[Grant] = self._in_time(
            self.policy.subscription(grant, channel, token)
        )
        return found

    def subscribe(self, grant: Grant, channel: str) -> Deferred[None] | None:
        """Make sure that somebody may listen, for whom the grant does not say all.

        :raises RefusedError: if not; a Deferred may fail with it, too.
        """
        if isinstance(grant, _KeyGrant) or self.policy is None or self.policy.subscribe is None:
            return None
        return self._decision(self.policy.subscribe(grant, channel))

    def publish(self, grant: Grant, channel: str, content: Content) -> Deferred[None] | None:
        """Make sure that a message may be played, for which the grant does not say all.

        :raises RefusedError: if not; a Deferred may fail with it, too.
        """
        if isinstance(grant, _KeyGrant) or self.policy is None or self.policy.publish is None:
            return None
        return self._decision(self.policy.publish(grant, channel, content))

    def _decision(self, answer: Any) -> Deferred[None] | None:
        answer = self._in_time(answer)
        return answer if isinstance(answer, Deferred) else None

    def _in_time(self, answer: Any) -> Any:
        if iscoroutine(answer):
            answer = Deferred.fromCoroutine(answer)
        if self._timeout and isinstance(answer, Deferred):
            return self._settled(answer)
        return answer

    def _settled(self, answer: Deferred[Any]) -> Deferred[Any]:
        # In time whatever the policy does, even if it does not give up when it is told to.
        def settle(result: object) -> None:
            if timer.active():
                timer.cancel()
            if not settled.called:
                settled.callback(result)  # a failure as well as an answer

        def give_up() -> None:
            if not settled.called:
                reason = "whether that is allowed could not be decided in time"
                settled.errback(RefusedError(503, reason, kind="undecided"))
                answer.cancel()

        settled: Deferred[Any] = Deferred(lambda _: answer.cancel())
        timer = self._clock.callLater(self._timeout, give_up)
        answer.addBoth(settle)
        return settled
