"""The client's token: where it comes from, and how often it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.python.failure import Failure
from twisted.web.client import Agent

from orchestra.client import OrchestraClient, Position, RequestRefusedError
from tests.client.stage import Request, Stage
from tests.events import lines

Connect = Callable[..., OrchestraClient]


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def connect(clock: Clock, stage: Stage, log: list[LogEvent]) -> Iterator[Connect]:
    """Make a client with a token, that runs; nothing is left of it in the end."""
    clients = []

    def connect(token: Any, api_key: str | None = None) -> OrchestraClient:
        client = OrchestraClient(
            "http://orchestra",
            token=token,
            api_key=api_key,
            agent=Agent.usingEndpointFactory(clock, stage),
            reactor=clock,
            retry_policy=lambda _: 1,
        )
        client.startService()
        clients.append(client)
        return client

    yield connect
    for client in clients:
        stopped = client.stopService()
        stage.close()
        assert stopped.called
        assert not client._locks
    assert not clock.getDelayedCalls()


def sent(request: Request) -> str | None:
    return request.headers.get("authorization")


def result(deferred: Deferred[Any]) -> Any:
    """What a Deferred has fired with."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    (value,) = results
    return value.value if isinstance(value, Failure) else value


def test_without_a_token_none_is_sent(connect: Connect, stage: Stage) -> None:
    """Most servers want none."""
    client = connect(None)
    client.subscribe("strings")
    assert sent(stage.request()) is None


def test_an_api_key_goes_with_each_request(connect: Connect, stage: Stage) -> None:
    """With streams and with what is published; without one, none is sent."""
    client = connect(None, api_key="0123456789abcdef")
    client.subscribe("strings")
    assert stage.request().headers["x-api-key"] == "0123456789abcdef"
    client.publish("strings", b"hello").addErrback(lambda _: None)
    assert stage.request().headers["x-api-key"] == "0123456789abcdef"
    connect("abc").subscribe("strings")
    assert "x-api-key" not in stage.request().headers


def test_a_token_goes_with_each_request(connect: Connect, stage: Stage, clock: Clock) -> None:
    """With streams, those that are made anew, and with what is published, each try."""
    client = connect("abc")
    client.subscribe("strings")
    request = stage.request()
    assert sent(request) == "bearer abc"
    request.begin(b"id: e:1\n\n")
    request.cut()
    clock.advance(1)
    assert sent(stage.request()) == "bearer abc"
    published = client.publish("strings", b"hello")
    request = stage.request()
    assert (request.method, sent(request)) == ("POST", "bearer abc")
    request.answer(503)
    clock.advance(1)
    request = stage.request()
    assert sent(request) == "bearer abc"
    request.publish(7)
    assert result(published) == Position("e", 7)


async def coroutine() -> str:
    return "abc"


@pytest.mark.parametrize("function", [lambda: "abc", lambda: succeed("abc"), coroutine])
def test_a_token_may_be_asked_for(connect: Connect, stage: Stage, function: Any) -> None:
    """It is there at once, or a Deferred or a coroutine has it."""
    connect(function).subscribe("strings")
    assert sent(stage.request()) == "bearer abc"


def test_each_request_has_a_token_of_its_own(connect: Connect, stage: Stage, clock: Clock) -> None:
    """So that it is not the one that has expired."""
    numbers = iter(range(100))
    client = connect(lambda: f"abc{next(numbers)}")
    client.subscribe("strings")
    request = stage.request()
    assert sent(request) == "bearer abc0"
    request.begin(b"id: e:1\n\n: the token has expired\n\n")
    request.cut()
    clock.advance(1)
    assert sent(stage.request()) == "bearer abc1"
    published = client.publish("strings", b"hello")
    request = stage.request()
    assert sent(request) == "bearer abc2"
    request.answer(503)
    clock.advance(1)
    request = stage.request()
    assert sent(request) == "bearer abc3"
    request.publish(1)
    assert result(published) == Position("e", 1)


