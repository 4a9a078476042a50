"""What is measured, and what of it is compared."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.attacks import ATTACKS
from benchmarks.servers import PINGS, ROOT, SDKS, Server, running

PLAYERS = 10
WINDOW = 16
SIZE = 64
"""Bytes of payload of each message, but where readers stall."""

TIME_LIMIT = 120.0
"""How long a job may take, in seconds, before it is stopped."""

Values = dict[str, float | None]


@dataclass(frozen=True)
class Figure:
    """A row of the table."""

    key: str
    """Which of a measure's values it shows."""

    title: str
    unit: str
    scale: float = 1.0
    """What the value is divided by to be in that unit."""


@dataclass(frozen=True)
class Measure:
    """Something that is measured of each server, in a process of its own."""

    name: str
    job: Mapping[str, Any]
    """What the load client is asked to do; see :mod:`benchmarks.load`."""

    figures: Sequence[Figure] = ()
    """The rows that it gives the table; a measure without any is for the plots."""

    baseline: Mapping[str, Any] = field(default_factory=dict)
    """With other arguments, what it is compared to."""

    compared: tuple[str, str] = ("seconds", "slowdown")
    """The value that is compared then, and what its ratio to the baseline's is called."""

    needs: str = ""
    """What a server must have for it to make sense, of :attr:`Server.has`."""

    @property
    def words(self) -> str:
        """What is done, in words; empty if that does not show in the table."""
        if not self.figures:
            return ""
        words = self.figures[0].title.partition(",")[0]
        details = [
            f"{key} {value}" for key, value in self.job.items() if key not in ("do", "kind")
        ]
        return f"{words}: {', '.join(details)}"

    def run(self, server: Server) -> Values:
        """Measure a server.

        :returns: the values, or ``{}`` with an ``error`` if that failed.
        """
        values = load(server, self.job)
        key, ratio = self.compared
        if self.baseline and values.get(key):
            compared = load(server, {**self.job, **self.baseline}).get(key)
            values[ratio] = values[key] / compared if compared else None
        return values


def load(server: Server, job: Mapping[str, Any]) -> dict[str, Any]:
    """Have the load client do a job with a fresh process of a server."""
    try:
        with running(server) as target:
            text = json.dumps({**job, "port": target.port, "pid": target.pid})
            command = [sys.executable, "-m", "benchmarks.load", text]
            ended = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=TIME_LIMIT
            )
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)}
    if ended.returncode:
        return {"error": (ended.stderr.strip().splitlines() or ["it failed"])[-1]}
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def saturated(clients: int, seconds: float, size: int = SIZE, in_table: bool = True) -> Measure:
    """As much as each server can do.

    :param size: bytes of payload of each message.
    """
    title = f"saturated, {clients:,} clients"
    if size != SIZE:
        title += f", {size:,} bytes"
    job = {"do": "saturated", "clients": clients, "players": PLAYERS, "window": WINDOW}
    return Measure(
        f"saturated-{clients}" if size == SIZE else f"saturated-{clients}-{size}",
        {**job, "size": size, "seconds": seconds},
        [Figure("deliveries_per_s", title, "M deliveries/s", 1e6)] if in_table else (),
    )


def sdk(clients: int, seconds: float) -> Measure:
    """As much as each server can do for SDKs, and what that is of :func:`saturated`."""
    title = f"saturated, {clients:,} clients with an SDK"
    plain = saturated(clients, seconds)
    return Measure(
        f"sdk-{clients}",
        {**plain.job, "do": "sdk_saturated"},
        [
            Figure("deliveries_per_s", title, "M deliveries/s", 1e6),
            Figure("share", title, "times that without"),
        ],
        baseline={"do": plain.job["do"]},
        compared=("deliveries_per_s", "share"),
        needs=SDKS,
    )


def paced(clients: int, rate: float, seconds: float, in_table: bool = True) -> Measure:
    """The same load for each server."""
    job = {"do": "paced", "clients": clients, "players": PLAYERS, "rate": rate}
    figures = [
        Figure("cpu_us_per_delivery", "paced, CPU per delivery", "µs"),
        Figure("p50_ms", "paced, latency p50", "ms"),
        Figure("p99_ms", "paced, latency p99", "ms"),
        Figure("p999_ms", "paced, latency p99.9", "ms"),
        Figure("delivered", "paced, delivered in time", "%", 0.01),
    ]
    return Measure(
        f"paced-{clients}-{rate:g}",
        {**job, "size": SIZE, "seconds": seconds},
        figures if in_table else (),
    )


