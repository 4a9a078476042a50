"""Tokens: who somebody is and may do, signed by somebody else (JWT, RFC 7519).

An application that knows its users gives each of them a token, and the server needs nothing but
the key to believe it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
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
from orchestra.policy.grants import Capability, Grant
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

_OWN = ("same-origin", "none")
"""Where requests come from that no page of another origin has made."""

_REASONS: dict[type[PyJWTError], str] = {
    ExpiredSignatureError: "the token has expired",
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
    is allowed: a list of objects with ``channels``, ``allow`` and ``match``). All may be left
    out, ``aud`` and ``iss`` only if they are not asked for.
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

        :raises RefusedError: with 401, if it is not valid.
        """
        claims = self._verified(token)
        expires = claims.get("exp")
        allowed = capabilities(claims["caps"]) if "caps" in claims else None
        try:
            return Grant(
                claims.get("sub"),
                claims.get("info"),
                None if expires is None else int(expires) + LEEWAY,
                allowed,
            )
        except (ValueError, OverflowError):  # of what is signed, and still makes no sense
            raise RefusedError(401, _MALFORMED) from None

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

    What a client sends on purpose counts for more than a cookie, which its browser sends along.

    :param cookie: the name of a cookie that may have it.
    """
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
    if "origin" not in headers and headers.get("sec-fetch-site", "none") not in _OWN:
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
