"""Fitting tiers: what is learnt, that nobody's own label is seen, and what is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from semroute.errors import ConfigError, MissingExtra
from semroute.router._prompt_features import FEATURES
from semroute.router._tiers import FURTHEST, TierPredictor
from semroute.tuning import router_tiers
from semroute.tuning.router_tiers import (
    DEFAULT,
    FOLDS,
    FittedTiers,
    TierExamples,
    fit_tiers,
    predicted,
    tier_examples,
)

TIERS = ("weak", "strong")
DIMENSIONS = 8
N = 500
LEARNS = replace(DEFAULT, strength=1e-2, topics=5)
"""A weaker penalty: there are fewer prompts here than the one that ships is meant for."""


def made(n: int = N, seed: int = 0, share_of_sums: float = 0.0, noise: bool = False) -> TierExamples:
    """Make prompts that a weak model gets wrong when they are long and their vector points the first way."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths = rng.integers(1, 60, n)
    is_sum = rng.random(n) < share_of_sums
    prompts = [
        f"Tell {place} 7 and 8 how many {'words ' * int(length)} in total have they now, do you think, all of them"
        if s
        else f"Tell them {'words ' * int(length)}number {place} please"
        for place, (length, s) in enumerate(zip(lengths, is_sum, strict=True))
    ]
    hardness = (lengths - 30) / 15 + 3 * vectors[:, 0]
    weak = rng.random(n) < (0.6 if noise else 1 / (1 + np.exp(hardness - 0.5)))
    strong = rng.random(n) < 0.9
    has_vector = rng.random(n) < 0.9
    return tier_examples(prompts, vectors, has_vector, np.stack([weak, strong], axis=1))


@pytest.fixture(scope="module")
def examples() -> TierExamples:
    return made()


@pytest.fixture(scope="module")
def fitted(examples: TierExamples) -> FittedTiers:
    return fit_tiers(examples, "an embedder", TIERS, settings=LEARNS)


def test_hard_prompts_are_told_from_easy_ones_out_of_fold(fitted: FittedTiers) -> None:
    assert fitted.figures["weak_auc"] > 0.75
    assert fitted.figures["weak_ece"] < 0.1
    assert fitted.figures["rows"] == N


def test_labels_that_follow_nothing_teach_nothing(fitted: FittedTiers) -> None:
    learnt = fit_tiers(made(noise=True, seed=5), "an embedder", TIERS, settings=LEARNS)
    assert abs(learnt.figures["weak_auc"] - 0.5) < 0.1
    assert learnt.out_of_fold[:, 0].std() < fitted.out_of_fold[:, 0].std() / 3


def test_the_predictor_says_one_by_one_what_the_fit_said_of_all(examples: TierExamples, fitted: FittedTiers) -> None:
    many = predicted(fitted.predictor, examples.some(slice(50)))
    for place in range(50):
        vector = examples.vectors[place] if examples.has_vector[place] else None
        prompt_features = examples.features[place]
        expert = fitted.predictor.expert_of("general", has_vector=vector is not None)
        log_odds = fitted.predictor.experts[expert].log_odds(prompt_features, vector)
        assert 1 / (1 + np.exp(-log_odds)) == pytest.approx(many[place], abs=1e-9)


def test_numpy_alone_says_what_scikit_learn_says(examples: TierExamples) -> None:
    from sklearn.linear_model import LogisticRegression

    alone = replace(LEARNS, text_strength=0.1)
    expert = router_tiers._ridge(examples, alone, 0, uses_vectors=False)
    mean, spread = examples.features.mean(axis=0), examples.features.std(axis=0)
    table = np.clip((examples.features - mean) / np.where(spread > 1e-6, spread, 1), -FURTHEST, FURTHEST)
    ours = 1 / (1 + np.exp(-expert.log_odds(examples.features, None)))
    for place in range(2):
        theirs = LogisticRegression(C=0.1, max_iter=2_000).fit(table, examples.is_good[:, place])
        assert ours[:, place] == pytest.approx(theirs.predict_proba(table)[:, 1], abs=1e-9)


def test_vectors_and_topics_folded_into_the_coefficients_say_what_scikit_learn_says(examples: TierExamples) -> None:
    from sklearn.linear_model import LogisticRegression

    expert = router_tiers._ridge(examples, LEARNS, 0, uses_vectors=True)
    assert expert.topics is not None
    vectors = examples.vectors.astype(np.float64)
    shares = expert.topics.shares(vectors)
    mean, spread = examples.features.mean(axis=0), examples.features.std(axis=0)
    table = np.hstack(
        [
            np.clip((examples.features - mean) / np.where(spread > 1e-6, spread, 1), -FURTHEST, FURTHEST),
            LEARNS.vector * np.sqrt(DIMENSIONS) * (vectors - vectors.mean(axis=0)),
            LEARNS.topic / shares.std() * (shares - shares.mean(axis=0)),
        ]
    )
    ours = 1 / (1 + np.exp(-expert.log_odds(examples.features, vectors)))
    theirs = LogisticRegression(C=LEARNS.strength, max_iter=2_000).fit(table, examples.is_good[:, 0])
    assert ours[:, 0] == pytest.approx(theirs.predict_proba(table)[:, 1], abs=1e-9)


