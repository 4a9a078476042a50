"""The shortest way to those at the head, and what happens where it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestra.history import Retention
from tests.outlets import Lines, Pipe
from tests.test_channel import join, make_channel, play


class Actor(Pipe):
    """A pipe that does something else when it is full."""

    def __init__(self, room: int, act: Callable[[], object]) -> None:
        super().__init__(room)
        self.act = act

    def write(self, data: Any) -> None:
        super().write(data)
        self.act()


def test_they_are_sent_the_same_bytes() -> None:
    """Whoever has room for all of it gets the very same object, and is not written to."""
    channel, encoding = make_channel(), Lines()
    pipes = [join(channel, encoding, Pipe()) for _ in range(3)]
    play(channel, b"a", b"b")
    channel.flush(0.0)
    assert [pipe.heard for pipe in pipes] == [[b"a", b"b"]] * 3
    assert encoding.calls == 1
    assert pipes[0].sent[0] is pipes[1].sent[0] is pipes[2].sent[0]
    assert not any(pipe.writes for pipe in pipes)


def test_what_there_is_no_room_for_is_written_as_a_view() -> None:
    """The rest of the shared bytes is not copied, and those who come after get all of it."""
    channel, encoding = make_channel(), Lines()
    before, full, after = Pipe(), Pipe(room=3), Pipe()
    for pipe in (before, full, after):
        join(channel, encoding, pipe)
    play(channel, b"hello")
    channel.flush(0.0)
    assert full.sent[0] == b"hel"
    assert full.writes == [b"lo\n"]
    assert full.writes[0].obj is before.sent[0]
    assert before.heard == full.heard == after.heard == [b"hello"]
    assert full.subscriber is not None
    assert full.subscriber.paused


def test_one_that_is_full_reads_on_where_it_was() -> None:
    """What came in the meantime is in the log; then it is at the head again, with the others."""
    channel, encoding = make_channel(), Lines()
    fast, slow = join(channel, encoding, Pipe()), join(channel, encoding, Pipe(room=0))
    for payload in (b"a", b"b", b"c"):
        play(channel, payload)
        channel.flush(0.0)
    assert slow.heard == [b"a"]
    slow.drain(room=99)
    assert slow.heard == fast.heard == [b"a", b"b", b"c"]
    play(channel, b"d")
    channel.flush(0.0)
    assert slow.sent[-1] is fast.sent[-1]


def test_one_whose_send_raises_is_written_to() -> None:
    """Whatever is raised, it was not sent; the outlet finds out why, and nobody else notices."""
    channel, encoding = make_channel(), Lines()

    class Broken(Pipe):
        def write(self, data: bytes) -> None:
            self.writes.append(data)

    def fail(_: bytes) -> int:
        raise RuntimeError("no bow")

    broken = Broken()
    broken.send = fail
    pipes = [join(channel, encoding, pipe) for pipe in (Pipe(), broken, Pipe())]
    play(channel, b"a")
    channel.flush(0.0)
    assert broken.writes == [b"a\n"]
    assert pipes[0].heard == pipes[2].heard == [b"a"]


def test_a_full_one_may_make_others_leave() -> None:
    """Each keeps the offset that it has reached: those before it are there, those behind not."""
    channel, encoding = make_channel(), Lines()
    before, after, last = Pipe(), Pipe(), Pipe()

    def act() -> None:
        for pipe, offset in ((before, 1), (after, 0)):
            assert pipe.subscriber is not None
            pipe.subscriber.pause()
            assert pipe.subscriber.offset == offset
        assert last.subscriber is not None
        channel.remove(last.subscriber)

    for pipe in (before, Actor(0, act), after, last):
        join(channel, encoding, pipe)
    play(channel, b"a")
    channel.flush(0.0)
    assert (before.heard, after.heard, last.heard) == ([b"a"], [], [])
    for pipe in (before, after):
        pipe.drain(room=99)
        assert pipe.heard == [b"a"]


def test_one_that_comes_back_during_a_delivery_misses_nothing() -> None:
    """It has read this turn by itself then, and is not written it again; so with the next."""
    channel, encoding = make_channel(Retention(messages=1)), Lines()
    others = [Pipe(), Pipe()]

    def act() -> None:
        for pipe in others:
            assert pipe.subscriber is not None
            pipe.subscriber.pause()
            pipe.subscriber.resume()

    for pipe in (others[0], Actor(0, act), others[1]):
        join(channel, encoding, pipe)
    for payload in (b"a", b"b"):
        play(channel, payload)
        channel.flush(0.0)
    assert [pipe.heard for pipe in others] == [[b"a", b"b"]] * 2
    assert all(pipe.subscriber and pipe.subscriber.head for pipe in others)


def test_those_who_send_and_those_who_do_not_share_the_bytes() -> None:
    """What is only written to does not keep the others from the shortest way."""
    channel, encoding = make_channel(), Lines()
    written, sent = Pipe(), Pipe()
    written.send = None
    for pipe in (written, sent):
        join(channel, encoding, pipe)
    play(channel, b"a")
    channel.flush(0.0)
    assert written.writes[0] is sent.sent[0]
    assert not sent.writes
    assert encoding.calls == 1


def test_an_offset_at_the_head_is_the_newest() -> None:
    """Though nothing is noted for each of them, all of them have it."""
    channel, encoding = make_channel(), Lines()
    pipe = join(channel, encoding, Pipe())
    play(channel, b"a", b"b")
    channel.flush(0.0)
    assert pipe.subscriber is not None
    assert pipe.subscriber.offset == 2
    channel.remove(pipe.subscriber)
    assert pipe.subscriber.offset == 2
