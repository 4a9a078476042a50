"""Who is let in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestra.policy.addresses import UNIX, TrustedProxies
from orchestra.policy.limits import ConnectionsPerAddress
from orchestra.policy.origins import SAME, Origins


class Admission:
    """Decides by a request's head and its address whether a connection is let in."""

    def __init__(
        self,
        origins: Iterable[str] = (SAME,),
        trusted_proxies: Iterable[str] = (),
        max_connections_per_address: int = 0,
    ) -> None:
        """
        :param origins: see :class:`orchestra.policy.origins.Origins`.
        :param trusted_proxies: see :class:`orchestra.policy.addresses.TrustedProxies`.
        :param max_connections_per_address: 0 for any number.
        :raises ValueError: if an origin or a proxy is none.
        """
        self.origins = Origins(origins)
        self.proxies = TrustedProxies(trusted_proxies)
        self._per_address = ConnectionsPerAddress(max_connections_per_address)

    def address(self, peer: str, headers: Mapping[str, str]) -> str:
        """Whose request it is.

        :param peer: the address at the other end of the connection.
        :param headers: by their names in lower case.
        :raises RefusedError: if a trusted proxy forwards what cannot be understood.
        """
        return self.proxies.client(peer, headers)

    def check(self, headers: Mapping[str, str]) -> None:
        """Make sure that a request may come in, whoever else is there.

        :raises RefusedError: if it may not.
        """
        self.origins.check(headers.get("origin"), headers.get("host", ""))

    def enter(self, address: str) -> bool:
        """Take an address's place for a connection.

        :returns: whether it is to be given back by :meth:`leave`. Proxies are not counted, and
            whoever connects through a UNIX socket has no address.
        :raises RefusedError: if the address has no more places.
        """
        if not self._per_address.limit or not self.counts(address):
            return False
        self._per_address.enter(address)
        return True

    def counts(self, address: str) -> bool:
        """Whether what an address does is held against it: not if it stands for others."""
        return address != UNIX and not self.proxies.trusts(address)

    def leave(self, address: str) -> None:
        """Give a place back."""
        self._per_address.leave(address)
