"""Medians, ratios and the table."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from benchmarks.load import latency, percentile
from benchmarks.measures import (
    FULL,
    HOSTILE,
    SHORT,
    Figure,
    Measure,
    connections,
    median,
    paced,
    saturated,
)
from benchmarks.plots import deliveries, draw, latencies
from benchmarks.report import cell, number, rows, table

MEASURES = [saturated(10, 1.0), saturated(200, 1.0), paced(1000, 200, 1.0), connections(100)]
RESULTS = {
    "ours": {
        "saturated-10": {"deliveries_per_s": 4_000_000.0},
        "saturated-200": {"deliveries_per_s": 30_000_000.0},
        "paced-1000-200": {"p50_ms": 1.5, "p99_ms": 3.0, "cpu_us_per_delivery": 3.0},
        "connections": {"cpu_us_per_connection": 80.0},
    },
    "theirs": {
        "saturated-10": {"deliveries_per_s": 250_000.0},
        "saturated-200": {"deliveries_per_s": None},
        "paced-1000-200": {"p50_ms": 3.0, "p99_ms": None},
    },
}


def test_the_median_of_what_could_be_measured() -> None:
    """Rounds that failed do not count; what never could be measured has no value."""
    rounds = [{"a": 1.0, "b": None}, {"error": "no"}, {"a": 9.0, "b": None}, {"a": 2.0}]
    assert median(rounds) == {"a": 2.0, "b": None}
    assert median([{"error": "no"}]) == {}


def test_percentiles() -> None:
    """The value that so large a share does not exceed, in milliseconds; of nothing, none."""
    assert percentile([], 0.5) is None
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(list(map(float, range(1000))), 0.999) == 999.0
    assert latency([0.002]) == {"p50_ms": 2.0, "p99_ms": 2.0, "p999_ms": 2.0}
    assert latency([]) == {"p50_ms": None, "p99_ms": None, "p999_ms": None}


def test_numbers_have_three_digits_that_count() -> None:
    """Large ones get a separator."""
    assert [number(n) for n in (0.0512, 1.234, 12.34, 123.4, 12345.0)] == [
        "0.05",
        "1.23",
        "12.3",
        "123",
        "12,345",
    ]


def test_a_cell_has_value_and_ratio() -> None:
    """Without a value there is nothing, without the original's only the value."""
    figure = Figure("x", "title", "M", 1e6)
    assert cell(figure, 4e6, 250_000.0) == "4.00\n16.0 x"
    assert cell(figure, 4e6, None) == "4.00"
    assert cell(figure, None, 250_000.0) == "-"


def test_every_figure_has_a_row() -> None:
    """With a cell for each server, in their order."""
    found = list(rows(MEASURES, ["ours", "theirs"], RESULTS, "theirs"))
    assert found[0] == ["saturated, 10 clients\nM deliveries/s", "4.00\n16.0 x", "0.25"]
    assert found[1][1:] == ["30.0", "-"]
    assert len(found) == 2 + 5 + 2


def test_the_table_names_the_original() -> None:
    """And says what was done."""
    shown = StringIO()
    made = table(MEASURES, {"ours": "Ours", "theirs": "Theirs"}, RESULTS, "theirs")
    Console(width=100, file=shown).print(made)
    text = " ".join(shown.getvalue().split())
    assert "what Theirs has" in text
    assert "paced: clients 1000, players 10, rate 200" in text
    assert "16.0 x" in text


def test_the_plots_are_drawn(tmp_path: Path) -> None:
    """Each as a PNG and an SVG, with a line for each server that has values."""
    assert deliveries(MEASURES, RESULTS["ours"]) == [(10, 4e6), (200, 3e7)]
    assert deliveries(MEASURES, RESULTS["theirs"]) == [(10, 250_000.0)]
    assert latencies(MEASURES, RESULTS["ours"], "p99_ms") == [(200_000, 3.0)]
    assert latencies(MEASURES, RESULTS["theirs"], "p99_ms") == []
    labels = {"ours": "Ours", "theirs": "Theirs"}
    files = draw(MEASURES, labels, RESULTS, "today, here", tmp_path)
    assert [file.name for file in files] == [
        "deliveries.png",
        "deliveries.svg",
        "latency.png",
        "latency.svg",
    ]
    for file in files:
        start = file.read_bytes()[:200]
        assert start.startswith(b"\x89PNG" if file.suffix == ".png" else b"<?xml")


def test_names_of_measures_are_unique() -> None:
    """Results are kept by them."""
    for plan in (FULL, SHORT, HOSTILE):
        names = [measure.name for measure in plan]
        assert len(set(names)) == len(names)
        assert all(isinstance(measure, Measure) for measure in plan)
