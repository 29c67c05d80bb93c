"""Fitting the router's heads: what they learn, how honestly they are measured, and what is refused."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from semroute.errors import ConfigError, MissingExtra
from semroute.router._heads import load
from semroute.router.decision import Complexity
from semroute.testing.embedders import HashEmbedder
from semroute.tuning._head_fitting import auc, f1, figures_of, p_of
from semroute.tuning.router_heads import (
    MIN_OF_A_CLASS,
    MIN_ROWS,
    FittedHeads,
    LabelledPrompt,
    fit_heads,
    labelled_prompts,
)

EMBEDDER = HashEmbedder(32)
KINDS: dict[str, dict[str, Any]] = {
    "castle": {"staleness": "timeless", "intent": "retrieval", "complexity": "low"},
    "tariff": {"staleness": "slow", "intent": "retrieval", "complexity": "medium"},
    "ranking": {"staleness": "daily", "intent": "analysis", "complexity": "high"},
    "ticker": {"staleness": "realtime", "intent": "retrieval", "complexity": "low"},
    "chum": {"intent": "chat", "complexity": "low"},
    "crash": {"intent": "error", "complexity": "high"},
}
"""A word of a prompt, and what it says of the prompt."""
PLACES = ("north", "south", "east", "west", "upper", "lower", "inner", "outer")


def rows(n: int, words: Sequence[str] = tuple(KINDS), seed: int = 0) -> list[dict[str, Any]]:
    """Return prompts that say one of the words, with the labels it stands for."""
    chance = random.Random(seed)
    found = []
    for number in range(n):
        word = words[number % len(words)]
        found.append({"prompt": f"Tell of the {chance.choice(PLACES)} {word} {seed}{number}", **KINDS[word]})
    return found


def lasting(n: int, seed: int = 0) -> list[LabelledPrompt]:
    """Return prompts with a staleness, none of them realtime, and nothing else."""
    return [
        LabelledPrompt(one["prompt"], staleness=one["staleness"])
        for one in rows(n, ("castle", "tariff", "ranking"), seed)
    ]


@pytest.fixture(scope="module")
def fitted() -> FittedHeads:
    return fit_heads(labelled_prompts(rows(360)), EMBEDDER)


def predicted(fitted: FittedHeads, text: str) -> Any:
    heads = load(json.loads(json.dumps(fitted.told)), embedder=EMBEDDER.identity)
    return heads.predict(EMBEDDER.embed([text])[0], text)


@pytest.mark.parametrize("word", KINDS)
def test_what_was_taught_is_predicted_of_new_prompts(fitted: FittedHeads, word: str) -> None:
    said = predicted(fitted, f"Tell of the hidden {word} 99999")
    assert {"staleness": said.staleness, "intent": said.intent, "complexity": said.complexity} == {
        "staleness": said.staleness,
        **KINDS[word],
    }


def test_every_head_is_measured_on_prompts_that_its_fit_did_not_see(fitted: FittedHeads) -> None:
    assert list(fitted.figures) == ["staleness", "realtime", "intent", "complexity"]
    for name, figures in fitted.figures.items():
        assert figures["rows"] == len(fitted.out_of_fold[name].rows)
        assert figures["macro_f1"] > 0.9
        assert figures["ece"] < 0.2
    assert fitted.figures["realtime"]["auc"] > 0.99


def test_labels_that_mean_nothing_are_not_learnt_out_of_fold() -> None:
    chance = random.Random(3)
    prompts = [LabelledPrompt(one["prompt"], complexity=chance.choice(get_args(Complexity))) for one in rows(300)]
    figures = fit_heads(prompts, EMBEDDER).figures["complexity"]
    assert figures["accuracy"] < 0.5
    assert figures["ece"] < 0.15


def test_the_same_words_never_stand_on_both_sides() -> None:
    # Each prompt four times, labelled at random: a fit that had seen it would know its label.
    chance = random.Random(4)
    once = [(f"{one['prompt']} {n}", chance.choice(get_args(Complexity))) for n, one in enumerate(rows(150))]
    prompts = [LabelledPrompt(text + mark, complexity=label) for text, label in once for mark in ("", "!", "?", " ")]
    assert fit_heads(prompts, HashEmbedder(256)).figures["complexity"]["accuracy"] < 0.5


def test_only_the_fields_that_have_labels_get_a_head() -> None:
    prompts = [replace(one, intent=None, staleness=None) for one in labelled_prompts(rows(120))]
    assert list(fit_heads(prompts, EMBEDDER).figures) == ["complexity"]


def test_without_a_perishable_row_no_head_can_bypass_the_cache() -> None:
    found = fit_heads(lasting(150), EMBEDDER, seed=1)
    assert list(found.figures) == ["staleness"]


def test_what_changes_is_learnt_first_with_its_phrases_and_staleness_builds_on_it() -> None:
    changing = [
        LabelledPrompt(one["prompt"], changes=one["staleness"] != "timeless")
        for one in rows(240, ("castle", "tariff", "ranking"), seed=2)
    ]
    told: Any = fit_heads(changing + lasting(150, seed=3), EMBEDDER).told
    first, second = told["heads"]
    assert (first["name"], second["name"]) == ("changes", "staleness")
    assert {"castle", "tariff", "ranking"} <= set(told["phrases"])
    assert (
        first["phrases"][0][told["phrases"].index("castle")] < 0 < first["phrases"][0][told["phrases"].index("tariff")]
    )
    assert second["earlier"]["changes"][0][0] < 0
    assert second["phrases"] is None


def test_no_phrase_of_a_single_prompt_is_written_down() -> None:
    secret = "my password is swordfish"
    prompts = [
        LabelledPrompt(f"{one['prompt']}", changes=one["staleness"] != "timeless")
        for one in rows(200, ("castle", "tariff"))
    ]
    told = fit_heads([*prompts, LabelledPrompt(secret, changes=True)], EMBEDDER).told
    assert "swordfish" not in json.dumps(told)


def test_a_class_that_must_be_found_gets_a_threshold_and_one_to_be_sure_of_a_high_one(fitted: FittedHeads) -> None:
    told: Any = fitted.told
    at_least = {head["name"]: head["at_least"] for head in told["heads"]}
    assert 0.0 < at_least["staleness"]["daily"] < 1.0
    assert 0.8 <= at_least["realtime"]["yes"] < 1.0
    assert 0.8 <= at_least["intent"]["error"] < 1.0
    assert at_least["complexity"] == {}


def test_rows_that_count_less_teach_but_do_not_calibrate() -> None:
    fully = lasting(150)
    other = [replace(one, weight=0.5) for one in lasting(300, seed=7)]
    # Most of the further rows are daily: a calibration on them would expect as much of the others.
    skewed = [one for place, one in enumerate(other) if one.staleness == "daily" or place % 5 == 0]
    found = fit_heads(fully + skewed, EMBEDDER).out_of_fold["staleness"]
    p = found.p[found.rows < len(fully)]
    assert float(p[:, 2].mean()) == pytest.approx(1 / 3, abs=0.05)


def test_prompts_that_have_no_vector_are_left_out_and_the_others_keep_their_places() -> None:
    long = LabelledPrompt("word " * 300, complexity="low")
    found = fit_heads([long, *labelled_prompts(rows(150))], EMBEDDER).out_of_fold["complexity"]
    assert found.rows.tolist() == list(range(1, 151))


def test_of_too_many_prompts_as_many_as_are_needed_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semroute.tuning.router_heads.MAX_ROWS", 200)
    assert fit_heads(labelled_prompts(rows(360)), EMBEDDER).figures["complexity"]["rows"] == 200


def test_one_seed_gives_the_same_heads_twice() -> None:
    prompts = [replace(one, intent=None, staleness=None) for one in labelled_prompts(rows(120))]
    assert fit_heads(prompts, EMBEDDER, seed=3).told == fit_heads(prompts, EMBEDDER, seed=3).told


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
    with pytest.raises(MissingExtra, match="evals"):
        fit_heads(labelled_prompts(rows(360)), EMBEDDER)


def test_ten_rows_are_too_few_and_it_says_how_many_are_needed() -> None:
    with pytest.raises(ConfigError, match=f"10 different prompts are too few: training needs at least {MIN_ROWS}"):
        fit_heads([LabelledPrompt(one["prompt"], complexity="low") for one in rows(10)], EMBEDDER)


def test_the_same_prompt_a_hundred_times_is_one_prompt() -> None:
    with pytest.raises(ConfigError, match="1 different prompts are too few"):
        fit_heads([LabelledPrompt("Tell of the castle", complexity="low")] * 150, EMBEDDER)


def test_a_file_of_one_class_is_refused_with_what_is_missing() -> None:
    with pytest.raises(
        ConfigError, match=rf"at least {MIN_OF_A_CLASS} .* 0 of 'medium', 0 of 'high'; add some, or leave"
    ):
        fit_heads([LabelledPrompt(one["prompt"], complexity="low") for one in rows(150)], EMBEDDER)


def test_rows_without_any_label_are_refused_with_the_columns_that_would_do() -> None:
    with pytest.raises(ConfigError, match="intent, complexity, staleness"):
        fit_heads(labelled_prompts([{"prompt": one["prompt"]} for one in rows(150)]), EMBEDDER)


def test_rows_are_read_with_all_that_they_say() -> None:
    row = {
        "prompt": "who?",
        "intent": "chat",
        "staleness": None,
        "changes": 1,
        "realtime": "0",
        "weight": 0.5,
        "source": "log",
    }
    assert labelled_prompts([row]) == [
        LabelledPrompt("who?", intent="chat", changes=True, realtime=False, weight=0.5, source="log")
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "who?"}, r"row 2: there is no column prompt; there are text"),
        ({"prompt": "  ", "intent": "chat"}, r"row 2: the prompt is empty"),
        ({"prompt": ["who?"], "intent": "chat"}, r"row 2: column prompt must hold text"),
        (
            {"prompt": "who?", "intent": "gossip"},
            r"row 2: intent must be one of retrieval, chat, analysis, error, not 'gossip'",
        ),
        ({"prompt": "who?", "complexity": 2}, r"row 2: complexity must be one of low, medium, high, not 2"),
        ({"prompt": "who?", "complexity": ["low"]}, r"row 2: complexity must be one of"),
        ({"prompt": "who?", "staleness": "weekly"}, r"row 2: staleness must be one of"),
        ({"prompt": "who?", "changes": "perhaps"}, r"row 2: column changes must hold labels"),
        ({"prompt": "who?", "weight": 0}, r"row 2: weight must be a number above 0"),
        ({"prompt": "who?", "weight": "nan"}, r"row 2: weight must be a number above 0"),
        ({"prompt": "who?", "weight": True}, r"row 2: weight must be a number above 0"),
        ({"prompt": "who?", "weight": "much"}, r"row 2: weight must be a number above 0"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_number(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        labelled_prompts([{"prompt": "when?", "intent": "chat"}, row])


def test_figures_are_those_of_the_definition() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    figures = figures_of(p, np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0]))
    assert (figures["rows"], figures["accuracy"], figures["macro_f1"], figures["auc"]) == (4, 0.5, 0.5, 0.75)
    assert figures["ece"] == pytest.approx((0.1 + 0.2 + 0.6 + 0.7) / 4)


def test_f1_and_auc_of_nothing_are_no_errors() -> None:
    nothing = np.zeros(0, np.intp)
    assert f1(nothing, nothing, 1) == 0.0
    assert auc(np.array([0.5]), np.array([True])) == 0.0


def test_two_classes_have_one_log_odds_and_more_have_one_each() -> None:
    assert p_of(np.array([[0.0]])).tolist() == [[0.5, 0.5]]
    assert p_of(np.array([[0.0, 0.0, 0.0, 0.0]])).tolist() == [[0.25] * 4]
