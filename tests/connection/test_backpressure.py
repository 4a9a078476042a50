"""What keeps publishers from outrunning slow readers."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from orchestra.connection.backpressure import PATIENCE, Backpressure


class Client:
    """A client's connection, as far as it is asked to do something."""

    def __init__(self) -> None:
        self.reading = True
        self.given_up = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def give_up(self) -> None:
        self.given_up = True


def publish(backpressure: Backpressure, client: Client) -> None:
    if backpressure.is_high:
        backpressure.hold(client)


@pytest.fixture
def backpressure(clock: Clock) -> Backpressure:
    """Room for two full transports of 1,000 bytes."""
    return Backpressure(2000, clock)


def test_publishers_wait_while_there_is_no_room(backpressure: Backpressure) -> None:
    """They are read from again as soon as there is."""
    readers, publisher = [Client() for _ in range(3)], Client()
    backpressure.filled(readers[0], 1000)
    backpressure.filled(readers[1], 1000)
    publish(backpressure, publisher)
    assert publisher.reading
    backpressure.filled(readers[2], 1000)
    assert publisher.reading, "one that sends nothing has nothing to wait for"
    publish(backpressure, publisher)
    assert not publisher.reading
    backpressure.drained(readers[0])
    assert publisher.reading
    publish(backpressure, publisher)
    assert publisher.reading


def test_a_reader_counts_once(backpressure: Backpressure) -> None:
    """One that takes something and is full again has not become two."""
    readers, publisher = [Client() for _ in range(2)], Client()
    for reader in readers * 5:
        backpressure.filled(reader, 1000)
    publish(backpressure, publisher)
    assert publisher.reading
    backpressure.filled(readers[0], 1001)
    publish(backpressure, publisher)
    assert not publisher.reading
    backpressure.drained(readers[0])
    assert publisher.reading


def test_a_reader_that_is_gone_makes_room(backpressure: Backpressure) -> None:
    """A publisher does not wait for those who left; and one that left is not read from."""
    readers, publishers = [Client() for _ in range(3)], [Client(), Client()]
    for reader in readers:
        backpressure.filled(reader, 1000)
    for publisher in publishers:
        publish(backpressure, publisher)
    backpressure.gone(publishers[0])
    backpressure.gone(readers[0])
    assert [publisher.reading for publisher in publishers] == [False, True]


def test_who_takes_nothing_is_given_up(backpressure: Backpressure, clock: Clock) -> None:
    """Only those that were full for so long, and only while there is no room."""
    stalled, slow, late = Client(), Client(), Client()
    for reader in (stalled, slow):
        backpressure.filled(reader, 1000)
    clock.advance(10 * PATIENCE)
    assert not clock.getDelayedCalls()
    backpressure.filled(late, 1000)
    backpressure.drained(slow)
    backpressure.filled(slow, 1000)
    clock.advance(PATIENCE / 2)
    backpressure.drained(late)
    backpressure.filled(late, 1000)
    clock.advance(PATIENCE / 2)
    assert [client.given_up for client in (stalled, slow, late)] == [True, True, False]
    backpressure.gone(stalled)
    clock.advance(PATIENCE)
    assert not late.given_up
    assert not clock.getDelayedCalls()


def test_without_a_bound_nobody_waits(clock: Clock) -> None:
    """Nor is anybody given up."""
    backpressure, publisher = Backpressure(0, clock), Client()
    for _ in range(100):
        backpressure.filled(Client(), 1000)
    publish(backpressure, publisher)
    assert publisher.reading
    assert not clock.getDelayedCalls()
