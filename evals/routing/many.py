"""Several models after RouterBench: accuracy against cost, out of fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from evals.routing.results import LENGTH, OURS, OURS_MEAN, RANDOM, CostRow, CostRun, Kept, Single
from evals.routing.sets import PromptSet
from semroute.evaluation.routing import (
    CostPoint,
    Interval,
    best_within,
    chosen_at,
    cost_curve,
    saving_at,
)
from semroute.tuning.router_tiers import FOLDS, TierExamples, fit_tiers, tier_examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.evaluation.routing import Numbers
    from semroute.evaluation.vectors import Track

SPLITS: Final = 3
SAVED: Final = (0.1, 0.25, 0.4)
RESAMPLES: Final = 1_000
BEATEN_AT: Final = 0.25
"""A model is not offered if another one is as accurate at this share of its cost."""
NEVER: Final = -1e6
_A_THOUSAND: Final = 1_000
_LEAST_COST: Final = 1e-7
_COST_PENALTY: Final = 100.0


def many_models(one: PromptSet, embedder: str, track: Track, *, whole: bool) -> CostRun:
    """Choose between all models at every price, by fits that did not see the prompt.

    `whole`: the worked examples stand in the same message, so that next to no prompt has a vector; else in earlier
    turns.
    """
    assert one.cost is not None, "RouterBench has costs"
    has_vector = one.fits_whole if whole else one.has_vector
    examples = tier_examples(one.prompts, one.vectors, has_vector, one.quality > 0.5, track)
    best = int(np.argmax(one.quality.mean(axis=0)))
    accuracy, cost = float(one.quality[:, best].mean()), float(one.cost[:, best].mean())
    error = float(one.quality[:, best].std(ddof=1) / np.sqrt(len(one.prompts)))
    found, of_splits = [], []
    for seed in range(1 + SPLITS):
        fitted = fit_tiers(examples, embedder, one.models, seed=seed, progress=track)
        expected = expected_costs(examples, one.cost, seed)
        p = np.where(_offered(one, fitted.folds), fitted.out_of_fold, NEVER)
        points = cost_curve(p, expected, one.quality, one.cost)
        of_splits.append((saving_at(points, accuracy, cost), saving_at(points, accuracy - error, cost)))
        found.append((p, expected, points))
    p, expected, points = found[0]
    mean = np.mean([one_p for one_p, _, _ in found], axis=0)
    mean_points = cost_curve(mean, expected, one.quality, one.cost)
    lengths = cost_curve(*_by_length(one, best), one.quality, one.cost)
    mixed = _mixed(one, best)
    examples_stand = "in the same message" if whole else "in earlier turns"
    dearest = np.argmax(one.quality - 1e-6 * one.cost / one.cost.max(), axis=1)
    rows = np.arange(len(one.prompts))
    return CostRun(
        title=f"{one.title}; worked examples {examples_stand}",
        n=len(one.prompts),
        dropped=one.dropped,
        is_as_measured=one.is_as_measured,
        singles=[
            Single(model, float(one.quality[:, place].mean()), _A_THOUSAND * float(one.cost[:, place].mean()))
            for place, model in enumerate(one.models)
        ],
        best=one.models[best],
        standard_error=error,
        oracle=Single(
            "oracle", float(one.quality[rows, dearest].mean()), _A_THOUSAND * float(one.cost[rows, dearest].mean())
        ),
        rows=[
            _row(OURS, points, accuracy, error, cost, [_kept(one, best, points, p, expected, part) for part in SAVED]),
            _row(
                OURS_MEAN,
                mean_points,
                accuracy,
                error,
                cost,
                [_kept(one, best, mean_points, mean, expected, part) for part in SAVED],
            ),
            _row(LENGTH, lengths, accuracy, error, cost, []),
            _row(RANDOM, mixed, accuracy, error, cost, []),
        ],
        of_splits=of_splits[1:],
    )


def _row(name: str, points: list[CostPoint], accuracy: float, error: float, cost: float, kept: list[Kept]) -> CostRow:
    equal, within = saving_at(points, accuracy, cost), saving_at(points, accuracy - error, cost)
    return CostRow(name, _in_thousands(points), equal, within, kept)


def expected_costs(examples: TierExamples, cost: Numbers, seed: int) -> Numbers:
    """Predict what each model will cost from what can be counted in a prompt, out of fold; shape (prompts, models)."""
    from sklearn.linear_model import Ridge

    folds = examples.folds(FOLDS, seed)
    logs = np.log(cost + _LEAST_COST)
    expected = np.zeros_like(cost)
    for held_out in (folds == number for number in range(FOLDS)):
        known = examples.features[~held_out]
        mean, spread = known.mean(axis=0), known.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
        model = Ridge(_COST_PENALTY).fit((known - mean) / scale, logs[~held_out])
        levels = cost[~held_out].mean(axis=0) / np.exp(model.predict((known - mean) / scale)).mean(axis=0)
        expected[held_out] = np.exp(model.predict((examples.features[held_out] - mean) / scale)) * levels
    return expected


def _offered(one: PromptSet, folds: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Say which models each prompt may go to: none that another one beats, by the other folds, at a quarter the cost.

    To offer them would only invite the choice that looks best by chance.
    """
    assert one.cost is not None
    offered = np.ones(one.quality.shape, np.bool_)
    for held_out in (folds == number for number in range(FOLDS)):
        quality, cost = one.quality[~held_out].mean(axis=0), one.cost[~held_out].mean(axis=0)
        is_beaten = (quality[:, None] >= quality) & (cost[:, None] <= BEATEN_AT * cost)
        offered[held_out] = ~is_beaten.any(axis=0)
    return offered


