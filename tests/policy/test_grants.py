"""What somebody may do."""

from __future__ import annotations

import json
import sys
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.policy.grants import (
    EVERYTHING,
    HISTORY,
    PRESENCE,
    PUBLISH,
    SUBSCRIBE,
    Capability,
    Grant,
    ServerSubscription,
)
from orchestra.refusal import RefusedError

ALL = (SUBSCRIBE, PUBLISH, PRESENCE, HISTORY)


def allowed(grant: Grant, channel: str) -> set[str]:
    return {what for what in ALL if grant.allows(what, channel)}


def test_without_capabilities_everything_is_allowed() -> None:
    """Where there is nothing that restricts, there is no restriction."""
    assert allowed(EVERYTHING, "strings") == allowed(Grant("ann"), "a/b") == set(ALL)


def test_with_no_capability_nothing_is() -> None:
    """An empty list allows nothing, as opposed to no list."""
    assert allowed(Grant(capabilities=()), "strings") == set()


def test_what_no_capability_covers_is_not_allowed() -> None:
    """Names are compared as a whole, and with regard to case."""
    grant = Grant(capabilities=(Capability(("strings", "brass"), frozenset({"sub"})),))
    assert allowed(grant, "strings") == allowed(grant, "brass") == {"sub"}
    for other in ("string", "strings2", "Strings", "strings/a", "main", "", "*"):
        assert allowed(grant, other) == set()


def test_the_first_that_covers_a_channel_counts_alone() -> None:
    """What comes behind it neither adds anything nor takes it away."""
    grant = Grant(
        capabilities=(
            Capability(("strings",), frozenset({"sub"})),
            Capability(("strings", "brass"), frozenset(ALL)),
            Capability(("*",), frozenset({"prs"}), wildcard=True),
            Capability(("woodwind",), frozenset(ALL)),
        )
    )
    assert allowed(grant, "strings") == {"sub"}
    assert allowed(grant, "brass") == set(ALL)
    assert allowed(grant, "woodwind") == {"prs"}


def test_a_star_is_one_only_in_wildcards() -> None:
    """Exact names may have one in them."""
    sub = frozenset({"sub"})
    exact = Grant(capabilities=(Capability(("a*",), sub),))
    assert (exact.allows("sub", "a*"), exact.allows("sub", "ab")) == (True, False)
    wildcard = Grant(capabilities=(Capability(("x", "a*/c"), sub, wildcard=True),))
    for channel, covered in {
        "ab/c": True,
        "a/b/c": True,
        "a/c": True,
        "x": True,
        "a/cd": False,
        "ba/c": False,
        "xx": False,
    }.items():
        assert wildcard.allows("sub", channel) is covered, channel


def test_nothing_else_is_allowed_than_what_is_said() -> None:
    """A word that is not known allows nothing."""
    grant = Grant(capabilities=(Capability(("a",), frozenset({"SUB", "publish", "*"})),))
    assert allowed(grant, "a") == set()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (SUBSCRIBE, "listening is not allowed in this channel"),
        (PUBLISH, "publishing is not allowed in this channel"),
        (PRESENCE, "asking who is there is not allowed in this channel"),
        (HISTORY, "asking for the past is not allowed in this channel"),
    ],
)
def test_a_refusal_says_what_is_not_allowed(what: str, reason: str) -> None:
    """It is 403: who it is, is known."""
    Grant(capabilities=(Capability(("a",), frozenset({what})),)).check(what, "a")
    with pytest.raises(RefusedError) as caught:
        Grant(capabilities=(Capability(("a",), frozenset(ALL) - {what}),)).check(what, "a")
    assert (caught.value.status, str(caught.value)) == (403, reason)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)  # fmt: skip


@given(JSON)
def test_an_info_is_whatever_json_can_say(info: Any) -> None:
    """It is kept as it is."""
    assert Grant(info=info).info == info


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "info", [nan, inf, [-inf], {"a": {1}}, b"a", object(), {(1,): 1}, nested(100_000)]
)
def test_what_could_not_be_told_is_no_info(info: Any) -> None:
    """One such member would keep everybody from learning who is there."""
    with pytest.raises(ValueError, match="info must be a value of JSON that is not nested deeply"):
        Grant(info=info)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="depth is no matter of the stack there")
