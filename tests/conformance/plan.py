"""Which of the suite's cases are run, and how many those are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """A choice of cases."""

    patterns: tuple[str, ...]
    """What the suite is told: ids, or the beginnings of ids with a star."""

    count: int | None = None
    """How many cases those are; ``None`` for as many as the suite says that it will run."""


WHOLE = Plan(("*",), 517)

# Of the compressed messages, which take nearly all of the time, two for each kind of payload (12)
# and for each way to offer compression (13): of 64 characters, where it begins to be worth it, and
# of 8,192 in fragments of 256.
_COMPRESSED = [f"12.{kind}" for kind in range(1, 6)] + [f"13.{offer}" for offer in range(1, 8)]
QUICK = Plan(
    (
        *(f"{family}.*" for family in range(1, 11)),
        *(f"{subset}.{size}" for subset in _COMPRESSED for size in (2, 11)),
    ),
    325,
)


def spec(url: str, outdir: str, patterns: Sequence[str]) -> str:
    """What the suite reads: whom to test, on what, and where to report.

    :param outdir: a folder, as the suite sees it.
    """
    return json.dumps(
        {
            "outdir": outdir,
            "servers": [{"agent": "Orchestra", "url": url}],
            "cases": list(patterns),
        }
    )
