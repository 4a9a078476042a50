"""The options for tokens and API keys, on the command line and in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestra.policy.access import AccessRequest
from orchestra.policy.api_keys import ALLOWED as API_KEYS_ALLOWED
from orchestra.policy.grants import Grant
from orchestra.policy.token_keys import JWKS_ALLOWED, KEY_ALLOWED
from orchestra.policy.tokens import TokenPolicy
from orchestra.refusal import RefusedError
from orchestra.websocket.factory import OrchestraFactory
from tests.policy.keys import SECRET, jwks, oct_jwk, pair, token
from tests.test_tap import parse, server

API_KEY = "key-of-an-application"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One with files for each kind of option."""
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    (tmp_path / "public").write_bytes(pair("P-256").pem)
    (tmp_path / "private").write_bytes(pair("P-256").private_pem)
    (tmp_path / "set").write_bytes(jwks(pair("P-256").jwk("ES256"), oct_jwk()))
    (tmp_path / "bad-set").write_bytes(jwks(pair("P-256").jwk("ES256", d="AQAB")))
    (tmp_path / "unusable-set").write_bytes(jwks({"kty": "x"}))
    (tmp_path / "api-keys").write_text(f"# ours\n{API_KEY}\n")
    (tmp_path / "short").write_text("short\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "keys-with-one-that-is-short").write_text(f"{API_KEY}\n\nshort\n")
    return tmp_path


def made(*arguments: str) -> OrchestraFactory:
    return server(parse(*arguments)).factory


def identity(factory: OrchestraFactory, token: str, **headers: str) -> str | None:
    """Whose a token is."""
    request = AccessRequest("GET", "main", "127.0.0.1", f"/?token={token}", headers)
    grant = factory.access.connect(request)
    assert isinstance(grant, Grant)
    return grant.identity


def test_without_them_everybody_may_come_in() -> None:
    """As long as nobody says anything else."""
    options = parse()
    assert options["policy"] is options["api-keys"] is options["token-keys"] is None
    access = server(options).factory.access
    assert str(access) == "Everybody may come in and play: there is no key for tokens."


def test_a_key_for_tokens(folder: Path) -> None:
    """A secret, a public key, or a set of them."""
    signed = token(sub="ann")
    factory = made(f"--token-key-file={folder}/secret")
    assert identity(factory, signed) == "ann"
    assert str(factory.access) == (
        "Who may come in is decided by tokens: 1 key (HS256, HS384, HS512)."
    )
    with pytest.raises(RefusedError):
        identity(made(f"--token-key-file={folder}/public"), signed)
    signed = token(pair("P-256").private, "ES256", sub="bob")
    assert identity(made(f"--token-key-file={folder}/public"), signed) == "bob"
    factory = made(f"--token-jwks-file={folder}/set")
    assert identity(factory, signed) == "bob"
    assert identity(factory, token(sub="ann")) == "ann"


def test_what_tokens_must_say(folder: Path) -> None:
    """Audience and issuer arrive, and are not mixed up."""
    factory = made(
        f"--token-key-file={folder}/secret", "--token-audience=us", "--token-issuer=them"
    )
    assert identity(factory, token(sub="ann", aud="us", iss="them")) == "ann"
    for claims in ({"aud": "them", "iss": "us"}, {"aud": "us"}, {"iss": "them"}):
        with pytest.raises(RefusedError):
            identity(factory, token(**claims))


def test_a_cookie_with_a_token(folder: Path) -> None:
    """Of that name and no other."""
    factory = made(f"--token-key-file={folder}/secret", "--token-cookie=session")
    assert identity(factory, "", cookie=f"session={token(sub='ann')}") == "ann"
    assert factory.access.takes_cookies
    with pytest.raises(RefusedError):
        identity(factory, "", cookie=f"token={token(sub='ann')}")
    assert not made(f"--token-key-file={folder}/secret").access.takes_cookies


def test_api_keys(folder: Path) -> None:
    """With tokens or without."""
    for arguments in ([], [f"--token-key-file={folder}/secret"]):
        factory = made(f"--api-key-file={folder}/api-keys", *arguments)
        request = AccessRequest("POST", "main", "127.0.0.1", "/", {"x-api-key": API_KEY})
        grant = factory.access.connect(request)
        assert isinstance(grant, Grant)
        assert grant.capabilities is None
        with pytest.raises(RefusedError):
            factory.access.connect(AccessRequest("POST", "main", "127.0.0.1", "/", {}))


def test_what_can_be_read_again(folder: Path) -> None:
    """The keys are there by themselves, for whoever reads them again."""
    options = parse(f"--token-key-file={folder}/secret", f"--api-key-file={folder}/api-keys")
    assert isinstance(options["policy"], TokenPolicy)
    (folder / "secret").write_bytes(pair("P-256").pem)
    assert options["token-keys"].reload() == f"Reloaded {folder}/secret: 1 key (ES256)."
    assert options["api-keys"].reload() == f"Reloaded {folder}/api-keys: 1 API key."
    signed = token(pair("P-256").private, "ES256", sub="bob")
    assert options["policy"].grant(signed).identity == "bob"


READABLE = "must be a file that can be read"
NEEDS_KEY = "goes only with a token-key-file or a token-jwks-file"

WRONG = [
    (
        ["token-key-file={}/none"],
        f"token-key-file {{}}/none: No such file or directory; {READABLE}",
    ),
    (["token-key-file={}"], f"token-key-file {{}}: Is a directory; {READABLE}"),
    (["token-key-file="], "token-key-file : must be a string that is not empty"),
    (["token-jwks-file="], "token-jwks-file : must be a string that is not empty"),
    (["api-key-file="], "api-key-file : must be a string that is not empty"),
    (
        ["token-key-file={}/short"],
        f"token-key-file {{}}/short: has no such key; must be {KEY_ALLOWED}",
    ),
    (
        ["token-key-file={}/empty"],
        f"token-key-file {{}}/empty: has no such key; must be {KEY_ALLOWED}",
    ),
    (
        ["token-key-file={}/private"],
        "token-key-file {}/private: has a private key, which is to stay elsewhere; "
        f"must be {KEY_ALLOWED}",
    ),
    (
        ["token-key-file={}/set"],
        "token-key-file {}/set: has a key in a form that is not read (a JWK set is for a "
        f"token-jwks-file); must be {KEY_ALLOWED}",
    ),
    (
        ["token-jwks-file={}/none"],
        f"token-jwks-file {{}}/none: No such file or directory; {READABLE}",
    ),
    (
        ["token-jwks-file={}/secret"],
        f"token-jwks-file {{}}/secret: is no JWK set; must be {JWKS_ALLOWED}",
    ),
    (
        ["token-jwks-file={}/bad-set"],
        f"token-jwks-file {{}}/bad-set: has a private key; must be {JWKS_ALLOWED}",
    ),
    (
        ["token-jwks-file={}/unusable-set"],
        f"token-jwks-file {{}}/unusable-set: has no key that can be used; must be {JWKS_ALLOWED}",
    ),
    (
        ["token-key-file={}/secret", "token-jwks-file={}/set"],
        "token-key-file {}/secret: goes not together with a token-jwks-file",
    ),
    (["token-audience=us"], f"token-audience us: {NEEDS_KEY}"),
    (["token-issuer=us"], f"token-issuer us: {NEEDS_KEY}"),
    (["token-cookie=a"], f"token-cookie a: {NEEDS_KEY}"),
    (["token-audience="], "token-audience : must be a string that is not empty"),
    (["token-issuer="], "token-issuer : must be a string that is not empty"),
    (
        ["token-cookie="],
        "token-cookie : must be the name of a cookie: letters, digits and !#$%&'*+-.^_`|~",
    ),
    (
        ["token-cookie=a=b"],
        "token-cookie a=b: must be the name of a cookie: letters, digits and !#$%&'*+-.^_`|~",
    ),
    *[
        (
            ["token-key-file={}/secret", "token-cookie=a", f"origin={origin}"],
            "token-cookie a: goes not together with the origins * and null, whose pages could use "
            "everybody's cookies",
        )
        for origin in ("*", "null")
    ],
    (["api-key-file={}/none"], f"api-key-file {{}}/none: No such file or directory; {READABLE}"),
    (
        ["api-key-file={}/short"],
        f"api-key-file {{}}/short: line 1 is no key; must be {API_KEYS_ALLOWED}",
    ),
    (
        ["api-key-file={}/empty"],
        f"api-key-file {{}}/empty: has no key; must be {API_KEYS_ALLOWED}",
    ),
    (
        ["api-key-file={}/keys-with-one-that-is-short"],
        "api-key-file {}/keys-with-one-that-is-short: line 3 is no key; must be "
        + API_KEYS_ALLOWED,
    ),
]


def refused(*arguments: str) -> str:
    """The line with which the process ends."""
    with pytest.raises(SystemExit) as caught:
        parse(*arguments)
    line = caught.value.code
    assert isinstance(line, str)  # which is printed, with exit status 1
    return line


@pytest.mark.parametrize(("arguments", "line"), WRONG)
def test_what_is_wrong_is_said_in_one_line(folder: Path, arguments: list[str], line: str) -> None:
    """Which option, which value, and what is allowed; nothing of what is in the file."""
    said = refused(*(f"--{argument}".replace("{}", str(folder)) for argument in arguments))
    assert said == "orchestra: --" + line.replace("{}", str(folder))


@pytest.mark.parametrize(("arguments", "line"), WRONG)
def test_what_is_wrong_in_the_file_is_said_in_one_line(
    folder: Path, arguments: list[str], line: str
) -> None:
    """Which line of which file, and then the same; also if it is only checked."""
    config = folder / "orchestra.toml"
    values = [argument.replace("{}", str(folder)).split("=", 1) for argument in arguments]
    config.write_text(
        "".join(
            f'{name} = ["{value}"]\n' if name == "origin" else f'{name} = "{value}"\n'
            for name, value in values
        )
    )
    words, _, reason = line.replace("{}", str(folder)).partition(": ")
    name, _, value = words.partition(" ")
    number = [name for name, _ in values].index(name) + 1
    shown = f"'{value}'" if value else '""'
    for more in ([], ["--check-config"]):
        said = refused(f"--config={config}", *more)
        assert said == f"orchestra: {config}:{number}: {name} = {shown}: {reason}"


def test_a_file_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own words say why."""

    def read(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", read)
    for name in ("token-key-file", "token-jwks-file", "api-key-file"):
        said = refused(f"--{name}={folder}/secret")
        assert said == f"orchestra: --{name} {folder}/secret: Permission denied; {READABLE}"


def test_all_of_them_in_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They arrive from there, too, and can be checked."""
    config = folder / "orchestra.toml"
    config.write_text(
        f"""\
token-jwks-file = "{folder}/set"
token-audience = "us"
token-issuer = "them"
token-cookie = "session"
api-key-file = "{folder}/api-keys"
"""
    )
    factory = made(f"--config={config}")
    signed = token(sub="ann", aud="us", iss="them")
    assert identity(factory, "", cookie=f"session={signed}") == "ann"
    assert len(factory.access.api_keys or ()) == 1
    with pytest.raises(SystemExit) as caught:
        parse(f"--config={config}", "--check-config")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"orchestra: {config}: all is well\n"
    with pytest.raises(RefusedError):
        identity(made(f"--config={config}", "--token-issuer=others"), signed)


def test_no_secret_is_shown(folder: Path) -> None:
    """Not even of one that is in the wrong place."""
    (folder / "short").write_bytes(SECRET[:31])
    shown = [
        refused(f"--token-key-file={folder}/short"),
        refused(f"--token-jwks-file={folder}/secret"),
        refused(f"--api-key-file={folder}/short", "--port=x"),
        repr(parse(f"--token-key-file={folder}/secret", f"--api-key-file={folder}/api-keys")),
    ]
    for text in shown:
        assert SECRET[:31].decode() not in text
        assert API_KEY not in text
