"""Scored pairs out of a random generator, easy and hard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from semroute.tuning.scored import ScoredPairs

Random = np.random.Generator
Scores = NDArray[np.float64]


def _pairs(similarity: Scores, is_right: NDArray[np.bool_], random: Random) -> ScoredPairs:
    passes = random.random(len(similarity)) < np.where(is_right, 0.9, 0.3)
    return ScoredPairs(similarity.astype(np.float32), is_right, passes)


def smooth(n: int, random: Random) -> ScoredPairs:
    """The higher the similarity, the more often it is right."""
    similarity = random.beta(5, 2, n)
    return _pairs(similarity, random.random(n) < 1 / (1 + np.exp(-14 * (similarity - 0.8))), random)


def wrong_at_the_top(n: int, random: Random) -> ScoredPairs:
    """The most similar pairs are traps: one hit in five at the very top is wrong, hardly any below."""
    similarity = random.beta(5, 2, n)
    chance = np.where(similarity > 0.93, 0.8, np.where(similarity > 0.8, 0.99, 0.3))
    return _pairs(similarity, random.random(n) < chance, random)


def ties(n: int, random: Random) -> ScoredPairs:
    """Only a dozen different similarities."""
    similarity = np.round(random.beta(5, 2, n) * 25) / 25
    return _pairs(similarity, random.random(n) < 1 / (1 + np.exp(-20 * (similarity - 0.8))), random)


def few_right(n: int, random: Random) -> ScoredPairs:
    """One pair in a hundred is right at all, one in twenty at the top."""
    similarity = random.beta(5, 2, n)
    return _pairs(similarity, random.random(n) < np.where(similarity > 0.9, 0.05, 0.005), random)


def verified(n: int, random: Random) -> ScoredPairs:
    """A verifier that tells more than the similarity does."""
    pairs = smooth(n, random)
    p = 1 / (1 + np.exp(-random.normal(np.where(pairs.is_right, 2.0, -2.0), 1.3)))
    return ScoredPairs(pairs.similarity, pairs.is_right, pairs.passes_guards, p.astype(np.float32))


def in_cells(n: int, random: Random) -> ScoredPairs:
    """Three cells in which the same similarity means different things."""
    cell = random.choice(3, n, p=[0.6, 0.2, 0.2]).astype(np.uint8)
    similarity = random.beta(5, 2, n)
    middle = np.array([0.78, 0.86, 0.7])[cell]
    is_right = random.random(n) < 1 / (1 + np.exp(-20 * (similarity - middle)))
    return ScoredPairs(similarity.astype(np.float32), is_right, np.ones(n, np.bool_), cell=cell)


def in_clusters(n: int, random: Random) -> ScoredPairs:
    """Pairs come in clusters of one to nine that are right or wrong together, at the same similarity."""
    size = random.integers(1, 10, n)
    unit = np.repeat(np.arange(n), size)[:n]
    similarity = random.beta(5, 2, n)[unit]
    is_right = (random.random(n) < 1 / (1 + np.exp(-14 * (similarity - 0.8))))[unit]
    return ScoredPairs(similarity.astype(np.float32), is_right, np.ones(n, np.bool_), unit=unit)


CASES: Mapping[str, Callable[[int, Random], ScoredPairs]] = {
    case.__name__: case for case in (smooth, wrong_at_the_top, ties, few_right, verified, in_cells, in_clusters)
}


def doubtful(pairs: ScoredPairs) -> Scores:
    """How much a label tells: most near the bar, least where the rules are sure, as a review takes it."""
    odds = (pairs.similarity.astype(np.float64) - 0.85) / 0.05 + np.where(pairs.passes_guards, 1.0, -1.0)
    p = 1 / (1 + np.exp(-odds))
    return np.maximum(np.sqrt(p * (1 - p)) * np.exp(-np.maximum(0.0, 0.85 - pairs.similarity) / 0.1), 0.03)


def misled(pairs: ScoredPairs) -> Scores:
    """The same by rules that are surest exactly where they are wrong, so that wrong hits are hardly ever drawn."""
    measure = doubtful(pairs)
    return np.where(pairs.is_right | (pairs.similarity < 0.6), measure, measure.min())


def labelled(pairs: ScoredPairs, n: int, measure: Scores, random: Random) -> ScoredPairs:
    """Draw n pairs, the more telling ones more often (sequential Poisson sampling), with weights that add up to all."""
    drawn = np.argsort(-measure / random.random(len(pairs)))[:n]
    low, high = 0.0, float(measure.sum())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1.0, measure / middle).sum() > n else (low, middle)
    weight = 1.0 / np.minimum(1.0, measure[drawn] / high)
    return replace(pairs.take(drawn), weight=weight * len(pairs) / weight.sum())
