"""Tokens: where they come from, whether they are valid, and what they allow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from orchestra.interfaces import IPolicy
from orchestra.policy.access import AccessRequest
from orchestra.policy.grants import Capability, Grant
from orchestra.policy.token_keys import TokenKey, read_jwks, read_key
from orchestra.policy.tokens import LONGEST, MAX_TRIES, TokenPolicy, capabilities, find_token
from orchestra.refusal import RefusedError
from tests.policy.keys import (
    SECRET,
    SHORT,
    hand_made,
    jwks,
    now,
    oct_jwk,
    pair,
    segment,
    token,
)

KEY = read_key(SECRET)


def policy(*keys: TokenKey, **options: Any) -> TokenPolicy:
    return TokenPolicy(SimpleNamespace(keys=keys or (KEY,)), **options)


def refused(policy: TokenPolicy, token: str) -> str:
    """Why a token is not taken."""
    with pytest.raises(RefusedError) as caught:
        policy.grant(token)
    assert caught.value.status == 401
    return str(caught.value)


def test_it_is_a_policy() -> None:
    """It is asked like those of applications."""
    assert verifyObject(IPolicy, policy())
    assert not policy().takes_cookies
    assert policy(cookie="token").takes_cookies


# What a token says.


def test_a_token_may_say_nothing() -> None:
    """Whoever has one that is signed may do everything, for good."""
    assert policy().grant(token()) == Grant()


def test_what_a_token_says() -> None:
    """Who it is, what else is known, how long it holds, and what it allows."""
    until = now() + 60
    caps = [{"channels": ["a", "b*"], "match": "wildcard", "allow": ["sub", "hst"]}]
    claims = {"sub": "ann", "info": {"name": "Ann"}, "exp": until, "caps": caps}
    assert policy().grant(token(**claims, iat=now(), nbf=now(), jti="x", more=1)) == Grant(
        "ann",
        {"name": "Ann"},
        until + 5.0,
        (Capability(("a", "b*"), frozenset({"sub", "hst"}), wildcard=True),),
    )


@pytest.mark.parametrize(
    ("claim", "seconds", "reason"),
    [
        ("exp", -4, None),
        ("exp", -6, "the token has expired"),
        ("nbf", 4, None),
        ("nbf", 8, "the token is not valid yet"),
        ("iat", 4, None),
        ("iat", 8, "the token is not valid yet"),
    ],
)
def test_clocks_may_be_wrong_by_five_seconds(claim: str, seconds: int, reason: str | None) -> None:
    """And by no more."""
    signed = token(**{claim: now() + seconds})
    if reason is None:
        assert policy().grant(signed)
    else:
        assert refused(policy(), signed) == reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"sub": 5}, "the token's sub is not a string"),
        ({"sub": None}, "the token's sub is not a string"),
        ({"exp": None}, "the token is malformed"),
        ({"exp": "soon"}, "the token is malformed"),
        ({"exp": []}, "the token is malformed"),
        ({"exp": float("inf")}, "the token is malformed"),
        ({"exp": 10**400}, "the token is malformed"),
        ({"exp": "9" * 4000}, "the token is malformed"),
        ({"nbf": {}}, "the token is malformed"),
        ({"iat": "now"}, "the token is malformed"),
        ({"info": float("nan")}, "the token is malformed"),
        ({"caps": None}, "the token's caps are malformed"),
        ({"caps": [{}]}, "the token's caps are malformed"),
    ],
)
def test_a_token_that_makes_no_sense(claims: dict[str, Any], reason: str) -> None:
    """Even if it is signed: what is meant to restrict is never passed over."""
    assert refused(policy(), hand_made({"alg": "HS256"}, claims)) == reason


@pytest.mark.parametrize("claims", [[], "a", 5, None, b"", b"{", b"\xff", b"[" * 5000])
def test_claims_that_are_none(claims: Any) -> None:
    """They are an object of JSON."""
    assert refused(policy(), hand_made({"alg": "HS256"}, claims)) == "the token is malformed"


# For whom and from whom it is.


@pytest.mark.parametrize(
    ("audience", "claims", "reason"),
    [
        ("us", {"aud": "us"}, None),
        ("us", {"aud": ["them", "us"]}, None),
        ("us", {"aud": "them"}, "the token is for another audience"),
        ("us", {"aud": ["them"]}, "the token is for another audience"),
        ("us", {"aud": "us2"}, "the token is for another audience"),
        ("us", {"aud": {"us": 1}}, "the token is for another audience"),
        ("us", {}, "the token does not say who it is from, or for"),
        ("us", {"aud": []}, "the token does not say who it is from, or for"),
        (None, {"aud": "them"}, "the token is for another audience"),
        (None, {}, None),
    ],
)
def test_the_audience(audience: str | None, claims: dict[str, Any], reason: str | None) -> None:
    """A token that is meant for others is not taken (RFC 7519 section 4.1.3)."""
    signed = hand_made({"alg": "HS256"}, claims)
    if reason is None:
        assert policy(audience=audience).grant(signed)
    else:
        assert refused(policy(audience=audience), signed) == reason


def test_the_issuer() -> None:
    """If it is asked for, it must be that one."""
    ours = policy(issuer="https://us.example")
    assert ours.grant(token(iss="https://us.example"))
    assert refused(ours, token(iss="https://them.example")) == "the token is from another issuer"
    assert refused(ours, token(iss="https://us.example/")) == "the token is from another issuer"
    listed = hand_made({"alg": "HS256"}, {"iss": ["https://us.example"]})
    assert refused(ours, listed) == "the token is from another issuer"
    assert refused(ours, token()) == "the token does not say who it is from, or for"
    assert policy().grant(token(iss="whoever"))


# Who has signed it.


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_secrets(algorithm: str) -> None:
    """A token is taken that is signed with the secret, and no other."""
    assert policy().grant(token(SECRET, algorithm))
    assert refused(policy(), token(SECRET[::-1], algorithm)) == "the token's signature is wrong"


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        *[("RSA2048", name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")],
        ("P-256", "ES256"),
        ("P-384", "ES384"),
        ("P-521", "ES512"),
        ("Ed25519", "EdDSA"),
        ("Ed448", "EdDSA"),
    ],
)
def test_public_keys(kind: str, algorithm: str) -> None:
    """A token is taken that is signed with the private key of the public one."""
    ours = policy(read_key(pair(kind).pem))
    assert ours.grant(token(pair(kind).private, algorithm, sub="ann")).identity == "ann"
    other = token(pair(kind, 1).private, algorithm)
    assert refused(ours, other) == "the token's signature is wrong"


ANOTHER_ALGORITHM = "the token's algorithm is not allowed with this key"


@pytest.mark.parametrize("kind", ["RSA2048", "P-256", "Ed25519"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_a_public_key_is_no_secret(kind: str, digest: str) -> None:
    """Everybody may know it: what is signed with its text is signed by nobody."""
    algorithm = {"sha256": "HS256", "sha384": "HS384", "sha512": "HS512"}[digest]
    pem = pair(kind).pem
    own = {"RSA2048": "RS256", "P-256": "ES256", "Ed25519": "EdDSA"}[kind]
    for ours in (policy(read_key(pem)), policy(*read_jwks(jwks(pair(kind).jwk(own))))):
        for text in (pem, pem.rstrip(b"\n"), pem.replace(b"\n", b"\r\n")):
            forged = hand_made({"alg": algorithm}, {}, text, digest)
            assert refused(ours, forged) == ANOTHER_ALGORITHM


@pytest.mark.parametrize("name", ["none", "None", "NONE", "", "hs256", "HS257", None, 5, [], {}])
@pytest.mark.parametrize("key", [KEY, read_key(pair("P-256").pem)])
def test_an_algorithm_that_is_none(name: Any, key: TokenKey) -> None:
    """However it is put, with a signature or without."""
    for forged in (
        f"{segment({'alg': name})}.{segment({})}.",
        hand_made({"alg": name}, {}),
    ):
        assert refused(policy(key), forged) == ANOTHER_ALGORITHM
    assert refused(policy(key), f"{segment({})}.{segment({})}.") == ANOTHER_ALGORITHM


def test_a_short_secret_is_not_for_a_long_hash() -> None:
    """Even if the token is signed with it."""
    ours = policy(read_key(SHORT))
    assert ours.grant(hand_made({"alg": "HS256"}, {}, SHORT))
    forged = hand_made({"alg": "HS512"}, {}, SHORT, "sha512")
    assert refused(ours, forged) == ANOTHER_ALGORITHM


@pytest.fixture
def several() -> TokenPolicy:
    """Two public keys and a secret with names, and one without."""
    return policy(
        *read_jwks(
            jwks(
                pair("P-256").jwk("ES256", kid="one"),
                pair("P-256", 1).jwk("ES256", kid="two"),
                oct_jwk(SECRET, kid="secret", alg="HS256"),
                pair("P-256", 2).jwk("ES256"),
            )
        )
    )


def test_a_token_may_tell_its_key(several: TokenPolicy) -> None:
    """Or not: then each is tried, and so are those that have no name."""
    for number, name in enumerate(("one", "two")):
        private = pair("P-256", number).private
        assert several.grant(token(private, "ES256", name))
        assert several.grant(token(private, "ES256"))
    for name in (None, "one", "two"):
        assert several.grant(token(pair("P-256", 2).private, "ES256", name))
    assert several.grant(token(SECRET, "HS256", "secret"))


def test_a_token_of_one_key_with_the_name_of_another(several: TokenPolicy) -> None:
    """It is not taken, whatever kinds the two are of."""
    wrong = "the token's signature is wrong"
    assert refused(several, token(pair("P-256").private, "ES256", "two")) == wrong
    assert refused(several, token(pair("P-256").private, "ES256", "secret")) == wrong
    assert refused(several, token(SECRET, "HS256", "one")) == ANOTHER_ALGORITHM
    assert refused(several, token(SECRET, "HS512", "secret")) == ANOTHER_ALGORITHM
    assert refused(several, token(pair("P-256", 3).private, "ES256")) == wrong
    assert refused(several, token(pair("P-256", 3).private, "ES256", "three")) == wrong


def test_a_key_that_is_not_known() -> None:
    """A token that tells another name than those of all keys is not tried."""
    ours = policy(*read_jwks(jwks(oct_jwk(SECRET, kid="one"))))
    assert refused(ours, token(SECRET, "HS256", "two")) == "the token's key is not known"
    assert refused(ours, token(SECRET, "HS256", "")) == "the token's key is not known"
    for name in (5, None, ["one"]):
        forged = hand_made({"alg": "HS256", "kid": name}, {})
        assert refused(ours, forged) == "the token is malformed"


def test_not_all_of_many_keys_are_tried() -> None:
    """Whoever sends a token need not have one, and is not to have the server try for long."""
    keys = [oct_jwk(SECRET[number:], kid=str(number)) for number in range(20)]
    others = [pair("P-256").jwk("ES256", kid=str(number)) for number in range(20)]
    for number in (0, 3):
        signed = token(SECRET[number:], "HS256")
        assert policy(*read_jwks(jwks(*keys[:MAX_TRIES], *others))).grant(signed)
        ours = policy(*read_jwks(jwks(*keys[: MAX_TRIES + 1])))
        reason = "the token does not tell its key, and there are many (kid)"
        assert refused(ours, signed) == reason
    assert policy(*read_jwks(jwks(*keys))).grant(token(SECRET[19:], "HS256", "19"))


def test_keys_that_are_read_again_count_at_once() -> None:
    """Tokens of a key that is gone are not taken any more."""
    keys = SimpleNamespace(keys=(KEY,))
    ours = TokenPolicy(keys)
    assert ours.grant(token())
    keys.keys = (read_key(SECRET[::-1]),)
    assert refused(ours, token()) == "the token's signature is wrong"
    assert ours.grant(token(SECRET[::-1]))


def test_what_is_critical_and_not_known(several: TokenPolicy) -> None:
    """What says that it is to be understood, and is not, is refused (RFC 7515 section 4.1.11)."""
    for header in (
        {"crit": ["exp"], "exp": 5},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"b64": False},
    ):
        forged = hand_made({"alg": "HS256", **header}, {})
        assert refused(policy(), forged) == "the token is malformed"


def test_what_is_signed_is_what_counts() -> None:
    """Changed anywhere, it is not taken."""
    good = token(sub="ann")
    head, claims, signature = good.split(".")
    forged = segment({"sub": "bob"})
    for bad in (
        f"{head}.{forged}.{signature}",
        f"{head}.{claims}.{segment(hashlib.sha256(b'').digest())}",
        f"{head}.{claims}.",
        f"{segment({'alg': 'HS256'})}.{claims}.{signature}",
        f"{head}.{claims}.{signature[:-3]}",
    ):
        assert refused(policy(), bad) == "the token's signature is wrong"
    for bad in ("", ".", "..", "...", f"{head}.{claims}", f"{good}.", f"{good}.x", f"{good}\n"):
        assert refused(policy(), bad) == "the token is malformed"


def test_a_long_token_is_not_looked_at() -> None:
    """Before it is known who has sent it, it is not to take much time."""
    good = token(more="x")
    padded = token(more="x" * (LONGEST - len(good)))
    fitting = token(more="x" * ((LONGEST - len(good)) * 3 // 4))
    assert LONGEST - 8 < len(fitting) <= LONGEST < len(padded)
    assert policy().grant(fitting)
    assert refused(policy(), padded) == "the token must be 8192 characters or less"


HEADER = st.sampled_from(["alg", "kid", "b64", "crit"])
SEGMENTS = st.one_of(
    st.text(st.characters()),
    st.sampled_from([segment({"alg": "HS256"}), segment({"alg": "ES256"}), segment({})]),
    st.recursive(
        st.none() | st.text(st.characters()) | st.integers() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(HEADER, inner),
    ).map(segment),
)


@given(st.text(st.characters()) | st.lists(SEGMENTS, max_size=4).map(".".join))
@example("\ud800")
@example("\ud800.\ud800.\ud800")
def test_no_token_is_too_strange_to_be_refused(text: str) -> None:
    """Nobody comes in with what is made up."""
    both = policy(KEY, read_key(pair("P-256").pem))
    assert refused(both, text).startswith("the token")


CLAIM = st.recursive(
    st.none() | st.booleans() | st.text(st.characters()) | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["channels", "allow", "match"]) | st.text(st.characters()), inner
        )
    ),
)
NAMES = ["sub", "exp", "expire_at", "nbf", "iat", "aud", "iss", "info", "caps", "jti"]
CLAIMS = st.dictionaries(st.sampled_from([*NAMES, "channel", "channels", "subs"]), CLAIM)


@given(CLAIMS)
def test_no_claim_is_too_strange(claims: dict[str, Any]) -> None:
    """What is signed makes a grant, or is refused."""
    signed = hand_made({"alg": "HS256"}, claims)
    for ours in (policy(), policy(audience="us", issuer="them")):
        with suppress(RefusedError):
            grant = ours.grant(signed)
            told = [grant.identity, grant.info, *(each.data for each in grant.subscriptions)]
            json.dumps(told, allow_nan=False)
            assert grant.expires is None or grant.expires > now()


# What it allows.


def test_caps() -> None:
    """Those of Centrifugo: exact names unless it is said otherwise."""
    sub = frozenset({"sub"})
    assert capabilities([]) == ()
    assert capabilities(
        [
            {"channels": ["a*"], "allow": ["sub"]},
            {"channels": ["a*"], "allow": ["sub"], "match": ""},
            {"channels": ["a*"], "allow": ["sub"], "match": "exact"},
            {"channels": ["a*", "b"], "allow": ["sub", "pub", "sub"], "match": "wildcard"},
            {"channels": [], "allow": []},
        ]
    ) == (
        Capability(("a*",), sub),
        Capability(("a*",), sub),
        Capability(("a*",), sub),
        Capability(("a*", "b"), frozenset({"sub", "pub"}), wildcard=True),
        Capability((), frozenset()),
    )


def test_no_caps_are_all_and_empty_ones_none() -> None:
    """It is a difference whether nothing is said or nothing is allowed."""
    assert policy().grant(token()).allows("pub", "strings")
    assert not policy().grant(token(caps=[])).allows("pub", "strings")


@pytest.mark.parametrize(
    "caps",
    [
        None,
        5,
        "sub",
        {"channels": ["a"], "allow": ["sub"]},
        ["sub"],
        [["a", "sub"]],
        [None],
        [{}],
        [{"channels": ["a"]}],
        [{"allow": ["sub"]}],
        [{"channels": "a", "allow": ["sub"]}],
        [{"channels": ["a"], "allow": "sub"}],
        [{"channels": [5], "allow": ["sub"]}],
        [{"channels": ["a"], "allow": [None]}],
        [{"channels": ["a"], "allow": {"sub": True}}],
        [{"channels": ["a"], "allow": ["sub"], "match": "regex"}],
        [{"channels": ["a"], "allow": ["sub"], "match": None}],
        [{"channels": ["a"], "allow": ["sub"], "match": ["exact"]}],
        [{"channels": ["a"], "allow": ["sub"], "deny": ["sub"]}],
        [{"channels": ["a"], "allow": ["sub"]}, 5],
    ],
)
def test_caps_that_are_none(caps: Any) -> None:
    """What cannot be understood as a whole is not understood in part."""
    with pytest.raises(RefusedError) as caught:
        capabilities(caps)
    assert (caught.value.status, str(caught.value)) == (401, "the token's caps are malformed")


@given(CLAIM)
def test_no_caps_are_too_strange(caps: Any) -> None:
    """They are capabilities, or refused."""
    try:
        found = capabilities(caps)
    except RefusedError:
        return
    assert all(isinstance(capability, Capability) for capability in found)


# Where it comes from.


def request(uri: str = "/", **headers: str) -> AccessRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return AccessRequest("GET", "main", "127.0.0.1", uri, named)


@pytest.mark.parametrize(
    ("request_", "token"),
    [
        (request(), None),
        (request(authorization="Bearer abc"), "abc"),
        (request(authorization="bEARER   abc  "), "abc"),
        (request(authorization="Bearer"), ""),
        (request(authorization="Bearer "), ""),
        (request(authorization="Basic abc"), None),
        (request(authorization=""), None),
        (request(authorization="abc"), None),
        (request(authorization="Bearerabc"), None),
        (request(sec_websocket_protocol="bearer, abc"), "abc"),
        (request(sec_websocket_protocol="bearer,abc,def"), "abc"),
        (request(sec_websocket_protocol="bearer"), None),
        (request(sec_websocket_protocol="chat, bearer, abc"), None),
        (request(sec_websocket_protocol="Bearer, abc"), None),
        (request(sec_websocket_protocol=""), None),
        (request("/?token=abc"), "abc"),
        (request("/a?last=1&token=a%2Bc&token=d"), "a+c"),
        (request("http://localhost/?token=abc"), "abc"),
        (request("/?token="), None),
        (request("/?token"), None),
        (request("/?tokens=abc"), None),
        (request("/token=abc"), None),
        (request("/?last=token"), None),
        (replace(request(), token="abc"), "abc"),
        (replace(request("/?token=def"), token=""), "def"),
        (replace(request("/?token=def"), token=None), "def"),
        (request(cookie="token=abc"), None),
    ],
)
def test_where_a_token_may_be(request_: AccessRequest, token: str | None) -> None:
    """Sent by itself, in a header, as a subprotocol, or in the query of the URL."""
    assert find_token(request_) == token


def test_what_is_sent_on_purpose_counts_for_more() -> None:
    """What is sent later, header, subprotocol, query, cookie, in this order."""
    headers = {
        "authorization": "Bearer header",
        "sec_websocket_protocol": "bearer, protocol",
        "cookie": "session=cookie",
    }
    all_of_them = request("/?token=query", **headers)
    found = [find_token(replace(all_of_them, token="later"), "session")]
    for name in (*headers, None):
        found.append(find_token(request("/?token=query" if name else "/", **headers), "session"))
        headers.pop(str(name), None)
    assert found == ["later", "header", "protocol", "query", None]
    assert find_token(request(cookie="session=cookie"), "session") == "cookie"


@pytest.mark.parametrize(
    ("cookies", "token"),
    [
        ("session=abc", "abc"),
        ("a=b; session=abc;c=d", "abc"),
        ("a=b;session=a=b", "a=b"),
        ("session=abc; session=def", "abc"),
        ("session=", ""),
        ("session", ""),
        ("Session=abc", None),
        ("mysession=abc; session2=abc", None),
        ("a=session=abc", None),
        ("", None),
    ],
)
def test_cookies(cookies: str, token: str | None) -> None:
    """The one of that name, and of several the first: what is more special comes first."""
    assert find_token(request(cookie=cookies), "session") == token


@pytest.mark.parametrize(
    ("headers", "counts"),
    [
        ({}, True),
        ({"origin": "http://localhost"}, True),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "https://allowed.example"}, True),
    ],
)
def test_a_cookie_that_another_site_has_the_browser_send(
    headers: dict[str, str], counts: bool
) -> None:
    """It counts only with an origin, which is checked."""
    found = find_token(request(cookie="session=abc", **headers), "session")
    assert found == ("abc" if counts else None)
    sent = find_token(request("/?token=abc", **headers), "session")
    assert sent == "abc", "what was sent on purpose counts all the same"


HEADER_NAMES = ["authorization", "sec-websocket-protocol", "cookie", "origin", "sec-fetch-site"]


@given(
    st.text(st.characters()),
    st.dictionaries(st.sampled_from(HEADER_NAMES), st.text(st.characters())),
    st.text(st.characters()) | st.none(),
)
def test_no_request_is_too_strange(uri: str, headers: dict[str, str], cookie: str | None) -> None:
    """It has a token or none."""
    found = find_token(AccessRequest("GET", "main", "127.0.0.1", uri, headers), cookie)
    assert found is None or isinstance(found, str)


def test_connecting() -> None:
    """Whoever has no token learns that it takes one; whoever has one is let in."""
    ours = policy(cookie="session")
    with pytest.raises(RefusedError) as caught:
        ours.connect(request())
    assert (caught.value.status, str(caught.value)) == (401, "a token is needed")
    good = token(sub="ann")
    for asked in (
        request(f"/?token={good}"),
        request(authorization=f"Bearer {good}"),
        request(sec_websocket_protocol=f"bearer, {good}"),
        request(cookie=f"session={good}"),
        replace(request(authorization="Bearer"), token=good),
    ):
        assert ours.connect(asked).identity == "ann"
    with pytest.raises(RefusedError, match="the token is malformed"):
        ours.connect(request(f"/?token={good}", authorization="Bearer"))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ((KEY,), "tokens: 1 key (HS256, HS384, HS512)"),
        (
            (KEY, read_key(pair("P-256").pem)),
            "tokens: 2 keys (ES256, HS256, HS384, HS512)",
        ),
    ],
)
def test_it_can_be_told_without_a_secret(keys: Sequence[TokenKey], words: str) -> None:
    """A log says what decides, and not by which secret."""
    ours = policy(*keys)
    assert str(ours) == words
    assert SECRET.decode() not in repr(ours)


def test_a_request_shows_no_token() -> None:
    """Wherever it has it."""
    asked = request("/?token=abcdef", authorization="Bearer abcdef", cookie="a=abcdef")
    shown = repr(replace(asked, token="abcdef", data={"password": "abcdef"}))
    assert shown == "AccessRequest(method='GET', channel='main', address='127.0.0.1')"


def test_what_is_made_by_hand_is_a_token() -> None:
    """What the tests make by hand is a token to the library as well."""
    made = hand_made({"alg": "HS256"}, {"sub": "ann"})
    assert jwt.decode(made, SECRET, ["HS256"]) == {"sub": "ann"}
