"""What pages say to each other: whatever anybody has published, it is understood or shown."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hall.conftest import answer

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Run = Callable[..., Any]

INSTRUMENTS = ["violin", "cello", "flute", "piano"]
DRUMS = ["kick", "snare", "hat", "cymbal", "tom", "clap"]
NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
NOTES = [f"{NAMES[midi % 12]}{midi // 12 - 1}" for midi in range(128)]
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
NOW = 1_700_000_000_000
TEMPO = {"bpm": 96, "beat": NOW + 0.5, "playing": True, "set": NOW}

# Text that a browser can be sent: halves of surrogate pairs are none.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
awkward = text | st.text(
    st.sampled_from(BIDI + "ab \n\t\0\x1b\x7f\x85\u2028\ufeff🎻é"), max_size=30
)
played = st.tuples(st.sampled_from(INSTRUMENTS), st.sampled_from(NOTES)) | st.tuples(
    st.just("drums"), st.sampled_from(DRUMS)
)
times = st.floats(0, 8e15)
louds = st.floats(0, 1)
tempos = st.fixed_dictionaries(
    {"bpm": st.floats(30, 240), "beat": times, "playing": st.booleans(), "set": times}
)
words = awkward | st.sampled_from(
    ["on", "off", "with", "at", "loud", "seat", "name", "tempo", "ask", "b64", "__proto__"]
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(words, values, max_size=6),
    max_leaves=8,
)
# What is a message, or nearly.
messages = (
    st.builds(
        lambda kind, what, at, loud: {kind: what[1], "with": what[0], "at": at, "loud": loud},
        st.sampled_from(["on", "off"]),
        played,
        times,
        louds,
    )
    | st.builds(
        lambda name, instrument, tempo: {"seat": {"name": name, "with": instrument}, **tempo},
        words,
        st.sampled_from([*INSTRUMENTS, "drums", "tuba"]),
        st.just({}) | st.fixed_dictionaries({"tempo": tempos}),
    )
    | st.fixed_dictionaries({"tempo": tempos})
)
nearly = st.builds(
    lambda message, change: {**message, **change},
    messages,
    st.just({}) | st.dictionaries(words, anything, max_size=1),
)


@pytest.fixture(scope="module")
def run(browser: Browser) -> Iterator[Run]:
    """Runs a script that knows the module ``messages``, with an argument."""
    with browser.new_context() as context:
        context.route("**/*", answer)
        page = context.new_page()
        page.goto("http://localhost/")
        page.evaluate("async () => { window.messages = await import('/hall/x/messages.js') }")

        def run(script: str, argument: Any = None) -> Any:
            # JSON has fewer surprises than the browser's own protocol.
            evaluated = page.evaluate(
                "([script, text]) => JSON.stringify("
                "new Function('argument', script)(JSON.parse(text)) ?? null)",
                [script, json.dumps(argument)],
            )
            return json.loads(evaluated)

        yield run


def parsed(run: Run, *data: Any) -> list[Any]:
    """What is made of each."""
    found: list[Any] = run("return argument.map(data => messages.parse(data))", data)
    return found


def is_clean(line: str, longest: int) -> bool:
    """Whether text is short, on a line of its own, and seen where it is."""
    bad = [
        one for one in line if unicodedata.category(one) == "Cc" or one in BIDI + "\u2028\u2029"
    ]
    return not bad and len(line) <= longest and line == line.strip()


@settings(max_examples=60, deadline=None)
@given(data=st.lists(nearly | anything, min_size=1, max_size=12))
def test_anything_is_read(run: Run, data: list[Any]) -> None:
    """Whatever JSON is published, it is a message, all of which is what it should be."""
    for value, found in zip(data, parsed(run, *data), strict=True):
        kind = found.pop("kind")
        if kind in ("on", "off"):
            notes = DRUMS if found["instrument"] == "drums" else NOTES
            assert found["instrument"] in [*INSTRUMENTS, "drums"]
            assert found["note"] in notes
            assert isinstance(found["at"], int | float)
            assert 0 <= found["loud"] <= 1
            assert set(found) == {"instrument", "note", "at", "loud"}
        elif kind == "seat":
            assert found["instrument"] in [*INSTRUMENTS, "drums"]
            assert is_clean(found["name"], 24)
            assert isinstance(found["ask"], bool)
            assert set(found) == {"name", "instrument", "tempo", "ask"}
        elif kind == "tempo":
            assert 30 <= found["tempo"]["bpm"] <= 240
        else:
            assert kind == ("text" if isinstance(value, str) else "other")
            assert is_clean(found["text"], 500)
            assert set(found) == {"text"}


def test_what_is_no_json(run: Run) -> None:
    """Even that does not fail: nothing is made of it, or what can be shown."""
    found = run(
        """
        const circle = {}
        circle.on = circle
        let deep = []
        for (let depth = 0; depth < 100000; depth++) deep = [deep]
        const evil = new Proxy({}, { has() { throw new Error("no") } })
        const values = [deep, undefined, circle, evil, 1n, Symbol("x"), () => 1, NaN, Infinity,
            "\\ud800 a \\udc00\\ud800", Object.create(null), new Map(), [,]]
        return values.map(value => messages.parse(value))
        """
    )
    assert found[0] is None or found[0]["text"].startswith("[[[")  # as deep as the browser goes
    assert found[1:7] == [None] * 6
    assert [one["text"] for one in found[7:]] == ["null", "null", "a", "{}", "{}", "[null]"]


@settings(max_examples=20, deadline=None)
@given(
    notes=st.lists(st.tuples(played, times, louds), min_size=1, max_size=20),
    seats=st.lists(
        st.tuples(awkward, st.sampled_from([*INSTRUMENTS, "drums"]), tempos | st.none()),
        min_size=1,
        max_size=20,
    ),
    texts=st.lists(awkward, min_size=1, max_size=20),
)
def test_what_is_said_is_understood(
    run: Run, notes: list[Any], seats: list[Any], texts: list[str]
) -> None:
    """What a page says is what the others hear, and looks as it does there."""
    found = run(
        """
        const heard = said => messages.parse(JSON.parse(JSON.stringify(said)))
        return {
            on: argument.notes.map(([[instrument, note], at, loud]) =>
                heard(messages.on(note, instrument, at, loud))),
            off: argument.notes.map(([[instrument, note], at]) =>
                heard(messages.off(note, instrument, at))),
            seats: argument.seats.map(([name, instrument, tempo], count) =>
                heard(messages.seat(name, instrument, tempo, count % 2 === 1))),
            tempos: argument.seats.map(([, , tempo]) => tempo && heard(messages.tempo(tempo))),
            texts: argument.texts.map(words => heard(messages.text(words))),
            own: argument.texts.map(words => messages.text(words)),
        }
        """,
        {"notes": notes, "seats": seats, "texts": texts},
    )
    for ((instrument, note), at, loud), on, off in zip(
        notes, found["on"], found["off"], strict=True
    ):
        assert on["at"] == off["at"] == pytest.approx(at, rel=1e-12, abs=0.051)
        assert on["loud"] == pytest.approx(loud, abs=0.0051)
        what = {"note": note, "instrument": instrument, "at": on["at"]}
        assert on == {"kind": "on", **what, "loud": on["loud"]}
        assert off == {"kind": "off", **what, "loud": 0.8}
    for number, (_, instrument, tempo) in enumerate(seats):
        seat = found["seats"][number]
        assert is_clean(seat.pop("name"), 24)
        asks = number % 2 == 1
        assert seat == {"kind": "seat", "instrument": instrument, "tempo": tempo, "ask": asks}
        assert found["tempos"][number] == (tempo and {"kind": "tempo", "tempo": tempo})
    assert found["texts"] == [{"kind": "text", "text": own} for own in found["own"]]


def test_messages(run: Run) -> None:
    """Those of the plan."""
    note = {"on": "db4", "with": "violin", "at": NOW + 0.4}
    seat = {"seat": {"name": " Ann ", "with": "flute"}}
    known = {"kind": "seat", "name": "Ann", "instrument": "flute"}
    on = {"kind": "on", "note": "C#4", "instrument": "violin", "at": NOW + 0.4, "loud": 0.8}
    expected = [
        (note, on),
        ({**note, "loud": 7}, {**on, "loud": 1}),
        ({**note, "loud": -1}, {**on, "loud": 0}),
        (
            {"off": "hat", "with": "drums", "at": NOW},
            {"kind": "off", "note": "hat", "instrument": "drums", "at": NOW, "loud": 0.8},
        ),
        (seat, {**known, "tempo": None, "ask": False}),
        ({**seat, "tempo": TEMPO, "ask": True}, {**known, "tempo": TEMPO, "ask": True}),
        ({**seat, "tempo": {**TEMPO, "bpm": 1}, "ask": 1}, {**known, "tempo": None, "ask": False}),
        ({"tempo": TEMPO, "x": 1}, {"kind": "tempo", "tempo": TEMPO}),
        ("C#4", {"kind": "text", "text": "C#4"}),
        ("", {"kind": "text", "text": ""}),
        ({"b64": "Ymk="}, {"kind": "other", "text": "2 bytes"}),
        ({"b64": "YQ=="}, {"kind": "other", "text": "1 byte"}),
        ({"b64": "YWJj"}, {"kind": "other", "text": "3 bytes"}),
        ({"b64": ""}, {"kind": "other", "text": "0 bytes"}),
    ]
    assert parsed(run, *(data for data, _ in expected)) == [message for _, message in expected]


def test_what_is_said(run: Run) -> None:
    """It is short, and clean already when it is sent."""
    said = run(
        """
        const { on, off, seat, tempo, text } = messages
        return [
            on("C#4", "violin", 1700000000123.456, 0.123), off("hat", "drums", 1700000000123.456),
            seat(argument, "flute"), seat("Ann", "flute", { bpm: 96 }, true), tempo({ bpm: 96 }),
            text(argument),
        ]
        """,
        "\u202eAnn\n" + "x" * 600,
    )
    assert said == [
        {"on": "C#4", "with": "violin", "at": 1700000000123.5, "loud": 0.12},
        {"off": "hat", "with": "drums", "at": 1700000000123.5},
        {"seat": {"name": "Ann " + "x" * 19 + "…", "with": "flute"}},
        {"seat": {"name": "Ann", "with": "flute"}, "tempo": {"bpm": 96}, "ask": True},
        {"tempo": {"bpm": 96}},
        "Ann " + "x" * 495 + "…",
    ]


def test_what_only_looks_like_a_message(run: Run) -> None:
    """It is shown as what it is, and nothing of it is believed."""
    note = {"on": "C#4", "with": "violin", "at": NOW}
    data = [
        *({**note, "on": name} for name in ("H4", "C10", "kick", "", 61, None, ["C#4"])),
        *({**note, "with": name} for name in ("tuba", "drums", "", None, "toString", ["violin"])),
        *({**note, "at": time} for time in ("now", None, True, [NOW])),
        *({**note, "loud": loud} for loud in ("1", None, [])),
        {"on": "C#4", "with": "violin"},
        {"off": "kick", "with": "piano", "at": NOW},
        {"seat": {"name": 1, "with": "violin"}},
        {"seat": {"name": "Ann", "with": "tuba"}},
        {"seat": None, "tempo": TEMPO},
        {"seat": "Ann"},
        {"tempo": {**TEMPO, "playing": 1}},
        {"note": "C#4"},
        {"b64": "Ymk=", "x": 1},
        {"b64": 1},
        [note],
        [],
        {},
        None,
        12,
        True,
    ]
    expected = [{"kind": "other", "text": json.dumps(one, separators=(",", ":"))} for one in data]
    assert parsed(run, *data) == expected


def test_what_is_far_ahead(run: Run) -> None:
    """It is not believed, if it is known what time it is."""
    data = [
        {"on": "C#4", "with": "violin", "at": NOW + ahead} for ahead in (-1e9, 60_000, 60_001)
    ] + [{"tempo": {**TEMPO, "set": NOW + ahead}} for ahead in (5000, 5001)]
    found = run("return argument.map(data => messages.parse(data, 1700000000000).kind)", data)
    assert found == ["on", "on", "other", "tempo", "other"]


def test_text_is_cut_and_cleaned(run: Run) -> None:
    """Between characters, to so many; what is on no line, or turns others round, is taken out."""
    cases = [
        ("a" * 24, "a" * 24),
        ("a" * 25, "a" * 23 + "…"),
        ("🎻" * 24, "🎻" * 24),
        ("🎻" * 25, "🎻" * 23 + "…"),
        ("\u202e" * 100 + "Ann", "Ann"),
        ("A\u202en\0n\x1b[31m", "Ann[31m"),
        (" \n A \t\r\n n\u2028n\x85\ufeff ", "A n n"),
        ("\u2066\u200f", ""),
        ("👩‍🎤", "👩‍🎤"),
        ("<b>&amp;", "<b>&amp;"),
    ]
    names = [{"seat": {"name": name, "with": "violin"}} for name, _ in cases]
    assert [one["name"] for one in parsed(run, *names)] == [name for _, name in cases]
    assert parsed(run, "x" * 500, "x" * 100_000, ["\u202e" + "x" * 100_000]) == [
        {"kind": "text", "text": "x" * 500},
        {"kind": "text", "text": "x" * 499 + "…"},
        {"kind": "other", "text": '["' + "x" * 497 + "…"},
    ]


@settings(max_examples=20, deadline=None)
@given(lines=st.lists(awkward, min_size=1, max_size=40))
def test_what_is_clean_stays(run: Run, lines: list[str]) -> None:
    """Clean text is not changed again; of other text only what is not to be seen is missing."""
    clean = run("return argument.map(line => messages.cleaned(line, 24))", lines)
    assert run("return argument.map(line => messages.cleaned(line, 24))", clean) == clean
    for line, found in zip(lines, clean, strict=True):
        assert is_clean(found, 24)
        seen = [one for one in line if is_clean(f"x{one}x", 3) and one not in "\ufeff…"]
        kept = [one for one in found if one not in "\ufeff…"]
        assert "".join("".join(seen).split()).startswith("".join("".join(kept).split()))
