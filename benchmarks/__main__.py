"""Measures the servers and shows the results: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks.measures import FULL, HOSTILE, SHORT, Measure, median
from benchmarks.plots import draw
from benchmarks.report import table
from benchmarks.servers import ORIGINAL, ROOT, SERVERS, Server, missing
from benchmarks.system import allow_open_files, describe

SPARE_FILES = 500
"""How many files a process needs beside its connections, at the most."""


def chosen(kind: str, text: str | None, allowed: Sequence[str]) -> list[str]:
    """Names from the command line.

    :raises SystemExit: with status 2 and one line, if a name is not known.
    """
    if text is None:
        return list(allowed)
    names = text.split(",")
    for name in names:
        if name not in allowed:
            print(
                f"benchmarks: --{kind} {name}: must be one of {', '.join(allowed)}",
                file=sys.stderr,
            )
            raise SystemExit(2)
    return names


def measure_all(
    servers: Sequence[Server], measures: Sequence[Measure], rounds: int, console: Console
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Measure everything, the servers taking turns.

    :returns: by server and measure, what was found in each round.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = {server.name: {} for server in servers}
    steps = [
        (measure, server)
        for _ in range(rounds)
        for measure in measures
        for server in servers
        if not measure.needs or measure.needs in server.has
    ]
    with Progress(console=console) as progress:
        task = progress.add_task("", total=len(steps))
        for measure, server in steps:
            progress.update(task, description=f"{measure.name}: {server.label}")
            values: dict[str, Any] = dict(measure.run(server))
            if "error" in values:
                progress.print(f"{measure.name}: {server.label} failed: {values['error']}")
            found[server.name].setdefault(measure.name, []).append(values)
            progress.advance(task)
    return found


def main(arguments: Sequence[str] | None = None, plan: Sequence[Measure] | None = None) -> None:
    """Measure, show the table, and write the results and the plots.

    :param plan: what to measure, instead of what the arguments say.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="less of it, in under two minutes")
    parser.add_argument("--hostile", action="store_true", help="what hostile clients cost others")
    parser.add_argument("--servers", help=f"some of {','.join(SERVERS)} [default: all]")
    parser.add_argument("--measures", help="some of the measures, by name [default: all]")
    parser.add_argument("--rounds", type=int, help="turns for each [default: 3, short: 1]")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: must be 1 or more")
    console = Console()
    plan = plan or (HOSTILE if options.hostile else SHORT if options.short else FULL)
    names = chosen("measures", options.measures, [measure.name for measure in plan])
    files = allow_open_files()
    measures = []
    for measure in plan:
        if measure.name not in names:
            continue
        if measure.job.get("clients", 0) + SPARE_FILES > files:
            console.print(f"{measure.name} is left out: only {files} files may be open")
        else:
            measures.append(measure)
    servers = []
    for name in chosen("servers", options.servers, list(SERVERS)):
        if hint := missing(SERVERS[name]):
            console.print(f"{SERVERS[name].label} is missing; to get it: {hint}")
        else:
            servers.append(SERVERS[name])
    rounds = options.rounds or (1 if options.short else 3)
    found = measure_all(servers, measures, rounds, console)
    machine = describe()
    versions = {server.label: server.version() for server in servers}
    now = datetime.now(UTC)
    results = {
        name: {measure: median(values) for measure, values in of_server.items()}
        for name, of_server in found.items()
    }
    labels = {server.name: server.label for server in servers}
    console.print(table(measures, labels, results, ORIGINAL))
    options.output.mkdir(parents=True, exist_ok=True)
    written = options.output / "results.json"
    written.write_text(
        json.dumps(
            {
                "date": now.isoformat(timespec="seconds"),
                "machine": machine,
                "versions": versions,
                "rounds": found,
                "medians": results,
            },
            indent=2,
        )
    )
    footer = f"{now:%Y-%m-%d}, {machine['cpu']}, {machine['cores']} cores; {_said(versions)}"
    drawn = [] if options.hostile else draw(measures, labels, results, footer, options.output)
    for file in (written, *drawn):
        console.print(f"written: {file}")


def _said(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{label} {number}" for label, number in versions.items())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
