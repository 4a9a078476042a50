"""Tokens where a connection has many channels: those it gets, and tokens for single ones."""

from __future__ import annotations

import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from orchestra.policy.access import Access, AccessRequest
from orchestra.policy.grants import Capability, Grant, ServerSubscription
from orchestra.policy.token_keys import read_key
from orchestra.policy.tokens import LEEWAY, LONGEST, TokenPolicy, subscriptions
from orchestra.refusal import RefusedError
from tests.policy.keys import SECRET, hand_made, now, pair, segment, token

ANN = Grant("ann", {"name": "Ann"}, capabilities=())
NOBODY = Grant()
ANOTHER_USER = (403, "the token is for somebody else")
ANOTHER_CHANNEL = (403, "the token is for another channel")
MALFORMED = (401, "the token is malformed")
EXPIRED = (401, "the token has expired")


def policy(**options: Any) -> TokenPolicy:
    return TokenPolicy(SimpleNamespace(keys=(read_key(SECRET),)), **options)


def signed(**claims: Any) -> str:
    """A token with claims that a library would not let through."""
    return hand_made({"alg": "HS256"}, claims)


def refused(grant: Grant, token: str, channel: str = "news", **options: Any) -> tuple[int, str]:
    """What is said to a token for a single channel that is not taken."""
    with pytest.raises(RefusedError) as caught:
        policy(**options).subscription(grant, channel, token)
    return caught.value.status, str(caught.value)


def refused_at_once(token: str) -> tuple[int, str]:
    """What is said to a token that is sent to come in."""
    with pytest.raises(RefusedError) as caught:
        policy().grant(token)
    return caught.value.status, str(caught.value)


# Channels that somebody gets without asking.


def test_channels() -> None:
    """Their names are enough; one that is there twice is there once, as in Centrifugo."""
    grant = policy().grant(token(sub="ann", channels=["news", "chat/a b", "news"]))
    assert grant.subscriptions == (ServerSubscription("news"), ServerSubscription("chat/a b"))


def test_subs() -> None:
    """What is said of each counts, and what is not known of it does not."""
    subs = {
        "a": {},
        "b": None,
        "c": {"data": {"x": [1]}, "info": {"y": 2}, "b64data": "AA==", "more": 1},
        "d": {"override": {"force_recovery": {"value": False}, "presence": 5}},
        "e": {"override": {"force_push_join_leave": {"value": True}, "join_leave": {}}},
        "f": {"override": {"force_recovery": {}, "force_push_join_leave": {}}},
        "g": {"override": {"force_recovery": None, "force_push_join_leave": None}},
        "h": {"override": None, "data": None},
        "i": {"override": {"join_leave": {"value": True}, "force_recovery": {"value": True}}},
    }
    assert policy().grant(token(subs=subs)).subscriptions == (
        ServerSubscription("a"),
        ServerSubscription("b"),
        ServerSubscription("c", {"x": [1]}),
        ServerSubscription("d", recoverable=False),
        ServerSubscription("e", join_leave=True),
        ServerSubscription("f", recoverable=False, join_leave=False),
        ServerSubscription("g"),
        ServerSubscription("h"),
        ServerSubscription("i"),
    )


@pytest.mark.parametrize("nothing", [{}, {"channels": None, "subs": None}, {"subs": {}}])
def test_whoever_gets_no_channel(nothing: dict[str, Any]) -> None:
    """There are libraries that write what is not there."""
    assert subscriptions(nothing) == ()


def test_channels_do_not_count_beside_subs() -> None:
    """As in Centrifugo; but they are not to be wrong."""
    a, b = ServerSubscription("a"), ServerSubscription("b")
    assert subscriptions({"channels": ["a"], "subs": {"b": {}}}) == (b,)
    assert subscriptions({"channels": ["a"], "subs": {}}) == (a,)
    assert refused_at_once(token(channels=5, subs={"b": {}}))[0] == 401


