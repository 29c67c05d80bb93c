"""Predicting which tiers are good enough: kinds of prompts, bad input, and files that are damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError, RouterError
from semroute.router._prompt_features import FEATURES, asked_part, features_of
from semroute.router._tiers import EXPERTS, Expert, TierPredictor, Topics

DIMENSIONS = 8
RNG = np.random.default_rng(0)
SUM = "Anna has 3 apples and buys twice as many on Monday. How many apples does she have in total?"
CHOICES = "Which planet is the largest?\nA. Mars\nB. Jupiter\nC. Venus\nD. 12\nAnswer:"


def expert(name: str, intercept: float = 0.0) -> Expert:
    n = len(FEATURES)
    needs_vector = name == "general"
    return Expert(
        mean=RNG.normal(size=n).round(3),
        scale=RNG.uniform(0.5, 2, n).round(3),
        intercept=np.array([intercept, intercept + 1]),
        surface=0.1 * RNG.normal(size=(n, 2)).round(3),
        vectors=RNG.normal(size=(DIMENSIONS, 2)).round(3) if needs_vector else None,
        topics=Topics(RNG.integers(-127, 128, (3, DIMENSIONS)).astype(np.int8), 0.004, RNG.normal(size=(3, 2)).round(3))
        if needs_vector
        else None,
    )


@pytest.fixture
def predictor() -> TierPredictor:
    return TierPredictor("an embedder", ("weak", "strong"), {name: expert(name) for name in EXPERTS})


def vector() -> Any:
    found = RNG.normal(size=DIMENSIONS)
    return (found / np.linalg.norm(found)).astype(np.float32)


def test_one_prompt_at_a_time_is_judged_as_many_at_once(predictor: TierPredictor) -> None:
    one = vector()
    features = np.array(features_of(CHOICES)[0])
    log_odds = predictor.experts["general"].log_odds(features, one)
    assert predictor.predict(one, CHOICES) == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-6)


def test_the_kind_of_prompt_and_whether_it_has_a_vector_choose_the_expert(predictor: TierPredictor) -> None:
    by_expert = {
        name: 1 / (1 + np.exp(-predictor.experts[name].log_odds(np.array(features_of(text)[0]), None)))
        for name, text in (("general_text", CHOICES), ("sum", SUM))
    }
    assert predictor.predict(None, CHOICES) == pytest.approx(by_expert["general_text"])
    assert predictor.predict(vector(), SUM) == pytest.approx(by_expert["sum"])


def test_without_an_expert_for_sums_they_are_prompts_like_others(predictor: TierPredictor) -> None:
    without = TierPredictor(
        "an embedder", predictor.tiers, {name: predictor.experts[name] for name in ("general", "general_text")}
    )
    assert without.expert_of("sum", has_vector=True) == "general"
    assert without.expert_of("sum", has_vector=False) == "general_text"


@given(st.text(max_size=3_000))
def test_any_text_has_finite_features_and_probabilities(text: str) -> None:
    features, kind = features_of(text)
    assert len(features) == len(FEATURES)
    assert np.isfinite(features).all()
    assert kind in ("general", "sum")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\0",
        "٣ و ٤",
        "1" * 500,
        "1,,,2.5.6",
        "A. B. C.",
        "_" * 100_000,
        "A) x B) y " * 20_000,
        "\ud800",
        "¼ ½ ²",
    ],
)
def test_odd_texts_are_judged(predictor: TierPredictor, text: str) -> None:
    p = predictor.predict(None, text)
    assert ((p > 0) & (p < 1)).all()


def test_a_sum_is_a_story_with_amounts_that_asks_for_one() -> None:
    assert features_of(SUM)[1] == "sum"
    assert features_of("Who won the cup in 1998 and who in 2002?")[1] == "general"
    assert features_of("How many moons does Mars have?")[1] == "general"
    assert features_of(f"{SUM} A. 3 B. 6 C. 9")[1] == "general"


def test_choices_are_found_however_they_are_set() -> None:
    places = {name: place for place, name in enumerate(FEATURES)}
    lines, folded, brackets = (
        features_of(text)[0]
        for text in (CHOICES, CHOICES.replace("\n", " "), CHOICES.replace("\n", " ").replace(". ", ") "))
    )
    for name in ("choices", "choice_length", "number_choices"):
        assert lines[places[name]] == pytest.approx(folded[places[name]]) == pytest.approx(brackets[places[name]])
    assert lines[places["choices"]] == 4
    assert lines[places["number_choices"]] == 0.25


@pytest.mark.parametrize(
    ("name", "prompt", "without"),
    [
        ("is_loud", "Which of these is NOT a planet?", "Which of these is a KNOT?"),
        ("no_choice_fits", "A. Mars B. All of the above", "A. Mars, all of it, and the above"),
        ("no_choice_fits", "Mars, Venus, or None OF These", "Mars, Venus, or one of these"),
    ],
)
def test_words_that_make_a_choice_harder_are_found(name: str, prompt: str, without: str) -> None:
    place = FEATURES.index(name)
    assert (features_of(prompt)[0][place], features_of(without)[0][place]) == (1.0, 0.0)


def test_worked_examples_are_told_from_what_is_asked() -> None:
    examples = "Is the sky blue, seen from the ground on a clear day at noon? A) yes B) no Answer: A " * 8
    asked = "Is the grass red? A) yes B) no Answer:"
    assert asked_part(examples + asked) == asked
    assert features_of(examples + asked) == features_of(asked)
    assert asked_part(asked) == asked
    assert asked_part("x" * 1_000) == "x" * 1_000


def test_a_prompt_of_any_length_is_looked_at_in_part() -> None:
    places = {name: place for place, name in enumerate(FEATURES)}
    one, other = (features_of(f"{'Why? ' * 10}{'word ' * n}{SUM}")[0] for n in (10_000, 100_000))
    assert one[places["chars"]] < other[places["chars"]]
    changed = [name for name, place in places.items() if one[place] != other[place]]
    assert set(changed) <= {"chars", "stem"}


def test_a_file_keeps_every_number(predictor: TierPredictor) -> None:
    told = json.loads(json.dumps(predictor.as_json(), allow_nan=False))
    again = TierPredictor.of_json(told, "tiers.json", embedder="an embedder")
    one = vector()
    for text in (SUM, CHOICES):
        for given_vector in (one, None):
            expected = predictor.predict(given_vector, text)
            assert again.predict(given_vector, text) == pytest.approx(expected, rel=1e-12)
    assert again.as_json() == told


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (np.zeros(3, np.float32), r"8 finite numbers, and this one has the shape \(3,\)"),
        (np.full(DIMENSIONS, np.nan, np.float32), "not finite"),
        (np.full(DIMENSIONS, np.inf, np.float32), "not finite"),
        (np.zeros((1, DIMENSIONS), np.float32), r"\(1, 8\)"),
    ],
)
def test_a_vector_that_is_none_is_refused(predictor: TierPredictor, wrong: Any, named: str) -> None:
    with pytest.raises(RouterError, match=named):
        predictor.predict(wrong, "Why?")


def test_tiers_of_another_embedder_are_refused(predictor: TierPredictor) -> None:
    with pytest.raises(
        ConfigError, match="fitted on vectors of the embedder an embedder, and would be given those of b"
    ):
        TierPredictor.of_json(predictor.as_json(), "tiers.json", embedder="b")


def _drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda told: told["experts"].pop(name)


def _put(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(told: dict[str, Any]) -> None:
        for key in path[:-1]:
            told = told[key]
        told[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_put(2, "version"), "version 2"),
        (_put(None, "features"), "other features"),
        (_put(["length"], "features"), "other features"),
        (_put(None, "experts"), "damaged"),
        (_put(3, "embedder"), "damaged"),
        (_put(["one"], "tiers"), "2 to 32 different names"),
        (_put(["a", "a"], "tiers"), "2 to 32 different names"),
        (_drop("general"), "with a vector and one for prompts without"),
        (_put([0.0], "experts", "sum", "mean"), "shapes"),
        (_put(["x"], "experts", "sum", "intercept"), "damaged"),
        (_put([float("nan"), 0.0], "experts", "sum", "intercept"), "no numbers"),
        (_put([0.0] * len(FEATURES), "experts", "sum", "scale"), "not above 0"),
        (_put("%%%", "experts", "general", "topics", "int8"), "damaged"),
        (_put(2, "experts", "general", "topics", "n"), "topics of the shapes"),
    ],
)
def test_a_damaged_file_is_refused(
    predictor: TierPredictor, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    told = json.loads(json.dumps(predictor.as_json()))
    change(told)
    with pytest.raises(ConfigError, match=named):
        TierPredictor.of_json(told, "tiers.json")


def test_it_shows_what_it_is(predictor: TierPredictor) -> None:
    assert repr(predictor) == "<TierPredictor of weak, strong for an embedder>"
