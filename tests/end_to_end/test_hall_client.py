"""The hall's own client in a page of a real browser, and the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.pages import open_at
from tests.end_to_end.proxies import relaying
from tests.end_to_end.server import PATIENCE, Place, Server, pouring, serving
from tests.end_to_end.tokens import key_file, token

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

HALL = Path(__file__).parents[2] / "orchestra/hall"

CONNECT = """async ([url, channel, token]) => {
    const { Client } = await import("/hall/x/client.js")
    window.events = []
    const handlers = {}
    for (const name of ["open", "subscribed", "publication", "join", "leave", "cut", "refused"])
        handlers["on" + name] = event => events.push([name, event])
    window.client = new Client({ url, channel, token, handlers, random: () => 0 })
    client.connect()
}"""

PUBLISH = "async data => { for (const one of data) await client.publish(one) }"


class ClientPages:
    """Pages with a client each, whose modules are at URLs that no server is asked for."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        context.route(
            "**/hall/x/*",
            lambda route: route.fulfill(path=HALL / route.request.url.rpartition("/")[2]),
        )

    def enter(self, place: Place, channel: str, token: str | None = None) -> Page:
        """A page whose client connects."""
        page = self.context.new_page()
        open_at(page, place)
        page.evaluate(CONNECT, [place.url("/connection/websocket"), channel, token])
        return page


@pytest.fixture
def pages(browser: Browser) -> Iterator[ClientPages]:
    """Pages without a past."""
    with browser.new_context() as context:
        context.set_default_timeout(1000 * PATIENCE)
        yield ClientPages(context)


def wait_for(page: Page, kind: str, count: int = 1) -> list[Any]:
    """What happened of a kind, once that is so much."""
    page.wait_for_function(
        "([kind, count]) => events.filter(([one]) => one === kind).length >= count",
        arg=[kind, count],
    )
    return [event for one, event in page.evaluate("events") if one == kind]


def test_two_pages(pages: ClientPages, server: Server) -> None:
    """They hear each other and plain clients, know of each other, and can ask for what was."""
    one = pages.enter(server, "tutti")
    (first,) = wait_for(one, "open")
    assert wait_for(one, "subscribed") == [
        {"recovered": False, "wasRecovering": False, "missed": 0}
    ]
    two = pages.enter(server, "tutti")
    (second,) = wait_for(two, "open")
    assert wait_for(one, "join", 2) == [first, second]
    present = "async () => Object.fromEntries(await client.presence())"
    expected = {info["client"]: info for info in (first, second)}
    assert one.evaluate(present) == two.evaluate(present) == expected
    data = [{"a": ["ü\n"]}, "12", 12, None, "", [0.5]]
    one.evaluate(PUBLISH, data)
    with server.connect("/tutti") as plain:
        plain.send(b"bi")
        (bytes_info,) = wait_for(one, "join", 3)[2:]
        publications = [
            {"data": value, "info": first, "offset": number, "recovered": False}
            for number, value in enumerate(data, 1)
        ]
        publications.append(
            {"data": {"b64": "Ymk="}, "info": bytes_info, "offset": 7, "recovered": False}
        )
        for page in (one, two):
            assert wait_for(page, "publication", 7) == publications
    for publication in publications:
        del publication["recovered"]
    assert two.evaluate("client.history(3)") == publications[-3:]
    assert two.evaluate("client.history(100)") == publications
    two.evaluate("client.close()")
    assert second in wait_for(one, "leave", 2)
    kinds = [kind for kind, _ in one.evaluate("events")]
    assert "cut" not in kinds


def test_calls(pages: ClientPages, server: Server) -> None:
    """The server tells its time, which is between those of the call; what is refused says why."""
    page = pages.enter(server, "calls")
    wait_for(page, "subscribed")
    before, time, after = page.evaluate(
        """async () => {
            const before = Date.now()
            const { time } = await client.rpc("orchestra.time")
            return [before, time, Date.now()]
        }"""
    )
    assert before - 1 <= time <= after + 1
    refusal = "error => [error.name, error.code, error.message, error.temporary]"
    assert page.evaluate(f"client.rpc('no such').catch({refusal})") == [
        "CallError",
        108,
        "not available",
        False,
    ]
    assert page.evaluate(f"client.publish(undefined).catch({refusal})")[1] == 107


