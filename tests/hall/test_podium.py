"""The podium's page and its modules, with numbers and a time that the test gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.server import PATIENCE
from tests.hall.conftest import answer
from tests.hall.files import HALL

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

UNKNOWN = "\u2013"
COUNTERS = ("published_messages_total", "deliveries_total", "delivered_bytes_total")


def told(time: float, server: str = "a", **values: float) -> dict[str, Any]:
    """What a server tells at a time, of which it is said what is not 0."""
    names = (
        *COUNTERS,
        *("connections", "subscribers", "lagging_subscribers", "full_connections", "channels"),
        *("held_publishers", "buffered_bytes", "buffered_limit_bytes", "evicted_readers_total"),
        *("missed_messages_total", "retained_messages", "retained_bytes"),
    )
    samples = [
        {"name": f"orchestra_{name}", "labels": {}, "value": values.get(name, 0)} for name in names
    ]
    return {"server": server, "time": time, "samples": samples, "busiest": []}


def figures(hall: Page, before: Any, now: Any) -> Any:
    """What follows from both."""
    return hall.evaluate(
        "async args => (await import('/hall/x/figures.js')).figures(...args)", [before, now]
    )


def busy(channel: str, published: int) -> dict[str, Any]:
    """A channel."""
    return {
        "channel": channel,
        "subscribers": 1,
        "published": published,
        "retained_messages": 2,
        "retained_bytes": 3,
    }


def test_rates(hall: Page) -> None:
    """What is counted is told by the second, and by the time that the server's clock says."""
    before = told(10, published_messages_total=100, evicted_readers_total=1)
    now = told(
        12, published_messages_total=300, evicted_readers_total=2, connections=7, channels=3
    )
    # Labels are summed up.
    now["samples"].append({"name": "orchestra_connections", "labels": {"a": "b"}, "value": 4})
    before["busiest"], now["busiest"] = [busy("old", 5)], [busy("old", 25), busy("new", 9)]
    found = figures(hall, before, now)
    assert (found["messages"], found["deliveries"], found["evictions"]) == (100, 0, 30)
    assert (found["connections"], found["channels"], found["evicted"]) == (11, 3, 2)
    assert [each["messages"] for each in found["busiest"]] == [10, None]


@pytest.mark.parametrize(
    "before",
    [
        None,
        told(10, "another", published_messages_total=1),
        told(10, published_messages_total=301),
        told(12, published_messages_total=1),
        told(13, published_messages_total=1),
    ],
    ids=["first", "another server", "counted back", "same time", "time went back"],
)
def test_no_rate(hall: Page, before: Any) -> None:
    """Where it cannot be known it is not guessed, and what is now is still told."""
    found = figures(hall, before, told(12, published_messages_total=300, connections=7))
    assert (found["messages"], found["connections"]) == (None, 7)


def test_percentiles(hall: Page) -> None:
    """By nearest rank, whatever the order; of nothing there is none."""
    found = hall.evaluate(
        """async () => {
            const { percentile } = await import("/hall/x/percentile.js")
            const hundred = Array.from({ length: 100 }, (_, n) => 100 - n)
            return [[hundred, 50], [hundred, 99], [hundred, 100], [hundred, 0.1], [[7], 99],
                [[10, 9, 100], 50], [[], 50]].map(args => percentile(...args))
        }"""
    )
    assert found == [50, 99, 100, 1, 7, 10, None]


def test_round_trips(hall: Page) -> None:
    """One's own are measured, once each, and count for half a minute; what does not come back
    counts for nothing."""
    found = hall.evaluate(
        """async () => {
            const { RoundTrips } = await import("/hall/x/latency.js")
            const trips = new RoundTrips("me")
            const lost = trips.sent(0)
            const first = trips.sent(1000)
            trips.heard(first, 1005)
            for (const other of [first, {probe: ["you", 1]}, {probe: ["me", 9]}, "x", null, [1]])
                trips.heard(other, 1500)
            const one = trips.read(2000)
            const second = trips.sent(20000)
            trips.heard(lost, 20010)
            trips.heard(second, 20020)
            return [one, trips.read(20020), trips.read(31005), trips.read(50020)]
        }"""
    )
    assert found == [
        {"p50": 5, "p99": 5},
        {"p50": 5, "p99": 20},
        {"p50": 20, "p99": 20},
        {"p50": None, "p99": None},
    ]


def test_too_much_to_read(hall: Page) -> None:
    """It is counted anew each second."""
    found = hall.evaluate(
        """async () => {
            const { limit } = await import("/hall/x/latency.js")
            const isTooMuch = limit(2)
            return [0, 1, 2, 999, 1000, 1001, 1002].map(isTooMuch)
        }"""
    )
    assert found == [False, False, True, True, False, False, True]


