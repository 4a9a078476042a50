"""Messages and moves in the Centrifuge protocol, as a channel has them encoded."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from orchestra.dialects.centrifuge.codec import JSON
from orchestra.dialects.centrifuge.encodings import MoveEncoding, PublicationEncoding
from orchestra.interfaces import IEncoding
from orchestra.message import Entry
from orchestra.presence import Member, Move


def lines(replies: list[bytes]) -> bytes:
    return b"".join([reply + b"\n" for reply in replies])


def test_messages_are_publications_of_the_channel() -> None:
    """Each is a reply with its offset, and the frame is made of all of them."""
    encoding = PublicationEncoding("lobby", JSON, lines)
    assert verifyObject(IEncoding, encoding)
    entries: list[Entry] = [(b"a", False, None, 0.0), (b"b", False, None, 0.0)]
    assert encoding.encode(entries, [3, 5], "e") == lines(
        JSON.publications("lobby", entries, [3, 5])
    )


def test_moves_are_joins_and_leaves_of_the_channel() -> None:
    """Each is a reply."""
    encoding = MoveEncoding("lobby", JSON, lines)
    assert verifyObject(IEncoding, encoding)
    move = Move(Member("c1", None, 0.0), True).encoded()
    entries: list[Entry] = [(move, False, "c1", 0.0)]
    assert encoding.encode(entries, [1], "e") == (
        b'{"push":{"channel":"lobby","join":{"info":{"client":"c1"}}}}\n'
    )
