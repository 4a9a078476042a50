"""The concert hall, as those see and hear it who open its page in a real browser."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.sync.client import ClientConnection

from tests.end_to_end.hall import IS_AWAY, PHONE, PLAIN, SMALL_PHONE, Hall, Musician
from tests.end_to_end.proxies import relaying
from tests.end_to_end.screenshots import take
from tests.end_to_end.server import PATIENCE, Place, Server, serving
from tests.end_to_end.tokens import allowing, token

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Waits until a page was drawn twice."""

A4, C_SHARP_4, C5 = 440.0, 277.18, 523.25

WRONG_CLOCK = """
    const wrong = performance.timeOrigin - 1234567
    Object.defineProperty(performance, "timeOrigin", {get: () => wrong})
"""
"""A page whose clock is 20 minutes slow."""

UNLUCKY = """
    Math.random = () => 0.999
    const wait = setTimeout
    window.setTimeout = (callback, delay) => wait(callback, delay > 1500 ? 1e9 : delay)
"""
"""A page that waits for as long as it may, and does not see the end of any wait that is long."""

BOXES = """selector => [...document.querySelectorAll(selector)].map(element => {
    const {width, height, bottom} = element.getBoundingClientRect()
    return [width, height, bottom]
})"""

AXE = """async () => {
    const options = {
        resultTypes: ["violations"], rules: {"target-size": {enabled: true}},
    }
    const {violations} = await axe.run(options)
    return violations
        .filter(({impact}) => ["serious", "critical"].includes(impact))
        .map(({id, nodes}) => [id, ...nodes.map(({html}) => html)])
}"""
"""What is serious or critical of what axe finds, also of what WCAG 2.2 asks for beyond 2.1."""

MARKUP = """[...document.querySelectorAll("img, b b, #log :not(p, b), script:not([src*=hall])")]
    .map(element => element.outerHTML)"""
"""What would be in a page only if something became markup that was said."""

HOSTILE = (
    *({"on": "C4", "with": "piano", "at": at} for at in (1e308, -1e308, None, "now", [], 2**63)),
    *(
        {"on": note, "with": "piano", "at": 1}
        for note in ("__proto__", None, {}, "C99", "C" * 1000)
    ),
    *({"off": "C4", "with": name, "at": 1} for name in ("constructor", None, 7, "drums")),
    *({"seat": seat} for seat in (None, [], 5, {"name": 5, "with": "violin"}, {"with": {}})),
    {"seat": {"name": "<img src=x onerror=alert(1)>", "with": "violin"}, "ask": True},
    {"seat": {"name": "\u202egnitteb", "with": "violin"}, "tempo": {"bpm": 1e308}},
    *({"tempo": tempo} for tempo in (None, 5, {}, {"bpm": -1}, {"bpm": 1e9, "beat": None})),
    {"tempo": {"bpm": 120, "beat": 1e308, "playing": True, "set": 1e308}},
    *({"b64": value} for value in (5, None, "!", "====")),
    *(None, True, 1e400, {}, [], [[]], ""),
    "[" * 5000 + "]" * 5000,
    '{"on":' * 2000 + "1" + "}" * 2000,
    '"\\ud800"',
    "<script>document.title = 'mine'</script>",
    "<b><img src=x onerror=alert(1)></b>",
    "long" * 25_000,
    "\u0000\u0007\u202e\u2066",
    b"\x00\xff" * 50_000,
)
"""What no page says: as JSON, as text, and as bytes."""

CROWD = 300
"""How many plain lines are one."""

BEARER = {"Authorization": f"Bearer {token()}"}

PATHS = ["/", "/podium"]
"""The pages that there are."""

PARTS = ("Document", "Stylesheet", "Script", "Image", "Other")
"""What a page is made of, in a browser's words; what it asks for later is none of that."""

ROOT = Path(__file__).parents[2]

TWO = {"Violin": ("C4", "G4"), "Drums": ("kick", "hat")}
"""What two fingers play."""


def duet(hall: Hall, place: Place, channel: str) -> tuple[Musician, Musician]:
    """Ann with a violin, and Ben with a cello and an ear."""
    ann = hall.open("Ann", "Violin")
    ben = hall.open("Ben", "Cello", has_ear=True)
    for musician in (ann, ben):
        musician.enter(place, channel)
    return ann, ben


