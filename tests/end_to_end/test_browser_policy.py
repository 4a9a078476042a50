"""Tokens of pages in a real browser, and pages that would use a cookie of somebody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.conftest import Curl
from tests.end_to_end.pages import SUBMIT, hear, listen, open_at
from tests.end_to_end.server import PATIENCE, Server, serving
from tests.end_to_end.tokens import API_KEY, allowing, api_key_file, key_file, token

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, BrowserType, Frame, Page

# Everything that a page can do with the cookies of its user; what comes of it, in this order.
MEDDLE = """async ([http, ws]) => {
    const source = new EventSource(http, {withCredentials: true})
    const socket = new WebSocket(ws)
    const ask = (url, options) => fetch(url, {credentials: "include", ...options})
    const post = {method: "POST", body: "foreign"}
    const stream = {headers: {Accept: "text/event-stream"}}
    return Promise.all([
        new Promise(resolve => {
            source.onopen = () => resolve("open")
            source.onerror = () => resolve(source.readyState)
        }),
        new Promise(resolve => {
            socket.onopen = () => { socket.send("foreign"); resolve("open") }
            socket.onclose = event => resolve(event.code)
        }),
        ask(http + "?presence=count").then(answer => answer.status, error => error.name),
        ask(http, stream).then(answer => answer.status, error => error.name),
        ask(http, post).then(answer => answer.status, error => error.name),
        ask(http, {mode: "no-cors", ...post}).then(answer => answer.type, error => error.name),
    ])
}"""
KEPT_OUT = [2, 1006, "TypeError", "TypeError", "TypeError", "opaque"]

# A stream that is asked for without saying whose page wants it, and is not to be read.
LISTEN_UNSEEN = """url => fetch(url, {
    mode: "no-cors", credentials: "include", headers: {Accept: "text/event-stream"}
}).then(answer => answer.type)"""

# A frame whose page has no origin, whatever its own is.
SANDBOX = """() => new Promise(resolve => {
    const frame = document.createElement("iframe")
    Object.assign(frame, {sandbox: "allow-scripts allow-forms", srcdoc: "<p>", onload: resolve})
    document.body.append(frame)
})"""

# What a request is answered.
ASK = """async ([url, options]) => {
    const answer = await fetch(url, options)
    return [answer.status, (await answer.text()).trim()]
}"""

SOCKET = """([url, protocols]) => new Promise(resolve => {
    const socket = new WebSocket(url, protocols)
    const notes = []
    socket.onopen = () => socket.send("hello")
    socket.onmessage = event => { notes.push(event.data); socket.close(3000) }
    socket.onclose = event => resolve([socket.protocol, notes, event.code, event.reason])
})"""


@pytest.fixture(scope="module")
def context(
    chromium: tuple[BrowserType, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    """A browser that sends cookies of other sites too, as not all do any more; and other sites."""
    kind, options = chromium
    profile = tmp_path_factory.mktemp("profile")
    (profile / "Default").mkdir()
    preferences = {"profile": {"cookie_controls_mode": 0}}
    (profile / "Default" / "Preferences").write_text(json.dumps(preferences))
    arguments = [*options["args"], "--host-resolver-rules=MAP *.example 127.0.0.1"]
    with kind.launch_persistent_context(profile, **options | {"args": arguments}) as context:
        context.set_default_timeout(1000 * PATIENCE)
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that has been nowhere, and whose user has no cookies."""
    context.clear_cookies()
    with context.new_page() as page:
        yield page


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes tokens in cookies, and lets in its own pages alone."""
    yield from taking_cookies(tmp_path_factory.mktemp("guarded"))


@pytest.fixture(scope="module")
def friendly(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Server]:
    """One that lets in, with cookies, the pages of another server under both of its names."""
    origins = [f"--origin=http://{name}:{server.port}" for name in ("127.0.0.1", "localhost")]
    yield from taking_cookies(tmp_path_factory.mktemp("friendly"), *origins)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Server]:
    """One that lets in the pages of another server, but takes no cookies."""
    folder = tmp_path_factory.mktemp("strict")
    options = ("--token-key-file", key_file(folder), "--origin=same", "--origin", server.http(""))
    with serving(folder, *options) as strict:
        yield strict
        assert strict.stop() == 0
    assert "Traceback" not in strict.text


def taking_cookies(folder: Path, *origins: str) -> Iterator[Server]:
    files = ("--token-key-file", key_file(folder), "--api-key-file", api_key_file(folder))
    with serving(folder, *files, "--token-cookie=session", *origins) as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


def log_in(page: Page, same_site: str) -> None:
    """Give the page's user a cookie, as if an application on 127.0.0.1 had set it."""
    page.context.add_cookies(
        [
            {
                "name": "session",
                "value": token(),
                "domain": "127.0.0.1",
                "path": "/",
                "httpOnly": True,
                # Without which there is no "None". To a browser, the loopback is secure.
                "secure": same_site == "None",
                "sameSite": same_site,
            }
        ]
    )