def test_scale(hall: Page) -> None:
    """It ends at a round number, with room above the highest value."""
    found = hall.evaluate(
        """async () => {
            const { scaleEnd } = await import("/hall/x/plot.js")
            return [0, 0.8, 1, 5, 8, 9, 17, 99, 12345].map(scaleEnd)
        }"""
    )
    assert found == [1, 1, 2, 10, 10, 20, 50, 200, 20000]


PLOT = """async () => {
    const { Plot } = await import("/hall/x/plot.js")
    const canvas = document.body.appendChild(document.createElement("canvas"))
    canvas.style.cssText = "display: block; width: 200px; height: 50px; --one: #ff0000"
    let time = 0
    window.plot = new Plot(canvas, [{ colour: "--one" }], { span: 10000, now: () => time })
    window.goTo = to => { time = to }
    // The leftmost and the rightmost pixel that is red.
    window.seen = () => {
        const { width, height } = canvas
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height)
        const columns = []
        for (let at = 0; at < data.length; at += 4)
            if (data[at] > 200 && data[at + 1] < 100 && data[at + 3] > 100)
                columns.push((at / 4) % width)
        return columns.length ? [Math.min(...columns) / width, Math.max(...columns) / width] : null
    }
    await new Promise(requestAnimationFrame)
}"""


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_plot_moves(hall: Page, ratio: int) -> None:
    """A line is drawn of what was added, with as many pixels as there are, and moves to the left
    with the time; a value that is missing leaves a gap."""
    session = hall.context.new_cdp_session(hall)
    session.send(
        "Emulation.setDeviceMetricsOverride",
        {"width": 400, "height": 400, "deviceScaleFactor": ratio, "mobile": False},
    )
    hall.evaluate(PLOT)
    hall.wait_for_function(f"document.querySelector('canvas').width === {200 * ratio}")
    assert hall.evaluate("[plot.draw(), seen()][1]") is None
    for time, value in ((1000, 5), (2000, 9), (3000, None)):
        hall.evaluate("([t, v]) => { goTo(t); plot.add([v]) }", [time, value])
    places = []
    for time in (5000, 8000):
        hall.evaluate("t => { goTo(t); plot.draw() }", time)
        places.append(hall.evaluate("seen()"))
    width = 1 / 10
    for (left, right), moved in zip(places, (0, 0.3), strict=True):
        assert left == pytest.approx(1 - 0.28 - moved, abs=0.02)
        assert right - left == pytest.approx(width, abs=0.02)
    # It moves by itself.
    hall.evaluate("goTo(9000)")
    hall.wait_for_function("seen()[0] < 0.35")
    hall.evaluate("goTo(30000)")
    hall.wait_for_function("seen() === null")


def test_a_plot_that_stands_still(hall: Page) -> None:
    """Where motion is not wanted it is drawn when there is something new, and not in between."""
    hall.emulate_media(reduced_motion="reduce")
    hall.evaluate(PLOT)
    for time in (1000, 2000):
        hall.evaluate("t => { goTo(t); plot.add([5]) }", time)
    before = hall.evaluate("seen()")
    assert before[1] == pytest.approx(1, abs=0.02)
    hall.evaluate("async () => { goTo(7000); await new Promise(f => setTimeout(f, 50)) }")
    assert hall.evaluate("seen()") == before
    hall.evaluate("plot.add([5])")
    assert hall.evaluate("seen()")[0] < before[0] - 0.4


POLLER = """async () => {
    const { Poller } = await import("/hall/x/poller.js")
    const { Timers } = await import("/fakes.js")
    const timers = new Timers()
    window.heard = []
    const handlers = {}
    for (const name of ["figures", "away", "refused"])
        handlers["on" + name] = event => heard.push([name, event])
    let answer
    window.poller = new Poller({ url: "/n", handlers, timers, random: () => 1,
        fetch: async (url, options) => { window.asked = [url, options]; return answer() } })
    // What is answered when it asks next, and what is heard then.
    window.next = async (make, isFirst) => {
        answer = make
        if (isFirst) poller.start()
        else timers.advance(...timers.waits)
        const [patience] = timers.pending.keys()
        while (timers.pending.has(patience)) await new Promise(done => setTimeout(done))
        return [heard.splice(0), timers.waits]
    }
    window.json = told => () => new Response(JSON.stringify(told))
}"""


