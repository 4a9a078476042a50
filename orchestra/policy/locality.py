"""Whether a request was made on this machine, as far as that can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestra.policy.addresses import TrustedProxies, forwarded_for, is_loopback

FORWARDING = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)
"""The headers that proxies add."""

_HOST = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\])\.?(?::\d{1,5})?", re.ASCII)


def is_local(peer: str, headers: Mapping[str, str], proxies: TrustedProxies) -> bool:
    """Whether a request comes from this machine, and was meant for it.

    It does if it came by loopback or a UNIX socket, and no header tells of a proxy, which might
    pass on what comes from elsewhere. One that is trusted may: then every address that it tells,
    and there must be one, has to be of this machine as well. The request's ``Host`` must be a name
    of loopback: the page of a site whose name was made to lead here (DNS rebinding) sends its own.

    A proxy on this machine that adds no header of these, and replaces ``Host``, cannot be told
    from a client.

    :param peer: the address at the other end of the connection, as
        :func:`orchestra.policy.addresses.address_of` returns it.
    :param headers: of the request, by their names in lower case; those that came more than once
        joined by commas.
    :raises RefusedError: if ``Forwarded`` cannot be understood.
    """
    if not is_loopback(peer) or not _HOST.fullmatch(headers.get("host", "").lower()):
        return False
    if not any(name in headers for name in FORWARDING):
        return True
    if not proxies.trusts(peer):
        return False
    told = forwarded_for(headers)
    return bool(told) and all(address is not None and is_loopback(address) for address in told)
