"""What happens among the clients, as log events.

The text of each event is for people; its fields (``event``, ``peer``, ``channel``, ``count`` and
what else there is) are for machines.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from orchestra.message import Content

# Not a class attribute: those are named after the class, and operators look at these lines.
_log = Logger(namespace="orchestra")

MAX_NOTE = 200
"""How many characters of a note are logged."""

NOTES_PER_SECOND = 10
"""How many notes are logged one by one within a second."""


def printable(text: str, limit: int = MAX_NOTE) -> str:
    """Text that is safe in a log: no control or format characters, no newlines, and not long.

    :param limit: the length at which it is cut, in characters; a cut is marked.
    """
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
    return cut[:limit] + "…" if len(cut) > limit or len(text) > limit else cut


class ActivityLog:
    """Logs arrivals, notes and departures.

    Notes must not make the log the bottleneck: what goes beyond :data:`NOTES_PER_SECOND` is
    counted, and logged as one event when the second is over.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """
        :param clock: the reactor, or what stands for it in a test.
        """
        self._clock = clock
        self._second_ends = 0.0
        self._notes = 0
        self.evictions = 0
        """How many clients were too slow so far."""

    def joined(self, peer: str, channel: str, count: int) -> None:
        """A client has arrived.

        :param count: how many clients there are now.
        """
        _log.info(
            "A new musician has joined the orchestra!",
            event="joined",
            peer=peer,
            channel=channel,
            count=count,
        )

    def left(self, peer: str, channel: str, count: int, code: int | None, reason: str) -> None:
        """A client has gone.

        :param count: how many clients are left.
        :param code: the close code of whoever closed first; ``None`` if it gave none.
        :param reason: the reason that went with it.
        """
        _log.info(
            "A musician has left the orchestra.",
            event="left",
            peer=peer,
            channel=channel,
            count=count,
            code=code,
            reason=printable(reason),
        )

    def notes(self, peer: str, channel: str, count: int, contents: Sequence[Content]) -> None:
        """A client has published messages.

        :param count: how many clients there are now.
        """
        now = self._clock.seconds()
        if now >= self._second_ends:
            self._second_ends = now + 1.0
            self._notes = 0
        before = self._notes
        self._notes += len(contents)
        if before < NOTES_PER_SECOND:
            for payload, is_binary in contents[: NOTES_PER_SECOND - before]:
                self._note(peer, channel, count, payload, is_binary)
        if before <= NOTES_PER_SECOND < self._notes:
            self._clock.callLater(self._second_ends - now, self._rest)

    def _note(self, peer: str, channel: str, count: int, payload: bytes, is_binary: bool) -> None:
        if is_binary:
            note = f"<{len(payload)} bytes, binary>"
        else:
            # A character has at most four bytes; what a cut tears apart is beyond the limit.
            note = printable(payload[: 4 * MAX_NOTE + 4].decode(errors="ignore"))
        _log.info(
            "Received a note: {note}",
            event="note",
            note=note,
            size=len(payload),
            peer=peer,
            channel=channel,
            count=count,
        )

    def _rest(self) -> None:
        _log.info(
            "Received {notes} more notes.", event="notes", notes=self._notes - NOTES_PER_SECOND
        )

    def refused(self, peer: str, status: int, reason: str) -> None:
        """A connection was refused before it became a WebSocket.

        :param status: the HTTP status.
        """
        _log.info(
            "Refused a connection from {peer}: {status} {reason}",
            event="refused",
            peer=peer,
            status=status,
            reason=printable(reason),
        )

    def evicted(self, peer: str, channel: str) -> None:
        """A client read too slowly and is being closed."""
        self.evictions += 1
        _log.warn(
            "A musician in {channel} was too slow and is asked to leave.",
            event="evicted",
            peer=peer,
            channel=printable(channel),
            evictions=self.evictions,
        )
