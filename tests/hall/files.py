"""Where the hall's files are."""

from __future__ import annotations

from pathlib import Path

HALL = Path(__file__).parents[2] / "orchestra/hall"
FAKES = Path(__file__).with_name("fakes.js")
