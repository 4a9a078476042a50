"""The keys that tokens are signed with, from files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError, PyJWTError

from orchestra.policy.secret_files import naming, warn_if_exposed

# RFC 7518 sections 3.2 and 3.3: at least as many bits as the hash has, and 2048 for RSA. Of those
# beyond the longest, a token costs a millisecond.
_SECRETS: dict[str, int] = {"HS256": 32, "HS384": 48, "HS512": 64}
_SHORTEST_RSA = 2048
_LONGEST_RSA = 8192
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

KEY_ALLOWED = (
    f"a file with a secret of {_SECRETS['HS256']} bytes or more, or with a public key (PEM): RSA "
    f"of {_SHORTEST_RSA} to {_LONGEST_RSA} bits, ECDSA (P-256, P-384, P-521) or EdDSA"
)
"""What a file with a key must be, in words."""

JWKS_ALLOWED = "a JSON file with the public keys or secrets of a JWK set (RFC 7517)"
"""What a file with a set of keys must be, in words."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key, and what may be signed with it."""

    key: Any
    """A secret, or a public key of the package ``cryptography``."""

    algorithms: Sequence[str]
    """The only ones that are taken for it. Those for secrets are never taken for a public key,
    which everybody may know (RFC 8725 section 3.1)."""

    key_id: str | None = None
    """Its name, which a token may tell."""

    def __repr__(self) -> str:
        """Without the key."""
        return f"TokenKey({', '.join(self.algorithms)}, key_id={self.key_id!r})"


class _PrivateKeyError(ValueError):
    pass


def read_key(data: bytes) -> TokenKey:
    """Read a secret or a public key.

    :param data: PEM (RFC 7468), or a secret, of which an end of line does not count.
    :raises ValueError: if it is neither, or too short.
    """
    key: Any = data.rstrip(b"\r\n")
    if b"PRIVATE KEY-----" in data:
        raise ValueError(f"has a private key, which is to stay elsewhere; must be {KEY_ALLOWED}")
    if b"-----BEGIN" in data:
        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm):
            key = None
    elif key and _is_key_of_another_kind(data):  # with its end, which may be a part of DER
        raise ValueError(
            "has a key in a form that is not read (a JWK set is for a token-jwks-file); "
            f"must be {KEY_ALLOWED}"
        )
    algorithms = _algorithms(key)
    if not algorithms:
        raise ValueError(f"has no such key; must be {KEY_ALLOWED}")
    return TokenKey(key, algorithms)


def read_jwks(data: bytes) -> tuple[TokenKey, ...]:
    """Read a JWK set (RFC 7517 section 5).

    Those that are for something else than signatures, or of a kind that is not known, are ignored.

    :raises ValueError: if it is none, or none of its keys can be used.
    """
    try:
        keys = [_from_jwk(jwk) for jwk in json.loads(data)["keys"] if _is_for_signatures(jwk)]
    except _PrivateKeyError:
        raise ValueError(f"has a private key; must be {JWKS_ALLOWED}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f"is no JWK set; must be {JWKS_ALLOWED}") from None
    usable = tuple(key for key in keys if key is not None)
    if not usable:
        raise ValueError(f"has no key that can be used; must be {JWKS_ALLOWED}")
    return usable


class KeyFile:
    """The keys of a file, which can be read again when they have changed."""

    def __init__(self, path: str, *, is_set: bool = False) -> None:
        """
        :param path: of a file with a secret or a public key.
        :param is_set: whether it has a JWK set instead.
        :raises ValueError: if it has no key that can be used.
        :raises OSError: if it cannot be read.
        """
        self._path = path
        self._is_set = is_set
        self.keys = self._read()
        """What may have signed a token."""

    def reload(self) -> str:
        """Read the file again. If it cannot be used, the keys stay what they were.

        :returns: a line for the log.
        :raises ValueError: if it cannot be read, or has no key that can be used.
        """
        with naming(self._path):
            self.keys = self._read()
        return f"Reloaded {self._path}: {describe(self.keys)}."

    def _read(self) -> tuple[TokenKey, ...]:
        data = Path(self._path).read_bytes()
        keys = read_jwks(data) if self._is_set else (read_key(data),)
        if any(isinstance(key.key, bytes) for key in keys):
            warn_if_exposed(self._path)
        return keys


def describe(keys: Sequence[TokenKey]) -> str:
    """Some keys in words, which tell nothing secret."""
    algorithms = ", ".join(sorted({name for key in keys for name in key.algorithms}))
    return f"{len(keys)} key{'' if len(keys) == 1 else 's'} ({algorithms})"


def _algorithms(key: Any) -> tuple[str, ...]:
    # Those that may be used with a key; none if it is not good enough for any.
    if isinstance(key, bytes):
        if _is_key_of_another_kind(key):
            return ()
        return tuple(name for name, size in _SECRETS.items() if len(key) >= size)
    if isinstance(key, RSAPublicKey):
        return _RSA if _SHORTEST_RSA <= key.key_size <= _LONGEST_RSA else ()
    if isinstance(key, EllipticCurvePublicKey):
        return tuple(name for curve, name in _CURVES.items() if curve == key.curve.name)
    return ("EdDSA",) if isinstance(key, (Ed25519PublicKey, Ed448PublicKey)) else ()


def _is_key_of_another_kind(secret: bytes) -> bool:
    # A public key (SSH, DER, a JWK set) that was given as a secret is one that everybody knows.
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        return True
    return False


def _from_jwk(jwk: Mapping[str, Any]) -> TokenKey | None:
    # None for what is not understood, which is to be ignored.
    if "d" in jwk:
        raise _PrivateKeyError
    try:
        key = PyJWK(dict(jwk), "EdDSA" if jwk.get("kty") == "OKP" else None).key
    except (PyJWTError, UnsupportedAlgorithm, NotImplementedError):
        return None
    algorithms = _algorithms(key)
    if "alg" in jwk:
        algorithms = tuple(name for name in algorithms if name == jwk["alg"])
    return TokenKey(key, algorithms, jwk.get("kid")) if algorithms else None


def _is_for_signatures(jwk: Mapping[str, Any]) -> bool:
    return jwk.get("use", "sig") == "sig" and "verify" in jwk.get("key_ops", ["verify"])
