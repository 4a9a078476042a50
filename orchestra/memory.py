"""How much memory a server may come to take, and how much there is.

What it takes is a sum: what the process has when it starts, so much for each connection, for the
slow readers of all channels together, and for what each channel retains. The constants are
measured, by ``python -m benchmarks.memory``, and rounded up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from orchestra.history import Retention

if TYPE_CHECKING:
    from orchestra.websocket.factory import OrchestraFactory

CONNECTION = 8 * 1024
"""What an idle connection takes in the process, in bytes."""

TLS_CONNECTION = 32 * 1024
"""What it takes if it speaks TLS, in bytes."""

KERNEL = 5 * 1024
"""What it takes in the kernel, in bytes; that counts in a control group as well."""

SLOW_READER = 34 * 1024
"""What the transport of a slow reader holds, in bytes."""

TLS_SLOW_READER = 110 * 1024
"""What it holds if it speaks TLS, in bytes."""

CHANNEL = 2 * 1024
"""What a channel takes beside its messages, in bytes."""

MESSAGE = 160
"""What a message that is retained takes beside its payload, in bytes."""

LOST = 10
"""What part of the payloads is lost to the allocator at the most: one in so many bytes."""

COPIES = 3
"""How often there is a message while it is taken and published."""


class Part(NamedTuple):
    """Something that takes memory."""

    options: str
    """What sets how much it is, by its names on the command line."""

    size: int
    """In bytes."""


def history_size(retention: Retention, max_message_size: int = 0) -> int:
    """How much memory a channel takes whose history is full, in bytes.

    :param max_message_size: the largest message that there is, in bytes; 0 for any size.
    """
    payloads = retention.bytes
    if max_message_size:
        payloads = min(payloads, retention.messages * max_message_size)
    return CHANNEL + payloads + payloads // LOST + retention.messages * MESSAGE


@dataclass(frozen=True, slots=True)
class Needs:
    """What a server comes to take by its settings, when all goes as it should.

    That is: as many connections as may be, as many slow readers as may be, one channel that is
    full, and a message of the largest size on its way. It is not what clients could do together
    to fill the memory, each with a message that it never ends.
    """

    connections: int
    """How many there may be; 0 if that is not limited, and then they do not count."""

    per_connection: int
    """What each takes, in bytes."""

    slow_readers: int
    """What their transports may hold, all together, in bytes."""

    channel: int
    """What the channel that retains most takes when it is full, in bytes."""

    message: int
    """What the largest message takes while it is published, in bytes."""

    @property
    def parts(self) -> list[Part]:
        """What there is beside the process itself, the largest first."""
        parts = [
            Part("max-connections", self.connections * self.per_connection),
            Part("max-buffered", self.slow_readers),
            Part("history-bytes and history-messages", self.channel),
            Part("max-message-size", self.message),
        ]
        return sorted(parts, key=lambda part: part.size, reverse=True)

    @property
    def size(self) -> int:
        """All of it, in bytes."""
        return sum([part.size for part in self.parts])

    def too_much(self, room: int) -> list[Part]:
        """What is to be lowered so that the rest fits: as few parts as possible.

        :param room: bytes.
        """
        left, found = self.size, []
        for part in self.parts:
            if left <= room:
                break
            found.append(part)
            left -= part.size
        return found

    def room_for_connections(self, room: int) -> int:
        """How many connections fit beside all else.

        :param room: bytes.
        """
        rest = self.slow_readers + self.channel + self.message
        return max(0, room - rest) // self.per_connection

    def room_for_channels(self, room: int) -> int:
        """How many full channels fit beside all else, as far as that is limited.

        :param room: bytes.
        """
        return max(0, room - self.size + self.channel) // self.channel


def needs_of(factory: OrchestraFactory, tls: bool = False) -> Needs:
    """What a factory's settings make of the memory.

    :param tls: whether its clients may come by TLS.
    """
    kept = [factory.hub.retention, *(settings.retention for settings in factory.hub.rules.all)]
    largest = factory.site.max_body
    connections = factory.max_connections
    # What is not limited is not asked for; what is held is limited by the connections as well.
    held = connections * (TLS_SLOW_READER if tls else SLOW_READER)
    bounds = [bound for bound in (held, factory.backpressure.bound) if bound]
    return Needs(
        connections=connections,
        per_connection=KERNEL + (TLS_CONNECTION if tls else CONNECTION),
        slow_readers=min(bounds, default=0),
        channel=max([history_size(each, largest) for each in kept if each is not None]),
        message=COPIES * largest,
    )


class Memory(NamedTuple):
    """The memory that there is."""

    limit: int
    """What this process may take, with all that it shares that with, in bytes."""

    source: str
    """Where that is said: a file."""

    used: int
    """What the process takes now, in bytes."""


def memory(root: Path = Path("/")) -> Memory | None:
    """How much memory this process may take: as much as the machine has, or less if one of its
    control groups says so (cgroups(7), version 2 or 1).

    :param root: where ``proc`` and ``sys`` are.
    :returns: ``None`` if the system does not tell.
    """
    status = root / "proc/self/status"
    total = root / "proc/meminfo"
    found = [(_kilobytes(total, "MemTotal:"), total)]
    found += [(_number(file), file) for file in _group_files(root)]
    known = [(limit, file) for limit, file in found if limit is not None]
    if not known:
        return None
    limit, file = min(known, key=lambda each: each[0])
    return Memory(limit, f"/{file.relative_to(root)}", _kilobytes(status, "VmRSS:") or 0)


def _group_files(root: Path) -> Iterator[Path]:
    # The limits of the process's control group and of those that it is in.
    groups = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), PurePosixPath(path)))
    for line in _lines(root / "proc/self/mountinfo"):  # proc_pid_mountinfo(5)
        mount, _, system = line.partition(" - ")
        _, _, _, top, place, *_ = mount.split()
        kind, *_, options = system.split()  # between them what is mounted, if that has a name
        if kind == "cgroup2":
            group, name = groups.get(""), "memory.max"
        elif kind == "cgroup" and "memory" in options.split(","):
            group, name = groups.get("memory"), "memory.limit_in_bytes"
        else:
            continue
        base = folder = root / place.lstrip("/")
        # In a container another part of the tree may be mounted than the one that is told.
        if group is not None and group.is_relative_to(top) and ".." not in group.parts:
            folder = base / group.relative_to(top)
        while True:
            yield folder / name
            if folder == base:
                break
            folder = folder.parent


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _number(file: Path) -> int | None:
    # "max" in version 2; version 1 has a number then that no machine's memory comes near.
    (text,) = _lines(file)[:1] or [""]
    return int(text) if text.isdigit() else None


def _kilobytes(file: Path, name: str) -> int | None:
    for line in _lines(file):
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None
