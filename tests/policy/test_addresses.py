"""Whose request it is that a proxy forwards."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address as IPv4Peer
from twisted.internet.address import IPv6Address as IPv6Peer
from twisted.internet.address import UNIXAddress

from orchestra.policy.addresses import UNIX, Addresses, TrustedProxies, address_of, plain
from orchestra.refusal import RefusedError

PROXIES = TrustedProxies(["10.0.0.0/8", "192.0.2.1", "2001:db8::/64", "unix"])
XFF = "x-forwarded-for"


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("192.0.2.1", True),
        ("2001:db8::5", True),
        (UNIX, True),
        ("192.0.2.2", False),
        ("11.0.0.1", False),
        ("2001:db8:0:1::5", False),
        ("somewhere", False),
        ("", False),
    ],
)
def test_who_is_trusted(address: str, trusted: bool) -> None:
    """Addresses and networks of both kinds, and UNIX sockets; by default nobody."""
    assert PROXIES.trusts(address) == trusted
    assert not TrustedProxies().trusts(address)


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        # Nobody is believed who is no trusted proxy.
        ("203.0.113.9", {XFF: "198.51.100.7"}, "203.0.113.9"),
        ("203.0.113.9", {"forwarded": "for=198.51.100.7"}, "203.0.113.9"),
        # One that says nothing speaks for itself.
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {XFF: ""}, "10.0.0.1"),
        ("10.0.0.1", {"forwarded": "proto=https"}, "10.0.0.1"),
        # What it adds at the end counts; what the client sent stands before that.
        ("10.0.0.1", {XFF: "198.51.100.7"}, "198.51.100.7"),
        ("10.0.0.1", {XFF: "1.1.1.1, 198.51.100.7"}, "198.51.100.7"),
        ("10.0.0.1", {XFF: "1.1.1.1, 198.51.100.7, 10.0.0.2"}, "198.51.100.7"),
        (UNIX, {XFF: "198.51.100.7"}, "198.51.100.7"),
        # All of them trusted: the first there was.
        ("10.0.0.1", {XFF: "10.0.0.3, 10.0.0.2"}, "10.0.0.3"),
        # With ports, brackets, and IPv4 within IPv6.
        ("10.0.0.1", {XFF: "198.51.100.7:4711"}, "198.51.100.7"),
        ("10.0.0.1", {XFF: "[2001:db8:1::7]:4711"}, "2001:db8:1::7"),
        ("10.0.0.1", {XFF: "2001:DB8:1:0::7"}, "2001:db8:1::7"),
        ("10.0.0.1", {XFF: "::ffff:198.51.100.7"}, "198.51.100.7"),
        # Names that only the proxy understands: the last that is known.
        ("10.0.0.1", {XFF: "unknown"}, "10.0.0.1"),
        ("10.0.0.1", {XFF: "1.1.1.1, unknown, 10.0.0.2"}, "10.0.0.2"),
        # The standard's header (RFC 7239).
        ("10.0.0.1", {"forwarded": "for=198.51.100.7"}, "198.51.100.7"),
        ("10.0.0.1", {"forwarded": "For=1.1.1.1, FOR=198.51.100.7;proto=http"}, "198.51.100.7"),
        ("10.0.0.1", {"forwarded": 'by=10.0.0.1; for="[2001:db8:1::7]:80"'}, "2001:db8:1::7"),
        (
            "10.0.0.1",
            {"forwarded": 'for=1.1.1.1;host="a,b\\"c" , for=198.51.100.7'},
            "198.51.100.7",
        ),
        ("10.0.0.1", {"forwarded": "for=198.51.100.7, for=_hidden"}, "10.0.0.1"),
        ("10.0.0.1", {"forwarded": "for=198.51.100.7, proto=https"}, "10.0.0.1"),
        # Both, when they agree.
        ("10.0.0.1", {"forwarded": "for=198.51.100.7", XFF: "198.51.100.7"}, "198.51.100.7"),
    ],
)
def test_whose_request_it_is(peer: str, headers: dict[str, str], client: str) -> None:
    """The first from here who is no trusted proxy, and nothing that anybody can make up."""
    assert PROXIES.client(peer, headers) == client


@pytest.mark.parametrize(
    "value", ['for="1.1.1.1', "for=1.1.1.1 for=2.2.2.2", "for", "for=[::1]", 'for="a"b', "=1"]
)
def test_what_cannot_be_understood_is_refused(value: str) -> None:
    """A quote that the client opens must not swallow what the proxy adds."""
    with pytest.raises(RefusedError, match="Forwarded cannot be understood") as caught:
        PROXIES.client("10.0.0.1", {"forwarded": value + ", for=198.51.100.7"})
    assert caught.value.status == 400
    assert PROXIES.client("203.0.113.9", {"forwarded": value}) == "203.0.113.9"


def test_headers_that_disagree_are_refused() -> None:
    """One of them is the client's own, and it is not known which."""
    headers = {"forwarded": "for=1.1.1.1", XFF: "198.51.100.7"}
    with pytest.raises(RefusedError, match="say different things") as caught:
        PROXIES.client("10.0.0.1", headers)
    assert caught.value.status == 400


