"""The fast reader, held against Autobahn's parser."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from orchestra.message import Content
from orchestra.websocket.factory import OrchestraFactory
from orchestra.websocket.protocol import OrchestraProtocol
from orchestra.websocket.reader import read_burst
from tests.frames import Plain, frame, parsed
from tests.memory import join

TEXT = st.text(max_size=40).map(str.encode)
PAYLOADS = st.one_of(
    TEXT,
    st.binary(max_size=40),
    st.sampled_from([125, 126, 127, 300]).map(lambda size: b"x" * size),
    st.sampled_from([b"\x03\xe8", b"\x03\xe8bye", b"\x03", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90"]),
)
COMMON = st.builds(frame, TEXT, st.sampled_from([1, 2]), mask=st.binary(min_size=4, max_size=4))
# Common but for one thing.
NEARLY = st.one_of(
    st.builds(frame, TEXT, length_bytes=st.sampled_from([2, 8])),
    st.builds(frame, TEXT, rsv=st.sampled_from([1, 4])),
    st.builds(frame, TEXT, opcode=st.sampled_from([0, 3, 8, 9, 10, 11])),
    st.builds(frame, TEXT, fin=st.just(False)),
    st.builds(frame, TEXT, mask=st.none()),
    st.builds(frame, st.sampled_from([b"\xc3", b"\xed\xa0\x80", b"fine \xf4\x90", b"\xff"])),
    st.builds(frame, st.sampled_from([29, 30, 31, 125, 126, 127]).map(lambda size: b"x" * size)),
    st.builds(lambda text, cut: frame(text)[:cut], TEXT, st.integers(0, 40)),
)
ANY = st.builds(
    frame,
    PAYLOADS,
    opcode=st.sampled_from([0, 0, 1, 1, 2, 2, 3, 8, 9, 10, 11]),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4, 1]),
    mask=st.one_of(st.binary(min_size=4, max_size=4), st.none()),
    length_bytes=st.sampled_from([0, 0, 0, 2, 8]),
)
FRAGMENTS = st.builds(
    lambda text, cut, between: (
        frame(text[:cut], fin=False) + b"".join(between) + frame(text[cut:], opcode=0)
    ),
    TEXT,
    st.integers(0, 40),
    st.lists(st.builds(frame, st.binary(max_size=10), opcode=st.sampled_from([9, 10]))),
)
STREAMS = st.lists(
    st.one_of(COMMON, COMMON, COMMON, FRAGMENTS, NEARLY, ANY, st.binary(max_size=8)), max_size=12
).map(b"".join)
CUTS = st.lists(st.integers(0, 2000), max_size=8)


class Recording(OrchestraFactory):
    """Keeps what clients play."""

    def __init__(self, protocol: type[OrchestraProtocol], clock: Clock, **options: Any) -> None:
        super().__init__(
            reactor=clock, handshake_timeout=0, close_timeout=0, ping_interval=0, **options
        )
        self.protocol = protocol
        self.played: list[Content] = []

    def play(self, client: OrchestraProtocol, contents: Any) -> None:
        self.played += contents


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stream=STREAMS,
    cuts=CUTS,
    limit=st.sampled_from([0, 30, 126, 1024 * 1024]),
    compress=st.booleans(),
)
@example(stream=frame(b"a") + frame(b"b", fin=False), cuts=[9], limit=0, compress=False)
@example(stream=frame(b"x" * 65535) + frame(b"y" * 65536), cuts=[1], limit=0, compress=False)
@example(stream=frame(b"x" * 30) + frame(b"x" * 31), cuts=[], limit=30, compress=False)
@example(stream=frame(b"", opcode=9) + frame(b"", opcode=10), cuts=[], limit=0, compress=True)
def test_it_is_autobahns_parser_but_faster(
    clock: Clock, stream: bytes, cuts: list[int], limit: int, compress: bool
) -> None:
    """Whatever comes, cut wherever, both play, answer and keep the same after each piece."""
    both = []
    for protocol in (OrchestraProtocol, Plain):
        factory = Recording(protocol, clock, max_message_size=limit, compress=compress)
        extensions = [ClientPerMessageDeflateFactory()] if compress else None
        both.append((factory, join(factory, extensions=extensions)))
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    for start, stop in pairwise(places):
        seen = []
        for factory, client in both:
            if not client.transport.disconnected:
                client.server.dataReceived(stream[start:stop])
            answer = bytes(client.transport.buffer)
            seen.append((factory.played, answer, parsed(client.server)))
        assert seen[0] == seen[1]


def test_a_burst_of_common_frames_is_read_at_once() -> None:
    """Text and binary, short and longer, each with a key of its own, and where they end."""
    contents = [
        (b"hello", False),
        (b"", True),
        (b"\xff\x00", True),
        ("Bläser".encode(), False),
        (b"x" * 125, False),
        (b"x" * 126, True),
        (b"x" * 65535, False),
    ]
    burst = b"".join(
        frame(payload, 2 if is_binary else 1, mask=bytes([n, 255 - n, 7, n * 11]))
        for n, (payload, is_binary) in enumerate(contents)
    )
    assert read_burst(burst) == (contents, len(burst))
    for cut in (1, 5, 6, len(burst) - 1):
        messages, end = read_burst(burst[:cut])
        assert messages == contents[: len(messages)]
        assert end == sum(len(frame(payload)) for payload, _ in messages)


def test_no_more_are_read_than_wanted() -> None:
    """The rest of the burst is left, and is the start of the next."""
    burst = b"".join(frame(b"%d" % n) for n in range(5))
    first, end = read_burst(burst, most=2)
    rest, _ = read_burst(burst[end:], most=5)
    assert first + rest == [(b"%d" % n, False) for n in range(5)]
    assert len(first) == 2


def test_what_is_not_common_is_left() -> None:
    """The burst ends before the first frame that is anything else."""
    good = frame(b"hello")
    for other in (
        frame(b"x", fin=False),
        frame(b"x", opcode=0),
        frame(b"x", opcode=9),
        frame(b"x", rsv=4),
        frame(b"x", mask=None),
        frame(b"x", length_bytes=2),
        frame(b"x", length_bytes=8),
        frame(b"\xff"),
        frame(b"x" * 65536),
        good[:-1],
        frame(b"x" * 126)[:-1],
        frame(b"x" * 126)[:7],
    ):
        assert read_burst(good + other + good) == ([(b"hello", False)], len(good))


def test_the_limit_is_the_size_of_a_message() -> None:
    """A message of the limit is read; one byte more is not common."""
    for size in (10, 200):
        assert read_burst(frame(b"x" * size), size)[0]
        assert not read_burst(frame(b"x" * size), size - 1)[0]