@contextmanager
def fingers(musician: Musician, *keys: str) -> Iterator[Callable[[], None]]:
    """Touch keys at the same time, until the function is called that this gives."""
    devices = musician.page.context.new_cdp_session(musician.page)

    def touch(kind: str, *points: dict[str, float]) -> None:
        devices.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [*points]})

    def place(number: int, key: str) -> dict[str, float]:
        box = musician.key(key).evaluate("key => key.getBoundingClientRect().toJSON()")
        return {
            "id": number,
            "x": box["x"] + box["width"] / 2,
            "y": box["y"] + box["height"] * 0.9,
        }

    touch("touchStart", *(place(number, key) for number, key in enumerate(keys)))
    yield lambda: touch("touchEnd")
    devices.detach()


def await_text(line: ClientConnection, part: str) -> str:
    """The next message of a plain line that has this in it."""
    while part not in (message := str(line.recv(timeout=PATIENCE))):
        pass
    return message


def count_until(line: ClientConnection, last: str) -> int:
    """How many messages there are on a plain line, up to one."""
    count = 1
    while line.recv(timeout=PATIENCE) != last:
        count += 1
    return count


def await_tempo(line: ClientConnection, bpm: int, playing: bool | None = None) -> dict[str, Any]:
    """A tempo, when it is told."""
    while True:
        message = await_text(line, f'"bpm":{bpm}').removeprefix("Echo: ")
        tempo: dict[str, Any] = json.loads(message)["tempo"]
        if playing in (None, tempo["playing"]):
            return tempo


def in_phase(tempo: dict[str, Any], *musicians: Musician) -> None:
    """See to it that all hear the beats of a tempo, each when it is, and when the others do."""
    period = 60 / tempo["bpm"]
    late = []
    for musician in musicians:
        musician.forgets()
    for musician in musicians:
        onsets = musician.onsets(9)
        gaps = [after - before for before, after in pairwise(onsets)]
        assert abs(median(gaps) - period) < 0.005
        since = [(onset - tempo["beat"] / 1000 + period / 2) % period for onset in onsets]
        late.append(median(since) - period / 2)
    assert max(late) - min(late) < 0.02
    assert max(map(abs, late)) < 0.02


def test_two_play_together(hall: Hall, server: Server) -> None:
    """They see each other's names and instruments, and hear a note for as long as it is held."""
    ann = hall.open("Ann", "Violin", is_known=False)
    ben = hall.open("Ben", "Cello", is_known=False, has_ear=True)
    for musician in (ann, ben):
        musician.enter(server, "duet")
        musician.sit()
    ann.sees(ann.own_title, ben.title)
    ben.sees(ann.title, ben.own_title)
    ben.hears_nothing()
    ann.page.keyboard.down("h")
    ben.seat("Ann", ".playing").wait_for()
    assert ben.seat("Ann").locator(".note").text_content() == "A4"
    ben.hears(A4)
    ann.page.keyboard.up("h")
    ben.seat("Ann", ":not(.playing)").wait_for()
    ben.hears_nothing()


def test_each_way_to_play(hall: Hall, server: Server) -> None:
    """With a mouse, the keys of a focused key, a finger, and as screen readers do it."""
    ann = hall.open("Ann", "Violin", has_touch=True)
    ann.enter(server, "ways")
    key = ann.key("A4")
    with server.connect("/ways") as plain:
        key.hover()
        ann.page.mouse.down()
        await_text(plain, '"on":"A4"')
        ann.page.mouse.up()
        await_text(plain, '"off":"A4"')

        key.focus()
        ann.page.keyboard.down("Enter")
        await_text(plain, '"on":"A4"')
        ann.page.keyboard.up("Enter")
        await_text(plain, '"off":"A4"')

        key.evaluate("key => key.click()")
        await_text(plain, '"on":"A4"')
        await_text(plain, '"off":"A4"')

        with fingers(ann, "C5") as lift:
            await_text(plain, '"on":"C5"')
            lift()
            await_text(plain, '"off":"C5"')


