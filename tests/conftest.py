"""Options and fixtures for all tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import txaio
from hypothesis import settings
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from tests.events import captured
from tests.notify import Systemd

pytest_plugins = ["tests.browser"]

# How long an example takes is for the benchmarks: a machine may have other things to do.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="count a test that is skipped, for want of a component, as failed",
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.skipped and item.config.getoption("--fail-on-skip"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and that is not allowed here: {report.longrepr}"


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> None:
    # Many tests collect garbage. They need not look each time at all the tests that there are, nor
    # at what those before have left to live.
    gc.collect()
    gc.freeze()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock that stands for the reactor, Autobahn's timers included."""
    clock = Clock()
    clock.advance(1000)
    before, txaio.config.loop = txaio.config.loop, clock
    yield clock
    txaio.config.loop = before


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """A service manager, of which only those know that are given its environment."""
    systemd = Systemd(str(tmp_path / "notify"))
    yield systemd
    systemd.close()


@pytest.fixture
def log() -> Iterator[list[LogEvent]]:
    """What is logged: no failures. A test that expects some clears it."""
    with captured() as events:
        yield events
        gc.collect()
    assert not [event["log_failure"] for event in events if "log_failure" in event]
