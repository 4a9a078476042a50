"""What happens among the clients, as log events and as numbers.

The text of each event is for people; its fields (``event``, ``peer``, ``channel``, ``count`` and
what else there is) are for machines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python import reflect
from twisted.python.failure import Failure

from orchestra.dialects.centrifuge import codes
from orchestra.message import Content
from orchestra.refusal import KINDS, usual_kind

# Not a class attribute: those are named after the class, and operators look at these lines.
_log = Logger(namespace="orchestra")

MAX_NOTE = 200
"""How many characters of a note are logged."""

NOTES_PER_SECOND = 10
"""How many notes are logged one by one within a second."""

MOVES_PER_SECOND = 100
"""How many arrivals, departures, refusals, gaps and failures of TLS are each logged one by one
within a second."""

FAILURES_PER_SECOND = 10
"""How many failures of an application's own code are logged one by one within a second."""

CLOSE_CODES = frozenset({*range(1000, 1004), *range(1005, 1016), *codes.CLOSE_CODES})
"""The close codes that have a meaning: those of the standard (RFC 6455 section 7.4.1, and IANA's
registry), and of the Centrifuge protocol."""

OTHER = "other"
"""What close codes and reasons of refusals are counted as that are none of those."""


class ConnectionKind(Enum):
    """A kind of connection: by what it comes, and what is spoken on it. These are all."""

    __hash__ = object.__hash__  # by identity, in a tenth of the time that an enumeration's takes

    RAW = "websocket", "raw"
    CENTRIFUGE = "websocket", "centrifuge"
    HTTP_STREAM = "http_stream", "centrifuge"
    SSE = "sse", "centrifuge"
    UNI_SSE = "uni_sse", "centrifuge"
    EVENT_STREAM = "event_stream", "event_stream"


def printable(text: str, limit: int = MAX_NOTE) -> str:
    """Text that is safe in a log: no control or format characters, no newlines, and not long.

    :param limit: the length at which it is cut, in characters; a cut is marked.
    """
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)
    return cut[:limit] + "…" if len(cut) > limit or len(text) > limit else cut


class _Rate:
    """Lets so many events of a kind through in a second, and counts the others."""

    def __init__(self, limit: int, clock: IReactorTime, event: str, text: str) -> None:
        """
        :param event: the event that tells how many were not let through, and its field.
        :param text: what it says; has the field in it.
        """
        self._limit = limit
        self._clock = clock
        self._event = event
        self._text = text
        self._ends = 0.0
        self._count = 0
        self._timer: IDelayedCall | None = None

    @property
    def is_going_on(self) -> bool:
        """Whether a second that began with an event is not over yet."""
        return self._clock.seconds() < self._ends

    def admit(self, wanted: int = 1) -> int:
        """How many of some events that happen now are let through."""
        now = self._clock.seconds()
        if now >= self._ends:
            self.flush()
            self._ends = now + 1.0
        before = self._count
        self._count += wanted
        if before <= self._limit < self._count:
            self._timer = self._clock.callLater(self._ends - now, self.flush)
        return min(wanted, max(self._limit - before, 0))

    def flush(self) -> None:
        """End the second, and tell how many events it had that were not let through."""
        rest, self._count = self._count - self._limit, 0
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if rest > 0:
            _log.info(self._text, event=self._event, **{self._event: rest})


