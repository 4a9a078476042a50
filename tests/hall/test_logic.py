"""Notes, the server's clock, the shared tempo and the metronome: time is given to them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
SERVER = 1_700_000_000_000.0
"""A time of the server, in milliseconds."""


def run(page: Page, module: str, body: str, given: object = None) -> Any:
    """What a function's body returns, that has the ``module`` and what is ``given``."""
    code = f"async given => {{ const module = await import('/hall/x/{module}.js'); {body} }}"
    return page.evaluate(code, given)


# Notes


def test_every_note_has_a_name_and_a_frequency(hall: Page) -> None:
    """Each MIDI number's name is read as that number; A4 has 440 Hz, and an octave is twice."""
    body = "return given.map(n => [module.noteName(n), module.frequency(n)])"
    named = run(hall, "notes", body, list(range(128)))
    assert [name for name, _ in named] == [f"{NAMES[n % 12]}{n // 12 - 1}" for n in range(128)]
    assert run(hall, "notes", "return given.map(module.parseNote)", [n for n, _ in named]) == list(
        range(128)
    )
    assert named[69] == ["A4", 440]
    for low, high in zip(named[:-12], named[12:], strict=True):
        assert high[1] == pytest.approx(2 * low[1])


def spellings() -> Iterator[tuple[str, int]]:
    """All names of all notes, found in another way."""
    for octave, letter in itertools.product(range(-1, 10), "CDEFGAB"):
        for sign, step in {"": 0, "#": 1, "♯": 1, "b": -1, "B": -1, "♭": -1}.items():
            midi = NAMES.index(letter) + step + 12 * (octave + 1)
            if 0 <= midi <= 127:
                yield f"{letter}{sign}{octave}", midi
                yield f"{letter.lower()}{sign}{octave}", midi


def test_names_of_notes_are_read_and_nothing_else(hall: Page) -> None:
    """All that looks like a note is either one, or none: signs, the letter's case, octaves."""
    chance = random.Random(1)
    names = dict(spellings())
    likely = "ABCDEFGHabcdefgh#♯b♭-0123456789 "
    texts = ["C#4", "Db3", "B♭-1", "Cb-1", "G#9", "G9", "B#3", "E♯9", "", "C", "4", "C10", "C-2"]
    texts += names
    texts += ["".join(chance.choices(likely, k=chance.randint(0, 4))) for _ in range(3000)]
    texts += [" C4", "C4 ", "C4\n", "C٤", "\u216d4", "constructor", "__proto__"]
    found = run(hall, "notes", "return given.map(module.parseNote)", texts)
    assert found == [names.get(text) for text in texts]
    assert sum(midi is not None for midi in found) > len(names)
    assert found[:3] == [61, 49, 10]


def test_what_is_no_text_is_no_note(hall: Page) -> None:
    """Values of any other type are none."""
    body = "return [null, undefined, 4, {}, ['C4'], NaN].map(module.parseNote)"
    assert run(hall, "notes", body) == [None] * 6


def test_plain_text_plays(hall: Page) -> None:
    """A note's name is for the piano, a drum's is for the drums, and all else is text."""
    texts = ["db4", " C#4 ", "kick", "Clap", "kicks", "hello", "", "piano", "A"]
    assert run(hall, "notes", "return given.map(module.soundOf)", texts) == [
        {"instrument": "piano", "note": "C#4"},
        {"instrument": "piano", "note": "C#4"},
        {"instrument": "drums", "note": "kick"},
        {"instrument": "drums", "note": "clap"},
        *[None] * 5,
    ]


def test_the_keyboard_has_a_range_for_each_instrument_with_notes(hall: Page) -> None:
    """All but the drums have one, of an octave at least, that begins with the lowest."""
    instruments, ranges = run(hall, "notes", "return [module.INSTRUMENTS, module.RANGES]")
    assert instruments == ["violin", "cello", "flute", "piano", "drums"]
    assert set(ranges) == set(instruments) - {"drums"}
    assert all(0 <= low <= high - 12 <= 115 for low, high in ranges.values())


# The server's clock

ASK = """
const clock = new module.ServerClock(() => given.now);
for (const [sent, server, received] of given.samples) clock.add(sent, server, received);
return {known: clock.isKnown, error: clock.error, now: clock.now(),
        local: clock.toLocal(given.now), server: clock.toServer(given.now)};
"""


