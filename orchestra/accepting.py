"""How many connections a port accepts at a time."""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Port

from orchestra.websocket.factory import OrchestraFactory

FEW = 2
"""How many connections a port accepts in a turn of the reactor while messages are played."""

MANY = 64
"""How many it accepts in a turn while there are none to wait for that."""


def accept_few(port: Any, factory: OrchestraFactory) -> None:
    """Have a port not accept without end while the clients of a factory wait.

    Twisted's port accepts as long as somebody connects, and allows itself more each time that it
    did not come to an end: whoever connects as fast as that can stop everything else. The number
    is set after each turn, so that it is taken care of by a class in which it cannot be set.

    :param port: what an endpoint listens on; one that is not Twisted's own is left alone.
    """
    if isinstance(port, Port):
        number = property(lambda _: FEW if factory.activity.is_played else MANY, lambda *_: None)
        kind = type(port)
        port.__class__ = type(kind.__name__, (kind,), {"numberAccepts": number})
