"""URLs and what they ask for."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.channel import check_name
from orchestra.position import Position
from orchestra.urls import RESERVED, BadTargetError, Target, parse_target


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("/", Target("main")),
        ("", Target("main")),
        ("/?", Target("main")),
        ("/main", Target("main")),
        ("/strings", Target("strings")),
        ("/strings/", Target("strings/")),
        ("/a/b", Target("a/b")),
        ("//a", Target("/a")),
        ("/..", Target("..")),
        ("/Bl%C3%A4ser", Target("Bläser")),
        ("/Bl\xc3\xa4ser", Target("Bläser")),
        ("/a%2Fb%3Fc", Target("a/b?c")),
        ("/apis", Target("apis")),
        ("/a;b=c", Target("a;b=c")),
        ("/a?last=0", Target("a", last=0)),
        ("/a?last=007", Target("a", last=7)),
        ("/a?last=1000000000", Target("a", last=1_000_000_000)),
        ("/a?echo=0", Target("a", echo=False)),
        ("/?echo=1&last=5&other=x", Target("main", last=5)),
        ("/a?since=1f2e3d4c:42", Target("a", since=Position("1f2e3d4c", 42))),
        ("/a?since=1f2e3d4c%3A0", Target("a", since=Position("1f2e3d4c", 0))),
        ("/a?since=x:1&last=2", Target("a", last=2, since=Position("x", 1))),
        ("/a?presence", Target("a", presence="")),
        ("/a?presence=", Target("a", presence="")),
        ("/a?last=1&presence=count", Target("a", last=1, presence="count")),
        ("http://localhost:8080/a?last=1", Target("a", last=1)),
        ("http://localhost:8080", Target("main")),
        ("http://localhost:8080?presence", Target("main", presence="")),
    ],
)
def test_a_good_url_names_a_channel(uri: str, target: Target) -> None:
    """The path is the channel, percent-decoded; the query says how to join it."""
    assert parse_target(uri) == target


@pytest.mark.parametrize(
    ("uri", "status", "reason"),
    [
        ("/%00", 400, "control characters"),
        ("/a%0Ab", 400, "control characters"),
        ("/%ff", 400, "must be UTF-8"),
        ("/\xff", 400, "must be UTF-8"),
        ("/" + "x" * 256, 400, "1 to 255 bytes"),
        ("/?last=-1", 400, "last must be a whole number from 0 to 1000000000"),
        ("/?last=", 400, "last must be"),
        ("/?last=1.5", 400, "last must be"),
        ("/?last=%D9%A3", 400, "last must be"),
        ("/?last=1000000001", 400, "last must be"),
        ("/?last=" + "9" * 5000, 400, "last must be"),
        ("/?last=1&last=2", 400, "last must be"),
        ("/?echo=no", 400, "echo must be a whole number from 0 to 1"),
        ("/?echo=2", 400, "echo must be"),
        ("/?since=", 400, "since must be an epoch and an offset, as in 1f2e3d4c:42"),
        ("/?since", 400, "since must be"),
        ("/?since=42", 400, "since must be"),
        ("/?since=a:", 400, "since must be"),
        ("/?since=:1", 400, "since must be"),
        ("/?since=a:-1", 400, "since must be"),
        ("/?since=a:01", 400, "since must be"),
        ("/?since=a:1%0A", 400, "since must be"),
        ("/?since=a:%D9%A3", 400, "since must be"),
        ("/?since=%C3%A4:1", 400, "since must be"),
        ("/?since=a+b:1", 400, "since must be"),
        ("/?since=a:" + "9" * 19, 400, "since must be"),
        ("/?since=" + "a" * 65 + ":1", 400, "since must be"),
        ("/?since=a:1&since=a:1", 400, "since must be"),
        ("/?presence=all", 400, "presence must have no value, or be count"),
        ("/?presence&presence", 400, "presence must"),
        ("/?presence=Count", 400, "presence must"),
        ("/?" + "&".join("abcdefghij" * 11), 400, "cannot be parsed"),
        ("http://[/", 400, "cannot be parsed"),
        *((f"/{segment}", 404, "the server's own") for segment in RESERVED),
        ("/api/publish", 404, "the server's own"),
        ("/ap%69", 404, "the server's own"),
    ],
)
def test_a_bad_url_is_refused(uri: str, status: int, reason: str) -> None:
    """The error has a status, and a reason on one line that repeats nothing of the URL."""
    with pytest.raises(BadTargetError, match=reason) as caught:
        parse_target(uri)
    assert caught.value.status == status
    assert str(caught.value).isprintable()


@given(st.text(min_size=1, max_size=60))
def test_every_name_has_a_url(name: str) -> None:
    """Quoted into a path, each name that is allowed comes back as it was."""
    try:
        check_name(name)
        if name.split("/", 1)[0] in RESERVED:
            return
    except ValueError:
        return
    assert parse_target("/" + quote(name, safe="")).channel == name


@given(
    st.text(st.sampled_from("0123456789abcxyzABCXYZ_-"), min_size=1, max_size=64),
    st.integers(0, 10**18 - 1),
)
def test_every_place_has_a_url(epoch: str, offset: int) -> None:
    """As it is written, each comes back as it was."""
    position = Position(epoch, offset)
    assert parse_target(f"/?since={position}").since == position
    assert parse_target(f"/?since={quote(str(position), safe='')}").since == position


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_any_uri_is_a_target_or_refused(uri: str) -> None:
    """Whatever stands in a request line, there is a channel or a clear refusal."""
    try:
        channel = parse_target(uri).channel
    except BadTargetError:
        return
    assert check_name(channel) == channel
