"""The suite's quick part against the real server, and the parts that find, run and judge it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.__main__ import how_to_get_it, main
from tests.conformance.plan import QUICK
from tests.conformance.run import conduct, stopped
from tests.conformance.verdict import Case, read_report, shortcomings, summary
from tests.conformance.wstest import (
    ROOT,
    VERSION,
    MissingError,
    Wstest,
    find,
    install,
    on_path,
    pythons,
    running,
)
from tests.end_to_end.server import started

DESCRIPTION = {
    "description": "Send <b>text</b>.<br><br>Payload: 0xff",
    "expectation": "The connection is failed.",
    "result": "Actual events differ from any expected.",
    "resultClose": "Connection was properly closed",
}


# Making an environment for the suite may take as long again as the suite.
@pytest.mark.timeout(600)
def test_the_server_conforms(tmp_path: Path) -> None:
    """Every case of the quick part is there, and OK, or INFORMATIONAL where that is left open; the
    server logs no traceback and stops in good order."""
    try:
        wstest = find()
    except MissingError as error:
        pytest.skip(f"there is no wstest: {error}")
    run = conduct(wstest, QUICK, tmp_path)
    assert run.problems == []
    assert len(run.cases) == QUICK.count == 325
    assert {word for case in run.cases for word in (case.behavior, case.closing)} == {
        "OK",
        "INFORMATIONAL",
    }
    assert "Traceback" not in (tmp_path / "server.log").read_text()
    assert (tmp_path / "index.html").exists()


def write_report(folder: Path, cases: Mapping[str, tuple[str, str]]) -> None:
    """Write what the suite would of such cases, by behavior and closing."""
    found = {}
    for name, (behavior, closing) in cases.items():
        file = f"orchestra_case_{name.replace('.', '_')}.json"
        (folder / file).write_text(json.dumps(DESCRIPTION))
        found[name] = {"behavior": behavior, "behaviorClose": closing, "reportfile": file}
    (folder / "index.json").write_text(json.dumps({"Orchestra": found}))


def script(file: Path, text: str) -> Path:
    """A program of a few lines of shell."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


