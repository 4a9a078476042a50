"""The log of whatever runs the server: twistd, or ``python -m twisted``.

Both have options of their own for where the log goes; a format or a level that a command of theirs
chooses has to go to the same place. What they parsed of their command line is called the runner
here.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from typing import IO, Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    textFileLogObserver,
)
from twisted.python.logfile import LogFile

from orchestra.observe.log_format import FORMATS, json_observer

LEVELS = ("debug", "info", "warn", "error")
"""What ``--log-level`` takes. What has failed is logged in any case."""


def check_log_format(log_format: str | None, runner: Mapping[str, Any] | None) -> str | None:
    """Make sure that the runner's log can be written in a format.

    :param log_format: one of :data:`FORMATS`, or ``None`` for the runner's own.
    :param runner: the runner's options, if there is a runner.
    :returns: what was given.
    :raises ValueError: says what is allowed.
    """
    if log_format not in (None, *FORMATS):
        raise ValueError(f"must be {' or '.join(FORMATS)}")
    if log_format == "json":
        _check_runner(runner, "only text")
    return log_format


def check_log_level(log_level: str | None, runner: Mapping[str, Any] | None) -> str | None:
    """Make sure that the runner's log can be kept to a level.

    :param log_level: one of :data:`LEVELS`, or ``None`` for the runner's own.
    :param runner: the runner's options, if there is a runner.
    :returns: what was given.
    :raises ValueError: says what is allowed.
    """
    if log_level not in (None, *LEVELS):
        raise ValueError(f"must be {', '.join(LEVELS[:-1])} or {LEVELS[-1]}")
    if log_level is not None:
        _check_runner(runner, "all levels")
    return log_level


def _check_runner(runner: Mapping[str, Any] | None, syslog: str) -> None:
    # What we write ourselves goes to a file: not to syslog, of which it is said what it takes.
    if runner is None:
        return
    if runner.get("syslog"):
        raise ValueError(f"twistd's --syslog takes {syslog}")
    if runner.get("logfile") == "-" and not runner.get("nodaemon"):
        raise ValueError("a daemon needs a --logfile that is a file")


def log_observer(
    log_format: str | None, runner: Any, log_level: str | None = None
) -> ILogObserver | None:
    """What is to write the log in a format and from a level on, unless the runner does it itself.

    :param log_format: a format that :func:`check_log_format` let pass.
    :param runner: the runner's options; those of ``python -m twisted`` are changed.
    :param log_level: a level that :func:`check_log_level` let pass.
    """
    level = None if log_level is None else LogLevel.levelWithName(log_level)
    if runner is not None and "fileLogObserverFactory" in runner:  # python -m twisted
        if log_format is not None:
            json = log_format == "json"
            runner["fileLogObserverFactory"] = json_observer if json else textFileLogObserver
        if level is not None:
            runner["logLevel"] = level
        return None
    if log_format != "json" and level is None:
        return None
    write = json_observer if log_format == "json" else textFileLogObserver
    observer: ILogObserver = write(_twistd_log_file(runner))
    if level is None:
        return observer
    return FilteringLogObserver(observer, [LogLevelFilterPredicate(defaultLogLevel=level)])


def log_is_hidden(runner: Mapping[str, Any] | None) -> bool:
    """Whether whoever starts the process does not see its log."""
    if runner is None or "nodaemon" not in runner:  # python -m twisted has no daemons
        return False
    return runner["syslog"] or not _is_standard_output(runner)


def _is_standard_output(twistd: Mapping[str, Any]) -> bool:
    return bool(twistd["nodaemon"]) and twistd["logfile"] in (None, "-")


def _twistd_log_file(twistd: Mapping[str, Any] | None) -> IO[str]:
    # The file that twistd would write text to, rotated by the same signal.
    if twistd is None or _is_standard_output(twistd):
        return sys.stdout
    file: Any = LogFile.fromFullPath(twistd["logfile"] or "twistd.log")
    if not signal.getsignal(signal.SIGUSR1):
        from twisted.internet import reactor

        threads = IReactorFromThreads(reactor)
        signal.signal(signal.SIGUSR1, lambda *_: threads.callFromThread(file.rotate))
    rotated: IO[str] = file
    return rotated
