"""What is in a channel, as results of commands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import decode

from orchestra.dialects.centrifuge.codec import JSON
from orchestra.dialects.centrifuge.results import history_result, presence_result, stats_result
from orchestra.dialects.centrifuge.schema import ClientInfo, StreamPosition
from orchestra.history import Retention
from orchestra.hub import Hub
from orchestra.position import LostPositionError
from tests.outlets import Outlet, Payloads


def played(published: int, retained: int) -> Hub:
    """A hub in whose main channel 1, 2, 3 … were played, of which only some are retained."""
    hub = Hub(Retention(messages=retained))
    for number in range(1, published + 1):
        hub.publish("main", b"%d" % number)
    hub.flush()
    return hub


def read(hub: Hub, *options: Any, **more: Any) -> list[int]:
    """The messages of a result, which has the position of the newest one."""
    result = history_result(hub, "main", JSON, *options, **more)
    place = hub.position("main")
    assert place is not None
    assert (result.epoch, result.offset) == place
    found = [decode(publication.data) for publication in result.publications]
    assert [publication.offset for publication in result.publications] == found
    return found


@pytest.mark.parametrize("way", [False, True])
def test_a_page_has_no_more_than_so_much(way: bool) -> None:
    """It ends with the message that reaches the size, and has at least one; who goes on from there
    gets the next ones."""
    hub = played(9, 9)  # of a byte each
    order = [*range(9, 0, -1)] if way else [*range(1, 10)]
    for size in (0, 1):
        assert read(hub, -1, reverse=way, size=size) == order[:1]
    assert read(hub, -1, reverse=way, size=4) == order[:4]
    assert read(hub, 2, reverse=way, size=4) == order[:2]
    assert read(hub, -1, reverse=way, size=100) == order


@given(published=st.integers(0, 12), retained=st.integers(0, 12), size=st.integers(1, 13), way=...)
def test_pages_have_all(published: int, retained: int, size: int, way: bool) -> None:
    """Read by pages of any size, forwards and backwards, each message that is retained comes
    once, in order."""
    hub = played(published, retained)
    if not published:
        assert history_result(hub, "main", JSON, size, reverse=way).publications == []
        return
    pages, page = [], read(hub, size, reverse=way)
    while page:
        assert len(page) <= size
        pages += page
        page = read(hub, size, StreamPosition(page[-1], read_epoch(hub)), way)
    every = list(range(max(published - retained, 0) + 1, published + 1))
    assert pages == (every[::-1] if way else every)
    assert read(hub, -1, reverse=way) == pages
    assert read(hub, 0, reverse=way) == []


def read_epoch(hub: Hub) -> str:
    place = hub.position("main")
    assert place is not None
    return place.epoch


def test_what_is_gone_is_not_passed_over() -> None:
    """A place whose next message is gone, one of another history, and one that never was, are an
    error, even if no messages are asked for; what is gone before a place is not missed."""
    hub = played(10, 4)
    epoch = read_epoch(hub)
    assert read(hub, -1, StreamPosition(6, epoch)) == [7, 8, 9, 10]
    assert read(hub, -1, StreamPosition(6)) == [7, 8, 9, 10]
    assert read(hub, -1, StreamPosition(10, epoch)) == []
    for limit in (-1, 0, 1):
        for lost in (StreamPosition(5, epoch), StreamPosition(6, "x"), StreamPosition(11, epoch)):
            with pytest.raises(LostPositionError):
                read(hub, limit, lost)
    assert read(hub, -1, StreamPosition(8, epoch), reverse=True) == [7]
    assert read(hub, -1, StreamPosition(11, epoch), reverse=True) == [10, 9, 8, 7]
    assert read(hub, -1, StreamPosition(2, epoch), reverse=True) == []
    for lost in (StreamPosition(8, "x"), StreamPosition(12, epoch)):
        with pytest.raises(LostPositionError):
            read(hub, -1, lost, reverse=True)


def test_a_channel_that_is_not_there() -> None:
    """Has an empty past, from its beginning on, and nothing comes into being by asking."""
    hub = Hub()
    for since in (None, StreamPosition()):
        result = history_result(hub, "main", JSON, -1, since)
        assert (result.publications, result.epoch, result.offset) == ([], "", 0)
    for since in (StreamPosition(1), StreamPosition(0, "x")):
        with pytest.raises(LostPositionError):
            history_result(hub, "main", JSON, -1, since)
    assert presence_result(hub, "main").presence == {}
    assert stats_result(hub, "main").num_clients == 0
    assert hub.channels() == {}


def test_who_is_there() -> None:
    """By the ids of the clients, with what is known of them."""
    hub, encoding = Hub(), Payloads()
    members = [hub.member("1", "ann", {"part": "viola"}), hub.member("2", "ann"), hub.member("3")]
    for member in members:
        hub.attach("main", Outlet(), encoding, member=member)
    assert presence_result(hub, "main").presence == {
        "1": ClientInfo("ann", "1", conn_info=Raw(b'{"part":"viola"}')),
        "2": ClientInfo("ann", "2"),
        "3": ClientInfo("", "3"),
    }
    stats = stats_result(hub, "main")
    assert (stats.num_clients, stats.num_users) == (3, 1)
