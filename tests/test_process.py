"""What belongs to a process of its own."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from twisted.application.service import Application, MultiService, Service
from twisted.internet.address import IPv4Address
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent

from orchestra.process import (
    COLLECT_AFTER,
    ProcessService,
    StartError,
    ignore_clock_jumps,
    raise_open_files,
    relax_collector,
)
from orchestra.service import ListenError, OrchestraService
from orchestra.websocket.factory import OrchestraFactory
from tests.events import captured, lines, named
from tests.memory import join
from tests.notify import Systemd
from tests.test_service import Endpoint, Port

ENDPOINT = TCP4ServerEndpoint(MemoryReactorClock(), 8080)


class Unheard(Service):
    """A service that finds its place taken."""

    def privilegedStartService(self) -> None:
        raise ListenError(ENDPOINT, OSError("in use"))

    startService = privilegedStartService


class Reactor(MemoryReactorClock):
    """A reactor that can be told to stop."""

    stopped = 0

    def begin(self) -> None:
        for hook, args, kwargs in self.whenRunningHooks:
            hook(*args, **kwargs)

    def callFromThread(self, call: Callable[..., object], *args: object, **kwargs: object) -> None:
        call(*args, **kwargs)

    def stop(self) -> None:
        self.stopped += 1


class Asleep(ReactorBase):
    """Twisted's reactor, as far as timers go."""

    def installWaker(self) -> None:
        pass

    def wakeUp(self) -> None:
        pass


@pytest.fixture
def _handlers() -> Iterator[None]:
    """Puts the signal handlers back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Has the garbage collector work as before."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """The limits of open files; puts the soft one back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield soft, hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_open_files_are_raised_to_the_hard_limit(limits: tuple[int, int]) -> None:
    """The soft limit becomes the hard one, and the log says so; once it is, it stays."""
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
    with captured() as events:
        assert raise_open_files() == hard
        assert raise_open_files() == hard
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    assert named(events, "open-files")[0] == {
        "event": "open-files",
        "limit": hard,
        "before": hard - 1,
    }
    assert lines(events)[0] == (
        f"Up to {hard} files can be open at once (the limit was {hard - 1})."
    )


def test_a_hard_limit_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server starts all the same, and the log tells the limit that there is."""

    def refuse(what: int, limits: tuple[int, int]) -> None:
        raise ValueError("not that many")

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with captured() as events:
        assert raise_open_files() == soft
    assert lines(events) == [
        f"Up to {soft} files can be open at once; raising that failed: not that many"
    ]


def test_the_collector_is_relaxed_but_collects() -> None:
    """What is there when the server starts is left alone; what comes later and goes is found."""

    class Ring:
        def __init__(self) -> None:
            self.itself = self

    relax_collector()
    assert gc.get_freeze_count() > 1000
    lost = weakref.ref(Ring())
    kept = [[] for _ in range(2 * COLLECT_AFTER)]
    assert lost() is None
    assert len(kept) == 2 * COLLECT_AFTER


def test_a_clock_that_is_set_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twisted's own would fire early or late; what was planned before keeps the time it had."""
    wall, steady = Clock(), Clock()
    wall.advance(1_000_000)
    monkeypatch.setattr(time, "monotonic", steady.seconds)
    reactor = Asleep()
    reactor.seconds = wall.seconds
    fired: list[str] = []
    reactor.callLater(3, fired.append, "before")
    ignore_clock_jumps(reactor)
    reactor.callLater(5, fired.append, "after")
    reactor.callLater(0, fired.append, "at once")
    wall.advance(-500_000)
    reactor.runUntilCurrent()
    assert fired == ["at once"]
    wall.advance(2_000_000)
    reactor.runUntilCurrent()
    assert fired == ["at once"]
    steady.advance(3)
    reactor.runUntilCurrent()
    assert fired == ["at once", "before"]
    steady.advance(2)
    reactor.runUntilCurrent()
    assert fired == ["at once", "before", "after"]


