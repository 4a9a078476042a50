"""Whether a request was made on this machine."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.policy.addresses import UNIX, TrustedProxies
from orchestra.policy.locality import ADDRESSES, FORWARDING, HOSTS, is_local
from orchestra.refusal import RefusedError

NOBODY = TrustedProxies()
PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.1", "unix"])
HERE = {"host": "localhost:8080"}
ELSEWHERE = "203.0.113.9"

LOCAL = ("127.0.0.1", "127.1.2.3", "::1", UNIX)
FOREIGN = (ELSEWHERE, "10.0.0.1", "0.0.0.0", "2001:db8::1", "::", "fe80::1%eth0", "somewhere", "")


@pytest.mark.parametrize("host", ["localhost", "LocalHost:1", "127.0.0.1:65535", "127.9.9.9"])
@pytest.mark.parametrize("peer", LOCAL)
def test_by_loopback_and_for_loopback(peer: str, host: str) -> None:
    """By any of its addresses or a UNIX socket, and by any of its names."""
    assert is_local(peer, {"host": host}, NOBODY)
    assert is_local(peer, {"host": "[::1]:8080"}, PROXIES)


@pytest.mark.parametrize("peer", FOREIGN)
def test_from_elsewhere(peer: str) -> None:
    """Whatever it says of itself, and whether it is a trusted proxy or not."""
    for proxies in (NOBODY, PROXIES):
        assert not is_local(peer, HERE, proxies)
        assert not is_local(peer, {**HERE, "x-forwarded-for": "127.0.0.1"}, proxies)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example:8080",
        "localhost.evil.example",
        "evil.example,localhost",
        "localhost,localhost",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "128.0.0.1",
        "[::2]",
        "::1",
        "localhost:8080:8080",
        "localhost\n",
        "localhost:",
        "12\uff17.0.0.1",
    ],
)
@pytest.mark.parametrize("peer", LOCAL)
def test_for_another_name(peer: str, host: str) -> None:
    """A site whose name leads here is another site, and a proxy may have another name, too."""
    assert not is_local(peer, {"host": host}, NOBODY)
    assert not is_local(peer, {}, NOBODY)


@pytest.mark.parametrize("name", FORWARDING)
@pytest.mark.parametrize("value", ["", "127.0.0.1", "for=127.0.0.1", "1.1 localhost", "for=_x"])
def test_a_proxy_that_is_not_trusted(name: str, value: str) -> None:
    """Any header that tells of one is enough, whatever it says."""
    assert not is_local("127.0.0.1", {**HERE, name: value}, NOBODY)


@pytest.mark.parametrize(
    ("headers", "local"),
    [
        ({"x-forwarded-for": "127.0.0.1"}, True),
        ({"x-forwarded-for": "::1", "x-real-ip": "::1", "x-forwarded-port": "80"}, True),
        ({"x-forwarded-for": "::1", "x-forwarded-host": "localhost"}, True),
        ({"x-forwarded-for": "::1", "x-forwarded-host": "localhost, [::1]:80"}, True),
        ({"x-forwarded-for": "::1", "x-forwarded-server": "machine.example"}, True),
        ({"forwarded": 'for=127.0.0.1;host="localhost:80"'}, True),
        ({"forwarded": 'for="[::1]:4711";proto=http'}, True),
        ({"x-forwarded-for": "127.0.0.1, ::ffff:127.0.0.2"}, True),
        # What it tells is of elsewhere, wherever that stands.
        ({"x-forwarded-for": ELSEWHERE}, False),
        ({"x-forwarded-for": f"127.0.0.1, {ELSEWHERE}"}, False),
        ({"x-forwarded-for": f"{ELSEWHERE}, 127.0.0.1"}, False),
        ({"x-forwarded-for": "10.0.0.1, 127.0.0.1"}, False),
        ({"x-forwarded-for": "127.0.0.1", "forwarded": f"for={ELSEWHERE}"}, False),
        ({"forwarded": f"for=127.0.0.1, for={ELSEWHERE}"}, False),
        # It is for elsewhere.
        ({"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "localhost, evil.example"}, False),
        ({"x-forwarded-for": "127.0.0.1", "x-forwarded-host": ""}, False),
        ({"x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1;host=evil.example"}, False),
        ({"forwarded": "for=127.0.0.1;host=evil.example"}, False),
        ({"forwarded": "for=127.0.0.1;host=evil.example, for=127.0.0.1;host=localhost"}, False),
        ({"forwarded": 'for=127.0.0.1;host=""'}, False),
        # It has come through another proxy, perhaps.
        ({"x-forwarded-for": "127.0.0.1", "via": "1.1 here"}, False),
        ({"x-forwarded-for": "127.0.0.1", "via": ""}, False),
        # It tells nothing, or nothing that is an address.
        ({"x-forwarded-for": ""}, False),
        ({"x-forwarded-for": "unknown"}, False),
        ({"x-forwarded-for": "unknown, 127.0.0.1"}, False),
        ({"forwarded": "for=_hidden"}, False),
        ({"forwarded": "proto=http"}, False),
        ({"x-real-ip": "127.0.0.1"}, False),
        ({"via": "1.1 here"}, False),
        ({"x-forwarded-proto": "https"}, False),
    ],
)
def test_a_trusted_proxy(headers: dict[str, str], local: bool) -> None:
    """It has to tell addresses, and all of them have to be of this machine."""
    for peer in ("127.0.0.1", UNIX):
        assert is_local(peer, {**HERE, **headers}, PROXIES) is local


@pytest.mark.parametrize("told", [ELSEWHERE, f"127.0.0.1, {ELSEWHERE}", "unknown", ""])
@pytest.mark.parametrize("name", ADDRESSES)
def test_every_address_that_is_told(name: str, told: str) -> None:
    """Also by a header that nobody's address is taken from: the proxy knows why it says so."""
    assert is_local("127.0.0.1", {**HERE, "x-forwarded-for": "::1", name: "127.0.0.1"}, PROXIES)
    assert not is_local("127.0.0.1", {**HERE, "x-forwarded-for": "::1", name: told}, PROXIES)
    assert not is_local("127.0.0.1", {**HERE, name: "127.0.0.1"}, PROXIES), "no list of proxies"


