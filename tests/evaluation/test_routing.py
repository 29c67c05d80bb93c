"""Figures of routers, against sums done by hand and orders tried one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.evaluation.routing import (
    CostPoint,
    Sweep,
    apgr_difference,
    apgr_of,
    best_within,
    calibration_error,
    calls_for,
    cost_curve,
    evaluate_router,
    router_figures,
    saving_at,
)

WEAK = np.array([1.0, 0.0, 0.0, 1.0])
STRONG = np.array([1.0, 1.0, 1.0, 1.0])


def apgr(scores: Sequence[float], weak: Sequence[float], strong: Sequence[float]) -> float:
    return float(apgr_of(*Sweep.of(np.array(scores, float), np.array(weak, float), np.array(strong, float)).curve()))


def test_the_area_is_that_under_the_gap_recovered_at_each_share_of_strong_calls() -> None:
    # The two requests that need the strong model come first: PGR is 0, 1/2, 1, 1, 1 at 0, 1/4, 1/2, 3/4, 1.
    figures = router_figures(np.array([0.1, 0.9, 0.8, 0.2]), WEAK, STRONG, resamples=10)
    assert figures.apgr.value == pytest.approx((0 / 2 + 1 / 2 + 1 + 1 + 1 / 2) / 4)
    assert figures.cpt50.value == pytest.approx(0.25)
    assert figures.cpt80.value == pytest.approx(0.25 + 0.25 * 0.3 / 0.5)
    assert (figures.weak, figures.strong, figures.n, figures.ece) == (0.5, 1.0, 4, None)


def test_a_score_that_says_nothing_has_the_figures_of_a_random_router() -> None:
    figures = router_figures(np.zeros(4), WEAK, STRONG, resamples=20)
    for measured, random in ((figures.apgr, 0.5), (figures.cpt50, 0.5), (figures.cpt80, 0.8)):
        assert (measured.value, measured.low, measured.high) == pytest.approx((random, random, random))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), min_size=2, max_size=6).filter(
        lambda rows: sum(strong for _, _, strong in rows) > sum(weak for _, weak, _ in rows)
    )
)
@settings(max_examples=60, deadline=None)
def test_equal_scores_count_as_the_mean_over_all_their_orders(rows: list[tuple[int, bool, bool]]) -> None:
    scores, weak, strong = (list(column) for column in zip(*rows, strict=True))
    orders = list(itertools.permutations(range(len(rows))))
    allowed = [order for order in orders if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))]
    ranked = [
        apgr(
            list(range(len(rows), 0, -1)),
            [weak[place] for place in order],
            [strong[place] for place in order],
        )
        for order in allowed
    ]
    assert apgr(scores, weak, strong) == pytest.approx(np.mean(ranked))


@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=2, max_size=30), st.floats(0.05, 1.0))
@settings(deadline=None)
def test_no_share_below_the_calls_for_a_part_recovers_it(rows: list[tuple[float, bool]], part: float) -> None:
    scores = np.array([score for score, _ in rows])
    weak = np.array([float(is_right) for _, is_right in rows])
    weak[0] = 0.0
    shares, pgr = Sweep.of(scores, weak, np.ones(len(rows))).curve()
    least = float(calls_for(part, shares, pgr))
    assert np.interp(least, shares, pgr) == pytest.approx(part, abs=1e-9)
    below = np.linspace(0, least, 20, endpoint=False)
    assert (np.interp(below, shares, pgr) < part + 1e-9).all()


def test_a_strong_model_that_is_worse_on_some_requests_can_be_beaten_by_a_router() -> None:
    # Sent by what each does best, three of four are right where the strong model alone has two.
    weak, strong = [1, 0, 0, 0], [0, 1, 1, 0]
    assert apgr([0, 1, 1, 0.5], weak, strong) > 1
    assert apgr([1, 0, 0, 0.5], weak, strong) < 0


def test_the_interval_holds_the_value_and_is_the_same_for_the_same_seed() -> None:
    rng = np.random.default_rng(1)
    weak = (rng.random(400) < 0.6).astype(float)
    scores = 0.3 * rng.random(400) - 0.1 * weak
    one, again, other = (router_figures(scores, weak, np.ones(400), resamples=200, seed=seed) for seed in (3, 3, 4))
    assert one == again
    assert one.apgr.low < one.apgr.value < one.apgr.high
    assert one.apgr.low != other.apgr.low


def test_the_interval_is_about_as_wide_as_fresh_samples_differ() -> None:
    rng = np.random.default_rng(0)

    def drawn() -> tuple[np.ndarray, np.ndarray]:
        weak = (rng.random(500) < 0.6).astype(float)
        return rng.random(500) - 0.3 * weak, weak

    scores, weak = drawn()
    figures = router_figures(scores, weak, np.ones(500), resamples=400)
    fresh = [apgr(*(column.tolist() for column in drawn()), [1.0] * 500) for _ in range(200)]
    assert figures.apgr.high - figures.apgr.low == pytest.approx(3.92 * np.std(fresh), rel=0.25)


def test_two_scores_are_compared_on_the_same_resamples() -> None:
    rng = np.random.default_rng(2)
    weak = (rng.random(300) < 0.6).astype(float)
    noise = rng.random(300)
    same = apgr_difference(noise, noise.copy(), weak, np.ones(300), resamples=50)
    assert (same.value, same.low, same.high) == pytest.approx((0, 0, 0))
    better = apgr_difference(noise - weak, noise, weak, np.ones(300), resamples=50)
    assert 0 < better.low < better.value < better.high


def test_a_router_is_evaluated_by_its_two_probabilities() -> None:
    p = {"easy": (0.9, 0.95), "hard": (0.2, 0.9)}
    figures = evaluate_router(
        ["easy", "hard", "hard", "easy"],
        WEAK,
        STRONG,
        lambda prompts: np.array([p[prompt] for prompt in prompts]),
        resamples=10,
    )
    assert figures.cpt50.value == pytest.approx(0.25)
    assert figures.ece == pytest.approx((0.1 + 0.2) / 2)


def test_what_cannot_be_evaluated_is_refused_with_a_reason() -> None:
    with pytest.raises(ConfigError, match=r"no better than the weak one on these 4 requests \(0.5000 and 0.5000\)"):
        router_figures(np.zeros(4), WEAK, WEAK)
    with pytest.raises(ConfigError, match="as many, and at least one"):
        router_figures(np.zeros(3), WEAK, STRONG)
    with pytest.raises(ConfigError, match="as many, and at least one"):
        router_figures(np.zeros(0), np.zeros(0), np.zeros(0))
    with pytest.raises(ConfigError, match="finite"):
        router_figures(np.array([0, np.nan, 0, 0]), WEAK, STRONG)
    with pytest.raises(ConfigError, match=r"two columns, not the shape \(4,\)"):
        evaluate_router(["a"] * 4, WEAK, STRONG, lambda prompts: np.zeros(4))


def test_resamples_without_a_gap_are_left_out() -> None:
    # Of three requests one has a gap: resamples that miss it have no PGR.
    figures = router_figures(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 1.0]), np.ones(3), resamples=200)
    assert np.isfinite([figures.apgr.low, figures.apgr.high]).all()


def test_the_calibration_error_weighs_bins_by_their_size() -> None:
    assert calibration_error(np.array([0.9, 0.9, 0.2]), np.array([1.0, 0.0, 0.0])) == pytest.approx((0.8 + 0.2) / 3)


def test_the_cost_curve_goes_from_the_best_predicted_to_the_cheapest() -> None:
    predicted = np.array([[0.9, 0.5], [0.9, 0.89]])
    expected = np.array([[10.0, 1.0], [10.0, 1.0]])
    quality = np.array([[1.0, 0.0], [1.0, 1.0]])
    points = cost_curve(predicted, expected, quality, expected)
    assert [(point.cost, point.accuracy) for point in points] == [(10.0, 1.0), (5.5, 1.0), (1.0, 0.5)]
    assert saving_at(points, 1.0, 10.0) == pytest.approx(0.45)
    assert saving_at(points, 1.1, 10.0) is None
    assert best_within(points, 5.0) == points[-1]
    assert best_within(points, 0.5) is None


def test_the_currency_of_costs_changes_no_choice() -> None:
    rng = np.random.default_rng(0)
    predicted, cost = rng.random((50, 3)), rng.random((50, 3)) + 0.1
    quality = (rng.random((50, 3)) < predicted).astype(float)
    dollars, cents = (cost_curve(predicted, unit * cost, quality, cost) for unit in (1.0, 100.0))
    assert dollars == cents
    assert all(isinstance(point, CostPoint) for point in dollars)
