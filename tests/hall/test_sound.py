"""The hall's sound: who is heard when, how many, and how loud all of them are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.hall.rendering import pitch, render, spectrum

if TYPE_CHECKING:
    from playwright.sync_api import Page

BEGIN = "const sound = hall();"


def test_a_note_is_heard_at_its_moment(hall: Page) -> None:
    """What the limiter takes is made up for; and what is past is heard now."""
    later, click, past, bad = render(
        hall,
        f"{BEGIN} sound.on('ann', 'drums', 'snare', start + 300, 1)",
        f"{BEGIN} sound.click(start + 400, true)",
        f"{BEGIN} sound.on('ann', 'drums', 'snare', start - 300, 1)",
        f"{BEGIN} sound.on('ann', 'drums', 'snare', NaN, 1)",
    )
    assert later.onset() == pytest.approx(0.3, abs=0.002)
    assert click.onset() == pytest.approx(0.4, abs=0.002)
    assert past.onset() == pytest.approx(0.006, abs=0.002)
    assert bad.onset() == pytest.approx(0.006, abs=0.002)


def test_a_note_that_is_released_ends_and_the_hall_rings_on(hall: Page) -> None:
    """There is an echo after it, which dies away."""
    note = (
        "sound.on('ann', 'flute', 'A4', start, 0.8); sound.off('ann', 'flute', 'A4', start + 500)"
    )
    (sound,) = render(hall, f"{BEGIN} {note}", seconds=3.5)
    there = sound.level(0.3, 0.45)
    assert there - 40 < sound.level(0.9, 1) < there - 12
    assert sound.level(1.4, 1.5) < sound.level(0.9, 1) - 6
    assert sound.level(3, 3.5) < there - 80


def test_a_note_that_nobody_ends_ends_by_itself(hall: Page) -> None:
    """After ten seconds."""
    (sound,) = render(hall, f"{BEGIN} sound.on('ann', 'violin', 'A4', start, 1)", seconds=13)
    assert sound.level(9.5, 9.9) > -30
    assert sound.level(12.5, 13) < -80


def test_only_the_note_that_is_meant_ends(hall: Page) -> None:
    """Another seat's, another instrument's and another note go on; an unknown one is nothing."""
    begin = f"{BEGIN} sound.on('ann', 'flute', 'A4', start, 0.8);"
    others = (("bob", "flute", "A4"), ("ann", "violin", "A4"), ("ann", "flute", "A5"))
    bodies = (f"{begin} sound.off('{s}', '{i}', '{n}', start + 100)" for s, i, n in others)
    for sound in render(hall, *bodies):
        assert sound.level(0.8, 1) > -35


def test_a_note_that_begins_twice_is_a_new_one(hall: Page) -> None:
    """The former is released, so that one end is enough for both."""
    begin = f"{BEGIN} sound.on('ann', 'flute', 'A4', start, 0.8);"
    again = "sound.on('ann', 'flute', 'A4', start + 300, 0.8);"
    both, ended = render(
        hall,
        begin + again,
        begin + again + "sound.off('ann', 'flute', 'A4', start + 600)",
        seconds=3,
    )
    assert abs(both.level(0.8, 1) - both.level(0.2, 0.29)) < 4
    assert ended.level(2.7, 3) < both.level(0.8, 1) - 50


def test_a_seat_can_be_silenced(hall: Page) -> None:
    """All of its notes end, those that are yet to come as well; others play on."""
    begin = f"""{BEGIN} const notes = ['C4', 'E4', 'G4'];
    for (const note of notes) sound.on('ann', 'flute', note, start, 1);
    sound.on('ann', 'flute', 'C6', start + 200, 1);"""
    alone, other = render(
        hall,
        f"{begin} sound.silence('ann'); sound.silence('nobody')",
        f"{begin} sound.on('bob', 'flute', 'A4', start, 1); sound.silence('ann')",
    )
    assert alone.level(0.1, 1) < -50
    assert abs(pitch(other.between(0.3, 0.9)) - 440) < 4


def test_twenty_who_play_as_loud_as_they_can_do_not_clip(hall: Page) -> None:
    """Whatever they play; and one alone is well heard."""
    notes = [f"{name}{octave}" for octave in range(2, 7) for name in "CEGB"]
    play = "sound.on('s' + i, given, note, start, 1)"
    bodies = [
        f"{BEGIN} const given = '{instrument}'; {notes}.forEach((note, i) => {play})"
        for instrument in ("violin", "cello", "flute", "piano")
    ]
    drums = "for (const drum of ['kick', 'snare', 'hat', 'cymbal', 'tom', 'clap'])"
    hits = "for (const s of 'abcd') sound.on(s, 'drums', drum, start, 1)"
    for sound in render(hall, *bodies, f"{BEGIN} {drums} {hits}", seconds=0.7):
        assert 0.3 < sound.peak < 1


def test_seats_are_spread(hall: Page) -> None:
    """Each is always at the same place, not all at the same one, and none all to one side."""
    names = [f"seat {n}" for n in range(12)]
    bodies = [f"{BEGIN} sound.on('{n}', 'drums', 'clap', start, 0.8)" for n in (*names, "seat 0")]
    sides = []
    for sound in render(hall, *bodies, seconds=0.3):
        sides.append(abs(sound.right).max() / abs(sound.left).max())
    assert sides[0] == pytest.approx(sides[-1])
    assert min(sides) < 0.8
    assert max(sides) > 1.25
    assert all(0.3 < side < 3.3 for side in sides)
    assert len({round(side, 2) for side in sides}) > 8


def test_the_volume_is_what_it_is_set_to(hall: Page) -> None:
    """Muted there is nothing at all, the metronome included."""
    note = "sound.on('ann', 'flute', 'A4', start, 0.8); sound.click(start + 100, true)"
    full, half, none, muted, back = render(
        hall,
        *(
            f"{BEGIN} {setting}; {note}"
            for setting in (
                "sound.volume = 7",
                "sound.volume = 0.5",
                "sound.volume = -1",
                "sound.muted = true; sound.volume = 1",
                "sound.muted = true; sound.muted = false",
            )
        ),
        seconds=0.6,
    )
    assert half.level(0.3, 0.6) == pytest.approx(full.level(0.3, 0.6) - 12, abs=1)
    assert none.level(0.3, 0.6) < -100
    assert muted.level(0.3, 0.6) < -100
    assert back.level(0.3, 0.6) == pytest.approx(full.level(0.3, 0.6), abs=0.5)


def test_clicks_are_short_and_the_first_of_a_bar_is_another(hall: Page) -> None:
    """Below the music, and after 100 ms it is over but for the echo; the accent is higher."""
    click, accent, music = render(
        hall,
        f"{BEGIN} sound.click(start + 100, false)",
        f"{BEGIN} sound.click(start + 100, true)",
        f"{BEGIN} sound.on('ann', 'piano', 'C4', start + 100, 0.8)",
    )
    for sound in (click, accent):
        assert sound.level(0.2, 0.3) < sound.level(0.1, 0.12) - 30
        assert sound.peak < music.peak
    frequencies, low = spectrum(click.left)
    _, high = spectrum(accent.left)
    assert 1100 < frequencies[low.argmax()] < 1300
    assert 1650 < frequencies[high.argmax()] < 1900


def test_a_click_can_be_taken_back_and_is_not_late(hall: Page) -> None:
    """Before it is heard. A beat that is past already is not heard at the wrong time."""
    for sound in render(
        hall,
        f"{BEGIN} sound.click(start + 200, true)()",
        f"{BEGIN} sound.click(start - 100, true)",
    ):
        assert sound.peak == 0


def test_what_cannot_be_played_is_not(hall: Page) -> None:
    """Neither unknown instruments and notes, nor what would be heard in an hour."""
    for sound in render(
        hall,
        f"{BEGIN} sound.on('ann', 'tuba', 'A4', start, 1)",
        f"{BEGIN} sound.on('ann', 'drums', 'A4', start, 1)",
        f"{BEGIN} sound.on('ann', 'flute', 'A4', start, NaN)",
        f"{BEGIN} sound.on('ann', 'flute', 'A4', start, -1)",
        f"{BEGIN} sound.on('ann', 'flute', 'A4', Infinity, 0); sound.off('x', 'y', 'z', NaN)",
    ):
        assert sound.peak == 0


# How many voices there are: of a context that looks as real, and whose time stands still.

SPY = """async given => {
  const { Sound } = await import("/hall/x/sound.js");
  const context = new OfflineAudioContext(2, 44100, 44100);
  const sources = [];
  const connected = new Map();
  const create = context.createBufferSource;
  context.createBufferSource = () => {
    const source = create.call(context);
    const { start, stop } = source;
    source.start = when => { source.begins = when; start.call(source, when); };
    source.stop = when => { source.ends = when ?? 0; stop.call(source, when ?? 0); };
    sources.push(source);
    return source;
  };
  const { connect, disconnect } = AudioNode.prototype;
  AudioNode.prototype.connect = function (other, ...more) {
    connected.set(this, (connected.get(this) ?? 0) + 1);
    return connect.call(this, other, ...more);
  };
  AudioNode.prototype.disconnect = function (...given) {
    connected.delete(this);
    return disconnect.apply(this, given);
  };
  performance.now = () => 1000;
  const start = performance.timeOrigin + 1000;
  const sound = new Sound(context);
  const sounding = () => sources.map(source => source.ends > 1);
  const end = source => source.onended(new Event("ended"));
  BODY
}"""


def spied(page: Page, body: str) -> Any:
    return page.evaluate(SPY.replace("BODY", body))


def test_there_are_48_voices_and_the_oldest_goes(hall: Page) -> None:
    """Whoever plays them."""
    body = """for (let i = 0; i < 60; i += 1) sound.on('seat' + i, 'piano', 'C4', start, 1);
    return sounding()"""
    assert spied(hall, body) == [False] * 12 + [True] * 48


def test_a_seat_has_eight_voices(hall: Page) -> None:
    """Its own oldest goes, and nobody else's."""
    body = """sound.on('bob', 'piano', 'C4', start, 1);
    for (let i = 0; i < 20; i += 1) sound.on('ann', 'piano', 'C' + (i % 10), start, 1);
    return sounding()"""
    assert spied(hall, body) == [True] + [False] * 12 + [True] * 8