def test_polling(hall: Page) -> None:
    """Once a second; less often while the server is away; not at all when it refuses; and anew
    from the start when somebody wants it."""
    hall.evaluate(POLLER)

    def following(code: str, argument: Any = None, first: bool = False) -> Any:
        return hall.evaluate(f"([a, first]) => next({code}, first)", [argument, first])

    (((kind, found),), timers) = following("json(a)", told(10), first=True)
    assert (kind, found["messages"], timers) == ("figures", None, [1000])
    (((_, found),), timers) = following("json(a)", told(11, published_messages_total=5))
    assert (found["messages"], timers) == (5, [1000])
    assert following("json(a)", told(11, published_messages_total=5)) == [[], [1000]]
    delays = []
    for broken in ("() => { throw 1 }", "() => new Response('x')", "json({})", "json(null)"):
        (((kind, event),), timers) = following(broken)
        assert (kind, [event["delay"]]) == ("away", timers)
        delays += timers
    assert delays == sorted(set(delays))
    (((kind, event),), _) = following("() => new Response('stopping', {status: 503})")
    assert (kind, event["reason"]) == ("away", "stopping")
    (((_, found),), timers) = following("json(a)", told(3, "b", published_messages_total=2))
    assert (found["messages"], timers) == (None, [1000])
    (((_, event),), timers) = following("() => { throw 1 }")
    assert timers == [delays[0]]
    refuse = "() => new Response('no\\n', {status: 401, headers: {'WWW-Authenticate': 'ApiKey'}})"
    expected = [[["refused", {"reason": "no", "takes": "apikey"}]], []]
    assert following(refuse) == expected
    hall.evaluate("poller.headers = {a: 'b'}")
    refuse = "() => new Response('', {status: 403})"
    expected = [[["refused", {"reason": "status 403", "takes": None}]], []]
    assert following(refuse, first=True) == expected
    assert hall.evaluate("[asked[0], asked[1].headers, asked[1].cache]") == [
        "/n",
        {"a": "b"},
        "no-store",
    ]


LOAD = """async () => {
    const { Load } = await import("/hall/x/load.js")
    const { Socket, sockets, Timers } = await import("/fakes.js")
    window.timers = new Timers()
    window.states = []
    window.sockets = sockets
    window.load = new Load(
        state => states.push(state), { WebSocket: Socket, now: () => timers.now, timers })
    // It plays once, so late.
    window.play = at => {
        timers.jump(at - timers.now)
        return [sockets.at(-1).sent.length, states.at(-1)]
    }
}"""


def test_load(hall: Page) -> None:
    """As many messages as are due are played; not more when the connection takes no more, nor all
    of those at once later; it is told what really goes out; and it ends in time."""
    hall.evaluate(LOAD)
    hall.evaluate("load.start({url: 'ws://x/c', token: 'T', rate: 250, size: 10, seconds: 60})")
    assert hall.evaluate("[sockets[0].protocols, load.isPlaying]") == [["bearer", "T"], True]
    hall.evaluate("sockets[0].open()")
    sent, _ = hall.evaluate("play(50)")
    assert sent == 12
    sent, state = hall.evaluate("play(1050)")
    assert (sent, state["played"], state["rate"]) == (262, 262, 250)
    assert not state["isHeldUp"]
    # A page whose timers rest catches up, but not with all.
    sent, _ = hall.evaluate("play(20000)")
    assert sent == 512
    hall.evaluate("sockets[0].bufferedAmount = 1024 * 1024 + 1")
    sent, state = hall.evaluate("play(20500)")
    assert (sent, state["isHeldUp"], state["played"]) == (512, True, 0)
    hall.evaluate("sockets[0].bufferedAmount = 100")
    sent, state = hall.evaluate("play(20550)")
    assert (sent, state["isHeldUp"], state["played"]) == (524, False, 514)
    assert hall.evaluate("sockets[0].sent[0]") == "." * 10
    _, state = hall.evaluate("play(60001)")
    assert (state["isPlaying"], "time" in state["ended"]) == (False, True)
    assert hall.evaluate("[sockets[0].isClosed, timers.waits]") == [True, []]
    assert hall.evaluate("play(70000)[0]") == 524


def test_a_load_that_is_refused(hall: Page) -> None:
    """It is told why, as far as browsers tell; one that is stopped has no reason."""
    hall.evaluate(LOAD)
    start = "load.start({url: 'ws://x/c', rate: 1, size: 1, seconds: 1})"
    for code, reason, words in ((1006, "", "refused, or lost"), (1008, "too many", "too many")):
        hall.evaluate(start)
        hall.evaluate("([code, reason]) => sockets.at(-1).end(code, reason)", [code, reason])
        state = hall.evaluate("states.at(-1)")
        assert (state["isPlaying"], words in state["ended"]) == (False, True)
    hall.evaluate(start)
    hall.evaluate(start)
    assert hall.evaluate("sockets.map(socket => socket.isClosed)") == [True, True, True, False]
    hall.evaluate("load.stop()")
    assert hall.evaluate("states.at(-1)")["ended"] == ""


