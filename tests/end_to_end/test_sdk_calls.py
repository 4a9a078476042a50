"""The SDK for JavaScript, and an application that answers its calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.sdk import WAYS, Node, Sdk, SdkError
from tests.end_to_end.server import PATIENCE, TWISTD, Server, started
from tests.end_to_end.test_sdk import AWKWARD

APPLICATION = Path(__file__).with_name("application.py")


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The application, with a server in it."""
    command = [TWISTD, "--nodaemon", "--pidfile=", "--python", str(APPLICATION)]
    with started(command, tmp_path_factory.mktemp("application")) as server:
        server.wait_until_listening()
        yield server
        server.stop()
    # Of those that have failed in ways that were not meant.
    failures = server.text.count("a command could not be performed")
    assert server.text.count("Traceback") == failures == 2 * len(WAYS)


@pytest.fixture(params=WAYS)
def sdk(request: pytest.FixtureRequest, node: Node, application: Server) -> Iterator[Sdk]:
    """A client that is connected."""
    sdk = node.connected(application, request.param)
    yield sdk
    sdk.do("disconnect")


def refusal(answer: Any) -> tuple[int, str]:
    """What a call is refused with."""
    error = answer.exception(PATIENCE)
    assert isinstance(error, SdkError)
    return error.code, error.message


def test_calls_are_answered(sdk: Sdk) -> None:
    """The application gets the data as it was, and knows who calls; so is what it answers."""
    for data in AWKWARD:
        answer = sdk.do("rpc", "tell", data)["data"]
        assert answer == {"client": sdk.client_id, "identity": None, "data": data}


def test_calls_take_their_time(sdk: Sdk) -> None:
    """Many wait for their answers at the same time, and other commands go on meanwhile."""
    sums = [sdk.order("rpc", "add", [number, 1]) for number in range(40)]
    assert sdk.do("rpc", "tell", 1)["data"]["data"] == 1
    assert [answer.result(PATIENCE)["data"] for answer in sums] == list(range(1, 41))


def test_who_is_still_waiting_may_leave(sdk: Sdk) -> None:
    """A call that is never answered keeps nobody, and fails when its client has gone."""
    answers = [sdk.order("rpc", "never", number) for number in range(3)]
    sdk.do("publish", "x", 1)
    sdk.do("disconnect")
    assert {refusal(answer)[0] for answer in answers} <= {1, 3, 11}
    assert sdk.state == "disconnected"
    sdk.do("connect")
    sdk.back()


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 107), (401, 101), (403, 103), (404, 102), (413, 106), (429, 111), (503, 100)],
)
def test_calls_are_refused(sdk: Sdk, status: int, code: int) -> None:
    """With the application's own words."""
    assert refusal(sdk.order("rpc", "refuse", status)) == (code, "not today")


def test_calls_fail(sdk: Sdk) -> None:
    """What was not meant is the server's business: the client is told that it was an error."""
    for method in ("fail", "odd"):
        assert refusal(sdk.order("rpc", method, 1)) == (100, "internal server error")
    assert sdk.do("rpc", "tell", 1)["data"]["data"] == 1


def test_messages_to_the_application(sdk: Sdk) -> None:
    """They come in order, with who has sent them."""
    subscription = sdk.subscribe("notes")
    for number in range(5):
        sdk.do("send", number)
    assert subscription.hear(5) == [f"{sdk.client_id}: {number}" for number in range(5)]