def test_a_plain_line_plays_along(hall: Hall, server: Server) -> None:
    """What it sends is a note in all pages if it is the name of one, and shown in any case."""
    ann, ben = (hall.open(name, "Piano", has_ear=True) for name in ("Ann", "Ben"))
    for musician in (ann, ben):
        musician.enter(server, "plain")
    with server.connect("/plain") as plain:
        for musician in (ann, ben):
            musician.seat_of_a_line().wait_for()
            musician.hears_nothing()
        plain.send("C#4")
        for musician in (ann, ben):
            musician.hears(C_SHARP_4)
            musician.reads("Echo: C#4")
        plain.send("<b>Good evening</b>")
        for musician in (ann, ben):
            musician.reads("Echo: <b>Good evening</b>")
        ann.say("Good evening, line")
        for musician in (ann, ben):
            musician.reads("Ann Good evening, line")
        assert await_text(plain, "evening, line") == "Echo: Good evening, line"
    ann.sees(ann.own_title, ben.title)


def test_ten_pages(hall: Hall, server: Server) -> None:
    """All see each other, each sees who plays, and who has left."""
    band = [hall.open(f"No{number}", "Flute") for number in range(2)]
    band.append(hall.open("No2", "Flute", **PLAIN))
    band += [hall.open(f"No{number}", "Flute", beside=band[2]) for number in range(3, 10)]
    for musician in band:
        musician.go(server, "band")
    for musician in band:
        musician.sees(musician.own_title, *(other.title for other in band if other != musician))
        assert musician.page.locator("#count").text_content() == "10"
    soloist, *others = band
    soloist.page.keyboard.down("a")
    for other in others:
        other.seat(soloist.name, ".playing").wait_for()
        assert other.page.locator("#seats .playing").count() == 1
    soloist.page.keyboard.up("a")
    for other in others:
        other.seat(soloist.name, ":not(.playing)").wait_for()
    hall.leave(soloist)
    for musician in others:
        musician.sees(musician.own_title, *(other.title for other in others if other != musician))
        musician.reads(f"{soloist.name} has left.")


async def crowd(url: str, may_leave: threading.Event) -> None:
    """Plain lines come at once, and leave at once."""
    lines = await asyncio.gather(
        *(connect(url, open_timeout=PATIENCE, max_queue=None) for _ in range(CROWD))
    )
    await asyncio.to_thread(may_leave.wait, PATIENCE)
    await asyncio.gather(*(line.close() for line in lines))


def test_a_crowd_comes_and_leaves(hall: Hall, server: Server) -> None:
    """The page counts it, and can be used meanwhile and afterwards."""
    ann = hall.open("Ann", "Violin", **PLAIN)
    ann.go(server, "crowd")
    may_leave = threading.Event()

    def can_play() -> None:
        ann.page.keyboard.press("h")
        for kind in ("on", "off"):
            await_text(plain, f'"{kind}":"A4"')

    def counts(count: int) -> None:
        ann.page.wait_for_selector(f"#count:text-matches('^{count}(,|$)')")

    with server.connect("/crowd", max_queue=None) as plain, ThreadPoolExecutor() as pool:
        coming = pool.submit(asyncio.run, crowd(server.url("/crowd"), may_leave))
        try:
            can_play()
            counts(2 + CROWD)
            can_play()
        finally:
            may_leave.set()
        can_play()
        coming.result(timeout=2 * PATIENCE)
        counts(2)
        ann.sees(ann.own_title, "plain line")
        plain.send("Good evening")
        ann.reads("Echo: Good evening")
        assert ann.page.locator("#log p").count() <= 200


def test_an_end_that_comes_late(hall: Hall, server: Server) -> None:
    """Ends the note nevertheless, for the eye and for the ear, long before it is too long."""
    ben = hall.open("Ben", "Cello", has_ear=True)
    ben.enter(server, "late")
    ben.hears_nothing()
    with server.connect("/late") as plain:
        plain.send(json.dumps({"on": "A4", "with": "flute", "at": 1000 * time.time()}))
        ben.hears(A4)
        seat = ben.seat_of_a_line()
        ben.page.wait_for_selector("#seats .playing")
        late = 1000 * (time.time() - 2)
        plain.send(json.dumps({"off": "A4", "with": "flute", "at": late}))
        ben.page.wait_for_selector("#seats .playing", state="detached", timeout=5000)
        ben.hears_nothing(within=5)
        assert seat.locator(".note").text_content() == ""


