"""What messages are in the Centrifuge protocol, held against Python's own reading of JSON."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from orchestra.dialects.centrifuge.content import (
    KNOWN,
    Publishers,
    content_of_json,
    info_of,
    is_json,
    message_json,
    publisher_info,
    raw,
    value_of,
)
from orchestra.dialects.centrifuge.schema import BadCommandError, ClientInfo
from orchestra.message import Publisher
from tests.dialects.centrifuge.values import TEXTS, VALUES, json_texts, strict

# What looks like JSON more often than any text does.
NEARLY = st.text(st.sampled_from('{}[]",:0123456789.eE+-tfn \n\r\t\\u"dD8trueals'), max_size=12)


@given(TEXTS | NEARLY | json_texts().map(bytes.decode))
@example("")
@example("hello")
@example(" ")
@example("true")
@example("null\r\n")
@example("truth")
@example("trueé")
@example("NaN")
@example("-Infinity")
@example("01")
@example("1e999")
@example("1 2")
@example('"\\ud800"')
@example('"\\ud83d\\ude00"')
@example('"a\nb"')
@example("\ufeff{}")
@example("\x0c1")
@example("[" * 100_000)
@example("[" * 100_000 + "]" * 100_000)
@example('{"a":\r\n[1,\n2]}')
def test_text_is_heard_as_the_json_it_is_or_as_a_string(text: str) -> None:
    """In either case it is JSON, on one line."""
    heard = message_json(text.encode(), False)
    assert b"\n" not in heard
    assert b"\r" not in heard
    try:
        value = strict(text)
    except (ValueError, RecursionError):
        value = text
    assert strict(heard) == value


@given(st.binary())
def test_binary_data_is_heard_as_base64(data: bytes) -> None:
    """It is an object with one member."""
    ((key, value),) = strict(message_json(data, True)).items()
    assert (key, b64decode(value, validate=True)) == ("b64", data)


@given(json_texts())
@example(b'"hello"')
@example(b'"\\"quoted\\""')
@example(b'""')
@example(b'" "')
@example(b'"1"')
@example(b'" [1] "')
@example(b'"true"')
@example(b'"\\n"')
@example(b'"caf\\u00e9"')
def test_what_is_published_comes_back(text: bytes) -> None:
    """It is the same value; and if it is no string, the same text but for ends of lines."""
    payload, is_binary = content_of_json(text)
    back = message_json(payload, is_binary)
    assert not is_binary
    assert strict(back) == strict(text)
    assert type(strict(back)) is type(strict(text))
    if not text.startswith(b'"'):
        assert payload == text
        assert back == text.replace(b"\n", b" ").replace(b"\r", b" ")


@pytest.mark.parametrize(
    ("published", "payload"),
    [
        (b'"hello"', b"hello"),
        (b'"caf\\u00e9 \\"x\\"\\n"', 'café "x"\n'.encode()),
        (b'""', b""),
        (b'"1"', b'"1"'),
        (b'"true "', b'"true "'),
        (b'"[]"', b'"[]"'),
        (b'{ "a" : 1 }', b'{ "a" : 1 }'),
        (b' "a"', b' "a"'),
    ],
)
def test_a_string_is_its_bare_text_unless_that_says_something_else(
    published: bytes, payload: bytes
) -> None:
    """Who speaks no JSON hears text as text, and never text that would be heard as other JSON."""
    assert content_of_json(published) == (payload, False)


@given(json_texts())
@example(b'"\\u0041"')
@example(b'"caf\\u00e9"')
@example(b'"\\/"')
@example(b'"a"')
def test_what_has_to_comes_back_to_the_byte(text: bytes) -> None:
    """A string with escapes that need not be there stays as it was written."""
    payload, _ = content_of_json(text, exact=True)
    assert (payload if is_json(payload) else message_json(payload, False)) == text


@pytest.mark.parametrize("data", [b'"\xff"', b'{"a":"\xed\xa0\x80"}', b'["\xc0\x80"]'])
def test_what_is_no_utf8_is_no_text(data: bytes) -> None:
    """Nobody could be sent it as text."""
    with pytest.raises(BadCommandError, match="data must be UTF-8"):
        content_of_json(data)


def test_who_publishes_is_known_by_what_came_with_the_id() -> None:
    """A plain id says no more than itself."""
    assert publisher_info("c1") == ClientInfo(client="c1")
    info = publisher_info(Publisher("c1", "ann", {"name": "Ann\n"}))
    assert (info.user, info.client, type(info.client)) == ("ann", "c1", str)
    assert info.conn_info is not None
    assert strict(bytes(info.conn_info)) == {"name": "Ann\n"}
    assert publisher_info(Publisher("c1", None, None)) == ClientInfo(client="c1")


def test_an_identity_that_is_no_unicode_can_be_told() -> None:
    """An application's may be any string of Python's."""
    info = info_of("c1", "a\ud800", "\ud800")
    assert info.user == "a?"
    assert info.conn_info is not None
    assert json.loads(bytes(info.conn_info)) == "\ud800"


@given(VALUES)
@example("\ud800")
def test_what_an_application_says_is_json(value: Any) -> None:
    """Whatever JSON it is, with strings that are no Unicode among it, on one line."""
    written = bytes(raw(value))
    assert written.isascii()
    assert b"\n" not in written
    assert json.loads(written) == value


@pytest.mark.parametrize("value", [b"hi", [b"hi"], {1}, object(), float("nan"), float("inf")])
def test_what_is_no_json_is_no_data(value: Any) -> None:
    """It is not taken for something else."""
    with pytest.raises((TypeError, ValueError)):
        raw(value)


@given(json_texts())
def test_what_a_client_says_is_a_value(text: bytes) -> None:
    """As the application gets it."""
    assert value_of(Raw(text)) == strict(text)


@pytest.mark.parametrize("data", [b"", b"hi", b'"\xff"', b"[" * 100_000])
def test_what_a_client_says_may_be_any_bytes(data: bytes) -> None:
    """In protobuf; or nothing."""
    assert value_of(Raw(data)) == data
    assert value_of(None) is None


def test_what_is_written_of_a_publisher_is_made_once() -> None:
    """For the same one; another with the same id is known by its own info."""
    asked: list[ClientInfo] = []
    publishers = Publishers(lambda info: (asked.append(info), info.user)[1])
    plain, ann, bob = "c1", Publisher("c1", "ann"), Publisher("c1", "bob")
    assert [publishers.info(who) for who in (ann, ann, bob, plain, ann)] == [
        "ann",
        "ann",
        "bob",
        "",
        "ann",
    ]
    assert len(asked) == 4


def test_not_all_publishers_are_kept() -> None:
    """There may be any number of them; all are told right, and a bounded number is known."""
    publishers = Publishers(lambda info: info.client)
    for n in range(2 * KNOWN + 1):
        assert publishers.info(str(n)) == str(n)
        assert len(publishers._known) <= KNOWN
