"""What is done with a set: halves, thresholds carried over, curves thinned out, vectors made once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from evals.protocols import (
    RememberingEmbedder,
    carry,
    chronological_halves,
    random_halves,
    row_of,
    run_plain,
    thinned,
)
from evals.results import About
from semroute.evaluation.metrics import PairOutcome, PairPoint
from semroute.evaluation.pairs import Pair
from semroute.testing.embedders import HashEmbedder

ABOUT = About("a cache", {}, "its own", "some vectors")


def outcome(score: float, is_positive: bool, is_hit: bool = False) -> PairOutcome:
    return PairOutcome(is_positive, is_hit, False, score)


def test_chronological_halves_keep_the_order() -> None:
    assert chronological_halves([1, 2, 3, 4, 5]) == ([1, 2], [3, 4, 5])


def test_random_halves_hold_everything_once_and_repeat_for_a_seed() -> None:
    items = list(range(100))
    first, second = random_halves(items, seed=3)
    assert sorted([*first, *second]) == items
    assert list(first) != items[:50]
    assert random_halves(items, seed=3) == (first, second)


def test_a_threshold_chosen_on_one_half_serves_the_other() -> None:
    first = [outcome(0.9, True), outcome(0.8, True), outcome(0.7, False), outcome(0.6, False)]
    second = [outcome(0.85, True), outcome(0.82, False), outcome(0.5, True), outcome(0.4, False)]
    carried = carry(first, second, 0.0)
    assert carried is not None
    assert carried.chosen == PairPoint(threshold=0.8, hit_rate=1.0, false_hit_rate=0.0)
    assert (carried.realised.hit_rate, carried.realised.false_hit_rate) == (0.5, 0.5)


def test_where_no_threshold_is_within_the_bound_nothing_is_carried() -> None:
    assert carry([outcome(0.9, False), outcome(0.8, True)], [outcome(0.9, True)], 0.0) is None


def test_a_thinned_curve_keeps_its_ends_and_its_steps() -> None:
    curve = [PairPoint(1 - i / 10_000, i / 10_000, 0.0) for i in range(1, 5_001)]
    curve += [PairPoint(0.4 - i / 10_000, 0.5, i / 4_000) for i in range(1, 2_001)]
    kept = thinned(curve)
    assert len(kept) < 400
    assert (kept[0], kept[-1]) == (curve[0], curve[-1])
    assert PairPoint(0.5, 0.5, 0.0).hit_rate - max(point.hit_rate for point in kept if not point.false_hit_rate) < 0.02
    assert thinned([]) == []


def test_a_row_has_the_best_point_for_each_bound() -> None:
    row = row_of(ABOUT, [outcome(0.9, True, is_hit=True), outcome(0.8, False), outcome(0.7, True)])
    assert row.by_default.hit_rate == 0.5
    assert row.best["0.01"] == PairPoint(0.9, 0.5, 0.0)
    assert [point.threshold for point in row.curve] == [0.9, 0.8, 0.7]


def test_a_plain_cosine_knows_no_rule() -> None:
    pairs = [
        Pair("How many bees live in a hive?", "How many bees live in a hive?", False),
        Pair("How many bees live in a hive?", "Who tuned the organ?", True),
    ]
    run = run_plain(pairs, HashEmbedder(), 0.8)
    assert [one.is_hit for one in run.outcomes] == [True, False]
    assert run.outcomes[0].score == pytest.approx(1.0)
    assert run.figures.false_hit_rate == 1.0


class CountingEmbedder(HashEmbedder):
    """Counts how often each text is embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.seen += texts
        return super().embed(texts)


def test_vectors_are_made_once_and_stay_the_same() -> None:
    inner = CountingEmbedder()
    embedder = RememberingEmbedder(inner)
    first = embedder.embed(["one bell", "two bells", "one bell"])
    again = embedder.embed(["two bells", "three bells"])
    assert inner.seen == ["one bell", "two bells", "three bells"]
    assert np.array_equal(first[1], again[0])
    assert np.array_equal(first[0], first[2])
    assert embedder.identity == inner.identity
    assert embedder.fits("one bell")
