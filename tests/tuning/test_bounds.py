"""Bounds for counts, against scipy and against values that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from semroute.tuning.bounds import (
    Terms,
    beta_cdf,
    binomial_cdf,
    clopper_pearson_upper,
    p_of_future,
    p_of_rate,
    pairs_needed,
)

SIZES = st.floats(0.05, 1e6)


@given(st.floats(0.0, 1.0), SIZES, SIZES)
def test_the_beta_function_is_that_of_scipy(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("x", "expected"), [(-0.5, 0.0), (0.0, 0.0), (1.0, 1.0), (1.5, 1.0)])
def test_the_beta_function_is_0_and_1_at_its_ends(x: float, expected: float) -> None:
    assert beta_cdf(x, 2.0, 3.0) == expected


@given(st.integers(1, 5_000), st.floats(0.0, 1.0), st.data())
def test_the_binomial_tail_is_that_of_scipy(n: int, p: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(-1, n))
    assert binomial_cdf(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 100), (3, 200), (160, 20_000), (999, 1_000)])
def test_clopper_and_pearson_is_the_quantile_of_the_beta_distribution(k: int, n: int) -> None:
    assert clopper_pearson_upper(k, n, 0.95) == pytest.approx(stats.beta.ppf(0.95, k + 1, n - k), rel=1e-6)


def test_clopper_and_pearson_without_a_wrong_hit_is_the_rule_of_three() -> None:
    assert clopper_pearson_upper(0, 300, 0.95) == pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-6)
    assert clopper_pearson_upper(7, 7, 0.95) == 1.0


@pytest.mark.parametrize(
    ("n", "requests", "allowed"), [(500, 500, 9), (20_000, 20_000, 200), (100, 1_000, 30), (60, 60, 3)]
)
def test_the_prediction_is_never_bolder_than_the_hypergeometric_one(n: int, requests: int, allowed: int) -> None:
    for k in range(allowed):
        exact = stats.hypergeom.cdf(k, n + requests, k + allowed + 1, n)
        if exact <= 0.05:
            assert exact <= p_of_future(k, n, allowed, requests) <= exact * 1.25 + 1e-12


@pytest.mark.parametrize("max_error", [0.02, 0.05, 0.2])
@pytest.mark.parametrize(("n", "requests"), [(300, 300), (300, 60), (150, 600)])
def test_whatever_two_samples_hold_together_the_second_is_over_the_bound_no_more_often_than_promised(
    max_error: float, n: int, requests: int
) -> None:
    terms = Terms(max_error, 0.9, requests)
    most = max((k for k in range(n) if terms.hold_after(k, n)), default=-1)
    budget = math.floor(max_error * requests)
    for wrong in range(1, n + requests + 1):
        # It fails when the first sample looks good and the second one holds more than the budget.
        good = min(most, wrong - budget - 1)
        assert stats.hypergeom.cdf(good, n + requests, wrong, n) <= 0.05 + 1e-12


@given(st.floats(0.001, 0.3), st.floats(0.5, 0.99), st.integers(50, 50_000), st.integers(1, 50_000))
def test_what_is_allowed_is_under_the_bound_and_its_edge_keeps_the_promise(
    max_error: float, confidence: float, n: int, requests: int
) -> None:
    terms = Terms(max_error, confidence, requests)
    allowed = terms.allowed_rate(n)
    if allowed is None:
        assert not terms.hold_after(0, n)
        return
    assert 0.0 <= allowed < max_error
    assert terms.hold_after(allowed * n, n)
    assert not terms.hold_after(allowed * n * 1.001 + 0.001, n)
    assert p_of_rate(allowed * n, n, max_error) <= (1 - confidence) / 2


def test_a_sample_that_clusters_allows_less() -> None:
    terms = Terms(0.01, 0.95, 20_000)
    alone, in_clusters = terms.allowed_rate(20_000), terms.allowed_rate(10_000, 2.0)
    assert alone is not None
    assert in_clusters is not None
    assert 0.005 < in_clusters < alone < 0.01


@pytest.mark.parametrize("max_error", [0.005, 0.01, 0.05])
def test_the_pairs_that_are_needed_are_enough_and_one_less_is_not(max_error: float) -> None:
    needed = pairs_needed(max_error, 0.95)
    assert needed is not None
    assert Terms(max_error, 0.95, needed).hold_after(0, needed)
    assert not Terms(max_error, 0.95, needed - 1).hold_after(0, needed - 1)


def test_without_a_wrong_hit_in_equal_samples_each_wrong_one_is_as_likely_in_either() -> None:
    # 2 ** -6 is the first power of one half under 0.025, and 5 wrong ones of 500 are still within 0.01.
    assert pairs_needed(0.01, 0.95) == 500


def test_more_is_needed_where_errors_are_seen_and_no_number_helps_at_the_bound() -> None:
    alone, seen = pairs_needed(0.01, 0.95), pairs_needed(0.01, 0.95, error_rate=0.005)
    assert alone is not None
    assert seen is not None
    assert seen > 2 * alone
    assert pairs_needed(0.01, 0.95, error_rate=0.01) is None


def test_counts_of_ten_million_are_quick_and_exact() -> None:
    allowed = Terms(0.05, 0.95, 10_000_000).allowed_rate(10_000_000)
    z = stats.norm.ppf(0.975)
    assert allowed == pytest.approx(0.05 - z * np.sqrt(2 * 0.05 / 10_000_000), rel=1e-3)
