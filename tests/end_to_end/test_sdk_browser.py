"""The SDK for JavaScript in the pages of a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.commands import PATH
from tests.end_to_end.pages import open_at
from tests.end_to_end.proxies import relaying
from tests.end_to_end.server import PATIENCE, Place, Server, pouring

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

BUNDLES = {"websocket": "build/index.mjs", "protobuf": "build/protobuf/index.mjs"}
"""What the package has for browsers, by what is spoken."""

CONNECT = """([url, channel]) => {
    window.events = []
    window.encode = data => protobuf ? new TextEncoder().encode(JSON.stringify(data)) : data
    const decode = data => protobuf ? JSON.parse(new TextDecoder().decode(data)) : data
    const options = {minReconnectDelay: 20, maxReconnectDelay: 200}
    window.centrifuge = new Centrifuge(url, options)
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


@pytest.fixture(params=BUNDLES)
def context(
    request: pytest.FixtureRequest, browser: Browser, node_folder: Path
) -> Iterator[BrowserContext]:
    """Pages that find the SDK as a module, at a URL that no server is asked for."""
    bundle = node_folder / "node_modules" / "centrifuge" / BUNDLES[request.param]
    is_binary = str(request.param == "protobuf").lower()
    with browser.new_context() as context:
        context.set_default_timeout(1000 * PATIENCE)
        context.route("**/sdk.mjs", lambda route: route.fulfill(path=bundle))
        context.add_init_script(f"window.protobuf = {is_binary}")
        yield context


def tab(context: BrowserContext, place: Place, channel: str) -> Page:
    """A page with a client that has connected and subscribed."""
    page = context.new_page()
    open_at(page, place)
    page.add_script_tag(
        type="module",
        content='import { Centrifuge } from "/sdk.mjs"; window.Centrifuge = Centrifuge;',
    )
    page.wait_for_function("!!window.Centrifuge")
    page.evaluate(CONNECT, [place.url(PATH), channel])
    assert happened(page, 1) == [["subscribed", False]]
    return page


def happened(page: Page, count: int) -> list[list[Any]]:
    """The next events in a page."""
    page.wait_for_function("count => events.length >= count", arg=count)
    found: list[list[Any]] = page.evaluate("count => events.splice(0, count)", count)
    return found


def test_two_tabs_hear_each_other(
    context: BrowserContext, server: Server, request: pytest.FixtureRequest
) -> None:
    """And know of each other; a plain WebSocket is heard as well, and hears both."""
    channel = f"tabs-{request.node.callspec.id}"
    one = tab(context, server, channel)
    first = one.evaluate("client")
    assert happened(one, 1) == [["join", first]]
    two = tab(context, server, channel)
    second = two.evaluate("client")
    assert happened(one, 1) == happened(two, 1) == [["join", second]]
    present = "async () => Object.keys((await subscription.presence()).clients)"
    assert set(one.evaluate(present)) == set(two.evaluate(present)) == {first, second}
    data = [{"a": ["ü"]}, "12", 12, None, ""]
    for page in (one, two):
        page.evaluate("data => Promise.all(data.map(d => subscription.publish(encode(d))))", data)
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


def test_a_page_comes_back(
    context: BrowserContext, server: Server, request: pytest.FixtureRequest
) -> None:
    """Cut off while messages pour, it hears each of them once, and in order."""
    channel = f"back-{request.node.callspec.id}"
    with relaying(server) as relay:
        page = tab(context, relay, channel)
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


def test_a_page_of_another_origin(context: BrowserContext, server: Server) -> None:
    """It is not let in, whatever it asks for."""
    page = tab(context, server, "origins")
    other = context.new_page()
    other.goto(f"http://localhost:{server.port}/healthz")
    outcome = other.evaluate(
        """url => new Promise(resolve => {
            const socket = new WebSocket(url)
            socket.onopen = () => resolve("open")
            socket.onclose = event => resolve(event.code)
        })""",
        server.url(PATH),
    )
    assert outcome == 1006
    assert page.evaluate("centrifuge.state") == "connected"