def test_one_tempo(hall: Hall, server: Server) -> None:
    """All hear its beats within 20 ms, also who comes later, and whose own clock is wrong.

    Who changes it changes it for all.
    """
    ann = hall.open("Ann", has_ear=True)
    ben = hall.open("Ben", has_ear=True, script=WRONG_CLOCK)
    with server.connect("/tempo") as plain:
        for musician in (ann, ben):
            musician.enter(server, "tempo")
        ann.page.locator("#tempo").fill("240")
        await_tempo(plain, 240)
        ann.page.get_by_role("button", name="Beat").click()
        in_phase(await_tempo(plain, 240, playing=True), ann, ben)
        ben.page.get_by_role("button", name="Slower").click()
        tempo = await_tempo(plain, 236)
        cid = hall.open("Cid", has_ear=True)
        cid.enter(server, "tempo")
        in_phase(tempo, ann, ben, cid)
        cid.page.get_by_role("button", name="Beat").click()
        for musician in (ann, ben):
            musician.page.wait_for_selector("#beat[aria-pressed=false]")
            musician.hears_nothing()


def test_the_server_is_killed(hall: Hall, tmp_path: Path) -> None:
    """Pages say so and come back by themselves to the next, with their names and their tempo."""
    hall.expected = IS_AWAY
    with serving(tmp_path) as first:
        ann, ben = duet(hall, first, "main")
        ann.page.locator("#tempo").fill("120")
        ann.page.get_by_role("button", name="Beat").click()
        ben.page.wait_for_selector("#beat[aria-pressed=true]")
        first.process.kill()
        for musician in (ann, ben):
            musician.is_cut()
            musician.notices("The line to the conductor is cut.")
    with serving(tmp_path, f"--listen=tcp:{first.port}:interface=127.0.0.1") as second:
        for musician in (ann, ben):
            musician.is_back()
            musician.notices("What was played meanwhile cannot be recovered")
        cid = hall.open("Cid", "Flute")
        cid.enter(second, "main")
        for musician in (ann, ben, cid):
            musician.page.wait_for_selector("#bpm:has-text('120')")
            musician.page.wait_for_selector("#beat[aria-pressed=true]")
        ben.page.locator("#beat").click()
        ben.hears_nothing()
        cid.page.keyboard.down("a")
        ben.hears(C5)
        cid.page.keyboard.up("a")
        for musician in (ann, ben, cid):
            others = (other.title for other in (ann, ben, cid) if other != musician)
            musician.sees(musician.own_title, *others)
        hall.all_leave()
        assert second.stop() == 0


def test_a_line_is_cut(hall: Hall, server: Server) -> None:
    """What was missed meanwhile comes once and in order; "Try now" does not wait."""
    hall.expected = IS_AWAY
    with relaying(server) as relay, server.connect("/cut") as plain:
        ann = hall.open("Ann", "Violin", script=UNLUCKY)
        ben = hall.open("Ben", "Cello")
        ann.enter(relay, "cut")
        ben.enter(server, "cut")
        ann.seat("Ben").wait_for()
        ben.say("before")
        ann.reads("Ben before")
        await_text(plain, "before")
        relay.shut()
        ann.is_cut()
        ben.page.keyboard.press("a")
        lines = [f"Ben {number}" for number in range(5)]
        for line in lines:
            ben.say(line.removeprefix("Ben "))
        plain.send("D4")
        missed = count_until(plain, "Echo: D4")
        assert missed == 2 + len(lines) + 1
        ann.page.wait_for_selector("#status-text:has-text('Trying again in 2 s')")
        relay.open()
        ann.page.get_by_role("button", name="Try now").click()
        ann.is_back()
        ann.notices(f"What was missed is here now: {missed} messages.")
        ben.say("after")
        ann.reads("Ben after")
        heard = [line for line in ann.programme if line.startswith(("Ben ", "Echo: D"))]
        heard = [line for line in heard if "joined" not in line]
        assert heard == ["Ben before", *lines, "Echo: D4", "Ben after"]
        hall.leave(ann)


