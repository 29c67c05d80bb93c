"""The circuit breaker: a part that keeps failing is left alone for a while, and tried again."""

from __future__ import annotations

import threading

import pytest

from semroute.breaker import Breaker
from semroute.testing.clock import FakeClock


@pytest.fixture
def changes() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def breaker(changes: list, clock: FakeClock) -> Breaker:
    return Breaker("store", lambda *change: changes.append(change), failures_to_open=3, cooldown_s=5.0, clock=clock)


def fail(breaker: Breaker, times: int = 3) -> None:
    for number in range(times):
        breaker.failed(f"failure {number + 1}")


def test_it_stays_closed_while_failures_are_fewer_than_its_limit(breaker: Breaker, changes: list) -> None:
    fail(breaker, 2)
    assert breaker.allows()
    assert (breaker.state, changes) == ("closed", [])


def test_a_success_in_between_starts_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_it_opens_after_enough_failures_in_a_row_and_says_why_once(breaker: Breaker, changes: list) -> None:
    fail(breaker, 5)
    assert not breaker.allows()
    assert changes == [("store", "open", "failure 3")]
    assert breaker.reason == "failure 5"


def test_it_refuses_until_the_cooldown_is_over_and_then_lets_one_trial_through(breaker, changes, clock) -> None:
    fail(breaker)
    clock.advance(4.999)
    assert not breaker.allows()
    clock.advance(0.001)
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert [state for _, state, _ in changes] == ["open", "half_open"]


def test_a_trial_that_succeeds_closes_it(breaker: Breaker, changes: list, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(5)
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.state == "closed"
    assert all(breaker.allows() for _ in range(3))
    assert [state for _, state, _ in changes] == ["open", "half_open", "closed"]


def test_a_trial_that_fails_opens_it_again_for_a_whole_cooldown(breaker, changes: list, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(5)
    assert breaker.allows()
    breaker.failed("still")
    assert breaker.state == "open"
    clock.advance(4.9)
    assert not breaker.allows()
    clock.advance(0.1)
    assert breaker.allows()
    assert [state for _, state, _ in changes] == ["open", "half_open", "open", "half_open"]


def test_a_trial_that_never_ends_does_not_lock_it_for_ever(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(5)
    assert breaker.allows()
    clock.advance(5)
    assert breaker.allows()


def test_one_failure_after_it_closed_again_does_not_open_it(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(5)
    breaker.allows()
    breaker.succeeded()
    breaker.failed("once")
    assert breaker.state == "closed"


def test_of_many_threads_one_gets_the_trial(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(5)
    all_are_ready, allowed = threading.Barrier(8), []

    def ask() -> None:
        all_are_ready.wait()
        allowed.append(breaker.allows())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(allowed) == [False] * 7 + [True]


def test_its_repr_tells_part_and_state(breaker: Breaker) -> None:
    fail(breaker)
    assert repr(breaker) == "<Breaker store open, 3 failures in a row>"