def test_what_is_measured_is_what_the_file_keeps(examples: TierExamples, fitted: FittedTiers) -> None:
    told = json.loads(json.dumps(fitted.predictor.as_json(), allow_nan=False))
    again = TierPredictor.of_json(told, "tiers.json")
    assert predicted(again, examples) == pytest.approx(predicted(fitted.predictor, examples), rel=1e-9)


def test_no_prompt_is_ranked_by_a_fit_that_saw_it(examples: TierExamples, fitted: FittedTiers) -> None:
    flipped = replace(examples, is_good=examples.is_good.copy())
    held_out = np.flatnonzero(fitted.folds == 2)
    flipped.is_good[held_out] = ~flipped.is_good[held_out]
    again = fit_tiers(flipped, "an embedder", TIERS, settings=LEARNS)
    for has_vector in (True, False):
        rows = held_out[examples.has_vector[held_out] == has_vector]
        # The calibration knows the other folds' log-odds only, and moves all of these by one line.
        before, after = (np.log(p / (1 - p)) for p in (one.out_of_fold[rows, 0] for one in (fitted, again)))
        assert np.corrcoef(before, after)[0, 1] > 0.9999


def test_the_same_words_are_never_in_two_folds(examples: TierExamples) -> None:
    twice = replace(
        examples, **{name: np.concatenate([getattr(examples, name)] * 2) for name in TierExamples.__slots__}
    )
    folds = twice.folds(FOLDS, 0)
    assert np.array_equal(folds[:N], folds[N:])
    assert np.bincount(folds).min() > 2 * N / FOLDS * 0.9


def test_enough_sums_get_an_expert_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = made(n=400, share_of_sums=0.5, seed=3)
    monkeypatch.setattr(router_tiers, "MIN_SUMS", int(mixed.is_sum.sum()))
    learnt = fit_tiers(mixed, "an embedder", TIERS, settings=LEARNS)
    assert set(learnt.predictor.experts) == {"general", "general_text", "sum"}
    monkeypatch.setattr(router_tiers, "MIN_SUMS", 400)
    assert learnt.figures["weak_auc"] > 0.7
    few = fit_tiers(mixed, "an embedder", TIERS, settings=LEARNS)
    assert set(few.predictor.experts) == {"general", "general_text"}


def test_many_tiers_share_what_they_have_in_common() -> None:
    examples = made(seed=7)
    rng = np.random.default_rng(0)
    hardness = examples.features[:, FEATURES.index("words")] - 3 + 3 * examples.vectors[:, 0]
    good = rng.random((N, 6)) < 1 / (1 + np.exp(hardness[:, None] - np.linspace(0, 3, 6)))
    learnt = fit_tiers(
        replace(examples, is_good=good),
        "an embedder",
        tuple("abcdef"),
        settings=replace(LEARNS, direction_penalty=100.0),
    )
    assert all(learnt.figures[f"{tier}_auc"] > 0.7 for tier in "abcdef")
    assert (np.diff(learnt.out_of_fold.mean(axis=0)) > 0).all()


def test_prompts_without_any_vector_can_be_fitted() -> None:
    examples = made(seed=9)
    without = replace(examples, has_vector=np.zeros(N, np.bool_), vectors=np.zeros_like(examples.vectors))
    learnt = fit_tiers(without, "an embedder", TIERS, settings=LEARNS)
    assert learnt.figures["weak_auc"] > 0.65
    assert learnt.predictor.predict(None, "Tell them words") is not None


def test_a_tier_that_is_always_good_enough_has_its_share_as_probability(examples: TierExamples) -> None:
    is_good = examples.is_good.copy()
    is_good[:, 1] = True
    is_good[:3, 1] = False
    learnt = fit_tiers(replace(examples, is_good=is_good), "an embedder", TIERS, settings=LEARNS)
    assert learnt.figures["weak_auc"] > 0.7
    assert np.ptp(learnt.out_of_fold[:, 1]) < 0.02
    assert learnt.out_of_fold[:, 1].mean() == pytest.approx(1 - 3 / N, abs=0.01)


def test_the_same_seed_gives_the_same_coefficients(examples: TierExamples, fitted: FittedTiers) -> None:
    again = fit_tiers(examples, "an embedder", TIERS, settings=LEARNS)
    assert again.predictor.as_json() == fitted.predictor.as_json()


def test_too_little_to_learn_from_is_said_with_what_it_takes(examples: TierExamples) -> None:
    with pytest.raises(ConfigError, match="10 judged prompts are too few to learn from: it takes at least 200"):
        fit_tiers(examples.some(slice(10)), "an embedder", TIERS)
    one_sort = replace(examples, is_good=np.ones_like(examples.is_good))
    with pytest.raises(ConfigError, match="out of 500 prompts: weak for 500, strong for 500; it takes one"):
        fit_tiers(one_sort, "an embedder", TIERS)
    with pytest.raises(ConfigError, match="there are 3 tiers and 2 columns"):
        fit_tiers(examples, "an embedder", ("a", "b", "c"))
    repeated = replace(examples, units=np.zeros(N, np.uint64))
    with pytest.raises(ConfigError, match="200 different prompts"):
        fit_tiers(repeated, "an embedder", TIERS)


def test_without_scikit_learn_the_extra_is_named(examples: TierExamples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"\[evals\]"):
        fit_tiers(examples, "an embedder", TIERS)