def asked(page: Page, samples: list[list[float]], now: float) -> dict[str, Any]:
    answer: dict[str, Any] = run(page, "clock", ASK, {"samples": samples, "now": now})
    return answer


def test_the_clock_of_nobody_is_the_local_one(hall: Page) -> None:
    """Before the first answer the local time stands for the server's; how wrong, is not known."""
    clock = asked(hall, [], 5000)
    assert clock == {"known": False, "error": math.inf, "now": 5000, "local": 5000, "server": 5000}


def test_the_clock_is_never_more_wrong_than_it_says(hall: Page) -> None:
    """Whatever each way takes: the error is half of a round trip, and the estimate is within."""
    chance = random.Random(2)
    body = f"return given.map(given => {{ {ASK} }})"
    cases, truths = [], []
    for _ in range(300):
        offset = chance.uniform(-1e7, 1e7)
        samples, time = [], 1e9
        for _ in range(chance.randint(1, 30)):
            there, back = chance.expovariate(1 / 40), chance.expovariate(1 / 40)
            samples.append([time, time + there + offset, time + there + back])
            time += there + back + chance.uniform(100, 20_000)
        cases.append({"samples": samples, "now": time})
        truths.append(offset)
    for case, truth, clock in zip(cases, truths, run(hall, "clock", body, cases), strict=True):
        assert abs(clock["now"] - (case["now"] + truth)) <= clock["error"] + 1e-3
        assert clock["server"] == clock["now"]
        assert clock["local"] == pytest.approx(2 * case["now"] - clock["now"])
        recent = [s[2] - s[0] for s in case["samples"] if case["samples"][-1][2] - s[2] < 110_000]
        assert clock["error"] <= min(recent) / 2 + 6  # what drift is taken for in two minutes


def test_the_surest_of_the_recent_answers_counts(hall: Page) -> None:
    """A quick answer outlasts slow ones, for two minutes."""
    quick = [0.0, 105.0, 10.0]
    slow = [[t, t + 100 + 180, t + 200] for t in range(1000, 200_000, 10_000)]
    assert asked(hall, [quick, *slow[:11]], 112_000)["now"] == 112_100
    assert asked(hall, [quick, *slow[:11]], 112_000)["error"] == 5
    assert asked(hall, [quick, *slow], 200_000)["error"] == 100


@pytest.mark.parametrize("jump", [-3_600_000.0, -500.0, 500.0, 3_600_000.0])
def test_a_clock_that_is_set_does_not_count_on_what_was(hall: Page, jump: float) -> None:
    """After the local clock was set, forward or back, the first answer is believed."""
    before = [[t, t + 1000, t + 2] for t in (10_000_000.0, 10_005_000.0)]
    sent = 10_010_000 + jump
    after = [sent, 10_010_000 + 1000 + 50, sent + 100]
    assert asked(hall, [*before, after], sent)["now"] == pytest.approx(10_011_000)


def test_an_answer_that_cannot_be_is_ignored(hall: Page) -> None:
    """A question is not answered before it is asked, and times are numbers."""
    good = [1000.0, 6005.0, 1010.0]
    for bad in ([3000, 9000, 2000], [math.nan, 9000, 2000], [1, math.inf, 2], [1, math.nan, 2]):
        assert not asked(hall, [bad], 0)["known"]
        clock = asked(hall, [good, bad], 2000)
        assert clock["now"] == 7000
        assert clock["error"] == 5


# The tempo


def tempo(**changes: object) -> dict[str, Any]:
    return {"bpm": 96, "beat": SERVER, "playing": True, "set": SERVER} | changes


def beats(page: Page, tempo: dict[str, Any], *moments: float) -> list[list[dict[str, float]]]:
    body = "return given[1].map(([from, to]) => module.beatsBetween(given[0], from, to))"
    spans = list(itertools.pairwise(moments))
    found: list[list[dict[str, float]]] = run(page, "tempo", body, [tempo, spans])
    return found


