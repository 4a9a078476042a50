"""Messages, and who publishes them."""

from __future__ import annotations

from orchestra.message import Entry, Message, Publisher


def test_a_message_has_the_entry_it_was_made_of() -> None:
    """All but its place."""
    entry: Entry = (b"C#4", False, "c1", 12.5)
    assert Message(42, *entry, "1f2e3d4c").entry == entry


def test_a_publisher_is_its_id() -> None:
    """Who asks for no more need not know that there is more."""
    ann = Publisher("c1", "ann", {"name": "Ann"})
    assert ann == "c1"
    assert {ann: 1}["c1"] == 1
    assert (str(ann), ann.identity, ann.info) == ("c1", "ann", {"name": "Ann"})
    assert (Publisher("c1").identity, Publisher("c1").info) == (None, None)
