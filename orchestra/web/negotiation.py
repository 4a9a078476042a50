"""What a request says about the representation that it wants, or has already (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestra.dialects.event_stream import CONTENT_TYPE

_TAG = re.compile(r'"[!\x23-\x7e\x80-\xff]*"')  # a weak one counts like a strong one
_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


def accepts_stream(headers: Mapping[str, str]) -> bool:
    """Whether an event stream is what a request wants.

    :param headers: of the request, by their names in lower case.
    """
    return CONTENT_TYPE in headers.get("accept", "")


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

    ``Request.setETag`` of twisted.web finds a tag only where spaces part it from the others, not
    where commas do, and looks at the last header alone. It knows no weak one, which a proxy makes
    of ours when it compresses.

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
