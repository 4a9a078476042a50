"""Who may be told of everything that goes on, in whichever channel."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from orchestra.policy.access import Access, AccessRequest
from orchestra.policy.addresses import TrustedProxies
from orchestra.policy.api_keys import NO_KEY, find_key
from orchestra.policy.locality import is_local
from orchestra.refusal import RefusedError

ONLY_HERE = (
    "the podium is only for this machine: open it by http://localhost there, and through no "
    "proxy; for others the server needs API keys (--api-key-file) or tokens (--token-key-file)"
)
"""What somebody elsewhere is told, where nobody can prove who they are."""

NOT_ALL = (
    "the podium takes an API key, or a token that allows everything: one without caps, where the "
    "application has no rules of its own for each channel"
)
"""What somebody is told who may do some things only."""


async def check_overview(
    access: Access,
    proxies: TrustedProxies,
    clock: Callable[[], float],
    request: AccessRequest,
    peer: str,
) -> None:
    """Make sure that whoever asks may see what all channels are called.

    That is whoever has an API key, or a grant that allows everything; where there is neither a
    key nor a policy, who is on this machine.

    :param clock: seconds of Unix time.
    :param peer: the address at the other end of the connection.
    :raises RefusedError: if not.
    """
    key = None if access.api_keys is None else find_key(request.headers)
    if access.api_keys is not None and key is not None:
        access.api_keys.check(key)
    elif access.policy is not None:
        answer = access.connect(request)
        grant = await answer if isinstance(answer, Deferred) else answer
        grant.check_time(clock)
        # Where the policy is asked for each channel as well, a grant does not say all.
        if grant.capabilities is not None or access.policy.subscribe is not None:
            raise RefusedError(403, NOT_ALL)
    elif access.api_keys is not None:
        raise RefusedError(401, NO_KEY)
    elif not is_local(peer, request.headers, proxies):
        raise RefusedError(403, ONLY_HERE)