def test_voices_that_have_ended_do_not_count_and_leave_nothing(hall: Page) -> None:
    """All of their nodes are disconnected, and so are seats of which nobody is heard."""
    body = """const before = connected.size;
    for (let i = 0; i < 48; i += 1) sound.on('seat' + i % 6, 'piano', 'C4', start, 1);
    sound.click(start, true);
    const during = connected.size;
    sources.forEach(end);
    await null; await null;
    const after = connected.size;
    sources.length = 0;
    for (let i = 0; i < 48; i += 1) sound.on('seat' + i, 'piano', 'C4', start, 1);
    return [during > before + 100, after - before, sounding()]"""
    assert spied(hall, body) == [True, 0, [True] * 48]


def test_what_sounds_does_not_go_for_what_has_ended(hall: Page) -> None:
    """A long note stays, however many short ones have come and gone since it began."""
    body = """sound.on('ann', 'piano', 'C4', start, 1);
    for (let i = 0; i < 20; i += 1) {
      sound.on('ann', 'drums', 'hat', start, 1);
      end(sources.at(-1));
      await null; await null;
    }
    return sounding()[0]"""
    assert spied(hall, body) is True


def test_a_seat_that_plays_on_stays(hall: Page) -> None:
    """The end of one of its notes does not take its place away from the others."""
    body = """sound.on('ann', 'piano', 'C4', start, 1); sound.on('ann', 'piano', 'E4', start, 1);
    end(sources[0]); await null; await null;
    const during = connected.size;
    sound.on('ann', 'piano', 'G4', start, 1);
    return connected.size - during"""
    assert spied(hall, body) == 3  # a source, a filter and a fade, and no other seat