@pytest.mark.parametrize("instrument", ["Violin", "Drums"])
def test_a_phone(hall: Hall, server: Server, instrument: str) -> None:
    """All fits, the keys are in sight and not too small, and two fingers play two notes."""
    channel = f"phone-{instrument}"
    ann = hall.open("Ann", instrument, **PHONE)
    with server.connect(f"/{channel}") as plain:
        ann.enter(server, channel)
        ann.say("A line that does not fit on a phone" + "!" * 100)
        ann.reads("Ann A line that does not fit on a phone" + "!" * 100)
        for size in (SMALL_PHONE["viewport"], PHONE["viewport"]):
            ann.page.set_viewport_size(size)
            ann.page.evaluate(DRAWN)  # the keys, anew
            ann.page.evaluate("scrollTo(0, 0)")
            assert ann.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            keys = ann.page.evaluate(BOXES, "#keyboard button")
            assert len(keys) >= 6
            assert all(
                width >= 24 and height >= 24 and bottom <= size["height"]
                for width, height, bottom in keys
            )
        notes = TWO[instrument]
        with fingers(ann, *notes) as lift:
            for note in notes:
                await_text(plain, f'"on":"{note}"')
            assert ann.page.locator("#keyboard .down").count() == 2
            lift()
            for note in notes if instrument != "Drums" else ():
                await_text(plain, f'"off":"{note}"')
        ann.page.wait_for_function("!document.querySelector('#keyboard .down')")


@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_shut_out(hall: Hall, server: Server, node_folder: Path, path: str) -> None:
    """axe finds nothing serious in either theme, on a phone, or where the line is cut."""
    hall.expected = IS_AWAY
    with relaying(server) as relay:
        ann = hall.open()
        ben = hall.open("Ben", "Drums")
        ben.enter(server, "main")
        ann.page.goto(relay.http(path))
        ann.page.wait_for_load_state("networkidle")
        ben.say("Good evening")
        ann.page.evaluate((node_folder / "node_modules/axe-core/axe.min.js").read_text())
        for colours in ("light", "dark"):
            ann.page.emulate_media(color_scheme=colours)
            assert ann.page.evaluate(AXE) == []
        ann.page.set_viewport_size(SMALL_PHONE["viewport"])
        assert ann.page.evaluate(AXE) == []
        relay.shut()
        ann.page.get_by_role("button", name="Try now").wait_for()
        for colours in ("light", "dark"):
            ann.page.emulate_media(color_scheme=colours)
            assert ann.page.evaluate(AXE) == []
        hall.leave(ann)


@pytest.mark.parametrize("path", PATHS)
def test_what_goes_over_the_network(hall: Hall, server: Server, path: str) -> None:
    """It is compressed and small, and the second time it is the page itself at the most."""
    page = hall.open().page
    devices = page.context.new_cdp_session(page)
    devices.send("Network.enable")
    answers: dict[str, dict[str, Any]] = {}
    sizes: dict[str, int] = {}
    kept: set[str] = set()
    devices.on(
        "Network.responseReceived",
        lambda e: e["type"] in PARTS and answers.update({e["requestId"]: e["response"]}),
    )
    devices.on(
        "Network.loadingFinished",
        lambda e: (
            e["requestId"] in answers and sizes.update({e["requestId"]: e["encodedDataLength"]})
        ),
    )
    devices.on("Network.requestServedFromCache", lambda e: kept.add(e["requestId"]))

    page.goto(server.http(path), wait_until="networkidle")
    assert len(answers) == len(sizes) > 5
    assert not kept
    assert sum(sizes.values()) < 100_000
    for answer in answers.values():
        headers = {name.lower(): value for name, value in answer["headers"].items()}
        assert answer["status"] == 200
        assert headers["content-encoding"] == "gzip" or answer["url"].endswith(".svg")
        is_page = answer["url"] == server.http(path)
        assert ("immutable" in headers["cache-control"]) is not is_page

    page.goto("about:blank")
    answers.clear()
    sizes.clear()
    page.goto(server.http(path), wait_until="networkidle")
    assert len(answers) > 5
    fetched = [
        answer["url"]
        for number, answer in answers.items()
        if number not in kept and not answer["fromDiskCache"]
    ]
    assert fetched in ([], [server.http(path)])
    assert sum(sizes.values()) < 1000


