"""Where --log-format takes effect."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import Application
from twisted.application.twist._options import TwistOptions
from twisted.logger import ILogObserver, LogLevel, textFileLogObserver
from twisted.python.logfile import LogFile
from twisted.scripts.twistd import ServerOptions

from orchestra.observe.log_format import json_observer
from orchestra.observe.runner_log import log_is_hidden
from orchestra.tap import Options, makeService

_files: list[LogFile] = []


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    """Leaves the signal for rotation as it was, with nobody handling it meanwhile, and no file."""
    handler = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, handler)
    while _files:
        _files.pop().close()


def observer(runner: Any, *arguments: str) -> Any:
    """What an application under the runner logs with, if it is not the runner's own."""
    options = Options()
    options.parent = runner
    options.parseOptions(list(arguments))
    application = Application("orchestra")
    makeService(options).setServiceParent(application)
    found = application.getComponent(ILogObserver, None)
    if isinstance(getattr(found, "_outFile", None), LogFile):
        _files.append(found._outFile)
    return found


def twistd(*arguments: str) -> ServerOptions:
    """The options of twistd."""
    options = ServerOptions()
    options.parseOptions([*arguments, "-y", "ignored.tac"])
    return options


def twist() -> TwistOptions:
    """The options of ``python -m twisted``."""
    options = TwistOptions()
    options.selectDefaultLogObserver()
    return options


def test_twistd_writes_text_itself() -> None:
    """Without the option, or with text, twistd is left alone."""
    assert observer(twistd("-n")) is None
    assert observer(twistd("-n"), "--log-format=text") is None


@pytest.mark.parametrize("arguments", [["-n"], ["-n", "-l", "-"]])
def test_json_goes_to_standard_output(arguments: list[str]) -> None:
    """In the foreground, that is where twistd would write."""
    assert observer(twistd(*arguments), "--log-format=json")._outFile is sys.stdout


def test_json_goes_to_the_log_file(tmp_path: Path) -> None:
    """The file is the one that twistd would write, and SIGUSR1 rotates it."""
    path = tmp_path / "a.log"
    write = observer(twistd("-l", str(path)), "--log-format=json")
    write({"log_time": 0.0, "log_format": "hello", "log_namespace": "a"})
    assert json.loads(path.read_text())["message"] == "hello"
    handler = signal.getsignal(signal.SIGUSR1)
    assert callable(handler)
    observer(twistd("-l", str(path)), "--log-format=json")
    assert signal.getsignal(signal.SIGUSR1) is handler


def test_a_daemon_has_a_log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --logfile it is twistd.log, as ever."""
    monkeypatch.chdir(tmp_path)
    observer(twistd(), "--log-format=json")
    assert (tmp_path / "twistd.log").exists()


def test_without_a_runner_it_is_standard_output() -> None:
    """An embedder that makes the service itself may want JSON as well."""
    assert observer(None, "--log-format=json")._outFile is sys.stdout


@pytest.mark.parametrize(
    ("arguments", "option", "problem"),
    [
        (["--syslog"], "--log-format=json", "--syslog takes only text"),
        (["--syslog"], "--log-level=warn", "--log-level warn: twistd's --syslog takes all levels"),
        (["-l", "-"], "--log-format=json", "needs a --logfile"),
        (["-l", "-"], "--log-level=warn", "needs a --logfile"),
        (["-n"], "--log-level=loud", "--log-level loud: must be debug, info, warn or error"),
    ],
)
def test_what_twistd_cannot_do_is_said(arguments: list[str], option: str, problem: str) -> None:
    """In the line that every wrong option gets."""
    with pytest.raises(SystemExit, match=problem):
        observer(twistd(*arguments), option)


def test_python_m_twisted_is_told() -> None:
    """There, the runner has a format of its own, which the option overrides."""
    for arguments, factory in (
        (["--log-format=json"], json_observer),
        (["--log-format=text"], textFileLogObserver),
    ):
        runner = twist()
        assert observer(runner, *arguments) is None
        assert runner["fileLogObserverFactory"] is factory
    runner = twist()
    default = runner["fileLogObserverFactory"]
    assert observer(runner) is None
    assert runner["fileLogObserverFactory"] is default


@pytest.mark.parametrize("arguments", [[], ["--log-format=json"]])
def test_a_level_keeps_what_is_below_it_out(tmp_path: Path, arguments: list[str]) -> None:
    """Of twistd's log, in either format; what has failed is always in it."""
    path = tmp_path / "a.log"
    write = observer(twistd("-l", str(path)), "--log-level=warn", *arguments)
    _files.append(write._observer._outFile)
    for level in LogLevel.iterconstants():
        event = {"log_time": 0.0, "log_namespace": "a", "log_format": f"It is {level.name}."}
        write({**event, "log_level": level})
    written = [line for line in path.read_text().splitlines() if "It is" in line]
    assert ["info" in line or "debug" in line for line in written] == [False] * 3
    assert [("{" in line) for line in written] == [bool(arguments)] * 3


def test_python_m_twisted_is_told_the_level() -> None:
    """There, the runner has an option of its own, which this one overrides."""
    runner = twist()
    assert observer(runner, "--log-level=error") is None
    assert runner["logLevel"] is LogLevel.error
    runner = twist()
    before = runner.get("logLevel")
    assert observer(runner) is None
    assert runner.get("logLevel") is before


def test_who_sees_the_log() -> None:
    """In the foreground it is seen, unless it goes to a file or to syslog."""
    assert not log_is_hidden(None)
    assert not log_is_hidden(twist())
    assert not log_is_hidden(twistd("-n"))
    assert not log_is_hidden(twistd("-n", "-l", "-"))
    assert log_is_hidden(twistd("-n", "-l", "a.log"))
    assert log_is_hidden(twistd("-n", "--syslog"))
    assert log_is_hidden(twistd())
