"""What is set for a channel, and which channels it is set for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from orchestra.history import Retention

CLOSE, SKIP, LATEST = "close", "skip", "latest"

SLOW_READER = (CLOSE, SKIP, LATEST)
"""What may become of a reader that falls off the log."""

ANYONE = ("*",)
"""The publishers of a channel in which all may publish."""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What is set for some channels. What is ``None`` is as for all others.

    :raises ValueError: if a value is not allowed.
    """

    retention: Retention | None = None
    """How much of its past the channel keeps."""

    slow_reader: str | None = None
    """What a reader gets that falls off the log: ``close``, its connection is closed; ``skip``, it
    goes on at the oldest message that is retained; ``latest``, it goes on with the newest."""

    prefix: str | None = None
    """What is put before each text that clients of the raw dialect get."""

    publishers: tuple[str, ...] = ANYONE
    """From which addresses clients may publish: addresses, networks, ``unix`` for UNIX sockets,
    ``*`` for all. Empty, only the application itself may."""

    max_message_size: int | None = None
    """The largest message that is taken from a client, in bytes of payload; 0 for any size."""

    max_message_rate: float | None = None
    """How many messages a second a client may send; 0 for any number."""

    message_burst: int | None = None
    """How many messages a client may send at once; 0 for as many as in a second."""

    max_connections: int | None = None
    """How many clients may be in the channel at the same time; 0 for any number."""

    def over(self, others: ChannelSettings) -> ChannelSettings:
        """These settings, with those of all channels where there are none."""
        missing = {
            field.name: getattr(others, field.name)
            for field in fields(self)
            if getattr(self, field.name) is None
        }
        return replace(self, **missing)

    def __post_init__(self) -> None:
        if self.slow_reader is not None:
            check_slow_reader(self.slow_reader)
        for name in ("max_message_size", "max_message_rate", "message_burst", "max_connections"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be 0 or more, not {value!r}")


def check_slow_reader(value: str) -> str:
    """Make sure that it says what becomes of a slow reader.

    :returns: the value.
    :raises ValueError: if it does not.
    """
    if value not in SLOW_READER:
        raise ValueError(f"slow_reader must be one of {', '.join(SLOW_READER)}, not {value!r}")
    return value


def matcher(pattern: str) -> re.Pattern[str]:
    """What a pattern of names means.

    :param pattern: ``*`` in it stands for any characters, slashes as well.
    :returns: fully matches the names.
    """
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


class ChannelRules:
    """Settings by the name of the channel."""

    def __init__(self, settings: Mapping[str, ChannelSettings]) -> None:
        """
        :param settings: by patterns, in which ``*`` stands for any characters, slashes as well.
            Of those that match a name, the first one counts.
        """
        self.all = tuple(settings.values())
        """What is set for any channel."""
        self._rules = [
            (matcher(pattern), its_settings) for pattern, its_settings in settings.items()
        ]

    def settings(self, name: str) -> ChannelSettings:
        """What is set for a channel."""
        for pattern, settings in self._rules:
            if pattern.fullmatch(name):
                return settings
        return NOTHING


NOTHING = ChannelSettings()
"""Nothing that is not as for all channels."""
