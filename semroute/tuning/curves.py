"""Hits and errors along a path: what each level serves, and where a budget ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from semroute.tuning.scored import Bools, Floats, ScoredPairs


_ENOUGH_WRONG: Final = 10


@dataclass(frozen=True, slots=True)
class HitErrorCurve:
    """What is served at each level of a path, strictest first; rates are shares of all requests.

    `levels` are the distinct ranks of the pairs, falling, after a first one of inf at which only that is served which
    every policy serves. All arrays have the shape (levels,).
    """

    levels: Floats
    hit_rate: Floats
    error_rate: Floats
    right_hits: Floats
    """Share of the pairs labelled right that are served."""

    @classmethod
    def of(cls, rank: Floats, pairs: ScoredPairs) -> HitErrorCurve:
        """Sum up what is served at every level."""
        weight = pairs.weights
        total, positives = float(weight.sum()), float(weight[pairs.is_right].sum())
        ranked = np.flatnonzero(~np.isneginf(rank))
        order = ranked[np.argsort(-rank[ranked], kind="stable")]
        falling = rank[order]
        ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(order) else np.zeros(0, np.intp)
        # Each is a sum of its own: a difference of two need not rise where weights are no whole numbers.
        right = np.cumsum(weight[order] * pairs.is_right[order])[ends]
        wrong = np.cumsum(weight[order] * ~pairs.is_right[order])[ends]
        levels = falling[ends]
        if not len(levels) or levels[0] != np.inf:
            levels, right, wrong = np.append(np.inf, levels), np.append(0.0, right), np.append(0.0, wrong)
        return cls(levels, (right + wrong) / total, wrong / total, right / positives if positives else right * 0.0)

    def last_within(self, error_rate: float) -> int | None:
        """Return the position of the most lenient level within an error rate; None where there is none."""
        within = int(np.searchsorted(self.error_rate, error_rate * (1 + 1e-9) + 1e-15, side="right"))
        return within - 1 if within else None

    def level_at(self, position: int) -> float:
        """Return the shortest number that serves exactly what a position serves, and inf for the first position."""
        level = float(self.levels[position])
        below = float(self.levels[position + 1]) if position + 1 < len(self.levels) else -math.inf
        if not math.isfinite(level):
            return level
        for digits in range(3, 12):
            short = math.floor(level * 10.0**digits) / 10.0**digits
            if below < short <= level:
                return short
        return level

    def thinned(self, most: int) -> HitErrorCurve:
        """Return the curve at about `most` of its levels, the ends kept: enough to draw it."""
        if len(self.levels) <= most:
            return self
        kept = np.unique(np.linspace(0, len(self.levels) - 1, most).astype(np.intp))
        return HitErrorCurve(self.levels[kept], self.hit_rate[kept], self.error_rate[kept], self.right_hits[kept])


def effective_size(is_hit: Bools, pairs: ScoredPairs) -> float:
    """Return how many independent requests a sample without weights is worth, where its error rate is measured.

    The variance of the rate over units is that of a ratio estimator (Cochran, Sampling Techniques, section 6.3). Where
    too few hits are wrong to measure it, errors are taken to come by whole units: one wrong hit, all wrong. No sample
    is worth more than it holds.
    """
    count = float(len(pairs))
    if pairs.unit is None:
        return count
    is_wrong_hit = is_hit & ~pairs.is_right
    is_measured = int(np.count_nonzero(is_wrong_hit)) >= _ENOUGH_WRONG
    _, place = np.unique(pairs.units, return_inverse=True)
    size = np.bincount(place)
    loss = np.bincount(place, is_wrong_hit if is_measured else is_hit)
    total, rate = float(size.sum()), float(loss.sum()) / float(size.sum())
    if not is_measured:  # the limit of a small rate of such errors, whatever it is
        return min(count, rate * total**2 / float(np.square(loss).sum())) if rate > 0.0 else count
    spread = float(np.square(loss - rate * size).sum()) * len(size) / max(1, len(size) - 1)
    return min(count, rate * (1.0 - rate) * total**2 / spread) if spread > 0.0 else count
