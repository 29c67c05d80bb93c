"""Outcomes as a cache tells them: reports on its hits, and the calls of models."""

from __future__ import annotations

from dataclasses import replace

import pytest

from semroute import Answer, Request, SemanticCache
from semroute.errors import ConfigError
from semroute.outcome_listener import OutcomeListener
from semroute.result import Hit
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.outcomes import Outcomes
from semroute.telemetry import CallEvent, FailureEvent, FeedbackEvent
from tests.caching import QUESTION, SAME_IN_OTHER_WORDS, MakeCache

BY_TIER_2 = Answer("Click on 'forgot'.", model="m", tier=2)


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes()


@pytest.fixture
def cache(make_cache: MakeCache, outcomes: Outcomes) -> SemanticCache:
    return make_cache(listeners=[OutcomeListener(outcomes)])


def seen(outcomes: Outcomes) -> dict[str, dict[str, int]]:
    """Return how often each outcome was noted, by tier."""
    tiers = outcomes.as_dict()["tiers"]
    assert isinstance(tiers, dict)
    return {tier: known["outcomes"] for tier, known in tiers.items()}  # type: ignore[index,call-overload,misc]  # JSON


def hit(cache: SemanticCache, words: str = QUESTION) -> Hit:
    result = cache.lookup(words)
    assert isinstance(result, Hit)
    return result


class TestReports:
    @pytest.mark.parametrize(("correct", "outcome"), [(True, "right"), (False, "wrong")])
    def test_a_report_on_a_repeat_counts_for_the_tier_that_answered(
        self, correct: bool, outcome: str, cache: SemanticCache, outcomes: Outcomes
    ) -> None:
        cache.update(QUESTION, BY_TIER_2)
        cache.feedback(hit(cache).hit_id, correct=correct)
        assert seen(outcomes) == {"2": {outcome: 1, "answered": 1}}

    def test_a_report_counts_once_for_each_hit(self, cache: SemanticCache, outcomes: Outcomes) -> None:
        cache.update(QUESTION, BY_TIER_2)
        hit_id = hit(cache).hit_id
        for _ in range(3):
            cache.feedback(hit_id, correct=True)
        assert seen(outcomes)["2"]["right"] == 1

    def test_a_report_on_a_hit_by_meaning_is_about_the_cache_and_no_model(
        self, cache: SemanticCache, outcomes: Outcomes
    ) -> None:
        cache.update(QUESTION, BY_TIER_2)
        hit(cache)
        served = hit(cache, SAME_IN_OTHER_WORDS)
        assert served.tier == "l2"
        cache.feedback(served.hit_id, correct=False)
        assert seen(outcomes) == {"2": {"answered": 1}}

    def test_reports_on_what_nobody_here_served_are_none_of_its_business(self, outcomes: Outcomes) -> None:
        OutcomeListener(outcomes).on(FeedbackEvent("unheard of", correct=False, removed=0))
        assert seen(outcomes) == {}

    def test_of_many_hits_the_latest_are_remembered(self, make_cache: MakeCache, outcomes: Outcomes) -> None:
        listener = OutcomeListener(outcomes, remember=2)
        cache = make_cache(listeners=[listener])
        questions = ["What is a ring?", "Where is the sea?", "Who wrote it?"]
        for question in questions:
            cache.update(question, BY_TIER_2)
        for hit_id in [hit(cache, question).hit_id for question in questions]:
            cache.feedback(hit_id, correct=True)
        assert seen(outcomes)["2"]["right"] == 2
        assert "0 hits remembered" in repr(listener)


class TestCalls:
    def test_a_call_of_a_weak_model_that_costs_what_a_strong_one_does_is_overpriced(self, outcomes: Outcomes) -> None:
        listener = OutcomeListener(outcomes)
        for tier, usd in ((2, 0.02), (1, 0.01), (1, 0.03)):
            listener.on(CallEvent(Request.of(QUESTION), replace(BY_TIER_2, tier=tier, usd=usd)))
        assert seen(outcomes) == {"1": {"answered": 1, "overpriced": 1}, "2": {"answered": 1}}

    def test_a_call_without_a_price_counts_as_one_that_went_well(self, outcomes: Outcomes) -> None:
        OutcomeListener(outcomes).on(CallEvent(Request.of(QUESTION), BY_TIER_2))
        assert seen(outcomes) == {"2": {"answered": 1}}

    @pytest.mark.parametrize(
        ("model", "tier", "expected"),
        [("large", None, {"3"}), ("large", 1, {"1"}), ("unheard of", None, set()), (None, None, set())],
    )
    def test_the_tier_is_the_answers_own_or_that_of_its_model(
        self, model: str | None, tier: int | None, expected: set[str], outcomes: Outcomes
    ) -> None:
        catalog = ModelCatalog((CatalogModel("small"), CatalogModel("large", 3)))
        listener = OutcomeListener(outcomes, catalog=catalog)
        listener.on(CallEvent(Request.of(QUESTION), Answer("yes", model=model, tier=tier)))
        assert seen(outcomes).keys() == expected

    @pytest.mark.parametrize("answer", [Answer("yes"), Answer("yes", tier=0), Answer("yes", tier=10**6)])
    def test_an_answer_without_a_tier_that_can_be_says_nothing(self, answer: Answer, outcomes: Outcomes) -> None:
        OutcomeListener(outcomes).on(CallEvent(Request.of(QUESTION), answer))
        assert seen(outcomes) == {}

    def test_other_events_are_none_of_its_business(self, outcomes: Outcomes) -> None:
        OutcomeListener(outcomes).on(FailureEvent("store", "locked"))
        assert seen(outcomes) == {}


def test_a_memory_that_cannot_be_is_refused(outcomes: Outcomes) -> None:
    with pytest.raises(ConfigError, match="remember=0 is out of range"):
        OutcomeListener(outcomes, remember=0)