# When it is heard: of a context with a time of its own.

CLOCK = """async given => {
  const { Sound } = await import("/hall/x/sound.js");
  const context = new AudioContext();
  const starts = [];
  const { start } = AudioBufferSourceNode.prototype;
  AudioBufferSourceNode.prototype.start = function (when) { starts.push(when); start.call(this); };
  let page = 0;
  performance.now = () => page;
  const set = (name, value) => Object.defineProperty(context, name, { get: () => value(page) });
  set("state", () => "running");
  set("currentTime", page => page / 1000 - 3 + 0.25);
  set("outputLatency", () => given.outputLatency);
  set("baseLatency", () => 0.02);
  context.getOutputTimestamp = given.stamps && (() => given.stamps.shift());
  if (!given.stamps) context.getOutputTimestamp = undefined;
  const sound = new Sound(context);
  for (page of given.pages) {
    sound.on("ann", "drums", "kick", performance.timeOrigin + page + 1000, 1);
  }
  context.close();
  return starts.map((when, i) => 1000 * (when + 3) - given.pages[i] - 1000 + 6);
}"""


def scheduled(page: Page, pages: list[float], stamps: object, latency: float = 0.2) -> list[float]:
    """By how many milliseconds notes are scheduled later than what is heard at their moment.

    The context's time is 3 s behind the page's, and 250 ms ahead of what is heard.
    """
    given = {"pages": pages, "stamps": stamps, "outputLatency": latency}
    found: list[float] = page.evaluate(CLOCK, given)
    return found


