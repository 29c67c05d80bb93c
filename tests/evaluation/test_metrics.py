"""Figures of evaluations, against sums done by hand."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.evaluation.metrics import (
    OperatingPoint,
    PairFigures,
    PairOutcome,
    best_behind,
    best_operating_point,
    best_pair_point,
    expected_calibration_error,
    p_chr_auc,
    pair_curve,
    reliability,
)


def test_the_area_is_the_mean_precision_over_all_hit_ratios() -> None:
    # Served in order: right, wrong, right, wrong.
    assert p_chr_auc([0.9, 0.8, 0.7, 0.6], [True, False, True, False]) == pytest.approx((1 + 1 / 2 + 2 / 3 + 1 / 2) / 4)


def test_a_perfect_ranking_beats_its_reverse() -> None:
    labels = [True, True, False, False]
    best, worst = p_chr_auc([4, 3, 2, 1], labels), p_chr_auc([1, 2, 3, 4], labels)
    assert best == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)
    assert worst == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_without_a_pair_there_is_no_area() -> None:
    assert p_chr_auc([], []) is None


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_equal_scores_count_as_the_mean_over_all_their_orders(labels: list[bool]) -> None:
    def area(order: tuple[bool, ...]) -> float:
        return statistics.fmean(sum(order[:served]) / served for served in range(1, len(order) + 1))

    expected = statistics.fmean(area(order) for order in itertools.permutations(labels))
    assert p_chr_auc([0.0] * len(labels), labels) == pytest.approx(expected)


def test_pair_figures_divide_by_what_each_rate_is_about() -> None:
    outcomes = [
        PairOutcome(is_positive=True, is_hit=True, is_bypass=False, score=0.95),
        PairOutcome(is_positive=True, is_hit=False, is_bypass=True, score=0.0),
        PairOutcome(is_positive=True, is_hit=False, is_bypass=False, score=0.7),
        PairOutcome(is_positive=True, is_hit=True, is_bypass=False, score=0.92),
        PairOutcome(is_positive=False, is_hit=True, is_bypass=False, score=0.91),
        PairOutcome(is_positive=False, is_hit=False, is_bypass=False, score=0.3),
    ]
    figures = PairFigures.of(outcomes)
    assert (figures.n, figures.positives, figures.hits, figures.bypasses) == (6, 4, 3, 1)
    assert (figures.hit_rate, figures.false_hit_rate, figures.precision) == (0.5, 0.5, pytest.approx(2 / 3))


def test_a_rate_over_nothing_is_none() -> None:
    figures = PairFigures.of([PairOutcome(is_positive=True, is_hit=False, is_bypass=False, score=0.0)])
    assert figures.false_hit_rate is None
    assert figures.precision is None


def test_the_best_point_serves_as_much_as_the_bound_allows() -> None:
    scores, is_right = np.array([0.9, 0.8, 0.7, 0.6, 0.0]), np.array([True, False, True, False, False])
    assert best_operating_point(scores, is_right, 0.2) == OperatingPoint(0.6, 0.2, pytest.approx(2 / 3))
    assert best_operating_point(scores, is_right, 0.0) == OperatingPoint(0.2, 0.0, 1.0)


def test_a_score_of_zero_is_never_served() -> None:
    assert best_operating_point(np.zeros(3), np.array([True, True, True]), 1.0) is None


def test_requests_of_one_score_are_served_together_or_not_at_all() -> None:
    scores, is_right = np.array([0.9, 0.9, 0.9, 0.5]), np.array([True, True, False, True])
    assert best_operating_point(scores, is_right, 0.0) is None
    assert best_operating_point(scores, is_right, 0.25) == OperatingPoint(1.0, 0.25, 0.75)


def test_a_curve_has_a_point_where_another_set_of_pairs_is_served() -> None:
    curve = pair_curve([0.9, 0.8, 0.8, 0.6, 0.0], [True, True, False, False, True])
    assert [(p.threshold, p.hit_rate, p.false_hit_rate) for p in curve] == [
        (0.9, pytest.approx(1 / 3), 0.0),
        (0.8, pytest.approx(2 / 3), 0.5),
        (0.6, pytest.approx(2 / 3), 1.0),
    ]


def test_a_curve_needs_both_labels() -> None:
    assert pair_curve([0.9, 0.8], [True, True]) == []
    assert pair_curve([], []) == []


def test_the_best_point_of_pairs_stays_within_the_bound() -> None:
    scores, labels = [0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False]
    within = best_pair_point(scores, labels, 0.5)
    assert within is not None
    assert (within.threshold, within.hit_rate, within.false_hit_rate) == (0.6, 1.0, 0.5)
    none_wrong = best_pair_point(scores, labels, 0.0)
    assert none_wrong is not None
    assert none_wrong.threshold == 0.9
    assert best_pair_point([0.9, 0.8], [False, True], 0.0) is None


def test_bins_compare_scores_with_what_came_true() -> None:
    bins = reliability([0.05, 0.95, 0.95, 1.0], [False, True, True, False])
    assert [(one.n, one.positive_share) for one in bins] == [(1, 0.0), (3, pytest.approx(2 / 3))]
    assert bins[1].mean_score == pytest.approx(2.9 / 3)
    assert expected_calibration_error(bins) == pytest.approx((0.05 + 3 * (2.9 / 3 - 2 / 3)) / 4)


def test_calibration_of_nothing_is_none() -> None:
    assert reliability([], []) == []
    assert expected_calibration_error([]) is None


def test_a_least_similarity_and_a_score_together_serve_more_than_either_alone() -> None:
    similarities = np.array([0.99, 0.97, 0.95, 0.80, 0.78])
    scores = np.array([0.7, 0.2, 0.7, 0.9, 0.8])
    is_right = np.array([True, False, True, False, False])
    assert best_operating_point(scores, is_right, 0.0) is None
    assert best_operating_point(similarities, is_right, 0.0) == OperatingPoint(0.2, 0.0, 1.0)
    assert best_behind([0.5, 0.9], similarities, scores, is_right, 0.0) == OperatingPoint(0.4, 0.0, 1.0)
    assert best_behind([1.0], similarities, scores, is_right, 0.0) is None
