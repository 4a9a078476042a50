"""What systemd is told."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from orchestra.systemd import BEAT, Notifier
from tests.events import captured, lines
from tests.notify import Systemd


@pytest.fixture
def notifier(clock: Clock, systemd: Systemd) -> Iterator[Notifier]:
    """One that is given the environment that the test has made of systemd's by then."""
    notifier = Notifier(clock, systemd.environ)
    yield notifier
    notifier._socket.close()


def test_it_tells_what_becomes_of_the_process(systemd: Systemd, notifier: Notifier) -> None:
    """Ready, reloading and ready again, stopping: as sd_notify(3) has it. One that reloads before
    it is ready, or while it stops, does not say that it is ready by that."""
    with notifier.reloading():
        pass
    assert systemd.told() == []
    notifier.ready(lambda: "in tune")
    assert systemd.told() == ["READY=1\nSTATUS=in tune"]

    def reload() -> None:
        with notifier.reloading():
            (reloading,) = systemd.told()
            assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
            raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        reload()
    assert systemd.told() == ["READY=1"]
    with notifier.reloading():
        systemd.told()
        notifier.stopping()
    assert systemd.told() == ["STOPPING=1"]
    with notifier.reloading():
        pass
    assert systemd.told() == []


def test_the_watchdog_hears_of_it_twice_in_its_time(
    systemd: Systemd, notifier: Notifier, clock: Clock
) -> None:
    """From when the process is ready, for as long as the reactor turns, while it stops as well."""
    systemd.environ.update(WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid()))
    clock.advance(100)
    assert systemd.told() == []
    clients = iter("123")
    notifier.ready(lambda: next(clients))
    assert systemd.told() == ["READY=1\nSTATUS=1"]
    clock.advance(1.4)
    assert systemd.told() == []
    clock.advance(0.1)
    assert systemd.told() == ["WATCHDOG=1\nSTATUS=2"]
    notifier.stopping()
    systemd.told()
    clock.advance(1.5)
    assert systemd.told() == ["WATCHDOG=1\nSTATUS=3"]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "soon"},
    ],
)
def test_without_a_watchdog(
    systemd: Systemd, notifier: Notifier, clock: Clock, environ: dict[str, str]
) -> None:
    """Where there is none, or it watches another process, only the status is told."""
    systemd.environ.update(environ)
    notifier.ready(lambda: "in tune")
    systemd.told()
    clock.advance(BEAT - 0.1)
    assert systemd.told() == []
    clock.advance(0.1)
    assert systemd.told() == ["STATUS=in tune"]


def test_an_abstract_socket(clock: Clock) -> None:
    """An address that begins with @ is none of the file system."""
    systemd = Systemd(f"@orchestra-test-{os.getpid()}")
    notifier = Notifier(clock, systemd.environ)
    notifier.stopping()
    assert systemd.told() == ["STOPPING=1"]
    notifier._socket.close()
    systemd.close()


def test_without_systemd(clock: Clock) -> None:
    """It does nothing, not even on a timer."""
    for environ in ({}, {"NOTIFY_SOCKET": ""}):
        notifier = Notifier(clock, {**environ, "WATCHDOG_USEC": "1000000"})
        notifier.ready(lambda: "in tune")
        with notifier.reloading():
            notifier.stopping()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("address", ["/nowhere/at/all", "nonsense", "/" + 200 * "x"])
def test_nobody_hears_it(clock: Clock, address: str) -> None:
    """The log says so once, and the server goes on."""
    notifier = Notifier(clock, {"NOTIFY_SOCKET": address})
    with captured() as events:
        notifier.ready(lambda: "in tune")
        clock.advance(BEAT)
        notifier.stopping()
    (line,) = lines(events)
    assert line.startswith("systemd cannot be told anything: ")
    notifier._socket.close()


def test_systemd_does_not_read(systemd: Systemd, notifier: Notifier, clock: Clock) -> None:
    """The server does not wait for it, and is heard again as soon as it reads again."""
    notifier.ready(lambda: "in tune")
    with captured() as events:
        for _ in range(10_000):
            notifier._beat()
    assert len(lines(events)) == 1
    assert len(systemd.told()) < 10_000
    clock.advance(BEAT)
    assert systemd.told() == ["STATUS=in tune"]
