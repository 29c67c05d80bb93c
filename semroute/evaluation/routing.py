"""The figures of a router: what a choice of models keeps of their quality, and at what share of the cost.

Two models, after RouteLLM (arXiv 2406.18665): requests go to the strong model in the order of a score, the highest
first. PGR(x), the performance gap recovered at x = share of strong calls, is (quality(x) − weak) / (strong − weak);
APGR is the area under it over x in [0, 1], where a random router has 0.5; CPT(p) is the least x at which PGR reaches p.
Requests of equal score come in no order: PGR is linear across them, which is the expectation over all their orders.
Several models, after RouterBench (arXiv 2403.12031): accuracy against cost, at every price of a unit of quality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from semroute.errors import ConfigError
from semroute.evaluation.metrics import expected_calibration_error, reliability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]

RESAMPLES: Final = 1_000
LEVEL: Final = 0.95
CALLS_FOR: Final = (0.5, 0.8)
"""The shares of the gap that CPT is reported for."""
_CELLS: Final = 2_000_000
"""How many numbers of a bootstrap are held at once."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its percentile-bootstrap interval, over resamples of the requests."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RouterFigures:
    """How a router does between two models."""

    n: int
    weak: float
    """Quality of the weak model alone, the mean over the requests."""
    strong: float
    apgr: Interval
    cpt50: Interval
    cpt80: Interval
    ece: float | None
    """Of P(the weak model is good enough), in 10 bins of equal width; None for a score that is no probability."""


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """The requests of a two-model evaluation in the order of their scores, the highest first."""

    gains: Numbers
    """What the strong model adds to each request."""
    ends: NDArray[np.intp]
    """Where each group of equal scores ends."""
    order: NDArray[np.intp]

    @classmethod
    def of(cls, scores: Numbers, weak: Numbers, strong: Numbers) -> Sweep:
        """Sort requests. Raises ConfigError for shapes that differ, or where the strong model is no better."""
        scores, weak, strong = (np.asarray(column, np.float64) for column in (scores, weak, strong))
        if not len(scores) or not scores.shape == weak.shape == strong.shape or scores.ndim != 1:
            raise ConfigError(
                f"scores and qualities must be as many, and at least one; these are {scores.shape}, {weak.shape} and "
                f"{strong.shape}"
            )
        if not all(np.isfinite(column).all() for column in (scores, weak, strong)):
            raise ConfigError("scores and qualities must be finite numbers")
        gains = strong - weak
        if gains.sum() <= 0:
            raise ConfigError(
                f"the strong model is no better than the weak one on these {len(gains)} requests ({strong.mean():.4f} "
                f"and {weak.mean():.4f}), so that there is no gap to recover"
            )
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True)) + 1
        return cls(gains[order], ends, order)

    def curve(self, weights: Numbers | None = None) -> tuple[Numbers, Numbers]:
        """Return shares of strong calls and PGR there, shapes (..., groups + 1); linear between.

        `weights` says how often each request counts, in the order of the sweep, shape (..., requests).
        """
        counts = np.ones(len(self.gains)) if weights is None else weights
        calls, gained = (_started(np.cumsum(one, axis=-1)[..., self.ends - 1]) for one in (counts, counts * self.gains))
        with np.errstate(divide="ignore", invalid="ignore"):
            return calls / calls[..., -1:], gained / gained[..., -1:]


def _started(sums: Numbers) -> Numbers:
    return np.concatenate([np.zeros((*sums.shape[:-1], 1)), sums], axis=-1)


def apgr_of(shares: Numbers, pgr: Numbers) -> Numbers:
    """Return the area under a curve of PGR; shape (...)."""
    areas: Numbers = (np.diff(shares, axis=-1) * (pgr[..., 1:] + pgr[..., :-1]) / 2).sum(axis=-1)
    return areas


def calls_for(part: float, shares: Numbers, pgr: Numbers) -> Numbers:
    """Return the least share of strong calls at which PGR reaches `part`; shape (...)."""
    first = np.argmax(pgr >= part, axis=-1)[..., None]
    before = np.maximum(first - 1, 0)
    x0, x1 = (np.take_along_axis(shares, at, -1)[..., 0] for at in (before, first))
    y0, y1 = (np.take_along_axis(pgr, at, -1)[..., 0] for at in (before, first))
    # What reaches the part was below it one group earlier, so that the step is never level.
    slope = np.where(y1 > y0, y1 - y0, 1.0)
    return np.asarray(x0 + (x1 - x0) * (part - y0) / slope, np.float64)


