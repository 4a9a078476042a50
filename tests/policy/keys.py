"""Keys, and tokens that are signed with them."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import get_default_algorithms

SECRET = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
"""A secret of 64 bytes."""

SHORT = SECRET[:32]
"""One of 32."""


class Pair(NamedTuple):
    """A private key with its public one."""

    private: Any
    pem: bytes
    """The public key."""

    def jwk(self, algorithm: str, **members: Any) -> dict[str, Any]:
        """The public key as a JWK."""
        kind: Any = get_default_algorithms()[algorithm]
        found = kind.to_jwk(self.private.public_key(), as_dict=True)
        return {name: value for name, value in found.items() if name != "key_ops"} | members

    @property
    def private_pem(self) -> bytes:
        pem: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem


def pair(kind: str, number: int = 0) -> Pair:
    """A pair of keys, the same each time.

    :param kind: such as ``RSA2048``, ``P-256`` or ``Ed25519``.
    """
    return _pair(kind, number)


@cache
def _pair(kind: str, number: int) -> Pair:
    curves: dict[str, Any] = {
        "P-256": ec.SECP256R1(),
        "P-384": ec.SECP384R1(),
        "P-521": ec.SECP521R1(),
        "secp256k1": ec.SECP256K1(),
    }
    private: Any
    if kind in curves:
        private = ec.generate_private_key(curves[kind])
    elif kind == "Ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
    elif kind == "Ed448":
        private = ed448.Ed448PrivateKey.generate()
    else:
        private = rsa.generate_private_key(65537, int(kind.removeprefix("RSA")))
    public = private.public_key()
    return Pair(private, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def oct_jwk(secret: bytes = SECRET, **members: Any) -> dict[str, Any]:
    """A secret as a JWK."""
    kind: Any = get_default_algorithms()["HS256"]
    return {**kind.to_jwk(secret, as_dict=True), **members}


def jwks(*keys: Any) -> bytes:
    """A JWK set."""
    return json.dumps({"keys": keys}).encode()


def token(
    key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, /, **claims: Any
) -> str:
    """A token that is signed."""
    headers = None if kid is None else {"kid": kid}
    return jwt.encode(claims, key, algorithm, headers)


def segment(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(text).rstrip(b"=").decode()


def hand_made(header: Any, claims: Any, secret: bytes = SECRET, digest: str = "sha256") -> str:
    """A token that no library would make."""
    signed = f"{segment(header)}.{segment(claims)}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), digest))}"


def now() -> int:
    """The time of day by which the library goes."""
    return int(time.time())
