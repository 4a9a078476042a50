"""An application that answers calls, run by twistd: the server of :mod:`test_sdk_calls`."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from orchestra import Caller, Hub, OrchestraFactory, OrchestraService, RefusedError

hub = Hub()


def tell(caller: Caller, data: Any) -> Any:
    """What it was called with, and by whom."""
    return {"client": caller.client, "identity": caller.identity, "data": data}


async def add(caller: Caller, data: list[int]) -> int:
    """After a while, the sum of some numbers."""
    return await deferLater(reactor, 0.2, sum, data)


def never(caller: Caller, data: Any) -> Deferred[Any]:
    """Nothing, for as long as anybody waits."""
    return Deferred()


def refuse(caller: Caller, data: int) -> None:
    """That it is not done, with a status of HTTP."""
    raise RefusedError(data, "not today")


def fail(caller: Caller, data: Any) -> None:
    """What was not meant."""
    raise KeyError("the secret score")


def odd(caller: Caller, data: Any) -> object:
    """Something that is no JSON."""
    return object()


def note(caller: Caller, data: Any) -> None:
    """Play what was said to the server."""
    hub.publish("notes", f"{caller.client}: {data}".encode())


calls = {"tell": tell, "add": add, "never": never, "refuse": refuse, "fail": fail, "odd": odd}
factory = OrchestraFactory(hub, rpc=calls, on_message=note)
application = Application("calls")
OrchestraService(factory, "tcp:0:interface=127.0.0.1").setServiceParent(application)
