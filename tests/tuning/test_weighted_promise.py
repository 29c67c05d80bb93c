"""The promise from labels with weights, by simulation: kept where doubt tells something, broken where it misleads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from semroute.errors import ConfigError
from semroute.tuning.scored import ScoredPairs, served
from semroute.tuning.tune import split, tune

from .simulated import CASES, Scores, doubtful, labelled, misled

SPLITS, LABELS, DOUBT = 500, 300, 0.05


def broken(case: str, measure: Callable[[ScoredPairs], Scores], max_error: float) -> tuple[int, int]:
    """Label 300 pairs of one half, check on the other; return broken promises and policies."""
    random = np.random.default_rng(11)
    failures = policies = 0
    for seed in range(SPLITS):
        if seed % 25 == 0:
            pairs = CASES[case](6_000, random)
        mine, theirs = (pairs.take(side) for side in split(pairs, 0.5, seed))
        try:
            policy = tune(labelled(mine, LABELS, measure(mine), random), max_error=max_error, seed=seed).policy
        except ConfigError:
            continue
        policies += 1
        failures += bool(np.mean(served(policy, theirs) & ~theirs.is_right) > max_error)
    return failures, policies


@pytest.mark.parametrize(("case", "max_error"), [("smooth", 0.02), ("wrong_at_the_top", 0.02), ("in_clusters", 0.05)])
def test_the_promise_is_kept_where_labels_are_drawn_by_doubt(case: str, max_error: float) -> None:
    failures, policies = broken(case, doubtful, max_error)
    assert policies > SPLITS * 0.5
    assert failures <= int(stats.binom.ppf(0.999, policies, DOUBT))


def test_the_promise_is_broken_as_often_as_is_stated_where_the_rules_are_surest_when_wrong() -> None:
    # No feat but a limit, which the docstring of semroute.tuning.bounds states: measured 0.335.
    failures, policies = broken("wrong_at_the_top", misled, 0.02)
    assert DOUBT < failures / policies < 0.40
