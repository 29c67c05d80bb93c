"""The budget of second looks: a share of the requests and tokens an hour, never exceeded and never by lot."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.router.budget import Budget, Spending
from semroute.testing.clock import FakeClock


def granted(budget: Budget, requests: int, tokens: int = 1) -> list[int]:
    """Count requests, ask for each, and return the numbers of those that were granted, from 1."""
    numbers = []
    for number in range(1, requests + 1):
        budget.count()
        if budget.take(tokens):
            numbers.append(number)
    return numbers


class TestShare:
    def test_every_tenth_request_is_granted_and_none_before_it_is_earned(self, clock: FakeClock) -> None:
        assert granted(Budget(0.1, clock=clock), 35) == [10, 20, 30]

    def test_equal_requests_are_granted_alike(self, clock: FakeClock) -> None:
        one, other = Budget(0.37, clock=clock), Budget(0.37, clock=clock)
        assert granted(one, 200) == granted(other, 200)

    @pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 50), (0.5, 25), (1 / 3, 16)])
    def test_nothing_all_and_what_lies_between(self, share: float, expected: int, clock: FakeClock) -> None:
        assert len(granted(Budget(share, clock=clock), 50)) == expected

    def test_what_was_not_asked_for_gathers_up_to_the_burst(self, clock: FakeClock) -> None:
        budget = Budget(0.5, burst=3, clock=clock)
        for _ in range(1_000):
            budget.count()
        assert [budget.take(1) for _ in range(5)] == [True, True, True, False, False]

    @given(
        share=st.floats(0.0, 1.0),
        burst=st.integers(1, 20),
        asks=st.lists(st.booleans(), max_size=300),
    )
    def test_no_run_of_requests_is_granted_more_than_its_share_and_the_burst(
        self, share: float, burst: int, asks: list[bool]
    ) -> None:
        budget = Budget(share, tokens_per_hour=None, burst=burst, clock=FakeClock())
        sums = [0]
        for asked in asks:
            budget.count()
            sums.append(sums[-1] + (asked and budget.take(1)))
        assert all(total <= share * n + 1e-9 * n for n, total in enumerate(sums))
        assert all(
            sums[end] - sums[start] <= share * (end - start) + burst + 1e-9 * end
            for end in range(len(sums))
            for start in range(0, end, 7)
        )


class TestTokens:
    def test_an_hour_holds_no_more_than_was_allowed(self, clock: FakeClock) -> None:
        budget = Budget(1.0, tokens_per_hour=1_000, clock=clock)
        assert granted(budget, 5, tokens=400) == [1, 2]
        assert budget.spending().over_tokens == 3

    def test_what_is_refused_costs_nothing_and_a_smaller_call_may_still_fit(self, clock: FakeClock) -> None:
        budget = Budget(1.0, tokens_per_hour=1_000, clock=clock)
        assert granted(budget, 1, tokens=1_001) == []
        assert granted(budget, 1, tokens=1_000) == [1]

    def test_tokens_come_back_when_their_minute_is_an_hour_old(self, clock: FakeClock) -> None:
        budget = Budget(1.0, tokens_per_hour=100, clock=clock)
        assert granted(budget, 1, tokens=100) == [1]
        clock.advance(timedelta(minutes=60))
        assert granted(budget, 1, tokens=1) == []
        clock.advance(timedelta(minutes=1))
        assert granted(budget, 1, tokens=100) == [1]

    @given(calls=st.lists(st.tuples(st.floats(0.0, 1_500.0), st.integers(0, 500)), max_size=60))
    def test_no_window_of_an_hour_holds_more(self, calls: list[tuple[float, int]]) -> None:
        clock = FakeClock()
        budget = Budget(1.0, tokens_per_hour=1_000, clock=clock)
        taken = []
        for pause_s, tokens in calls:
            clock.advance(pause_s)
            budget.count()
            if budget.take(tokens):
                taken.append((clock(), tokens))
        for end_s, _ in taken:
            assert sum(tokens for at_s, tokens in taken if end_s - 3_600.0 < at_s <= end_s) <= 1_000

    def test_a_clock_that_is_set_back_gives_nothing_back(self, clock: FakeClock) -> None:
        budget = Budget(1.0, tokens_per_hour=100, clock=clock)
        assert granted(budget, 1, tokens=100) == [1]
        clock.advance(timedelta(hours=-5))
        assert granted(budget, 1, tokens=1) == []
        clock.advance(timedelta(hours=5, minutes=61))
        assert granted(budget, 1, tokens=100) == [1]

    def test_no_limit_is_no_limit(self, clock: FakeClock) -> None:
        assert len(granted(Budget(1.0, tokens_per_hour=None, clock=clock), 20, tokens=10**9)) == 20

    def test_weeks_of_calls_take_no_more_memory_than_an_hour(self, clock: FakeClock) -> None:
        budget = Budget(1.0, clock=clock)
        for _ in range(5_000):
            clock.advance(timedelta(minutes=3))
            granted(budget, 1)
        assert len(budget._hour._minutes) <= 61


class TestInspection:
    def test_it_tells_what_it_saw_and_granted(self, clock: FakeClock) -> None:
        budget = Budget(0.5, tokens_per_hour=250, clock=clock)
        assert budget.spending() == Spending()
        assert budget.spending().share == 0.0
        granted(budget, 8, tokens=100)
        assert budget.spending() == Spending(8, 2, 3, 3, 200, 200)
        assert budget.spending().share == 0.25
        clock.advance(timedelta(hours=2))
        assert (budget.spending().tokens, budget.spending().tokens_of_this_hour) == (200, 0)

    def test_it_shows_its_state(self, clock: FakeClock) -> None:
        budget = Budget(0.1, tokens_per_hour=5_000, clock=clock)
        granted(budget, 10, tokens=1_200)
        assert repr(budget) == (
            "<Budget 0.1 of requests, 5,000 tokens an hour: granted 1 of 10, 1,200 tokens in this hour>"
        )
        assert (budget.share, budget.tokens_per_hour) == (0.1, 5_000)


def test_threads_together_are_granted_no_more_than_one_would_be(clock: FakeClock) -> None:
    budget = Budget(0.25, tokens_per_hour=None, burst=1_000, clock=clock)
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(len(granted(budget, 500)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(results) == budget.spending().granted
    assert 499 <= sum(results) <= 500


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), True, "0.1", None])
def test_a_share_that_is_no_fraction_is_refused(share: object) -> None:
    with pytest.raises(ConfigError, match=r"share=.* from 0 to 1"):
        Budget(share)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"tokens_per_hour": -1}, "tokens_per_hour=-1 must be a whole number, or None"),
        ({"tokens_per_hour": 1.5}, "tokens_per_hour=1.5"),
        ({"burst": 0}, "burst=0 must be a whole number of at least 1"),
    ],
)
def test_other_numbers_that_cannot_be_are_refused(parts: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Budget(0.1, **parts)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("tokens", [-1, 0.5, None])
def test_an_amount_that_cannot_be_is_refused(tokens: object) -> None:
    with pytest.raises(ConfigError, match="tokens="):
        Budget(1.0).take(tokens)  # type: ignore[arg-type]  # wrong on purpose