def test_what_is_sent_is_a_tempo_or_none(hall: Page) -> None:
    """Only what has all four, in their range, is one; nothing else of it is kept."""
    good = [tempo(), tempo(bpm=30), tempo(bpm=240, beat=0, set=0), tempo(playing=False)]
    bad: list[object] = [None, 3, "tempo", [], {}]
    for key in tempo():
        bad += [{k: v for k, v in tempo().items() if k != key}]
        bad += [tempo(**{key: value}) for value in (None, "96", math.nan, math.inf, [], -1, 1e300)]
    bad += [tempo(bpm=29.9), tempo(bpm=240.1), tempo(playing=1)]
    body = "return given.map(value => module.validTempo(value))"
    assert run(hall, "tempo", body, [*good, *bad]) == [*good, *[None] * len(bad)]
    assert run(hall, "tempo", body, [tempo(more=1)]) == [tempo()]


def test_nobody_decides_for_all_the_future(hall: Page) -> None:
    """What is set more than five seconds ahead is no tempo, where the time is told."""
    body = (
        "return given.map(set => module.validTempo({bpm: 96, beat: 0, playing: true, set}, 1e6))"
    )
    found = run(hall, "tempo", body, [1e6, 1e6 + 5000, 1e6 + 5001, 8e15])
    assert [one is not None for one in found] == [True, True, False, False]


def test_beats_come_in_bars_of_four_without_gaps(hall: Page) -> None:
    """However time is cut: each beat is told once, a period apart, in its place of the bar."""
    chance = random.Random(3)
    for bpm, beat in ((96, SERVER), (30, 0.0), (240, 8.64e12), (123.4, SERVER + 1e9)):
        start = SERVER + chance.uniform(-1e5, 1e5)
        cuts = sorted(start + chance.uniform(0, 20_000) for _ in range(300))
        found = [b for span in beats(hall, tempo(bpm=bpm, beat=beat), *cuts) for b in span]
        period = 60_000 / bpm
        assert abs(len(found) - (cuts[-1] - cuts[0]) / period) <= 1
        for one, other in itertools.pairwise(found):
            assert other["at"] - one["at"] == pytest.approx(period, abs=0.01)
            assert other["index"] == (one["index"] + 1) % 4
        for one in found:
            bars = (one["at"] - beat) / period / 4 - one["index"] / 4
            assert bars == pytest.approx(round(bars), abs=1e-3)


def test_a_beat_belongs_to_what_begins_with_it(hall: Page) -> None:
    """The first moment is included, the last is not."""
    first, second = beats(hall, tempo(bpm=60), SERVER, SERVER + 1000, SERVER + 2000)
    assert first == [{"at": SERVER, "index": 0}]
    assert second == [{"at": SERVER + 1000, "index": 1}]
    times = [SERVER + number * (60_000 / 97) for number in range(2000)]
    found = beats(hall, tempo(bpm=97), *times)
    assert found == [[{"at": at, "index": n % 4}] for n, at in enumerate(times[:-1])]


def test_beats_are_bounded(hall: Page) -> None:
    """Never more than a hundred, and none of what is no time; without beats there is none."""
    endless = [[SERVER, 1e300], [0, math.inf], [-1e300, 1e300], [math.nan, 1e9], [1e15, 1e14]]
    body = "return given[1].map(([from, to]) => module.beatsBetween(given[0], from, to).length)"
    assert run(hall, "tempo", body, [tempo(), endless]) == [100, 100, 0, 0, 0]
    assert run(hall, "tempo", body, [tempo(beat=8.64e15), endless[:1]]) == [100]
    assert beats(hall, tempo(playing=False), SERVER, SERVER + 1e5) == [[]]


def test_a_change_of_tempo_keeps_the_phase(hall: Page) -> None:
    """The next beat of the former tempo is where it would have been, in its place of the bar."""
    chance = random.Random(4)
    cases = [
        [
            tempo(bpm=chance.uniform(30, 240)),
            chance.uniform(30, 240),
            SERVER + chance.random() * 1e6,
        ]
        for _ in range(300)
    ]
    body = """return given.map(([tempo, bpm, now]) => {
      const fresh = module.changed(tempo, bpm, now);
      const [next] = module.beatsBetween(tempo, now, now + 3000);
      const [same, then] = module.beatsBetween(fresh, next.at - 0.01, next.at + 2100);
      return [fresh, next, same, then, module.takesOver(tempo, fresh, now)]; })"""
    for (old, bpm, now), (fresh, following, same, then, over) in zip(
        cases, run(hall, "tempo", body, cases), strict=True
    ):
        assert fresh == old | {"bpm": bpm, "beat": fresh["beat"], "set": now}
        assert same["at"] == pytest.approx(following["at"], abs=0.01)
        assert same["index"] == following["index"]
        assert then["at"] - same["at"] == pytest.approx(60_000 / bpm, abs=0.01)
        assert over == pytest.approx(following["at"], abs=0.01)