@pytest.mark.parametrize("name", HOSTS)
def test_every_host_that_is_told(name: str) -> None:
    """A proxy may replace ``Host``, and say there what it was."""
    assert is_local("127.0.0.1", {**HERE, "x-forwarded-for": "::1", name: "[::1]:80"}, PROXIES)
    assert not is_local(
        "127.0.0.1", {**HERE, "x-forwarded-for": "::1", name: "evil.example"}, PROXIES
    )


def test_what_cannot_be_understood() -> None:
    """It is refused rather than guessed at."""
    with pytest.raises(RefusedError, match="Forwarded cannot be understood"):
        is_local("127.0.0.1", {**HERE, "forwarded": 'for="127.0.0.1'}, PROXIES)


@given(
    headers=st.dictionaries(
        st.sampled_from(FORWARDING),
        st.lists(
            st.sampled_from(["127.0.0.1", "::1", ELSEWHERE, "unknown", "", "for=::1", "for=_x"]),
            max_size=3,
        ).map(",".join),
        max_size=3,
    ),
    name=st.sampled_from(["x-forwarded-for", "forwarded", *ADDRESSES]),
    at_end=st.booleans(),
)
def test_whoever_a_proxy_tells_from_elsewhere_is_not_local(
    headers: dict[str, str], name: str, at_end: bool
) -> None:
    """Whatever else a client has sent before it: it cannot make the proxy's own word go away."""
    node = f"for={ELSEWHERE}" if name == "forwarded" else ELSEWHERE
    others = headers.get(name)
    headers[name] = node if not others else f"{others},{node}" if at_end else f"{node},{others}"
    for proxies in (NOBODY, PROXIES):
        with suppress(RefusedError):
            assert not is_local("127.0.0.1", {**HERE, **headers}, proxies)
