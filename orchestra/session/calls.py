"""What clients may call that an application answers, or by itself the server: RPC and messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from orchestra.hub import Hub
from orchestra.policy.grants import Grant


class Caller(NamedTuple):
    """Whoever calls."""

    client: str
    """The client's id, which nobody else has."""

    identity: str | None
    """Whose client it is, if that is known."""

    grant: Grant
    """What it may do."""


RpcHandler: TypeAlias = Callable[[Caller, Any], Any]
"""Answers a call: takes who calls and the data, a value of JSON (bytes from a client that speaks
protobuf, if that is no JSON), and returns a value of JSON, a Deferred or a coroutine; bytes are
none. It refuses by raising :class:`orchestra.RefusedError`, whose reason the caller is told."""

MessageHandler: TypeAlias = Callable[[Caller, Any], object]
"""Takes a message that a client has sent to the server: as with :data:`RpcHandler`, but nothing is
answered."""

TIME = "orchestra.time"
"""The method by which clients ask what time it is."""


def built_in(hub: Hub) -> dict[str, RpcHandler]:
    """The methods that the server has by itself, by their names.

    :param hub: whose clock it is that clients are told.
    """

    def tell_time(caller: Caller, data: Any) -> dict[str, float]:
        # At once: whoever measures a clock by this takes half of the round trip for each way.
        return {"time": hub.wall_clock() * 1000}

    return {TIME: tell_time}