def test_a_tempo_that_is_out_of_phase_holds_at_once(hall: Page) -> None:
    """So does one that stops, and the first one."""
    cases = [
        [None, tempo()],
        [tempo(), tempo(beat=SERVER + 100, bpm=90, set=SERVER + 5000)],
        [tempo(bpm=60), tempo(beat=SERVER + 1000, bpm=120)],  # another one of the bar
        [tempo(), tempo(playing=False)],
        [tempo(playing=False), tempo()],
    ]
    body = "return given.map(([a, b]) => module.takesOver(a, b, b.set))"
    assert run(hall, "tempo", body, cases) == [-math.inf] * 5


def test_a_tempo_that_is_set_ahead_delays_no_change(hall: Page) -> None:
    """The next one comes after it, but takes over with the next beat there is."""
    body = """const now = given.set + 1700, ahead = {...given, set: now + 58_000};
    const fresh = module.changed(ahead, 120, now);
    const [next] = module.beatsBetween(ahead, now, Infinity);
    return [module.newer(ahead, fresh) === fresh, next.at - now,
      ...[0, 100].map(late => module.takesOver(ahead, fresh, now + late) - next.at)]"""
    is_newer, wait, *over = run(hall, "tempo", body, tempo())
    assert is_newer
    assert 100 < wait < 60_000 / 96
    assert over == pytest.approx([0, 0], abs=0.01)


def test_what_is_decided_later_counts(hall: Page) -> None:
    """Whoever decides, decides after what there was, whatever the clocks say; ties are the same
    for all."""
    body = """const old = given;
    const started = module.started(old.set - 5000, 500, old);
    const changed = module.changed(old, 1, old.set - 5000);
    const stopped = module.stopped(old, old.set - 5000);
    const later = [started, changed, stopped];
    const tie = {...old, bpm: 97};
    return {bpm: later.map(t => t.bpm), playing: later.map(t => t.playing),
      newer: later.map(t => module.newer(old, t) === t && module.newer(t, old) === t),
      valid: later.map(t => module.validTempo(t) !== null),
      tie: module.newer(old, tie) === tie && module.newer(tie, old) === tie,
      none: [module.newer(null, old), module.newer(old, null), module.newer(null, null)],
      same: module.newer(old, {...old}) === old,
      first: module.started(1000, 96)}"""
    found = run(hall, "tempo", body, tempo())
    assert found["bpm"] == [240, 30, 96]
    assert found["playing"] == [True, True, False]
    assert found["newer"] == found["valid"] == [True] * 3
    assert found["tie"]
    assert found["same"]
    assert found["none"] == [tempo(), tempo(), None]
    assert found["first"] == {"bpm": 96, "beat": 1200, "playing": True, "set": 1000}


def test_a_tempo_can_be_tapped(hall: Page) -> None:
    """Three taps tell it, the middle of their distances counts, and a pause begins anew."""
    cases: dict[str, tuple[list[float], int | None]] = {
        "nothing": ([], None),
        "one": ([5], None),
        "two": ([0, 500], None),
        "three": ([0, 500, 1000], 120),
        "unsteady": ([0, 510, 995, 1500, 2004], 119),
        "one is missing": ([0, 500, 1000, 2000, 2500, 3000], 120),
        "a pause": ([0, 500, 1000, 9000, 9600, 10_200], 100),
        "after a pause": ([0, 500, 1000, 9000, 9600], None),
        "slower and slower": ([n * n * 10 for n in range(40)], 86),
        "too fast": ([0, 100, 200, 300], None),
        "at once": ([7, 7, 7, 7], None),
        "no times": ([math.nan, math.nan, math.nan], None),
        "backwards": ([1000, 500, 0], None),
    }
    found = run(hall, "tempo", "return given.map(module.tapped)", [t for t, _ in cases.values()])
    assert dict(zip(cases, found, strict=True)) == {k: bpm for k, (_, bpm) in cases.items()}


