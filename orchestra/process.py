"""What a process of its own needs, and a server inside somebody else's must leave alone."""

from __future__ import annotations

import gc
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from orchestra.memory import Needs, memory
from orchestra.service import ListenError, OrchestraService
from orchestra.systemd import Notifier

_log = Logger()

COLLECT_AFTER = 10_000
"""How many more objects there must be before the garbage collector looks at the new ones."""


class StartError(SystemExit, Exception):
    """The server cannot start, for a reason that one line tells.

    As a ``SystemExit`` it ends the process with status 1 and no traceback; as an ``Exception`` it
    lets twistd tidy up its PID file and tell its parent first.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.code = 1


def raise_open_files() -> int:
    """Raise the number of files that this process may have open as far as it may do so itself.

    :returns: the number; each connection takes one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # where the hard limit is more than the system has
        _log.warn(
            "Up to {limit} files can be open at once; raising that failed: {error}",
            event="open-files",
            limit=soft,
            before=soft,
            error=str(error),
        )
        return soft
    _log.info(
        "Up to {limit} files can be open at once (the limit was {before}).",
        event="open-files",
        limit=hard,
        before=soft,
    )
    return hard


def relax_collector() -> None:
    """Have the garbage collector look less often at what is going to stay.

    A connection is some dozens of objects that live as long as it does. By default they are all
    looked at again and again while others connect, and so is every module: a tenth of what it
    costs when thousands come at once, and more the more they are.
    """
    gc.collect()
    if hasattr(gc, "freeze"):  # CPython has it
        gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


def compare_memory(needs: Needs, root: Path = Path("/")) -> None:
    """Log for how much there is memory; as a warning, if it is less than the settings need.

    :param needs: see :func:`orchestra.memory.needs_of`.
    :param root: where ``proc`` and ``sys`` are.
    """
    found = memory(root)
    if found is None:
        return
    room = found.limit - found.used
    lower = needs.too_much(room)
    fields: dict[str, Any] = {
        "event": "memory",
        "limit": found.limit,
        "source": found.source,
        "needed": found.used + needs.size,
        "connections": needs.room_for_connections(room),
        "channels": needs.room_for_channels(room),
    }
    if lower:
        _log.warn(
            "The settings need {needed_mib} MiB of memory, and {source} allows {limit_mib}: "
            "lower {lower}",
            needed_mib=_mib(fields["needed"]),
            limit_mib=_mib(found.limit),
            lower=", ".join(f"{part.options} ({_mib(part.size)} MiB)" for part in lower),
            **fields,
        )
    else:
        _log.info(
            "There is memory for about {connections} connections or {channels} full channels.",
            **fields,
        )


