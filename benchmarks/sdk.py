"""The Centrifuge client protocol in JSON, as far as a load needs it.

Like the rest of the load client it is built to cost far less than a server: of what comes, nothing
is parsed but the end of each piece. A publication says there how many came before it.
"""

from __future__ import annotations

import time

from benchmarks.wire import STAMP, age, frame

PATH = "/connection/websocket"
CHANNEL = "band"

TAIL = 1024
"""How many bytes at the end of what was received are looked at. There is a whole publication in
them, even if the replies to as many commands as a player has in flight come after it."""

SUBSCRIBED = b'"subscribe":{'
"""What the answer to :func:`greeting` has in its last reply."""

_DATA = b'{"at":"%b","by":"%b"}'
_STAMPED = b'"at":"'
_PUSH = b'{"push":'
_OFFSET = b'"offset":'
_END = b"}}}"


class MissedError(ConnectionError):
    """A client did not hear every message."""


def greeting() -> bytes:
    """A frame with the commands to connect and to subscribe."""
    return frame(
        b'{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"%b"}}' % CHANNEL.encode()
    )


class Commands:
    """Commands that publish messages of one size, which tell who sent them and when."""

    def __init__(self, size: int, letter: str) -> None:
        """
        :param size: bytes of JSON of each message: an object.
        :param letter: a capital letter of the sender's own.
        """
        self.mark = letter.encode() * (size - len(_DATA % (b"0" * STAMP, b"")))
        """What each of its messages has once, and no other. So long it is, and of a letter that is
        nowhere else, because that is found the fastest."""
        self._id = 2

    def frame(self, count: int = 1) -> bytes:
        """A frame with so many commands, stamped now."""
        data = _DATA % (b"%016x" % time.monotonic_ns(), self.mark)
        after = b',"publish":{"channel":"%b","data":%b}}' % (CHANNEL.encode(), data)
        first, self._id = self._id + 1, self._id + count
        return frame(b"\n".join([b'{"id":%d%b' % (n, after) for n in range(first, first + count)]))


class Heard:
    """What one client has heard of the channel, from its first message on."""

    def __init__(self) -> None:
        self.offset = 0
        """Of the last publication that was heard as a whole."""
        self.tail = b""
        """The end of what was received."""
        self._received = 0  # bytes
        self._size = 0  # of a publication, without its offset
        self._others = 0  # bytes that are none of publications

    def take(self, piece: memoryview) -> None:
        """Take what was received.

        :raises MissedError: if a publication is missing in it.
        """
        size = len(piece)
        self._received += size
        self.tail = (b"" if size >= TAIL else self.tail[size - TAIL :]) + bytes(piece[-TAIL:])
        end = self.tail.rfind(_END)
        begin = self.tail.rfind(_OFFSET, 0, max(end, 0))
        if begin >= 0:
            self.offset = int(self.tail[begin + len(_OFFSET) : end])
            if self._size:
                self._look(end)

    def expect_all(self) -> None:
        """From now on all publications are as long as the last one was, and none is missing."""
        end = self.tail.rfind(_END)
        whole = end + len(_END) - self.tail.rfind(_PUSH)
        self._size = whole - len(str(self.offset))
        self._others = 0
        self._look(end)

    def _look(self, end: int) -> None:
        # Replies and the heads of frames are more than that; they never become less.
        received = self._received - len(self.tail) + end + len(_END)
        others = received - self.offset * (self._size + 1) - digits(self.offset)
        if others < self._others:
            raise MissedError(f"a client missed messages before the one at offset {self.offset}")
        self._others = others

    def age(self) -> float | None:
        """How long ago the last message was sent whose stamp is whole, in seconds."""
        begin = self.tail.rfind(_STAMPED, 0, -STAMP)
        if begin < 0:
            return None
        begin += len(_STAMPED)
        return age(self.tail[begin : begin + STAMP])


def digits(until: int) -> int:
    """How many digits the numbers from 1 up to one have together."""
    width = len(str(until))
    return width * (until + 1) - int("1" * width)
