"""The figures that evaluations report; rates and errors are fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """What became of one pair: its first question was stored, its second one asked."""

    is_positive: bool
    """The label: the answer to the first question answers the second one too."""
    is_hit: bool
    is_bypass: bool
    score: float
    """What the pair is ranked by: its similarity when every guard passes, else 0."""
    group: str | None = None


@dataclass(frozen=True, slots=True)
class PairFigures:
    """Figures over labelled pairs; a rate over nothing is None."""

    n: int
    positives: int
    hits: int
    bypasses: int
    hit_rate: float | None
    """Hits on positive pairs / positive pairs."""
    false_hit_rate: float | None
    """Hits on negative pairs / negative pairs."""
    precision: float | None
    """Hits on positive pairs / hits."""
    p_chr_auc: float | None

    @classmethod
    def of(cls, outcomes: Sequence[PairOutcome]) -> PairFigures:
        """Sum outcomes up."""
        positives = sum(outcome.is_positive for outcome in outcomes)
        hits = sum(outcome.is_hit for outcome in outcomes)
        right = sum(outcome.is_hit and outcome.is_positive for outcome in outcomes)
        return cls(
            n=len(outcomes),
            positives=positives,
            hits=hits,
            bypasses=sum(outcome.is_bypass for outcome in outcomes),
            hit_rate=rate(right, positives),
            false_hit_rate=rate(hits - right, len(outcomes) - positives),
            precision=rate(right, hits),
            p_chr_auc=p_chr_auc([o.score for o in outcomes], [o.is_positive for o in outcomes]),
        )


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What serving at one threshold brings on a stream."""

    hit_rate: float
    """Hits / all requests."""
    error_rate: float
    """Wrong hits / all requests."""
    precision: float | None
    """Right hits / hits."""

    @classmethod
    def of(cls, *, hits: int, wrong: int, n: int) -> OperatingPoint:
        return cls(hits / n, wrong / n, rate(hits - wrong, hits))


def rate(part: int, whole: int) -> float | None:
    """Return a fraction, or None of nothing."""
    return part / whole if whole else None


def p_chr_auc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Return the area under precision as a function of the cache-hit ratio (P-CHR AUC, arXiv 2606.19719).

    Pairs are served in the order of their scores, the highest first; at the hit ratio i/n the precision is that of
    the i pairs served so far. The area is the mean over i = 1..n. Pairs of equal score come in no order: each counts
    as the mean label of them all, which is the expectation over all their orders. A pair that some guard refuses or
    that bypasses the cache has the score 0, so that all of these stand together at the end.
    """
    if not scores:
        return None
    ranked = np.asarray(scores, np.float64)
    order = np.argsort(-ranked, kind="stable")
    ranked, right = ranked[order], np.asarray(labels, np.float64)[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1])
    sizes = np.diff(np.append(starts, len(ranked)))
    expected = np.repeat(np.add.reduceat(right, starts) / sizes, sizes)
    return float(np.mean(np.cumsum(expected) / np.arange(1, len(ranked) + 1)))


def best_operating_point(
    scores: NDArray[np.float64], is_right: NDArray[np.bool_], max_error: float
) -> OperatingPoint | None:
    """Return the point of the highest hit rate whose error rate is at most `max_error`, or None if there is none.

    A point serves every request whose score reaches a threshold; a score of 0 is never served.
    """
    n = len(scores)
    order = np.argsort(-scores, kind="stable")
    ranked, wrong = scores[order], np.cumsum(~is_right[order])
    # A threshold serves all requests of one score or none, so that a point lies only where the score changes.
    ends = np.append(np.diff(ranked) != 0, True) & (ranked > 0)
    allowed = np.flatnonzero(ends & (wrong <= max_error * n))
    if not len(allowed):
        return None
    last = int(allowed[-1])
    return OperatingPoint.of(hits=last + 1, wrong=int(wrong[last]), n=n)


def best_behind(
    least: Sequence[float],
    similarities: NDArray[np.float64],
    scores: NDArray[np.float64],
    is_right: NDArray[np.bool_],
    max_error: float,
) -> OperatingPoint | None:
    """Return the best operating point of a score behind the best of some least similarities, or None."""
    points = [best_operating_point(np.where(similarities >= one, scores, 0.0), is_right, max_error) for one in least]
    return max((point for point in points if point is not None), key=lambda point: point.hit_rate, default=None)


@dataclass(frozen=True, slots=True)
class PairPoint:
    """What serving at one threshold brings on labelled pairs."""

    threshold: float
    """Pairs whose score reaches it are served."""
    hit_rate: float
    """Hits on positive pairs / positive pairs."""
    false_hit_rate: float
    """Hits on negative pairs / negative pairs."""


def pair_curve(scores: Sequence[float], labels: Sequence[bool]) -> list[PairPoint]:
    """Return one point for each threshold that serves another set of pairs, the strictest first.

    A pair of score 0 is never served. The curve is empty without a positive or without a negative pair.
    """
    ranked, right = np.asarray(scores, np.float64), np.asarray(labels, np.bool_)
    positives = int(right.sum())
    negatives = len(right) - positives
    if not positives or not negatives:
        return []
    order = np.argsort(-ranked, kind="stable")
    ranked, right = ranked[order], right[order]
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True) & (ranked > 0))
    hits, wrong = np.cumsum(right)[ends] / positives, np.cumsum(~right)[ends] / negatives
    return [PairPoint(float(t), float(h), float(w)) for t, h, w in zip(ranked[ends], hits, wrong, strict=True)]


def best_pair_point(scores: Sequence[float], labels: Sequence[bool], max_false_hit_rate: float) -> PairPoint | None:
    """Return the point of the highest hit rate whose false-hit rate is at most a bound, or None if there is none.

    The threshold is chosen on these very pairs: it says what the score could do.
    """
    allowed = [point for point in pair_curve(scores, labels) if point.false_hit_rate <= max_false_hit_rate]
    return max(allowed, key=lambda point: (point.hit_rate, -point.false_hit_rate), default=None)


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of about the same score, and how many of them are positive."""

    n: int
    mean_score: float
    positive_share: float


def reliability(scores: Sequence[float], labels: Sequence[bool], bins: int = 10) -> list[Bin]:
    """Sort scores in [0, 1] into bins of equal width and compare each bin's mean score with its share of positives.

    Empty bins are left out; a score of 1 belongs to the last bin.
    """
    values, right = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    places = np.minimum((values * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    means, shares = np.bincount(places, values, bins), np.bincount(places, right, bins)
    filled = np.flatnonzero(counts)
    return [Bin(int(counts[i]), float(means[i] / counts[i]), float(shares[i] / counts[i])) for i in filled]


def expected_calibration_error(bins: Sequence[Bin]) -> float | None:
    """Return the mean distance between score and share of positives, weighted by the size of the bins (ECE)."""
    n = sum(one.n for one in bins)
    return sum(one.n * abs(one.mean_score - one.positive_share) for one in bins) / n if n else None