def test_a_hall_of_its_own(hall: Hall, server: Server) -> None:
    """The fragment of its URL is the channel, whatever characters that has."""
    ann = hall.open()
    ann.enter(server, "strings%2Fl%C3%A4ndler")
    assert ann.page.locator("#channel").input_value() == "strings/ländler"
    with (
        server.connect("/strings/l%C3%A4ndler") as same,
        server.connect("/strings") as other,
    ):
        ann.say("here")
        await_text(same, "Echo: here")
        other.send("elsewhere")
        same.send("the same")
        ann.reads("Echo: the same")
        assert "Echo: elsewhere" not in ann.programme


def test_anything_may_be_said(hall: Hall, server: Server) -> None:
    """What others send is no markup and breaks nothing, however much of it there is."""
    ann, ben = hall.open("Ann"), hall.open("Ben", has_ear=True)
    ann.go(server, "hostile")
    ben.enter(server, "hostile")
    seconds = ann.page.evaluate("performance.timeOrigin + performance.now()")
    note = {"with": "piano", "at": seconds + 1000}
    with server.connect("/hostile") as plain:
        for message in HOSTILE:
            plain.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
        for number in range(10):
            for _ in range(100):
                plain.send(json.dumps({"on": f"C{number % 8}", **note}))
            plain.send(str(number))
            count_until(plain, f"Echo: {number}")  # who does not listen would be closed
        ben.page.wait_for_function("!ear.isSilent()")
    ann.say("Still here")
    for musician in (ann, ben):
        musician.reads("Ann Still here")
    ben.hears_nothing()
    ann.page.keyboard.down("h")
    ben.hears(A4)
    ann.page.keyboard.up("h")
    for musician in (ann, ben):
        assert musician.page.locator("#log p").count() <= 200
        assert musician.page.evaluate(MARKUP) == []
        assert musician.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_who_has_a_token_comes_in(hall: Hall, guarded: Server) -> None:
    """The page asks for one, says why another is not taken, and remembers the hall."""
    ann = hall.open()
    ann.page.goto(guarded.http("/#tokens"))
    form = ann.page.locator("#token-form")
    form.wait_for()
    for secret in ("no token", "no token"):  # which may be tried again
        form.get_by_label("token").fill(secret)
        with ann.page.expect_websocket():
            form.get_by_role("button").click()
        form.wait_for()
        ann.notices("The server says: ")
    form.get_by_label("token").fill(token())
    form.get_by_role("button").click()
    ann.is_back()
    assert form.is_hidden()
    ann.page.reload()
    ann.is_back()
    with guarded.connect("/tokens", additional_headers=BEARER) as plain:
        ann.say("in")
        await_text(plain, "Echo: in")


def test_who_may_only_listen(hall: Hall, guarded: Server) -> None:
    """Hears all, and is told so, who tries to speak or to play."""
    ann = hall.open()
    ann.enter(guarded, "listeners", f"?token={allowing('sub')}")
    assert "token" not in ann.page.url, "it would be seen, and copied along"
    ann.page.keyboard.press("a")
    ann.notices("only listen")
    ann.page.reload()
    ann.is_back()
    assert "only listen" not in str(ann.page.locator("#notice").text_content())
    ann.say("May I?")
    ann.notices("only listen")
    with guarded.connect("/listeners", additional_headers=BEARER) as plain:
        plain.send("You may listen")
        ann.reads("Echo: You may listen")


def test_screenshots(browser: Browser, tmp_path: Path) -> None:
    """They can be taken, and are small enough for the documentation."""
    with serving(tmp_path) as server:
        files = take(browser, server, ROOT / "build/screenshots", seconds=2)
        assert server.stop() == 0
    assert {file.name for file in files} == {
        *("hall-light.png", "hall-dark.png", "hall-phone.png"),
        *("podium-light.png", "podium-dark.png"),
    }
    for file in files:
        assert 10_000 < file.stat().st_size < 150_000
