"""The SDK for JavaScript in the pages of a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.pages import open_at
from tests.end_to_end.proxies import relaying
from tests.end_to_end.sdk import BINARY, WAYS, endpoint
from tests.end_to_end.server import PATIENCE, Place, Server, pouring

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CONNECT = """([transport, emulationEndpoint, channel]) => {
    window.events = []
    window.encode = data => protobuf ? new TextEncoder().encode(JSON.stringify(data)) : data
    const decode = data => protobuf ? JSON.parse(new TextDecoder().decode(data)) : data
    const options = {emulationEndpoint, minReconnectDelay: 20, maxReconnectDelay: 200}
    window.centrifuge = new Centrifuge([transport], options)
    window.subscription = centrifuge.newSubscription(
        channel, {recoverable: true, joinLeave: true})
    centrifuge.on("connected", context => { window.client = context.client })
    centrifuge.on("disconnected", context => events.push(["disconnected", context.code]))
    for (const event of ["join", "leave"])
        subscription.on(event, context => events.push([event, context.info.client]))
    subscription.on("publication", context => events.push(["publication", decode(context.data)]))
    subscription.on("subscribed", context => events.push(["subscribed", context.recovered]))
    subscription.subscribe()
    centrifuge.connect()
    return centrifuge.ready(10000)
}"""


class Tabs:
    """The pages of a browser, which all connect in the same way.

    They find the SDK as a module, at a URL that no server is asked for.
    """

    def __init__(self, context: BrowserContext, folder: Path, way: str) -> None:
        self.context = context
        self.way = way
        is_binary = way in BINARY
        bundle = folder / "node_modules/centrifuge/build" / ("protobuf" if is_binary else "")
        context.route("**/sdk.mjs", lambda route: route.fulfill(path=bundle / "index.mjs"))
        context.add_init_script(f"window.protobuf = {str(is_binary).lower()}")

    def open(self, place: Place, channel: str) -> Page:
        """A page with a client that has connected and subscribed."""
        page = self.context.new_page()
        open_at(page, place)
        page.add_script_tag(
            type="module",
            content='import { Centrifuge } from "/sdk.mjs"; window.Centrifuge = Centrifuge;',
        )
        page.wait_for_function("!!window.Centrifuge")
        page.evaluate(CONNECT, [endpoint(place, self.way), place.http("/emulation"), channel])
        assert happened(page, 1) == [["subscribed", False]]
        return page


@pytest.fixture(params=WAYS)
def tabs(request: pytest.FixtureRequest, browser: Browser, node_folder: Path) -> Iterator[Tabs]:
    """Pages without a past."""
    with browser.new_context() as context:
        context.set_default_timeout(1000 * PATIENCE)
        yield Tabs(context, node_folder, request.param)


def happened(page: Page, count: int) -> list[list[Any]]:
    """The next events in a page."""
    page.wait_for_function("count => events.length >= count", arg=count)
    found: list[list[Any]] = page.evaluate("count => events.splice(0, count)", count)
    return found


def test_two_tabs_hear_each_other(tabs: Tabs, server: Server) -> None:
    """And know of each other; a plain WebSocket is heard as well, and hears both."""
    channel = f"tabs-{tabs.way}"
    one = tabs.open(server, channel)
    first = one.evaluate("client")
    assert happened(one, 1) == [["join", first]]
    two = tabs.open(server, channel)
    second = two.evaluate("client")
    assert happened(one, 1) == happened(two, 1) == [["join", second]]
    present = "async () => Object.keys((await subscription.presence()).clients)"
    assert set(one.evaluate(present)) == set(two.evaluate(present)) == {first, second}
    data = [{"a": ["ü"]}, "12", 12, None, ""]
    for page in (one, two):
        for value in data:  # one after the other, since requests may overtake each other
            page.evaluate("data => subscription.publish(encode(data))", value)
    expected = [["publication", value] for value in [*data, *data]]
    assert happened(one, 10) == happened(two, 10) == expected
    with server.connect(f"/{channel}?last=10") as plain:
        texts = ['{"a":["ü"]}', '"12"', "12", "null", ""]
        heard = [plain.recv(timeout=PATIENCE) for _ in range(10)]
        assert heard == ["Echo: " + text for text in [*texts, *texts]]
        plain.send("plain")
        for page in (one, two):
            (kind, _), publication = happened(page, 2)
            assert (kind, publication) == ("join", ["publication", "plain"])
    two.close()
    events = happened(one, 2)
    assert {kind for kind, _ in events} == {"leave"}
    assert ["leave", second] in events


def test_a_page_comes_back(tabs: Tabs, server: Server) -> None:
    """Cut off while messages pour, it hears each of them once, and in order."""
    channel = f"back-{tabs.way}"
    with relaying(server) as relay:
        page = tabs.open(relay, channel)
        with pouring(server, f"/{channel}") as stop:
            page.wait_for_function("events.length > 100")
            relay.cut()
            page.wait_for_function("events.some(([event]) => event === 'subscribed')")
            count = stop()
        with server.connect(f"/{channel}") as player:
            player.send("the end")
        page.wait_for_function("events.some(([_, data]) => data === 'the end')")
        events = page.evaluate("events")
        assert [event for event in events if event[0] == "subscribed"] == [["subscribed", True]]
        heard = [data for event, data in events if event == "publication"]
        assert heard == [*range(count), "the end"]
        page.close()


def test_a_page_of_another_origin(page: Page, server: Server) -> None:
    """It is let in by none of the ways, and its commands are not taken."""
    page.goto(f"http://localhost:{server.port}/healthz")
    outcome = page.evaluate(
        """([ws, http]) => Promise.all([
            new Promise(resolve => {
                const socket = new WebSocket(ws + "/websocket")
                socket.onopen = () => resolve("open")
                socket.onclose = event => resolve(event.code)
            }),
            new Promise(resolve => {
                const source = new EventSource(http + "/connection/sse?cf_connect=%7B%7D")
                source.onopen = () => resolve("open")
                source.onerror = () => resolve(source.readyState)
            }),
            ...["/connection/http_stream", "/emulation"].map(path =>
                fetch(http + path, {method: "POST", body: "{}"}).then(
                    answer => answer.status, error => error.name)),
        ])""",
        [server.url("/connection"), server.http("")],
    )
    assert outcome == [1006, 2, "TypeError", "TypeError"]
