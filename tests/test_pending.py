"""Trails of misses, kept for the updates that follow them."""

from __future__ import annotations

import numpy as np
import pytest

from semroute.entry import Address
from semroute.pending import Pending
from semroute.testing.clock import FakeClock
from semroute.trail import Trail


def trail(key: str = "k", epoch: int = 1, **fields: object) -> Trail:
    return Trail(Address("s", "p", key), epoch=epoch, **fields)


@pytest.fixture
def pending(clock: FakeClock) -> Pending:
    return Pending(limit=3, life_s=60.0, clock=clock)


def test_a_trail_is_taken_once(pending: Pending) -> None:
    pending.add(trail(epoch=4))
    taken = pending.take("k")
    assert taken is not None
    assert taken.epoch == 4
    assert pending.take("k") is None
    assert len(pending) == 0


def test_the_epoch_of_the_first_miss_holds_for_all_that_are_under_way(pending: Pending) -> None:
    for epoch in (4, 5, 6):
        pending.add(trail(epoch=epoch))
    assert [pending.take("k").epoch for _ in range(3)] == [4, 4, 4]
    assert pending.take("k") is None


def test_a_vector_that_a_later_miss_made_is_kept_with_the_epoch_of_the_first(pending: Pending) -> None:
    pending.add(trail(epoch=4))
    pending.add(trail(epoch=5, vector=np.ones(2, np.float32), embedder="e"))
    taken = pending.take("k")
    assert (taken.epoch, taken.embedder) == (4, "e")
    assert taken.vector is not None


def test_a_miss_that_no_update_followed_is_forgotten_after_a_while(pending: Pending, clock: FakeClock) -> None:
    pending.add(trail(epoch=4))
    clock.advance(60.1)
    pending.add(trail(epoch=5))
    assert pending.take("k").epoch == 5
    assert pending.take("k") is None


def test_an_update_that_comes_late_still_finds_its_trail(pending: Pending, clock: FakeClock) -> None:
    pending.add(trail(epoch=4))
    clock.advance(3600)
    assert pending.take("k").epoch == 4


def test_the_oldest_go_when_there_are_too_many(pending: Pending) -> None:
    for key in "abcd":
        pending.add(trail(key))
    assert len(pending) == 3
    assert pending.take("a") is None
    assert pending.take("d") is not None


def test_what_one_update_notes_does_not_show_in_the_next(pending: Pending) -> None:
    pending.add(trail())
    pending.add(trail())
    pending.take("k").failures.append("it broke")
    assert pending.take("k").failures == []
