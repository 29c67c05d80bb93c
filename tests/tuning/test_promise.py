"""The promise, by simulation: over many random splits it fails no more often than it may."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from semroute.tuning.scored import served
from semroute.tuning.tune import NothingToServe, TooFewPairs, split, tune

from .simulated import CASES

SPLITS = 500
DOUBT = 0.05
MOST_FAILURES = int(stats.binom.ppf(0.999, SPLITS, DOUBT))
"""What chance alone makes of failures at the promised rate; above it the promise is broken."""


@pytest.mark.parametrize(
    ("case", "max_error"),
    [
        *(
            (case, max_error)
            for case in ("smooth", "wrong_at_the_top", "ties", "few_right")
            for max_error in (0.005, 0.01, 0.02, 0.05)
        ),
        *(("verified", 0.02), ("in_cells", 0.02), ("in_clusters", 0.05)),
    ],
)
def test_the_realised_error_is_within_the_bound_as_often_as_promised(case: str, max_error: float) -> None:
    random = np.random.default_rng(7)
    failures = policies = hits = 0
    for seed in range(SPLITS):
        if seed % 25 == 0:
            pairs = CASES[case](3_000 if max_error > 0.005 else 6_000, random)
        mine, theirs = split(pairs, 0.5, seed)
        try:
            policy = tune(pairs.take(mine), max_error=max_error, confidence=1 - DOUBT, seed=seed).policy
        except (TooFewPairs, NothingToServe):
            continue
        other = pairs.take(theirs)
        is_hit = served(policy, other)
        failures += bool(np.mean(is_hit & ~other.is_right) > max_error)
        policies, hits = policies + 1, hits + int(is_hit.sum())
    assert failures <= MOST_FAILURES
    # A promise that is kept by serving nothing would be no feat.
    assert policies > SPLITS * 0.25
    assert hits > 0
