"""Values and texts for the tests of the Centrifuge protocol."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(["1", " true ", "", '"', "null", "[", '"a"', "\n", "😀"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def json_texts(draw: st.DrawFn) -> bytes:
    """A value written as JSON in one of many ways: with spaces and lines, escapes or none."""
    written = json.dumps(
        draw(VALUES),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 0, "\t", " \r"])),
    )
    around = st.sampled_from(["", " ", "\n", "\r\n", "\t"])
    return (draw(around) + written + draw(around)).encode()


def strict(text: bytes | str) -> Any:
    """The value of JSON, as the standard has it.

    :raises ValueError: if it is none: ``NaN``, and halves of surrogate pairs, are not.
    """

    def refuse(word: str) -> None:
        raise ValueError(word)

    value = json.loads(text, parse_constant=refuse)
    json.dumps(value, ensure_ascii=False).encode()
    return value