def _by_length(one: PromptSet, best: int) -> tuple[Numbers, Numbers]:
    """Send the longest prompts to the best model, the others to the best of those that cost a tenth at most."""
    assert one.cost is not None
    weak = _cheap(one, best)
    ranks = np.argsort(np.argsort(one.lengths, kind="stable")) / len(one.prompts)
    p = np.full(one.quality.shape, -1e9)
    p[:, weak], p[:, best] = 0.0, ranks
    return p, np.where(np.arange(len(one.models)) == best, 1.0, 0.0) * np.ones_like(p)


def _mixed(one: PromptSet, best: int) -> list[CostPoint]:
    """Send a share of prompts, drawn by lot, to the best model: a straight line between the two."""
    assert one.cost is not None
    weak = _cheap(one, best)
    (low, high), (cheap, dear) = (
        (float(column[:, weak].mean()), float(column[:, best].mean())) for column in (one.quality, one.cost)
    )
    shares = np.linspace(1, 0, 101).tolist()
    return [CostPoint(1 - x, cheap + x * (dear - cheap), low + x * (high - low)) for x in shares]


def _cheap(one: PromptSet, best: int) -> int:
    assert one.cost is not None
    costs = one.cost.mean(axis=0)
    return int(np.argmax(np.where(costs <= costs[best] / 10, one.quality.mean(axis=0), -1.0)))


def _kept(one: PromptSet, best: int, points: list[CostPoint], p: Numbers, expected: Numbers, saved: float) -> Kept:
    assert one.cost is not None
    point = best_within(points, (1 - saved) * float(one.cost[:, best].mean()))
    if point is None:
        return Kept(saved, Interval(float("nan"), float("nan"), float("nan")))
    chosen = chosen_at(point.price, p, expected)
    differences = one.quality[np.arange(len(chosen)), chosen] - one.quality[:, best]
    rng = np.random.default_rng(0)
    drawn = [differences[rng.integers(0, len(chosen), len(chosen))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Kept(saved, Interval(float(differences.mean()), float(low), float(high)))


def _in_thousands(points: list[CostPoint]) -> list[CostPoint]:
    return [CostPoint(point.price, _A_THOUSAND * point.cost, point.accuracy) for point in points]