class FakeServer:
    """Gives pages the podium, and numbers that the test says."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.status = 200
        self.told = told(1)
        self.takes: str | None = None
        self.headers: dict[str, str] = {}
        page.context.route("**/*", self._answer)
        page.context.route_web_socket("**", lambda socket: None)
        page.clock.install(time=0)

    def _answer(self, route: Route) -> None:
        path = route.request.url.removeprefix("http://localhost")
        if path.startswith("/podium/numbers"):
            self.headers = route.request.headers
            headers = {} if self.takes is None else {"WWW-Authenticate": self.takes}
            body = json.dumps(self.told) if self.status == 200 else "it is not for you\n"
            route.fulfill(status=self.status, headers=headers, body=body)
        elif path.startswith("/podium"):
            html = (HALL / "podium.html").read_text().replace("{version}", "x")
            route.fulfill(content_type="text/html", body=html)
        else:
            answer(route)

    def open(self, query: str = "") -> None:
        """Open the podium, and wait for the first question."""
        with self.page.expect_response("**/podium/numbers"):
            self.page.goto(f"http://localhost/podium{query}")

    def later(self, milliseconds: int = 1000) -> None:
        """Let time go by until the page has asked again."""
        with self.page.expect_response("**/podium/numbers"):
            self.page.clock.run_for(milliseconds)

    def reads(self, name: str, text: str) -> None:
        """Wait until something is on the page."""
        self.page.wait_for_function(
            "([name, text]) => document.getElementById(name).textContent.includes(text)",
            arg=[name, text],
            timeout=1000 * PATIENCE,
            polling=20,
        )


@pytest.fixture
def podium(page: Page) -> FakeServer:
    """A server."""
    return FakeServer(page)


def test_the_page(podium: FakeServer) -> None:
    """It says what the server tells, also after that has begun anew; a channel may be called
    anything."""
    name = "<b>\u202eevil</b>" + "x" * 200
    podium.told["busiest"] = [busy(name, 5), busy("other", 0)]
    podium.open()
    podium.reads("messages-now", UNKNOWN)
    podium.told = told(2, published_messages_total=1234, connections=5, buffered_bytes=1536)
    podium.told["busiest"] = [busy(name, 8)]
    podium.later()
    podium.reads("messages-now", "1,234")
    podium.reads("connections-now", "5")
    podium.reads("buffered-now", "1.5 KiB")
    rows = podium.page.locator("#busiest tr")
    assert rows.count() == 1
    assert rows.locator("bdi").inner_text() == name[:80] + "…"
    assert rows.locator("td").all_inner_texts() == ["1", "3", "2", "3 B"]
    podium.told = told(1, "b", published_messages_total=1)
    podium.later()
    podium.reads("messages-now", UNKNOWN)
    podium.reads("connections-now", "0")
    assert podium.page.locator("#no-channels").is_visible()


def test_a_server_that_is_away(podium: FakeServer) -> None:
    """The page says so, and goes on when it is back."""
    podium.open()
    podium.reads("connections-now", "0")
    podium.status = 503
    podium.later()
    podium.reads("banner-text", "it is not for you Trying again in 1 s.")
    podium.status = 200
    podium.told = told(5)
    podium.later()
    podium.page.locator("#banner").wait_for(state="hidden")


@pytest.mark.parametrize(
    ("takes", "header", "value"),
    [("apikey", "x-api-key", "the-key"), ("Bearer", "authorization", "Bearer the-key")],
)
def test_a_server_that_wants_to_know(
    podium: FakeServer, takes: str, header: str, value: str
) -> None:
    """The page asks for what it takes, sends it, and keeps it for the tab; never in the URL."""
    podium.status, podium.takes = 401, takes
    podium.open()
    podium.reads("banner-text", "it is not for you")
    form = podium.page.locator("#credential")
    form.wait_for()
    assert header not in podium.headers
    podium.page.get_by_label("The key or token").fill(" the-key ")
    podium.status = 200
    with podium.page.expect_response("**/podium/numbers"):
        podium.page.keyboard.press("Enter")
    form.wait_for(state="hidden")
    assert podium.headers[header] == value
    assert podium.page.locator("#secret").input_value() == ""
    podium.open()
    assert podium.headers[header] == value
    assert "the-key" not in podium.page.url


def test_a_token_in_the_url(podium: FakeServer) -> None:
    """It is used, and is in the URL no longer."""
    podium.open("?token=T1&a=b#c")
    assert podium.headers["authorization"] == "Bearer T1"
    assert podium.page.url == "http://localhost/podium?a=b#c"


def test_a_server_that_nothing_would_change(podium: FakeServer) -> None:
    """It is said, and nothing is asked for. Whoever has changed the server tries again."""
    podium.status = 403
    podium.open()
    podium.reads("banner-text", "it is not for you")
    assert not podium.page.locator("#credential").is_visible()
    podium.status = 200
    podium.page.get_by_role("button", name="Try now").click()
    podium.page.locator("#banner").wait_for(state="hidden")