def _mib(size: int) -> int:
    return -(-size // 2**20)


def ignore_clock_jumps(reactor: Any) -> None:
    """Have a reactor go by a clock that never jumps.

    Twisted's go by the time of day. When that is set back by an hour, as by an administrator or
    at the end of a suspension, all that was to happen next, each delivery included, would
    happen an hour later; when it is set forward, all timeouts would be over at once.
    """
    before = reactor.seconds
    reactor.seconds = time.monotonic
    for call in reactor.getDelayedCalls():
        left = call.getTime() - before()
        call.seconds = time.monotonic
        call.reset(left)


class ProcessService(MultiService):
    """The root of a server process.

    It raises the number of open files, relaxes the garbage collector, tells what there is memory
    for, keeps to a clock that does not jump, gives the application its log observer, tells systemd
    how it is, and makes SIGTERM and SIGINT an orderly end with exit status 0. On SIGHUP it reads
    again what can be, and goes on in any case.

    :ivar notifier: what tells systemd.
    """

    def __init__(
        self,
        reactor: Any,
        explain: Callable[[ListenError], str] = str,
        observer: ILogObserver | None = None,
        log_is_hidden: bool = False,
        needs: Needs | None = None,
        reloads: Sequence[Callable[[], str]] = (),
    ) -> None:
        """
        :param explain: says in one line, for whoever started the process, what an endpoint that
            cannot be listened on is and what would be allowed.
        :param observer: where the log goes instead of where twistd would write it.
        :param log_is_hidden: whether who starts the process does not see its log, so that the
            log and standard error both have to say why it cannot start.
        :param needs: what memory the server comes to need, which is compared to what there is.
        :param reloads: what SIGHUP is to do, one after the other. Each reads one thing again and
            returns a line for the log. If it cannot it leaves all as it was and raises
            :class:`ValueError` or :class:`OSError` with the reason.
        """
        super().__init__()
        self._reactor = reactor
        self._explain = explain
        self._observer = observer
        self._log_is_hidden = log_is_hidden
        self._needs = needs
        self._reloads = reloads
        self.notifier = Notifier(reactor)

    def setServiceParent(self, parent: Any) -> None:
        """Become part of an application, which SIGHUP does not end, and bring the log observer."""
        super().setServiceParent(parent)
        # Until there is a reactor to reload in; by default it would end the process.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)

    def privilegedStartService(self) -> None:
        """Listen, while there may still be the privileges that low ports need.

        :raises StartError: if an endpoint cannot be listened on.
        """
        with self._explained():
            super().privilegedStartService()

    def startService(self) -> None:
        """Start, and take the signals over once the reactor has installed its own handlers.

        :raises StartError: if an endpoint cannot be listened on.
        """
        raise_open_files()
        relax_collector()
        if self._needs is not None:
            compare_memory(self._needs)
        ignore_clock_jumps(self._reactor)
        self._reactor.callWhenRunning(self._take_signals)
        with self._explained():
            super().startService()
        self._reactor.callWhenRunning(self._tell_when_ready)

    def stopService(self) -> Deferred[None]:
        """Stop one service after the other, the last one first, after systemd was told.

        So those that came before, as the metrics do, are still there while clients are seen off.
        """
        self.notifier.stopping()
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop_services())

    async def _stop_services(self) -> None:
        for service in reversed(list(self)):
            try:
                await maybeDeferred(service.stopService)
            except Exception:
                _log.failure("A service failed to stop", Failure())

    def reload(self) -> None:
        """Read again what can be read again while the server runs; SIGHUP has it done."""
        if not self._reloads:
            _log.info("Received SIGHUP; there is nothing to reload.", event="reload")
            return
        _log.info("Received SIGHUP, reloading.", event="reload")
        with self.notifier.reloading():
            for reload in self._reloads:
                self._reload(reload)

    def _reload(self, reload: Callable[[], str]) -> None:
        try:
            line = reload()
        except (OSError, ValueError) as error:
            _log.error(
                "Reloading failed, all stays as it was: {reason}",
                event="reload-failed",
                reason=str(error),
            )
        except Exception:
            _log.failure("{what}", event="failed", what="Reloading failed")
        else:
            _log.info("{line}", event="reloaded", line=line)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ListenError as error:
            reason = self._explain(error)
            # Not sys.stderr: that leads into the log by now.
            print(reason, file=sys.__stderr__)
            if self._log_is_hidden:
                _log.critical("{reason}", event="not-started", reason=reason)
            raise StartError(reason) from None

    def _take_signals(self) -> None:
        # The reactor's own handlers end the process by the signal, with its status.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))

    def _tell_when_ready(self) -> None:
        services = [service for service in self if isinstance(service, OrchestraService)]
        listening = gatherResults([service.listening() for service in services])

        def tell(all_listen: list[bool]) -> None:
            if all(all_listen):
                self.notifier.ready(
                    lambda: f"clients: {sum(len(s.factory.clients) for s in services)}"
                )

        listening.addCallback(tell)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        # The second signal finds no handler and ends the process at once.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        name = signal.Signals(number).name
        self._reactor.callFromThread(
            _log.info, "Received {signal}, stopping.", event="stopping", signal=name
        )
        self._reactor.callFromThread(self._reactor.stop)
