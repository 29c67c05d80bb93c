"""The one-dimensional logistic fit, beside well-known libraries and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from semroute.online.logistic import ThresholdFit, fit_threshold, log_odds, sigmoid


def drawn(rng: np.random.Generator, n: int, threshold: float, slope: float) -> tuple[list[float], list[bool]]:
    """Draw labels of a logistic curve at similarities all over [0, 1]."""
    similarities = rng.random(n)
    is_right = rng.random(n) < 1.0 / (1.0 + np.exp(-slope * (similarities - threshold)))
    return similarities.tolist(), is_right.tolist()


def fitted(similarities: list[float], is_right: list[bool]) -> ThresholdFit:
    fit = fit_threshold(similarities, is_right)
    assert fit is not None
    return fit


@pytest.mark.parametrize(("threshold", "slope"), [(0.5, 8.0), (0.8, 15.0), (0.3, 4.0)])
def test_the_curve_is_that_of_scikit_learn(threshold: float, slope: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="the fit to compare with")
    similarities, is_right = drawn(np.random.default_rng(1), 500, threshold, slope)
    other = linear.LogisticRegression(C=1e3, tol=1e-10).fit(np.array(similarities)[:, None], is_right)
    ours = fitted(similarities, is_right)
    assert ours.slope == pytest.approx(other.coef_[0, 0], rel=2e-3)
    assert ours.threshold == pytest.approx(-other.intercept_[0] / other.coef_[0, 0], abs=1e-3)


def test_the_optimum_is_that_of_a_general_optimiser() -> None:
    optimise = pytest.importorskip("scipy.optimize", reason="the fit to compare with")
    similarities, is_right = drawn(np.random.default_rng(2), 60, 0.6, 10.0)
    x, y = np.array(similarities), np.array(is_right, float)

    def loss(w: np.ndarray) -> float:
        z = w[0] + w[1] * x
        return float(np.sum(np.logaddexp(0.0, z) - y * z) + 0.5e-3 * np.sum(w * w))

    other = optimise.minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-8})
    ours = fitted(similarities, is_right)
    assert [-ours.threshold * ours.slope, ours.slope] == pytest.approx(other.x.tolist(), rel=1e-4)


def test_the_variance_of_the_threshold_is_how_much_it_varies() -> None:
    rng = np.random.default_rng(3)
    fits = [fitted(*drawn(rng, 150, 0.6, 10.0)) for _ in range(300)]
    seen = float(np.var([fit.threshold for fit in fits]))
    assert float(np.mean([fit.variance for fit in fits])) == pytest.approx(seen, rel=0.25)


def test_perfectly_separated_labels_put_the_threshold_in_the_middle_of_the_gap() -> None:
    fit = fitted([0.0, 0.7, 0.9, 1.0], [False, False, True, True])
    assert fit.threshold == pytest.approx(0.8)
    assert fit.variance == pytest.approx(0.2**2 / 12)
    assert fit.slope > 0


def test_where_nearer_is_no_righter_there_is_no_curve() -> None:
    assert fit_threshold([0.5, 0.6, 0.9, 0.95], [True, True, False, False]) is None


def test_log_odds_and_sigmoid_undo_one_another_and_stay_finite() -> None:
    assert sigmoid(log_odds(0.3)) == pytest.approx(0.3)
    assert sigmoid(-1e6) > 0.0
    assert [log_odds(0.0), log_odds(1.0)] == pytest.approx([-6.907, 6.907], abs=1e-3)
