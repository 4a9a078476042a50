"""The real server, as the pages in a real browser see it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.pages import POST, SUBMIT, hear, listen, open_at
from tests.end_to_end.proxies import Relay, relaying
from tests.end_to_end.server import PATIENCE, Place, Server, pouring, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

MIB = 1024 * 1024

MEDDLE = """async ([http, ws]) => {
    const source = new EventSource(http)
    const socket = new WebSocket(ws)
    const post = options => fetch(http, {method: "POST", body: "foreign", ...options})
    return Promise.all([
        new Promise(resolve => {
            source.onopen = () => resolve("open")
            source.onerror = () => resolve(source.readyState)
        }),
        new Promise(resolve => {
            socket.onopen = () => { socket.send("foreign"); resolve("open") }
            socket.onclose = event => resolve(event.code)
        }),
        fetch(http + "?presence").then(answer => answer.status, error => error.name),
        post({}).then(answer => answer.status, error => error.name),
        post({mode: "no-cors"}).then(answer => answer.type, error => error.name),
    ])
}"""


@pytest.fixture(scope="module")
def friendly(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Server]:
    """A server that lets in the pages of the other one as well as its own."""
    origins = ("--origin=same", "--origin", server.http(""))
    with serving(tmp_path_factory.mktemp("friendly"), *origins) as friendly:
        yield friendly
        assert friendly.stop() == 0
    assert "Traceback" not in friendly.text


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    """What stands between the browser and the server, and may fail."""
    with relaying(server) as relay:
        yield relay


def play(place: Place, path: str, *messages: str | bytes) -> None:
    """Play messages, and wait until they have been played."""
    with place.connect(path) as player:
        for message in messages:
            player.send(message)
            player.recv(timeout=PATIENCE)


def test_an_event_source_hears_everything(page: Page, server: Server) -> None:
    """Text with all its lines, binary data to the byte, nothing, and a great deal."""
    messages = ["hello", "one\ntwo\n\n four\n", "", "Grüße 🎻 \x00", b"\x00\xff", b"", "x" * MIB]
    open_at(page, server)
    listen(page, "/everything")
    play(server, "/everything", *messages)
    assert hear(page, len(messages)) == [
        ["message", message]
        if isinstance(message, str)
        else ["binary", base64.b64encode(message).decode()]
        for message in messages
    ]


def test_an_event_source_and_a_web_socket_hear_each_other(page: Page, server: Server) -> None:
    """What a page plays by either way, all its ways of listening hear."""
    open_at(page, server)
    listen(page, "/both")
    page.evaluate(
        """url => {
            window.echoes = []
            window.socket = new WebSocket(url)
            socket.onmessage = event => echoes.push(event.data)
            return new Promise(resolve => { socket.onopen = resolve })
        }""",
        server.url("/both"),
    )
    page.evaluate("socket.send('sent')")
    assert hear(page, 1) == [["message", "sent"]]
    status, _, _ = page.evaluate(POST, [server.http("/both"), "text/plain", "", "posted"])
    assert status == 200
    assert hear(page, 1) == [["message", "posted"]]
    page.wait_for_function("echoes.length === 2")
    assert page.evaluate("echoes") == ["Echo: sent", "Echo: posted"]


def test_an_event_source_knows_who_is_there(page: Page, server: Server) -> None:
    """It is told who comes and who leaves, and can ask who is there."""
    open_at(page, server)
    listen(page, "/present?presence")
    known = "async () => (await (await fetch('/present?presence')).json()).clients"
    with server.connect("/present"):
        ((kind, joined),) = hear(page, 1)
        assert page.evaluate(known) == 2
    (left,) = hear(page, 1)
    member = json.loads(joined)["join"]
    assert (kind, left) == (
        "presence",
        ["presence", json.dumps({"leave": member}).replace(" ", "")],
    )
    assert page.evaluate(known) == 1


def test_an_event_source_comes_back_by_itself(page: Page, relay: Relay, server: Server) -> None:
    """Cut off twice while messages pour, it hears each of them once, and in order."""
    open_at(page, relay)
    listen(page, "/back")
    with pouring(server, "/back") as stop:
        for times in (1, 2):
            page.wait_for_function("count => heard.length > count", arg=100 * times)
            relay.cut()
            page.wait_for_function("count => opened > count", arg=times)
        count = stop()
    play(server, "/back", "the end")
    heard = hear(page, count + 1)
    assert heard == [["message", str(number)] for number in range(count)] + [
        ["message", "the end"]
    ]


def test_an_event_source_is_told_of_a_gap(page: Page, tmp_path: Path) -> None:
    """Away for too long, it learns how many messages are gone, and hears what is there."""
    with serving(tmp_path, "--history-messages=3") as server, relaying(server) as relay:
        open_at(page, relay)
        listen(page, "/gap")
        play(server, "/gap", "1", "2")
        assert hear(page, 2) == [["message", "1"], ["message", "2"]]
        relay.shut()
        play(server, "/gap", *map(str, range(3, 11)))
        relay.open()
        (kind, missed), *heard = hear(page, 4)
        assert (kind, json.loads(missed)) == ("gap", {"missed": 5})
        assert heard == [["message", str(number)] for number in (8, 9, 10)]
        play(server, "/gap", "11")
        assert hear(page, 1) == [["message", "11"]]
        assert server.stop() == 0


def test_an_event_source_survives_the_server(page: Page, tmp_path: Path) -> None:
    """It comes back to the next one, and learns that what it has missed cannot be known."""
    with serving(tmp_path) as first, relaying(first) as relay:
        open_at(page, relay)
        listen(page, "/restarted")
        play(first, "/restarted", "before")
        assert first.stop() == 0
        assert hear(page, 1) == [["message", "before"]]
        with serving(tmp_path) as second:
            play(second, "/restarted", "between")
            relay.target = second
            (kind, missed), heard = hear(page, 2)
            assert (kind, json.loads(missed)) == ("gap", {"missed": None})
            assert heard == ["message", "between"]
            play(second, "/restarted", "after")
            assert hear(page, 1) == [["message", "after"]]
            assert second.stop() == 0


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_is_kept_out(
    page: Page, server: Server, friendly: Server, name: str
) -> None:
    """Another port or name is enough: it hears nothing, and plays nothing, not unseen either."""
    url = server.http("/private")
    with server.connect("/private") as listener:
        page.goto(f"http://{name}:{friendly.port}/healthz")
        outcome = page.evaluate(MEDDLE, [url, server.url("/private")])
        assert outcome == [2, 1006, "TypeError", "TypeError", "opaque"]
        with page.expect_response(url) as response:
            page.evaluate(SUBMIT, url)
        assert response.value.status == 403
        for _ in [*outcome, response]:
            server.wait_for("403 pages of this origin are not allowed to connect")
        listener.send("after")
        assert listener.recv(timeout=PATIENCE) == "Echo: after"


def test_a_page_of_an_origin_that_is_allowed(page: Page, server: Server, friendly: Server) -> None:
    """It hears, plays and asks like one's own, also where its browser asks for leave first."""
    url = friendly.http("/shared")
    open_at(page, server)
    listen(page, url)
    first, second = (
        page.evaluate(POST, [url, "application/json", "8e03978e", '{"a": 1}']) for _ in range(2)
    )
    assert first[:2] == [200, None]
    assert json.loads(first[2])["offset"] == 1
    assert second == [200, "true", first[2]]
    assert hear(page, 1) == [["message", '{"a": 1}']]
    outcome = page.evaluate(MEDDLE, [url, friendly.url("/shared")])
    assert outcome == ["open", "open", 200, 200, "opaque"]
    assert hear(page, 3) == [["message", "foreign"]] * 3


@pytest.mark.parametrize("home", ["friendly", "server"], ids=["its own", "another"])
@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [("application/pdf", "x", 415), ("text/plain", "x" * (MIB + 1), 413)],
    ids=["of a type that is none", "too large"],
)
def test_a_page_is_told_why_it_is_refused(
    request: pytest.FixtureRequest,
    page: Page,
    friendly: Server,
    home: str,
    kind: str,
    body: str,
    status: int,
) -> None:
    """Whatever origin it has, if it may connect it may read that too."""
    open_at(page, request.getfixturevalue(home))
    answer = page.evaluate(POST, [friendly.http("/refused"), kind, "", body])
    assert answer[0] == status
    assert "must be" in answer[2]