@pytest.mark.parametrize(
    "channels",
    [0, 5, False, "", "news", {}, {"news": {}}, [None], [5], [["a"]], [""], ["a\n"], ["a" * 256]],
)
def test_channels_that_are_none(channels: Any) -> None:
    """They are not understood in part."""
    for claim in (channels, ["good", *channels] if isinstance(channels, list) else channels):
        said = refused_at_once(signed(channels=claim))
        assert said == (401, "the token's channels are malformed")


@pytest.mark.parametrize(
    "subs",
    [
        0,
        False,
        "",
        "news",
        [],
        ["news"],
        {"": {}},
        {"\x00": {}},
        {"a" * 256: {}},
        {"\ud800": {}},
        {"a": 5},
        {"a": []},
        {"a": False},
        {"a": {"data": float("nan")}},
        {"a": {"data": [float("inf")]}},
        {"a": {"override": []}},
        {"a": {"override": True}},
        {"a": {"override": {"force_recovery": True}}},
        {"a": {"override": {"force_recovery": {"value": None}}}},
        {"a": {"override": {"force_recovery": {"value": 0}}}},
        {"a": {"override": {"force_push_join_leave": {"value": "true"}}}},
        {"a": {"override": {"force_push_join_leave": []}}},
        {"good": {}, "bad": 5},
    ],
)
def test_subs_that_are_none(subs: Any) -> None:
    """They are not understood in part, either."""
    assert refused_at_once(signed(subs=subs)) == (401, "the token's subs are malformed")


# Until when.


@pytest.mark.parametrize(
    ("claims", "left"),
    [
        ({"expire_at": 60}, 60),
        ({"expire_at": 60, "exp": 30}, 60),
        ({"expire_at": 30, "exp": 60}, 30),
        ({"exp": 30}, 30),
        ({"expire_at": None, "exp": 30}, 30),
        ({"expire_at": 0, "exp": 30}, None),
        ({"expire_at": 0}, None),
        ({"expire_at": 0.0}, None),
        ({"expire_at": -4}, -4),
    ],
)
def test_expire_at(claims: dict[str, Any], left: int | None) -> None:
    """It counts in place of exp, until when the token itself can be used; 0 is for good."""
    base = now()
    claims = {name: value + base if value else value for name, value in claims.items()}
    expected = None if left is None else base + left + LEEWAY
    assert policy().grant(signed(**claims)).expires == expected
    single = signed(**claims, sub="ann", channel="news")
    assert policy().subscription(ANN, "news", single).expires == expected


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": -6}, EXPIRED),
        ({"exp": -6, "expire_at": 60}, EXPIRED),
        ({"expire_at": -6}, EXPIRED),
        ({"expire_at": -6, "exp": 60}, EXPIRED),
        ({"nbf": 8}, (401, "the token is not valid yet")),
    ],
)
def test_out_of_time(claims: dict[str, Any], words: tuple[int, str]) -> None:
    """By more than clocks may be wrong. What has expired can be told from all else."""
    claims = {name: value + now() for name, value in claims.items()}
    for ask in (
        lambda: policy().grant(token(**claims)),
        lambda: policy().subscription(NOBODY, "news", token(**claims, channel="news")),
    ):
        with pytest.raises(RefusedError) as caught:
            ask()
        assert (caught.value.status, str(caught.value)) == words
        assert caught.value.kind == ("expired" if words == EXPIRED else "unauthorized")


@pytest.mark.parametrize(
    ("expires", "words"),
    [
        (-1, EXPIRED),
        (0.5, EXPIRED),
        (False, MALFORMED),
        (True, MALFORMED),
        ("0", MALFORMED),
        ("", MALFORMED),
        ([], MALFORMED),
        ({}, MALFORMED),
        (float("nan"), MALFORMED),
        (float("inf"), MALFORMED),
        (10**400, MALFORMED),
    ],
)
def test_no_strange_time_is_for_good(expires: Any, words: tuple[int, str]) -> None:
    """Only 0 is."""
    assert refused_at_once(signed(expire_at=expires)) == words
    assert refused(NOBODY, signed(expire_at=expires, channel="news")) == words


# Tokens for a single channel.


