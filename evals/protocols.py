"""How a set is measured: pairs, conversations, streams, and halves of which one tests what the other chose.

The protocols themselves are those of `semroute eval`, in semroute.evaluation; here they meet the sets of
`evals.datasets`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from evals.datasets import Loaded
from evals.results import BOUNDS, About, Row
from semroute.evaluation.conversations import ConversationFigures, TurnPair, evaluate_turn_pairs
from semroute.evaluation.flows import clipped
from semroute.evaluation.metrics import PairFigures, PairOutcome, PairPoint, best_pair_point, pair_curve
from semroute.evaluation.pairs import Pair, evaluate_pairs
from semroute.evaluation.stream import Insert, Point, Question, evaluate_stream
from semroute.evaluation.vectors import AheadEmbedder, Track, untracked
from semroute.request import fold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.embedders import Embedder
    from semroute.entry import FloatVector
    from semroute.gate import Policy

T = TypeVar("T")

MAX_ERRORS = (0.005, 0.01, 0.02, 0.03, 0.05)


@dataclass(frozen=True, slots=True)
class PairRun:
    """What became of a set of pairs, as a whole and by group."""

    outcomes: Sequence[PairOutcome]
    figures: PairFigures
    groups: Mapping[str, PairFigures]


@dataclass(frozen=True, slots=True)
class Carried:
    """A threshold that one half chose, and what it does on the other."""

    max_false_hit_rate: float
    chosen: PairPoint
    realised: PairFigures


class RememberingEmbedder:
    """An embedder that makes each vector once, because the same questions occur in several sets."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, FloatVector] = {}

    @property
    def identity(self) -> str:
        return self._embedder.identity

    def fits(self, text: str) -> bool:
        return text in self._vectors or self._embedder.fits(text)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._embedder.embed(new), strict=True))
        return np.array([self._vectors[text] for text in texts], np.float32)


def run_pairs(loaded: Loaded[Pair], embedder: Embedder, policy: Policy, track: Track = untracked) -> PairRun:
    """Store one question of each pair in a fresh context and ask the other: each pair stands alone."""
    return _summed(evaluate_pairs(loaded.items, embedder, policy, track))


def run_plain(pairs: Sequence[Pair], embedder: Embedder, threshold: float, track: Track = untracked) -> PairRun:
    """Do what a plain cosine threshold does, without any rule; a text over the embedder's limit has no vector."""
    ahead = AheadEmbedder(embedder)
    ahead.prepare((text for pair in pairs for text in (pair.stored, pair.asked)), track)

    def outcome(pair: Pair) -> PairOutcome:
        texts = [fold(pair.stored), fold(pair.asked)]
        if not all(ahead.fits(text) for text in texts):
            return PairOutcome(pair.is_positive, False, False, 0.0, pair.group)
        first, second = ahead.embed(texts)
        score = clipped(float(first @ second))
        return PairOutcome(pair.is_positive, score >= threshold, False, score, pair.group)

    return _summed([outcome(pair) for pair in pairs])


def run_stream(
    loaded: Loaded[Question],
    embedder: Embedder,
    policy: Policy,
    *,
    insert: Insert = "always",
    max_errors: Sequence[float] = MAX_ERRORS,
    track: Track = untracked,
) -> list[Point]:
    """Send a stream through an empty cache; see `evaluate_stream` for the three operating points of each bound."""
    return evaluate_stream(loaded.items, max_errors, embedder, policy, insert=insert, track=track)


def run_conversations(
    loaded: Loaded[TurnPair], embedder: Embedder, policy: Policy, track: Track = untracked
) -> ConversationFigures:
    """Store one turn of each pair in an empty cache and ask the other."""
    return evaluate_turn_pairs(loaded.items, embedder, policy, track)


def chronological_halves(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Return what came first and what came later: traffic drifts, so that the later half is the harder test."""
    middle = len(items) // 2
    return items[:middle], items[middle:]


def random_halves(items: Sequence[T], seed: int) -> tuple[Sequence[T], Sequence[T]]:
    """Return two halves of which neither came first."""
    shuffled = random.Random(seed).sample(items, len(items))
    return chronological_halves(shuffled)


def carry(first: Sequence[PairOutcome], second: Sequence[PairOutcome], max_false_hit_rate: float) -> Carried | None:
    """Choose the best threshold within a bound on one half and serve the other with it; None where none is within.

    No margin is left for the size of the sample: this is what a threshold promises without statistics.
    """
    chosen = best_pair_point([one.score for one in first], [one.is_positive for one in first], max_false_hit_rate)
    if chosen is None:
        return None
    served = [
        PairOutcome(one.is_positive, one.score >= chosen.threshold, one.is_bypass, one.score, one.group)
        for one in second
    ]
    return Carried(max_false_hit_rate, chosen, PairFigures.of(served))


def row_of(about: About, outcomes: Sequence[PairOutcome]) -> Row:
    """Sum up what one cache did on labelled pairs."""
    scores, labels = [one.score for one in outcomes], [one.is_positive for one in outcomes]
    best = {f"{bound:g}": best_pair_point(scores, labels, bound) for bound in BOUNDS}
    return Row(about, PairFigures.of(outcomes), best, thinned(pair_curve(scores, labels)))


def thinned(curve: Sequence[PairPoint], step: float = 0.01) -> list[PairPoint]:
    """Return the points that a picture needs: those that lie a step from the last one kept, on either axis.

    The axis of false hits is logarithmic in the pictures, so that a step there is a share of the rate.
    """
    kept: list[PairPoint] = []
    for point in curve:
        if not kept or _is_far(kept[-1], point, step):
            kept.append(point)
    return kept if not curve or kept[-1] is curve[-1] else [*kept, curve[-1]]


def _is_far(last: PairPoint, point: PairPoint, step: float) -> bool:
    wrong = point.false_hit_rate - last.false_hit_rate
    return point.hit_rate - last.hit_rate >= step or wrong >= step * max(1e-3, 5 * last.false_hit_rate)


def _summed(outcomes: Sequence[PairOutcome]) -> PairRun:
    names = sorted({outcome.group for outcome in outcomes if outcome.group is not None})
    groups = {name: PairFigures.of([one for one in outcomes if one.group == name]) for name in names}
    return PairRun(outcomes, PairFigures.of(outcomes), groups)
