"""Which web pages may connect.

A browser lets the script of any page open a WebSocket to any server, with the cookies that the
user has there; all that it does is to tell the server the page's origin (RFC 6455 section 10.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from orchestra.refusal import RefusedError

SAME = "same"
"""Stands for the pages that come from where the request goes, by its header ``Host``."""

ANY = "*"
"""Stands for all pages."""

NULL = "null"
"""What pages without an origin send: local files and sandboxed frames (RFC 6454 section 7.1)."""

ALLOWED = "*, same, null, or an origin such as https://example.com or https://*.example.com:8443"
"""What an origin can be given as, in words."""

_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\*\.)?([\w.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", re.ASCII
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_of_own_site(headers: Mapping[str, str]) -> bool:
    """Whether a request is of the same origin, of the user, or of no browser, as far as it says.

    Browsers say so of requests without an ``Origin`` as well, such as those for images and
    scripts (Fetch Metadata, section 2.2), but only servers with TLS or on the same machine.

    :param headers: of the request, by their names in lower case.
    """
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def check_own_site(headers: Mapping[str, str]) -> None:
    """Make sure that no page of another origin asks, not even for what it cannot read.

    :param headers: of the request, by their names in lower case.
    :raises RefusedError: if one does, as far as that can be told.
    """
    if not is_of_own_site(headers):
        raise RefusedError(403, "this is not for pages of other origins", kind="origin")


class Origins:
    """The origins that are let in. Who sends none, as all but browsers do, is let in as well."""

    def __init__(self, allowed: Iterable[str] = (SAME,)) -> None:
        """
        :param allowed: each ``*``, ``same``, ``null``, or an origin such as
            ``https://example.com:8443``; ``https://*.example.com`` is all hosts below that one.
        :raises ValueError: if one is none of these.
        """
        self._exact: set[str] = set()
        self._below: set[tuple[str, str]] = set()  # what comes before and after the wildcard
        for origin in allowed:
            match = _ORIGIN.fullmatch(origin.lower())
            if match is not None and match[2]:
                self._below.add((f"{match[1]}://", f".{_without_default_port(match)}"))
            elif match is not None:
                self._exact.add(f"{match[1]}://{_without_default_port(match)}")
            elif origin in (ANY, SAME, NULL):
                self._exact.add(origin)
            else:
                raise ValueError(f"origin {origin!r}: must be {ALLOWED}")

    @property
    def is_open(self) -> bool:
        """Whether any site's pages may come in: those of all origins, or of none, which a page has
        in a frame that it makes for that."""
        return ANY in self._exact or NULL in self._exact

    def check(self, origin: str | None, host: str) -> None:
        """Make sure that a request comes from an allowed page, or from no page.

        :param origin: the request's header ``Origin``; ``None`` if it has none.
        :param host: its header ``Host``.
        :raises RefusedError: if it does not.
        """
        if origin is None or ANY in self._exact or self._allows(origin.lower(), host.lower()):
            return
        raise RefusedError(403, "pages of this origin are not allowed to connect", kind="origin")

    def _allows(self, origin: str, host: str) -> bool:
        match = _ORIGIN.fullmatch(origin)
        if match is None or match[2]:
            return origin == NULL and NULL in self._exact
        scheme, place = f"{match[1]}://", _without_default_port(match)
        if scheme + place in self._exact:
            return True
        if SAME in self._exact and place == host.removesuffix(_DEFAULT_PORTS.get(match[1], "")):
            return True
        return any(scheme == before and place.endswith(after) for before, after in self._below)


def _without_default_port(origin: re.Match[str]) -> str:
    scheme, host, port = origin.group(1, 3, 4)
    return host if port in (None, _DEFAULT_PORTS.get(scheme)) else host + port
