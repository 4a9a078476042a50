"""The concert hall, as those see and hear it who open its page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import ClientConnection

from tests.end_to_end.hall import PHONE, SMALL_PHONE, Hall, Musician, visiting
from tests.end_to_end.proxies import relaying
from tests.end_to_end.server import PATIENCE, Place, Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

A4, C_SHARP_4, C5 = 440.0, 277.18, 523.25

WRONG_CLOCK = """
    const wrong = performance.timeOrigin - 1234567
    Object.defineProperty(performance, "timeOrigin", {get: () => wrong})
"""
"""A page whose clock is 20 minutes slow."""

UNLUCKY = """
    Math.random = () => 0.999
    const wait = setTimeout
    window.setTimeout = (callback, delay) => wait(callback, delay > 3000 ? 1e9 : delay)
"""
"""A page that waits for as long as it may, and does not see the end of any wait that is long."""

TOO_SMALL = """[...document.querySelectorAll("button, label, input:not([type=radio]), a")]
    .map(element => [element.id || element.textContent, element.getBoundingClientRect()])
    .filter(([_, box]) => box.width > 1 && (box.width < 24 || box.height < 24))
    .map(([name, box]) => [name, box.width, box.height])
"""
"""What is smaller than a target has to be (WCAG 2.2, success criterion 2.5.8)."""

TWO = {"Violin": (("C 4", "G 4"), ("C4", "G4")), "Drums": (("kick", "hat"), ("kick", "hat"))}
"""What two fingers touch, and what they play."""


@pytest.fixture
def hall(browser: Browser) -> Iterator[Hall]:
    """Pages in the hall, of which none has an error, or breaks its policy."""
    with visiting(browser) as hall:
        yield hall


def duet(hall: Hall, place: Place, channel: str) -> tuple[Musician, Musician]:
    """Ann with a violin, and Ben with a cello and an ear, who see each other."""
    ann = hall.open("Ann", "Violin")
    ben = hall.open("Ben", "Cello", has_ear=True)
    for musician in (ann, ben):
        musician.enter(place, channel)
    ann.sees(ann.own_title, ben.title)
    ben.sees(ann.title, ben.own_title)
    return ann, ben


@contextmanager
def fingers(musician: Musician, *keys: str) -> Iterator[Callable[[], None]]:
    """Touch keys at the same time, until the function is called that this gives."""
    devices = musician.page.context.new_cdp_session(musician.page)

    def touch(kind: str, *points: dict[str, float]) -> None:
        devices.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [*points]})

    def place(number: int, key: str) -> dict[str, float]:
        box = musician.key(key).bounding_box()
        assert box is not None
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
        onsets = musician.onsets(9)
        gaps = [after - before for before, after in pairwise(onsets)]
        assert abs(median(gaps) - period) < 0.005
        since = [(onset - tempo["beat"] / 1000 + period / 2) % period for onset in onsets]
        late.append(median(since) - period / 2)
    print("late by", *(f"{1000 * each:.1f} ms" for each in late))
    assert max(late) - min(late) < 0.02
    assert max(map(abs, late)) < 0.02


def test_two_play_together(hall: Hall, server: Server) -> None:
    """What is played on the computer's keyboard sounds in the other page, while it is held."""
    ann, ben = duet(hall, server, "duet")
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
    ann, ben = duet(hall, server, "ways")
    cid = hall.open("Cid", "Flute", **PHONE)
    cid.enter(server, "ways")
    key = ann.key("A 4")

    key.hover()
    ann.page.mouse.down()
    ben.hears(A4)
    ann.page.mouse.up()
    ben.hears_nothing()

    key.focus()
    ann.page.keyboard.down("Enter")
    ben.hears(A4)
    ann.page.keyboard.up("Enter")
    ben.hears_nothing()

    key.evaluate("key => key.click()")
    ben.hears(A4)
    ben.hears_nothing()

    with fingers(cid, "C 5") as lift:
        ben.hears(C5)
        lift()
        ben.hears_nothing()


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
        ann.say("Good evening, line")
        for musician in (ann, ben):
            musician.reads("Echo: <b>Good evening</b>", "Ann Good evening, line")
        assert await_text(plain, "evening, line") == 'Echo: "Good evening, line"'
    ann.sees(ann.own_title, ben.title)