# The metronome

STAGE = """
const {changed, stopped} = await import('/hall/x/tempo.js');
const state = {now: 0, hidden: false, heard: [], clicks: [], timers: new Map(), last: 0};
const later = every => (callback, ms) => {
  state.last += 1;
  state.timers.set(state.last, {callback, at: state.now + ms, every: every ? ms : 0});
  return state.last;
};
const cancel = id => state.timers.delete(id);
const timers = {setTimeout: later(false), clearTimeout: cancel, setInterval: later(true),
                clearInterval: cancel, isHidden: () => state.hidden};
// The server's clock is a million milliseconds ahead.
const clock = {now: () => state.now + 1e6, toLocal: at => at - 1e6};
const sound = {click(at, accent) {
  const click = {at, accent, made: state.now, back: null};
  state.clicks.push(click);
  return () => { click.back = state.now; };
}};
const metronome = new module.Metronome(sound, clock, timers);
metronome.onbeat = (index, at) => state.heard.push([index, at, state.now]);
const pass = until => {
  for (;;) {
    const [id, timer] = [...state.timers].sort((a, b) => a[1].at - b[1].at)[0] ?? [];
    if (id === undefined || timer.at > until) break;
    state.now = Math.max(state.now, timer.at);
    if (timer.every) timer.at += timer.every; else state.timers.delete(id);
    timer.callback();
  }
  state.now = until;
};
const sounding = () => state.clicks.filter(c => c.back === null).map(c => [c.at, c.accent]);
const first = {bpm: 120, beat: 1e6, playing: true, set: 1e6};
"""


def metronome(page: Page, body: str) -> Any:
    return run(page, "metronome", STAGE + body)


def test_beats_are_scheduled_ahead_and_seen_when_they_are_heard(hall: Page) -> None:
    """Each click is handed over up to 125 ms ahead, once, and the eye is told at its time."""
    body = "metronome.follow(first); pass(4100); return [state.clicks, state.heard]"
    clicks, heard = metronome(hall, body)
    assert [click["at"] for click in clicks] == list(range(0, 4001, 500))
    assert [click["accent"] for click in clicks] == [True, False, False, False] * 2 + [True]
    assert all(75 <= click["at"] - click["made"] <= 100 for click in clicks[1:])
    assert heard == [[n % 4, 500 * n, 500 * n] for n in range(9)]


def test_a_hidden_page_looks_further_ahead(hall: Page) -> None:
    """With a timer that comes once a second only, no beat is missing."""
    body = """state.hidden = true; metronome.follow(first);
    for (const timer of state.timers.values()) if (timer.every) timer.every = timer.at = 1000;
    pass(5000); return state.clicks"""
    clicks = metronome(hall, body)
    assert [click["at"] for click in clicks] == list(range(0, 6500, 500))
    assert all(click["made"] <= click["at"] for click in clicks)


def test_a_page_that_comes_back_keeps_what_it_has_scheduled(hall: Page) -> None:
    """What was far ahead when it was hidden is not taken back to be scheduled again."""
    body = """state.hidden = true; metronome.follow(first); pass(100); state.hidden = false;
    pass(2000); return state.clicks"""
    clicks = metronome(hall, body)
    assert [click["at"] for click in clicks] == [0, 500, 1000, 1500, 2000]
    assert [click["back"] for click in clicks] == [None] * 5


def test_a_slow_way_to_the_ear_is_looked_further_ahead_for(hall: Page) -> None:
    """What the sound's latency is, is added."""
    body = "sound.latency = 200; metronome.follow(first); pass(2100); return state.clicks"
    assert all(275 <= c["at"] - c["made"] <= 300 for c in metronome(hall, body)[1:])


