"""Fitting a verifier: what it learns, what it refuses, and that it never leaves half a file."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from semroute.entry import Candidate
from semroute.errors import ConfigError
from semroute.guards._features import FEATURES
from semroute.guards._verifier_file import Coefficients
from semroute.guards._verifier_forest import Forest
from semroute.guards.verifier import MOST_VETOED, Verifier
from semroute.testing.embedders import HashEmbedder
from semroute.tuning import verifier_training
from semroute.tuning._verifier_boosting import Calibration, Examples, Settings, calibration_error, grown, line
from semroute.tuning.verifier_training import (
    FROM_NOTHING,
    MIN_ROWS,
    LabelledTexts,
    coefficients_of,
    examples_of,
    fit,
    train,
)

T = TypeVar("T")

EMBEDDER = HashEmbedder()
VERBS = ("pay", "move", "renew", "print", "share", "split", "check", "export")
THINGS = ("bill", "order", "ticket", "booking", "invoice", "plan", "loan", "badge")


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier_training, "FROM_NOTHING", replace(FROM_NOTHING, rounds=15, least_in_leaf=20))


def labelled(n: int, seed: int = 0) -> list[LabelledTexts]:
    """Return pairs about a verb and a thing: right where both are the same; much else is worded anew."""
    chance = random.Random(seed)
    pairs: list[LabelledTexts] = []
    for number in range(n):
        verb, thing, place = chance.choice(VERBS), chance.choice(THINGS), f"hall{chance.choice('abcdef')}{number}"
        is_right = number % 2 == 0
        other = thing if is_right else chance.choice([one for one in THINGS if one != thing])
        pairs.append(
            (
                f"How do I {verb} my {thing} in {place} please?",
                f"In {place}, what is the quickest way to {verb} the {other}?",
                is_right,
            )
        )
    return pairs


def start(embedder: str = EMBEDDER.identity) -> Verifier:
    """Return a verifier that looks at the similarity alone."""
    return Verifier(Coefficients(embedder, ("the", "my", "in"), -3.0, 6.0, Forest.empty(2)), {"data": "none"})


def p_of(verifier: Verifier, stored: str, asked: str) -> float:
    one, other = EMBEDDER.embed([stored, asked])
    return verifier.probabilities(asked, [Candidate("", stored, float(np.clip(one @ other, 0, 1)))])[0]


def test_training_on_top_of_another_verifier_does_better_on_questions_it_has_not_seen() -> None:
    trained = train(labelled(400), EMBEDDER, start=start())
    assert trained.figures["log_loss"] < trained.figures["start_log_loss"]
    assert trained.figures["auc"] > trained.figures["start_auc"]
    asked = "In hallz, what is the quickest way to pay the plan?"
    right, wrong = (
        p_of(trained.verifier, f"How do I pay my {thing} in hallz please?", asked) for thing in ("plan", "loan")
    )
    assert right > wrong


def test_a_verifier_can_start_from_nothing() -> None:
    trained = train(labelled(2_000), EMBEDDER)
    assert trained.verifier.card["start"] is None
    assert trained.figures["auc"] > 0.9
    assert trained.verifier.embedder == EMBEDDER.identity


def test_the_same_pairs_and_seed_give_the_same_coefficients() -> None:
    one, other = (train(labelled(200), EMBEDDER, start=start(), seed=3) for _ in range(2))
    assert one.verifier.digest == other.verifier.digest
    assert one.verifier.digest != train(labelled(200), EMBEDDER, start=start(), seed=4).verifier.digest


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    trained = train(labelled(200), EMBEDDER, start=start(), card={"note": "ours"})
    trained.write(tmp_path / "own.json")
    read = Verifier.load(tmp_path / "own.json", embedder=EMBEDDER.identity)
    pair = labelled(1)[0]
    assert (read.digest, read.card["note"]) == (trained.verifier.digest, "ours")
    assert p_of(read, *pair[:2]) == p_of(trained.verifier, *pair[:2])


def test_a_training_that_is_interrupted_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    train(labelled(200), EMBEDDER, start=start()).write(path)
    before = path.read_bytes()

    def interrupted(items: Sequence[T], what: str) -> Iterable[T]:
        yield from items[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(labelled(300), EMBEDDER, start=start(), progress=interrupted).write(path)
    assert path.read_bytes() == before


def test_a_writing_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.json"
    trained = train(labelled(200), EMBEDDER, start=start())
    path.write_text("old", encoding="utf-8")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match="cannot be written: no space left"):
        trained.write(path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("own.json", "old")]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (lambda: labelled(12), f"12 pairs are too few .* starts from another one: it needs at least {MIN_ROWS}"),
        (lambda: [], "0 pairs are too few"),
        (lambda: [(a, b, True) for a, b, _ in labelled(200)], "these are 200 with the label 1 and 0 with the label 0"),
        (lambda: [(a, b, float("nan")) for a, b, _ in labelled(200)], "labels must be 1 or 0 .*: nan"),
        (lambda: [(a, b, 2) for a, b, _ in labelled(200)], "labels must be 1 or 0 .*: 2"),
        (lambda: [(a, a, y) for a, _, y in labelled(200)], "that can be compared and are not the same words"),
        (lambda: [("the hub", b, y) for _, b, y in labelled(200)], "share no question; these hang together in 1"),
    ],
)
def test_pairs_that_teach_nothing_are_refused(pairs: Callable[[], list[LabelledTexts]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(pairs(), EMBEDDER, start=start())


def test_more_pairs_are_needed_where_nothing_is_there_to_start_from() -> None:
    with pytest.raises(ConfigError, match="200 pairs are too few for a verifier that starts from nothing"):
        train(labelled(200), EMBEDDER)


def test_a_start_of_another_embedder_is_refused_before_anything_is_read() -> None:
    def unread() -> Iterator[LabelledTexts]:
        raise AssertionError("the pairs were read")
        yield

    with pytest.raises(ConfigError, match="fitted on similarities of the embedder other"):
        train(unread(), EMBEDDER, start=start("other"))


def test_of_too_many_pairs_some_are_drawn_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier_training, "MAX_ROWS", 150)
    trained = train((pair for pair in labelled(600)), EMBEDDER, start=start())
    assert (trained.figures["seen"], trained.figures["n"]) == (600, 150)


def test_progress_is_told_to_the_end() -> None:
    told: dict[str, list[int]] = {}

    def track(items: Sequence[T], what: str) -> Iterable[T]:
        for number, item in enumerate(items, start=1):
            told[what] = [number, len(items)]
            yield item

    train(labelled(200), EMBEDDER, start=start(), progress=track)
    assert {what: done == total for what, (done, total) in told.items()} == {
        "embedding and counting": True,
        "growing trees": True,
    }


@pytest.fixture(scope="module")
def examples() -> Examples:
    return examples_of(labelled(300), EMBEDDER, start())


def test_no_question_is_in_two_folds() -> None:
    pairs = [(f"question {n % 7}", f"another {n}", n % 2 == 0) for n in range(60)]
    shouted = [(stored.upper() + " ?", asked, label) for stored, asked, label in pairs]
    counted = examples_of(pairs + shouted, EMBEDDER, start())
    folds = counted.folds(5, seed=1)
    for n in range(7):
        assert (
            len({int(fold) for fold, pair in zip(folds, pairs + shouted, strict=True) if f"n {n}" in pair[0].lower()})
            <= 1
        )
    assert np.bincount(folds, minlength=5).min() > 0


def test_out_of_fold_probabilities_are_by_fits_that_saw_no_such_question(examples: Examples) -> None:
    # With labels at random nothing can be learned: who looks at the answers would seem to.
    chance = np.random.default_rng(5).random(len(examples)) < 0.5
    found = fit(replace(examples, is_right=chance), Settings(rounds=30, least_in_leaf=5))
    auc_like = found.out_of_fold[chance].mean() - found.out_of_fold[~chance].mean()
    assert abs(auc_like) < 0.05


def test_vetoed_pairs_are_capped_out_of_fold_too(examples: Examples) -> None:
    vetoed = replace(examples, is_vetoed=np.ones(len(examples), np.bool_))
    assert fit(vetoed, Settings(rounds=5)).out_of_fold.max() <= MOST_VETOED


def test_the_verifier_says_what_the_fit_says(examples: Examples) -> None:
    score = fit(examples, Settings(rounds=10)).score
    verifier = Verifier(coefficients_of(score, EMBEDDER.identity, start().coefficients.words), {})
    margins = score.margins(examples.features, examples.similarities)
    for (stored, asked, _), margin, is_vetoed in zip(labelled(300), margins, examples.is_vetoed, strict=True):
        if not is_vetoed:
            assert p_of(verifier, stored, asked) == pytest.approx(1 / (1 + np.exp(-margin)), abs=1e-4)


def test_calibration_undoes_a_scale_and_a_shift() -> None:
    chance = np.random.default_rng(1)
    true = chance.normal(size=20_000) * 2
    labels = chance.random(20_000) < 1 / (1 + np.exp(-true))
    zeros, flags = np.zeros(20_000), np.zeros(20_000, np.bool_)
    examples = Examples(np.zeros((20_000, 1), np.float32), zeros, labels, flags, zeros + 1, np.arange(20_000))
    found = Calibration.fitted(3 * true + 4, examples, 0.0, 0.0)
    assert found.of(3 * true + 4, zeros) == pytest.approx(true, abs=0.3)
    assert calibration_error(1 / (1 + np.exp(-found.of(3 * true + 4, zeros))), labels) < 0.01
    kept = Calibration.fitted(3 * true + 4, examples, 0.0, 1e9)
    assert (kept.scale, kept.shift) == pytest.approx((1.0, 0.0), abs=0.01)


def test_trees_never_hold_more_similarity_against_a_pair(examples: Examples) -> None:
    chance = np.random.default_rng(2).random(len(examples)) < 1 - examples.similarities
    upside_down = replace(examples, is_right=chance)
    score = grown(line(upside_down), upside_down, Settings(rounds=20, least_in_leaf=5), lambda: None)
    rows = np.repeat(examples.features[:1], 50, axis=0)
    rows[:, FEATURES.index("similarity")] = np.linspace(0, 1, 50)
    assert (np.diff(score.forest.sums(rows.astype(np.float64))) >= -1e-9).all()
