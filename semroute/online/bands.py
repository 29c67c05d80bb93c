"""Bands of probability: in each, how many labels were wrong beside how many the pooled curve expected.

A logistic curve has one shape, the truth another: where labels are noisy P(right) never comes near 1, whatever the
verifier says. So the curve's P(wrong) is multiplied by a ratio of its band of log-odds: wrong labels / expected ones,
with a gamma prior around the ratio of the band below, which has more labels, since surer candidates are served. What
is used is not the ratio's mean but its upper confidence bound: a ratio that is too high by chance keeps its candidates
unserved, and so gets labels and mends soon; one that is too low serves them and gets few, so that means would be too
low on average over what is served. Old labels fade, so that a band follows a drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, Self

from semroute.online.logistic import sigmoid

_LEAST: Final = -4.0
_WIDTH: Final = 0.5
_COUNT: Final = 21
_PRIOR: Final = 5.0
"""The prior is worth this many expected wrong labels: what is below is believed to within 45 % or so."""
_MEMORY: Final = 200.0
"""Expected wrong labels; beyond it the older labels of a band fade."""


@dataclass(slots=True)
class Bands:
    """Wrong and expected labels of each band; `observe` changes them in place."""

    deviations: float
    """How many posterior standard deviations the bound lies above the ratio's mean."""
    wrong: list[float] = field(default_factory=lambda: [0.0] * _COUNT)
    expected: list[float] = field(default_factory=lambda: [0.0] * _COUNT)

    @classmethod
    def of(cls, confidence: float) -> Self:
        """Make bands without labels, whose bounds hold with this confidence, each by itself."""
        return cls(NormalDist().inv_cdf(confidence))

    def p_wrong(self, log_odds: float) -> float:
        """Return an upper bound of P(wrong) at the pooled curve's log-odds of being right."""
        ratio = weight = 1.0
        for band in range(_band(log_odds) + 1):
            weight = _PRIOR * ratio + self.wrong[band]
            ratio = weight / (_PRIOR + self.expected[band])
        return min(1.0, sigmoid(-log_odds) * ratio * (1.0 + self.deviations / math.sqrt(weight)))

    def observe(self, log_odds: float, *, is_right: bool) -> None:
        """Take in one label."""
        band = _band(log_odds)
        self.wrong[band] += not is_right
        self.expected[band] += sigmoid(-log_odds)
        if self.expected[band] > _MEMORY:
            fade = _MEMORY / self.expected[band]
            self.wrong[band] *= fade
            self.expected[band] = _MEMORY


def _band(log_odds: float) -> int:
    return int(min(max((log_odds - _LEAST) / _WIDTH, 0.0), _COUNT - 1))
