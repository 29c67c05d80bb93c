"""Pairs through the shipped flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from semroute.errors import ConfigError, EmbedderError
from semroute.evaluation.metrics import PairOutcome
from semroute.evaluation.pairs import Pair, evaluate_pairs, pairs_of
from semroute.gate import Policy
from semroute.testing.embedders import FailingEmbedder

STORED = "How do I export the sales report?"
NEAR = "How can I export the sales report?"
OTHER_NUMBER = "How do I export 3 sales reports?"


class NearEmbedder:
    """Texts that are named have a cosine with the first axis, all others stand apart from it and from each other."""

    def __init__(self, cosines: Mapping[str, float]) -> None:
        self._cosines = cosines
        self.asked: list[str] = []

    @property
    def identity(self) -> str:
        return "near"

    def fits(self, text: str) -> bool:
        return len(text) < 200

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        vectors = np.zeros((len(texts), 2), np.float32)
        for row, text in enumerate(texts):
            cosine = self._cosines.get(text, 0.0)
            vectors[row] = (cosine, (1 - cosine**2) ** 0.5)
        return vectors


def outcome_of(
    stored: str, asked: str, cosine: float = 0.95, policy: Policy | None = None, *, stored_cosine: float = 1.0
) -> PairOutcome:
    embedder = NearEmbedder({asked: cosine, stored: stored_cosine})
    (outcome,) = evaluate_pairs([Pair(stored, asked)], embedder, Policy() if policy is None else policy)
    return outcome


def test_a_paraphrase_over_the_threshold_is_a_hit_and_scores_its_similarity() -> None:
    outcome = outcome_of(STORED, NEAR)
    assert outcome.is_hit
    assert outcome.score == pytest.approx(0.95)


def test_a_paraphrase_under_the_threshold_is_a_miss_that_keeps_its_score() -> None:
    outcome = outcome_of(STORED, NEAR, 0.6)
    assert not outcome.is_hit
    assert outcome.score == pytest.approx(0.6)


def test_the_policy_decides_what_is_a_hit_and_not_what_it_scores() -> None:
    outcome = outcome_of(STORED, NEAR, 0.6, Policy.fixed(0.55))
    assert outcome.is_hit
    assert outcome.score == pytest.approx(0.6)


def test_a_pair_that_a_guard_refuses_scores_nothing_however_near_it_is() -> None:
    outcome = outcome_of(STORED, OTHER_NUMBER, 0.999)
    assert not outcome.is_hit
    assert outcome.score == 0.0


def test_the_same_words_are_served_by_the_exact_tier() -> None:
    embedder = NearEmbedder({})
    (outcome,) = evaluate_pairs([Pair(STORED, f"  {STORED} ")], embedder, Policy())
    assert outcome.is_hit
    assert outcome.score == 1.0


def test_a_question_about_this_moment_is_a_bypass_and_a_miss() -> None:
    outcome = outcome_of("What is the weather right now?", "What is the weather right now?")
    assert outcome.is_bypass
    assert not outcome.is_hit
    assert outcome.score == 0.0


def test_a_text_over_the_embedders_limit_is_a_miss_unless_it_is_the_same() -> None:
    long = "How do I export the sales report " + "of the northern branch " * 20
    assert not outcome_of(STORED, long).is_hit
    assert outcome_of(long, long).is_hit


def test_pairs_know_nothing_of_each_other() -> None:
    embedder = NearEmbedder({STORED: 1.0, NEAR: 0.99})
    pairs = [Pair(STORED, "Who painted the ceiling?"), Pair("Who painted the ceiling?", NEAR)]
    assert [outcome.is_hit for outcome in evaluate_pairs(pairs, embedder, Policy())] == [False, False]


def test_each_distinct_text_is_embedded_once() -> None:
    embedder = NearEmbedder({STORED: 1.0, NEAR: 0.99})
    evaluate_pairs([Pair(STORED, NEAR), Pair(NEAR, STORED), Pair(STORED, STORED)], embedder, Policy())
    assert sorted(embedder.asked) == sorted([STORED, NEAR])


def test_an_embedder_that_fails_ends_the_evaluation_instead_of_counting_misses() -> None:
    with pytest.raises(EmbedderError):
        evaluate_pairs([Pair(STORED, NEAR)], FailingEmbedder(), Policy())


def test_without_a_label_column_every_pair_is_positive() -> None:
    rows = [{"a": STORED, "b": NEAR, "same": "0", "kind": "x"}]
    assert pairs_of(rows, q1="a", q2="b", label=None) == [Pair(STORED, NEAR, True, None)]
    assert pairs_of(rows, q1="a", q2="b", label="same", group="kind") == [Pair(STORED, NEAR, False, "x")]


def test_a_wrong_label_is_refused() -> None:
    with pytest.raises(ConfigError, match="labels 1 or 0"):
        pairs_of([{"a": "x", "b": "y", "same": "maybe"}], q1="a", q2="b", label="same")
