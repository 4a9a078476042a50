"""The instruments, by what they sound like."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.hall.rendering import (
    centroid,
    decibels,
    loudness,
    pitch,
    render,
    timbre,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

ATTACKS = {"violin": 0.07, "cello": 0.1, "flute": 0.055, "piano": 0.003}
"""How long it takes until a note is there, in seconds."""
PITCHED = tuple(ATTACKS)
SILENCE = -100
"""Below this there is only what is left in filters, in decibels."""
DRUMS = ("kick", "snare", "hat", "cymbal", "tom", "clap")
NOTES = {
    "violin": {"G3": 196.0, "E4": 329.63, "A4": 440.0, "C6": 1046.5, "G6": 1567.98},
    "cello": {"C2": 65.41, "G2": 98.0, "D3": 146.83, "A3": 220.0, "C5": 523.25},
    "flute": {"C4": 261.63, "F#4": 369.99, "A5": 880.0, "C7": 2093.0},
    "piano": {"C2": 65.41, "A2": 110.0, "C4": 261.63, "G#5": 830.61, "B6": 1975.53},
}
"""Notes of the whole range of each instrument, in Hertz."""


@pytest.mark.parametrize("instrument", PITCHED)
def test_a_note_has_its_pitch(hall: Page, instrument: str) -> None:
    """It is in tune, to 15 cents, in the whole range."""
    notes = NOTES[instrument]
    for hertz, sound in zip(
        notes.values(),
        render(hall, *(f"note('{instrument}', '{name}', 0.05)" for name in notes)),
        strict=True,
    ):
        found = pitch(sound.between(0.2, 0.95))
        assert found > 0, hertz
        assert abs(1200 * math.log2(found / hertz)) < 15, hertz


@pytest.mark.parametrize("instrument", PITCHED)
def test_a_note_sounds_from_when_it_is_to_until_it_has_ended(hall: Page, instrument: str) -> None:
    """Before there is silence; after the attack it is there; released, it dies away."""
    body = f"const voice = note('{instrument}', 'A4', 0.25); voice.release(0.7);"
    (sound,) = render(hall, body, seconds=2)
    assert not sound.between(0, 0.25).any()
    attack = ATTACKS[instrument]
    assert 0.25 <= sound.onset() <= 0.25 + attack + 0.005
    there = sound.level(0.25 + attack, 0.35 + attack)
    assert sound.level(0.25 + attack, 0.26 + attack) > sound.level(0.6, 0.7) - 3
    assert sound.level(0.6, 0.7) > there - 9
    assert sound.level(1.25, 1.3) < there - 50
    assert sound.ended == ["A4"]
    assert sound.level(1.5, 2) < SILENCE


@pytest.mark.parametrize("instrument", PITCHED)
def test_a_note_can_be_as_short_as_can_be(hall: Page, instrument: str) -> None:
    """Released as it begins, or before, it is heard all the same, and ends."""
    bodies = [f"note('{instrument}', 'A4', 0.2).release({when})" for when in (0, 0.2)]
    for sound in render(hall, *bodies):
        assert sound.level(0.2, 0.3) > -27
        assert sound.level(0.75, 1) < -70
        assert sound.ended == ["A4"]


@pytest.mark.parametrize("instrument", [*PITCHED, "drums"])
def test_a_note_that_is_stopped_ends_at_once(hall: Page, instrument: str) -> None:
    """Within 70 ms, also when it is to be released later, or has been; or before it begins."""
    note = "cymbal" if instrument == "drums" else "A4"
    begin = f"const voice = note('{instrument}', '{note}', 0.2);"
    orders = (
        "voice.stop(0.5)",
        "voice.release(0.9); voice.stop(0.5)",
        "voice.release(0.49); voice.stop(0.5)",
        "voice.stop(0.5); voice.release(0.6)",
        "voice.stop(0.1)",
    )
    sounds = render(hall, *(f"{begin} {order};" for order in orders))
    for sound in sounds:
        assert sound.ended == [note]
        assert sound.level(0.57, 1) < SILENCE
    assert all(sound.level(0.3, 0.45) > -50 for sound in sounds[:-1])
    assert not sounds[-1].left.any()


@pytest.mark.parametrize("instrument", PITCHED)
def test_the_earlier_release_counts(hall: Page, instrument: str) -> None:
    """A note that is to end some time can end before, and not after."""
    begin = f"const voice = note('{instrument}', 'A4', 0);"
    once, twice, late = render(
        hall,
        f"{begin} voice.release(0.3)",
        f"{begin} voice.release(10); voice.release(0.3)",
        f"{begin} voice.release(0.3); voice.release(0.5)",
    )
    for other in (twice, late):
        assert other.level(0.2, 0.3) > -40
        assert abs(other.level(0.4, 0.45) - once.level(0.4, 0.45)) < 3
        assert other.level(0.98, 1) < SILENCE


def test_nothing_begins_or_ends_with_a_click(hall: Page) -> None:
    """No sample is further from its neighbours than they are in the midst of the note."""
    begin = "const voice = note('flute', 'C5', 0.1);"
    sounds = render(hall, f"{begin} voice.release(0.6)", f"{begin} voice.stop(0.6)")
    for sound in sounds:
        bend = np.abs(np.diff(sound.left, 2))
        assert bend.max() < 1.2 * bend[round(0.45 * 44100) : round(0.59 * 44100)].max()


def test_what_is_struck_begins_from_silence(hall: Page) -> None:
    """Within the first fifth of a millisecond it is not there yet."""
    bodies = [f"note('drums', '{drum}', 0.1)" for drum in DRUMS]
    for sound in render(hall, *bodies, "note('piano', 'A4', 0.1)", seconds=0.3):
        assert np.abs(sound.between(0.1, 0.1002)).max() < 0.2 * sound.peak


def test_a_violin_has_its_body(hall: Page) -> None:
    """It resounds at 2.5 kHz more than at 1.3 kHz, where its string alone has less."""
    (sound,) = render(hall, "note('violin', 'A4', 0)")
    partials = timbre(sound.between(0.1, 0.5), 440)
    assert partials[5] > partials[2] - 3


def test_nothing_clips(hall: Page) -> None:
    """The loudest note of each is below full scale, and has no direct current."""
    notes = [(i, n) for i in PITCHED for n in (*list(NOTES[i])[::2], "C0", "G9")]
    notes += [("drums", drum) for drum in DRUMS]
    bodies = (f"note('{i}', '{n}', 0, 1)" for i, n in notes)
    for (instrument, note), sound in zip(notes, render(hall, *bodies, seconds=0.4), strict=True):
        assert 0 < sound.peak < 0.95, (instrument, note)
        assert note == "C0" or abs(sound.left.mean()) < 0.005, (instrument, note)


def test_instruments_are_about_equally_loud(hall: Page) -> None:
    """To the ear, in the middle of their ranges, by 5 dB at most; the drums by somewhat more."""
    middle = {"violin": "A4", "cello": "A3", "flute": "A5", "piano": "C4"}
    bodies = [f"note('{i}', '{n}', 0)" for i, n in middle.items()]
    bodies += [f"note('drums', '{drum}', 0)" for drum in ("snare", "cymbal", "clap")]
    loud = [loudness(sound.left) for sound in render(hall, *bodies, seconds=0.7)]
    assert max(loud[:4]) - min(loud[:4]) < 5
    assert max(loud) - min(loud) < 8


@pytest.mark.parametrize("instrument", [*PITCHED, "drums"])
def test_what_is_played_louder_is_louder(hall: Page, instrument: str) -> None:
    """And what is played with no force is not heard."""
    note = "snare" if instrument == "drums" else "A4"
    soft, loud, none = render(
        hall, *(f"note('{instrument}', '{note}', 0, {loud})" for loud in (0.3, 0.9, 0))
    )
    assert 6 < loud.level(0, 0.4) - soft.level(0, 0.4) < 20
    assert none.peak == 0


def test_instruments_are_told_apart(hall: Page) -> None:
    """The same note has other partials with each, and with each the same ones once more."""
    bodies = [f"note('{instrument}', 'A4', 0)" for instrument in PITCHED]
    sounds = [sound.between(0.1, 0.5) for sound in render(hall, *bodies, *bodies)]
    timbres = [timbre(sound, 440) for sound in sounds]
    first, again = timbres[:4], timbres[4:]
    for one, other in zip(first, again, strict=True):
        assert np.abs(one - other).mean() < 1
    for one, other in itertools.combinations(first, 2):
        assert np.abs(one - other).mean() > 4


def test_what_is_bowed_or_blown_lasts_and_what_is_struck_does_not(hall: Page) -> None:
    """After a second and a half a violin is as loud as ever, and a piano is not."""
    bodies = [f"note('{instrument}', 'A4', 0)" for instrument in PITCHED]
    for instrument, sound in zip(PITCHED, render(hall, *bodies, seconds=1.7), strict=True):
        change = sound.level(1.5, 1.7) - sound.level(0.15, 0.35)
        assert change < -8 if instrument == "piano" else abs(change) < 3


def test_drums_are_told_apart(hall: Page) -> None:
    """From the dullest to the brightest; no two are alike."""
    bodies = [f"note('drums', '{drum}', 0.01)" for drum in DRUMS]
    sounds = dict(zip(DRUMS, render(hall, *bodies), strict=True))
    bright = {drum: centroid(sound.left) for drum, sound in sounds.items()}
    order = ["kick", "tom", "clap", "snare", "cymbal", "hat"]
    assert sorted(bright, key=bright.__getitem__) == order
    for one, other in itertools.pairwise(order):
        assert bright[other] > 1.2 * bright[one]
    for sound in sounds.values():
        assert 0.01 <= sound.onset() < 0.015
    assert sounds["cymbal"].level(0.8, 1) > -60 > sounds["hat"].level(0.3, 1)


def test_only_what_there_is_can_be_played(hall: Page) -> None:
    """Notes for those who have notes, drums for the drums, and nothing that objects have."""
    cases = [("violin", "A4"), ("piano", "db-1"), ("drums", "hat")]
    none = [("drums", "A4"), ("violin", "hat"), ("violin", ""), ("tuba", "A4"), ("", "")]
    none += [("constructor", "A4"), ("drums", "constructor"), ("drums", "click")]
    code = """async given => { const {isPlayable} = await import('/hall/x/instruments.js');
    return given.map(([instrument, note]) => isPlayable(instrument, note)); }"""
    assert hall.evaluate(code, [*cases, *none]) == [True] * 3 + [False] * 8


def test_what_is_costly_is_made_once(hall: Page) -> None:
    """A second note of an instrument makes no buffer and no wave."""
    code = """async () => {
      const {play} = await import('/hall/x/instruments.js');
      const context = new OfflineAudioContext(1, 44100, 44100);
      let made = 0;
      for (const name of ['createBuffer', 'createPeriodicWave']) {
        const create = context[name];
        context[name] = (...given) => { made += 1; return create.apply(context, given); };
      }
      const once = () => {
        for (const i of ['violin', 'cello', 'flute', 'piano']) {
          play(context, context.destination, i, 'A4', 0, 1);
        }
        play(context, context.destination, 'drums', 'kick', 0, 1);
        return made;
      };
      return [once(), once()];
    }"""
    assert hall.evaluate(code) == [6, 6]


def test_the_ear_of_these_tests_is_in_tune() -> None:
    """A pure tone has its pitch, noise has none, and full scale is 0 dB."""
    time = np.arange(33_000) / 44_100
    for hertz in (65.4, 440.0, 2093.0):
        assert pitch(np.sin(2 * np.pi * hertz * time)) == pytest.approx(hertz, rel=0.003)
    assert pitch(np.random.default_rng(1).standard_normal(33_000)) == 0
    assert loudness(np.sin(2 * np.pi * 1000 * time)) == pytest.approx(-3, abs=0.1)
    assert decibels(1.0) == 0