@pytest.mark.usefixtures("_handlers")
def test_sighup_does_not_end_what_is_about_to_start() -> None:
    """From when the service is a part of its application."""
    ProcessService(Reactor()).setServiceParent(MultiService())
    os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.usefixtures("_handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_reactor(number: signal.Signals) -> None:
    """The first one is an orderly end; for the second there is no handler left."""
    reactor = Reactor()
    service = ProcessService(reactor)
    service.startService()
    assert signal.getsignal(number) != service._stop
    reactor.begin()
    with captured() as events:
        os.kill(os.getpid(), number)
    assert reactor.stopped == 1
    assert lines(events) == [f"Received {number.name}, stopping."]
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL


class TestReloading:
    """SIGHUP has everything read again that can be."""

    def hang_up(self, *reloads: Callable[[], str]) -> tuple[Reactor, list[LogEvent]]:
        """Start a process with these, send the signal, and return what was logged of it."""
        reactor = Reactor()
        ProcessService(reactor, reloads=reloads).startService()
        for hook, args, kwargs in reactor.whenRunningHooks:
            hook(*args, **kwargs)
        with captured() as events:
            os.kill(os.getpid(), signal.SIGHUP)
        return reactor, events

    @pytest.mark.usefixtures("_handlers")
    def test_each_is_done_and_told(self) -> None:
        """One after the other, with a line for each, and the process goes on."""
        reactor, events = self.hang_up(lambda: "Reloaded {this}.", lambda: "Reloaded that.")
        assert lines(events) == [
            "Received SIGHUP, reloading.",
            "Reloaded {this}.",
            "Reloaded that.",
        ]
        assert reactor.stopped == 0

    @pytest.mark.usefixtures("_handlers")
    def test_one_that_fails_is_none_of_the_others_business(self) -> None:
        """Its reason is a line, a mistake of its own a traceback, and the next has its turn."""

        def fails(error: Exception) -> Callable[[], str]:
            def reload() -> str:
                raise error

            return reload

        _, events = self.hang_up(
            fails(ValueError("cert.pem: has no {certificate}")),
            fails(OSError(2, "not there", "keys")),
            fails(KeyError("a mistake")),
            lambda: "Reloaded.",
        )
        assert lines(events) == [
            "Received SIGHUP, reloading.",
            "Reloading failed, all stays as it was: cert.pem: has no {certificate}",
            "Reloading failed, all stays as it was: [Errno 2] not there: 'keys'",
            "Reloading failed",
            "Reloaded.",
        ]
        levels = [event["log_level"].name for event in events]
        assert levels == ["info", "error", "error", "critical", "info"]
        assert [event["log_failure"].type for event in events if "log_failure" in event] == [
            KeyError
        ]

    @pytest.mark.usefixtures("_handlers")
    def test_nothing_to_reload(self) -> None:
        """It does not end the process then, as it would by default; the log says so."""
        reactor, events = self.hang_up()
        assert lines(events) == ["Received SIGHUP; there is nothing to reload."]
        assert reactor.stopped == 0

    @pytest.mark.usefixtures("_handlers")
    def test_nothing_is_done_within_the_handler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It may come in the midst of anything; the reactor does it when it gets round to it."""
        later: list[Callable[..., object]] = []
        monkeypatch.setattr(Reactor, "callFromThread", lambda _, call: later.append(call))
        done: list[str] = []
        _, events = self.hang_up(lambda: done.append("reloaded") or "Reloaded.")
        assert (events, done) == ([], [])
        (call,) = later
        call()
        assert done == ["reloaded"]


@pytest.mark.parametrize("start", ["privilegedStartService", "startService"])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_place_that_is_taken_ends_the_process(
    start: str, hidden: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with a line and status 1; the line is in the log, too, if that is elsewhere."""
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    service = ProcessService(
        Reactor(), lambda error: f"{error.endpoint is ENDPOINT}: {error}", log_is_hidden=hidden
    )
    Unheard().setServiceParent(service)
    with captured() as events, pytest.raises(StartError) as caught:
        getattr(service, start)()
    assert isinstance(caught.value, SystemExit)
    assert isinstance(caught.value, Exception)
    assert caught.value.code == 1
    assert str(caught.value) == "True: in use"
    assert capfd.readouterr().err.startswith("True: in use\n")
    critical = [event for event in events if event["log_level"].name == "critical"]
    assert lines(critical) == (["True: in use"] if hidden else [])


def test_an_application_gets_the_observer() -> None:
    """It writes what twistd would write otherwise; without one, twistd does."""

    def observer(event: object) -> None:
        pass

    for given in (observer, None):
        application = Application("orchestra")
        ProcessService(Reactor(), observer=given).setServiceParent(application)
        assert application.getComponent(ILogObserver, None) is given


def test_services_stop_one_after_the_other() -> None:
    """The last one first; one that fails to is told of, and keeps none of the others from it."""
    stopped: list[str] = []

    class Part(Service):
        def __init__(self, name: str, done: Deferred[None]) -> None:
            self.name, self.done = name, done

        def stopService(self) -> Deferred[None]:
            super().stopService()
            stopped.append(self.name)
            return self.done

    root, slow = ProcessService(Reactor()), Deferred[None]()
    Part("first", succeed(None)).setServiceParent(root)
    Part("second", fail(RuntimeError("broken"))).setServiceParent(root)
    Part("third", slow).setServiceParent(root)
    root.startService()
    all_stopped = root.stopService()
    assert stopped == ["third"]
    assert not root.running
    with captured() as events:
        slow.callback(None)
    assert stopped == ["third", "second", "first"]
    assert all_stopped.called
    assert [event["log_failure"].type for event in events] == [RuntimeError]


Start: TypeAlias = Callable[..., tuple[ProcessService, OrchestraFactory]]


@pytest.fixture
def start(clock: Clock, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a process that systemd watches, with a server that listens on some endpoints."""
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.environ["NOTIFY_SOCKET"])
    reactor = Reactor()
    root = ProcessService(reactor)
    factory = OrchestraFactory(reactor=clock)

    def start(*results: Deferred[IListeningPort]) -> tuple[ProcessService, OrchestraFactory]:
        endpoints = [Endpoint(lambda result=result: result) for result in results]
        OrchestraService(factory, *endpoints, reactor=clock).setServiceParent(root)
        root.privilegedStartService()
        root.startService()
        assert systemd.told() == []
        reactor.begin()
        return root, factory

    yield start
    root.notifier._socket.close()


@pytest.mark.usefixtures("_handlers")
def test_it_is_ready_when_all_endpoints_listen(systemd: Systemd, start: Start) -> None:
    """Not before the last of them does; the status counts the clients."""
    late: Deferred[IListeningPort] = Deferred()
    port = Port(IPv4Address("TCP", "127.0.0.1", 8080))
    root, factory = start(succeed(port), late)
    client = join(factory)
    assert systemd.told() == []
    late.callback(port)
    assert systemd.told() == ["READY=1\nSTATUS=clients: 1"]
    client.vanish()
    root.stopService()
    assert systemd.told() == ["STOPPING=1"]


@pytest.mark.usefixtures("_handlers")
def test_it_is_ready_when_the_reactor_runs(systemd: Systemd, start: Start) -> None:
    """Before that nobody would be let in, and a signal would not be an orderly end."""
    start(succeed(Port(IPv4Address("TCP", "127.0.0.1", 8080))))
    assert systemd.told() == ["READY=1\nSTATUS=clients: 0"]


@pytest.mark.usefixtures("_handlers")
@pytest.mark.parametrize("does_it_fail", [True, False])
def test_it_is_not_ready_without_an_endpoint(
    systemd: Systemd, start: Start, does_it_fail: bool
) -> None:
    """Whether an endpoint fails late, or the process is stopped before it listens."""
    late: Deferred[IListeningPort] = Deferred()
    root, _ = start(late)
    with captured():
        if does_it_fail:
            late.errback(CannotListenError("", 8080, OSError("in use")))
        else:
            root.stopService()
    assert systemd.told() == ([] if does_it_fail else ["STOPPING=1"])
