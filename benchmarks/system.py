"""What the operating system knows of a process, and where it lets it run."""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(stat: str) -> float:
    """How long a process has been running on a CPU, in seconds.

    :param stat: the content of ``/proc/PID/stat`` (proc(5)).
    """
    # The name of the program, in parentheses, may contain anything.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(status: str) -> int:
    """How much memory a process has, in bytes.

    :param status: the content of ``/proc/PID/status``.
    """
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def cpu(pid: int) -> float:
    """The CPU time of a process so far, in seconds."""
    return cpu_seconds(Path(f"/proc/{pid}/stat").read_text())


def memory(pid: int) -> int:
    """The resident memory of a process, in bytes."""
    return resident_bytes(Path(f"/proc/{pid}/status").read_text())


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cores() -> tuple[set[int], set[int]]:
    """Where the server is to run and where its clients: each on a core of its own, if there are
    two."""
    available = sorted(os.sched_getaffinity(0))
    return {available[0]}, {available[-1]}


def allow_open_files() -> int:
    """Have this process, and those it starts, open as many files as they may.

    :returns: how many that are.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def describe() -> dict[str, str]:
    """The machine, in words."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
