"""The results as a table, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.box import SIMPLE
from rich.table import Table

from benchmarks.measures import Figure, Measure, Values

Results = Mapping[str, Mapping[str, Values]]
"""The medians: by the name of the server, then by the name of the measure."""


def number(value: float) -> str:
    """A number with three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(figure: Figure, value: float | None, original: float | None) -> str:
    """A value, and its ratio to the original's where there is one."""
    if value is None:
        return "-"
    text = number(value / figure.scale)
    return f"{text}\n{number(value / original)} x" if original else text


def rows(
    measures: Sequence[Measure], names: Sequence[str], results: Results, original: str
) -> Iterator[list[str]]:
    """The rows of the table: what was measured, then a cell for each server."""
    for measure in measures:
        for figure in measure.figures:
            found = {name: results[name].get(measure.name, {}).get(figure.key) for name in names}
            cells = [
                cell(figure, found[name], None if name == original else found.get(original))
                for name in names
            ]
            yield [f"{figure.title}\n{figure.unit}", *cells]


def table(
    measures: Sequence[Measure], labels: Mapping[str, str], results: Results, original: str
) -> Table:
    """All that was compared, in one table.

    :param labels: what each server that was measured is called.
    :param original: the server that ratios are taken to.
    """
    title = "Medians"
    if original in labels:
        title += f", and how many times that is what {labels[original]} has"
    words = dict.fromkeys(measure.words for measure in measures if measure.words)
    made = Table(title=title, caption="\n".join(words), caption_justify="left", box=SIMPLE)
    made.add_column()
    for label in labels.values():
        made.add_column(label, justify="right")
    for row in rows(measures, list(labels), results, original):
        made.add_row(*row)
    return made
