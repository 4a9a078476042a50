"""The configuration file: TOML, with options of the command line and settings of channels.

::

    port = 8080
    history-messages = 100

    [channels."prices/*"]
    history-messages = 1
    slow-reader = "latest"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestra.history import Retention
from orchestra.settings import ChannelSettings
from orchestra.values import CHANNEL, OPTIONS, Check, WrongItemError, check_patterns

CHANNELS = "channels"
"""The table whose keys are patterns of the names of channels."""


class ConfigError(Exception):
    """A configuration file that cannot be used. Its text is one line that says why, and where."""


class Config:
    """What a configuration file says. All that is in it is allowed."""

    def __init__(self, path: str) -> None:
        """
        :raises ConfigError: if the file cannot be read, or something in it is not allowed.
        """
        self._path = path
        try:
            self._text = Path(path).read_bytes().decode()
            found = tomllib.loads(self._text)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; must be a TOML file") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: must be UTF-8") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(self._explain(str(error))) from None
        channels = found.pop(CHANNELS, {})
        self.options = self._checked(found, OPTIONS, ())
        """The options that are set, by their names on the command line."""
        self._channels = self._sections(channels)

    def channels(self, retention: Retention, rate: float = 0) -> dict[str, ChannelSettings]:
        """What is set for some channels, by patterns of their names.

        :param retention: what holds for what is not set of it.
        :param rate: the max-message-rate where none is set.
        :raises ConfigError: if something of it makes no sense with that.
        """
        for pattern, section in self._channels.items():
            burst = section.get("message-burst")
            if burst and not section.get("max-message-rate", rate):
                place = self.where(CHANNELS, pattern, "message-burst", value=burst)
                raise ConfigError(f"{place}: goes only with a max-message-rate")
        return {
            pattern: _settings(section, retention) for pattern, section in self._channels.items()
        }

    def where(self, *keys: str, value: Any = None) -> str:
        """Words that name a place in the file: the file, the line, the key, and its value.

        :param keys: from the outermost table to the key.
        """
        *_, key = keys
        shown = "" if value is None else f" = {value!r}" if value != "" else ' = ""'
        return f"{self._path}:{self._line(keys)}: {key}{shown}"

    def _sections(self, channels: Any) -> dict[str, dict[str, Any]]:
        if not isinstance(channels, dict):
            raise ConfigError(f'{self.where(CHANNELS)}: must be tables such as [channels."name"]')
        for pattern, section in channels.items():
            if not isinstance(section, dict):
                raise ConfigError(f"{self.where(CHANNELS, pattern)}: must be a table")
            try:
                check_patterns([pattern])
            except ValueError as error:
                raise ConfigError(f"{self.where(CHANNELS, pattern)}: {error}") from None
        return {
            pattern: self._checked(section, CHANNEL, (CHANNELS, pattern))
            for pattern, section in channels.items()
        }

    def _checked(
        self, table: Mapping[str, Any], checks: Mapping[str, Check], path: tuple[str, ...]
    ) -> dict[str, Any]:
        values = {}
        for key, value in table.items():
            if key not in checks:
                allowed = ", ".join(sorted(checks))
                raise ConfigError(f"{self.where(*path, key)}: is no key; must be one of {allowed}")
            try:
                values[key] = checks[key](value)
            except WrongItemError as error:
                place = self.where(*path, key, value=error.item)
                raise ConfigError(f"{place}: {error}") from None
            except ValueError as error:
                raise ConfigError(f"{self.where(*path, key, value=value)}: {error}") from None
        return values

    def _explain(self, error: str) -> str:
        match = re.fullmatch(r"(.*?) \(at (?:line (\d+), column \d+|end of document)\)", error)
        if match is None:
            return f"{self._path}: {error}"
        line = match[2] or len(self._text.splitlines())
        return f"{self._path}:{line}: {match[1]}"

    def _line(self, keys: tuple[str, ...]) -> int:
        # The parser does not tell lines. A key comes with the first lines that have it, as far as
        # they can be parsed, and its own lines are those after the last that could be as well.
        lines = self._text.splitlines(keepends=True)
        start = 0
        for end in range(1, len(lines) + 1):
            try:
                found = tomllib.loads("".join(lines[:end]))
            except tomllib.TOMLDecodeError:
                continue
            if _has(found, keys):
                break
            start = end
        while not lines[start].split("#", 1)[0].strip():  # between them
            start += 1
        return start + 1


def _has(found: Any, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(found, dict) or key not in found:
            return False
        found = found[key]
    return True


def _settings(section: Mapping[str, Any], retention: Retention) -> ChannelSettings:
    kept = {
        name: section[key]
        for key, name in (
            ("history-messages", "messages"),
            ("history-bytes", "bytes"),
            ("history-age", "age"),
        )
        if key in section
    }
    others: dict[str, Any] = {
        key.replace("-", "_"): tuple(value) if isinstance(value, list) else value
        for key, value in section.items()
        if not key.startswith("history-")
    }
    return ChannelSettings(retention=replace(retention, **kept) if kept else None, **others)
