"""Patterns of channel names, as the server API takes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from itertools import product

MAX_ALTERNATIVES = 100
"""How many patterns one with braces may stand for."""

_PARTS = re.compile(r"\\(.)|\{([^{}\\]*)\}|(\[[^\]]+\])|([^\\{}\[\]])", re.DOTALL)


def compile_glob(pattern: str) -> Callable[[str], object]:
    """What tells whether a name matches.

    :param pattern: in which ``*`` stands for any characters, slashes as well, ``?`` for one,
        ``[a-z]`` and ``[!a-z]`` for one of some or none of them, and ``{a,b}`` for each of the
        patterns in it. After a backslash a character stands for itself.
    :raises ValueError: if it is no pattern, or stands for too many.
    """
    choices: list[list[str]] = []
    end, count = 0, 1
    while end < len(pattern):
        part = _PARTS.match(pattern, end)
        if part is None:
            raise ValueError("has a bracket, brace or backslash without its other half")
        end = part.end()
        escaped, braces = part[1], part[2]
        if escaped is not None:
            choices.append([f"[{escaped}]" if escaped in "*?[" else escaped])
        elif braces is not None:
            choices.append(braces.split(","))
        else:
            choices.append([part[0]])
        count *= len(choices[-1])
        if count > MAX_ALTERNATIVES:
            raise ValueError(f"must stand for {MAX_ALTERNATIVES} patterns or less")
    patterns = ["".join(choice) for choice in product(*choices)]
    return re.compile("|".join(map(translate, patterns))).match
