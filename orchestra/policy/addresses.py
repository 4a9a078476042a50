"""Whose connection it is: the peer's address, or what a trusted proxy says about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from orchestra.refusal import RefusedError

UNIX = "unix"
"""Stands for whoever connects through a UNIX socket, and so has no address."""

ANY = "*"
"""Stands for all addresses."""

ALLOWED = "an address such as 10.0.0.1, a network such as 10.0.0.0/8, or unix"
"""What a trusted proxy can be given as, in words."""

# An element's pairs of name and value (RFC 7239 section 4); what ends one is its last group.
_PAIR = re.compile(
    r"""[ \t]*(?:([\w!#$%&'*+.^`|~-]+)=([\w!#$%&'*+.^`|~-]+|"(?:[^"\\]|\\.)*")[ \t]*)?([;,]|$)""",
    re.ASCII,
)


class Addresses:
    """A set of addresses, given one by one or as networks."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """
        :param networks: addresses such as ``10.0.0.1``, networks such as ``10.0.0.0/8``,
            ``unix`` for UNIX sockets, or ``*`` for all.
        :raises ValueError: if one is none of these.
        """
        self._all = False
        self._unix = False
        self._networks: list[IPv4Network | IPv6Network] = []
        for network in networks:
            if network == ANY:
                self._all = True
            elif network == UNIX:
                self._unix = True
            else:
                self._networks.append(ip_network(network))

    def __contains__(self, address: str) -> bool:
        """Whether an address is among them.

        :param address: as :func:`plain` returns it.
        """
        if self._all:
            return True
        if address == UNIX:
            return self._unix
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


class TrustedProxies:
    """The proxies that are believed when they say whom they forward for. Nobody else is.

    Each proxy adds the address that it was connected to from to the end of ``X-Forwarded-For``
    or ``Forwarded`` (RFC 7239). What comes before that, anybody can have made up. So the list is
    read from its end, for as long as the addresses are those of trusted proxies.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """
        :param networks: addresses such as ``10.0.0.1``, networks such as ``10.0.0.0/8``, or
            ``unix`` for UNIX sockets.
        :raises ValueError: if one is none of these.
        """
        networks = tuple(networks)
        try:
            if ANY in networks:
                raise ValueError("not all addresses can be believed")
            self._addresses = Addresses(networks)
        except ValueError as error:
            raise ValueError(f"trusted proxy: {error}; must be {ALLOWED}") from None

    def trusts(self, address: str) -> bool:
        """Whether an address is that of a trusted proxy.

        :param address: as :func:`plain` returns it.
        """
        return address in self._addresses

    def client(self, peer: str, headers: Mapping[str, str]) -> str:
        """Whose request it is.

        :param peer: the address at the other end of the connection, or :data:`UNIX`.
        :param headers: of the request, by their names in lower case; those that came more than
            once joined by commas.
        :returns: the address of the first who is no trusted proxy, looked at from here; of the
            last one that is known, if there is no such.
        :raises RefusedError: if a trusted proxy forwards what cannot be understood.
        """
        if not self.trusts(peer):
            return peer
        found = {
            self._first_stranger(peer, nodes)
            for nodes in (_x_forwarded_for(headers), _forwarded(headers))
            if nodes is not None
        }
        if len(found) > 1:
            # One of them the proxy passes on as the client sent it, and it is not known which.
            raise RefusedError(400, "Forwarded and X-Forwarded-For say different things")
        return found.pop() if found else peer

    def _first_stranger(self, peer: str, nodes: list[str]) -> str:
        address = peer
        for node in reversed(nodes):
            forwarded_for = _node_address(node)
            if forwarded_for is None:  # "unknown", or a name that only the proxy understands
                break
            address = forwarded_for
            if not self.trusts(address):
                break
        return address


def forwarded_for(headers: Mapping[str, str]) -> list[str | None]:
    """All addresses that the headers ``X-Forwarded-For`` and ``Forwarded`` tell, by whomever.

    :param headers: of a request, by their names in lower case.
    :returns: the addresses; ``None`` for each that is none, such as ``unknown``.
    :raises RefusedError: if ``Forwarded`` cannot be understood.
    """
    told = (_x_forwarded_for(headers) or []) + (_forwarded(headers) or [])
    return [_node_address(node) for node in told]


def forwarded_hosts(headers: Mapping[str, str]) -> list[str]:
    """All hosts that the header ``Forwarded`` says were asked for, by whomever.

    :param headers: of a request, by their names in lower case.
    :raises RefusedError: if the header cannot be understood.
    """
    return [host for host in _parameters(headers.get("forwarded", ""), "host") if host is not None]


def listed_addresses(value: str) -> list[str | None]:
    """The addresses in a header that is a list of them, such as ``X-Real-IP``.

    :returns: the addresses; ``None`` for each that is none.
    """
    return [_node_address(node.strip()) for node in value.split(",")]


def is_loopback(address: str) -> bool:
    """Whether an address is that of the machine itself (RFC 6890).

    :param address: as :func:`plain` returns it.
    """
    try:
        return address == UNIX or ip_address(address).is_loopback
    except ValueError:
        return False


def address_of(peer: object) -> str:
    """The address at the other end of a connection, or :data:`UNIX`.

    :param peer: an address of Twisted's.
    """
    host: str | None = getattr(peer, "host", None)
    return UNIX if host is None else plain(host)


def plain(address: str) -> str:
    """An address as it is compared: IPv4 in its own form, where IPv6 carries it."""
    return _plain(ip_address(address)) if address.startswith("::ffff:") else address


def _plain(address: IPv4Address | IPv6Address) -> str:
    return str(getattr(address, "ipv4_mapped", None) or address)


def _node_address(node: str) -> str | None:
    # With or without a port, IPv6 in brackets where it has one (RFC 7239 section 6).
    if node.startswith("["):
        node = node[1:].partition("]")[0]
    elif node.count(":") == 1:
        node = node.partition(":")[0]
    try:
        return _plain(ip_address(node))
    except ValueError:
        return None


def _x_forwarded_for(headers: Mapping[str, str]) -> list[str] | None:
    value = headers.get("x-forwarded-for")
    return None if value is None else [node.strip() for node in value.split(",")]


def _forwarded(headers: Mapping[str, str]) -> list[str] | None:
    value = headers.get("forwarded")
    return None if value is None else [node or "" for node in _parameters(value, "for")]


def _parameters(value: str, wanted: str) -> Iterator[str | None]:
    # What each element of the header Forwarded has by a name; None if it has nothing.
    found, at = None, 0
    while True:
        pair = _PAIR.match(value, at)
        if pair is None:  # a quote that the client opened might hide what the proxy added
            raise RefusedError(400, "the header Forwarded cannot be understood")
        name, text, end = pair.groups()
        if name is not None and name.lower() == wanted:
            found = re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] == '"' else text
        if end != ";":
            yield found
            found = None
        if not end:
            return
        at = pair.end()
