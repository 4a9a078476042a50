"""Asking a policy: at once or not, in time or not, and for whom it is not asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from orchestra.interfaces import IPolicy
from orchestra.policy.access import TIMEOUT, Access, AccessRequest, Policy
from orchestra.policy.api_keys import ApiKeys
from orchestra.policy.grants import Grant
from orchestra.refusal import RefusedError

KEY = "key-of-an-application"
ANN = Grant("ann")
MESSAGE = (b"hello", False)


def request(method: str = "GET", uri: str = "/", **headers: str) -> AccessRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return AccessRequest(method, "strings", "192.0.2.1", uri, named)


class Asked(Policy):
    """Answers all questions with the same, and keeps them."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.questions: list[tuple[Any, ...]] = []

    def __str__(self) -> str:
        return "the conductor"

    def connect(self, request: AccessRequest) -> Any:
        return self._asked(request)

    def subscribe(self, grant: Grant, channel: str) -> Any:
        return self._asked(grant, channel)

    def publish(self, grant: Grant, channel: str, content: Any) -> Any:
        return self._asked(grant, channel, content)

    def subscription(self, grant: Grant, channel: str, token: str) -> Any:
        return self._asked(grant, channel, token)

    def _asked(self, *question: Any) -> Any:
        self.questions.append(question)
        return self._answer() if callable(self._answer) else self._answer


def questions(access: Access) -> list[Callable[[], Any]]:
    """One of each kind."""
    return [
        lambda: access.connect(request()),
        lambda: access.subscribe(ANN, "strings"),
        lambda: access.publish(ANN, "strings", MESSAGE),
        lambda: access.subscription(ANN, "strings", "a token"),
    ]


def outcome(answer: Any) -> Any:
    """What a question has come to; the Deferred itself, if it is not decided."""
    if isinstance(answer, Deferred):
        found: list[Any] = []
        answer.addBoth(found.append)
        if not found:
            return answer
        (answer,) = found
    return answer.value if isinstance(answer, Failure) else answer


def said(error: Any) -> tuple[int, str]:
    assert isinstance(error, RefusedError), error
    return error.status, str(error)


def test_a_base_for_policies() -> None:
    """It allows everything, and does not want to be asked more than it has to."""
    policy = Policy()
    assert verifyObject(IPolicy, policy)
    assert policy.connect(request()) == Grant()
    access = Access(Clock(), policy)
    assert access.connect(request()) == Grant()
    assert access.subscribe(ANN, "strings") is access.publish(ANN, "strings", MESSAGE) is None
    with pytest.raises(RefusedError) as caught:
        access.subscription(ANN, "strings", "a token")
    assert said(caught.value) == (403, "there are no tokens for subscriptions")
    assert not access.asks_to_publish
    assert not access.takes_cookies
    assert access.challenge == "Bearer"


def test_without_a_policy_everybody_may_come_in(clock: Clock) -> None:
    """And may do everything."""
    access = Access(clock)
    for method in ("GET", "POST"):
        assert access.connect(request(method, x_api_key="whatever")) == Grant()
    assert access.subscription(ANN, "strings", "a token") is ANN
    assert access.subscribe(ANN, "strings") is access.publish(ANN, "strings", MESSAGE) is None
    assert str(access) == "Everybody may come in and play: there is no key for tokens."


def test_what_a_policy_is_asked(clock: Clock) -> None:
    """All that there is to know."""
    policy = Asked(ANN)
    access = Access(clock, policy)
    asked = request("POST", "/?a=b")
    assert access.connect(asked) is ANN
    assert access.subscribe(ANN, "strings") is None
    assert access.publish(ANN, "brass", MESSAGE) is None
    assert access.subscription(Grant("bob"), "winds", "a token") is ANN
    assert policy.questions == [
        (asked,),
        (ANN, "strings"),
        (ANN, "brass", MESSAGE),
        (Grant("bob"), "winds", "a token"),
    ]
    assert access.asks_to_publish
    assert str(access) == "Who may come in is decided by the conductor."


