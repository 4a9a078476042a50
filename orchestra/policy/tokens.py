"""Tokens: who somebody is and may do, signed by somebody else (JWT, RFC 7519).

An application that knows its users gives each of them a token, and the server needs nothing but
the key to believe it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from time import time
from typing import Any, Protocol

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    InvalidSubjectError,
    MissingRequiredClaimError,
    PyJWTError,
)
from zope.interface import implementer

from orchestra.interfaces import IPolicy
from orchestra.policy.access import AccessRequest, Policy
from orchestra.policy.grants import (
    EXPIRED,
    SUBSCRIBE,
    Capability,
    Grant,
    ServerSubscription,
)
from orchestra.policy.origins import is_of_own_site
from orchestra.policy.token_keys import TokenKey, describe
from orchestra.refusal import RefusedError

SUBPROTOCOL = "bearer"
"""What a page asks for as its first subprotocol, and its token as the second: it can set no
header for a WebSocket."""

QUERY = "token"
"""The part of a URL's query that may have a token."""

LEEWAY = 5.0
"""How many seconds the clocks of those who sign tokens may be wrong."""

LONGEST = 8192
"""How many characters of a token are read. It takes time to do so, whoever has sent it."""

MAX_TRIES = 4
"""How many keys are tried, if a token does not tell which it is. That takes time, too."""

_MALFORMED = "the token is malformed"

# How a claim looks that is not there: some libraries write all that there could be.
_NONE = (None, "")

_REASONS: dict[type[PyJWTError], str] = {
    ImmatureSignatureError: "the token is not valid yet",
    InvalidAudienceError: "the token is for another audience",
    InvalidIssuerError: "the token is from another issuer",
    InvalidSubjectError: "the token's sub is not a string",
    MissingRequiredClaimError: "the token does not say who it is from, or for",
}


class Keys(Protocol):
    """Where the keys come from."""

    @property
    def keys(self) -> tuple[TokenKey, ...]:
        """What may have signed a token."""


