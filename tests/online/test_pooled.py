"""What entries have in common, and what corrects it: the pooled curve and its bands."""

from __future__ import annotations

import numpy as np
import pytest

from semroute.online import Observation, Observations
from semroute.online.bands import Bands
from semroute.online.logistic import log_odds, sigmoid
from semroute.online.pooled import Pooled

NOTHING = Observations()


def test_before_any_label_the_curve_is_the_verifiers() -> None:
    pooled = Pooled()
    for p in (0.1, 0.5, 0.9):
        told = sigmoid(pooled.log_odds(pooled.features(NOTHING, 0.9, p)))
        assert told == pytest.approx(p, abs=0.1)
        assert abs(told - 0.5) <= abs(p - 0.5)


def test_one_label_after_the_other_leads_where_all_of_them_at_once_do() -> None:
    optimise = pytest.importorskip("scipy.optimize", reason="the fit to compare with")
    rng, pooled = np.random.default_rng(0), Pooled()
    rows, labels = [], []
    for _ in range(1500):
        similarity, p_prior = float(rng.uniform(0.75, 1.0)), float(rng.uniform(0.02, 0.98))
        truth = -0.8 + 0.6 * log_odds(p_prior) + 1.5 * (similarity - 0.9) * 5.0
        is_right = bool(rng.random() < sigmoid(truth))
        features = pooled.features(NOTHING, similarity, p_prior)
        pooled.observe(features, is_right=is_right)
        rows.append(features)
        labels.append(is_right)
    x, y = np.array(rows), np.array(labels, float)
    prior, precision = np.array([0.0, 1.0, 0.0, 1.0]), 1.0 / np.array([1.0, 0.5, 3.0, 0.5]) ** 2

    def loss(w: np.ndarray) -> float:
        z = x @ w
        return float(np.sum(np.logaddexp(0.0, z) - y * z) + 0.5 * np.sum(precision * (w - prior) ** 2))

    at_once = optimise.minimize(loss, prior, method="BFGS").x
    assert pooled.means == pytest.approx(at_once.tolist(), abs=0.05)
    assert pooled.means[:3] == pytest.approx([-0.8, 0.6, 1.5], abs=0.35)


def test_an_effect_is_shrunk_where_labels_are_few() -> None:
    def effect(times: int) -> float:
        record = Observations((Observation(0.9, False, 0.6),) * times)
        return Pooled().features(record, 0.9, 0.6)[3]

    assert 0.0 > effect(1) > effect(3) > effect(15)
    assert effect(1) > -1.0
    assert effect(0) == 0.0


def test_labels_that_confirm_what_was_expected_make_no_effect() -> None:
    record = Observations((*(Observation(0.9, True, 0.75),) * 9, *(Observation(0.9, False, 0.75),) * 3))
    assert Pooled().features(record, 0.9, 0.75)[3] == pytest.approx(0.0, abs=0.01)


def test_a_band_learns_that_the_curve_is_too_sure() -> None:
    bands, rng = Bands.of(0.95), np.random.default_rng(1)
    for _ in range(2000):
        bands.observe(3.2, is_right=bool(rng.random() < 0.85))
    assert bands.p_wrong(3.2) == pytest.approx(0.165, abs=0.03)


def test_a_bound_comes_down_to_the_truth_as_labels_come_in() -> None:
    bands = Bands.of(0.95)
    bounds = [bands.p_wrong(1.0)]
    for number in range(1, 801):
        bands.observe(1.0, is_right=number % 4 != 0)
        bounds.append(bands.p_wrong(1.0))
    assert bounds[0] > bounds[100] > bounds[800] > 0.25
    assert bounds[800] == pytest.approx(0.25, abs=0.04)


def test_a_band_without_labels_is_believed_as_little_as_the_one_below() -> None:
    bands = Bands.of(0.95)
    before = bands.p_wrong(2.2), bands.p_wrong(0.2)
    for number in range(400):
        bands.observe(1.7, is_right=number % 2 == 0)
    assert bands.p_wrong(2.2) > 2.0 * before[0]
    assert bands.p_wrong(0.2) == before[1]


def test_a_band_follows_a_drift() -> None:
    bands = Bands.of(0.95)
    for _ in range(5000):
        bands.observe(2.0, is_right=True)
    for number in range(1200):
        bands.observe(2.0, is_right=number % 2 == 0)
    assert bands.p_wrong(2.0) > 0.25