class ActivityLog:
    """Logs arrivals, refusals, notes, departures, what was missed, and TLS that failed, and counts
    them.

    They must not make the log the bottleneck: what goes beyond :data:`NOTES_PER_SECOND` or
    :data:`MOVES_PER_SECOND` is counted, and logged as one event when the second is over.
    """

    def __init__(self, clock: IReactorTime, log_notes: bool = True) -> None:
        """
        :param clock: the reactor, or what stands for it in a test.
        :param log_notes: whether the log tells what is in a note, or only that there was one.
        """
        self.log_notes = log_notes
        self._notes = _Rate(NOTES_PER_SECOND, clock, "notes", "Received {notes} more notes.")
        self._arrivals = _Rate(
            MOVES_PER_SECOND,
            clock,
            "arrivals",
            "{arrivals} more musicians have joined the orchestra!",
        )
        self._departures = _Rate(
            MOVES_PER_SECOND,
            clock,
            "departures",
            "{departures} more musicians have left the orchestra.",
        )
        self._refusals = _Rate(
            MOVES_PER_SECOND, clock, "refusals", "Refused {refusals} more connections."
        )
        self._gaps = _Rate(
            MOVES_PER_SECOND, clock, "gaps", "{gaps} more musicians have missed notes."
        )
        self.opened: Counter[ConnectionKind] = Counter()
        """How many clients have arrived so far, by the kind of their connection."""
        self.open: Counter[ConnectionKind] = Counter()
        """How many of them are there now."""
        self.closed: Counter[str] = Counter()
        """How many have gone so far, by their close code: ``none`` without one."""
        self.refusals: Counter[tuple[int, str]] = Counter()
        """How many requests were refused so far, by the status and the reason in a word."""
        self._tls_failures = _Rate(
            MOVES_PER_SECOND,
            clock,
            "tls_failures",
            "TLS with {tls_failures} more failed.",
        )
        self._failures = _Rate(FAILURES_PER_SECOND, clock, "failures", "{failures} more failures.")
        self.evictions = 0
        """How many clients were closed so far because they were too slow."""
        self.missed_messages = 0
        """How many messages did not reach a client so far because it was too slow, or too late."""

    @property
    def is_played(self) -> bool:
        """Whether messages are being played: some have come in the second that began with one."""
        return self._notes.is_going_on

    def flush(self) -> None:
        """Log what was only counted so far."""
        for rate in (
            self._notes,
            self._arrivals,
            self._departures,
            self._refusals,
            self._gaps,
            self._tls_failures,
            self._failures,
        ):
            rate.flush()

    def joined(
        self,
        peer: str,
        channel: str,
        count: int,
        kind: ConnectionKind = ConnectionKind.RAW,
    ) -> None:
        """A client has arrived.

        :param count: how many clients there are now.
        :param kind: of its connection.
        """
        self.opened[kind] += 1
        self.open[kind] += 1
        if self._arrivals.admit():
            _log.info(
                "A new musician has joined the orchestra!",
                event="joined",
                peer=peer,
                channel=channel,
                count=count,
            )

    def left(
        self,
        peer: str,
        channel: str,
        count: int,
        code: int | None,
        reason: str,
        kind: ConnectionKind = ConnectionKind.RAW,
    ) -> None:
        """A client has gone.

        :param count: how many clients are left.
        :param code: the close code of whoever closed first; ``None`` if it gave none.
        :param reason: the reason that went with it.
        :param kind: of its connection.
        """
        self.open[kind] -= 1
        known = code is None or code in CLOSE_CODES
        self.closed[("none" if code is None else str(code)) if known else OTHER] += 1
        if self._departures.admit():
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
        admitted = self._notes.admit(len(contents))
        for payload, is_binary in contents[:admitted]:
            if not self.log_notes:
                _log.info(
                    "Received a note.",
                    event="note",
                    size=len(payload),
                    peer=peer,
                    channel=channel,
                    count=count,
                )
                continue
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

    def refused(self, peer: str, status: int, reason: str, kind: str | None = None) -> None:
        """A request was refused, or the command with which a client of an SDK comes in.

        :param status: the HTTP status.
        :param kind: the reason in a word, of :data:`orchestra.refusal.KINDS`; by default the
            usual one for the status.
        """
        kind = kind or usual_kind(status)
        self.refusals[status, kind if kind in KINDS else OTHER] += 1
        if self._refusals.admit():
            _log.info(
                "Refused a connection from {peer}: {status} {reason}",
                event="refused",
                peer=peer,
                status=status,
                reason=printable(reason),
            )

    def failed(self, failure: Failure, what: str) -> None:
        """Code of an application's own has failed: as often as a client makes it, perhaps.

        :param what: what it was that failed.
        """
        if self._failures.admit():
            if not self.log_notes:
                failure = withheld(failure)
            _log.failure("{what}", failure, event="failed", what=what)

    def tls_failed(self, peer: str, reason: str) -> None:
        """A connection has ended because TLS failed: nearly always, because it never began.

        :param reason: what OpenSSL says; no word of it is the peer's.
        """
        if self._tls_failures.admit():
            _log.info(
                "TLS with {peer} failed: {reason}",
                event="tls-failed",
                peer=peer,
                reason=printable(reason),
            )

    def missed(self, peer: str, channel: str, missed: int | None) -> None:
        """Messages are missing in what a client gets: it was too slow, or came back too late.

        :param missed: how many; ``None`` if that cannot be known.
        """
        self.missed_messages += missed or 0
        if self._gaps.admit():
            how_many = "some" if missed is None else missed
            _log.warn(
                "A musician in {channel} has missed notes: {how_many}.",
                event="missed",
                peer=peer,
                channel=printable(channel),
                how_many=how_many,
                missed=missed,
                missed_messages=self.missed_messages,
            )

    def evicted(self, peer: str, channel: str, missed: int) -> None:
        """A client read too slowly and is being closed.

        :param missed: how many of its messages are gone.
        """
        self.evictions += 1
        self.missed_messages += missed
        _log.warn(
            "A musician in {channel} was too slow and is asked to leave.",
            event="evicted",
            peer=peer,
            channel=printable(channel),
            missed=missed,
            evictions=self.evictions,
            missed_messages=self.missed_messages,
        )


class WithheldError(Exception):
    """Stands for an error whose text may repeat what a client wrote; has the name of its type."""


def withheld(failure: Failure) -> Failure:
    """A failure without the text of what was raised: only its type, and where it was raised."""
    found: Any = failure
    make: Any = Failure  # both typed in part
    error = WithheldError(reflect.qual(found.type))
    without: Failure = make(error, WithheldError, found.getTracebackObject())
    return without