@implementer(IPolicy)
class TokenPolicy(Policy):
    """Lets in who has a valid token, and allows what that says.

    A token has the claims ``sub`` (whose it is), ``exp``, ``nbf``, ``iat``, ``aud`` and ``iss``
    (RFC 7519 section 4.1), ``info`` (what else others are told of its owner) and ``caps`` (what
    is allowed: a list of objects with ``channels``, ``allow`` and ``match``), ``channels`` or
    ``subs`` (which channels its owner gets without asking) and ``expire_at`` (until when what it
    allows holds, if that is not ``exp``). All may be left out, ``aud`` and ``iss`` only if they
    are not asked for.

    One that has a ``channel`` is for listening there, on the connection of somebody who is in
    already, and for nothing else.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        audience: str | None = None,
        issuer: str | None = None,
        cookie: str | None = None,
    ) -> None:
        """
        :param keys: what may have signed a token.
        :param audience: what must be among the token's ``aud``. Without it, a token that has an
            audience is for somebody else.
        :param issuer: what the token's ``iss`` must be.
        :param cookie: the name of a cookie that may have the token.
        """
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._cookie = cookie
        self.takes_cookies = cookie is not None

    def __str__(self) -> str:
        """What is needed, in words."""
        wanted = {"audience": self._audience, "issuer": self._issuer, "cookie": self._cookie}
        words = [f"{name} {value}" for name, value in wanted.items() if value is not None]
        return ", ".join([f"tokens: {describe(self._keys.keys)}", *words])

    def connect(self, request: AccessRequest) -> Grant:
        """Who it is, and what that allows.

        :raises RefusedError: with 401, if there is no token, or none that is valid.
        """
        token = find_token(request, self._cookie)
        if token is None:
            raise RefusedError(401, "a token is needed")
        return self.grant(token)

    def grant(self, token: str) -> Grant:
        """What a token allows.

        :raises RefusedError: with 401, if it is not valid, or is for a single channel.
        """
        claims = self._verified(token)
        if claims.get("channel") not in _NONE:
            raise RefusedError(401, "the token is for a subscription, as it has a channel")
        return _granted(
            claims,
            identity=claims.get("sub"),
            info=claims.get("info"),
            capabilities=capabilities(claims["caps"]) if "caps" in claims else None,
            subscriptions=subscriptions(claims),
        )

    def subscription(self, grant: Grant, channel: str, token: str) -> Grant:
        """What a token for a single channel allows there.

        :param grant: of the connection that it is sent on.
        :returns: to listen in that channel, by whoever has the connection. Its only subscription
            says what else the token has for it.
        :raises RefusedError: with 401, if it is not valid, or for no channel; with 403, if it is
            for another one, or for somebody else.
        """
        claims = self._verified(token)
        if claims.get("channel") in _NONE:
            raise RefusedError(401, "the token is not for a subscription, as it has no channel")
        if claims["channel"] != channel:
            raise RefusedError(403, "the token is for another channel")
        if (claims.get("sub") or "") != (grant.identity or ""):
            raise RefusedError(403, "the token is for somebody else")
        if claims.get("client") not in _NONE:  # which is not known here, so nobody is that one
            raise RefusedError(403, "the token is for a single connection (client)")
        try:
            subscription = _server_subscription(channel, claims)
        except ValueError:
            raise RefusedError(401, _MALFORMED) from None
        return _granted(
            claims,
            identity=grant.identity,
            info=grant.info,
            capabilities=(Capability((channel,), frozenset({SUBSCRIBE})),),
            subscriptions=(subscription,),
        )

    def _verified(self, token: str) -> dict[str, Any]:
        reason = _MALFORMED
        if len(token) > LONGEST:
            raise RefusedError(401, f"the token must be {LONGEST} characters or less")
        try:
            for key in self._candidates(jwt.get_unverified_header(token)):
                reason = "the token's signature is wrong"  # unless another key fits
                with suppress(InvalidSignatureError):
                    return jwt.decode(
                        token,
                        key.key,
                        key.algorithms,
                        audience=self._audience,
                        issuer=self._issuer,
                        leeway=LEEWAY,
                    )
        except ExpiredSignatureError:
            raise RefusedError(401, EXPIRED, kind="expired") from None
        except PyJWTError as error:
            reason = _REASONS.get(type(error), _MALFORMED)
        except (ValueError, TypeError, OverflowError, RecursionError):  # of what is in it
            reason = _MALFORMED
        raise RefusedError(401, reason)

    def _candidates(self, header: Mapping[str, Any]) -> list[TokenKey]:
        # What may have signed a token, by what it says itself.
        key_id = header.get("kid")
        known = [key for key in self._keys.keys if key_id is None or key.key_id in (None, key_id)]
        if not known:
            raise RefusedError(401, "the token's key is not known")
        fitting = [key for key in known if header.get("alg") in key.algorithms]
        if not fitting:
            raise RefusedError(401, "the token's algorithm is not allowed with this key")
        if len(fitting) > MAX_TRIES:
            raise RefusedError(401, "the token does not tell its key, and there are many (kid)")
        return fitting


def find_token(request: AccessRequest, cookie: str | None = None) -> str | None:
    """The token of a request; ``None`` if it has none.

    What a client sends on purpose counts for more than a cookie, which its browser sends along,
    and what it sends last, once it is connected, for more than what its request had.

    :param cookie: the name of a cookie that may have it.
    """
    if request.token:
        return request.token
    headers = request.headers
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    protocols = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    if protocols[0] == SUBPROTOCOL and len(protocols) > 1:
        return protocols[1]
    token_in_url = request.query(QUERY)
    if token_in_url is not None:
        return token_in_url
    return None if cookie is None else _in_cookie(headers, cookie)


def _in_cookie(headers: Mapping[str, str], cookie: str) -> str | None:
    # A page's requests have its origin, which was checked, but for those whose answers it cannot
    # read. These count for nothing if the page is of another origin (Fetch Metadata).
    if "origin" not in headers and not is_of_own_site(headers):
        return None
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == cookie:
            return value
    return None


def capabilities(caps: Any) -> tuple[Capability, ...]:
    """What the claim ``caps`` of a token allows.

    It is a list of objects with ``channels`` (names), ``allow`` (some of ``sub``, ``pub``, ``prs``
    and ``hst``) and ``match``: ``exact``, unless it is ``wildcard``. Of those that match a channel
    the first counts, as in Centrifugo.

    :raises RefusedError: with 401, if it is anything else.
    """
    try:
        return tuple(_capability(**cap) for cap in caps)
    except (TypeError, ValueError):
        raise RefusedError(401, "the token's caps are malformed") from None


def _capability(channels: Any, allow: Any, match: Any = "exact") -> Capability:
    if not (_are_strings(channels) and _are_strings(allow) and match in ("", "exact", "wildcard")):
        raise ValueError
    return Capability(tuple(channels), frozenset(allow), wildcard=match == "wildcard")


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def subscriptions(claims: Mapping[str, Any]) -> tuple[ServerSubscription, ...]:
    """The channels that a token's owner gets without asking, as in Centrifugo.

    ``channels`` is a list of names, and counts if there are no ``subs``. That is an object with
    what is said of each channel, by its name: ``data``, and ``override``, of which
    ``force_recovery`` and ``force_push_join_leave`` are read, objects whose ``value`` is true or
    false. See :class:`ServerSubscription`.

    :raises RefusedError: with 401, if they are anything else.
    """
    names, subs = claims.get("channels"), claims.get("subs")
    try:
        if not (names is None or _are_strings(names)):
            raise ValueError
        named = tuple(ServerSubscription(name) for name in dict.fromkeys(names or ()))
    except ValueError:
        raise RefusedError(401, "the token's channels are malformed") from None
    try:
        described = [_server_subscription(name, of) for name, of in _members(subs).items()]
    except ValueError:
        raise RefusedError(401, "the token's subs are malformed") from None
    return tuple(described) or named


def _server_subscription(channel: str, options: Any) -> ServerSubscription:
    options = _members(options)
    override = _members(options.get("override"))
    return ServerSubscription(
        channel,
        options.get("data"),
        recoverable=_overridden(override.get("force_recovery"), usual=True),
        join_leave=_overridden(override.get("force_push_join_leave"), usual=False),
    )


def _overridden(override: Any, *, usual: bool) -> bool:
    if override is None:
        return usual
    value = _members(override).get("value", False)  # Go leaves out what is false
    if not isinstance(value, bool):
        raise ValueError
    return value


def _members(value: Any) -> Mapping[str, Any]:
    if not (value is None or isinstance(value, dict)):
        raise ValueError
    return value or {}


def _granted(claims: Mapping[str, Any], **granted: Any) -> Grant:
    try:
        grant = Grant(expires=_expiry(claims), **granted)
    except (ValueError, OverflowError):  # of what is signed, and still makes no sense
        raise RefusedError(401, _MALFORMED) from None
    grant.check_time(time)  # by the clock that the library asks about exp
    return grant


def _expiry(claims: Mapping[str, Any]) -> float | None:
    # Until when what a token allows holds. As in Centrifugo, expire_at counts in place of exp,
    # until which the token itself can be used, and 0 is for good.
    expires = claims.get("expire_at")
    if expires is None:
        expires = claims.get("exp")
        return None if expires is None else int(expires) + LEEWAY
    if isinstance(expires, bool) or not isinstance(expires, (int, float)):
        raise ValueError
    return None if expires == 0 else int(expires) + LEEWAY
