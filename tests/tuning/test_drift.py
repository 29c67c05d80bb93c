"""The watch over a promise: it is quiet while the promise holds, and soon tells when it does not."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from semroute.errors import ConfigError
from semroute.policy import Cell, Point, Policy, Promise
from semroute.testing.clock import START_S
from semroute.tuning.drift import DriftMonitor, Outcome, Watch

MAX_ERROR = 0.02


def cells(threshold: float) -> tuple[Cell, ...]:
    return (Cell("standard", True, threshold),)


def policy(requests: int = 5_000, max_error: float = MAX_ERROR) -> Policy:
    """Return a policy that serves from 0.80, with stricter points at 0.85, 0.90, 0.95 and 1."""
    return Policy(
        version="desk-1",
        cells=cells(0.80),
        stricter=tuple(
            Point(cells(threshold), 0.3 * share, 0.85 * max_error * share)
            for threshold, share in ((0.85, 0.6), (0.90, 0.3), (0.95, 0.1), (1.0, 0.0))
        ),
        promise=Promise(max_error, 0.95, 0.85 * max_error, 0.3, 4_000, requests, "made up"),
    )


def stream(n: int, error_rate: float, seed: int, began: float = START_S) -> list[Outcome]:
    """Return requests, one a second: of a share of all the candidate is wrong and has 0.80 or more."""
    random = np.random.default_rng(seed)
    wrong = random.random(n) < error_rate
    is_near = wrong | (random.random(n) < 0.3)
    similarity = np.where(is_near, random.uniform(0.8, 1.0, n), random.uniform(0.0, 0.8, n))
    return [
        Outcome(began + second, is_right=not bad, similarity=score)
        for second, (bad, score) in enumerate(zip(wrong.tolist(), similarity.tolist(), strict=True))
    ]


def last(monitor: DriftMonitor, outcomes: Iterable[Outcome]) -> Watch:
    """Return what is known after the last of some outcomes."""
    watches = [monitor.observe(outcome) for outcome in outcomes]
    return watches[-1]


def test_a_promise_that_just_holds_raises_no_alarm_more_often_than_it_may() -> None:
    streams = 60
    alarms = sum(not last(DriftMonitor(policy()), stream(2_000, MAX_ERROR, seed)).holds for seed in range(streams))
    assert alarms <= stats.binom.ppf(0.999, streams, 0.05)


def test_a_drift_after_a_long_calm_is_told_soon_with_its_time() -> None:
    monitor = DriftMonitor(policy())
    calm = last(monitor, stream(5_000, 0.8 * MAX_ERROR, seed=1))
    assert calm.holds
    drifted = last(monitor, stream(1_500, 3 * MAX_ERROR, seed=2, began=START_S + 5_000))
    assert drifted.broken_at is not None
    assert START_S + 5_000 < drifted.broken_at < START_S + 6_500
    assert drifted.evidence >= 20.0


def test_without_being_asked_it_leaves_the_policy_as_it_is() -> None:
    watch = last(DriftMonitor(policy()), stream(3_000, 4 * MAX_ERROR, seed=3))
    assert not watch.holds
    assert watch.policy == policy()


def test_when_asked_it_goes_to_the_next_stricter_point_that_still_holds() -> None:
    # At 0.80 three times too much is wrong; over the similarities up to 1 that is the bound again at 0.933.
    watch = last(DriftMonitor(policy(requests=1_000_000), tightens=True), stream(8_000, 3 * MAX_ERROR, seed=4))
    assert not watch.holds
    assert watch.policy.cells == cells(0.95)
    assert watch.policy.version == "desk-1 tightened 3"


def test_a_point_that_the_evidence_is_against_is_not_used_again() -> None:
    monitor = DriftMonitor(policy(requests=1_000_000), tightens=True)
    tightened = last(monitor, stream(8_000, 3 * MAX_ERROR, seed=4)).policy
    assert last(monitor, stream(5_000, 0.0, seed=5)).policy == tightened


def test_a_bad_day_within_the_budget_is_paid_for_and_over_with_the_span() -> None:
    monitor = DriftMonitor(policy(requests=500), tightens=True)
    wrong, right = (Outcome(START_S, is_right=label, similarity=0.82) for label in (False, True))
    watch = last(monitor, [*[right] * 30, wrong] * 9)
    assert watch.holds
    assert watch.policy != policy(requests=500)
    assert last(monitor, [right] * 221).policy == policy(requests=500)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0.7, 1.0, exclude_max=True), st.integers(1, 40)), min_size=1, max_size=25
    )
)
def test_wrong_hits_in_each_span_stay_within_the_budget_whatever_comes(runs: list[tuple[bool, float, int]]) -> None:
    requests, max_error = 200, 0.05
    monitor = DriftMonitor(policy(requests, max_error), tightens=True)
    outcomes = [
        Outcome(START_S, is_right=label, similarity=score) for label, score, times in runs for _ in range(times)
    ]
    wrong = [outcome.is_right is False and outcome.is_served(cells_now(monitor, outcome)) for outcome in outcomes]
    for begin in range(0, len(wrong), requests):
        assert sum(wrong[begin : begin + requests]) <= math.floor(requests * max_error)


def cells_now(monitor: DriftMonitor, outcome: Outcome) -> tuple[Cell, ...]:
    """Return what the request is served under, and let the monitor see it afterwards."""
    now = monitor.policy.cells
    monitor.observe(outcome)
    return now


def test_wrong_hits_of_the_exact_tier_count_though_no_threshold_decides_about_them() -> None:
    exact = [Outcome(START_S, is_right=False, is_exact=True)] * 30
    watch = last(DriftMonitor(policy(), tightens=True), exact)
    assert not watch.holds
    assert watch.error_rate == 1.0
    assert watch.policy.cells == cells(1.0)


def test_labels_of_some_hits_estimate_the_errors_of_all() -> None:
    random = np.random.default_rng(80)
    every = stream(20_000, MAX_ERROR, seed=8)
    some = [outcome if random.random() < 0.25 else Outcome(outcome.at) for outcome in every]
    watch = last(DriftMonitor(policy(), label_rate=0.25), some)
    assert watch.error_rate == pytest.approx(MAX_ERROR, rel=0.2)
    assert watch.requests == 20_000


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(START_S, is_right=False),
        Outcome(START_S, is_right=False, similarity=0.79),
        Outcome(START_S, is_right=False, similarity=math.nan),
        Outcome(START_S, is_right=False, similarity=0.99, passes_guards=False),
        Outcome(START_S, is_right=False, similarity=0.99, is_sure=False),
        Outcome(START_S, is_right=True, similarity=0.99),
        Outcome(START_S, similarity=0.99),
    ],
)
def test_what_is_not_served_and_what_is_not_known_to_be_wrong_is_no_error(outcome: Outcome) -> None:
    assert last(DriftMonitor(policy()), [outcome] * 50).error_rate == 0.0


def test_behind_a_verifier_its_probability_decides_what_is_served() -> None:
    needs = (Cell("standard", True, 0.5, 0.9, requires_guards=False),)
    served = [
        Outcome(START_S, similarity=0.7, p_reusable=p, passes_guards=False).is_served(needs) for p in (None, 0.89, 0.9)
    ]
    assert served == [False, False, True]


def test_a_policy_without_a_promise_and_a_share_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="policy default promises nothing that could be watched"):
        DriftMonitor(Policy())
    with pytest.raises(ConfigError, match="label_rate must be a share over 0 and at most 1, not 0"):
        DriftMonitor(policy(), label_rate=0)
