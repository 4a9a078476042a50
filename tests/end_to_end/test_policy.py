"""Who may come in, and what they may do, as the real server decides it by tokens and API keys."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.end_to_end.conftest import Curl
from tests.end_to_end.server import PATIENCE, TWISTD, Server, serving, started
from tests.end_to_end.tokens import (
    API_KEY,
    PRIVATE,
    SECRET,
    allowing,
    api_key_file,
    key_file,
    public,
    signed_by_hand,
    token,
)

OTHER_SECRET = SECRET[::-1]
LATER = 2**32
STREAM = ("--header", "Accept: text/event-stream")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants tokens by a secret, and takes API keys and cookies."""
    folder = tmp_path_factory.mktemp("guarded")
    options = ("--token-key-file", key_file(folder), "--api-key-file", api_key_file(folder))
    with serving(folder, *options, "--token-cookie=session") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants to know as well who a token is from and for."""
    folder = tmp_path_factory.mktemp("strict")
    options = ("--token-key-file", key_file(folder), "--token-audience=band")
    with serving(folder, *options, "--token-issuer=school") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.text


def bearer(text: str | None) -> dict[str, str]:
    """The header that a token is sent in."""
    return {} if text is None else {"Authorization": f"Bearer {text}"}


def curled(headers: dict[str, str]) -> list[str]:
    """Headers as options for curl."""
    return [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]


def refusal(server: Server, path: str = "/", **options: Any) -> tuple[int, str]:
    """The status and the reason that a WebSocket is refused with."""
    with pytest.raises(InvalidStatus) as refused:
        server.connect(path, **options)
    response = refused.value.response
    assert ("WWW-Authenticate" in response.headers) == (response.status_code == 401)
    assert response.body is not None
    return response.status_code, response.body.decode().rstrip("\n")


# What there is of a token, and why that does not do.
INVALID: dict[str, tuple[str | None, str]] = {
    "none": (None, "a token is needed"),
    "empty": ("", "the token is malformed"),
    "nonsense": ("nonsense", "the token is malformed"),
    "cut": (token(aud="band", iss="school")[:-3], "the token's signature is wrong"),
    "of another secret": (
        token(OTHER_SECRET, aud="band", iss="school"),
        "the token's signature is wrong",
    ),
    "unsigned": (
        token(None, "none", aud="band", iss="school"),
        "the token's algorithm is not allowed with this key",
    ),
    "expired": (token(aud="band", iss="school", exp=1), "the token has expired"),
    "not valid yet": (token(aud="band", iss="school", nbf=LATER), "the token is not valid yet"),
    "for others": (token(aud="choir", iss="school"), "the token is for another audience"),
    "from others": (token(aud="band", iss="street"), "the token is from another issuer"),
    "for nobody": (token(iss="school"), "the token does not say who it is from, or for"),
    "from nobody": (token(aud="band"), "the token does not say who it is from, or for"),
    "with wrong capabilities": (
        token(aud="band", iss="school", caps=["sub"]),
        "the token's caps are malformed",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_token_that_does_not_do(strict: Server, curl: Curl, name: str) -> None:
    """401 and the reason, before anything is upgraded, begun, told or played."""
    text, reason = INVALID[name]
    path = f"/{name.replace(' ', '-')}"
    url, headers = strict.http(path), curled(bearer(text))
    valid = bearer(token(aud=["choir", "band"], iss="school"))
    with strict.connect(path, additional_headers=valid) as listener:
        assert refusal(strict, path, additional_headers=bearer(text)) == (401, reason)
        for answer in (
            curl(url, *STREAM, *headers),
            curl(url + "?presence", *headers),
            curl.post(url, "foreign", *headers),
        ):
            assert (answer.status, answer.body.decode()) == (401, f"{reason}\n")
            assert answer.headers["www-authenticate"] == "Bearer"
        for _ in range(4):
            strict.wait_for(f": 401 {reason}$")
        assert curl.post(url, "own", *curled(valid)).status == 200
        assert listener.recv(timeout=PATIENCE) == "Echo: own"
        (member,) = json.loads(curl(url + "?presence", *curled(valid)).body)["members"]
        assert member["identity"] == "oboe"


WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "header": ("", {"additional_headers": bearer(token())}),
    "subprotocol": ("", {"subprotocols": ["bearer", token()]}),
    "query": (f"?token={token()}", {}),
    "cookie": ("", {"additional_headers": {"Cookie": f"theme=dark; session={token()}"}}),
    "API key": ("", {"additional_headers": {"X-API-Key": API_KEY}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_to_send_a_token(guarded: Server, curl: Curl, way: str) -> None:
    """Whichever a client has, it is in; the subprotocol is answered with its name alone."""
    query, options = WAYS[way]
    path = f"/{way.replace(' ', '-')}"
    with guarded.connect(path + query, **options) as alice:
        assert alice.subprotocol == ("bearer" if way == "subprotocol" else None)
        alice.send("hello")
        assert alice.recv(timeout=PATIENCE) == "Echo: hello"
    if way == "subprotocol":
        return
    url, headers = guarded.http(path + query), curled(options.get("additional_headers", {}))
    with curl.stream(url, *headers) as stream:
        assert curl.post(url, "posted", *headers).status == 200
        assert stream.hear().data == "posted"
    presence = curl(url + ("&" if query else "?") + "presence=count", *headers)
    assert presence.status == 200


def test_what_is_sent_on_purpose_counts_for_more(guarded: Server) -> None:
    """A cookie is looked at only where there is nothing else, good or bad."""
    cookie = {"Cookie": f"session={token()}"}
    both = {**cookie, **bearer(token(OTHER_SECRET))}
    wrong = (401, "the token's signature is wrong")
    assert refusal(guarded, additional_headers=both) == wrong
    assert refusal(guarded, f"/?token={token(OTHER_SECRET)}", additional_headers=cookie) == wrong
    both = {"Cookie": "session=nonsense", **bearer(token())}
    with guarded.connect(additional_headers=both):
        pass


def test_node_sends_a_token(guarded: Server, node_folder: Path) -> None:
    """As a page must and as a server can; without one it is told why it is refused."""
    run = subprocess.run(
        ["node", "token.mjs", guarded.url("/node"), token()],
        cwd=node_folder,
        check=True,
        timeout=PATIENCE,
        capture_output=True,
        text=True,
    )
    assert json.loads(run.stdout) == {
        "subprotocol": ["bearer", "Echo: hello"],
        "header": ["", "Echo: hello"],
        "none": [401, "a token is needed\n"],
    }


@pytest.mark.parametrize("algorithm", [name for name in PRIVATE if name != "HS256"])
def test_key_pairs(tmp_path: Path, algorithm: str) -> None:
    """Only the private key signs: no other one does, nor does the public key as a secret."""
    pem = public(algorithm)
    with serving(tmp_path, "--token-key-file", key_file(tmp_path, pem)) as server:
        good = token(PRIVATE[algorithm], algorithm)
        with server.connect(additional_headers=bearer(good)) as alice:
            alice.send("hello")
            assert alice.recv(timeout=PATIENCE) == "Echo: hello"
        _, _, signature = token(PRIVATE[algorithm], algorithm, sub="viola").split(".")
        mixed = ".".join([*good.split(".")[:2], signature])
        confused = signed_by_hand({"alg": "HS256", "typ": "JWT"}, {"sub": "oboe"}, pem)
        for text, reason in (
            (mixed, "the token's signature is wrong"),
            (confused, "the token's algorithm is not allowed with this key"),
            (token(), "the token's algorithm is not allowed with this key"),
        ):
            assert refusal(server, additional_headers=bearer(text)) == (401, reason)
        assert server.stop() == 0
    assert "Traceback" not in server.text


def test_a_set_of_keys(tmp_path: Path) -> None:
    """A token is checked with the key that it names, or if it names none with each of its kind."""
    keys = [
        {
            **jwt.get_algorithm_by_name(algorithm).to_jwk(PRIVATE[algorithm].public_key(), True),
            "kid": algorithm.lower(),
            "use": "sig",
        }
        for algorithm in ("RS256", "ES256", "EdDSA")
    ]
    keys.append({"kty": "oct", "k": jwt.utils.base64url_encode(SECRET.encode()).decode()})
    keys.append({"kty": "of the future"})
    path = key_file(tmp_path, json.dumps({"keys": keys}))
    with serving(tmp_path, "--token-jwks-file", path) as server:
        for algorithm, key in PRIVATE.items():
            for key_id in (None, algorithm.lower()):
                headers = bearer(token(key, algorithm, key_id))
                with server.connect(additional_headers=headers):
                    pass
        wrong = {
            token(PRIVATE["RS256"], "RS256", "lost"): "algorithm is not allowed with this key",
            token(PRIVATE["RS256"], "RS256", "es256"): "algorithm is not allowed with this key",
            token(OTHER_SECRET): "signature is wrong",
        }
        for text, reason in wrong.items():
            wanted = (401, f"the token's {reason}")
            assert refusal(server, additional_headers=bearer(text)) == wanted
        assert server.stop() == 0
    assert "4 keys (ES256, EdDSA, HS256, PS256, PS384, PS512, RS256, RS384, RS512)" in server.text
    assert "Traceback" not in server.text


ALL = ["sub", "pub", "prs", "hst"]


def all_but(*missing: str) -> dict[str, str]:
    """The header of a token that allows everything, but in the channel ``strings`` some things."""
    rest = [what for what in ALL if what not in missing]
    caps = [
        {"channels": ["strings"], "allow": rest},
        {"channels": ["*"], "allow": ALL, "match": "wildcard"},
    ]
    return bearer(token(caps=caps))


@pytest.mark.parametrize(
    ("missing", "query", "options", "reason"),
    [
        ("sub", "", STREAM, "listening"),
        ("prs", "?presence", (), "asking who is there"),
        ("prs", "?presence", STREAM, "asking who is there"),
        ("hst", "?last=1", STREAM, "asking for the past"),
        ("hst", "?since=8e03978e:1", STREAM, "asking for the past"),
        ("pub", "", ("--request", "POST"), "publishing"),
    ],
)
def test_what_a_token_does_not_allow(
    guarded: Server, curl: Curl, missing: str, query: str, options: tuple[str, ...], reason: str
) -> None:
    """403 and the reason. The first capability that has the channel counts alone."""
    url, headers = guarded.http(f"/strings{query}"), curled(all_but(missing))
    answer = curl(url, *options, *headers)
    wanted = (403, f"{reason} is not allowed in this channel\n")
    assert (answer.status, answer.body.decode()) == wanted
    elsewhere = guarded.http(f"/strings/low{query}")
    if options == STREAM:
        with curl.stream(elsewhere, *headers):
            pass
    else:
        assert curl(elsewhere, *options, *headers).status == 200


@pytest.mark.parametrize(
    ("headers", "query", "reason"),
    [
        (all_but("sub"), "", "listening"),
        (all_but("hst"), "?last=1", "asking for the past"),
        (bearer(allowing(*ALL, channels=("winds/*",))), "", "listening"),
    ],
    ids=["sub", "hst", "elsewhere"],
)
def test_a_web_socket_that_is_not_allowed(
    guarded: Server, headers: dict[str, str], query: str, reason: str
) -> None:
    """403 and the reason, before it is one; in another channel it is let in."""
    wanted = (403, f"{reason} is not allowed in this channel")
    assert refusal(guarded, f"/strings{query}", additional_headers=headers) == wanted
    with guarded.connect(f"/winds/oboe{query}", additional_headers=headers):
        pass


def test_a_listener_that_plays(guarded: Server) -> None:
    """It hears everything, until it sends something: then it is closed, and nobody hears that."""
    with (
        guarded.connect("/stage", additional_headers=bearer(token())) as player,
        guarded.connect("/stage", additional_headers=bearer(allowing("sub"))) as listener,
    ):
        player.send("one")
        assert listener.recv(timeout=PATIENCE) == "Echo: one"
        listener.send("mine")
        with pytest.raises(ConnectionClosed) as closed:
            listener.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert closed.value.rcvd.reason == "publishing is not allowed in this channel"
        player.send("two")
        assert [player.recv(timeout=PATIENCE) for _ in range(2)] == ["Echo: one", "Echo: two"]


def test_a_token_that_expires(guarded: Server, curl: Curl) -> None:
    """Not before its time its owner is closed, with the reason; others hear on."""
    expires = int(time.time()) + 1
    short = bearer(token(exp=expires))
    url = guarded.http("/expiry")
    with (
        guarded.connect("/expiry", additional_headers=short) as alice,
        guarded.connect("/expiry", additional_headers=bearer(token(exp=LATER))) as bob,
        curl.stream(url, *curled(short)) as stream,
    ):
        with pytest.raises(ConnectionClosed) as closed:
            alice.recv(timeout=PATIENCE)
        assert time.time() >= expires
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert closed.value.rcvd.reason == "the token has expired"
        assert list(stream) == []
        assert stream.comments[-1] == "the token has expired"
        assert stream.ended() == 0
        assert refusal(guarded, "/expiry", additional_headers=short)[1] == "the token has expired"
        bob.send("on")
        assert bob.recv(timeout=PATIENCE) == "Echo: on"


def test_presence_knows_whose_client_it_is(guarded: Server, curl: Curl) -> None:
    """It tells what the tokens say of their owners, who are counted once each."""
    url, all_of_it = guarded.http("/present"), curled({"X-API-Key": API_KEY})
    texts = [token(sub="oboe", info={"chair": 2}), token(sub="oboe"), token(sub="viola")]
    with curl.stream(url + "?presence", *all_of_it) as watching, ExitStack() as clients:
        for text in texts:
            client = guarded.connect("/present", additional_headers=bearer(text))
            clients.enter_context(client)
            joined = json.loads(watching.hear().data)["join"]
            claims = jwt.decode(text, options={"verify_signature": False})
            assert (joined["identity"], joined.get("info")) == (claims["sub"], claims.get("info"))
        known = json.loads(curl(url + "?presence", *all_of_it).body)
        assert (known["clients"], known["identities"]) == (4, 2)
        assert known["members"][1] | {"since": 0, "client": ""} == {
            "identity": "oboe",
            "info": {"chair": 2},
            "since": 0,
            "client": "",
        }


def test_api_keys(guarded: Server, tmp_path: Path, curl: Curl) -> None:
    """One that is not known is refused. Without tokens, it is only POST that takes one."""
    key = curled({"X-API-Key": API_KEY})
    unknown = (401, b"the API key is not known\n")
    url = guarded.http("/keys")
    for options in (STREAM, ("--request", "POST")):
        wrong = curl(url, *options, "--header", f"X-API-Key: {API_KEY[::-1]}")
        assert (wrong.status, wrong.body) == unknown
    with serving(tmp_path, "--api-key-file", api_key_file(tmp_path)) as server:
        url = server.http("/keys")
        with curl.stream(url) as stream, server.connect("/keys") as client:
            answer = curl.post(url, "foreign")
            assert answer.status == 401
            assert answer.body == b"an API key is needed, in the header X-API-Key\n"
            assert curl.post(url, "wrong", "--header", "X-API-Key: x").status == 401
            assert curl.post(url, "posted", *key).status == 200
            client.send("sent")
            assert [stream.hear().data for _ in range(2)] == ["posted", "sent"]
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Everybody may come in and play: there is no key for tokens."),
        (
            ["--api-key-file"],
            "Everybody may come in and play by a WebSocket; only POST takes an API key. "
            "There is 1 API key.",
        ),
        (
            ["--token-key-file", "--token-cookie=session", "--token-audience=band"],
            "Who may come in is decided by tokens: 1 key (HS256), audience band, cookie session.",
        ),
        (
            ["--token-key-file", "--api-key-file"],
            "Who may come in is decided by tokens: 1 key (HS256). There is 1 API key.",
        ),
    ],
)
def test_the_log_says_who_may_come_in(tmp_path: Path, options: list[str], words: str) -> None:
    """In one line, when the server starts."""
    files = {
        "--token-key-file": key_file(tmp_path),
        "--api-key-file": api_key_file(tmp_path),
    }
    given = [f"{name}={files[name]}" if name in files else name for name in options]
    with serving(tmp_path, *given) as server:
        server.wait_for(re.escape(words) + "$")
        urlopen(server.http("/healthz"), timeout=PATIENCE).close()
        assert server.stop() == 0
    assert server.text.count("may come in") == 1
    assert "every user of this machine" not in server.text


ENDPOINT = "--listen=tcp:0:interface=127.0.0.1"
TWIST = [sys.executable, "-m", "twisted"]


@pytest.mark.parametrize(
    "command",
    [
        [TWISTD, "-n", "--pidfile=", "orchestra"],
        [TWISTD, "-n", "--pidfile=", "orchestra", "--log-format=json"],
        [*TWIST, "--log-format=text", "orchestra"],
        [*TWIST, "--log-format=json", "--log-level=debug", "orchestra"],
    ],
    ids=["twistd text", "twistd json", "twist text", "twist json"],
)
def test_nothing_secret_is_logged(tmp_path: Path, curl: Curl, command: list[str]) -> None:
    """Neither a token nor a key, good or bad, however it is sent, nor any part of a token."""
    files = ["--token-key-file", key_file(tmp_path), "--api-key-file", api_key_file(tmp_path)]
    good, bad, unknown = token(), token(OTHER_SECRET), API_KEY[::-1]
    with started([*command, *files, "--token-cookie=session", ENDPOINT], tmp_path) as server:
        server.port = int(server.wait_for(r"tcp 127.0.0.1:(\d+)")[1])

        def sendings(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
            yield "/", {"additional_headers": bearer(text)}
            yield "/", {"additional_headers": {"Cookie": f"session={text}"}}
            yield "/", {"subprotocols": ["bearer", text]}
            yield f"/?token={text}", {}

        for path, options in sendings(good):
            with server.connect(path, **options) as client:
                client.send("note")
                client.recv(timeout=PATIENCE)
            if "subprotocols" not in options:
                headers = curled(options.get("additional_headers", {}))
                with curl.stream(server.http(path), *headers):
                    assert curl.post(server.http(path), "note", *headers).status == 200
        for path, options in (
            *sendings(bad),
            *sendings(f"{good}.{bad}"),
            (f"/?last=x&token={good}", {}),
            (f"/api?token={good}", {}),
            (f"/{'x' * 256}?token={good}", {}),
        ):
            refusal(server, path, **options)
            headers = curled(options.get("additional_headers", {}))
            for asked in (STREAM, ("--request", "POST"), ("--request", "BREW")):
                assert curl(server.http(path), *asked, *headers).status >= 400
        for key in (API_KEY, unknown):
            curl.post(server.http("/"), "note", "--header", f"X-API-Key: {key}")
        # What no server can understand, by way of what cannot be sent well.
        malformed = curl(server.http("/"), "--request", f"GET /?token={good} x", *curled({}))
        assert malformed.status == 400
        assert server.stop() == 0
    assert server.text.count("note") > 6
    assert server.text.count("401") > 20
    secrets = {SECRET, API_KEY, unknown, *good.split("."), *bad.split(".")}
    assert {secret for secret in secrets if secret in server.text} == set()
    assert "Traceback" not in server.text


def test_the_configuration_is_checked(tmp_path: Path) -> None:
    """Key files that it names are read; what is wrong with one is said with its line."""
    key, keys = key_file(tmp_path), api_key_file(tmp_path)
    config = tmp_path / "orchestra.toml"
    text = f'token-key-file = "{key}"\ntoken-cookie = "session"\napi-key-file = "{keys}"\n'
    command = [TWISTD, "-n", "--pidfile=", "orchestra", "--config", str(config), "--check-config"]

    def check(text: str, *options: str) -> tuple[int, str]:
        config.write_text(text)
        ended = subprocess.run(
            [*command, *options],
            cwd=tmp_path,
            timeout=PATIENCE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return ended.returncode, ended.stdout

    assert check(text) == (0, f"orchestra: {config}: all is well\n")
    for wrong, where, why in (
        (text.replace(keys, "gone"), ':3: api-key-file = "gone"', "No such file or directory"),
        (text + 'origin = ["*"]\n', ':2: token-cookie = "session"', "the origins * and null"),
        (text.replace("key-file", "jwks-file", 1), ":1: token-jwks-file = ", "is no JWK set"),
    ):
        status, told = check(wrong)
        assert status == 1
        assert where in told.replace("'", '"')
        assert why in told
        assert len(told.splitlines()) == 1
    (tmp_path / "short").write_text("short")
    status, told = check(text, "--token-key-file", str(tmp_path / "short"))
    assert status == 1
    assert told.startswith(f"orchestra: --token-key-file {tmp_path / 'short'}: has no such key; ")
    assert SECRET not in told


def test_keys_are_changed_while_it_runs(tmp_path: Path, curl: Curl) -> None:
    """After SIGHUP the new ones count, and nobody is disturbed; a file that does not do is no
    reason to forget what counted before."""
    keys, api_keys = Path(key_file(tmp_path)), Path(api_key_file(tmp_path))
    options = (f"--token-key-file={keys}", f"--api-key-file={api_keys}")
    old, new = bearer(token()), bearer(token(OTHER_SECRET))
    with serving(tmp_path, *options) as server:
        with server.connect(additional_headers=old) as listener:
            keys.write_text(OTHER_SECRET)
            api_keys.write_text(API_KEY[::-1])
            server.process.send_signal(signal.SIGHUP)
            server.wait_for(re.escape(f"{keys}: 1 key (HS256)"))
            server.wait_for(re.escape(f"{api_keys}: 1 API key"))
            wrong = (401, "the token's signature is wrong")
            for content in (None, "short"):
                if content is not None:
                    keys.write_text(content)
                    api_keys.write_text(content)
                    server.process.send_signal(signal.SIGHUP)
                    failed = "Reloading failed, all stays as it was: "
                    server.wait_for(re.escape(f"{failed}{keys}: has no such key"))
                    server.wait_for(re.escape(f"{failed}{api_keys}: line 1 is no key"))
                assert refusal(server, additional_headers=old) == wrong
                assert curl.post(server.http(), "old", "-H", f"X-API-Key: {API_KEY}").status == 401
                with server.connect(additional_headers=new) as player:
                    player.send("new")
                    assert listener.recv(timeout=PATIENCE) == "Echo: new"
                key = f"X-API-Key: {API_KEY[::-1]}"
                assert curl.post(server.http(), "posted", "-H", key).status == 200
                assert listener.recv(timeout=PATIENCE) == "Echo: posted"
            listener.send("still here")
            assert listener.recv(timeout=PATIENCE) == "Echo: still here"
        assert server.stop() == 0
    assert "Traceback" not in server.text