def test_a_page_comes_back(pages: ClientPages, server: Server) -> None:
    """Cut off while messages pour, it hears each of them once, in order, and knows which of them
    it has missed: more of them than the reply to its subscription has."""
    with relaying(server) as relay:
        page = pages.enter(relay, "back")
        wait_for(page, "subscribed")
        with pouring(server, "/back") as stop:
            wait_for(page, "publication", 10)
            relay.shut()
            wait_for(page, "cut")
            count = stop()
        with server.connect("/back") as player:
            long = "x" * 50_000
            for _ in range(4):
                player.send(long)
                player.recv(timeout=PATIENCE)
            relay.open()
            page.evaluate("client.retry()")
            wait_for(page, "subscribed", 2)
            player.send("the end")
        page.wait_for_function("events.some(([_, event]) => event.data === 'the end')")
        events = page.evaluate("events")
        heard = [event for kind, event in events if kind == "publication"]
        assert [event["data"] for event in heard] == [*range(count), *[long] * 4, "the end"]
        assert [event["offset"] for event in heard] == list(range(1, count + 6))
        (_, subscribed) = [event for kind, event in events if kind == "subscribed"]
        missed = [event for event in heard if event["recovered"]]
        before = [kind for kind, _ in events[: events.index(["subscribed", subscribed])]]
        assert subscribed == {
            "recovered": True,
            "wasRecovering": True,
            "missed": len(heard) - 1 - before.count("publication"),
        }
        assert missed == heard[before.count("publication") : -1]
        page.close()


def test_another_server(pages: ClientPages, tmp_path: Path) -> None:
    """After the server was killed and started anew the page is told that something is missing."""
    with serving(tmp_path) as first:
        port = first.port
        page = pages.enter(first, "anew")
        wait_for(page, "subscribed")
        page.evaluate(PUBLISH, [1, 2])
        wait_for(page, "publication", 2)
        first.process.kill()
        (cut,) = wait_for(page, "cut")
    assert cut == {"code": 1006, "reason": "", "delay": 200}
    page.evaluate("client.publish(3).catch(error => events.push(['failed', error.code]))")
    assert wait_for(page, "failed") == [0]
    wait_for(page, "cut", 2)  # there is nobody
    with serving(tmp_path, "--listen", f"tcp:{port}:interface=127.0.0.1") as second:
        assert wait_for(page, "subscribed", 2)[1] == {
            "recovered": False,
            "wasRecovering": True,
            "missed": 0,
        }
        page.evaluate(PUBLISH, [4])
        heard = wait_for(page, "publication", 3)
        assert [(event["data"], event["offset"]) for event in heard] == [(1, 1), (2, 2), (4, 1)]
        second.stop()
        shutdown = {"code": 3001, "reason": "shutdown", "delay": 200}
        page.wait_for_function("events.some(([kind, event]) => event.code === 3001)")
        assert shutdown in wait_for(page, "cut")


def test_tokens(pages: ClientPages, tmp_path: Path) -> None:
    """Without one, and with a wrong or an expired one, the page is refused and does not try again;
    with one that does not allow the channel, too; with the right one it comes in after all."""
    with serving(tmp_path, "--token-key-file", key_file(tmp_path)) as server:
        page = pages.enter(server, "strings")
        caps = [{"channels": ["strings"], "allow": ["sub", "prs"]}]
        wrong = [token(key="1" * 32), token(exp=1), token(caps=[])]
        for number, one in enumerate(wrong, 1):
            wait_for(page, "refused", number)
            page.evaluate("token => { client.token = token; client.connect() }", one)
        found = wait_for(page, "refused", 4)
        assert [event["code"] for event in found] == [3500, 3500, 109, 103]
        assert found[0]["reason"] == "a token is needed"
        assert not page.evaluate("events.some(([kind]) => kind === 'cut')")
        right = token(caps=caps)
        page.evaluate("token => { client.token = token; client.connect() }", right)
        wait_for(page, "subscribed")
        server.stop()