def test_what_a_token_for_a_channel_allows() -> None:
    """To listen there, by whoever it is on this connection, and nothing else."""
    until = now() + 60
    single = token(sub="ann", channel="news", exp=until, info={"name": "Bob"}, caps=[], more=1)
    grant = policy().subscription(ANN, "news", single)
    assert grant == Grant(
        "ann",
        {"name": "Ann"},
        until + LEEWAY,
        (Capability(("news",), frozenset({"sub"})),),
        (ServerSubscription("news"),),
    )
    assert grant.allows("sub", "news")
    assert not any(grant.allows(what, "news") for what in ("pub", "prs", "hst"))
    assert not grant.allows("sub", "news2")


def test_what_a_token_has_for_its_channel() -> None:
    """It is said as it is for channels that one gets without asking."""
    override = {"force_recovery": {"value": False}, "force_push_join_leave": {"value": True}}
    single = token(channel="news", data=[1], override=override)
    assert policy().subscription(NOBODY, "news", single).subscriptions == (
        ServerSubscription("news", [1], recoverable=False, join_leave=True),
    )


@pytest.mark.parametrize("claims", [{"override": 5}, {"data": float("nan")}])
def test_what_makes_no_sense_for_a_channel(claims: dict[str, Any]) -> None:
    """It is refused, even if it is signed."""
    assert refused(NOBODY, signed(channel="news", **claims)) == MALFORMED


@pytest.mark.parametrize(
    "channel",
    ["newss", "new", "News", "*", "n*", "news ", "/news", 5, True, ["news"], {"news": 1}],
)
def test_another_channel(channel: Any) -> None:
    """Names are compared as a whole; a star is one like any other letter."""
    assert refused(ANN, signed(sub="ann", channel=channel)) == ANOTHER_CHANNEL
    if isinstance(channel, str):
        assert policy().subscription(ANN, channel, token(sub="ann", channel=channel))


def test_a_star_is_no_wildcard() -> None:
    """A token for the channel of that name allows none but that."""
    grant = policy().subscription(NOBODY, "a*", token(channel="a*"))
    assert (grant.allows("sub", "a*"), grant.allows("sub", "ab")) == (True, False)


@pytest.mark.parametrize(
    ("grant", "claims", "is_its_own"),
    [
        (ANN, {"sub": "ann"}, True),
        (ANN, {"sub": "bob"}, False),
        (ANN, {"sub": "Ann"}, False),
        (ANN, {"sub": ""}, False),
        (ANN, {}, False),
        (NOBODY, {}, True),
        (NOBODY, {"sub": ""}, True),
        (NOBODY, {"sub": "ann"}, False),
        (Grant(""), {}, True),
        (Grant(""), {"sub": "ann"}, False),
    ],
)
def test_another_user(grant: Grant, claims: dict[str, Any], is_its_own: bool) -> None:
    """A token that one user gives another is of no use; nor is one of nobody's, or to nobody."""
    single = token(**claims, channel="news")
    if is_its_own:
        assert policy().subscription(grant, "news", single).identity == grant.identity
    else:
        assert refused(grant, single) == ANOTHER_USER


def test_a_token_for_one_client() -> None:
    """A policy does not know which one that is, so it is nobody's."""
    for nobody in ("", None):
        assert policy().subscription(NOBODY, "news", signed(channel="news", client=nobody))
    for client in ("abc", 0, False, []):
        said = refused(NOBODY, signed(channel="news", client=client))
        assert said == (403, "the token is for a single connection (client)")


@pytest.mark.parametrize("channel", [None, ""])
def test_a_token_for_no_channel_is_to_come_in(channel: str | None) -> None:
    """And for nothing else, whatever else it has."""
    for claims in ({}, {"channel": channel}):
        to_come_in = signed(sub="ann", channels=["news"], **claims)
        assert policy().grant(to_come_in).identity == "ann"
        for asked in ("news", ""):
            said = refused(ANN, to_come_in, asked)
            assert said == (401, "the token is not for a subscription, as it has no channel")


@pytest.mark.parametrize("channel", ["news", " ", 0, False, [], {}, [""]])
def test_a_token_for_a_channel_is_not_to_come_in(channel: Any) -> None:
    """Whatever it is, it is not for everything."""
    said = refused_at_once(signed(sub="ann", channel=channel))
    assert said == (401, "the token is for a subscription, as it has a channel")


