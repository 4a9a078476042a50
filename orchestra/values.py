"""What the values of options may be, on the command line and in a configuration file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from orchestra.channel import MAX_NAME
from orchestra.policy import addresses, origins
from orchestra.policy.addresses import Addresses, TrustedProxies
from orchestra.policy.origins import Origins
from orchestra.settings import SLOW_READER
from orchestra.tls import CHAIN, KEY, read_chain, read_key
from orchestra.web.page import ALLOWED as PAGE

Check: TypeAlias = Callable[[Any], Any]
"""Takes a value, or the text of one, and returns the value; raises :class:`ValueError`, which says
what is allowed, if it is not."""


def number(lowest: int, highest: int, unit: str = "", kind: type = int) -> Check:
    """A number, or the text of one."""
    what = "a whole number" if kind is int else "a number"
    allowed = f"must be {what}{unit and f' of {unit}'} from {lowest} to {highest}"

    def check(value: Any) -> Any:
        try:
            found = kind(value) if isinstance(value, (str, int, kind)) else None
        except ValueError:
            found = None
        if found is None or isinstance(value, bool) or not lowest <= found <= highest:
            raise ValueError(allowed)
        return found

    return check


def text(value: Any) -> str:
    """A string that can be sent."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None
    return value


def name(value: Any) -> str:
    """A string that is not empty."""
    found = text(value)
    if not found:
        raise ValueError("must be a string that is not empty")
    return found


def cookie_name(value: Any) -> str:
    """The name of a cookie (RFC 6265 section 4.1.1)."""
    if not (isinstance(value, str) and _COOKIE_NAME.fullmatch(value)):
        raise ValueError("must be the name of a cookie: letters, digits and !#$%&'*+-.^_`|~")
    return value


def flag(value: Any) -> bool:
    """Yes or no."""
    if value not in (True, False):
        raise ValueError("must be true or false")
    return bool(value)


def one_of(*words: str) -> Check:
    """One of a few words."""

    def check(value: Any) -> Any:
        if value not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return value

    return check


def each(kind: Callable[[Sequence[str]], object], allowed: str) -> Check:
    """A list of strings, each of which is allowed."""

    def check(value: Any) -> Any:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ValueError(f"must be a list of strings, each {allowed}")
        for one in value:
            try:
                kind([one])
            except ValueError:
                raise WrongItemError(one, f"must be {allowed}") from None
        return value

    return check


def file(read: Callable[[str], object], allowed: str) -> Check:
    """The name of a file that can be read."""

    def check(value: Any) -> Any:
        if not (isinstance(value, str) and value):
            raise ValueError(f"must be the name of {allowed}")
        try:
            read(value)
        except ValueError as error:
            raise ValueError(f"{error}; must be {allowed}") from None
        return value

    return check


def folder(value: Any) -> str:
    """The name of a folder that is a page."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"must be {PAGE}")
    return value


def place(value: Any) -> str:
    """Where to listen, in words; a number is a port."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("must be a Twisted endpoint string, or a port")
    return text(value)


PATTERN = f"a name of 1 to {MAX_NAME} bytes without a / in front, with * for any characters"
"""What a pattern of the names of channels can be, in words."""


def check_patterns(patterns: Sequence[str]) -> None:
    """Make sure that patterns can match the names of channels.

    :raises ValueError: if one cannot.
    """
    for pattern in patterns:
        if not 1 <= len(pattern.encode()) <= MAX_NAME or pattern.startswith("/"):
            raise ValueError(f"must be {PATTERN}")


class WrongItemError(ValueError):
    """One of a list of values is not allowed.

    :ivar item: which one.
    """

    def __init__(self, item: str, reason: str) -> None:
        super().__init__(reason)
        self.item = item


_COOKIE_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)

_SECONDS = number(0, 86400, "seconds", float)

_FOR_CHANNELS: dict[str, Check] = {
    "prefix": text,
    "max-message-size": number(1, 2**30, "bytes"),
    "max-connections": number(0, 10**7),
    "max-message-rate": number(0, 10**7, "messages per second", float),
    "message-burst": number(0, 10**7),
    "history-messages": number(0, 10**7),
    "history-bytes": number(0, 2**40, "bytes"),
    "history-age": number(0, 365 * 86400, "seconds", float),
    "slow-reader": one_of(*SLOW_READER),
}

OPTIONS: dict[str, Check] = {
    **_FOR_CHANNELS,
    "port": number(0, 65535),
    "listen": each(lambda _: None, "a Twisted endpoint string"),
    "max-connections-per-address": number(0, 10**7),
    "max-subscriptions": number(0, 10**7),
    "max-buffered": number(0, 2**40, "bytes"),
    "handshake-timeout": _SECONDS,
    "close-timeout": _SECONDS,
    "ping-interval": _SECONDS,
    "ping-timeout": _SECONDS,
    "compress": flag,
    "reuse-port": flag,
    "origin": each(Origins, origins.ALLOWED),
    "trusted-proxy": each(TrustedProxies, addresses.ALLOWED),
    "token-key-file": name,
    "token-jwks-file": name,
    "token-audience": name,
    "token-issuer": name,
    "token-cookie": cookie_name,
    "api-key-file": name,
    "drain": number(0, 3600, "seconds", float),
    "grace": number(0, 3600, "seconds", float),
    "tls-certificate": file(read_chain, CHAIN),
    "tls-key": file(read_key, KEY),
    "log-format": text,
    "log-level": text,
    "log-notes": one_of("on", "off"),
    "page": folder,
    "no-page": flag,
    "metrics": place,
    "metrics-channels": each(check_patterns, PATTERN),
}
"""What can be set for the server, by its name."""

CHANNEL: dict[str, Check] = {
    **_FOR_CHANNELS,
    "publishers": each(Addresses, f"*, {addresses.ALLOWED}"),
}
"""What can be set for some channels, by its name."""
