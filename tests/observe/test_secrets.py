"""What a request has never gets into the log, wherever it is put and however wrong it becomes."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher, textFileLogObserver

from orchestra.observe.log_format import json_observer
from orchestra.websocket.factory import OrchestraFactory
from tests.web.client import UPGRADE, WebClient, request

SECRET = b"Sw0rdf1sh"
REQUESTS = [
    request("GET", "/strings?last=1", **UPGRADE),
    request("GET", "/?x", Origin="http://localhost:8080", **UPGRADE),
    request("GET", "/?x", Sec_WebSocket_Protocol="a, b", Forwarded="for=1.2.3.4", **UPGRADE),
    request("GET", "/api?x", Sec_WebSocket_Extensions="permessage-deflate; a=1", **UPGRADE),
    request("GET", "/strings?since=a:1", Accept="text/event-stream", Last_Event_ID="a:1"),
    request("POST", "/?x", b"hello", Content_Type="text/plain; charset=utf-8"),
    request("POST", "/?x", b"hello", Idempotency_Key='"a"', Authorization="Bearer x"),
    request("PUT", "/strings?x", Cookie="a=b; c=d"),
]
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from([0, 0, 1, 5]),
        st.sampled_from([b"", b" ", b'"', b",", b"\r\n", b"\n", b"\0", b"\xff", b":", b"=", b"/"]),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.usefixtures("clock")
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(REQUESTS), EDITS, st.booleans())
@example(REQUESTS[2], [(0.5, 1, b",")], True)
def test_a_secret_is_nowhere_in_the_log(
    clock: Clock, start: bytes, edits: list[tuple[float, int, bytes]], trusted: bool
) -> None:
    """But for the path, which names the channel, and that is logged."""
    first = start.index(b"?") + 1
    data = start
    for place, less, more in edits:
        at = first + round(place * (len(data) - first))
        data = data[:at] + SECRET + more + data[at + less :]
    factory = OrchestraFactory(
        reactor=clock, log_notes=False, trusted_proxies=["127.0.0.1"] if trusted else []
    )
    files = io.StringIO(), io.StringIO()
    observers = json_observer(files[0]), textFileLogObserver(files[1])
    for observer in observers:
        globalLogPublisher.addObserver(observer)
    try:
        client = WebClient(factory)
        client.send(data)
        clock.advance(1)
        client.vanish()
        factory.activity.flush()
    finally:
        for observer in observers:
            globalLogPublisher.removeObserver(observer)
    for file in files:
        assert SECRET.decode() not in file.getvalue()
