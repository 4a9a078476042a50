"""What clients may call that an application answers: RPC and messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

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