def test_ten_pages(hall: Hall, server: Server) -> None:
    """All see each other, each sees who plays, and who has left."""
    band = [hall.open(f"No{number}", "Flute") for number in range(10)]
    for musician in band:
        musician.enter(server, "band")
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


def test_one_tempo(hall: Hall, server: Server) -> None:
    """All hear its beats within 20 ms, also who comes later, and whose own clock is wrong.

    Who changes it changes it for all.
    """
    ann = hall.open("Ann", has_ear=True)
    ben = hall.open("Ben", has_ear=True, script=WRONG_CLOCK)
    with server.connect("/tempo") as plain:
        for musician in (ann, ben):
            musician.enter(server, "tempo")
        ann.page.locator("#tempo").fill("200")
        await_tempo(plain, 200)
        ann.page.get_by_role("button", name="Beat").click()
        in_phase(await_tempo(plain, 200, playing=True), ann, ben)
        ben.page.get_by_role("button", name="Faster").click()
        tempo = await_tempo(plain, 204)
        cid = hall.open("Cid", has_ear=True)
        cid.enter(server, "tempo")
        in_phase(tempo, ann, ben, cid)
        cid.page.get_by_role("button", name="Beat").click()
        for musician in (ann, ben):
            musician.page.wait_for_selector("#beat[aria-pressed=false]")
            musician.hears_nothing()


def test_the_server_is_killed(hall: Hall, tmp_path: Path) -> None:
    """Pages say so and come back by themselves to the next, with their names and their tempo."""
    hall.may_be_cut = True
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
            musician.notices("What was played meanwhile is gone")
        ann.sees(ann.own_title, ben.title)
        ben.sees(ann.title, ben.own_title)
        cid = hall.open("Cid", "Flute")
        cid.enter(second, "main")
        for musician in (ann, ben, cid):
            musician.page.wait_for_selector("#bpm:has-text('120')")
            musician.page.wait_for_selector("#beat[aria-pressed=true]")
        ben.page.locator("#beat").click()
        ben.hears_nothing()
        cid.page.keyboard.down("a")
        ben.hears(C5)
        for musician in list(hall.musicians):
            hall.leave(musician)
        assert second.stop() == 0


def test_a_line_is_cut(hall: Hall, server: Server) -> None:
    """What was missed meanwhile comes once and in order; "Try now" does not wait."""
    hall.may_be_cut = True
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
        ann.page.wait_for_selector("#status-text:has-text('Trying again in 4 s')")
        relay.open()
        ann.page.get_by_role("button", name="Try now").click()
        ann.is_back()
        ann.notices(f"{missed} messages that were missed are here now.")
        ben.say("after")
        ann.reads("Ben after")
        heard = [line for line in ann.programme if line.startswith(("Ben ", "Echo: D"))]
        assert heard == ["Ben before", *lines, "Echo: D4", "Ben after"]
        hall.leave(ann)


@pytest.mark.parametrize("phone", [PHONE, SMALL_PHONE], ids=["390 wide", "360 wide"])
@pytest.mark.parametrize("instrument", ["Violin", "Drums"])
def test_a_phone(hall: Hall, server: Server, phone: dict[str, Any], instrument: str) -> None:
    """All fits, the keys are in sight, nothing is too small for fingers, and two play two notes."""
    channel = f"phone-{phone['viewport']['width']}-{instrument}"
    with server.connect(f"/{channel}") as plain:
        ann = hall.open("Ann", instrument, **phone)
        ann.enter(server, channel)
        ann.say("A line that is so long that it does not fit on a phone" + "!" * 100)
        ann.reads("Ann A line that is so long that it does not fit on a phone" + "!" * 100)
        page = ann.page
        page.evaluate("scrollTo(0, 0)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box = page.locator("#keyboard").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= phone["viewport"]["height"]
        assert page.evaluate(TOO_SMALL) == []
        names, notes = TWO[instrument]
        with fingers(ann, *names) as lift:
            for note in notes:
                await_text(plain, f'"on":"{note}"')
            lift()
            if instrument != "Drums":
                for note in notes:
                    await_text(plain, f'"off":"{note}"')
        assert page.locator("#keyboard .down").count() == 0
