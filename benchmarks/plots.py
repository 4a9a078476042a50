"""The results as plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from benchmarks.measures import SIZE, Measure
from benchmarks.report import Results

_MARKERS = "osD^vP"
Points = list[tuple[float, float]]


def deliveries(
    measures: Sequence[Measure], values: Mapping[str, Mapping[str, float | None]]
) -> Points:
    """Deliveries a second against the number of clients, of one server."""
    return _points(measures, values, "saturated", "deliveries_per_s", lambda job: job["clients"])


def latencies(
    measures: Sequence[Measure], values: Mapping[str, Mapping[str, float | None]], key: str
) -> Points:
    """Latency in milliseconds against the deliveries a second that are asked for."""
    return _points(measures, values, "paced", key, lambda job: job["clients"] * job["rate"])


def _points(
    measures: Sequence[Measure],
    values: Mapping[str, Mapping[str, float | None]],
    job: str,
    key: str,
    place: Callable[[Mapping[str, float]], float],
) -> Points:
    points = []
    for measure in measures:
        if measure.job["do"] == job and measure.job["size"] == SIZE:
            value = values.get(measure.name, {}).get(key)
            if value is not None:
                points.append((place(measure.job), value))
    return sorted(points)


def draw(
    measures: Sequence[Measure],
    labels: Mapping[str, str],
    results: Results,
    footer: str,
    folder: Path,
) -> list[Path]:
    """Draw the plots.

    :param footer: when and where the results were had.
    :param folder: where the files are to be.
    :returns: the files, a PNG and an SVG of each.
    """
    files = []
    figure, axes = pyplot.subplots(figsize=(9, 6))
    for number, (name, label) in enumerate(labels.items()):
        _line(axes, deliveries(measures, results[name]), label, number)
    axes.set_title("Fan-out: 10 players with 16 messages of 64 bytes in flight, all hear all")
    axes.set_xlabel("clients")
    axes.set_ylabel("deliveries a second")
    files += _finish(figure, axes, footer, folder / "deliveries")
    figure, axes = pyplot.subplots(figsize=(9, 6))
    for number, (name, label) in enumerate(labels.items()):
        _line(axes, latencies(measures, results[name], "p50_ms"), f"{label}, p50", number)
        points = latencies(measures, results[name], "p99_ms")
        _line(axes, points, f"{label}, p99", number, style="--")
    axes.set_title("Latency under a steady load, 1,000 clients")
    axes.set_xlabel("deliveries a second that are asked for")
    axes.set_ylabel("latency, ms")
    files += _finish(figure, axes, footer, folder / "latency")
    return files


def _line(axes: Axes, points: Points, label: str, number: int, style: str = "-") -> None:
    if points:
        x, y = zip(*points, strict=True)
        marker, color = _MARKERS[number % len(_MARKERS)], f"C{number}"
        axes.plot(x, y, style, marker=marker, color=color, label=label, markersize=5)


def _finish(figure: Figure, axes: Axes, footer: str, path: Path) -> list[Path]:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(EngFormatter(sep=" "))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", alpha=0.4)
    if axes.lines:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.text(0.01, 0.01, footer, fontsize="x-small", color="gray")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    files = [path.with_suffix(".png"), path.with_suffix(".svg")]
    for file in files:
        figure.savefig(file, dpi=120)
    pyplot.close(figure)
    return files
