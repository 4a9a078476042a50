"""What a client may do, once it is known who it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestra.channel import check_name
from orchestra.refusal import RefusedError
from orchestra.settings import matches

SUBSCRIBE, PUBLISH, PRESENCE, HISTORY = "sub", "pub", "prs", "hst"
"""What can be allowed: to listen, to play, to know who is there, and to have the past, whether by
asking for it or by going on where one was cut off. The words are those of Centrifugo's tokens."""

REFUSALS = {
    SUBSCRIBE: "listening is not allowed in this channel",
    PUBLISH: "publishing is not allowed in this channel",
    PRESENCE: "asking who is there is not allowed in this channel",
    HISTORY: "asking for the past is not allowed in this channel",
}
"""What somebody is told who may not do one of them."""


EXPIRED = "the token has expired"
"""What somebody is told whose grant holds no longer."""


@dataclass(frozen=True, slots=True)
class Capability:
    """What is allowed in some channels.

    :raises ValueError: if one string is given for several, of which each character would be one.
    """

    channels: tuple[str, ...]
    """Their names."""

    allow: frozenset[str]
    """Some of ``sub``, ``pub``, ``prs`` and ``hst``."""

    wildcard: bool = False
    """Whether in the names ``*`` stands for any characters."""

    def __post_init__(self) -> None:
        if isinstance(self.channels, str) or isinstance(self.allow, str):
            raise ValueError("channels and allow must be collections of strings")

    def covers(self, channel: str) -> bool:
        """Whether a channel is one of them."""
        if self.wildcard:
            return any(matches(pattern, channel) for pattern in self.channels)
        return channel in self.channels


# How many levels deeper than at first a value can still be encoded: the stack may be deeper then.
_ROOM = 100


def _check_json(name: str, value: Any) -> None:
    # One that could not be encoded would keep others from being told, too.
    if value is None:
        return
    for _ in range(_ROOM):
        value = [value]
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"{name} must be a value of JSON that is not nested deeply") from None


@dataclass(frozen=True, slots=True)
class ServerSubscription:
    """A channel that somebody gets without asking for it, where one connection has several.

    :raises ValueError: if no channel can have that name, or the data is no value of JSON.
    """

    channel: str
    """Its name."""

    data: Any = None
    """What the client is told with it, as a value of JSON."""

    recoverable: bool = True
    """Whether it goes on where it was cut off."""

    join_leave: bool = False
    """Whether the client is told who comes and leaves."""

    def __post_init__(self) -> None:
        if not isinstance(self.channel, str):
            raise ValueError(f"channel must be a string, not {type(self.channel).__name__}")
        check_name(self.channel)
        _check_json("data", self.data)


@dataclass(frozen=True, slots=True)
class Grant:
    """Who somebody is, and what that allows.

    :raises ValueError: if its identity is no string, its info no value of JSON, or a channel twice
        among its subscriptions.
    """

    identity: str | None = None
    """Whose client it is, for those who may know who is there."""

    info: Any = None
    """What else these are told, as a value of JSON."""

    expires: float | None = None
    """Until when it holds, in seconds of Unix time; ``None`` for always."""

    capabilities: tuple[Capability, ...] | None = None
    """What is allowed. Of those that cover a channel the first one counts alone; where none does,
    nothing is. ``None`` allows everything everywhere."""

    subscriptions: tuple[ServerSubscription, ...] = ()
    """The channels that it gets without asking, where its dialect has several on a connection. It
    may listen there, whatever its capabilities are."""

    def __post_init__(self) -> None:
        if not (self.identity is None or isinstance(self.identity, str)):
            raise ValueError(f"identity must be a string, not {type(self.identity).__name__}")
        _check_json("info", self.info)
        if not all(isinstance(each, ServerSubscription) for each in self.subscriptions):
            raise ValueError("subscriptions must be a tuple of ServerSubscription")
        if len({each.channel for each in self.subscriptions}) < len(self.subscriptions):
            raise ValueError("subscriptions must have no channel twice")

    def holds(self, clock: Callable[[], float]) -> bool:
        """Whether it has not expired.

        :param clock: seconds of Unix time; it is asked only if there is an end.
        """
        return self.expires is None or clock() < self.expires

    def check_time(self, clock: Callable[[], float]) -> None:
        """Make sure that it has not expired.

        :param clock: seconds of Unix time.
        :raises RefusedError: with 401, if it has.
        """
        if not self.holds(clock):
            raise RefusedError(401, EXPIRED, kind="expired")

    def allows(self, what: str, channel: str) -> bool:
        """Whether something is allowed in a channel.

        :param what: ``sub``, ``pub``, ``prs`` or ``hst``.
        """
        if self.capabilities is None:
            return True
        for capability in self.capabilities:
            if capability.covers(channel):
                return what in capability.allow
        return False

    def check(self, what: str, channel: str) -> None:
        """Make sure that something is allowed in a channel.

        :raises RefusedError: with 403, if it is not.
        """
        if not self.allows(what, channel):
            raise RefusedError(403, REFUSALS[what])


EVERYTHING = Grant()
"""Of somebody who is not known, and may do everything."""