def test_what_is_asked_for_in_a_url() -> None:
    """Its query, with names and values as they are meant."""
    asked = request(uri="/a?name=Ann%20B&name=c&empty=&other")
    assert asked.query("name") == "Ann B"
    assert asked.query("empty") is asked.query("other") is asked.query("nam") is None
    assert request(uri="/name=a").query("name") is None


@given(st.text(st.characters()), st.text(st.characters()))
def test_no_url_is_too_strange(uri: str, name: str) -> None:
    """There is a value in it or none."""
    found = request(uri=uri).query(name)
    assert found is None or isinstance(found, str)


# When it is decided.


async def at_once() -> Grant:
    return ANN


@pytest.mark.parametrize("answer", [lambda: ANN, lambda: succeed(ANN), at_once])
def test_what_is_decided_at_once(clock: Clock, answer: Callable[[], Any]) -> None:
    """By a value, a Deferred or a coroutine; no timer stays."""
    for ask in questions(Access(clock, Asked(answer))):
        assert outcome(ask()) in (ANN, None)
    assert not clock.getDelayedCalls()


def late(waiting: Deferred[Any]) -> list[Callable[[], Any]]:
    """Ways to answer later."""

    async def coroutine() -> Any:
        return await waiting

    return [lambda: waiting, coroutine]


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
@pytest.mark.parametrize("way", [0, 1])
def test_what_is_decided_later(clock: Clock, kind: int, way: int) -> None:
    """It is what the Deferred or coroutine comes to; no timer stays."""
    refused = RefusedError(403, "not today")
    for result in (ANN, refused, KeyError("fault")):
        waiting: Deferred[Any] = Deferred()
        access = Access(clock, Asked(late(waiting)[way]))
        answer = questions(access)[kind]()
        assert isinstance(answer, Deferred)
        clock.advance(TIMEOUT - 0.1)
        waiting.callback(result) if result is ANN else waiting.errback(result)
        assert outcome(answer) is result
        assert not clock.getDelayedCalls()


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
@pytest.mark.parametrize("way", [0, 1])
def test_what_is_not_decided_in_time(clock: Clock, kind: int, way: int) -> None:
    """It is refused with 503, and whoever decides need not go on."""
    cancelled: list[object] = []
    access = Access(clock, Asked(late(Deferred(cancelled.append))[way]), timeout=2.5)
    results: list[Failure] = []
    questions(access)[kind]().addBoth(results.append)
    clock.advance(2.4)
    assert not results
    assert not cancelled
    clock.advance(0.1)
    (result,) = results
    assert not clock.getDelayedCalls()
    assert len(cancelled) == 1
    assert said(result.value) == (503, "whether that is allowed could not be decided in time")


def test_whoever_allows_it_too_late_does_not_allow_it(clock: Clock) -> None:
    """Also if it is in answer to being told that it is too late."""
    access = Access(clock, Asked(Deferred(lambda waiting: waiting.callback(ANN))))
    answer = access.connect(request())
    clock.advance(TIMEOUT)
    assert said(outcome(answer))[0] == 503


def test_any_time(clock: Clock) -> None:
    """0 stands for no limit, as everywhere."""
    waiting: Deferred[Any] = Deferred()
    answer = Access(clock, Asked(waiting), timeout=0).connect(request())
    assert not clock.getDelayedCalls()
    clock.advance(1e6)
    waiting.callback(ANN)
    assert outcome(answer) is ANN


def test_whoever_is_not_waited_for(clock: Clock) -> None:
    """What is cancelled ends the policy's own work, and leaves no timer."""
    cancelled: list[object] = []
    for way in (0, 1):
        access = Access(clock, Asked(late(Deferred(cancelled.append))[way]))
        for ask in questions(access)[:1]:
            answer = ask()
            answer.cancel()
            assert isinstance(outcome(answer), CancelledError)
    assert len(cancelled) == 2
    assert not clock.getDelayedCalls()