def test_an_info_can_be_told_from_deeper_down() -> None:
    """However deep it is nested: what is accepted can be encoded where the stack is deeper."""

    def encoded_below(frames: int, info: Any) -> str:
        return encoded_below(frames - 1, info) if frames else json.dumps(info)

    deepest = None
    for depth in range(1000):
        try:
            deepest = Grant(info=nested(depth)).info
        except ValueError:
            break
    assert deepest is not None
    encoded_below(80, deepest)


def test_when_it_holds() -> None:
    """Until the moment that it names, or always."""
    grant = Grant("ann", expires=100.0)
    assert grant.holds(lambda: 99.9)
    assert not grant.holds(lambda: 100.0)
    assert EVERYTHING.holds(lambda: inf)
    grant.check_time(lambda: 99.9)
    with pytest.raises(RefusedError, match=r"^the token has expired$") as refused:
        grant.check_time(lambda: 100.0)
    assert (refused.value.status, refused.value.kind) == (401, "expired")


@pytest.mark.parametrize("identity", [b"ann", 1, ("ann",)])
def test_an_identity_that_is_no_string_is_refused(identity: Any) -> None:
    """It could not be told to others, and would keep all of them from being told of anybody."""
    with pytest.raises(ValueError, match=f"must be a string, not {type(identity).__name__}"):
        Grant(identity)


@pytest.mark.parametrize(("channels", "allow"), [("news", {"sub"}), (("news",), "sub")])
def test_a_string_is_not_several(channels: Any, allow: Any) -> None:
    """Of which each character, or each part, would be allowed."""
    with pytest.raises(ValueError, match="must be collections of strings"):
        Capability(channels, allow)


# The channels that it gets without asking.


def test_what_is_said_of_a_subscription() -> None:
    """Nothing but its channel has to be: then it goes on where it was cut off."""
    assert ServerSubscription("news") == ServerSubscription("news", None, True, False)
    assert Grant().subscriptions == ()
    two = (ServerSubscription("news", {"a": [1]}), ServerSubscription("chat", join_leave=True))
    assert Grant("ann", subscriptions=two).subscriptions == two


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        ("", "a channel name must have 1 to 255 bytes of UTF-8, not 0"),
        ("a" * 256, "a channel name must have 1 to 255 bytes of UTF-8, not 256"),
        ("\ud800", "a channel name must be valid Unicode"),
        ("a\nb", "a channel name must not contain control characters"),
        (None, "channel must be a string, not NoneType"),
        (b"news", "channel must be a string, not bytes"),
        (["news"], "channel must be a string, not list"),
    ],
)
def test_a_subscription_to_what_is_no_channel(channel: Any, reason: str) -> None:
    """Whoever makes one learns that, and not each client that is to have it."""
    with pytest.raises(ValueError, match=f"^{reason}$"):
        ServerSubscription(channel)


@given(JSON)
def test_data_is_whatever_json_can_say(data: Any) -> None:
    """It is kept as it is."""
    assert ServerSubscription("news", data).data == data


@pytest.mark.parametrize("data", [nan, [-inf], {1, 2}, b"a", object(), nested(100_000)])
def test_what_could_not_be_told_is_no_data(data: Any) -> None:
    """It would keep the client from being told of any channel."""
    with pytest.raises(ValueError, match="data must be a value of JSON that is not nested deeply"):
        ServerSubscription("news", data)


@pytest.mark.parametrize(
    ("subscriptions", "reason"),
    [
        ("news", "must be a tuple of ServerSubscription"),
        (("news",), "must be a tuple of ServerSubscription"),
        ((ServerSubscription("news"), None), "must be a tuple of ServerSubscription"),
        ((ServerSubscription("a"), ServerSubscription("a", 1)), "must have no channel twice"),
    ],
)
def test_subscriptions_that_are_none(subscriptions: Any, reason: str) -> None:
    """Names alone are none, and nobody can be in a channel twice."""
    with pytest.raises(ValueError, match=f"^subscriptions {reason}$"):
        Grant(subscriptions=subscriptions)
