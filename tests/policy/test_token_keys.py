"""The keys of tokens: what is taken for one, and for which algorithms."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from orchestra.policy.token_keys import (
    JWKS_ALLOWED,
    KEY_ALLOWED,
    KeyFile,
    TokenKey,
    describe,
    read_jwks,
    read_key,
)
from tests.policy.keys import SECRET, jwks, oct_jwk, pair

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


def refused(data: bytes) -> str:
    """Why a file is no key."""
    with pytest.raises(ValueError, match="must be") as caught:
        read_key(data)
    return str(caught.value)


def refused_set(data: bytes) -> str:
    """Why a file is no set."""
    with pytest.raises(ValueError, match="must be") as caught:
        read_jwks(data)
    return str(caught.value)


# One key.


@pytest.mark.parametrize(
    ("size", "algorithms"),
    [
        (32, ("HS256",)),
        (47, ("HS256",)),
        (48, ("HS256", "HS384")),
        (63, ("HS256", "HS384")),
        (64, ("HS256", "HS384", "HS512")),
        (1000, ("HS256", "HS384", "HS512")),
    ],
)
def test_a_secret_is_for_hashes_that_are_no_longer(size: int, algorithms: Any) -> None:
    """RFC 7518 section 3.2: a key has as many bits as the hash, or more."""
    assert read_key(b"s" * size) == TokenKey(b"s" * size, algorithms)


@pytest.mark.parametrize("data", [b"", b"\n", b"s" * 31, b"s" * 31 + b"\r\n\n"])
def test_a_short_secret_is_none(data: bytes) -> None:
    """The line says how long it has to be; the end of a line does not count."""
    assert refused(data) == f"has no such key; must be {KEY_ALLOWED}"
    assert "32 bytes or more" in KEY_ALLOWED


def test_the_end_of_the_line_does_not_count() -> None:
    """An editor puts one there, and echo; what else is there is a part of the secret."""
    for end in (b"", b"\n", b"\r\n"):
        assert read_key(SECRET + end).key == SECRET
    assert read_key(b" \t" + SECRET + b" ").key == b" \t" + SECRET + b" "
    assert read_key(b"\xff\x00" * 32).key == b"\xff\x00" * 32


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("RSA2048", RSA),
        ("RSA3072", RSA),
        ("P-256", ("ES256",)),
        ("P-384", ("ES384",)),
        ("P-521", ("ES512",)),
        ("Ed25519", ("EdDSA",)),
        ("Ed448", ("EdDSA",)),
    ],
)
def test_a_public_key_is_for_the_algorithms_of_its_kind(kind: str, algorithms: Any) -> None:
    """And never for those of secrets, which it is not (RFC 8725 section 3.1)."""
    key = read_key(pair(kind).pem)
    assert key.algorithms == algorithms
    assert key.key == pair(kind).private.public_key()
    assert key.key_id is None
    assert read_key(b"# of the conductor\n" + pair(kind).pem).algorithms == algorithms


def rsa_of(bits: int) -> bytes:
    """An RSA key that nobody has signed with."""
    key = RSAPublicNumbers(65537, (1 << (bits - 1)) + 1).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_the_bounds_of_rsa() -> None:
    """Shorter keys are broken, and longer ones take so long that a crowd could be held up."""
    for bits in (1024, 2047, 8193, 16384):
        assert refused(rsa_of(bits)) == f"has no such key; must be {KEY_ALLOWED}"
    for bits in (2048, 8192):
        assert read_key(rsa_of(bits)).algorithms == RSA
    assert "RSA of 2048 to 8192 bits" in KEY_ALLOWED


def test_what_is_pem_is_no_secret() -> None:
    """Neither a curve that is not known, nor what is broken."""
    for data in (
        pair("secp256k1").pem,
        pair("P-256").pem[:60],
        pair("P-256").pem.replace(b"PUBLIC KEY", b"CERTIFICATE"),
        b"-----BEGIN" + SECRET,
        SECRET + b"-----BEGIN PUBLIC KEY-----",
    ):
        assert refused(data) == f"has no such key; must be {KEY_ALLOWED}"


def test_no_public_key_is_taken_for_a_secret() -> None:
    """Everybody may know it, in whatever form it is, and could sign tokens with it."""
    key = pair("RSA2048").private.public_key()
    for data in (
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        jwks(pair("RSA2048").jwk("RS256")),
        json.dumps(oct_jwk(SECRET)).encode(),
    ):
        assert len(data) > 64
        assert refused(data).startswith("has a key in a form that is not read ")
        assert refused_set(jwks(oct_jwk(data.strip()))).startswith("has no key that can be used")


@given(st.binary() | st.binary().map(lambda data: b"-----BEGIN PUBLIC KEY-----\n" + data))
def test_no_file_is_too_strange_to_be_refused(data: bytes) -> None:
    """It is a key that can be used, or one line says that it is none."""
    reason, algorithms = "", ()
    try:
        algorithms = read_key(data).algorithms
    except ValueError as error:
        reason = str(error)
    assert algorithms or reason.endswith(f"; must be {KEY_ALLOWED}")


# Sets of keys.


def test_a_set_has_keys_of_all_kinds() -> None:
    """Each with its name, and for the algorithms of its kind."""
    keys = read_jwks(
        jwks(
            oct_jwk(SECRET, kid="secret"),
            pair("RSA2048").jwk("RS256", kid="rsa"),
            pair("P-384").jwk("ES384"),
            pair("Ed25519").jwk("EdDSA", kid="ed"),
            pair("Ed448").jwk("EdDSA", kid="ed448"),
        )
    )
    assert [(key.key_id, key.algorithms) for key in keys] == [
        ("secret", ("HS256", "HS384", "HS512")),
        ("rsa", RSA),
        (None, ("ES384",)),
        ("ed", ("EdDSA",)),
        ("ed448", ("EdDSA",)),
    ]
    assert keys[0].key == SECRET
    assert keys[1].key == pair("RSA2048").private.public_key()


def test_a_key_may_be_for_one_algorithm() -> None:
    """Then it is for no other, and for none if its kind is another one."""
    rsa, secret = pair("RSA2048"), oct_jwk(SECRET)
    good = oct_jwk(kid="good")
    assert read_jwks(jwks(rsa.jwk("RS256", alg="PS384")))[0].algorithms == ("PS384",)
    assert read_jwks(jwks({**secret, "alg": "HS384"}))[0].algorithms == ("HS384",)
    for other in (
        rsa.jwk("RS256", alg="HS256"),
        rsa.jwk("RS256", alg="ES256"),
        rsa.jwk("RS256", alg="none"),
        rsa.jwk("RS256", alg="RSA-OAEP"),
        rsa.jwk("RS256", alg=""),
        rsa.jwk("RS256", alg=None),
        pair("P-256").jwk("ES256", alg="ES384"),
        pair("Ed25519").jwk("EdDSA", alg="ES256"),
        {**secret, "alg": "RS256"},
        {**secret, "alg": "none"},
        {**secret, "alg": "dir"},
        oct_jwk(SECRET[:32], alg="HS512"),
    ):
        assert [key.key_id for key in read_jwks(jwks(other, good))] == ["good"], other


@pytest.mark.parametrize(
    "other",
    [
        oct_jwk(use="enc"),
        oct_jwk(use="whatever"),
        oct_jwk(key_ops=["sign"]),
        oct_jwk(key_ops=[]),
        {"kty": "of another time", "x": "y"},
        {"kty": ""},
        {},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {"kty": "EC", "crv": "brainpool", "x": "A" * 43, "y": "A" * 43},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "_" * 40_000, "e": "AQAB"},
        {"kty": "RSA", "n": "AQAB"},
        oct_jwk(b"short"),
        oct_jwk(b"s" * 31),
    ],
)
def test_what_is_not_for_tokens_is_ignored(other: dict[str, Any]) -> None:
    """A set may have keys for other things, and of kinds that are not known yet."""
    assert [key.key_id for key in read_jwks(jwks(other, oct_jwk(kid="good")))] == ["good"]
    assert refused_set(jwks(other)) == f"has no key that can be used; must be {JWKS_ALLOWED}"


def test_a_set_may_say_what_its_keys_are_for() -> None:
    """As long as it is what they are used for here."""
    key = oct_jwk(use="sig", key_ops=["sign", "verify"], x5t="whatever")
    assert read_jwks(jwks(key))[0].key == SECRET


@pytest.mark.parametrize(("kind", "algorithm"), [("RSA2048", "RS256"), ("P-256", "ES256")])
def test_a_private_key_is_in_the_wrong_place(kind: str, algorithm: str) -> None:
    """Whoever can sign tokens need not be here, so it is not passed over in silence."""
    private = pair(kind).jwk(algorithm, d="AQAB")
    assert refused_set(jwks(oct_jwk(), private)) == f"has a private key; must be {JWKS_ALLOWED}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"keys": null}',
        b'{"keys": 5}',
        b'{"keys": ["a"]}',
        b'{"keys": [["kty", "oct"]]}',
        b'{"keys": [{"kty": "oct"}]}',
        b'{"keys": [{"kty": "oct", "k": "a", "key_ops": null}]}',
        b'{"keys": [{"kty": "oct", "k": "a", "alg": ["HS256"]}]}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"9" * 5000,
        pair("P-256").pem,
    ],
)
def test_what_is_no_set_is_refused(data: bytes) -> None:
    """One line says what it must be."""
    assert refused_set(data) == f"is no JWK set; must be {JWKS_ALLOWED}"


WORDS = st.sampled_from(
    [
        *[
            "RSA",
            "EC",
            "OKP",
            "oct",
            "P-256",
            "P-521",
            "secp256k1",
            "Ed25519",
            "Ed448",
            "X25519",
            "RS256",
            "ES256",
            "EdDSA",
        ],
        *["HS256", "none", "sig", "verify", "AQAB", "A" * 43, "A" * 86],
    ]
)
MEMBERS = st.sampled_from(["kty", "crv", "alg", "use", "key_ops", "kid", "k", "n", "e", "x", "y"])
BASE64 = st.binary().map(lambda data: b64encode(data).decode())
VALUES = st.recursive(
    WORDS | BASE64 | st.text(st.characters()) | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3)
    ),
    max_leaves=4,
)
SETS = st.lists(st.dictionaries(MEMBERS, VALUES), max_size=3).map(lambda keys: jwks(*keys))


@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()) | SETS)
def test_no_set_is_too_strange_to_be_refused(data: bytes) -> None:
    """It has keys that can be used, or one line says that it has none."""
    reason, keys = "", ()
    try:
        keys = read_jwks(data)
    except ValueError as error:
        reason = str(error)
    assert keys or reason.endswith(f"; must be {JWKS_ALLOWED}")
    assert all(key.algorithms for key in keys)


# Files.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "key"


def test_a_file_is_read_again(path: Path) -> None:
    """What is there then counts, and a line for the log says what that is."""
    path.write_bytes(SECRET)
    file = KeyFile(str(path))
    assert file.keys == (read_key(SECRET),)
    path.write_bytes(pair("P-256").pem)
    assert file.reload() == f"Reloaded {path}: 1 key (ES256)."
    assert file.keys == (read_key(pair("P-256").pem),)


def test_a_set_is_read_again(path: Path) -> None:
    """Keys are changed by having both there for a while."""
    path.write_bytes(jwks(oct_jwk(kid="old")))
    file = KeyFile(str(path), is_set=True)
    path.write_bytes(jwks(oct_jwk(kid="old"), pair("Ed25519").jwk("EdDSA", kid="new")))
    assert file.reload() == f"Reloaded {path}: 2 keys (EdDSA, HS256, HS384, HS512)."
    assert [key.key_id for key in file.keys] == ["old", "new"]


@pytest.mark.parametrize("is_set", [False, True])
def test_a_file_that_is_bad_changes_nothing(path: Path, is_set: bool) -> None:
    """The keys stay what they were, and whoever wants them read again learns why."""
    path.write_bytes(jwks(oct_jwk()) if is_set else SECRET)
    file = KeyFile(str(path), is_set=is_set)
    before = file.keys
    for data in (b"", b"short", jwks(pair("P-256").jwk("ES256", d="AQAB"))):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="must be"):
            file.reload()
        assert file.keys is before
    path.unlink()
    with pytest.raises(ValueError, match=f"{path}: No such file"):
        file.reload()
    assert file.keys is before
    with pytest.raises(OSError, match="No such file"):
        KeyFile(str(path), is_set=is_set)


def test_nothing_shows_a_secret(path: Path) -> None:
    """Neither what describes keys nor what says that they are bad."""
    path.write_bytes(jwks(oct_jwk(kid="name")))
    file = KeyFile(str(path), is_set=True)
    shown = [repr(file), repr(file.keys), str(file.keys), describe(file.keys), file.reload()]
    assert "name" in repr(file.keys)
    shown += [repr(read_key(SECRET)), refused(SECRET[:31])]
    shown.append(refused_set(jwks(oct_jwk(SECRET, alg="none"))))
    shown.append(refused_set(jwks(oct_jwk(SECRET), {"kty": "EC", "d": SECRET.decode()})))
    shown.append(refused_set(b'{"keys": "' + SECRET))
    encoded = oct_jwk()["k"]
    for text in shown:
        assert SECRET[:31].decode() not in text
        assert encoded not in text
