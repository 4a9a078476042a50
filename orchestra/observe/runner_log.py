"""The log of whatever runs the server: twistd, or ``python -m twisted``.

Both have options of their own for where the log goes; a format that a command of theirs chooses
has to go to the same place. What they parsed of their command line is called the runner here.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from typing import IO, Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import ILogObserver, textFileLogObserver
from twisted.python.logfile import LogFile

from orchestra.observe.log_format import FORMATS, json_observer


def check_log_format(log_format: str | None, runner: Mapping[str, Any] | None) -> None:
    """Make sure that the runner's log can be written in a format.

    :param log_format: one of :data:`FORMATS`, or ``None`` for the runner's own.
    :param runner: the runner's options, if there is a runner.
    :raises ValueError: says what is allowed.
    """
    if log_format not in (None, *FORMATS):
        raise ValueError(f"must be {' or '.join(FORMATS)}")
    if log_format == "json" and runner is not None:
        if runner.get("syslog"):
            raise ValueError("twistd's --syslog takes only text")
        if runner.get("logfile") == "-" and not runner.get("nodaemon"):
            raise ValueError("a daemon needs a --logfile that is a file")


def log_observer(log_format: str | None, runner: Any) -> ILogObserver | None:
    """What is to write the log in a format, unless the runner does it itself.

    :param log_format: a format that :func:`check_log_format` let pass.
    :param runner: the runner's options; those of ``python -m twisted`` are changed.
    """
    if runner is not None and "fileLogObserverFactory" in runner:  # python -m twisted
        if log_format is not None:
            json = log_format == "json"
            runner["fileLogObserverFactory"] = json_observer if json else textFileLogObserver
        return None
    return json_observer(_twistd_log_file(runner)) if log_format == "json" else None


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
