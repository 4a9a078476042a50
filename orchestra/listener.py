"""In-process listeners: a Python callback as a subscriber."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zope.interface import implementer

from orchestra.interfaces import IEncoding, IOutlet
from orchestra.message import Entry, Message
from orchestra.position import Position


@implementer(IEncoding)
class AsMessages:
    """The encoding of those who want the messages themselves."""

    def encode(
        self, entries: Sequence[Entry], offsets: Sequence[int], epoch: str
    ) -> Sequence[Message]:
        """The messages."""
        return [
            Message(offset, *entry, epoch) for offset, entry in zip(offsets, entries, strict=True)
        ]


AS_MESSAGES = AsMessages()


@implementer(IOutlet)
class Listener:
    """An outlet that calls back, once for each message.

    A callback that raises is reported and called again for the next message: neither the other
    subscribers nor the publisher notice.
    """

    send = None

    def __init__(
        self,
        callback: Callable[[Any], object],
        report: Callable[[Exception, str], object],
        on_gap: Callable[[int | None], object] | None = None,
    ) -> None:
        """
        :param callback: takes what the encoding makes of a message.
        :param on_gap: takes how many messages are missing, and ``None`` if that is not known.
        """
        self._callback = callback
        self._report = report
        self._on_gap = on_gap
        self._is_stopped = False

    def write(self, data: Sequence[Any]) -> None:
        """Call back for each of the messages."""
        for message in data:
            self._call(self._callback, message)

    def gap(self, missed: int | None, position: Position) -> None:
        """Call back, if that is wanted."""
        if self._on_gap is not None:
            self._call(self._on_gap, missed)

    def stop(self) -> None:
        """Call back no more, not even for what is being written."""
        self._is_stopped = True

    def _call(self, callback: Callable[[Any], object], argument: Any) -> None:
        if self._is_stopped:
            return
        try:
            callback(argument)
        except Exception as error:
            self._report(error, f"the listener {callback!r} failed")

    def evict(self, missed: int) -> None:
        """A callback that the application paused for too long just hears no more."""

    def fail(self) -> None:
        """It does not come to that: what a callback raises is reported here."""

    def end(self) -> None:
        """Nothing to tidy up."""
