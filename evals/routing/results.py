"""What `python -m evals.routing` measured, as it stands in routing.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semroute.evaluation.metrics import Bin
from semroute.evaluation.routing import CostPoint, Interval, RouterFigures

OURS = "learned"
OURS_ALONE = "learned, this set alone"
OURS_MEAN = "learned, mean of four fits"
"""Each prompt is judged by the mean of four fits, of which none saw it: fits on several splits, averaged."""
LENGTH = "prompt length"
RANDOM = "random"
ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class PairRow:
    """One router between two models."""

    router: str
    figures: RouterFigures
    curve: Sequence[tuple[float, float]]
    """Share of strong calls and accuracy there."""


@dataclass(frozen=True, slots=True)
class PairRun:
    """Every router on the prompts of one set."""

    name: str
    title: str
    n: int
    dropped: int
    without_vector: int
    is_as_measured: bool
    weak: float
    """Accuracy of the weak model on every prompt: always-weak."""
    strong: float
    rows: Sequence[PairRow]
    above_length: Interval | None
    """Our APGR less that of prompt length, on the same resamples."""
    of_splits: Sequence[float]
    """Our APGR with other splits into folds."""


@dataclass(frozen=True, slots=True)
class CalibrationRun:
    """Probabilities beside shares, 10 bins."""

    name: str
    tier: str
    ece: float
    bins: Sequence[Bin]


@dataclass(frozen=True, slots=True)
class Single:
    """One model alone."""

    model: str
    accuracy: float
    cost: float
    """US dollars a thousand requests."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of the best single model's accuracy at a lower cost."""

    saved: float
    """Share of its cost that is saved at least."""
    difference: Interval
    """Accuracy less its accuracy, over resamples of the requests at one price."""


@dataclass(frozen=True, slots=True)
class CostRow:
    """One router over several models; costs are US dollars a thousand requests."""

    router: str
    points: Sequence[CostPoint]
    saved_at_equal: float | None
    """Greatest share of the best single model's cost that is saved at no less than its accuracy."""
    saved_within_error: float | None
    """The same at one standard error less accuracy."""
    kept: Sequence[Kept]


@dataclass(frozen=True, slots=True)
class CostRun:
    """Accuracy against cost."""

    title: str
    n: int
    dropped: int
    is_as_measured: bool
    singles: Sequence[Single]
    best: str
    standard_error: float
    oracle: Single
    rows: Sequence[CostRow]
    of_splits: Sequence[tuple[float | None, float | None]]
    """(saved at equal accuracy, saved within one standard error) with other splits into folds."""


@dataclass(frozen=True, slots=True)
class TypoRun:
    """The same questions with one typo each; the threshold sends half of the clean ones to the strong model."""

    name: str
    n: int
    same: float
    """Share of questions that still go to the same model."""
    strong_share: float
    """Share that goes to the strong model with typos."""
    accuracy: float
    accuracy_with_typos: float


@dataclass(frozen=True, slots=True)
class DecisionCost:
    """Time of one prediction with the vector at hand, in milliseconds."""

    prompts: str
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class RoutingReport:
    """All of it."""

    command: str
    made_at: str
    took_s: float
    version: str
    embedder: str
    pairs: Sequence[PairRun]
    crossed: PairRun
    """Fitted on MMLU alone, asked on GSM8K."""
    calibration: Sequence[CalibrationRun]
    routerbench: Sequence[CostRun]
    typos: Sequence[TypoRun]
    costs: Sequence[DecisionCost]
    coefficient_bytes: int
    fit: Mapping[str, float | int]
