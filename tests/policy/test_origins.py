"""Which pages may connect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.policy.origins import Origins
from orchestra.refusal import RefusedError


def allows(origins: Origins, origin: str | None, host: str = "localhost:8080") -> bool:
    try:
        origins.check(origin, host)
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        (None, "localhost", True),
        ("http://localhost:8080", "localhost:8080", True),
        ("https://localhost:8080", "localhost:8080", True),
        ("HTTP://LOCALHOST:8080", "localhost:8080", True),
        ("http://Example.com", "eXample.com", True),
        ("http://example.com", "example.com:80", True),
        ("http://example.com:80", "example.com", True),
        ("https://example.com", "example.com:443", True),
        ("https://example.com:443", "example.com", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("https://example.com", "example.com:80", False),
        ("http://example.com:8080", "example.com:80", False),
        ("http://example.com:8080", "example.com", False),
        ("http://example.com", "example.com:8080", False),
        ("http://evil.example", "example.com", False),
        ("http://example.com.evil", "example.com", False),
        ("http://evil-example.com", "example.com", False),
        ("null", "null", False),
        ("file://", "", False),
        ("", "", False),
        ("http://", "", False),
        ("http://*.example.com", "*.example.com", False),
        ("http://example.com/", "example.com/", False),
        ("http://user@example.com", "user@example.com", False),
        ("http://example.com http://evil.example", "example.com", False),
    ],
)
def test_by_default_pages_of_the_same_host_may(origin: str | None, host: str, same: bool) -> None:
    """Host and port are compared, the port that goes without saying included; no more."""
    assert allows(Origins(), origin, host) == same


def test_listed_origins_may_and_no_others() -> None:
    """An explicit list replaces the default, unless the default is in it."""
    origins = Origins(["https://Example.com", "http://localhost:3000", "null"])
    assert allows(origins, "https://example.com")
    assert allows(origins, "https://example.com:443")
    assert allows(origins, "http://localhost:3000")
    assert allows(origins, "null")
    assert allows(origins, None)
    assert not allows(origins, "http://example.com")
    assert not allows(origins, "https://example.com:8443")
    assert not allows(origins, "http://localhost:8080")
    assert not allows(origins, "file://")
    assert allows(Origins(["same", "https://example.com"]), "http://localhost:8080")


def test_a_wildcard_is_all_hosts_below() -> None:
    """Of the same scheme and port; not the domain itself, and not what only ends like it."""
    origins = Origins(["https://*.example.com", "http://*.test:8080"])
    assert allows(origins, "https://a.example.com")
    assert allows(origins, "https://a.b.example.com:443")
    assert allows(origins, "http://a.test:8080")
    assert not allows(origins, "https://example.com")
    assert not allows(origins, "https://evilexample.com")
    assert not allows(origins, "https://example.com.evil")
    assert not allows(origins, "http://a.example.com")
    assert not allows(origins, "https://a.example.com:8443")
    assert not allows(origins, "http://a.test")


@given(st.one_of(st.none(), st.text()), st.text())
def test_the_star_is_everybody(origin: str | None, host: str) -> None:
    """Whatever is sent is let in, and nothing raises."""
    assert allows(Origins(["*"]), origin, host)
    allows(Origins(["same", "https://*.example.com"]), origin, host)


def test_other_schemes_have_origins_too() -> None:
    """Extensions of browsers and applications send their own."""
    origins = Origins(["chrome-extension://abcdef", "capacitor://localhost"])
    assert allows(origins, "chrome-extension://abcdef")
    assert allows(origins, "capacitor://localhost")
    assert not allows(origins, "chrome-extension://abcdeg")


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "example.com",
        "https://",
        "https://a/b",
        "https://*",
        "https://a.*.com",
        "**",
        "a://b:x",
    ],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    """The error names the value and what is allowed."""
    with pytest.raises(ValueError, match=r"must be \*, same, null, or an origin such as https:"):
        Origins([origin])
