"""``python -m tests.fuzz frames`` or ``http``: look for input that breaks the property."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

TARGETS = ("frames", "http")
CORPUS = Path(__file__).with_name("corpus")
FOUND = Path(__file__).parent.parent.parent / ".fuzz"
"""Where what is found goes: git ignores it."""

INSTRUMENTED = ["orchestra", "autobahn.websocket", "autobahn.twisted"]
"""The packages in which coverage guides the search."""

LONGEST = {"frames": 4096, "http": 20_000}
"""The longest input that is tried, in bytes: for ``http`` longer than a request's head may be."""


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Look for input that breaks what should hold whatever a client sends.",
        epilog="What breaks it is a file in .fuzz/; --input runs one of those again.",
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument(
        "--seconds", type=int, default=60, help="how long to look, 0 for ever [default: 60]"
    )
    parser.add_argument("--seed", type=int, default=0, help="of chance; 0 for any [default: 0]")
    parser.add_argument("--input", type=Path, help="try this file and nothing else")
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    """Run the fuzzer until the time is over or the property is broken."""
    options = arguments(words)
    try:
        import atheris
    except ImportError:
        raise SystemExit(
            "The fuzzer needs atheris: pip install '.[fuzz]'. "
            "Without it the tests still try the seeds."
        ) from None
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz import frames, http
    check = {"frames": frames, "http": http}[options.target].check
    command = [sys.argv[0]]
    if options.input is not None:
        command.append(str(options.input))
    else:
        grown = FOUND / options.target
        grown.mkdir(parents=True, exist_ok=True)
        # Options of libFuzzer.
        command += [
            f"-max_total_time={options.seconds}",
            f"-max_len={LONGEST[options.target]}",
            f"-seed={options.seed}",
            f"-artifact_prefix={FOUND}/{options.target}-",
            "-timeout=10",
            "-print_final_stats=1",
            str(grown),  # where input goes that leads somewhere new
            str(CORPUS / options.target),
        ]
    atheris.Setup(command, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
