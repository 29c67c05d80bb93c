"""Fitting how likely each tier is good enough, on prompts whose answers of every tier were judged.

A ridge-penalised logistic regression over vector and features for each tier (their difference ranks better than a
regression on the gain); for sums, of which there are few, over the features that a lasso on the gain chooses. With more
than three tiers the log-odds are first reduced to a few directions, which pools what the tiers have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from semroute.errors import ConfigError, MissingExtra
from semroute.evaluation.routing import calibration_error
from semroute.evaluation.vectors import Track, untracked
from semroute.router._prompt_features import FEATURES, features_of
from semroute.router._tiers import FURTHEST, Expert, ExpertName, TierPredictor, Topics, probability
from semroute.tuning._head_fitting import auc
from semroute.tuning.verifier_training import digests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]

FOLDS: Final = 5
MIN_ROWS: Final = 200
"""Fewer judged prompts teach nothing but the tiers' own averages."""
MIN_OF_A_KIND: Final = 20
FEWEST: Final = 5
"""A tier that was good enough, or was not, for fewer prompts than that has its share as its probability."""
MIN_SUMS: Final = 300
"""Fewer sums are judged with the other prompts."""
MOST_TIERS_APART: Final = 3
ROWS_A_TOPIC: Final = 50
_CHUNK: Final = 512


@dataclass(frozen=True, slots=True)
class Settings:
    """How the experts are fitted; strengths are inverse penalties, as scikit-learn's C."""

    strength: float = 4e-4
    """Of experts on vector and features."""
    vector: float = 0.7
    """What a unit of a vector's usual spread counts, beside a standard deviation of a feature."""
    topic: float = 1.5
    """What a unit of the usual spread of a topic's share counts."""
    topics: int = 60
    text_strength: float = 5e-3
    """Of the expert on features alone."""
    sum_strength: float = 3e-2
    sum_sparsity: float = 0.012
    """The penalty of the lasso that chooses the features for sums."""
    directions: int = 4
    """To how many the log-odds of more than three tiers are reduced."""
    direction_penalty: float = 6e3


DEFAULT: Final = Settings()


