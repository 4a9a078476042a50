"""The reference has all that there is. That its links lead somewhere, the build of it checks."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import orchestra
import orchestra.client
from orchestra.tap import Options
from orchestra.values import CHANNEL

DOCS = Path(__file__).parent.parent / "docs"


def test_every_option_is_described() -> None:
    """With what it does, and one that has a default with that."""
    described = "\n".join(runpy.run_path(str(DOCS / "_ext" / "generated.py"))["options"]())
    options = Options()
    for option in options.longOpt:
        name, takes_value, _ = option.partition("=")
        entries = described.split(f".. option:: --{name}{' ' if takes_value else chr(10)}")
        assert len(entries) == 2, name
        text = entries[1].split(".. option::")[0]
        assert len(text.split()) > 3, name
        if takes_value and options.defaults.get(name) is not None:
            assert "Default: ``" in text, name


@pytest.mark.parametrize("key", CHANNEL)
def test_every_key_of_channels_is_described(key: str) -> None:
    """The table of the configuration file has it."""
    assert f"\n``{key}`` " in (DOCS / "reference" / "configuration.rst").read_text()


def test_every_public_name_is_described() -> None:
    """The page on Python has it, from its docstring."""
    lines = (DOCS / "reference" / "python.rst").read_text().splitlines()
    shown = [line.split(":: ")[-1] for line in lines if line.startswith((".. auto", ".. orch"))]
    described = {name.replace("orchestra.interfaces.", "orchestra.") for name in shown}
    names = {f"orchestra.{name}" for name in orchestra.__all__}
    names |= {
        f"orchestra.client.{name}"
        for name in set(orchestra.client.__all__) - set(orchestra.__all__)
    }
    assert names <= described