def test_what_a_policy_raises_comes_through(clock: Clock) -> None:
    """Refusals and faults alike: what becomes of them is for others to say."""

    async def coroutine() -> None:
        raise KeyError("fault")

    def at_once() -> None:
        raise KeyError("fault")

    for ask in questions(Access(clock, Asked(at_once))):
        with pytest.raises(KeyError):
            ask()
    for answer in (coroutine, lambda: fail(KeyError("fault"))):
        for ask in questions(Access(clock, Asked(answer))):
            assert isinstance(outcome(ask()), KeyError)
    assert not clock.getDelayedCalls()


# API keys.


def test_an_api_key_allows_everything(clock: Clock) -> None:
    """The policy is asked nothing about whoever has one."""
    policy = Asked(lambda: fail(RefusedError(403, "nothing is allowed")))
    access = Access(clock, policy, ApiKeys([KEY]))
    for method in ("GET", "POST"):
        grant = access.connect(request(method, x_api_key=KEY))
        assert isinstance(grant, Grant)
        assert (grant.identity, grant.capabilities) == (None, None)
        assert access.subscribe(grant, "strings") is None
        assert access.publish(grant, "strings", MESSAGE) is None
        assert access.subscription(grant, "strings", "no token") is grant
        later = replace(grant, expires=5.0)  # its time may be set
        assert access.publish(later, "strings", MESSAGE) is None
    assert policy.questions == []


def test_whoever_has_none_is_the_policys(clock: Clock) -> None:
    """Even if that allows everything in the same words."""
    policy = Asked(Grant)
    access = Access(clock, policy, ApiKeys([KEY]))
    grant = access.connect(request())
    assert isinstance(grant, Grant)
    access.subscribe(grant, "strings")
    access.publish(grant, "strings", MESSAGE)
    access.subscribe(Policy().connect(request()), "strings")
    access.subscription(grant, "strings", "a token")
    assert len(policy.questions) == 5


@pytest.mark.parametrize("policy", [None, Asked(ANN)])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("key", ["", KEY[:-1], f"{KEY},{KEY}", f"Bearer {KEY}"])
def test_a_key_that_is_not_known_is_refused(
    clock: Clock, policy: Any, method: str, key: str
) -> None:
    """Whoever has one on purpose learns that it is wrong, whatever it may do without."""
    access = Access(clock, policy, ApiKeys([KEY]))
    with pytest.raises(RefusedError) as caught:
        access.connect(request(method, x_api_key=key))
    assert said(caught.value) == (401, "the API key is not known")


def test_without_a_policy_a_key_is_for_posting(clock: Clock) -> None:
    """Listening takes none."""
    access = Access(clock, None, ApiKeys([KEY]))
    assert access.connect(request("GET")) == Grant()
    grant = access.connect(request("POST", x_api_key=KEY))
    assert isinstance(grant, Grant)
    assert grant.capabilities is None
    with pytest.raises(RefusedError) as caught:
        access.connect(request("POST", authorization=f"Bearer {KEY}"))
    assert said(caught.value) == (401, "an API key is needed, in the header X-API-Key")
    assert str(access) == (
        "Everybody may come in and play by a WebSocket; only POST takes an API key. "
        "There is 1 API key."
    )


def test_where_no_keys_are_set_none_counts(clock: Clock) -> None:
    """It is a header like any other then."""
    policy = Asked(ANN)
    assert Access(clock, policy).connect(request(x_api_key=KEY)) is ANN


def test_a_policy_that_does_not_give_up(clock: Clock) -> None:
    """It takes being told that it is too late for an error of somebody else, and goes on: who
    waits for it does not, and what it says in the end counts for nothing."""
    waiting: list[Deferred[Grant]] = [Deferred(), Deferred()]

    async def stubborn() -> Grant:
        try:
            return await waiting[0]
        except Exception:
            return await waiting[1]

    for leave in (False, True):
        waiting[:] = [Deferred(), Deferred()]
        answer: Any = Access(clock, Asked(stubborn), timeout=2.5).connect(request())
        found: list[Any] = []
        answer.addBoth(found.append)
        if leave:
            answer.cancel()
            assert found[0].check(CancelledError)
        clock.advance(2.5)
        assert leave or (found[0].value.status, found[0].value.kind) == (503, "undecided")
        waiting[1].callback(ANN)
        assert len(found) == 1
        assert not clock.getDelayedCalls()
