"""The client as a service: its connections, and when they are made anew."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import quote

from twisted.application.internet import backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredLock,
    gatherResults,
    maybeDeferred,
)
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from orchestra.client.http import Answer, Body, Stream
from orchestra.client.subscription import Received, Subscription
from orchestra.position import Position

SILENCE = 60.0
"""After how many seconds without a byte a connection is taken for dead. The server sends something
every 25, unless that is set otherwise."""

CLOSING = 5.0
"""For how many seconds it is waited, when the service stops, for connections to be closed."""

_PERMANENT_FAILURES = frozenset({501, 505})
_TRANSIENT_REFUSALS = frozenset({408, 425, 429})


class RequestRefusedError(Exception):
    """The server refuses a request, and would again.

    :ivar status: the HTTP status.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status


_PERMANENT = (RequestRefusedError, SchemeNotSupported)


class _TransientError(Exception):
    """The server refuses a request now.

    :ivar retry_after: after how many seconds it may be asked again, at the earliest.
    """

    def __init__(self, status: int, reason: str, retry_after: float) -> None:
        super().__init__(f"{status} {reason}")
        self.retry_after = retry_after


class OrchestraClient(Service):
    """Subscribes to channels of a server and publishes in them.

    While the service runs, its subscriptions are connected, each by an event stream. When one
    ends, it is made anew after a while, longer each time and never quite as long as that of
    others, nor sooner than the server wants it, and goes on after the last message that was
    received. Publishing is tried until it is done, with a key by which the server plays it once.

    It can be subscribed and published before the service starts; that waits until then.
    """

    _log = Logger()

    def __init__(
        self,
        url: str,
        *,
        token: str | Callable[[], Any] | None = None,
        api_key: str | None = None,
        agent: IAgent | None = None,
        reactor: Any = None,
        retry_policy: Callable[[int], float] | None = None,
        silence: float = SILENCE,
    ) -> None:
        """
        :param url: of the server, or of where it is mounted, such as ``http://localhost:8080/``.
        :param token: what the server wants to know who comes, or a function that is asked for it
            before each request, and returns it or a Deferred of it. One that the server does not
            take is then no reason to give up, since the next one may be another.
        :param api_key: what the server knows an application's own servers by.
        :param agent: what makes requests; by default Twisted's own, with kept connections.
        :param reactor: the global one by default.
        :param retry_policy: how many seconds to wait after so many attempts that failed in a row;
            by default :func:`twisted.application.internet.backoffPolicy`'s.
        :param silence: after how many seconds without a byte a connection is taken for dead.
        """
        if reactor is None:
            from twisted.internet import reactor
        self._url = url.rstrip("/") + "/"
        self._token = token
        self._api_key = api_key
        self._reactor = reactor
        self._pool: HTTPConnectionPool | None = None
        if agent is None:
            self._pool = HTTPConnectionPool(reactor, persistent=True)
            agent = Agent(reactor, pool=self._pool, connectTimeout=silence)
        self._agent = agent
        self._retry_policy = retry_policy or backoffPolicy()
        self._silence = silence
        self._subscriptions: dict[Subscription, Deferred[None] | None] = {}
        self._publications: dict[_Publication, Deferred[Position]] = {}
        self._streams: set[Stream] = set()
        self._locks: dict[str, DeferredLock] = {}
        self._started: list[Deferred[None]] = []

    # What the application asks for.

    def subscribe(
        self,
        channel: str,
        on_message: Callable[[Received], object] | None = None,
        *,
        last: int = 0,
        since: Position | None = None,
        on_gap: Callable[[int | None], object] | None = None,
    ) -> Subscription:
        """Listen to a channel.

        :param on_message: called with each message; without it, iterate over what is returned.
        :param last: begin with so many of the messages that are retained.
        :param since: begin after this position instead.
        :param on_gap: called when messages are missing before the next one, with how many, or
            ``None`` if that cannot be known.
        """
        subscription = Subscription(channel, on_message, on_gap, self._unsubscribe, last, since)
        self._subscriptions[subscription] = None
        if self.running:
            self._run(subscription)
        return subscription

    def publish(self, channel: str, payload: bytes, is_binary: bool = False) -> Deferred[Position]:
        """Play a message in a channel, once, after those that were published there before.

        :param payload: the content; text must be UTF-8.
        :param is_binary: whether it is binary data rather than text.
        :returns: fires with the message's position when the server has it; fails with
            :class:`RequestRefusedError` if it does not take it. If it is cancelled, or the
            service is stopped before that, it is not known whether the message was played.
        """
        publication = _Publication(channel, payload, is_binary)
        running = Deferred.fromCoroutine(self._publish(publication))

        def cancel(_: Deferred[Position]) -> None:
            publication.is_cancelled = True
            running.cancel()

        published: Deferred[Position] = Deferred(cancel)
        self._publications[publication] = published
        running.addBoth(self._published, publication, published)
        return published

    def _published(
        self,
        result: Position | Failure,
        publication: _Publication,
        published: Deferred[Position],
    ) -> None:
        del self._publications[publication]
        if not published.called:
            published.callback(result)  # a failure as well as a position

    # The service.

    def startService(self) -> None:
        """Connect the subscriptions, and send what waits."""
        super().startService()
        for subscription in tuple(self._subscriptions):
            self._run(subscription)
        started, self._started = self._started, []
        for waiting in started:
            waiting.callback(None)

    def stopService(self) -> Deferred[None]:
        """End the subscriptions and close all connections.

        :returns: fires when they are closed.
        """
        super().stopService()
        for subscription in tuple(self._subscriptions):
            self._unsubscribe(subscription)
        for published in tuple(self._publications.values()):
            published.cancel()
            published.addErrback(lambda failure: failure.trap(CancelledError) and None)
        closing = [stream.closed for stream in self._streams]
        if self._pool is not None:
            closing.append(self._pool.closeCachedConnections())
        stopped: Deferred[None] = Deferred()

        def all_closed(_: object) -> None:
            if not stopped.called:
                stopped.callback(None)

        gatherResults(closing).addBoth(all_closed)
        # A peer that is gone is not waited for.
        return stopped.addTimeout(CLOSING, self._reactor, lambda *_: None)

    def _run(self, subscription: Subscription) -> None:
        running = Deferred.fromCoroutine(self._listen(subscription))
        if subscription in self._subscriptions:
            self._subscriptions[subscription] = running
        running.addErrback(self._report, subscription)

    def _unsubscribe(self, subscription: Subscription) -> None:
        running = self._subscriptions.pop(subscription, None)
        subscription.ended()
        if running is not None:
            running.cancel()

    def _report(self, failure: Failure, subscription: Subscription) -> None:
        if subscription not in self._subscriptions:  # it was stopped, and has failed by that
            return
        del self._subscriptions[subscription]
        self._log.failure(
            "The subscription to {channel} has failed", failure, channel=subscription.channel
        )
        value = failure.value
        subscription.ended(value if isinstance(value, Exception) else RuntimeError(str(value)))

    # Listening.

    async def _listen(self, subscription: Subscription) -> None:
        url = self._channel_url(subscription.channel)
        while True:
            subscription.failed += 1  # until it says where it is
            wait = 0.0
            try:
                wait = min(await self._read(subscription, url), self._silence)
            except _PERMANENT:
                raise
            except Exception as error:
                if subscription not in self._subscriptions:
                    raise
                wait = _retry_after(error)
                self._log.info(
                    "The stream of {channel} is made anew: {error}",
                    channel=subscription.channel,
                    error=error,
                )
            delay = self._retry_policy(subscription.failed)
            await deferLater(self._reactor, max(wait, delay))

    async def _read(self, subscription: Subscription, url: str) -> float:
        # Until it ends; after how many seconds the server wants us back.
        headers = Headers({"Accept": ["text/event-stream"], "Cache-Control": ["no-cache"]})
        if subscription.received is not None:
            headers.setRawHeaders("Last-Event-ID", [str(subscription.received)])
        elif subscription.last:
            url += f"?last={subscription.last}"
        response = await self._request("GET", url, headers)
        (kind,) = response.headers.getRawHeaders("Content-Type", [""])[:1]
        if not kind.lower().startswith("text/event-stream"):
            await self._body(response)
            raise ValueError(f"what came is no event stream, but {kind or 'of no type'}")
        stream = Stream(subscription, self._reactor, self._silence)
        self._streams.add(stream)
        stream.closed.addCallback(lambda _: self._streams.discard(stream))
        response.deliverBody(stream)
        await stream.done
        return stream.farewell

    # Publishing.

    async def _publish(self, publication: _Publication) -> Position:
        channel = publication.channel
        lock = self._locks.setdefault(channel, DeferredLock())
        await lock.acquire()
        try:
            if not self.running:
                waiting: Deferred[None] = Deferred()
                self._started.append(waiting)
                await waiting
            return await self._post_until_done(publication)
        finally:
            lock.release()
            if not lock.locked and self._locks.get(channel) is lock:
                del self._locks[channel]

    async def _post_until_done(self, publication: _Publication) -> Position:
        url = self._channel_url(publication.channel)
        kind = "application/octet-stream" if publication.is_binary else "text/plain; charset=utf-8"
        headers = Headers({"Content-Type": [kind], "Idempotency-Key": [publication.key]})
        failed = 0
        while True:
            try:
                response = await self._request("POST", url, headers, publication.payload)
                answer = json.loads(await self._body(response))
                return Position(answer["epoch"], answer["offset"])
            except _PERMANENT:
                raise
            except Exception as error:
                if publication.is_cancelled:
                    raise CancelledError from error
                wait = _retry_after(error)
                self._log.info("Publishing is tried again: {error}", error=error)
            failed += 1
            await deferLater(self._reactor, max(wait, self._retry_policy(failed)))

    # Requests.

    def _channel_url(self, channel: str) -> str:
        return self._url + quote(channel)

    async def _request(
        self, method: str, url: str, headers: Headers, payload: bytes | None = None
    ) -> IResponse:
        body = None if payload is None else Body(payload)
        if self._api_key is not None:
            headers.setRawHeaders("X-API-Key", [self._api_key])
        if self._token is not None:
            token = self._token
            if callable(token):
                token = await maybeDeferred(token)
            headers.setRawHeaders("Authorization", [f"Bearer {token}"])
        asking = maybeDeferred(self._agent.request, method.encode(), url.encode(), headers, body)
        response: IResponse = await asking.addTimeout(self._silence, self._reactor, _too_late)
        if response.code == 200:
            return response
        reason = (await self._body(response))[:200].decode(errors="replace").strip()
        may_change = response.code == 401 and callable(self._token)
        if not (may_change or _is_transient(response.code)):
            raise RequestRefusedError(response.code, reason)
        (after,) = response.headers.getRawHeaders("Retry-After", [""])[:1]
        retry_after = min(float(after), self._silence) if re.fullmatch("[0-9]+", after) else 0.0
        raise _TransientError(response.code, reason, retry_after)

    async def _body(self, response: IResponse) -> bytes:
        answer = Answer()
        response.deliverBody(answer)
        return await answer.done.addTimeout(self._silence, self._reactor, _too_late)


def _is_transient(status: int) -> bool:
    # Whether it may be another one when it is asked again. Proxies have their own from 500 on.
    if status < 500:
        return status in _TRANSIENT_REFUSALS
    return status not in _PERMANENT_FAILURES


def _too_late(_: object, seconds: float) -> NoReturn:
    # Of what is cancelled then, the error depends on how far it has come.
    raise TimeoutError(f"no answer for {seconds:g} seconds")


def _retry_after(error: Exception) -> float:
    return error.retry_after if isinstance(error, _TransientError) else 0.0


class _Publication:
    """A message that is to be published."""

    def __init__(self, channel: str, payload: bytes, is_binary: bool) -> None:
        self.channel = channel
        self.payload = payload
        self.is_binary = is_binary
        self.key = uuid.uuid4().hex
        self.is_cancelled = False
