"""Runs the suite against the server: ``python -m tests.conformance``.

The exit status is 0 if every case is OK or INFORMATIONAL, 1 if not, 2 if there is no suite to run.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

import orchestra
from tests.conformance.plan import QUICK, WHOLE, Plan, spec
from tests.conformance.run import OPTIONS, conduct
from tests.conformance.verdict import read_report, shortcomings, summary
from tests.conformance.wstest import VERSION, MissingError, find

REPORT = Path("conformance-report")


def how_to_get_it() -> str:
    """What to do where there is no ``wstest``, in commands."""
    settings = spec("ws://127.0.0.1:9001/", "/report", WHOLE.patterns)
    options = shlex.join(("--listen", "tcp:9001:interface=127.0.0.1", *OPTIONS))
    return f"""\
The suite, autobahntestsuite {VERSION}, runs with Python 2.7 only. If there is one on the PATH, or
among those of pyenv (pyenv install 2.7.18), the suite is installed for it by itself; that takes a
C compiler. A wstest that is installed elsewhere is used with --wstest PATH.

With Docker there is one for Linux, which runs against a server that is started by hand:

    twistd -n orchestra {options}

and, in another terminal:

    mkdir -p {REPORT} && rm -f {REPORT}/index.json
    echo {shlex.quote(settings)} > {REPORT}/spec.json
    docker run --rm --network host --volume "$PWD/{REPORT}:/report" \\
        crossbario/autobahn-testsuite wstest -m fuzzingclient -s /report/spec.json
    python -m tests.conformance --judge {REPORT}
"""


def chosen(quick: bool, cases: str | None) -> Plan:
    """The cases that the command line asks for."""
    if cases is not None:
        return Plan(tuple(pattern.strip() for pattern in cases.split(",")))
    return QUICK if quick else WHOLE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite, print what it has found, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--quick", action="store_true", help="some of the cases, in under a minute")
    some.add_argument("--cases", help='some of the cases, for example "1.*,6.4.1" [default: all]')
    parser.add_argument(
        "--report",
        type=Path,
        default=REPORT,
        metavar="DIR",
        help="where the report goes [default: %(default)s]",
    )
    parser.add_argument("--wstest", type=Path, metavar="PATH", help="the program of the suite")
    parser.add_argument(
        "--judge", type=Path, metavar="DIR", help="run nothing, but judge the report that is there"
    )
    options = parser.parse_args(arguments)
    plan = chosen(options.quick, options.cases)
    if options.judge is not None:
        cases = read_report(options.judge)
        problems = shortcomings(cases, (), plan.count)
        print(summary(cases, problems))
        return 1 if problems else 0
    try:
        wstest = find(options.wstest)
    except MissingError as error:
        print(f"There is no wstest: {error}.\n\n{how_to_get_it()}", file=sys.stderr)
        return 2
    print(
        f"Orchestra {orchestra.__version__}, Python {platform.python_version()}, "
        f"Twisted {version('twisted')}, Autobahn {version('autobahn')}; "
        f"autobahntestsuite {wstest.version}"
    )
    with Progress(console=Console()) as progress:
        task = progress.add_task("", total=None)

        def tell(case: str, count: int) -> None:
            progress.update(task, description=f"case {case}", total=count, advance=1)

        run = conduct(wstest, plan, options.report, tell)
    print(summary(run.cases, run.problems, run.seconds))
    print(f"report: {options.report / 'index.html'}")
    return 1 if run.problems else 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
