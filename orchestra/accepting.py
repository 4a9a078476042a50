"""How a port accepts connections: a long queue, and a few of it at a time."""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Port

from orchestra.websocket.factory import OrchestraFactory

QUEUE = 4096
"""How many connections may wait to be accepted; more is up to the kernel's own limit."""

FEW = 2
"""How many connections a port accepts in a turn of the reactor while messages are played."""

MANY = 64
"""How many it accepts in a turn while there are none to wait for that."""

_DEFAULT_QUEUE = 50


def prepare(port: Any, factory: OrchestraFactory) -> None:
    """Make a port ready for many who come at once, and for those who must not wait for them.

    Twisted's queue is so short that most of them would be dropped, and come again a second or
    more later. And its ports accept as long as somebody connects, and allow themselves more each
    time that they did not come to an end: whoever connects as fast as that can stop everything
    else. That number is set after each turn, so that it takes a class in which it cannot be set.

    :param port: what an endpoint listens on; one that is not Twisted's own is left alone, and so
        is a queue whose length was chosen.
    """
    if not isinstance(port, Port):
        return
    if port.backlog == _DEFAULT_QUEUE:
        port.socket.listen(QUEUE)
    number = property(lambda _: FEW if factory.activity.is_played else MANY, lambda *_: None)
    kind = type(port)
    port.__class__ = type(kind.__name__, (kind,), {"numberAccepts": number})
