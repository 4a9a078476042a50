"""What the suite has found, and whether that is good enough."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

GOOD = {"OK", "INFORMATIONAL"}
"""What may become of a case: as it should be, or as one likes where the RFC leaves it open."""


@dataclass(frozen=True)
class Case:
    """A case that has been run."""

    id: str
    """Three numbers or two, with dots between them."""

    behavior: str
    """What the suite says of the messages."""

    closing: str
    """What it says of the end of the connection."""

    description: str = ""
    """What was done, what was expected, and why the result is what it is."""

    @property
    def passed(self) -> bool:
        """Whether both are good."""
        return {self.behavior, self.closing} <= GOOD


def rank(case_id: str) -> list[int]:
    """What ids are sorted by: 9 comes before 10."""
    return [int(number) for number in case_id.split(".")]


def read_report(folder: Path) -> list[Case]:
    """The cases in a report of the suite, in order; none if there is no report."""
    index = folder / "index.json"
    if not index.exists():
        return []
    cases = [
        Case(name, found["behavior"], found["behaviorClose"], _described(folder, found))
        for server in json.loads(index.read_text()).values()
        for name, found in server.items()
    ]
    return sorted(cases, key=lambda case: rank(case.id))


def _described(folder: Path, found: dict[str, Any]) -> str:
    details = folder / found["reportfile"]
    if not details.exists():
        return ""
    told = json.loads(details.read_text())
    parts = [told[name] for name in ("description", "expectation", "result", "resultClose")]
    return "\n".join(" ".join(re.sub(r"<[^>]*>", " ", part).split()) for part in parts)


def shortcomings(
    cases: Sequence[Case], announced: Sequence[str], count: int | None = None
) -> list[str]:
    """What is wrong with a result; nothing if it is a pass.

    :param announced: the ids of the cases that the suite said it would run.
    :param count: how many cases have to be there, if that is known.
    """
    found = []
    if count is not None and len(cases) != count:
        found.append(f"cases with a result: {len(cases)}, where there should be {count}")
    if not cases and not count:
        found.append("no case has a result")
    if missing := sorted({*announced} - {case.id for case in cases}, key=rank):
        found.append(f"not run to the end: {', '.join(missing)}")
    for case in cases:
        if not case.passed:
            words = f"{case.id}: {case.behavior}, closing: {case.closing}\n{case.description}"
            found.append(words.strip().replace("\n", "\n  "))
    return found


def summary(cases: Sequence[Case], problems: Sequence[str], seconds: float | None = None) -> str:
    """A result in words: the counts, what is informational, and what is wrong.

    :param problems: whatever is wrong, of the cases or beside them.
    :param seconds: how long it took.
    """
    time = "" if seconds is None else f", in {timedelta(seconds=round(seconds))}"
    lines = [
        f"cases:    {len(cases)}{time}",
        f"behavior: {_counts([case.behavior for case in cases])}",
        f"closing:  {_counts([case.closing for case in cases])}",
    ]
    if open_ones := [
        case.id for case in cases if "INFORMATIONAL" in (case.behavior, case.closing)
    ]:
        lines.append(f"informational: {', '.join(open_ones)}")
    lines += ["", *problems, ""] if problems else []
    lines.append("FAILED" if problems else "PASSED")
    return "\n".join(lines)


def _counts(words: Sequence[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(words).most_common()) or "none"
