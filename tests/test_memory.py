"""What the server's settings make of the memory, and how much there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.memory import (
    CHANNEL,
    CONNECTION,
    COPIES,
    KERNEL,
    LOST,
    MESSAGE,
    SLOW_READER,
    TLS_CONNECTION,
    TLS_SLOW_READER,
    Memory,
    Needs,
    history_size,
    memory,
    needs_of,
)
from orchestra.process import compare_memory
from orchestra.settings import ChannelSettings
from orchestra.websocket.factory import OrchestraFactory
from tests.events import captured, lines, named

MIB = 2**20
MACHINE = {
    "proc/meminfo": "MemTotal:        1048576 kB\nMemFree:          524288 kB\n",
    "proc/self/status": "Name:\ttwistd\nVmRSS:\t   51200 kB\n",
}
"""A gibibyte, of which the process has 50 MiB."""

UNIFIED = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)


def tree(folder: Path, files: dict[str, str]) -> Path:
    """A file system with these files."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def needs(**sizes: int) -> Needs:
    """What a server needs that needs nothing else."""
    nothing = {"connections": 0, "per_connection": 1, "slow_readers": 0, "channel": 1}
    return Needs(**{**nothing, "message": 0, **sizes})


# How much there is.


def test_without_a_group_it_is_the_machines(tmp_path: Path) -> None:
    """Nobody but the machine limits it."""
    found = memory(tree(tmp_path, MACHINE))
    assert found == Memory(1024 * MIB, "/proc/meminfo", 50 * MIB)


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    """There is nothing to compare with then."""
    assert memory(tmp_path) is None


@pytest.mark.parametrize(
    ("files", "limit", "source"),
    [
        ({"a.slice/b.service/memory.max": "1000\n"}, 1000, "a.slice/b.service/memory.max"),
        (
            {"a.slice/b.service/memory.max": "max\n", "a.slice/memory.max": "2000\n"},
            2000,
            "a.slice/memory.max",
        ),
        (
            {"a.slice/b.service/memory.max": "3000\n", "a.slice/memory.max": "2000\n"},
            2000,
            "a.slice/memory.max",
        ),
        ({"memory.max": "4000\n"}, 4000, "memory.max"),
        ({"other.slice/memory.max": "1\n", "a.slice/b.service/c/memory.max": "1"}, None, None),
        ({"a.slice/b.service/memory.max": "max\n"}, None, None),
        ({"a.slice/b.service/memory.max": f"{2**40}\n"}, None, None),
        ({"a.slice/b.service/memory.max": "\n"}, None, None),
    ],
)
def test_a_group_of_version_2(
    tmp_path: Path, files: dict[str, str], limit: int | None, source: str | None
) -> None:
    """The lowest limit of the process's group and of those around it counts, and no other's."""
    groups = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    group = {"proc/self/cgroup": "0::/a.slice/b.service\n", "proc/self/mountinfo": UNIFIED}
    found = memory(tree(tmp_path, {**MACHINE, **group, **groups}))
    assert found is not None
    assert found.limit == (limit or 1024 * MIB)
    assert found.source == (f"/sys/fs/cgroup/{source}" if source else "/proc/meminfo")


@pytest.mark.parametrize(("text", "limit"), [("2000\n", 2000), ("9223372036854771712\n", None)])
def test_a_group_of_version_1(tmp_path: Path, text: str, limit: int | None) -> None:
    """Its limits are in another file, and one that is none is a number there."""
    files = {
        "proc/self/cgroup": "4:cpu,memory:/group/mine\n3:cpuset:/x\n0::/\n",
        "proc/self/mountinfo": V1,
        "sys/fs/cgroup/memory/group/mine/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/group/memory.limit_in_bytes": text,
    }
    found = memory(tree(tmp_path, {**MACHINE, **files}))
    assert found is not None
    assert found.limit == (limit or 1024 * MIB)


@pytest.mark.parametrize(
    ("group", "top"),
    [
        ("/", "/"),  # a container with a namespace of its own
        ("/docker/1234", "/docker/1234"),  # one without, which sees its own part of the tree
        ("/../..", "/"),  # moved out of its namespace
        ("/docker/1234", "/another"),
    ],
)
def test_in_a_container(tmp_path: Path, group: str, top: str) -> None:
    """What is mounted there counts, whatever the group is called."""
    files = {
        "proc/self/cgroup": f"0::{group}\n",
        "proc/self/mountinfo": UNIFIED.replace("0:26 /", f"0:26 {top}", 1),
        "sys/fs/cgroup/memory.max": "2000\n",
        "sys/memory.max": "1\n",
    }
    found = memory(tree(tmp_path, {**MACHINE, **files}))
    assert found is not None
    assert found.limit == 2000


def test_strange_mounts_do_not_matter(tmp_path: Path) -> None:
    """Neither one of nothing, nor one at a place whose name is no text."""
    files = {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": f"31 24 0:27 / /a rw - fuse  rw\n{UNIFIED}",
        "sys/fs/cgroup/memory.max": "2000\n",
    }
    root = tree(tmp_path, {**MACHINE, **files})
    with (root / "proc/self/mountinfo").open("ab") as file:
        file.write(b"32 24 0:28 / /\xff rw - tmpfs tmpfs rw\n")
    found = memory(root)
    assert found is not None
    assert found.limit == 2000


def test_this_machine_tells() -> None:
    """On Linux there is a limit, of which the process has taken a part."""
    if not Path("/proc/meminfo").exists():
        pytest.skip("there is no /proc")
    found = memory()
    assert found is not None
    assert MIB < found.used < found.limit


# What is needed.


