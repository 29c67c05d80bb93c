"""The numbers behind a learned head: logistic regression, out-of-fold log-odds, calibration and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from semroute.errors import ConfigError, MissingExtra
from semroute.router._heads import CLASSES, Head, chosen, n_outputs
from semroute.tuning._verifier_boosting import calibration_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]
    Places: TypeAlias = NDArray[np.intp]

FOLDS: Final = 5
MOST_PHRASES: Final = 1_500
"""Phrases beyond those whose weights count most are dropped, and the rest fitted again."""
SUREST: Final = 0.99
LEAST_SURE: Final = 0.8
"""A threshold against false alarms stays between these, however few rows it is chosen on."""
_DIGITS: Final = 4
"""Significant digits of the numbers that are kept."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a head is fitted: how much each kind of feature counts before the penalty, and what the head is for."""

    vector: float = 1.0
    surface: float = 1.0
    earlier: float = 0.0
    strength: float = 1.0
    """The inverse of the penalty, as scikit-learn's C."""
    has_phrases: bool = False
    recall: tuple[str, float] | None = None
    """A class that must be found: its threshold is the greatest at which head or rules find this share of its rows."""
    false_alarms: tuple[str, float] | None = None
    """A class to be sure of: its threshold is the least at which at most this share of the other rows is given it."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadExamples:
    """Labelled prompts as numbers; all arrays have one item, or one row, a prompt."""

    vectors: Numbers
    surface: Numbers
    phrases: Any
    """A sparse matrix of ones, one column a phrase, or None."""
    earlier: Numbers | None
    """The log-odds of the head that this one builds on."""
    labels: Places
    weights: Numbers
    is_found: NDArray[np.bool_]
    """Whether the rules give a row the class that must be found, or a stricter one."""
    units: NDArray[np.uint64]
    """Prompts of one unit are the same words, and never in two folds."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A head, and what fits, calibrations and thresholds that did not see a row say of it."""

    head: Head
    log_odds: Numbers
    p: Numbers
    chosen: Places


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Log-odds times `scale` plus `shift` are calibrated."""

    scale: float = 1.0
    shift: Numbers = field(default_factory=lambda: np.zeros(1))

    def of(self, log_odds: Numbers) -> Numbers:
        return self.scale * log_odds + self.shift


def fit_head(name: str, examples: HeadExamples, settings: Settings, earlier: str | None, seed: int) -> Fitted:
    """Fit a head on all examples, and once more without each fold, to calibrate and to measure.

    Raises MissingExtra without scikit-learn.
    """
    folds = folds_of(name, examples, seed)
    raw = np.zeros((len(examples), n_outputs(name)))
    for held_out in (folds == number for number in range(FOLDS)):
        raw[held_out] = log_odds_of(_regression(name, examples, settings, earlier, ~held_out), examples, held_out)
    p = np.zeros((len(examples), len(CLASSES[name])))
    calibrated, picked = np.zeros_like(raw), np.zeros(len(examples), np.intp)
    for held_out in (folds == number for number in range(FOLDS)):
        calibration, at_least = _finish(name, raw, examples, settings, ~held_out)
        calibrated[held_out] = calibration.of(raw[held_out])
        p[held_out] = p_of(calibrated[held_out])
        picked[held_out] = picks(name, p[held_out], at_least)
    every = np.ones(len(examples), np.bool_)
    calibration, at_least = _finish(name, raw, examples, settings, every)
    whole = _regression(name, examples, settings, earlier, every)
    head = Head(
        name=name,
        intercept=_short(whole.intercept),
        vector=_short(whole.vector),
        surface=_short(whole.surface),
        phrases=None if whole.phrases is None else _short(whole.phrases),
        earlier={key: _short(weights) for key, weights in whole.earlier.items()},
        scale=float(_short(np.array(calibration.scale))),
        shift=_short(calibration.shift),
        at_least=at_least,
    )
    return Fitted(head, calibrated, p, picked)


def log_odds_of(head: Head, examples: HeadExamples, rows: Any = slice(None)) -> Numbers:
    """Return the calibrated log-odds of a head for some rows."""
    found = examples.vectors[rows] @ head.vector.T + examples.surface[rows] @ head.surface.T + head.intercept
    if head.phrases is not None:
        used = head.phrases.any(axis=0)
        found = found + _even(examples.phrases[rows][:, used]) @ head.phrases[:, used].T
    if examples.earlier is not None:
        for weights in head.earlier.values():
            found = found + examples.earlier[rows] @ weights.T
    return np.asarray(head.scale * found + head.shift, np.float64)


def p_of(log_odds: Numbers) -> Numbers:
    """Turn log-odds, one row a prompt, into probabilities, one column a class."""
    whole = np.hstack([np.zeros_like(log_odds), log_odds]) if log_odds.shape[1] == 1 else log_odds
    raised = np.exp(whole - whole.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)


def picks(name: str, p: Numbers, at_least: Mapping[str, float]) -> Places:
    """Return the place of the class that a head decides for, for each row."""
    classes = CLASSES[name]
    return np.array(
        [classes.index(chosen(dict(zip(classes, row, strict=True)), at_least)) for row in p.tolist()], np.intp
    )


def figures_of(p: Numbers, picked: Places, labels: Places) -> dict[str, float | int]:
    """Say how good probabilities and choices are: rows, accuracy, macro_f1, ece, log_loss; and auc of two classes.

    The calibration error (10 bins) is that of the probability of the likeliest class, or of the second of two.
    """
    is_right = picked == labels
    likeliest = p[:, 1] if p.shape[1] == 2 else p.max(axis=1)
    happened = labels == (1 if p.shape[1] == 2 else p.argmax(axis=1))
    sure = np.clip(p[np.arange(len(labels)), labels], 1e-9, 1.0)
    figures: dict[str, float | int] = {
        "rows": len(labels),
        "accuracy": round(float(is_right.mean()), 4),
        "macro_f1": round(float(np.mean([f1(picked, labels, place) for place in range(p.shape[1])])), 4),
        "ece": round(calibration_error(likeliest, happened), 4),
        "log_loss": round(float(-np.log(sure).mean()), 4),
    }
    if p.shape[1] == 2:
        figures["auc"] = round(auc(p[:, 1], labels == 1), 4)
    return figures


def f1(picked: Places, labels: Places, place: int) -> float:
    """Return the F1 of one class; 0 where it neither is there nor is chosen."""
    both = int(((picked == place) & (labels == place)).sum())
    either = int((picked == place).sum() + (labels == place).sum())
    return 2 * both / either if either else 0.0


def auc(scores: Numbers, is_positive: NDArray[np.bool_]) -> float:
    """Return how often a positive row has the higher score; rows of equal scores count half."""
    ordered = np.sort(scores[~is_positive])
    below, up_to = (np.searchsorted(ordered, scores[is_positive], side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * max(1, len(ordered))))


def folds_of(name: str, examples: HeadExamples, seed: int) -> Places:
    """Return the fold of each row: the classes are spread evenly, and the same words are never in two folds.

    Raises MissingExtra without scikit-learn, ConfigError where a fold would hold all there is of a class.
    """
    try:
        from sklearn.model_selection import StratifiedGroupKFold  # type: ignore[import-untyped]  # it has no stubs
    except ImportError as error:
        raise MissingExtra("fitting a router", "evals") from error
    _, groups = np.unique(examples.units, return_inverse=True)
    found = np.zeros(len(examples), np.intp)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (_, held_out) in enumerate(splitter.split(examples.labels, examples.labels, groups)):
        found[held_out] = number
        if len(np.unique(np.delete(examples.labels, held_out))) < len(CLASSES[name]):
            raise ConfigError(f"{name}: too few different prompts of one class; add some of each")
    return found


def _regression(name: str, examples: HeadExamples, settings: Settings, earlier: str | None, rows: Any) -> Head:
    """Fit one logistic regression, and once more on the phrases that count most where there are many."""
    from scipy.sparse import csr_matrix, hstack  # type: ignore[import-untyped]  # it has no stubs
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # it has no stubs

    n_vector, n_surface = examples.vectors.shape[1], examples.surface.shape[1]
    scales = [np.full(n_vector, settings.vector), np.full(n_surface, settings.surface)]
    blocks = [examples.vectors[rows], examples.surface[rows]]
    if examples.earlier is not None:
        scales.append(np.full(examples.earlier.shape[1], settings.earlier))
        blocks.append(examples.earlier[rows])
    scale = np.concatenate(scales)
    table: Any = np.hstack(blocks) * scale
    used: Places | None = None

    def fitted(columns: Any) -> Any:
        model = LogisticRegression(C=settings.strength, max_iter=5_000)
        return model.fit(columns, examples.labels[rows], sample_weight=examples.weights[rows])

    if examples.phrases is None:
        model = fitted(table)
    else:
        hits = examples.phrases[rows]
        model = fitted(hstack([csr_matrix(table), _even(hits)]).tocsr())
        if hits.shape[1] > MOST_PHRASES:
            counts = np.sqrt(np.asarray((hits > 0).sum(axis=0)).ravel())
            order = np.argsort(-np.abs(model.coef_[:, len(scale) :]).max(axis=0) * counts, kind="stable")
            used = np.sort(order[:MOST_PHRASES])
            model = fitted(hstack([csr_matrix(table), _even(hits[:, used])]).tocsr())
    weights = np.asarray(model.coef_, np.float64)
    dense = weights[:, : len(scale)] * scale
    phrases = None
    if examples.phrases is not None:
        phrases = np.zeros((len(weights), examples.phrases.shape[1]))
        phrases[:, slice(None) if used is None else used] = weights[:, len(scale) :]
    return Head(
        name=name,
        intercept=np.asarray(model.intercept_, np.float64),
        vector=dense[:, :n_vector],
        surface=dense[:, n_vector : n_vector + n_surface],
        phrases=phrases,
        earlier={} if earlier is None else {earlier: dense[:, n_vector + n_surface :]},
        shift=np.zeros(len(weights)),
    )


def _finish(
    name: str, raw: Numbers, examples: HeadExamples, settings: Settings, rows: Any
) -> tuple[Calibration, dict[str, float]]:
    """Choose calibration and thresholds on some rows: those that count fully, where they are of every class."""
    fully = rows & (examples.weights >= 1.0)
    if len(np.unique(examples.labels[fully])) == len(CLASSES[name]):
        rows = fully
    labels, weights = examples.labels[rows], examples.weights[rows]
    calibration = _calibration(raw[rows], labels, weights)
    p = p_of(calibration.of(raw[rows]))
    at_least: dict[str, float] = {}
    if settings.false_alarms is not None:
        which, share = settings.false_alarms
        place = CLASSES[name].index(which)
        others = np.sort(p[labels != place, place])[::-1]
        first_left_out = others[int(share * len(others))]
        at_least[which] = float(_short(np.clip(first_left_out + 1e-4, LEAST_SURE, SUREST)))
    if settings.recall is not None:
        which, share = settings.recall
        place = CLASSES[name].index(which)
        sure = np.where(examples.is_found[rows], 1.0, p[:, place])[labels == place]
        at_least[which] = float(_short(np.clip(_quantile(sure, weights[labels == place], 1.0 - share), 0.01, SUREST)))
    return calibration, at_least


def _calibration(raw: Numbers, labels: Places, weights: Numbers) -> Calibration:
    """Return the scale and shift of least weighted log-loss; a little penalty keeps both finite."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]  # it has no stubs

    n = raw.shape[1]
    total = weights.sum()

    def loss(numbers: Numbers) -> float:
        p = p_of(np.exp(numbers[0]) * raw + numbers[1:])
        sure = np.clip(p[np.arange(len(labels)), labels], 1e-12, 1.0)
        return float(-(weights * np.log(sure)).sum() / total + 1e-4 * (numbers**2).sum())

    found = minimize(loss, np.zeros(n + 1), method="L-BFGS-B", bounds=[(-3.0, 3.0)] * (n + 1)).x
    return Calibration(float(np.exp(found[0])), np.asarray(found[1:], np.float64))


def _quantile(numbers: Numbers, weights: Numbers, share: float) -> float:
    """Return the least number up to which a share of the weights lies."""
    order = np.argsort(numbers)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(numbers[order][min(int(np.searchsorted(reached, share, side="right")), len(order) - 1)])


def _even(hits: Any) -> Any:
    """Return sparse rows of ones scaled to the length 1, so that a long prompt counts as much as a short one."""
    from scipy.sparse import diags

    counts = np.asarray(hits.sum(axis=1)).ravel()
    return diags(1.0 / np.sqrt(np.maximum(1.0, counts))) @ hits


def _short(numbers: Any) -> Numbers:
    """Return numbers with as many significant digits as are kept."""
    plain = np.asarray(numbers, np.float64)
    return np.array([float(f"{one:.{_DIGITS}g}") for one in plain.ravel()], np.float64).reshape(plain.shape)