def test_a_change_keeps_the_phase_and_takes_back_what_was_scheduled(hall: Page) -> None:
    """The beats of the former tempo go on up to the one where the other takes over."""
    body = """state.hidden = true; metronome.follow(first); pass(700);
    const slower = changed(first, 60, 1e6 + 700);
    metronome.follow(slower); pass(4100);
    return [state.clicks, sounding(), state.heard]"""
    clicks, sounding, heard = metronome(hall, body)
    assert [at for at, _ in sounding] == [0, 500, 1000, 2000, 3000, 4000, 5000]
    assert [accent for _, accent in sounding] == [True, False, False, False, True, False, False]
    back = [click for click in clicks if click["back"] is not None]
    assert [click["at"] for click in back] == [1500, 2000]  # which was the first of a bar
    assert [click["back"] for click in back] == [700, 700]
    assert [at for _, at, _ in heard] == [0, 500, 1000, 2000, 3000, 4000]
    assert [index for index, _, _ in heard] == [0, 1, 2, 3, 0, 1]


def test_a_tempo_that_is_told_again_changes_nothing(hall: Page) -> None:
    """Newcomers are told it by all, again and again."""
    body = """metronome.follow(first); pass(440); metronome.follow(changed(first, 30, 1e6 + 440));
    for (let i = 0; i < 9; i += 1) {
      pass(state.now + 90);
      metronome.follow({...changed(first, 30, 1e6 + 440)});
    }
    pass(5100); return [state.clicks, state.heard]"""
    clicks, heard = metronome(hall, body)
    assert [at for _, at, _ in heard] == [0, 500, 2500, 4500]
    assert [(click["at"], click["back"]) for click in clicks] == [(at, None) for _, at, _ in heard]


def test_a_faster_tempo_has_no_beats_before_it_takes_over(hall: Page) -> None:
    """Its own beats before that are none."""
    body = """const slow = {...first, bpm: 30}; metronome.follow(slow); pass(100);
    metronome.follow(changed(slow, 240, 1e6 + 100)); pass(2600); return state.heard"""
    assert [at for _, at, _ in metronome(hall, body)] == [0, 2000, 2250, 2500]


def test_another_tempo_out_of_phase_holds_at_once(hall: Page) -> None:
    """What was scheduled of the former is taken back, and neither heard nor seen."""
    body = """metronome.follow(first); pass(440);
    metronome.follow({...first, beat: 1e6 + 700, set: 1e6 + 440}); pass(1000);
    return [sounding(), state.heard]"""
    sounding, heard = metronome(hall, body)
    assert [at for at, _ in sounding] == [0, 700]
    assert [at for _, at, _ in heard] == [0, 700]


@pytest.mark.parametrize(
    "end", ["stop()", "follow(null)", "follow(stopped(first, 1e6 + 440))"], ids=str
)
def test_when_it_stops_nothing_is_left(hall: Page, end: str) -> None:
    """What is scheduled is taken back, and there are no timers; it can begin again."""
    body = f"""metronome.follow(first); pass(440); metronome.{end};
    const left = state.timers.size; pass(1300);
    const before = sounding(); metronome.follow({{...first, set: 1e6 + 1300}}); pass(1700);
    return [left, before, state.heard]"""
    left, before, heard = metronome(hall, body)
    assert left == 0
    assert before == [[0, True]]
    assert [at for _, at, _ in heard] == [0, 1500]


def test_a_metronome_can_be_seen_and_not_heard(hall: Page) -> None:
    """Not audible, it takes back its clicks, and the beats go on for the eye."""
    body = """metronome.follow(first); pass(440); metronome.isAudible = false; pass(1440);
    const silent = sounding(); metronome.isAudible = true; pass(2020);
    return [silent, sounding(), state.heard]"""
    silent, sounding, heard = metronome(hall, body)
    assert silent == [[0, True]]
    assert sounding == [[0, True], [1500, False], [2000, True]]
    assert [at for _, at, _ in heard] == [0, 500, 1000, 1500, 2000]


def test_a_clock_that_is_corrected_repeats_no_beat(hall: Page) -> None:
    """Beats are the server's, so that a correction neither repeats nor loses one."""
    body = """let error = 0; clock.now = () => state.now + 1e6 + error;
    clock.toLocal = at => at - 1e6 - error;
    metronome.follow(first);
    for (const wrong of [0, -8, 6, -3, 9, -20, 0]) { pass(state.now + 505); error = wrong; }
    return state.heard"""
    assert [index for index, _, _ in metronome(hall, body)] == [0, 1, 2, 3, 0, 1, 2, 3]
