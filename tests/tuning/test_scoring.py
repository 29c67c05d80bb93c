"""Pairs through the shipped rules: the numbers that are kept are those that the cache decides by."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from semroute.entry import Candidate
from semroute.errors import ConfigError
from semroute.evaluation.pairs import Pair, evaluate_pairs
from semroute.gate import Policy
from semroute.result import Verdict
from semroute.testing.embedders import HashEmbedder
from semroute.tuning import scoring
from semroute.tuning.reading import LabelledPair
from semroute.tuning.scored import Fate
from semroute.tuning.scoring import score_pairs

PAIRS = [
    LabelledPair("How do I export the sales report?", "how do i export the sales report", True),
    LabelledPair("How do I export the sales report?", "How do I export the sales report?", True),
    LabelledPair("How do I export 3 sales reports?", "How do I export 5 sales reports?", False),
    LabelledPair("What is the weather right now?", "What is the weather right now?", True),
    LabelledPair("Wer hat das Bild gemalt?", "Wer hat dieses Bild gemalt?", True),
    LabelledPair("誰がこの絵を描きましたか", "この絵を描いたのは誰ですか", True),
    LabelledPair("", "Who painted it?", False),
    LabelledPair("Where does the river end?", "Who painted the ceiling?", False),
]


class WordVerifier:
    """Says how many words two questions share."""

    name = "words"
    embedder = None
    digest = "words@1"

    def check(self, query: str, candidate: Candidate) -> Verdict:
        asked = set(query.lower().split())
        if "ceiling?" in asked:
            return Verdict(self.name, passed=False, why="unverifiable")
        return Verdict(
            self.name, passed=True, p_reusable=len(asked & set(candidate.query.lower().split())) / len(asked)
        )


def test_scores_are_those_of_the_evaluation_of_pairs() -> None:
    pairs = score_pairs(PAIRS, len(PAIRS), HashEmbedder()).pairs
    shipped = evaluate_pairs([Pair(p.stored, p.asked, p.is_right) for p in PAIRS], HashEmbedder(), Policy())
    assert pairs.is_right.tolist() == [outcome.is_positive for outcome in shipped]
    served = np.where(pairs.passes_guards, pairs.similarity, 0.0)
    ours = np.where(pairs.fates(Fate.ALWAYS), 1.0, np.where(pairs.fates(Fate.GATED), served, 0.0))
    assert ours.tolist() == pytest.approx([outcome.score for outcome in shipped], abs=1e-6)


def test_the_same_words_are_always_served_and_what_is_not_cached_never() -> None:
    pairs = score_pairs(PAIRS, len(PAIRS), HashEmbedder()).pairs
    fates = pairs.fate
    assert fates is not None
    assert [Fate(fate).name for fate in fates[[0, 1, 2, 3, 6]]] == ["GATED", "ALWAYS", "GATED", "NEVER", "NEVER"]
    assert pairs.passes_guards[:3].tolist() == [True, False, False]


def test_a_verifier_is_asked_about_what_the_policy_decides() -> None:
    pairs = score_pairs(PAIRS, len(PAIRS), HashEmbedder(), WordVerifier()).pairs
    assert pairs.p_reusable is not None
    assert pairs.p_reusable[2] == pytest.approx(6 / 7)
    assert pairs.p_reusable[[3, 7]].tolist() == [0.0, 0.0]


def test_pairs_that_share_a_question_are_one_unit() -> None:
    units = score_pairs(PAIRS, len(PAIRS), HashEmbedder()).pairs.units
    assert units[0] == units[1]
    assert len(set(units.tolist())) == len(PAIRS) - 1


def test_groups_are_units_and_questions_on_both_sides_are_counted() -> None:
    grouped = [LabelledPair(p.stored, p.asked, p.is_right, group=str(at % 2)) for at, p in enumerate(PAIRS)]
    scored = score_pairs(grouped, len(grouped), HashEmbedder(), has_groups=True)
    even, odd = (np.flatnonzero(scored.pairs.units == unit) for unit in scored.pairs.units[:2])
    assert even.tolist() == [0, 2, 4, 6]
    assert scored.on_both_sides(even, odd) == 1


def test_weights_are_kept_where_there_are_any() -> None:
    assert score_pairs(PAIRS, len(PAIRS), HashEmbedder()).pairs.weight is None
    heavy = [LabelledPair(p.stored, p.asked, p.is_right, weight=3.0) for p in PAIRS]
    weight = score_pairs(heavy, len(heavy), HashEmbedder(), has_weights=True).pairs.weight
    assert weight is not None
    assert set(weight.tolist()) == {3.0}


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score_pairs(PAIRS, len(PAIRS), HashEmbedder())
    monkeypatch.setattr(scoring, "CHUNK", 3)
    parts = score_pairs(iter(PAIRS), len(PAIRS), HashEmbedder())
    for name in ("similarity", "passes_guards", "fate", "unit"):
        assert np.array_equal(getattr(whole.pairs, name), getattr(parts.pairs, name))


@pytest.mark.parametrize(("n", "message"), [(7, "grew"), (9, "shrank")])
def test_a_file_that_changes_while_it_is_read_is_told(n: int, message: str) -> None:
    with pytest.raises(ConfigError, match=f"the file {message}"):
        score_pairs(PAIRS, n, HashEmbedder())


def many(n: int) -> Iterator[LabelledPair]:
    """Make pairs of few different words, which are remembered too."""
    for number in range(n):
        thing = f"thing {number // 60} of {number % 60}"
        yield LabelledPair(f"What is {thing}?", f"What is the {thing}?", number % 2 == 0)


def test_memory_grows_by_a_few_numbers_a_pair_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 64)

    def peak(n: int) -> int:
        tracemalloc.start()
        score_pairs(many(n), n, HashEmbedder())
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, more = peak(2_100), peak(2_660)  # both fill what remembers the latest texts
    # The vectors of one pair alone would take 3 kB.
    assert (more - few) / 560 < 300
