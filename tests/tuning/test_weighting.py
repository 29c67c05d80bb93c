"""What labels with weights are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from semroute.errors import ConfigError
from semroute.tuning.curves import HitErrorCurve
from semroute.tuning.scored import ScoredPairs
from semroute.tuning.tune import METHOD, TooFewPairs, tune
from semroute.tuning.weighting import ClusterEffects, sizes

from .simulated import doubtful, labelled, smooth


def four(weight: list[float], is_right: list[bool]) -> tuple[HitErrorCurve, np.ndarray, ScoredPairs]:  # type: ignore[type-arg]  # of floats
    similarity = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    pairs = ScoredPairs(similarity, np.array(is_right), np.ones(4, np.bool_), weight=np.array(weight))
    rank = similarity.astype(np.float64)
    return HitErrorCurve.of(rank, pairs), rank, pairs


def test_equal_weights_are_worth_the_pairs_and_each_level_has_its_own_worth() -> None:
    assert sizes(*four([2, 2, 2, 2], [True] * 4)) == pytest.approx([np.nan, 4, 4, 4, 4], nan_ok=True)
    assert sizes(*four([1, 3, 1, 5], [True] * 4))[1:] == pytest.approx([10, 4, 10 * 5 / 11, 10 / 3.6])


def test_wrong_hits_that_are_heavier_than_the_hits_set_the_worth() -> None:
    assert sizes(*four([1, 4, 1, 4], [True, False, True, True]))[2:] == pytest.approx([2.5, 2.5, 2.5])


def test_no_request_counts_more_than_once() -> None:
    assert sizes(*four([0.1, 0.1, 2, 2], [True] * 4))[1] == pytest.approx(4.2)


def test_wrong_hits_of_one_unit_make_labels_worth_less_and_alone_they_do_not() -> None:
    wrong = np.arange(400) < 20
    pairs = smooth(400, np.random.default_rng(0))
    together = replace(pairs, weight=np.full(400, 2.0), unit=np.where(wrong, 0, np.arange(400)))
    effects = ClusterEffects.measured(wrong, together)
    assert effects.sample > 10
    assert effects.requests > effects.sample
    assert ClusterEffects.measured(wrong, replace(together, unit=None)) == ClusterEffects(1.0, 1.0)


def test_weights_that_are_no_whole_numbers_never_make_right_hits_fall() -> None:
    # A difference of two running sums did, and the search for the strictest level then ran past the end.
    random = np.random.default_rng(3)
    for _ in range(200):
        pairs = replace(smooth(60, random), weight=random.exponential(size=60))
        curve = HitErrorCurve.of(pairs.similarity.astype(np.float64), pairs)
        assert (np.diff(curve.right_hits) >= 0).all()
        assert (np.searchsorted(curve.right_hits, curve.right_hits) < len(curve.levels)).all()


def test_300_labels_with_weights_lead_to_a_policy_that_calls_itself_approximate() -> None:
    random = np.random.default_rng(1)
    pairs = smooth(3_000, random)
    tuned = tune(labelled(pairs, 300, doubtful(pairs), random), max_error=0.05)
    assert tuned.is_approximate
    assert "approximate" in tuned.promise.method
    assert "approximate" in tuned._repr_html_()
    assert 225 < tuned.effective_n < 3_000
    assert tuned.promise.requests == 3_000
    assert tune(pairs, max_error=0.05).promise.method == METHOD


def test_labels_that_stand_for_too_few_requests_are_refused_with_both_numbers() -> None:
    pairs = replace(smooth(300, np.random.default_rng(0)), weight=np.full(300, 1.2))
    with pytest.raises(TooFewPairs, match="300 pairs, which stand for 360 requests, are too few"):
        tune(pairs, max_error=0.01)


def test_weights_that_are_all_0_are_refused() -> None:
    with pytest.raises(ConfigError, match="the weights of all pairs are 0"):
        tune(replace(smooth(900, np.random.default_rng(0)), weight=np.zeros(900)), max_error=0.05)