def stamp(page: float, jitter: float = 0) -> dict[str, float]:
    return {"contextTime": (page - 30 + jitter) / 1000 - 3, "performanceTime": page - 30}


def test_what_the_browser_says_is_heard_counts(hall: Page) -> None:
    """A note is scheduled for what is heard at its moment."""
    assert scheduled(hall, [5000], [stamp(5000)]) == pytest.approx([0], abs=0.01)


@pytest.mark.parametrize(
    "stamps",
    [
        None,
        [{}],
        [{"contextTime": 0, "performanceTime": 0}],
        [{"contextTime": 2.22, "performanceTime": 5}],
        [{"contextTime": 2.22, "performanceTime": 1_700_000_000_000}],
    ],
    ids=["none", "nothing", "zeros", "seconds", "another clock"],
)
def test_a_browser_that_does_not_know_is_not_believed(hall: Page, stamps: object) -> None:
    """Then it is the context's time, less the latency that is said to be."""
    assert scheduled(hall, [5000], stamps) == pytest.approx([50], abs=0.01)
    assert scheduled(hall, [5000], stamps, latency=0) == pytest.approx([230], abs=0.01)


def test_jitter_is_smoothed_and_a_jump_is_not(hall: Page) -> None:
    """A few milliseconds to and fro are not heard; a card that stood still is made up for."""
    pages = [5000.0 + 100 * n for n in range(60)]
    jitter = [10.0 if n % 2 else -10.0 for n in range(60)]
    stamps = [stamp(page, j) for page, j in zip(pages, jitter, strict=True)]
    found = scheduled(hall, pages, stamps)
    assert all(abs(late) < 2 for late in found[40:])
    stamps = [stamp(page, -400 if page > 8000 else 0) for page in pages]
    found = scheduled(hall, pages, stamps)
    assert found == pytest.approx([0] * 31 + [-400] * 29, abs=0.01)


def test_sound_begins_with_a_gesture(hall: Page) -> None:
    """Before it is started nothing is kept; then it runs, and can be played."""
    code = """async () => {
      const { Sound } = await import("/hall/x/sound.js");
      const sound = new Sound();
      sound.volume = 0.5;
      sound.on("ann", "piano", "C4", 0, 1);
      sound.off("ann", "piano", "C4", 0);
      sound.silence("ann");
      sound.click(0, true)();
      const before = [sound.isOn, sound.latency];
      await sound.start();
      await sound.start();
      sound.on("ann", "drums", "kick", 0, 1);
      return [before, sound.isOn, sound.latency > 0, sound.volume];
    }"""
    assert hall.evaluate(code) == [[False, 0], True, True, 0.5]


def test_it_is_told_when_the_sound_goes_on_or_off(hall: Page) -> None:
    """Also if it is not the page that has stopped it."""
    hall.mouse.click(1, 1)  # or the browser would not let it sound
    found = hall.evaluate(
        """async () => {
            const {Sound} = await import('/hall/x/sound.js')
            const own = AudioContext
            let context
            window.AudioContext = class extends own {
                constructor(options) { super(options); context = this }
            }
            const sound = new Sound(), heard = []
            const next = () => new Promise((resolve, reject) => {
                setTimeout(reject, 10000, 'it is not told')
                sound.onchange = () => {
                    heard.push(sound.isOn)
                    resolve()
                }
            })
            for (const change of [() => sound.start(), () => context.suspend(),
                () => sound.start()]) {
                const told = next()
                await change()
                await told
            }
            await context.close()
            return heard
        }"""
    )
    assert found == [True, False, True]
