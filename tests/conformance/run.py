"""One run of the suite against the real server."""

from __future__ import annotations

import ast
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.plan import Plan, spec
from tests.conformance.verdict import Case, read_report, shortcomings
from tests.conformance.wstest import Wstest, without_python
from tests.end_to_end.server import Server, serving

OPTIONS = ("--prefix", "", "--compress", "--max-message-size", str(16 * 2**20))
"""What the server is started with: it is to send back what it gets, of up to 16 MiB."""


@dataclass(frozen=True)
class Run:
    """What a run has brought."""

    cases: list[Case]

    problems: list[str]
    """What was wrong with the cases, the suite or the server; nothing in a run that has passed."""

    seconds: float


def fuzz(
    wstest: Wstest, settings: Path, log: Path, tell: Callable[[str, int], None]
) -> tuple[list[str], int]:
    """Run the suite to its end.

    :param settings: the file that it reads.
    :param log: a file for what it prints.
    :param tell: is told the id of each case that begins, and how many there are.
    :returns: the ids of the cases that it said it would run, and its exit status.
    """
    announced: list[str] = []
    with (
        log.open("w", buffering=1) as kept,
        subprocess.Popen(
            [wstest.path, "-m", "fuzzingclient", "-s", settings],
            env=without_python(PYTHONUNBUFFERED="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                kept.write(line)
                if cases := re.match(r"Cases = (\[.*\])$", line):
                    announced = ast.literal_eval(cases[1])
                    if not announced:
                        process.kill()  # without a case it would run for ever
                elif begun := re.match(r"Running test case ID (\S+) ", line):
                    tell(begun[1], len(announced))
            return announced, process.wait()
        finally:
            process.kill()


def stopped(server: Server) -> list[str]:
    """Stop a server, and say what was wrong with it."""
    found = []
    try:
        if status := server.stop():
            found.append(f"the server ended with status {status}")
    except subprocess.TimeoutExpired:
        found.append("the server did not end")
    if "Traceback" in server.text:
        found.append("the server has logged a traceback")
    return found


def conduct(
    wstest: Wstest,
    plan: Plan,
    report: Path,
    tell: Callable[[str, int], None] = lambda case, count: None,
) -> Run:
    """Start a server, run the suite against it, stop it, and judge.

    :param report: a folder for the suite's report and the logs of both.
    :param tell: as in :func:`fuzz`.
    """
    report = report.absolute()
    report.mkdir(parents=True, exist_ok=True)
    # What an earlier run has found is not to be taken for the result of this one.
    (report / "index.json").unlink(missing_ok=True)
    settings = report / "spec.json"
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), *OPTIONS) as server:
        settings.write_text(spec(server.url(), str(report), plan.patterns))
        announced, status = fuzz(wstest, settings, report / "wstest.log", tell)
        seconds = time.monotonic() - start
        problems = stopped(server)
        (report / "server.log").write_text(server.text + "\n")
    if not announced:
        wanted = ", ".join(plan.patterns)
        problems.insert(0, f"the suite has no case for {wanted}; wstest.log tells more")
    elif status:
        problems.insert(0, f"wstest ended with status {status}; wstest.log tells more")
    cases = read_report(report)
    return Run(cases, shortcomings(cases, announced, plan.count) + problems, seconds)
