"""The verifier that ships: what it lets through, what it never does, and what its file must be like."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from semroute.embedders.onnx import OnnxEmbedder
from semroute.entry import Candidate
from semroute.errors import ConfigError
from semroute.guards import Estimator
from semroute.guards._verifier_file import digest_of
from semroute.guards.verifier import MOST_VETOED, SHIPPED, Verifier

LEAST_P = 0.83
REDTEAM = Path(__file__).with_name("redteam.jsonl")


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load()


def p_of(verifier: Verifier, query: str, stored: str, similarity: float) -> float:
    verdict = verifier.check(query, Candidate("", stored, similarity))
    assert verdict.p_reusable is not None
    return verdict.p_reusable


def told() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return read


def saved(folder: Path, content: object) -> Path:
    path = folder / "verifier.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_it_is_an_estimator_fitted_on_the_default_embedder(verifier: Verifier) -> None:
    assert isinstance(verifier, Estimator)
    assert verifier.name == "verifier"
    assert verifier.embedder == OnnxEmbedder().identity
    assert verifier.card["coefficients"] == verifier.digest


def test_it_ships_in_less_than_300_kilobytes() -> None:
    assert SHIPPED.stat().st_size < 300_000


@pytest.mark.parametrize(
    ("query", "stored", "similarity"),
    [
        ("How can I reset my password?", "How do I reset my password?", 0.98),
        ("What is the best way to learn French?", "How can I learn French in the best way?", 0.95),
        ("How do I get rid of mosquitoes at home?", "What is the best way to get rid of mosquitoes at home?", 0.95),
    ],
)
def test_a_paraphrase_is_found_reusable(verifier: Verifier, query: str, stored: str, similarity: float) -> None:
    assert p_of(verifier, query, stored, similarity) >= LEAST_P


@pytest.mark.parametrize(
    ("query", "stored", "why"),
    [
        ("Who won the cup in 2019?", "Who won the cup in 2017?", "numbers: 2019 ≠ 2017"),
        ("What did the 2019 report say of hiring people abroad?", "What was in the report about jobs?", "numbers"),
        ("How do I enable dark mode?", "How do I disable dark mode?", "polarity"),
        ("What is the weather in Paris?", "What is the weather in Rome?", "names"),
        ("How do I call `sort`?", "How do I call `sorted`?", "literals"),
        ("Does Anna owe Bob money?", "Does Bob owe Anna money?", "order"),
        ("How do I get from Oslo to Rome?", "What is the best way of travelling to Oslo from Rome?", "order"),
        ("Where is hall B in your building?", "How can I find hall A?", "names"),
        ("How do I stop the night shift early?", "What must I do to start a shift at night?", "polarity"),
        ("How do I pause my subscription?", "How do I cancel my subscription?", "polarity"),
        ("How do I print my ticket?", "How do I sell my ticket?", "wording"),
        ("Who founded the company?", "When was the company founded?", "question"),
        ("Do all of our guests have to show their passport?", "May guests show a passport to you?", "question: "),
        ("I found my lost card again, and now?", "I lost my card, what am I to do?", "polarity: only one says found"),
        ("How do I close a reopened case?", "Is there a way to reopen a case that was closed?", "order: close what is"),
        ("Who was the first to climb that mountain alone?", "When did anybody first climb up there solo?", "question"),
        ("What do I owe if I resign after probation?", "Notice to give before probation is over?", "polarity"),
        ("Is business class allowed on flights under 6 hours?", "Who flies business over six hours?", "numbers: under"),
    ],
)
def test_a_difference_that_is_never_served_stays_improbable_and_is_named(
    verifier: Verifier, query: str, stored: str, why: str
) -> None:
    verdict = verifier.check(query, Candidate("", stored, 0.99))
    assert verdict.p_reusable is not None
    assert verdict.p_reusable <= MOST_VETOED
    assert verdict.why.startswith(why)


@pytest.mark.parametrize(
    ("query", "stored"),
    [
        ("Where can I find a good plumber?", "Who is a good plumber around here?"),
        ("When and why did they close that old bridge to cars?", "Why is the bridge no longer open for any traffic?"),
        ("How many years must I live here before I may vote?", "After how many years here may I vote?"),
    ],
)
def test_what_may_be_asked_in_two_ways_is_held_against_nobody(verifier: Verifier, query: str, stored: str) -> None:
    assert not verifier.check(query, Candidate("", stored, 0.9)).why.startswith(("question: w", "polarity: before"))


def test_no_edit_that_asks_something_else_is_found_reusable_either_way(verifier: Verifier) -> None:
    edits = [row for row in map(json.loads, REDTEAM.read_text(encoding="utf-8").splitlines()) if not row["same"]]
    texts = [row[side] for side in "ab" for row in edits]
    vectors = OnnxEmbedder().embed(texts)
    similarities = (vectors[: len(edits)] * vectors[len(edits) :]).sum(axis=1).clip(0, 1).tolist()
    served = [
        (one, other)
        for row, similarity in zip(edits, similarities, strict=True)
        for one, other in ((row["a"], row["b"]), (row["b"], row["a"]))
        if p_of(verifier, one, other, similarity) >= LEAST_P
    ]
    assert served == []


def test_several_candidates_get_what_each_gets_alone(verifier: Verifier) -> None:
    query = "How do I change the address of my order?"
    candidates = [
        Candidate("1", "How can I change the address of an order?", 0.96),
        Candidate("2", "x" * 5_000, 0.9),
        Candidate("3", "What is the address of the shop?", 0.6),
        Candidate("4", "How do I change order 12?", 0.8),
    ]
    alone = [verifier.check(query, candidate).p_reusable for candidate in candidates]
    assert verifier.probabilities(query, candidates) == [0.0 if p is None else pytest.approx(p) for p in alone]
    assert verifier.probabilities(query, []) == []


def test_it_says_the_same_whichever_question_is_stored(verifier: Verifier) -> None:
    one, other = "How do I cook rice for two people?", "What is a good way of cooking rice?"
    assert p_of(verifier, one, other, 0.9) == pytest.approx(p_of(verifier, other, one, 0.9))


def test_more_similarity_is_never_less_reusable(verifier: Verifier) -> None:
    one, other = "How do I get a refund for shoes?", "Can I have my money back for a pair of shoes?"
    found = [p_of(verifier, one, other, similarity / 100) for similarity in range(0, 101, 5)]
    assert found == sorted(found)


@pytest.mark.parametrize("similarity", [math.nan, math.inf, -0.1, 1.1])
def test_a_similarity_that_is_none_cannot_be_judged(verifier: Verifier, similarity: float) -> None:
    verdict = verifier.check("one question", Candidate("", "another question", similarity))
    assert (verdict.passed, verdict.p_reusable) == (False, None)
    assert repr(similarity) in verdict.why


def test_texts_that_are_too_long_cannot_be_judged(verifier: Verifier) -> None:
    for query, stored in (("word " * 1_000, "word"), ("word", "a b " * 400), ("a b " * 400, "word")):
        verdict = verifier.check(query, Candidate("", stored, 0.9))
        assert (verdict.passed, verdict.p_reusable, verdict.why) == (False, None, "too long to compare")


@pytest.mark.parametrize("text", ["", "?", "n't", "Is it? n't", "日本の首都はどこですか", "🤷", "\ud800"])
def test_strange_texts_are_judged_without_a_failure(verifier: Verifier, text: str) -> None:
    p = p_of(verifier, text, "Where is the capital of Japan?", 0.5)
    assert 0.0 <= p < LEAST_P


def test_other_scripts_share_an_answer_only_word_for_word(verifier: Verifier) -> None:
    assert p_of(verifier, "日本の首都はどこですか", "日本の人口はどれくらいですか", 0.99) <= MOST_VETOED


def test_similarities_of_another_embedder_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"embedder onnx-.*come from other:.*semroute verifier train"):
        Verifier.load(embedder="other")


def test_a_card_that_does_not_match_its_coefficients_is_refused(tmp_path: Path) -> None:
    changed = told()
    changed["coefficients"]["intercept"] += 0.5
    with pytest.raises(ConfigError, match=r"the card was written for coefficients \w+, and these are"):
        Verifier.load(saved(tmp_path, changed))


def test_a_file_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has the format 2, and this version reads format 1"):
        Verifier.load(saved(tmp_path, {**told(), "format": 2}))


def edited(part: str, value: object) -> dict[str, Any]:
    """Return the shipped file with one part changed, under a card that matches."""
    content = told()
    inside = content["coefficients"]
    *path, last = part.split(".")
    for name in path:
        inside = inside[name]
    inside[last] = value
    content["card"]["coefficients"] = digest_of(content["coefficients"])
    return content


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("features", ["similarity", "n_emojis"], "features that this version does not know"),
        ("features", ["similarity"], "features that it does not list"),
        ("embedder", None, "damaged"),
        ("words", 3, "damaged"),
        ("intercept", "high", "damaged"),
        ("trees.depth", 3, "damaged"),
        ("trees.depth", 400, "damaged"),
        ("trees.values", [[0.0]], "damaged"),
        ("trees", [], "damaged"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, part: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Verifier.load(saved(tmp_path, edited(part, value)))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "card": {}, "coefficients": NaN}'])
def test_what_is_no_verifier_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "verifier.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"verifier\.json"):
        Verifier.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Verifier.load(tmp_path / "none.json")


def test_the_card_says_which_data_it_rests_on_and_holds_none_of_it(verifier: Verifier) -> None:
    data = verifier.card["data"]
    assert isinstance(data, list)
    for one in data:
        assert isinstance(one, dict)
        assert {"set", "pairs", "positives", "weight", "source", "licence"} == one.keys()
    assert "non-commercial" in str(verifier.card["licence_limits"])


def test_the_page_of_the_card_is_that_of_these_coefficients(verifier: Verifier) -> None:
    page = SHIPPED.with_name("verifier_card.md").read_text(encoding="utf-8")
    assert f"`{verifier.digest}`" in page
