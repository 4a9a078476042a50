"""What a request says about the representation that it wants, or has already (RFC 9110)."""

from __future__ import annotations

import re

_TAG = re.compile(r'"[!\x23-\x7e\x80-\xff]*"')  # a weak one counts like a strong one
_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


def accepts_gzip(accepted: str) -> bool:
    """Whether gzip is acceptable, and no worse than nothing (RFC 9110 section 12.5.3).

    :param accepted: the header ``Accept-Encoding``; empty if there is none.
    """
    weights = {}
    for part in accepted.lower().split(","):
        coding, *parameters = (piece.strip() for piece in part.split(";"))
        weights[coding] = _weight(parameters)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def is_known(etag: str, known: str) -> bool:
    """Whether the client has a representation already (RFC 9110 section 13.1.2).

    :param etag: of the representation.
    :param known: the header ``If-None-Match``; empty if there is none.
    """
    return known.strip() == "*" or etag in _TAG.findall(known)


def _weight(parameters: list[str]) -> float:
    # One that cannot be read is none.
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            return float(value) if _WEIGHT.fullmatch(value) else 0.0
    return 1.0