def connections(clients: int) -> Measure:
    """What a connection costs."""
    return Measure(
        "connections",
        {"do": "connections", "clients": clients},
        [
            Figure("cpu_us_per_connection", "joining, CPU per connection", "µs"),
            Figure("kib_per_connection", "idle, memory per connection", "KiB"),
        ],
    )


def storm(clients: int) -> Measure:
    """How long it takes until everybody is back who was cut off, and what that costs."""
    return Measure(
        "storm",
        {"do": "storm", "clients": clients, "size": SIZE},
        [
            Figure("back_s", f"storm, until {clients:,} clients are back", "s"),
            Figure("cpu_us_per_reconnect", "storm, CPU per client", "µs"),
        ],
    )


def stalled(readers: int, megabytes: float) -> Measure:
    """What readers that never read cost the server and the others."""
    job = {"do": "stalled", "readers": readers, "megabytes": megabytes}
    return Measure(
        "stalled",
        {**job, "size": 16384, "window": 64},
        [
            Figure("growth_mib", "stalled readers, growth of memory", "MiB"),
            Figure("slowdown", "stalled readers, time of the player", "times that without"),
        ],
        baseline={"readers": 0},
    )


def round_trip(seconds: float) -> Measure:
    """How long a single message takes, there and back."""
    return Measure(
        "round-trip",
        {"do": "round_trip", "size": SIZE, "seconds": seconds},
        [
            Figure("p50_us", "round trip, p50", "µs"),
            Figure("p99_us", "round trip, p99", "µs"),
        ],
    )


def idle(clients: int, seconds: float) -> Measure:
    """What pings cost."""
    return Measure(
        "idle",
        {"do": "idle", "clients": clients, "seconds": seconds},
        [Figure("core_percent", "idle with pings, CPU", "% of a core")],
        needs=PINGS,
    )


def attacked(kind: str, seconds: float) -> Measure:
    """What a hostile client costs the server and the others."""
    return Measure(
        f"attacked-{kind.replace(' ', '-')}",
        {"do": "attacked", "kind": kind, "size": SIZE, "seconds": seconds},
        [
            Figure("times_quiet", f"attacked, {kind}: others' round trip", "times that without"),
            Figure("growth_mib", f"attacked, {kind}: growth of memory", "MiB"),
        ],
    )


FULL: Sequence[Measure] = (
    *(saturated(clients, 2.0) for clients in (10, 200, 1000)),
    *(saturated(200, 2.0, size) for size in (1024, 16384)),
    *(saturated(clients, 2.0, in_table=False) for clients in (30, 100)),
    # The slow ones take that long for all that is in flight to reach everybody once.
    saturated(3000, 6.0, in_table=False),
    saturated(10000, 15.0, in_table=False),
    *(sdk(clients, 2.0) for clients in (10, 200, 1000)),
    paced(1000, 200, 5.0),
    *(paced(1000, rate, 3.0, in_table=False) for rate in (25, 50, 100, 400, 800, 1600)),
    connections(3000),
    storm(5000),
    stalled(50, 200),
    round_trip(2.0),
    idle(10000, 60.0),
)
SHORT: Sequence[Measure] = (
    *(saturated(clients, 0.8) for clients in (10, 200, 1000)),
    *(sdk(clients, 0.8) for clients in (10, 200, 1000)),
    paced(1000, 200, 1.5),
    *(paced(1000, rate, 1.0, in_table=False) for rate in (50, 800)),
    connections(1000),
    storm(1000),
    stalled(50, 40),
    round_trip(0.5),
)
HOSTILE: Sequence[Measure] = tuple(attacked(kind, 1.0) for kind in ATTACKS)


def median(rounds: Sequence[Mapping[str, Any]]) -> Values:
    """The median of each value over the rounds in which it could be measured."""
    values: Values = {}
    for name in {name: None for found in rounds for name in found if name != "error"}:
        known = [found[name] for found in rounds if found.get(name) is not None]
        values[name] = statistics.median(known) if known else None
    return values