def test_it_is_checked_like_any_other() -> None:
    """Who has signed it, for whom, and how long it is."""
    good = token(sub="ann", channel="news")
    head, claims, signature = good.split(".")
    wrong = (401, "the token's signature is wrong")
    another_algorithm = (401, "the token's algorithm is not allowed with this key")
    assert refused(ANN, token(SECRET[::-1], sub="ann", channel="news")) == wrong
    assert refused(ANN, f"{head}.{segment({'sub': 'ann', 'channel': 'b'})}.{signature}") == wrong
    for name in ("none", "None", "ES256", None):
        for forged in (
            f"{segment({'alg': name})}.{claims}.",
            hand_made({"alg": name}, {"channel": "news"}),
        ):
            assert refused(ANN, forged) == another_algorithm
    by_another = token(pair("P-256").private, "ES256", sub="ann", channel="news")
    assert refused(ANN, by_another) == another_algorithm
    long = token(sub="ann", channel="news", more="x" * LONGEST)
    assert refused(ANN, long) == (401, "the token must be 8192 characters or less")
    for nonsense in ("", ".", "..", "\ud800", good[:-40], f"{good}."):
        assert refused(ANN, nonsense)[0] == 401
    assert refused(ANN, good, audience="us")[1].endswith("who it is from, or for")
    ours = policy(audience="us", issuer="them")
    theirs = token(sub="ann", channel="news", aud="us", iss="them")
    assert ours.subscription(ANN, "news", theirs).allows("sub", "news")
    assert refused(ANN, theirs) == (401, "the token is for another audience")
    for sub in (5, None, ["ann"]):
        said = refused(ANN, signed(sub=sub, channel="news"))
        assert said == (401, "the token's sub is not a string")


def test_it_is_asked_for_by_access(clock: Clock) -> None:
    """With the grant that the same policy has made of another token."""
    access = Access(clock, policy())
    sent = AccessRequest("GET", "", "127.0.0.1", "/", {}, token(sub="ann", caps=[]))
    grant: Any = access.connect(sent)
    single: Any = access.subscription(grant, "news", token(sub="ann", channel="news"))
    assert (grant.allows("sub", "news"), single.allows("sub", "news")) == (False, True)
    with pytest.raises(RefusedError, match=r"^the token is for somebody else$"):
        access.subscription(grant, "news", token(sub="bob", channel="news"))


VALUE = st.recursive(
    st.none() | st.booleans() | st.text(st.characters()) | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "override", "force_recovery", "value"])
            | st.text(st.characters()),
            inner,
        )
    ),
)
NAMES = ["sub", "channel", "channels", "subs", "client", "expire_at", "exp", "data", "override"]
CLAIMS = st.dictionaries(st.sampled_from(NAMES), VALUE)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "sub": st.sampled_from(["ann", "bob", ""]),
        "channel": st.sampled_from(["news", "chat", ""]),
        "channels": st.lists(st.sampled_from(["news", "chat", "a\n"])),
        "subs": st.dictionaries(st.sampled_from(["news", "chat"]), VALUE),
        "data": VALUE,
        "expire_at": st.sampled_from([0, 1, now() + 1000]),
    },
)


@given(CLAIMS | LIKELY)
def test_no_claim_is_too_strange(claims: dict[str, Any]) -> None:
    """What is signed is of one kind at most, and allows nothing that it does not say."""
    both = []
    with suppress(RefusedError):
        both.append(policy().grant(signed(**claims)))
    with suppress(RefusedError):
        both.append(policy().subscription(ANN, "news", signed(**claims)))
        assert (claims["channel"], claims["sub"]) == ("news", "ann")
        assert both[-1].capabilities == (Capability(("news",), frozenset({"sub"})),)
    assert len(both) < 2
    for grant in both:
        json.dumps([each.data for each in grant.subscriptions], allow_nan=False)
        assert grant.expires is None or grant.expires > now()
        if grant.expires is None:
            assert claims.get("expire_at") == 0 or "exp" not in claims
