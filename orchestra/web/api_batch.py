"""Several things that the server API is asked for at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType, defstruct
from msgspec.structs import asdict

from orchestra.dialects.centrifuge.codes import BAD_REQUEST, METHOD_NOT_FOUND
from orchestra.web.api_methods import METHODS, ServerApi, failed

if TYPE_CHECKING:
    Command = Struct
else:
    Command = defstruct(
        "Command",
        [(name, method.request | UnsetType, UNSET) for name, method in METHODS.items()],
    )


class BatchRequest(Struct):
    """To do several things, one after the other."""

    commands: list[Command | None]
    """Each an object with a request by the name of its method, and nothing else."""

    parallel: bool | None = None
    """Whether their order does not matter. It is kept all the same."""


def replies(
    api: ServerApi, peer: str, batch: BatchRequest
) -> Iterator[tuple[dict[str, Any], int]]:
    """Do what the commands of a batch ask for, one by one.

    :param peer: whose batch it is, for the log.
    :returns: for each command the reply, and about how many messages' worth of work it was.
    """
    for command in batch.commands:
        asked = {} if command is None else asdict(command)
        named = {name: request for name, request in asked.items() if request is not UNSET}
        if len(named) != 1:
            error = BAD_REQUEST if command is None or named else METHOD_NOT_FOUND
            yield failed(error), 1
            continue
        ((name, request),) = named.items()
        answer = api.call(peer, METHODS[name], request)
        yield {name: answer["result"]} if "result" in answer else answer, _work(answer)


def _work(answer: dict[str, Any]) -> int:
    # What there are many of takes the time, whatever it is.
    found = answer.get("result", {}).values()
    return 1 + sum(len(value) for value in found if isinstance(value, list | dict))
