"""One shard: when it is current, and what counts against it."""

from __future__ import annotations

import pytest

from semroute.breaker import Breaker
from semroute.errors import ConfigError, StoreError
from semroute.stores._fleet.shard import Call, Deed, Done, Failed, Refused, Shard
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.clock import FakeClock

CALL = Call("a", Deed(lambda store: store.open(), lambda store: store.aopen()))


@pytest.fixture
def shard(clock: FakeClock) -> Shard:
    return Shard("a", EmbeddedStore("memory://"), Breaker("a", lambda *change: None, clock=clock), 0.5)


def test_it_is_not_current_before_it_was_caught_up(shard: Shard) -> None:
    assert not shard.is_current
    shard.caught_up(shard.losses)
    assert shard.is_current


def test_every_failure_makes_it_fall_behind(shard: Shard) -> None:
    shard.caught_up(shard.losses)
    assert shard.failed(StoreError("gone")) == Failed("StoreError: gone")
    assert not shard.is_current


def test_catching_up_does_not_count_where_it_failed_meanwhile(shard: Shard) -> None:
    as_of = shard.losses
    shard.failed(StoreError("gone"))
    shard.caught_up(as_of)
    assert not shard.is_current


def test_a_question_that_is_wrong_is_no_failure(shard: Shard) -> None:
    error = ConfigError("another embedder")
    for _ in range(5):
        assert shard.failed(error) == Refused(error)
    assert (shard.failures, shard.refusal(CALL)) == (0, None)


def test_any_other_exception_is_a_failure_told_with_its_kind(shard: Shard) -> None:
    assert shard.failed(ValueError()) == Failed("ValueError")
    assert shard.failures == 1


def test_late_answers_open_the_breaker_and_leave_it_current(shard: Shard) -> None:
    shard.caught_up(shard.losses)
    for _ in range(3):
        assert shard.answered(CALL, b"key", 0.6) == Done(b"key")
    refusal = shard.refusal(CALL)
    assert isinstance(refusal, Failed)
    assert "later than 0.5 s" in refusal.reason
    assert shard.is_current


def test_a_deed_without_a_deadline_is_never_late(shard: Shard) -> None:
    patient = Call("a", Deed(lambda store: store.open(), lambda store: store.aopen(), has_deadline=False))
    for _ in range(3):
        shard.answered(patient, 3, 60.0)
    assert shard.refusal(patient) is None


def test_a_forced_call_goes_through_an_open_breaker_and_closes_it(shard: Shard) -> None:
    for _ in range(3):
        shard.failed(StoreError("gone"))
    forced = Call("a", CALL.deed, is_forced=True)
    assert shard.refusal(CALL) is not None
    assert shard.refusal(forced) is None
    shard.answered(forced, b"key", 0.1)
    assert shard.refusal(CALL) is None


def test_the_repr_says_how_it_is_doing(shard: Shard) -> None:
    shard.refusal(CALL)
    shard.failed(StoreError("gone"))
    assert repr(shard) == "<Shard a closed, not current, 1 of 1 calls failed>"