@dataclass(frozen=True, slots=True, eq=False)
class TierExamples:
    """Judged prompts as numbers; all arrays have one item, or one row, a prompt."""

    features: Numbers
    is_sum: Flags
    vectors: NDArray[np.float32]
    """Rows of zeros for prompts that have none."""
    has_vector: Flags
    is_good: Flags
    """Shape (prompts, tiers): whether the tier's answer was good enough."""
    units: NDArray[np.uint64]
    """Prompts of one unit are the same words, and never in two folds."""

    def __len__(self) -> int:
        return len(self.features)

    def some(self, rows: Any) -> TierExamples:
        """Return some rows."""
        return TierExamples(*(getattr(self, name)[rows] for name in self.__slots__))

    def folds(self, n: int, seed: int) -> NDArray[np.intp]:
        """Return the fold of each row."""
        units, places = np.unique(self.units, return_inverse=True)
        return np.asarray((np.random.default_rng(seed).permutation(len(units)) % n)[places], np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class FittedTiers:
    """A predictor, and what fits that did not see a prompt's words say of it."""

    predictor: TierPredictor
    out_of_fold: Numbers
    """P(good enough), shape (prompts, tiers)."""
    folds: NDArray[np.intp]
    of_folds: Sequence[TierPredictor] = field(repr=False)
    """The predictor that was fitted without each fold, calibrated on the others."""
    figures: Mapping[str, float | int] = field(default_factory=dict)


def tier_examples(
    prompts: Sequence[str],
    vectors: NDArray[np.float32],
    has_vector: Flags,
    is_good: Flags,
    progress: Track = untracked,
) -> TierExamples:
    """Count the features of prompts."""
    starts = range(0, len(prompts), _CHUNK)
    counted = [
        features_of(prompt) for start in progress(starts, "counting") for prompt in prompts[start : start + _CHUNK]
    ]
    return TierExamples(
        features=np.array([features for features, _ in counted], np.float64).reshape(len(prompts), len(FEATURES)),
        is_sum=np.array([kind == "sum" for _, kind in counted], np.bool_),
        vectors=np.where(has_vector[:, None], vectors, np.float32(0)),
        has_vector=np.asarray(has_vector, np.bool_),
        is_good=np.asarray(is_good, np.bool_),
        units=digests(prompts),
    )


def fit_tiers(
    examples: TierExamples,
    embedder: str,
    tiers: Sequence[str],
    *,
    settings: Settings = DEFAULT,
    progress: Track = untracked,
    seed: int = 0,
) -> FittedTiers:
    """Fit a predictor on all examples, and once more without each fold, to calibrate and to measure.

    `tiers` are the names of the columns of `is_good`, the weakest tier first. Raises ConfigError for too few prompts,
    or where no tier is now good enough and now not; MissingExtra without scikit-learn.
    """
    check_examples(examples, tiers)
    _require_scikit_learn()
    if examples.is_sum.sum() < MIN_SUMS:
        examples = replace(examples, is_sum=np.zeros(len(examples), np.bool_))
    folds = examples.folds(FOLDS, seed)
    raw: dict[ExpertName, Numbers] = {}
    apart: list[dict[ExpertName, Expert]] = []
    for number in progress(range(FOLDS + 1), "fitting"):
        held_out = folds == number
        experts = _experts(examples.some(~held_out), settings, seed)
        if number == FOLDS:
            break
        apart.append(experts)
        for name, expert in experts.items():
            raw.setdefault(name, np.full(examples.is_good.shape, np.nan))[held_out] = expert.log_odds(
                examples.features[held_out], examples.vectors[held_out].astype(np.float64)
            )

    def finished(fitted: Mapping[ExpertName, Expert], used: Flags) -> TierPredictor:
        return TierPredictor(
            embedder,
            tiers,
            {
                name: expert.calibrated(*_calibration(raw[name], examples, used & _rows_of(name, examples))).rounded()
                for name, expert in fitted.items()
            },
        )

    every = np.ones(len(examples), np.bool_)
    of_folds = [finished(fitted, folds != number) for number, fitted in enumerate(apart)]
    out_of_fold = np.zeros(examples.is_good.shape)
    for number, predictor in enumerate(of_folds):
        out_of_fold[folds == number] = predicted(predictor, examples.some(folds == number))
    figures = figures_of(out_of_fold, examples.is_good, tiers)
    return FittedTiers(finished(experts, every), out_of_fold, folds, of_folds, figures)


def predicted(predictor: TierPredictor, examples: TierExamples) -> Numbers:
    """Return what a predictor says of many prompts at once; shape (prompts, tiers)."""
    found = np.zeros((len(examples), len(predictor.tiers)))
    for is_sum in (False, True):
        for has_vector in (False, True):
            rows = (examples.is_sum == is_sum) & (examples.has_vector == has_vector)
            expert = predictor.experts[predictor.expert_of("sum" if is_sum else "general", has_vector=has_vector)]
            found[rows] = probability(expert.log_odds(examples.features[rows], examples.vectors[rows].astype(float)))
    return found


def figures_of(p: Numbers, is_good: Flags, tiers: Sequence[str]) -> dict[str, float | int]:
    """Say how good probabilities are: rows, and for each tier share, ece (10 bins) and auc."""
    figures: dict[str, float | int] = {"rows": len(p)}
    for place, tier in enumerate(tiers):
        good = is_good[:, place]
        figures[f"{tier}_share"] = round(float(good.mean()), 4)
        figures[f"{tier}_ece"] = round(calibration_error(p[:, place], good.astype(np.float64)), 4)
        figures[f"{tier}_auc"] = round(auc(p[:, place], good), 4)
    return figures


def check_examples(examples: TierExamples, tiers: Sequence[str]) -> None:
    """Raise ConfigError that says what is missing."""
    if len(tiers) != examples.is_good.shape[1]:
        raise ConfigError(f"there are {len(tiers)} tiers and {examples.is_good.shape[1]} columns of labels")
    if len(examples) < MIN_ROWS:
        raise ConfigError(f"{len(examples)} judged prompts are too few to learn from: it takes at least {MIN_ROWS}")
    n_good = examples.is_good.sum(axis=0)
    if not (np.minimum(n_good, len(examples) - n_good) >= MIN_OF_A_KIND).any():
        counts = ", ".join(f"{tier} for {count}" for tier, count in zip(tiers, n_good.tolist(), strict=True))
        raise ConfigError(
            f"tiers that were good enough, out of {len(examples)} prompts: {counts}; it takes one that was for "
            f"at least {MIN_OF_A_KIND} of them, and was not for as many"
        )
    if len(np.unique(examples.units)) < MIN_ROWS:
        raise ConfigError(f"it takes at least {MIN_ROWS} different prompts; most of these are the same words")


def _require_scikit_learn() -> None:
    try:
        import sklearn  # type: ignore[import-untyped]  # noqa: F401  # it has no stubs, and only has to be there
    except ImportError as error:
        raise MissingExtra("fitting a router", "evals") from error


def _experts(examples: TierExamples, settings: Settings, seed: int) -> dict[ExpertName, Expert]:
    experts: dict[ExpertName, Expert] = {
        "general": _ridge(examples.some(_rows_of("general", examples)), settings, seed, uses_vectors=True),
        "general_text": _ridge(examples.some(_rows_of("general_text", examples)), settings, seed, uses_vectors=False),
    }
    if examples.is_sum.any():
        experts["sum"] = _sparse(examples.some(examples.is_sum), settings)
    return experts


def _rows_of(name: ExpertName, examples: TierExamples) -> Flags:
    """Say which rows an expert learns from and is calibrated on: of its own kind, or all where there are too few."""
    if name == "sum":
        return examples.is_sum
    rows = ~examples.is_sum
    if rows.sum() < MIN_ROWS // 2:
        rows = np.ones(len(examples), np.bool_)
    if name == "general" and (rows & examples.has_vector).sum() >= MIN_ROWS // 2:
        rows = rows & examples.has_vector
    return rows


def _ridge(examples: TierExamples, settings: Settings, seed: int, *, uses_vectors: bool) -> Expert:
    """Fit one logistic regression a tier, or one on a few directions that the tiers share."""
    mean, scale, standard = _standardised(examples.features)
    n_features, n_tiers = len(FEATURES), examples.is_good.shape[1]
    if not uses_vectors:
        coefficients, intercept = _regressed(standard, examples.is_good, settings, settings.text_strength, seed)
        return Expert(mean, scale, intercept, coefficients)
    vectors = examples.vectors.astype(np.float64)
    topics = _topics(vectors, n_tiers, settings, seed)
    shares = topics.shares(vectors)
    # Unit vectors spread by 1 / sqrt(dimensions) a coordinate.
    of_vector = settings.vector * np.sqrt(vectors.shape[1])
    of_topic = settings.topic / max(float(shares.std()), 1e-9)
    centre = np.concatenate([vectors.mean(axis=0), shares.mean(axis=0)])
    weights = np.concatenate([np.full(vectors.shape[1], of_vector), np.full(shares.shape[1], of_topic)])
    table = np.hstack([standard, weights * (np.hstack([vectors, shares]) - centre)])
    coefficients, intercept = _regressed(table, examples.is_good, settings, settings.strength, seed)
    beside = weights[:, None] * coefficients[n_features:]
    n_vector = vectors.shape[1]
    return Expert(
        mean,
        scale,
        intercept - centre @ beside,
        coefficients[:n_features],
        beside[:n_vector],
        replace(topics, weights=beside[n_vector:]),
    )


def _topics(vectors: Numbers, n_tiers: int, settings: Settings, seed: int) -> Topics:
    """Find centres among vectors, of which no two prompts' need be the same."""
    from sklearn.cluster import MiniBatchKMeans  # type: ignore[import-untyped]  # it has no stubs

    n = max(1, min(settings.topics, len(vectors) // ROWS_A_TOPIC))
    found = MiniBatchKMeans(n, n_init=1, random_state=seed, batch_size=1_024).fit(vectors).cluster_centers_
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return Topics.around(found / np.maximum(norms, 1e-9), n_tiers)


def _regressed(
    table: Numbers, is_good: Flags, settings: Settings, strength: float, seed: int
) -> tuple[Numbers, Numbers]:
    """Return coefficients, shape (columns, tiers), and intercepts."""
    if is_good.shape[1] > MOST_TIERS_APART:
        return _shared(table, is_good, settings, seed)
    fits = [_logistic(table, good, strength) for good in is_good.T]
    return np.array([one for one, _ in fits]).T, np.array([one for _, one in fits])


def _shared(table: Numbers, is_good: Flags, settings: Settings, seed: int) -> tuple[Numbers, Numbers]:
    """Fit qualities by ridge, keep the directions in which predictions differ most, and regress every tier on those."""
    from sklearn.linear_model import Ridge  # type: ignore[import-untyped]  # it has no stubs

    quality = is_good.astype(np.float64)
    places = np.random.default_rng(seed).permutation(len(table)) % FOLDS
    apart = np.zeros_like(quality)
    for held_out in (places == number for number in range(FOLDS)):
        model = Ridge(settings.direction_penalty).fit(table[~held_out], quality[~held_out])
        apart[held_out] = model.predict(table[held_out])
    whole = Ridge(settings.direction_penalty).fit(table, quality)
    centre = apart.mean(axis=0)
    directions = np.linalg.svd(apart - centre, full_matrices=False)[2][: settings.directions].T
    projected = (apart - centre) @ directions
    spread = projected.std(axis=0)
    fits = [_logistic(projected / spread, good, 0.3) for good in is_good.T]
    onto = directions / spread @ np.array([one for one, _ in fits]).T
    coefficients = whole.coef_.T @ onto
    intercept = np.array([one for _, one in fits]) + (whole.intercept_ - centre) @ onto
    return np.asarray(coefficients, np.float64), np.asarray(intercept, np.float64)


def _sparse(examples: TierExamples, settings: Settings) -> Expert:
    """Choose features by a lasso on how the tiers differ, and regress every tier on those."""
    from sklearn.linear_model import MultiTaskLasso

    mean, scale, standard = _standardised(examples.features)
    quality = examples.is_good.astype(np.float64)
    # Half the difference of two tiers stands in each column.
    apart = quality - quality.mean(axis=1, keepdims=True)
    chosen = MultiTaskLasso(settings.sum_sparsity / np.sqrt(2)).fit(standard, apart).coef_.any(axis=0)
    coefficients = np.zeros((len(FEATURES), quality.shape[1]))
    intercept = np.zeros(quality.shape[1])
    table = standard[:, chosen] if chosen.any() else np.zeros((len(standard), 1))
    for place, good in enumerate(examples.is_good.T):
        found, intercept[place] = _logistic(table, good, settings.sum_strength)
        if chosen.any():
            coefficients[chosen, place] = found
    return Expert(mean, scale, intercept, coefficients)


def _standardised(features: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 1e-6, spread, 1.0)
    return mean, scale, np.clip((features - mean) / scale, -FURTHEST, FURTHEST)


def _logistic(table: Numbers, good: Flags, strength: float) -> tuple[Numbers, float]:
    """Return coefficients and intercept."""
    from sklearn.linear_model import LogisticRegression

    if min(good.sum(), (~good).sum()) < FEWEST:
        # As good as no difference to learn from: as sure as one more prompt of either sort would leave it.
        share = (good.sum() + 1) / (len(good) + 2)
        return np.zeros(table.shape[1]), float(np.log(share / (1 - share)))
    model = LogisticRegression(C=strength, max_iter=2_000).fit(table, good)
    return np.asarray(model.coef_[0], np.float64), float(model.intercept_[0])


def _calibration(raw: Numbers, examples: TierExamples, used: Flags) -> tuple[Numbers, Numbers]:
    """Return the slope and the shift of each tier's log-odds (Platt 1999), from rows that no fit had seen."""
    slopes, shifts = [], []
    for log_odds, good in zip(raw[used].T, examples.is_good[used].T, strict=True):
        there = np.isfinite(log_odds)
        slope, shift = _logistic(log_odds[there][:, None], good[there], 1e3)
        if slope[0] <= 0:
            # The order that was learnt is no better than chance: what is left is how often the tier is good enough.
            slope, shift = _logistic(np.zeros((int(there.sum()), 1)), good[there], 1e3)
        slopes.append(float(slope[0]))
        shifts.append(shift)
    return np.array(slopes), np.array(shifts)
