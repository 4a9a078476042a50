"""Text in pieces, checked as Autobahn's validator checks it."""

from __future__ import annotations

from itertools import pairwise

from autobahn.websocket.utf8validator import Utf8Validator
from hypothesis import given
from hypothesis import strategies as st

from orchestra.websocket.utf8 import TextCheck

BYTES = st.one_of(
    st.text(max_size=8).map(str.encode),
    st.text(max_size=8).map(lambda text: text.encode()[:-1]),
    st.sampled_from(
        [b"\xed\xa0\x80", b"\xf4\x90", b"\xc0\x80", b"\xe0\x9f", b"\xf0\x8f", b"\xff"]
    ),
    st.binary(max_size=4),
)


@given(texts=st.lists(st.lists(BYTES, max_size=5).map(b"".join), max_size=3), data=st.data())
def test_it_is_autobahns_but_faster(texts: list[bytes], data: st.DataObject) -> None:
    """However a text is cut: whether it is well so far, and ends with a character, is the same."""
    ours, theirs = TextCheck(), Utf8Validator()
    for text in texts:
        ours.reset()
        theirs.reset()
        cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
        for start, stop in pairwise(sorted({0, len(text), *cuts})):
            is_valid, ends, good, checked = ours.validate(text[start:stop])
            expected = theirs.validate(text[start:stop])
            assert is_valid == expected[0]
            if not is_valid:
                assert start - 3 <= checked <= start + good < stop
                break
            assert ends == expected[1]
            assert (good, checked) == (stop - start, stop)


def test_each_wrong_byte_is_found_when_it_comes() -> None:
    """Not only when the character would have ended."""
    for before, wrong in (
        (b"\xf4", b"\x90"),
        (b"\xed", b"\xa0"),
        (b"\xe0", b"\x80"),
        (b"", b"\xc1"),
    ):
        check = TextCheck()
        assert check.validate(b"fine" + before)[0]
        assert not check.validate(wrong)[0]
        check.reset()
        assert check.validate("♪".encode()) == (True, True, 3, 3)
