"""Whether a request was made on this machine, as far as that can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestra.policy.addresses import (
    TrustedProxies,
    forwarded_for,
    forwarded_hosts,
    is_loopback,
    listed_addresses,
)

ADDRESSES = ("x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
"""The headers that tell a client's address beside ``X-Forwarded-For`` and ``Forwarded``."""

HOSTS = ("x-forwarded-host", "x-original-host")
"""The headers that tell what host a client has asked for, beside ``Forwarded``."""

FORWARDING = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    *ADDRESSES,
    *HOSTS,
)
"""The headers that proxies add."""

_HOST = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\])\.?(?::\d{1,5})?", re.ASCII)


def is_local(peer: str, headers: Mapping[str, str], proxies: TrustedProxies) -> bool:
    """Whether a request comes from this machine, and was meant for it.

    It does if it came by loopback or a UNIX socket, and no header tells of a proxy, which might
    pass on what comes from elsewhere. One that is trusted may: then every address that is told, by
    whichever header, has to be of this machine as well, and ``X-Forwarded-For`` or ``Forwarded``
    must tell one. The request's ``Host``, and every other host that is told, must be a name of
    loopback: the page of a site whose name was made to lead here (DNS rebinding) sends its own.

    What has ``Via`` is not local, whoever is trusted: nothing tells whether it is the trusted
    proxy's own, or that of one before it which keeps to itself whom it forwards for.

    A proxy on this machine that adds no header of these, and replaces ``Host``, cannot be told
    from a client.

    :param peer: the address at the other end of the connection, as
        :func:`orchestra.policy.addresses.address_of` returns it.
    :param headers: of the request, by their names in lower case; those that came more than once
        joined by commas.
    :raises RefusedError: if ``Forwarded`` cannot be understood.
    """
    if not is_loopback(peer) or not _is_here(headers.get("host", "")):
        return False
    if not any(name in headers for name in FORWARDING):
        return True
    if not proxies.trusts(peer) or "via" in headers:
        return False
    told = forwarded_for(headers)
    if not told:
        return False
    hosts = forwarded_hosts(headers)
    for name in ADDRESSES:
        told += listed_addresses(headers[name]) if name in headers else []
    for name in HOSTS:
        hosts += headers[name].split(",") if name in headers else []
    return all(address is not None and is_loopback(address) for address in told) and all(
        _is_here(host.strip()) for host in hosts
    )


def _is_here(host: str) -> bool:
    return _HOST.fullmatch(host.lower()) is not None
