"""What is read from the operating system."""

from __future__ import annotations

import os

import pytest

from benchmarks.system import children, cores, cpu, cpu_seconds, describe, memory, resident_bytes


def test_the_name_of_a_program_may_be_anything() -> None:
    """CPU time is found behind it: user and system time, in ticks."""
    fields = ["S", *["0"] * 10, "150", "50", *["0"] * 30]
    stat = f"42 (a) (b 7) {' '.join(fields)}"
    assert cpu_seconds(stat) == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))


def test_memory_is_what_is_resident() -> None:
    """The kernel tells it in KiB."""
    assert resident_bytes("Name:\tx\nVmPeak:\t 9 kB\nVmRSS:\t  512 kB\n") == 512 * 1024


def test_this_process_is_known() -> None:
    """It has used a CPU, has memory and runs on a machine with a name."""
    assert cpu(os.getpid()) > 0
    assert memory(os.getpid()) > 1_000_000
    assert isinstance(children(os.getpid()), list)
    assert set(describe()) == {"cpu", "cores", "kernel", "python"}
    server, client = cores()
    assert len(server) == len(client) == 1