def test_a_token_takes_its_time(connect: Connect, stage: Stage, clock: Clock) -> None:
    """Nothing is sent before it is there, and it may be waited for for long."""
    waiting: list[Deferred[str]] = []

    def ask() -> Deferred[str]:
        waiting.append(Deferred())
        return waiting[-1]

    client = connect(ask)
    client.subscribe("strings")
    published = client.publish("brass", b"hello")
    clock.advance(1000)
    assert stage.requests() == []
    waiting[1].callback("second")
    request = stage.request()
    assert (request.method, sent(request)) == ("POST", "bearer second")
    request.publish(1)
    assert result(published) == Position("e", 1)
    waiting[0].callback("first")
    request = stage.request()
    assert (request.method, sent(request)) == ("GET", "bearer first")


def test_whoever_has_no_token_yet_is_asked_again(
    connect: Connect, stage: Stage, clock: Clock, log: list[LogEvent]
) -> None:
    """What fails is tried again, like a server that cannot be reached."""
    outcomes: list[Any] = [KeyError("a"), KeyError("b"), "abc", "def"]

    def ask() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    client = connect(ask)
    client.subscribe("strings")
    published = client.publish("brass", b"hello")
    assert stage.requests() == []
    clock.advance(1)
    requests = stage.requests()
    assert [sent(request) for request in requests] == ["bearer abc", "bearer def"]
    assert len([line for line in lines(log) if "is made anew" in line or "again" in line]) == 2
    requests[1].publish(1)
    assert result(published) == Position("e", 1)


def test_a_token_that_does_not_change_is_refused(
    connect: Connect, stage: Stage, clock: Clock, log: list[LogEvent]
) -> None:
    """It would be again, so that this is the end of it."""
    client = connect("abc")
    published = client.publish("strings", b"hello")
    stage.request().answer(401, b"the token has expired\n")
    error = result(published)
    assert isinstance(error, RequestRefusedError)
    assert str(error) == "401 the token has expired"
    client.subscribe("strings")
    stage.request().answer(401, b"the token has expired\n")
    clock.advance(1000)
    assert stage.requests() == []
    (failed,) = [event for event in log if "log_failure" in event]
    assert failed["log_failure"].check(RequestRefusedError)
    log.clear()


def test_a_token_that_may_change_is_refused(connect: Connect, stage: Stage, clock: Clock) -> None:
    """The next one may be taken: it had expired just then, or the server's keys have changed."""
    numbers = iter(range(100))
    client = connect(lambda: f"abc{next(numbers)}")
    client.subscribe("strings")
    stage.request().answer(401, b"the token has expired\n")
    clock.advance(1)
    request = stage.request()
    assert sent(request) == "bearer abc1"
    request.begin(b"id: e:1\n\n")
    published = client.publish("strings", b"hello")
    stage.request().answer(401)
    clock.advance(1)
    request = stage.request()
    assert sent(request) == "bearer abc3"
    request.publish(2)
    assert result(published) == Position("e", 2)


def test_what_a_good_token_does_not_allow_stays_so(
    connect: Connect, stage: Stage, clock: Clock
) -> None:
    """403 is no matter of which token."""
    published = connect(lambda: "abc").publish("strings", b"hello")
    stage.request().answer(403)
    assert isinstance(result(published), RequestRefusedError)
    clock.advance(1000)
    assert stage.requests() == []


def test_stopping_while_a_token_is_waited_for(connect: Connect, stage: Stage) -> None:
    """It is not waited for any more."""
    cancelled: list[object] = []
    client = connect(lambda: Deferred(cancelled.append))
    client.subscribe("strings")
    client.publish("brass", b"hello").addErrback(lambda _: None)
    assert client.stopService().called
    assert len(cancelled) == 2
    client.startService()


def test_no_token_is_logged(
    connect: Connect, stage: Stage, clock: Clock, log: list[LogEvent]
) -> None:
    """Whatever becomes of the request."""
    client = connect("abcdef")
    client.subscribe("strings")
    stage.request().answer(503, b"busy")
    clock.advance(1)
    stage.request().cut()
    assert "abcdef" not in repr(client)
    assert "abcdef" not in repr(log)
    assert "abcdef" not in "\n".join(lines(log))
