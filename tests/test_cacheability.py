"""The rules' first answer: both tiers, the exact tier alone, or neither."""

from __future__ import annotations

import dataclasses
import math

import pytest

from semroute.cacheability import (
    Cacheability,
    CacheabilityLimits,
    Facts,
    judge_cacheability,
    own_state,
    wish_for_a_new_answer,
)
from semroute.errors import ConfigError

QUESTION = "Which colours does the desk lamp come in?"


@pytest.mark.parametrize(
    "question",
    [
        "Where is my order?",
        "hi, could you tell me where my suitcase order is",
        "What's my balance?",
        "Has my refund been processed?",
        "why was I charged twice",
        "Did you get my email?",
        "Track my package",
        "please check my application",
        "When will my parcel arrive?",
        "when can I expect my delivery",
        "Is my account locked?",
        "Am I eligible for the student rate?",
        "how much do I owe",
        "How many points do I have?",
        "any update on my claim?",
        "What is the status of booking 8812?",
        "has the bike I bought been shipped",
        "I ordered a bike. Why hasn't my payment cleared?",
        "What plan am I on?",
        "Is my passport ready?",
        "what is my account number",
        "How much of my allowance is left?",
        "Has my laptop been repaired yet?",
        "Who is my tutor?",
    ],
)
def test_a_question_about_ones_own_state_is_recognised(question: str) -> None:
    assert own_state(question) is not None


@pytest.mark.parametrize(
    "question",
    [
        "How do I reset my password?",
        "Can I change my delivery address?",
        "How long does my refund take?",
        "What should I do if my package is late?",
        "What happens to my points if I close my account?",
        "how can I tell whether my refund was processed?",
        "Where can I see my balance?",
        "Does my warranty cover scratches?",
        "Is my data safe with you?",
        "When will my refund arrive after I send the shoes back?",
        "My parcel arrived broken. How do I return it?",
        "Why is my sourdough so dense?",
        "how long do I have to return an item",
        "Am I allowed to bring a dog?",
        "Do you ship to Norway?",
        "where is the return label",
        "Where is our data stored?",
        "what are my delivery options",
        "Why has my bread gone stale?",
        "Do I have to pay customs?",
        "I have my card with me",
    ],
)
def test_a_question_for_a_way_or_a_rule_is_not_about_ones_own_state(question: str) -> None:
    assert own_state(question) is None


@pytest.mark.parametrize(
    "wish",
    [
        "another joke",
        "Again!",
        "Pick a random number",
        "roll a die",
        "give me a different one",
        "Surprise me",
        "flip a coin",
    ],
)
def test_a_wish_for_variety_is_recognised(wish: str) -> None:
    assert wish_for_a_new_answer(wish) is not None


@pytest.mark.parametrize(
    "question",
    [
        "How do I generate a random number in Rust?",
        "Tell me another way to reset my password",
        "Can I order again after a cancelled order?",
        "What is the difference between a coin and a token?",
    ],
)
def test_a_question_that_mentions_variety_is_no_wish_for_it(question: str) -> None:
    assert wish_for_a_new_answer(question) is None


def test_an_ordinary_question_may_use_both_tiers() -> None:
    assert judge_cacheability(Facts(QUESTION)).cacheability is Cacheability.FULL


def test_time_sensitive_wording_is_neither_read_nor_stored() -> None:
    judgement = judge_cacheability(Facts("What is the current price of the desk lamp?", names_user=True))

    assert judgement.cacheability is Cacheability.BYPASS
    assert judgement.reason == "time-sensitive: 'current price'"


def test_ones_own_state_bypasses_unless_the_scope_names_the_user() -> None:
    question = "Where is my order?"

    anonymous = judge_cacheability(Facts(question))
    assert anonymous.cacheability is Cacheability.BYPASS
    assert "'where is my order'" in anonymous.reason
    assert judge_cacheability(Facts(question, names_user=True)).cacheability is Cacheability.FULL


def test_a_wish_for_a_new_answer_bypasses_even_for_a_named_user() -> None:
    judgement = judge_cacheability(Facts("tell me another joke", names_user=True))

    assert judgement.cacheability is Cacheability.BYPASS
    assert "'another joke'" in judgement.reason


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (Facts(QUESTION, has_attachments=True), "attachments"),
        (Facts(QUESTION, temperature=1.3), "temperature 1.3 is over 1"),
        (Facts(QUESTION, temperature=math.nan), "temperature nan"),
        (Facts(QUESTION, fits_embedder=False), "longer than the embedder's limit"),
        (Facts(QUESTION, is_users_turn=False), "not the user's"),
        (Facts(""), "no letters"),
        (Facts(" 12 + 7 = ?"), "no letters"),
        (Facts("🙂"), "no letters"),
    ],
)
def test_what_cannot_be_compared_by_meaning_uses_the_exact_tier_only(facts: Facts, reason: str) -> None:
    judgement = judge_cacheability(facts)

    assert judgement.cacheability is Cacheability.EXACT_ONLY
    assert reason in judgement.reason


@pytest.mark.parametrize("temperature", [None, 0.0, 0.7, 1.0])
def test_usual_temperatures_use_both_tiers(temperature: float | None) -> None:
    assert judge_cacheability(Facts(QUESTION, temperature=temperature)).cacheability is Cacheability.FULL


def test_the_temperature_limit_is_a_setting() -> None:
    judgement = judge_cacheability(Facts(QUESTION, temperature=0.4), CacheabilityLimits(max_temperature=0.2))

    assert judgement.cacheability is Cacheability.EXACT_ONLY


def test_a_bypass_wins_over_exact_only() -> None:
    judgement = judge_cacheability(Facts("Is the site down right now?", has_attachments=True))

    assert judgement.cacheability is Cacheability.BYPASS


def test_a_tools_result_is_not_read_as_the_users_words() -> None:
    judgement = judge_cacheability(Facts("Weather today: sunny", is_users_turn=False))

    assert judgement.cacheability is Cacheability.EXACT_ONLY


def test_words_of_other_scripts_count_as_letters() -> None:
    assert judge_cacheability(Facts("מה השעה")).cacheability is Cacheability.FULL


def test_the_judgement_carries_how_perishable_the_answer_is() -> None:
    assert judge_cacheability(Facts("who is the governor of Tasmania")).freshness.staleness == "slow"


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_an_absurd_temperature_limit_is_refused_by_name(value: float) -> None:
    with pytest.raises(ConfigError, match="max_temperature"):
        CacheabilityLimits(max_temperature=value)


def test_a_judgement_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        judge_cacheability(Facts(QUESTION)).reason = "other"  # type: ignore[misc]  # the point of the test
