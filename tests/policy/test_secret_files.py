"""Files with secrets: who else can read them, and what is no secret."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from orchestra import ApiKeys, KeyFile, TokenPolicy
from orchestra.policy.access import AccessRequest
from orchestra.policy.token_keys import read_key
from orchestra.policy.tokens import find_token
from tests.events import captured, lines, named

SECRET = "0123456789abcdef0123456789abcdef"
PRIVATE = ed25519.Ed25519PrivateKey.generate()
PUBLIC = PRIVATE.public_key()
JWKS = json.dumps({"keys": [{"kty": "oct", "k": base64.b64encode(SECRET.encode()).decode()}]})


FORM = r"has a key in a form that is not read \(a JWK set is for a token-jwks-file\); "


def certificate() -> bytes:
    """One that is signed by its own key, as DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "orchestra.example")])
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(name, name, PUBLIC, 1, now, now)
    return builder.sign(PRIVATE, None).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (certificate(), FORM),
        *(
            (
                key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
                FORM,
            )
            for key in (
                PUBLIC,
                ec.generate_private_key(ec.SECP256R1()).public_key(),
                rsa.generate_private_key(65537, 2048).public_key(),
            )
        ),
        (
            PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
            FORM,
        ),
        (JWKS.encode(), FORM),
        (
            PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "has a private key, which is to stay elsewhere; ",
        ),
    ],
    ids=["certificate", "Ed25519", "P-256", "RSA", "SSH", "JWK set", "private key"],
)
def test_a_key_of_another_form_is_no_secret(data: bytes, reason: str) -> None:
    """Whoever knows a public key could sign tokens otherwise; the reason says what it is."""
    with pytest.raises(ValueError, match="^" + reason):
        read_key(data)


def test_a_key_that_ends_like_a_line() -> None:
    """It is none without its last byte, and still no secret."""
    keys = (ed25519.Ed25519PrivateKey.generate().public_key() for _ in count())
    encoded = (key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in keys)
    data = next(data for data in encoded if data.endswith(b"\n"))
    with pytest.raises(ValueError, match="^" + FORM):
        read_key(data)


@pytest.mark.parametrize("data", [b"{" + 40 * b"x", bytes(range(40)), b"1" * 40, b"ab" * 20])
def test_a_secret_may_look_like_anything_else(data: bytes) -> None:
    """What only begins like a key, or is a number, is as good as any."""
    assert read_key(data).key == data


@pytest.mark.parametrize(
    ("text", "load"),
    [
        (SECRET, KeyFile),
        (JWKS, lambda path: KeyFile(path, is_set=True)),
        (SECRET, lambda path: ApiKeys(path=path)),
    ],
    ids=["secret", "JWK set", "API keys"],
)
def test_a_secret_that_everybody_can_read(
    tmp_path: Path, text: str, load: Callable[[str], KeyFile | ApiKeys]
) -> None:
    """It is used, and the log warns of it, each time that the file is read."""
    path = tmp_path / "secrets"
    path.write_text(text)
    path.chmod(0o644)
    with captured() as events:
        loaded = load(str(path))
        path.chmod(0o640)
        loaded.reload()
        assert len(events) == 1
        path.chmod(0o604)
        loaded.reload()
    assert named(events, "exposed") == 2 * [{"event": "exposed", "path": str(path)}]
    assert lines(events)[0] == (
        f"{path}: has secrets, and every user of this machine can read it; "
        "should be readable by the server's user alone (chmod 400)"
    )


def test_a_public_key_may_be_read_by_everybody(tmp_path: Path) -> None:
    """There is nothing to warn of."""
    path = tmp_path / "public.pem"
    path.write_bytes(PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    path.chmod(0o644)
    with captured() as events:
        KeyFile(str(path))
    assert events == []


def test_a_policy_says_what_it_wants(tmp_path: Path) -> None:
    """In words for the log, and without the key."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(0o400)
    keys = KeyFile(str(path))
    assert str(TokenPolicy(keys)) == "tokens: 1 key (HS256)"
    policy = TokenPolicy(keys, audience="band", issuer="school", cookie="session")
    wanted = "tokens: 1 key (HS256), audience band, issuer school, cookie session"
    assert str(policy) == wanted


@pytest.mark.parametrize(
    ("site", "counts"),
    [
        ({}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://example.com"}, True),
    ],
)
def test_whose_cookies_count(site: dict[str, str], counts: bool) -> None:
    """Not those of a page of another origin that does not say which, be it of the same site."""
    headers = {"cookie": "a=b; session=ab.cd.ef", **site}
    request = AccessRequest("GET", "strings", "127.0.0.1", "/strings", headers)
    assert find_token(request, "session") == ("ab.cd.ef" if counts else None)