class TestVerdict:
    """What is a pass and what is not."""

    def test_ok_and_informational_pass(self, tmp_path: Path) -> None:
        """There is nothing to say against them; the summary counts them."""
        write_report(
            tmp_path,
            {
                "10.1.1": ("OK", "OK"),
                "7.1.6": ("INFORMATIONAL", "INFORMATIONAL"),
                "9.1": ("OK", "OK"),
            },
        )
        cases = read_report(tmp_path)
        assert [case.id for case in cases] == ["7.1.6", "9.1", "10.1.1"]
        assert shortcomings(cases, ["7.1.6", "9.1", "10.1.1"], 3) == []
        assert summary(cases, [], 843.2).splitlines() == [
            "cases:    3, in 0:14:03",
            "behavior: 2 OK, 1 INFORMATIONAL",
            "closing:  2 OK, 1 INFORMATIONAL",
            "informational: 7.1.6",
            "PASSED",
        ]

    @pytest.mark.parametrize(
        ("behavior", "closing"),
        [
            ("NON-STRICT", "OK"),
            ("FAILED", "OK"),
            ("UNIMPLEMENTED", "OK"),
            ("OK", "FAILED"),
            ("OK", "UNCLEAN"),
            ("OK", "WRONG CODE"),
            ("OK", "FAILED BY CLIENT"),
        ],
    )
    def test_anything_else_fails(self, tmp_path: Path, behavior: str, closing: str) -> None:
        """The case is named, with what the suite says of it."""
        write_report(tmp_path, {"1.1.1": ("OK", "OK"), "6.4.1": (behavior, closing)})
        cases = read_report(tmp_path)
        (problem,) = shortcomings(cases, ["1.1.1", "6.4.1"], 2)
        assert problem.splitlines() == [
            f"6.4.1: {behavior}, closing: {closing}",
            "  Send text . Payload: 0xff",
            "  The connection is failed.",
            "  Actual events differ from any expected.",
            "  Connection was properly closed",
        ]
        shown = summary(cases, [problem])
        assert problem in shown
        assert shown.endswith("\nFAILED")

    def test_a_case_that_is_missing_fails(self) -> None:
        """What was to be run and has no result is named."""
        found = shortcomings([Case("1.1.1", "OK", "OK")], ["1.1.1", "1.1.2"])
        assert found == ["not run to the end: 1.1.2"]

    def test_too_few_cases_fail(self) -> None:
        """Even if the suite meant to run no more."""
        found = shortcomings([Case("1.1.1", "OK", "OK")], ["1.1.1"], 517)
        assert found == ["cases with a result: 1, where there should be 517"]

    def test_no_report_fails(self, tmp_path: Path) -> None:
        """Nothing is not a pass, whether or not it is known how much there should be."""
        assert read_report(tmp_path) == []
        assert shortcomings([], []) == ["no case has a result"]
        assert shortcomings([], [], 517) == ["cases with a result: 0, where there should be 517"]

    def test_a_report_from_elsewhere_is_judged(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a run; what it has to have is the same."""
        write_report(tmp_path, {"1.1.1": ("OK", "OK")})
        assert main(["--judge", str(tmp_path), "--cases", "1.1.1"]) == 0
        assert main(["--judge", str(tmp_path)]) == 1
        assert "cases with a result: 1, where there should be 517" in capsys.readouterr().out


class TestServer:
    """What is asked of the server beside its answers."""

    def test_a_traceback_and_a_bad_end_fail(self, tmp_path: Path) -> None:
        """Each is a problem of its own."""
        with started([sys.executable, "-c", "raise ValueError('wrong note')"], tmp_path) as server:
            server.wait_for("wrong note")
            server.process.wait()
            assert stopped(server) == [
                "the server ended with status 1",
                "the server has logged a traceback",
            ]


class TestRun:
    """A run, with a program in the place of the suite."""

    SUITE = """
if [ "$1" = -a ]; then echo "AutobahnTestSuite 0"; exit; fi
echo "Cases = $CASES"
"""

    def test_a_run_that_ends_early_fails(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was to be run is named, and what an earlier run has found does not count."""
        monkeypatch.setenv("CASES", "['1.1.1', '1.1.2']")
        wstest = script(tmp_path / "wstest", self.SUITE + "exit 3")
        report = tmp_path / "report"
        report.mkdir()
        write_report(report, {"1.1.1": ("OK", "OK"), "1.1.2": ("OK", "OK")})
        options = ["--wstest", str(wstest), "--report", str(report), "--cases", "1.1.1, 1.1.2"]
        assert main(options) == 1
        shown = capsys.readouterr().out
        assert "not run to the end: 1.1.1, 1.1.2\n" in shown
        assert "wstest ended with status 3" in shown
        settings = json.loads((report / "spec.json").read_text())
        assert settings["cases"] == ["1.1.1", "1.1.2"]
        assert settings["outdir"] == str(report)

    def test_no_case_at_all_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The suite, which would go on for ever with nothing to do, is ended."""
        monkeypatch.setenv("CASES", "[]")
        wstest = script(tmp_path / "wstest", self.SUITE + "exec sleep 600")
        run = conduct(Wstest(wstest, "0"), QUICK, tmp_path / "report")
        assert run.problems[0] == "cases with a result: 0, where there should be 325"
        assert run.problems[1].startswith("the suite has no case for 1.*, 2.*, ")


class TestFinding:
    """Where ``wstest`` and Python 2.7 come from."""

    NO_COMMAND = "echo 'pyenv: python2.7: command not found' >&2; exit 127"

    def test_a_shim_without_a_program_is_skipped(self, tmp_path: Path) -> None:
        """So is another Python; one that is found twice is taken once."""
        python = script(tmp_path / "python2.7", f"echo '2.7 {tmp_path}/python2.7'")
        candidates = [
            script(tmp_path / "shims" / "python2.7", self.NO_COMMAND),
            script(tmp_path / "pypy", "echo '3.10 /opt/pypy'"),
            tmp_path / "nowhere",
            python,
            script(tmp_path / "shims" / "python2", f"exec {python}"),
        ]
        assert list(running(candidates)) == [python]

    def test_a_program_behind_a_shim_is_seen(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every folder of the path is looked into, and then pyenv's."""
        first = script(tmp_path / "shims" / "python2.7", self.NO_COMMAND)
        second = script(tmp_path / "bin" / "python2.7", "")
        third = script(tmp_path / "pyenv" / "versions" / "2.7.18" / "bin" / "python2.7", "")
        script(tmp_path / "pyenv" / "versions" / "3.11.7" / "bin" / "python3.11", "")
        monkeypatch.setenv("PATH", os.pathsep.join([str(first.parent), str(second.parent)]))
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
        assert list(on_path("python2.7")) == [first, second]
        assert list(pythons()) == [first, second, third]

    def test_the_path_comes_before_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A ``wstest`` on it is taken if it runs; else the environment's, if it is the right
        one."""
        environment = tmp_path / "environment"
        of_the_path = tmp_path / "bin" / "wstest"
        ours = environment / "bin" / "wstest"
        script(of_the_path, "echo 'AutobahnTestSuite 0.8.2'")
        script(ours, f"echo 'Autobahn 0.10.9'; echo 'AutobahnTestSuite {VERSION}'")
        monkeypatch.setenv("PATH", str(of_the_path.parent))
        assert find(environment=environment, candidates=[]) == Wstest(of_the_path, "0.8.2")
        script(of_the_path, self.NO_COMMAND)
        assert find(environment=environment, candidates=[]) == Wstest(ours, VERSION)
        script(ours, "echo 'AutobahnTestSuite 0.8.2'")
        with pytest.raises(MissingError, match="nor is Python 2"):
            find(environment=environment, candidates=[])

    def test_a_failed_installation_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the last line of what failed, and nothing is left of it."""
        environment = tmp_path / "environment"
        environment.mkdir()
        pip = script(tmp_path / "pip", "echo 'Collecting'; echo 'no space left' >&2; exit 1")
        monkeypatch.setattr(sys, "executable", str(pip))
        with pytest.raises(MissingError, match=r"^/opt/python2\.7 is there, .*: no space left$"):
            install(Path("/opt/python2.7"), environment)
        assert not environment.exists()

    def test_none_is_status_2_and_says_what_to_do(self, tmp_path: Path) -> None:
        """In words, with the commands for Docker among them; there is no traceback."""
        command = [sys.executable, "-m", "tests.conformance", "--wstest", str(tmp_path / "none")]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"There is no wstest: {tmp_path / 'none'} does not run.\n")
        assert (
            "twistd -n orchestra --listen tcp:9001:interface=127.0.0.1 --prefix ''" in ended.stderr
        )
        assert "docker run" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_the_documentation_has_the_same_commands(self) -> None:
        """To the letter, but for the folder of the environment."""
        page = (ROOT / "docs" / "conformance.rst").read_text()
        commands = [line for line in how_to_get_it().splitlines() if line.startswith("    ")]
        assert len(commands) == 6
        for command in commands:
            assert command.strip() in page
