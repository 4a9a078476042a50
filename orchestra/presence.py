"""Who is in a channel."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from zope.interface import implementer

from orchestra.interfaces import IEncoding
from orchestra.message import Entry


class Member(NamedTuple):
    """A client in a channel."""

    client: str
    """The client's id, which nobody else has."""

    identity: str | None
    """Whose client it is, if that is known. One and the same may have several."""

    since: float
    """Since when it is here, in seconds of Unix time."""

    info: Any = None
    """What else is known of it, as a value of JSON."""

    def described(self) -> dict[str, Any]:
        """The member as a JSON object; what is not known of it is left out."""
        found: dict[str, Any] = {"client": self.client}
        if self.identity is not None:
            found["identity"] = self.identity
        found["since"] = self.since
        if self.info is not None:
            found["info"] = self.info
        return found


class Presence:
    """The members of a channel. Its length is the number of clients."""

    __slots__ = ("_encoded", "_identities", "_members")

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._identities: Counter[str] | None = None  # if there were any
        self._encoded: dict[str, bytes] | None = None  # the members, if it was asked who is there

    def __len__(self) -> int:
        """How many clients there are."""
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        """The members, those first that are there for longest."""
        return iter(tuple(self._members.values()))

    @property
    def identities(self) -> int:
        """How many different identities there are. Clients without one do not count."""
        return 0 if self._identities is None else len(self._identities)

    def encoded(self) -> bytes:
        """The members as a JSON array.

        Each is encoded once, so that it does not take long to ask again who is there.
        """
        if self._encoded is None:
            self._encoded = {}
        encoded = self._encoded
        if len(encoded) < len(self._members):
            for client, member in self._members.items():
                if client not in encoded:
                    encoded[client] = _json(member.described())
        return b"[%b]" % b",".join(encoded.values())

    def add(self, member: Member) -> None:
        """Somebody has come."""
        self._members[member.client] = member
        if member.identity is not None:
            if self._identities is None:
                self._identities = Counter()
            self._identities[member.identity] += 1

    def remove(self, member: Member) -> None:
        """Somebody has gone."""
        del self._members[member.client]
        if self._encoded is not None:
            self._encoded.pop(member.client, None)
        if member.identity is not None and self._identities is not None:
            self._identities[member.identity] -= 1
            if not self._identities[member.identity]:
                del self._identities[member.identity]


class Move(NamedTuple):
    """Somebody came to a channel, or left it."""

    member: Member
    """Who it was."""

    joined: bool
    """Whether it came."""

    def encoded(self) -> bytes:
        """The move as JSON: an object with the key ``join`` or ``leave``, and the member."""
        return _json({"join" if self.joined else "leave": self.member.described()})

    @classmethod
    def decoded(cls, data: bytes) -> Move:
        """The move that was encoded."""
        ((what, member),) = json.loads(data).items()
        found = Member(
            member["client"], member.get("identity"), member["since"], member.get("info")
        )
        return cls(found, joined=what == "join")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@implementer(IEncoding)
class AsMoves:
    """The encoding of those who want the moves themselves."""

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str) -> list[Move]:
        """The moves."""
        return [Move.decoded(payload) for payload, *_ in entries]


AS_MOVES = AsMoves()

Moved = Callable[[str, Member, bool], object]
"""What is told of a move: the channel's name, the member, and whether it joined."""
