"""Tokens and keys, for tests that give them to the real server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET = "5f0c5a3b8de14f7cb1f2d1a1b5a6c7e8"
API_KEY = "9d2b6e0f-conductor"

PRIVATE: dict[str, Any] = {
    "HS256": SECRET,
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
"""A key for each algorithm, with which tokens are signed."""


def token(
    key: Any = SECRET, algorithm: str = "HS256", key_id: str | None = None, **claims: Any
) -> str:
    """A token with some claims, and the claim ``sub`` unless they have one."""
    headers = None if key_id is None else {"kid": key_id}
    return jwt.encode({"sub": "oboe", **claims}, key, algorithm, headers)


def allowing(*allow: str, channels: tuple[str, ...] = ("*",), **claims: Any) -> str:
    """A token that allows only some things, in some channels or in all."""
    cap = {"channels": channels, "match": "wildcard", "allow": allow}
    return token(caps=[cap], **claims)


def public(algorithm: str) -> bytes:
    """What the server is given of a key: the secret, or the public key as PEM."""
    key = PRIVATE[algorithm]
    if isinstance(key, str):
        return key.encode()
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def signed_by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """A token that no library would make: with HMAC-SHA-256, whatever the secret is."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims)
    ]
    digest = hmac.digest(secret, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(digest).rstrip(b"=")]).decode()


def key_file(folder: Path, content: str | bytes = SECRET) -> str:
    """The path of a file that only its owner can read."""
    path = folder / "key"
    path.touch(0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def api_key_file(folder: Path) -> str:
    """The path of a file with an API key."""
    path = folder / "api-keys"
    path.touch(0o600)
    path.write_text(f"# of the conductor\n{API_KEY}\n")
    return str(path)
