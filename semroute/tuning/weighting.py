"""Labels that were not drawn evenly: how many independent requests they are worth, level by level of a path.

`semroute.tuning.bounds` has the argument and its limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.tuning.curves import HitErrorCurve
    from semroute.tuning.scored import Bools, Floats, ScoredPairs

_ENOUGH_WRONG: Final = 10
_MOST_LEVELS: Final = 5_000


def sizes(curve: HitErrorCurve, rank: Floats, pairs: ScoredPairs) -> Floats:
    """Return for each level how many evenly drawn requests the weights leave; NaN where what is served weighs nothing.

    The shape is (levels,). All weight, divided by the mean weight of a unit of weight among the hits or among the
    wrong hits, whichever is greater. No request is counted more than once: the divisor is at least 1.
    """
    hits, wrong = rank > -np.inf, (rank > -np.inf) & ~pairs.is_right
    scale = np.fmax(_mean_weight(curve, rank, pairs.weights, hits), 1.0)
    scale = np.fmax(scale, _mean_weight(curve, rank, pairs.weights, wrong))
    served = curve.hit_rate > 0.0
    return np.where(served, float(pairs.weights.sum()) / scale, np.nan)


def _mean_weight(curve: HitErrorCurve, rank: Floats, weight: Floats, chosen: Bools) -> Floats:
    """Return sum(w^2) / sum(w) of the chosen at each level; NaN where there are none."""
    order = np.flatnonzero(chosen)[np.argsort(-rank[chosen], kind="stable")]
    ends = np.searchsorted(-rank[order], -curve.levels, side="right")
    first, second = (np.append(0.0, np.cumsum(weight[order] ** power))[ends] for power in (1, 2))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(first > 0.0, second / first, np.nan))


@dataclass(frozen=True, slots=True)
class ClusterEffects:
    """By how much a count varies more because wrong hits come in clusters, each at least 1."""

    sample: float
    """Of the labels: so much less they are worth."""
    requests: float
    """Of the requests that they stand for."""

    @classmethod
    def measured(cls, is_wrong_hit: Bools, pairs: ScoredPairs) -> ClusterEffects:
        """Measure both by the variance of a ratio estimator over units (Cochran, Sampling Techniques, section 6.3).

        Labels of one unit are drawn one by one, so a product over two of them estimates what the two stand for; that
        of a label with itself does so when it is divided by its weight (Horvitz and Thompson 1952).
        """
        weight, total = pairs.weights, float(pairs.weights.sum())
        off = is_wrong_hit - float(weight[is_wrong_hit].sum()) / total
        _, place = np.unique(pairs.units, return_inverse=True)
        by_unit = float(np.square(np.bincount(place, weight * off)).sum())
        alone, counted = float(np.square(weight * off).sum()), float((weight * off**2).sum())
        if alone <= 0.0:
            return cls(1.0, 1.0)
        return cls(max(1.0, by_unit / alone), max(1.0, 1.0 + (by_unit - alone) / counted))


def where_to_measure(curve: HitErrorCurve, rank: Floats, pairs: ScoredPairs, error_rate: float) -> Bools:
    """Return the wrong hits to measure clusters by: those within an error rate, or ten where those are fewer."""
    within = curve.last_within(error_rate)
    level = float(curve.levels[0 if within is None else within])
    falling = np.sort(rank[~pairs.is_right & np.isfinite(rank)])[::-1]
    if len(falling):
        level = min(level, float(falling[min(_ENOUGH_WRONG, len(falling)) - 1]))
    return np.asarray(~pairs.is_right & (rank >= level))


def tested_levels(curve: HitErrorCurve, size: Floats) -> NDArray[np.intp]:
    """Return the positions of the levels to test, strictest first: all that serve something, or a grid of them."""
    serving = np.flatnonzero(np.isfinite(curve.levels) & np.isfinite(size))
    if len(serving) <= _MOST_LEVELS:
        return serving
    return serving[np.unique(np.linspace(0, len(serving) - 1, _MOST_LEVELS).astype(np.intp))]