def test_a_page_of_its_own_with_a_cookie(page: Page, guarded: Server, curl: Curl) -> None:
    """It hears and plays in every way, as whoever the cookie says; without one it does not."""
    url = guarded.http("/own")
    open_at(page, guarded)
    outcome = page.evaluate(MEDDLE, [url, guarded.url("/own")])
    assert outcome == [2, 1006, 401, 401, 401, "basic"]
    log_in(page, "Strict")
    listen(page, url)
    key = ("--header", f"X-API-Key: {API_KEY}")
    (member,) = json.loads(curl(url + "?presence", *key).body)["members"]
    assert member["identity"] == "oboe"
    assert page.evaluate(SOCKET, [guarded.url("/own"), []]) == ["", ["Echo: hello"], 3000, ""]
    assert page.evaluate(ASK, [url, {"method": "POST", "body": "posted"}])[0] == 200
    assert page.evaluate(ASK, [url + "?presence=count", {}])[0] == 200
    assert hear(page, 2) == [["message", "hello"], ["message", "posted"]]


def go_elsewhere(page: Page, server: Server, home: str) -> Page | Frame:
    """Go to a page that has nothing to do with 127.0.0.1 but its user's cookie there."""
    names = {"another site": "page.example", "another name": "localhost"}
    page.goto(f"http://{names.get(home, '127.0.0.1')}:{server.port}/healthz")
    if home != "nowhere":
        return page
    page.evaluate(SANDBOX)
    return page.frames[1]


@pytest.mark.parametrize("same_site", ["None", "Lax", "Strict"])
@pytest.mark.parametrize("home", ["another site", "another name", "another port", "nowhere"])
def test_a_page_of_another_origin_with_its_users_cookie(
    page: Page, guarded: Server, server: Server, curl: Curl, home: str, same_site: str
) -> None:
    """Whatever it tries, it does not get in: it hears nothing, plays nothing, and is not there."""
    path = f"/{home.replace(' ', '-')}-{same_site}"
    url, key = guarded.http(path), ("--header", f"X-API-Key: {API_KEY}")
    log_in(page, same_site)
    open_at(page, guarded)
    assert page.evaluate(ASK, [url + "?presence=count", {}])[0] == 200
    there = go_elsewhere(page, server, home)
    with curl.stream(url + "?presence", *key) as stream:
        assert there.evaluate(MEDDLE, [url, guarded.url(path)]) == KEPT_OUT
        for _ in KEPT_OUT:
            guarded.wait_for(": 403 pages of this origin are not allowed to connect$")
        assert there.evaluate(LISTEN_UNSEEN, url) == "opaque"
        guarded.wait_for(": 401 a token is needed$")
        with there.expect_navigation() as response:
            there.evaluate(SUBMIT, url)
        assert response.value.status == 403
        guarded.wait_for(": 403 pages of this origin are not allowed to connect$")
        assert curl.post(url, "after", *key).status == 200
        assert stream.hear()[:2] == ("message", "after")