def test_a_full_channel() -> None:
    """Its payloads, as far as there can be so many, and what each message takes beside them."""
    for largest, payloads in ((0, 1000), (50, 500), (500, 1000)):
        size = history_size(Retention(messages=10, bytes=1000), largest)
        assert size == CHANNEL + payloads + payloads // LOST + 10 * MESSAGE


def test_what_a_factory_needs(clock: Clock) -> None:
    """It is of its settings, and of the channel that retains most."""
    channels = {
        "short": ChannelSettings(retention=Retention(messages=1)),
        "long": ChannelSettings(retention=Retention(messages=10, bytes=10**9)),
        "large": ChannelSettings(max_message_size=10**7),
    }
    hub = Hub(Retention(messages=100, bytes=10**6), channels=channels, clock=clock.seconds)
    factory = OrchestraFactory(hub, reactor=clock, max_connections=1000, max_buffered=10**7)
    found = needs_of(factory)
    assert found == Needs(
        connections=1000,
        per_connection=CONNECTION + KERNEL,
        slow_readers=10**7,
        channel=CHANNEL + 10**8 + 10**8 // LOST + 10 * MESSAGE,
        message=COPIES * 10**7,
    )
    assert needs_of(factory, tls=True).per_connection == TLS_CONNECTION + KERNEL


@pytest.mark.parametrize(
    ("connections", "buffered", "tls", "held"),
    [
        (0, 10**6, False, 10**6),
        (0, 0, False, 0),
        (10, 0, False, 10 * SLOW_READER),
        (10, 10**9, False, 10 * SLOW_READER),
        (10, 10**9, True, 10 * TLS_SLOW_READER),
        (10, 1000, True, 1000),
    ],
)
def test_slow_readers_are_no_more_than_there_are_clients(
    clock: Clock, connections: int, buffered: int, tls: bool, held: int
) -> None:
    """Where nothing limits them, nothing is said of them."""
    factory = OrchestraFactory(
        reactor=clock, max_connections=connections, max_buffered=buffered, max_message_size=0
    )
    found = needs_of(factory, tls)
    assert found.slow_readers == held
    assert found.message == 0


SIZES = st.integers(0, 1000)


@given(
    st.builds(
        Needs,
        connections=SIZES,
        per_connection=st.integers(1, 10),
        slow_readers=SIZES,
        channel=st.integers(1, 1000),
        message=SIZES,
    ),
    st.integers(-100, 5000),
)
def test_what_is_too_much(needs: Needs, room: int) -> None:
    """The rest fits without it, and would not with any of it; nothing is, when all fits."""
    lower = needs.too_much(room)
    assert (lower == []) == (needs.size <= room)
    left = needs.size - sum(part.size for part in lower)
    assert left <= max(room, 0)
    for part in lower:
        assert left + part.size > room


@given(SIZES, st.integers(1, 10), SIZES, st.integers(1, 1000), st.integers(-100, 5000))
def test_what_there_is_room_for(
    connections: int, each: int, readers: int, channel: int, room: int
) -> None:
    """So many fit beside all else, and not one more."""
    found = needs(
        connections=connections, per_connection=each, slow_readers=readers, channel=channel
    )
    most = found.room_for_connections(room)
    assert most == 0 or readers + channel + most * each <= room
    assert readers + channel + (most + 1) * each > room
    most = found.room_for_channels(room)
    assert most == 0 or connections * each + readers + most * channel <= room
    assert connections * each + readers + (most + 1) * channel > room


# What is said.


def test_what_fits_is_told(tmp_path: Path) -> None:
    """In one line, that is no warning."""
    with captured() as events:
        compare_memory(
            needs(per_connection=2 * MIB, slow_readers=100 * MIB, channel=4 * MIB),
            tree(tmp_path, MACHINE),
        )
    assert lines(events) == ["There is memory for about 435 connections or 218 full channels."]
    assert [event["log_level"].name for event in events] == ["info"]
    assert named(events, "memory") == [
        {
            "event": "memory",
            "limit": 1024 * MIB,
            "source": "/proc/meminfo",
            "needed": 154 * MIB,
            "connections": 435,
            "channels": 218,
        }
    ]


def test_what_does_not_fit_is_told_once(tmp_path: Path) -> None:
    """In one warning, with the options to lower and what each makes; no others are named."""
    with captured() as events:
        compare_memory(
            needs(connections=900, per_connection=MIB, slow_readers=100 * MIB, channel=2000 * MIB),
            tree(tmp_path, MACHINE),
        )
    assert lines(events) == [
        "The settings need 3050 MiB of memory, and /proc/meminfo allows 1024: lower history-bytes "
        "and history-messages (2000 MiB), max-connections (900 MiB)"
    ]
    assert [event["log_level"].name for event in events] == ["warn"]
    (fields,) = named(events, "memory")
    assert (fields["connections"], fields["channels"]) == (0, 0)
    assert fields["needed"] == 3050 * MIB


def test_where_nothing_is_known_nothing_is_said(tmp_path: Path) -> None:
    """Other systems than Linux have other ways to tell."""
    with captured() as events:
        compare_memory(needs(), tmp_path)
    assert events == []


def test_the_defaults_fit_a_small_machine(clock: Clock, tmp_path: Path) -> None:
    """Nobody is warned who has half a gibibyte and has set nothing."""
    half = {**MACHINE, "proc/meminfo": "MemTotal: 524288 kB\n"}
    with captured() as events:
        compare_memory(needs_of(OrchestraFactory(reactor=clock)), tree(tmp_path, half))
    assert [event["log_level"].name for event in events] == ["info"]
