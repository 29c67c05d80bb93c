"""What all entries have in common: the verifier's probability recalibrated online, with the entry's own record in it.

P(right) = sigmoid(w . x), where x holds a constant, the log-odds of the verifier, the similarity, and the *effect* of
the entry: by how much its own labels were righter or wronger than the first three say. The effect is the mode of a
random effect with a normal prior (Laplace; Gelman and Hill 2007, ch. 14), so that an entry with few labels is shrunk
towards the others, and one with none stands at 0. Its weight is learnt like the others, which lets the data say how
much entries differ.

The weights have a normal posterior that starts at the verifier (w = 0, 1, 0, 1) and takes in one label at a time: the
mode moves along the one direction that the label tells of, found by Newton's method, and the covariance shrinks there
(assumed density filtering; Opper 1998, "A Bayesian approach to on-line learning").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from semroute.online.logistic import log_odds, sigmoid
from semroute.online.observations import Observation, Observations

Features: TypeAlias = tuple[float, float, float, float]

_MEANS: Final = (0.0, 1.0, 0.0, 1.0)
_DEVIATIONS: Final = (1.0, 0.5, 3.0, 0.5)
"""How far the verifier's scale is trusted: its log-odds may be off by about one, its slope by a half."""
_MIDDLE: Final = 0.9
_PER_SIMILARITY: Final = 5.0
_EFFECT_VARIANCE: Final = 1.0
_EFFECT_ITEMS: Final = 20
"""An effect is computed from this many newest observations: more hardly move it, and cost time."""
_MAX_STEPS: Final = 50


@dataclass(slots=True)
class Pooled:
    """The posterior of the weights; `observe` changes it in place."""

    means: list[float] = field(default_factory=lambda: list(_MEANS))
    covariance: list[list[float]] = field(
        default_factory=lambda: [[d * d if i == j else 0.0 for j in range(4)] for i, d in enumerate(_DEVIATIONS)]
    )

    def features(self, observations: Observations, similarity: float, p_prior: float | None) -> Features:
        """Return the constant, the verifier's log-odds (0 without one), the similarity, and the entry's effect."""
        first = _plain(similarity, p_prior)
        return (*first, self._effect(observations.items[-_EFFECT_ITEMS:]))

    def log_odds(self, features: Features) -> float:
        """Return the log-odds of P(right), with the weights' uncertainty integrated out (MacKay's approximation)."""
        mean, variance = self._at(features)
        return mean / math.sqrt(1.0 + math.pi * variance / 8.0)

    def observe(self, features: Features, *, is_right: bool) -> None:
        """Take in one label."""
        mean, variance = self._at(features)
        shift = _mode(mean, variance, is_right)
        p = sigmoid(mean + shift)
        weight = p * (1.0 - p)
        gain = [_dot(row, features) for row in self.covariance]
        self.means = [w + g * shift / variance for w, g in zip(self.means, gain, strict=True)]
        shrink = weight / (1.0 + weight * variance)
        self.covariance = [
            [c - shrink * g * h for c, h in zip(row, gain, strict=True)]
            for row, g in zip(self.covariance, gain, strict=True)
        ]

    def _at(self, features: Features) -> tuple[float, float]:
        """Return the mean and the variance of w . x."""
        variance = sum(x * _dot(row, features) for x, row in zip(features, self.covariance, strict=True))
        return _dot(self.means, features), max(variance, 1e-12)

    def _effect(self, items: Sequence[Observation]) -> float:
        """Return the mode of the entry's random effect."""
        if not items:
            return 0.0
        offsets = [_dot(self.means[:3], _plain(one.similarity, one.p_prior)) for one in items]
        effect = 0.0
        for _ in range(_MAX_STEPS):
            gradient, curvature = -effect / _EFFECT_VARIANCE, 1.0 / _EFFECT_VARIANCE
            for offset, one in zip(offsets, items, strict=True):
                p = sigmoid(offset + effect)
                gradient, curvature = gradient + one.is_right - p, curvature + p * (1.0 - p)
            effect += gradient / curvature
            if abs(gradient) < 1e-6 * curvature:
                break
        return effect


def _plain(similarity: float, p_prior: float | None) -> tuple[float, float, float]:
    verified = 0.0 if p_prior is None else log_odds(p_prior)
    return 1.0, verified, (similarity - _MIDDLE) * _PER_SIMILARITY


def _mode(mean: float, variance: float, is_right: bool) -> float:
    """Return how far the mode of w . x moves by one label: where the prior's pull equals the label's."""
    shift = 0.0
    for _ in range(_MAX_STEPS):
        p = sigmoid(mean + shift)
        gradient, curvature = is_right - p - shift / variance, p * (1.0 - p) + 1.0 / variance
        shift += gradient / curvature
        if abs(gradient) < 1e-9 * curvature:
            break
    return shift


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))