@pytest.mark.parametrize(
    ("name", "same_site"),
    [("127.0.0.1", "Strict"), ("localhost", "None"), ("localhost", "Lax")],
    ids=["another port", "another name", "another name, Lax"],
)
def test_a_page_of_an_origin_that_is_allowed(
    page: Page, friendly: Server, server: Server, curl: Curl, name: str, same_site: str
) -> None:
    """It does all that one of its own does, if its browser sends the cookie; and reads it."""
    path = f"/{name}-{same_site}"
    url = friendly.http(path)
    log_in(page, same_site)
    page.goto(f"http://{name}:{server.port}/healthz")
    outcome = page.evaluate(MEDDLE, [url, friendly.url(path)])
    if (name, same_site) == ("localhost", "Lax"):
        assert outcome == [2, 1006, 401, 401, 401, "opaque"]
        return
    assert outcome == ["open", "open", 200, 200, 200, "opaque"]
    # Not without saying where it comes from, which it could not read anyway.
    assert page.evaluate(LISTEN_UNSEEN, url) == "opaque"
    friendly.wait_for(": 401 a token is needed$")
    key = ("--header", f"X-API-Key: {API_KEY}")
    members = json.loads(curl(url + "?presence", *key).body)["members"]
    assert {member["identity"] for member in members} == {"oboe"}
    asked = page.evaluate(
        ASK, [url, {"method": "POST", "credentials": "include", "body": "x" * (2**20 + 1)}]
    )
    assert asked == [413, "a message must be 1048576 bytes or less"]


def test_credentials_are_for_cookies_alone(
    page: Page, friendly: Server, strict: Server, server: Server
) -> None:
    """Where a cookie counts for nothing, no page of another origin is allowed to send any."""
    log_in(page, "None")
    open_at(page, server)
    for place, allowed in ((friendly, "true"), (strict, None)):
        asked = page.request.get(place.http("/x"), headers={"Origin": server.http("")})
        assert asked.headers["access-control-allow-origin"] == server.http("")
        assert asked.headers["vary"] == "Origin"
        assert asked.headers.get("access-control-allow-credentials") == allowed
    outcome = page.evaluate(MEDDLE, [strict.http("/x"), strict.url("/x")])
    assert outcome == KEPT_OUT
    assert page.evaluate(ASK, [strict.http("/x"), {}]) == [401, "a token is needed"]


@pytest.mark.parametrize("home", ["strict", "server"], ids=["its own", "another that may"])
def test_a_page_sends_a_token(
    request: pytest.FixtureRequest, page: Page, strict: Server, home: str
) -> None:
    """By a subprotocol, in the URL, or in a header, for which its browser asks for leave first."""
    open_at(page, request.getfixturevalue(home))
    url, path = strict.http(f"/{home}"), f"/{home}"
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    listen(page, f"{url}?token={token()}")
    socket = [strict.url(path), ["bearer", token()]]
    assert page.evaluate(SOCKET, socket) == ["bearer", ["Echo: hello"], 3000, ""]
    post: dict[str, Any] = {"method": "POST", "body": '{"a": 1}', "headers": headers}
    assert page.evaluate(ASK, [url, post])[0] == 200
    assert hear(page, 2) == [["message", "hello"], ["message", '{"a": 1}']]
    presence = page.evaluate(ASK, [url + "?presence", {"headers": headers}])
    (member,) = json.loads(presence[1])["members"]
    assert member["identity"] == "oboe"


@pytest.mark.parametrize("home", ["strict", "server"], ids=["its own", "another that may"])
def test_a_page_is_told_why_its_token_does_not_do(
    request: pytest.FixtureRequest, page: Page, strict: Server, home: str
) -> None:
    """If it is refused it can read why; a WebSocket learns it only once it is open."""
    open_at(page, request.getfixturevalue(home))
    url, path = strict.http("/told"), "/told"
    old = {"Authorization": f"Bearer {token(exp=1)}"}
    told = [401, "the token has expired"]
    assert page.evaluate(ASK, [url, {"method": "POST", "body": "x", "headers": old}]) == told
    assert page.evaluate(ASK, [f"{url}?token={token(exp=1)}", {}]) == told
    meek = {"Authorization": f"Bearer {allowing('sub')}"}
    told = [403, "publishing is not allowed in this channel"]
    assert page.evaluate(ASK, [url, {"method": "POST", "body": "x", "headers": meek}]) == told
    refused = page.evaluate(SOCKET, [strict.url(path), ["bearer", token(exp=1)]])
    assert refused == ["", [], 1006, ""]
    closed = page.evaluate(SOCKET, [strict.url(path), ["bearer", allowing("sub")]])
    assert closed == ["bearer", [], 1008, "publishing is not allowed in this channel"]
