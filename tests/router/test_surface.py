"""What the heads see of a text beside its vector."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.router._surface import CUES, FEATURES, MEASURES, looked_at, measures, phrases
from semroute.router.rules import decide


def measured(text: str) -> dict[str, float]:
    return dict(zip(MEASURES, measures(looked_at(text), len(text), decide(text)), strict=True))


def test_no_feature_has_the_name_of_another() -> None:
    assert len(set(FEATURES)) == len(FEATURES)


def test_phrases_are_the_words_and_what_two_and_three_of_them_say_together() -> None:
    assert list(phrases("Who's the current Pope?")) == [
        *("who's", "the", "current", "pope"),
        *("who's the", "the current", "current pope"),
        *("who's the current", "the current pope"),
    ]


def test_a_curly_apostrophe_is_an_apostrophe() -> None:
    assert list(phrases("who’s")) == list(phrases("who's"))


@pytest.mark.parametrize("cue", CUES)
def test_every_cue_is_found_in_a_text_that_says_it(cue: str) -> None:
    assert cue in set(phrases(f"Well, {cue.upper()} then"))


@pytest.mark.parametrize(
    ("feature", "with_it", "without_it"),
    [
        ("questions", "Who? And when?", "Who?"),
        ("names", "when did Marie Curie die", "when did she die"),
        ("digits", "what is 17 + 4", "what is a sum"),
        ("lines", "first\nsecond", "first second"),
        ("code", "x = f(a[0]);", "x is f of a"),
        ("trace", "ValueError: exit code 3", "it was wrong"),
        ("trace", "it raised a KeyError", "it was wrong"),
        ("has_year", "who won in 1998", "who won in the end"),
        ("opens_lower", "who won", "Who won"),
        ("ends_asking", "who won? ", "tell me who won"),
        ("words", "one two three", "one"),
        ("rules_realtime", "what's the weather in Oslo right now", "how old is Oslo's castle"),
        ("rules_analysis", "compare oak and pine", "what is oak"),
    ],
)
def test_a_measure_rises_with_what_it_measures(feature: str, with_it: str, without_it: str) -> None:
    assert measured(with_it)[feature] > measured(without_it)[feature]


@given(st.text(max_size=3_000))
def test_every_measure_of_any_text_is_a_small_number(text: str) -> None:
    assert all(0.0 <= one <= 2.0 for one in measured(text).values())


def test_of_a_long_text_only_the_opening_and_the_end_are_looked_at() -> None:
    text = "start " + "x " * 50_000 + "finish"
    seen = looked_at(text)
    assert len(seen) < 1_000
    assert seen.startswith("start")
    assert seen.endswith("finish")
    assert measured(text)["words"] > measured(seen)["words"]