def router_figures(
    scores: Numbers,
    weak: Numbers,
    strong: Numbers,
    *,
    p_weak: Numbers | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RouterFigures:
    """Evaluate a score that is the higher, the more a request needs the strong model.

    `weak` and `strong` are the qualities of the models' answers in [0, 1] (1 = right), `p_weak` what the router says
    of the weak one. Raises ConfigError where there is no gap between the models.
    """
    sweep = Sweep.of(scores, weak, strong)
    measured = _measured(*sweep.curve())
    drawn = np.concatenate([_measured(*sweep.curve(part)) for part in _resampled(sweep, resamples, seed)], axis=-1)
    apgr, cpt50, cpt80 = (_interval(float(one), many) for one, many in zip(measured, drawn, strict=True))
    return RouterFigures(
        n=len(sweep.gains),
        weak=float(np.mean(weak)),
        strong=float(np.mean(strong)),
        apgr=apgr,
        cpt50=cpt50,
        cpt80=cpt80,
        ece=None if p_weak is None else calibration_error(p_weak, weak),
    )


def evaluate_router(
    prompts: Sequence[str],
    weak: Numbers,
    strong: Numbers,
    score: Callable[[Sequence[str]], Numbers],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> RouterFigures:
    """Evaluate a router on prompts.

    `score` returns P(weak is good enough) and P(strong is good enough) of each prompt, shape (prompts, 2); requests go
    to the strong model in the order of the difference. Raises ConfigError.
    """
    p = np.asarray(score(prompts), np.float64)
    if p.shape != (len(prompts), 2):
        raise ConfigError(f"the score of {len(prompts)} prompts must have two columns, not the shape {p.shape}")
    return router_figures(p[:, 1] - p[:, 0], weak, strong, p_weak=p[:, 0], resamples=resamples, seed=seed)


def apgr_difference(
    ours: Numbers, theirs: Numbers, weak: Numbers, strong: Numbers, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return by how much the APGR of one score is above that of another, both on the same resamples."""
    sweeps = [Sweep.of(scores, weak, strong) for scores in (ours, theirs)]
    values = [float(apgr_of(*sweep.curve())) for sweep in sweeps]
    drawn = [
        np.concatenate([apgr_of(*sweep.curve(part)) for part in _resampled(sweep, resamples, seed)]) for sweep in sweeps
    ]
    return _interval(values[0] - values[1], drawn[0] - drawn[1])


def calibration_error(p: Numbers, quality: Numbers, bins: int = 10) -> float:
    """Return the expected calibration error of probabilities, in bins of equal width."""
    error = expected_calibration_error(reliability(np.asarray(p).tolist(), np.asarray(quality).tolist(), bins))
    return 0.0 if error is None else error


def _measured(shares: Numbers, pgr: Numbers) -> Numbers:
    return np.array([apgr_of(shares, pgr), *(calls_for(part, shares, pgr) for part in CALLS_FOR)])


def _resampled(sweep: Sweep, resamples: int, seed: int) -> list[Numbers]:
    """Draw how often each request counts, in the order of the sweep but the same for every sweep of one seed.

    Resamples in which the strong model is no better have no PGR, and are left out.
    """
    n = len(sweep.gains)
    rng = np.random.default_rng(seed)
    parts = []
    most = max(1, _CELLS // n)
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        counts = np.array([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(rows)], np.float64)
        counts = counts[:, sweep.order]
        parts.append(counts[counts @ sweep.gains > 0])
    return parts


def _interval(value: float, drawn: Numbers) -> Interval:
    if not len(drawn):
        return Interval(value, value, value)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


@dataclass(frozen=True, slots=True)
class CostPoint:
    """What choosing at one price of quality costs and brings."""

    price: float
    """What a mean cost of the dearest model must bring in probability of a right answer."""
    cost: float
    """Mean cost of a request."""
    accuracy: float


def chosen_at(price: float, predicted: Numbers, expected_cost: Numbers) -> NDArray[np.intp]:
    """Return for each request the model with the greatest predicted quality − price × expected cost."""
    # In units of the dearest model, so that a price means the same whatever the currency.
    unit = max(float(np.max(np.mean(expected_cost, axis=0))), 1e-12)
    return np.asarray(np.argmax(predicted - price * expected_cost / unit, axis=1), np.intp)


def cost_curve(predicted: Numbers, expected_cost: Numbers, quality: Numbers, cost: Numbers) -> list[CostPoint]:
    """Return what choosing brings at each of 200 prices, the dearest choice first; what repeats itself once.

    All arrays have the shape (requests, models): the choice sees `predicted` and `expected_cost` only, and is paid for
    with `quality` and `cost`.
    """
    rows = np.arange(len(predicted))
    points: dict[tuple[float, float], CostPoint] = {}
    for price in (0.0, *np.geomspace(1e-3, 1e2, 199).tolist()):
        chosen = chosen_at(price, predicted, expected_cost)
        point = CostPoint(price, float(cost[rows, chosen].mean()), float(quality[rows, chosen].mean()))
        points.setdefault((point.cost, point.accuracy), point)
    return sorted(points.values(), key=lambda point: (-point.cost, -point.accuracy))


def saving_at(points: Sequence[CostPoint], accuracy: float, cost: float) -> float | None:
    """Return the greatest share of `cost` that is saved at no less than an accuracy, or None where none reaches it."""
    costs = [point.cost for point in points if point.accuracy >= accuracy]
    return 1 - min(costs) / cost if costs else None


def best_within(points: Sequence[CostPoint], cost: float) -> CostPoint | None:
    """Return the most accurate point that costs at most so much, or None."""
    return max((point for point in points if point.cost <= cost), key=lambda point: point.accuracy, default=None)
