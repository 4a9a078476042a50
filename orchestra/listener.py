"""In-process listeners: a Python callback as a subscriber."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zope.interface import implementer

from orchestra.interfaces import IEncoding, IOutlet
from orchestra.message import Entry, Message


@implementer(IEncoding)
class AsMessages:
    """The encoding of those who want the messages themselves."""

    def encode(self, entries: Sequence[Entry], offsets: Sequence[int]) -> Sequence[Message]:
        """The messages."""
        return [Message(offset, *entry) for offset, entry in zip(offsets, entries, strict=True)]


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
        callback: Callable[[Message], object],
        report: Callable[[Exception, str], object],
    ) -> None:
        self._callback = callback
        self._report = report

    def write(self, data: Sequence[Message]) -> None:
        """Call back for each of the messages."""
        for message in data:
            try:
                self._callback(message)
            except Exception as error:
                self._report(error, f"the listener {self._callback!r} failed")

    def evict(self) -> None:
        """A callback that the application paused for too long just hears no more."""

    def fail(self) -> None:
        """It does not come to that: what a callback raises is reported here."""

    def end(self) -> None:
        """Nothing to tidy up."""
