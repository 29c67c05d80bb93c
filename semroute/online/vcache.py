"""The vCache rule: each entry learns its own threshold, and explores as much as its uncertainty asks for.

Written from the description of the method in Schroeder et al., "vCache: Verified Semantic Prompt Caching", arXiv
2502.03771. Per entry, P(right | similarity) is a logistic curve fitted to the entry's observations. When the model is
asked with probability tau, a wrong answer is served with probability (1 - tau) (1 - P(right)), so that it is enough
that tau >= 1 - max_error / (1 - P(right)). P(right) is not known, but with probability 1 - eps it is at least the
curve with its threshold moved up by z(1 - eps) standard errors; so (1 - eps) times that is a lower bound, for every
eps, and the best bound over a grid of eps is used.

**What holds**: P(wrong and served) <= max_error for every single request, and so for their mean, as far as each
entry's curve is logistic and its threshold's error normal. Labels are seen on explored requests only, which does no
harm, since whether to explore depends on the similarity and chance alone.

Where the labels of an entry are perfectly separated the paper takes the variance from a table; here it is derived
(`fit_threshold`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

from semroute.errors import ConfigError
from semroute.online.decisions import Decision, Explore, Learned, Serve
from semroute.online.logistic import ThresholdFit, fit_threshold
from semroute.online.observations import Observation, Observations

_SEEDS: Final = (Observation(0.0, False), Observation(1.0, True))
"""What every entry starts from: nothing in common is wrong, the same question is right."""
_ENOUGH: Final = 6
"""Observations, the two seeds among them, before a curve is fitted at all."""
_GRID: Final = 50
_LEAST_EPS, _MOST_EPS = 1e-4, 0.5


@dataclass(frozen=True, slots=True)
class VCacheRule:
    """The vCache rule at one bound on the error rate; it has no state but the entries' observations."""

    max_error: float
    """Wrong hits / all requests, over 0 and under 1."""

    def __post_init__(self) -> None:
        if not 0.0 < self.max_error < 1.0:
            raise ConfigError(f"max_error must be a share over 0 and under 1, not {self.max_error!r}")

    def probability(self, observations: Observations, similarity: float, p_prior: float | None) -> float:
        """Return the similarity: the rule looks at the nearest entry only."""
        return similarity

    def decide(self, observations: Observations, similarity: float, p_prior: float | None, uniform: float) -> Decision:
        """Serve or explore; the verifier's probability is not looked at."""
        if not math.isfinite(similarity):
            return Explore(1.0, 1.0, "the similarity is not a number", is_worth_a_label=False)
        known = (*_SEEDS, *observations.items)
        if len(known) < _ENOUGH:
            return Explore(1.0, 1.0, f"{len(known)} observations with the two seeds, {_ENOUGH} are needed")
        curve = fit_threshold([one.similarity for one in known], [one.is_right for one in known])
        if curve is None:
            return Explore(1.0, 1.0, "nearer requests are no righter here")
        p_wrong = 1.0 - least_p_right(curve, similarity)
        explore = explore_probability(p_wrong, self.max_error)
        reason = f"P(wrong) is at most {p_wrong:.3f} by {len(known)} observations, so explore {explore:.3f} of such"
        if uniform < explore:
            return Explore(explore, p_wrong, reason)
        return Serve(explore, p_wrong, reason)

    def skip(self) -> None:
        """Do nothing: the bound is one of each request, so that no other one matters."""

    def observe(
        self,
        observations: Observations,
        decision: Explore,
        similarity: float,
        p_prior: float | None,
        *,
        is_right: bool,
    ) -> Learned:
        """Add the label to the candidate's record; a new entry starts from nothing."""
        return Learned(observations.with_one(Observation(similarity, is_right, p_prior)), Observations())


def explore_probability(p_wrong: float, max_error: float) -> float:
    """Return the least share to explore for (1 - share) * p_wrong <= max_error."""
    return 0.0 if p_wrong <= max_error else 1.0 - max_error / p_wrong


def least_p_right(curve: ThresholdFit, similarity: float) -> float:
    """Return the best lower bound of P(right) over the grid of eps; each of them is one."""
    deviation = curve.variance**0.5
    return max((1.0 - eps) * curve.p_right(similarity, shift=z * deviation) for eps, z in _grid())


@lru_cache(maxsize=1)
def _grid() -> tuple[tuple[float, float], ...]:
    """Return eps, spaced evenly in their logarithm, each with the normal quantile of 1 - eps."""
    ratio = _MOST_EPS / _LEAST_EPS
    grid = [_LEAST_EPS * ratio ** (step / (_GRID - 1)) for step in range(_GRID)]
    return tuple((eps, NormalDist().inv_cdf(1.0 - eps)) for eps in grid)
