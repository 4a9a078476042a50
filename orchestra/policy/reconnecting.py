"""When clients are best to come back: not all in the same moment.

A client can be told where its dialect has a place for it, such as ``retry`` in an event stream. A
close frame has none: who speaks plain WebSockets has to draw a delay itself (RFC 6455 section
7.2.3).
"""

from __future__ import annotations

from random import uniform

SOONEST = 1.0
"""After how many seconds a client comes back at the soonest."""

USUAL = 2.0
"""Over how many seconds after that clients come back, if they are few."""

RETURNS = 500
"""How many clients come back in a second, at the most, if they leave together: half of what a
server takes in with TLS, and a twentieth without, so that those who are there notice nothing."""

LONGEST = 60.0
"""Over how many seconds they come back at the most, however many they are."""


def reconnect_delay(clients: int = 1, over: float = 0.0) -> float:
    """Draw after how many seconds a client is to come back.

    :param clients: how many leave together with it.
    :param over: over how many seconds they do. If that is slow enough, so is their coming back.
    """
    window = clients / RETURNS
    if window <= over:
        window = USUAL
    return SOONEST + uniform(0, min(max(USUAL, window), LONGEST))
