"""The labelled set of added documents is whole, its figures are counted right, and the rule beats what is plain."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest

from evals.added_documents import __main__ as evaluation
from evals.added_documents import measure, sets
from evals.added_documents.measure import Measured
from evals.added_documents.results import shipped
from evals.added_documents.sets import CORPORA, Added, Corpus, Document, Question, read_half
from semroute.embedders.onnx import OnnxEmbedder
from semroute.testing.embedders import HashEmbedder

CORPORA_READ = [corpus for half in CORPORA for corpus in read_half(half)]
KINDS_THAT_CHANGE = ("changes", "answers", "adds")


def test_the_set_has_two_hundred_added_documents_of_which_about_half_change_something() -> None:
    kinds = Counter(added.kind for corpus in CORPORA_READ for added in corpus.added)
    assert kinds.total() == 200
    assert 90 <= sum(kinds[kind] for kind in KINDS_THAT_CHANGE) <= 110
    assert sum(len(corpus.documents) for corpus in CORPORA_READ) >= 150
    assert sum(len(corpus.questions) for corpus in CORPORA_READ) >= 400


def test_the_halves_share_no_corpus_and_every_row_belongs_to_one() -> None:
    assert set(CORPORA["dev"]).isdisjoint(CORPORA["test"])
    for file, rows in (
        ("documents", [row for corpus in CORPORA_READ for row in corpus.documents]),
        ("questions", [row for corpus in CORPORA_READ for row in corpus.questions]),
        ("added", [row for corpus in CORPORA_READ for row in corpus.added]),
    ):
        assert len(rows) == len((sets.HERE / f"{file}.jsonl").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("corpus", CORPORA_READ, ids=lambda corpus: corpus.name)
def test_ids_are_unique_and_labels_name_questions(corpus: Corpus) -> None:
    ids = [row.id for row in (*corpus.documents, *corpus.questions, *corpus.added)]
    assert len(ids) == len(set(ids))
    questions = {question.id for question in corpus.questions}
    assert all(added.changes <= questions for added in corpus.added)


@pytest.mark.parametrize("corpus", CORPORA_READ, ids=lambda corpus: corpus.name)
def test_labels_agree_with_the_kind_of_the_document(corpus: Corpus) -> None:
    unanswered = {question.id for question in corpus.questions if not question.answered}
    for added in corpus.added:
        assert bool(added.changes) == (added.kind in KINDS_THAT_CHANGE), added.id
        assert bool(added.changes & unanswered) == (added.kind == "answers"), added.id


def test_no_text_stands_twice() -> None:
    questions = [question.text for corpus in CORPORA_READ for question in corpus.questions]
    texts = [row.text for corpus in CORPORA_READ for row in (*corpus.documents, *corpus.added)]
    assert len(texts) == len(set(texts))
    assert len(questions) == len(set(questions))


def test_added_documents_are_short_and_long() -> None:
    sizes = [added.text.count(". ") + 1 for corpus in CORPORA_READ for added in corpus.added]
    assert sum(size == 1 for size in sizes) >= 50
    assert sum(size >= 6 for size in sizes) >= 50


def measured_by_hand() -> Measured:
    """Three questions and two added documents, of which the first changes the first answer."""
    corpus = Corpus(
        "by hand",
        (Document("d", "", "d"),),
        tuple(Question(f"q{row}", f"q{row}", True) for row in range(3)),
        (Added("a", "", "a", "changes", frozenset({"q0"})), Added("b", "", "b", "near", frozenset())),
    )
    similar = np.array([[0.9, 0.9], [0.1, 0.5], [0.1, 0.1]], dtype=np.float32)
    changed = np.array([[True, False], [False, False], [False, False]])
    first = similar[:, :1]
    return Measured(corpus, whole=similar, best=similar, score=first, reach=first, last=first, changed=changed)


def test_figures_are_counted_as_their_names_say() -> None:
    half, rule = [measured_by_hand()], shipped()
    assert measure.caught(half, rule).tolist() == [[1, 1], [0, 0]]
    assert measure.others_a_document(half, rule).tolist() == pytest.approx([0.0, 2 / 3])
    assert measure.others_at_once(half, rule).tolist() == [True, False]
    assert measure.others_by_count(half, rule, [2]) == {2: 0.5}
    assert measure.ratio(measure.caught(half, measure.everything)) == 1.0


def test_what_the_retriever_does_not_find_anew_is_left() -> None:
    measured = measured_by_hand()
    rule = measure.found_again(measure.everything)
    assert rule(measured).tolist() == (measured.whole > measured.last).tolist()
    assert not rule(measured)[:, 0].any()


def test_a_rule_that_asks_for_a_share_of_the_sources_leaves_what_is_farther_than_they_are() -> None:
    rule = measure.shared(lambda measured: measured.reach, 0.6)
    assert rule(measured_by_hand()).tolist() == [[True, True], [True, True], [True, True]]
    assert measure.shared(lambda measured: measured.reach, 1.0)(measured_by_hand())[0].tolist() == [True, True]
    far = measure.shared(lambda measured: np.full((3, 1), 0.95, dtype=np.float32), 0.6)
    assert far(measured_by_hand()).tolist() == [[True, True], [False, False], [False, False]]


def test_the_interval_holds_the_figure() -> None:
    rows = np.array([[1, 1], [0, 1], [2, 2], [0, 0]] * 10)
    low, high = measure.interval(rows, measure.ratio)
    assert low < measure.ratio(rows) == 0.75 < high


def test_the_rule_that_ships_catches_far_more_than_it_drops() -> None:
    corpus = read_half("dev")[0]
    half = [measure.measure(corpus, OnnxEmbedder(use_hub=False))]
    assert measure.ratio(measure.caught(half, shipped())) >= 0.8
    assert measure.mean(measure.others_a_document(half, shipped())) <= 0.3


def test_the_command_prints_each_half_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluation, "OnnxEmbedder", lambda **_: HashEmbedder(32))
    assert evaluation.main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"dev", "test"}
    everything = printed["test"][0]
    assert everything["caught"]["value"] == everything["others_at_once"]["value"] == 1.0
    assert all(math.isfinite(row["caught"]["value"]) for row in printed["test"])
