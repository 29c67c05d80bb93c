"""The same words after other earlier turns."""

from __future__ import annotations

import pytest

from semroute.errors import ConfigError
from semroute.evaluation.conversations import (
    ConversationFigures,
    Turn,
    TurnPair,
    evaluate_turn_pairs,
    evaluate_turns,
    turn_pairs_of,
    turns_of,
)
from semroute.gate import Policy
from semroute.request import Request
from semroute.testing.embedders import HashEmbedder

CASTLES = ["Tell me about castles.", "They are old."]
BRIDGES = ["Tell me about bridges.", "They are long."]
WORDS = "Which of these is the largest?"


def turn(history: list[str], answer_class: str, words: str = WORDS) -> Turn:
    rows = [{"history": list(history), "query": words, "answer_class": answer_class}]
    return turns_of(rows, history="history", query="query", answer_class="answer_class")[0]


def test_the_same_words_after_other_turns_are_not_served() -> None:
    figures = evaluate_turns([turn(CASTLES, "castles"), turn(BRIDGES, "bridges")], HashEmbedder(), Policy())
    assert figures == ConversationFigures(n=2, reusable=0, hits=0, false_hits=0, bypasses=0, stored=2)


def test_the_same_words_after_the_same_turns_are_a_hit() -> None:
    figures = evaluate_turns([turn(CASTLES, "castles"), turn(CASTLES, "castles")], HashEmbedder(), Policy())
    assert figures == ConversationFigures(n=2, reusable=1, hits=1, false_hits=0, bypasses=0, stored=1)


def test_a_hit_on_another_class_is_a_false_hit() -> None:
    figures = evaluate_turns([turn(CASTLES, "one"), turn(CASTLES, "two")], HashEmbedder(), Policy())
    assert (figures.hits, figures.false_hits, figures.reusable) == (0, 1, 0)


def test_a_turn_about_this_moment_is_counted_as_a_bypass() -> None:
    words = "What is the weather right now?"
    figures = evaluate_turns([turn(CASTLES, "now", words)], HashEmbedder(), Policy())
    assert (figures.bypasses, figures.stored) == (1, 0)


def test_a_pair_of_turns_is_served_within_its_context_only() -> None:
    castles, bridges = Request.of(WORDS, history=[]), Request.of(WORDS, system="Speak of bridges.")
    pairs = [TurnPair(castles, bridges, is_positive=False), TurnPair(castles, castles, is_positive=True)]
    figures = evaluate_turn_pairs(pairs, HashEmbedder(), Policy())
    assert figures == ConversationFigures(n=2, reusable=1, hits=1, false_hits=0, bypasses=0, stored=2)


def test_a_hit_on_a_pair_that_must_not_be_served_is_a_false_hit() -> None:
    request = Request.of(WORDS)
    figures = evaluate_turn_pairs([TurnPair(request, request, is_positive=False)], HashEmbedder(), Policy())
    assert (figures.hits, figures.false_hits) == (0, 1)


def test_earlier_turns_may_be_texts_or_roles_with_contents() -> None:
    rows = [
        {"history": ["Hello", "Hi"], "query": "How?", "answer_class": "a"},
        {
            "history": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}],
            "query": "How?",
            "answer_class": "a",
        },
    ]
    first, second = turns_of(rows, history="history", query="query", answer_class="answer_class")
    assert first.request == second.request


def test_tenant_and_system_prompt_are_taken_along_where_they_stand() -> None:
    row = {"history": [], "query": "How?", "answer_class": "a", "tenant": "acme", "system": "Be brief."}
    (taken,) = turns_of([row], history="history", query="query", answer_class="answer_class")
    assert taken.request.scope.tenant == "acme"
    assert taken.request.system == "Be brief."


@pytest.mark.parametrize("history", ["a text", [1], [{"role": "user"}]])
def test_a_history_of_another_form_is_refused(history: str | list[int] | list[dict[str, str]]) -> None:
    row = {"history": history, "query": "How?", "answer_class": "a"}
    with pytest.raises(ConfigError, match="column history"):
        turns_of([row], history="history", query="query", answer_class="answer_class")


def test_pairs_name_turns_of_another_file_and_must_not_hit_without_a_label() -> None:
    turns = [{"id": "a", "history": [], "utterance": "How?"}, {"id": "b", "history": ["x", "y"], "utterance": "How?"}]
    rows = [{"id_a": "a", "id_b": "b"}, {"id_a": "a", "id_b": "a", "label": "1"}]
    first, second = turn_pairs_of(rows, turns, history="history", query="utterance")
    assert first.stored.context != first.asked.context
    assert (first.is_positive, second.is_positive) == (False, True)
    with pytest.raises(ConfigError, match="no turn has the id 'c'"):
        turn_pairs_of([{"id_a": "c", "id_b": "a"}], turns, history="history", query="utterance")
