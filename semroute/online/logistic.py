"""Small logistic numerics: the sigmoid, log-odds, and a one-dimensional fit with the uncertainty of its threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MAX_STEPS: Final = 100
_RIDGE: Final = 1e-3
"""Weight of the quadratic penalty on both coefficients: it keeps a fit finite, and changes no well-posed one much."""
_MIN_SLOPE: Final = 1e-6
_MAX_LOG_ODDS: Final = 30.0


def sigmoid(log_odds: float) -> float:
    """Return the probability of log-odds; beyond 30 either way it does not change any more."""
    return 1.0 / (1.0 + math.exp(-max(-_MAX_LOG_ODDS, min(_MAX_LOG_ODDS, log_odds))))


def log_odds(p: float, *, margin: float = 1e-3) -> float:
    """Return the log-odds of a probability, which is held `margin` off 0 and 1."""
    held = min(max(p, margin), 1.0 - margin)
    return math.log(held / (1.0 - held))


@dataclass(frozen=True, slots=True)
class ThresholdFit:
    """P(right | similarity) = sigmoid(slope * (similarity - threshold)), with the variance of the threshold."""

    threshold: float
    slope: float
    variance: float

    def p_right(self, similarity: float, *, shift: float = 0.0) -> float:
        """Return P(right) with the threshold moved up by `shift`."""
        return sigmoid(self.slope * (similarity - self.threshold - shift))


def fit_threshold(similarities: Sequence[float], is_right: Sequence[bool]) -> ThresholdFit | None:
    """Fit a logistic curve over similarity by Newton's method; None where being nearer does not make it righter.

    The variance of the threshold -b0 / b1 comes from the inverse information by the delta method. Where the labels are
    perfectly separated the likelihood is the same for every threshold between the last wrong and the first right
    similarity: the threshold is then their middle, with the variance of the uniform distribution between them.
    """
    intercept, slope, information = _newton(similarities, is_right)
    if slope < _MIN_SLOPE:
        return None
    wrong_up_to = max((s for s, right in zip(similarities, is_right, strict=True) if not right), default=0.0)
    right_from = min((s for s, right in zip(similarities, is_right, strict=True) if right), default=1.0)
    if wrong_up_to < right_from:
        gap = right_from - wrong_up_to
        return ThresholdFit((wrong_up_to + right_from) / 2, slope, gap * gap / 12)
    return ThresholdFit(-intercept / slope, slope, _threshold_variance(intercept, slope, information))


def _newton(similarities: Sequence[float], is_right: Sequence[bool]) -> tuple[float, float, tuple[float, float, float]]:
    """Return intercept, slope, and the information matrix (its entries 00, 01, 11) at the penalised optimum."""
    intercept = slope = 0.0
    h00 = h01 = h11 = 0.0
    for _ in range(_MAX_STEPS):
        g0, g1, h00, h01, h11 = -_RIDGE * intercept, -_RIDGE * slope, _RIDGE, 0.0, _RIDGE
        for similarity, right in zip(similarities, is_right, strict=True):
            p = sigmoid(intercept + slope * similarity)
            weight = p * (1.0 - p)
            g0, g1 = g0 + (right - p), g1 + (right - p) * similarity
            h00, h01, h11 = h00 + weight, h01 + weight * similarity, h11 + weight * similarity * similarity
        determinant = h00 * h11 - h01 * h01
        step0, step1 = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        # A long step overshoots where the curve is flat; a bounded one arrives as well.
        shrink = min(1.0, 10.0 / max(abs(step0), abs(step1), 1e-300))
        intercept, slope = intercept + shrink * step0, slope + shrink * step1
        if max(abs(step0), abs(step1)) < 1e-9:
            break
    return intercept, slope, (h00, h01, h11)


def _threshold_variance(intercept: float, slope: float, information: tuple[float, float, float]) -> float:
    h00, h01, h11 = information
    d0, d1 = -1.0 / slope, intercept / (slope * slope)
    return (d0 * d0 * h11 - 2.0 * d0 * d1 * h01 + d1 * d1 * h00) / (h00 * h11 - h01 * h01)