@given(
    client=st.text(st.characters(codec="latin-1", categories=("L", "N", "P", "S", "Z"))),
    address=st.ip_addresses(v=4).map(str).filter(lambda a: not PROXIES.trusts(a)),
)
def test_nobody_makes_up_an_address(client: str, address: str) -> None:
    """Whatever a client sends, the proxy's word at the end counts, or the request is refused."""
    assert PROXIES.client("10.0.0.1", {XFF: f"{client}, {address}"}) == address
    try:
        found = PROXIES.client("10.0.0.1", {"forwarded": f"{client}, for={address}"})
    except RefusedError:
        return
    assert found == address


@pytest.mark.parametrize("value", [" ", ",", ";", "for=", "for=x ", 'for="\\a', "for=x;", '"'])
def test_reading_takes_a_time_that_grows_with_the_length(value: str) -> None:
    """If it were its square, a value as long as this would take hours."""
    headers = {"forwarded": value * (2_000_000 // len(value))}
    with suppress(RefusedError):
        assert PROXIES.client("10.0.0.1", headers) == "10.0.0.1"


@pytest.mark.parametrize("network", ["", "proxy.example", "10.0.0.1/8", "10.0.0.0/33", "*"])
def test_what_is_no_network_is_refused(network: str) -> None:
    """The error says why, and what is allowed."""
    with pytest.raises(ValueError, match=r"trusted proxy: .*must be an address such as 10"):
        TrustedProxies([network])


@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        (["*"], ["192.0.2.1", "2001:db8::1", UNIX, "somewhere"], []),
        ([], [], ["192.0.2.1", "2001:db8::1", UNIX, "somewhere", "*", ""]),
        (["unix"], [UNIX], ["192.0.2.1", "somewhere"]),
        (["192.0.2.1"], ["192.0.2.1"], ["192.0.2.2", UNIX, "::ffff:192.0.2.1"]),
        (["192.0.2.0/24"], ["192.0.2.0", "192.0.2.255"], ["192.0.3.0", "2001:db8::1"]),
        (["2001:db8::/32"], ["2001:db8::1"], ["2001:db9::1", "32.1.13.184"]),
        (["10.0.0.0/8", "unix", "::1"], ["10.1.2.3", UNIX, "::1"], ["11.0.0.1", "::2"]),
        (["0.0.0.0/0", "::/0"], ["192.0.2.1", "2001:db8::1"], [UNIX, "somewhere"]),
        (["10.0.0.1", "*"], ["192.0.2.1", UNIX], []),
    ],
)
def test_a_set_of_addresses(networks: list[str], inside: list[str], outside: list[str]) -> None:
    """Given one by one, as networks, or by what stands for UNIX sockets or for all."""
    addresses = Addresses(iter(networks))
    assert [address for address in inside if address not in addresses] == []
    assert [address for address in outside if address in addresses] == []


@pytest.mark.parametrize(
    "network", ["", "proxy.example", "10.0.0.1/8", "10.0.0.0/33", "10.*", "all"]
)
def test_what_is_no_address_is_in_no_set(network: str) -> None:
    """Whoever sets it wrongly learns it at once, rather than that nobody is in it."""
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits set"):
        Addresses(["10.0.0.1", network])


@given(st.ip_addresses(), st.integers(0, 32))
def test_an_address_is_in_its_networks(address: IPv4Address | IPv6Address, bits: int) -> None:
    """In each that begins like it, in any case in its own, and not in its neighbour's."""
    assert str(address) in Addresses([str(ip_network((address, bits), strict=False))])
    assert str(address) in Addresses([str(address)])
    assert str(address) not in Addresses([str(type(address)(int(address) ^ 1))])


def test_the_address_of_a_peer() -> None:
    """Whoever has none came through a UNIX socket."""
    assert address_of(IPv4Peer("TCP", "192.0.2.1", 1)) == "192.0.2.1"
    assert address_of(IPv6Peer("TCP", "::ffff:192.0.2.1", 1)) == "192.0.2.1"
    assert address_of(UNIXAddress(b"")) == UNIX
    assert address_of(None) == UNIX


def test_ipv4_within_ipv6_is_ipv4() -> None:
    """A port that listens for both sees both in one form."""
    assert plain("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain("10.0.0.1") == "10.0.0.1"
    assert plain("2001:db8::1") == "2001:db8::1"
