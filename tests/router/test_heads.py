"""The learned heads: what they predict, what they leave to the rules, and which files they refuse."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError, RouterError
from semroute.router._heads import CLASSES, Head, Heads, chosen, load, n_outputs, probabilities, written
from semroute.router._surface import FEATURES
from semroute.router.rules import decide

N = 4
EMBEDDER = "hash-4-0"
HARMLESS = "Tell us of the castle"
"""The rules call it timeless, a retrieval of low complexity."""


def head(name: str, intercept: tuple[float, ...], **other: Any) -> Head:
    n = n_outputs(name)
    return Head(
        **{
            "name": name,
            "intercept": np.array(intercept),
            "vector": np.zeros((n, N)),
            "surface": np.zeros((n, len(FEATURES))),
            "phrases": None,
            "shift": np.zeros(n),
        }
        | other
    )


def heads(*several: Head, known: tuple[str, ...] = ()) -> Heads:
    return Heads(EMBEDDER, known, several)


def vector(*numbers: float) -> np.ndarray:
    return np.array(numbers if numbers else (1.0, 0.0, 0.0, 0.0), np.float32)


STALENESS = head("staleness", (3.0, 0.0, 0.0))


def test_without_a_head_for_a_field_the_rules_decide_it() -> None:
    said = heads(head("complexity", (0.0, 0.0, 5.0))).predict(vector(), HARMLESS)
    rules = decide(HARMLESS)
    assert (said.intent, said.complexity, said.staleness) == (rules.intent, "high", rules.staleness)
    assert said.learned == {"complexity"}
    assert said.rules == rules


def test_the_log_odds_are_linear_in_vector_surface_and_phrases() -> None:
    surface = np.zeros((1, len(FEATURES)))
    surface[0, FEATURES.index("who")] = 0.5
    one = head(
        "changes",
        (0.25,),
        vector=np.array([[1.0, 2.0, 0.0, 0.0]]),
        surface=surface,
        phrases=np.array([[3.0, 7.0, 5.0]]),
    )
    said = heads(one, known=("the pope", "a stone", "pope")).predict(
        vector(0.5, 0.25, 0, 0), "Who met the Pope? The Pope"
    )
    log_odds = 0.25 + 0.5 + 0.5 + 0.5 + (3.0 + 5.0) / 2**0.5
    assert said.probabilities["changes"]["yes"] == pytest.approx(1 / (1 + exp(-log_odds)), rel=1e-5)


def test_a_head_builds_on_the_calibrated_log_odds_of_an_earlier_one() -> None:
    changes = head("changes", (0.5,), scale=2.0, shift=np.array([1.0]))
    later = head("staleness", (0.0, 0.0, 0.0), earlier={"changes": np.array([[-1.0], [0.5], [0.5]])})
    said = heads(changes, later).predict(vector(), HARMLESS)
    assert said.probabilities["changes"]["yes"] == pytest.approx(1 / (1 + exp(-2.0)))
    assert list(said.probabilities["staleness"].values()) == pytest.approx(probabilities((-2.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    ("text", "learned", "kept"),
    [
        (HARMLESS, "timeless", "timeless"),
        (HARMLESS, "slow", "slow"),
        (HARMLESS, "daily", "daily"),
        ("Which city is the most populous?", "timeless", "slow"),
        ("What did they announce recently?", "slow", "daily"),
        ("What is the weather in Oslo right now?", "timeless", "realtime"),
    ],
)
def test_of_two_opinions_on_staleness_the_shorter_life_wins(text: str, learned: str, kept: str) -> None:
    odds = tuple(5.0 if one == learned else 0.0 for one in CLASSES["staleness"])
    said = heads(head("staleness", odds)).predict(vector(), text)
    assert said.staleness == kept
    assert ("staleness" in said.learned) == (said.staleness != said.rules.staleness)


@given(st.lists(st.floats(-20, 20), min_size=5, max_size=5), st.sampled_from([HARMLESS, "What is the latest score?"]))
def test_no_heads_ever_give_an_answer_a_longer_life_than_the_rules(odds: list[float], text: str) -> None:
    lives = ("realtime", "daily", "slow", "timeless")
    several = heads(head("staleness", tuple(odds[:3])), head("realtime", (odds[3],), at_least={"yes": 0.9}))
    assert lives.index(several.predict(vector(), text).staleness) <= lives.index(decide(text).staleness)


@pytest.mark.parametrize(("log_odds", "staleness"), [(2.0, "timeless"), (2.3, "realtime")])
def test_the_cache_is_bypassed_only_by_a_head_that_is_sure(log_odds: float, staleness: str) -> None:
    sure = head("realtime", (log_odds,), at_least={"yes": 0.9})
    assert heads(STALENESS, sure).predict(vector(), HARMLESS).staleness == staleness


def test_an_error_to_the_rules_stays_one_whatever_a_head_says() -> None:
    text = "ValueError: could not convert string to float"
    said = heads(head("intent", (0.0, 9.0, 0.0, 0.0))).predict(vector(), text)
    assert said.intent == "error"
    assert said.probabilities["intent"]["chat"] > 0.9


def test_a_class_with_a_least_probability_is_chosen_from_there_on_and_only_then() -> None:
    p = {"timeless": 0.5, "slow": 0.27, "daily": 0.23}
    assert chosen(p, {"daily": 0.2}) == "daily"
    assert chosen(p, {"daily": 0.3}) == "timeless"
    assert chosen({"timeless": 0.1, "slow": 0.2, "daily": 0.7}, {"daily": 0.8}) == "slow"


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=4))
def test_probabilities_of_any_log_odds_add_up_to_one(log_odds: list[float]) -> None:
    assert sum(probabilities(log_odds)) == pytest.approx(1.0)


@pytest.mark.parametrize("numbers", [(1.0, 2.0), (float("nan"), 0, 0, 0), (float("inf"), 0, 0, 0)])
def test_a_vector_that_cannot_be_judged_is_an_error_of_the_router(numbers: tuple[float, ...]) -> None:
    one = head("changes", (0.0,), vector=np.ones((1, N)))
    with pytest.raises(RouterError, match="heads"):
        heads(one).predict(vector(*numbers), HARMLESS)


def test_what_is_written_predicts_the_same_when_it_is_read_again() -> None:
    rng = np.random.default_rng(5)
    several = heads(
        head("changes", (0.1,), vector=rng.normal(size=(1, N)), phrases=rng.normal(size=(1, 2)), scale=0.7),
        head("staleness", (0.1, 0.2, 0.3), earlier={"changes": rng.normal(size=(3, 1))}, at_least={"daily": 0.2}),
        head("intent", (0.0, 1.0, 2.0, 3.0), surface=rng.normal(size=(4, len(FEATURES)))),
        known=("who", "the castle"),
    )
    again = load(json.loads(json.dumps(written(several))), embedder=EMBEDDER)
    text = "Who built the castle?"
    assert again.predict(vector(1, 2, 3, 4), text) == several.predict(vector(1, 2, 3, 4), text)
    assert again.names == ("changes", "staleness", "intent")
    assert "changes, staleness, intent" in repr(again)


def test_features_in_another_order_are_put_in_theirs() -> None:
    surface = np.zeros((1, len(FEATURES)))
    surface[0, FEATURES.index("who")] = 4.0
    told: Any = written(heads(head("changes", (0.0,), surface=surface)))
    told["features"] = told["features"][::-1]
    told["heads"][0]["surface"][0] = told["heads"][0]["surface"][0][::-1]
    assert load(told, embedder=None).predict(vector(), "who").probabilities["changes"]["yes"] > 0.95


def test_heads_of_another_embedder_are_refused_with_both_names() -> None:
    with pytest.raises(ConfigError, match=r"hash-4-0.*other-model"):
        load(written(heads(STALENESS)), embedder="other-model")


@pytest.mark.parametrize("version", [None, 0, 2, "1"])
def test_heads_of_another_version_are_refused(version: object) -> None:
    told: Any = written(heads(STALENESS))
    told["version"] = version
    with pytest.raises(ConfigError, match="version 1: train it again"):
        load(told, embedder=EMBEDDER)


def _set(*path: Any) -> Callable[[Any], None]:
    *way, last, value = path

    def change(told: Any) -> None:
        for step in way:
            told = told[step]
        told[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("embedder", 3),
        _set("features", 0, "mood"),
        _set("phrases", None),
        _set("heads", []),
        _set("heads", 0, "name", "mood"),
        _set("heads", 0, "classes", ["timeless", "slow"]),
        _set("heads", 0, "intercept", [0.0]),
        _set("heads", 0, "vector", []),
        _set("heads", 0, "vector", 0, [1.0, 2.0]),
        _set("heads", 0, "vector", [[], [], []]),
        _set("heads", 0, "vector", 0, 0, float("nan")),
        _set("heads", 0, "surface", 0, 0, "much"),
        _set("heads", 0, "calibration", "scale", None),
        _set("heads", 0, "calibration", "shift", [0.0]),
        _set("heads", 0, "earlier", {"changes": [[1.0], [1.0], [1.0]]}),
        _set("heads", 0, "at_least", {"weekly": 0.5}),
        _set("heads", 0, "at_least", {"timeless": 0.5, "slow": 0.5, "daily": 0.5}),
        _set("heads", 0, "phrases", [[1.0], [1.0], [1.0]]),
        lambda told: told["heads"].append(copy.deepcopy(told["heads"][0])),
        lambda told: told["heads"][0].pop("surface"),
        lambda told: told.pop("heads"),
        _set("heads", 7),
    ],
)
def test_damaged_heads_are_refused_with_what_to_do(change: Callable[[Any], None]) -> None:
    told: Any = json.loads(json.dumps(written(heads(STALENESS))))
    change(told)
    with pytest.raises(ConfigError, match="train it again"):
        load(told, embedder=None if told.get("embedder") == 3 else EMBEDDER)
