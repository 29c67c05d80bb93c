"""The policy, driven by hand: what the flow asks for at each step, and what it makes of the reply."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from semroute.entry import Alias, Candidate, Found
from semroute.request import Request, Scope
from semroute.result import Bypass, Hit, Miss, NotStored, Stored, Verdict
from semroute.router.decision import RoutingDecision
from semroute.steps import Embed, Get, Judge, Put, Route, Search
from semroute.trail import Trail

from .flow_by_hand import (
    ADDRESS,
    BROKEN,
    NOTHING,
    NOW,
    QUESTION,
    VECTOR,
    alias,
    candidate,
    entry,
    hand,
    look,
    rules,
    store,
)


class TestBypass:
    def test_an_application_that_wants_a_fresh_answer_neither_reads_nor_stores(self) -> None:
        by, request = hand(), Request.of(QUESTION, bypass=True)
        assert isinstance(look(by, request), Bypass)
        assert isinstance(store(by, request), NotStored)
        assert by.steps == []

    def test_a_request_without_a_scope_neither_reads_nor_stores_where_one_is_required(self) -> None:
        by, under = hand(), rules("g", require_scope=True)
        assert isinstance(look(by, under=under), Bypass)
        assert isinstance(store(by, under=under), NotStored)
        assert by.steps == []

    def test_any_name_is_a_scope(self) -> None:
        for scope in (Scope(tenant="t"), Scope(namespace="n"), Scope(user="u")):
            assert isinstance(look(hand(), Request.of(QUESTION, scope=scope), rules(require_scope=True)), Miss)

    @pytest.mark.parametrize("question", ["What's the weather right now in Paris?", "Where is my order?"])
    def test_a_question_about_this_moment_or_ones_own_state_is_neither_served_nor_stored(self, question: str) -> None:
        by, request = hand(), Request.of(question)
        assert isinstance(look(by, request), Bypass)
        assert isinstance(store(by, request), NotStored)
        assert not by.of(Put)
        assert not by.of(Embed)

    @pytest.mark.parametrize(
        "decision",
        [
            RoutingDecision(cache_strategy="bypass"),
            RoutingDecision(intent="error"),
            RoutingDecision(staleness="realtime"),
        ],
    )
    def test_a_router_that_says_bypass_is_obeyed_by_lookup_and_update(self, decision: RoutingDecision) -> None:
        by = hand(Route=decision, Search=[candidate()])
        result = look(by)
        assert isinstance(result, Bypass)
        assert "router" in result.explanation.reason
        assert isinstance(store(by), NotStored)
        assert not by.of(Search)
        assert not by.of(Put)


class TestExactTier:
    def test_an_entry_is_served_without_embedding_routing_or_searching(self) -> None:
        by = hand(Get=Found(entry("asked"), None, 7))
        result = look(by)
        assert isinstance(result, Hit)
        assert (result.tier, result.hit_id, result.explanation.similarity) == ("l1", "asked", 1.0)
        assert (result.explanation.age_s, result.explanation.model) == (60.0, "m")
        assert result.explanation.saved is not None
        assert (result.explanation.saved.tokens, result.explanation.saved.usd) == (30, 0.5)
        assert by.kinds == ["Get"]

    def test_an_alias_of_todays_policy_is_served_at_once(self) -> None:
        by = hand(Get=Found(entry(), alias(), 7))
        result = look(by)
        assert isinstance(result, Hit)
        assert (result.tier, result.hit_id) == ("l1_alias", "entry")
        assert (result.explanation.similarity, result.explanation.p_reusable) == (0.96, 0.99)
        assert by.kinds == ["Get"]

    def test_an_alias_of_an_earlier_policy_is_served_where_the_guards_of_today_agree(self) -> None:
        by = hand(Get=Found(entry(), alias(policy="older"), 7))
        result = look(by, under=rules("one", "two"))
        assert isinstance(result, Hit)
        assert result.tier == "l1_alias"
        assert [guard.name for guard in by.of(Judge)[0].guards] == ["one", "two"]
        assert by.of(Judge)[0].candidate == Candidate("entry", "the question of entry", 0.96)

    def test_an_alias_that_a_guard_of_today_refuses_is_no_hit(self) -> None:
        by = hand(Get=Found(entry(), alias(policy="older"), 7), Judge=(Verdict("g", passed=False, why="a ≠ b"),))
        assert isinstance(look(by), Miss)
        assert by.kinds == ["Get", "Judge", "Embed", "Route", "Search"]

    @pytest.mark.parametrize("similarity", [0.94, math.nan])
    def test_an_alias_under_todays_threshold_is_no_hit(self, similarity: float) -> None:
        by = hand(Get=Found(entry(), alias(policy="older", similarity=similarity), 7))
        assert isinstance(look(by), Miss)
        assert not by.of(Judge)

    def test_a_store_that_fails_is_passed_over_and_named(self) -> None:
        by = hand(Get=BROKEN)
        result = look(by)
        assert isinstance(result, Miss)
        assert result.explanation.failures == ("it is broken",)

    def test_an_entry_from_the_future_has_no_negative_age(self) -> None:
        result = look(hand(Get=Found(entry("asked", created_at=NOW + 500), None, 7)))
        assert result.explanation.age_s == 0.0

    @pytest.mark.parametrize(
        "request_",
        [
            Request.of("12345?"),
            Request.of(QUESTION, params={"temperature": 1.8}),
            replace(Request.of(QUESTION), has_attachments=True),
            replace(Request.of(QUESTION), ends_with_user=False),
            Request.of("Question: what now?", words="not in there"),
        ],
    )
    def test_a_request_for_the_exact_tier_alone_is_never_embedded_nor_stored_with_a_vector(self, request_) -> None:
        by, trail = hand(), Trail(ADDRESS)
        result = look(by, request_, trail=trail)
        assert isinstance(result, Miss)
        assert result.explanation.reason.startswith("exact tier only")
        stored = store(by, request_, trail=trail)
        assert isinstance(stored, Stored)
        assert not stored.is_semantic
        assert by.of(Put)[0].record.vector is None
        assert by.of(Put)[0].record.embedder is None
        assert not by.of(Embed)
        assert not by.of(Search)


class TestEmbedding:
    def test_an_embedder_that_fails_is_a_miss_with_the_reason(self) -> None:
        by = hand(Embed=BROKEN, Search=[candidate()])
        result = look(by)
        assert isinstance(result, Miss)
        assert result.explanation.reason == "it is broken"
        assert not by.of(Search)

    def test_a_text_that_does_not_fit_is_a_miss_and_stored_for_the_exact_tier(self) -> None:
        by, trail = hand(Embed=None), Trail(ADDRESS)
        result = look(by, trail=trail)
        assert isinstance(result, Miss)
        assert "longer than the embedder's limit" in result.explanation.reason
        stored = store(by, trail=trail)
        assert isinstance(stored, Stored)
        assert not stored.is_semantic
        assert len(by.of(Embed)) == 1

    def test_lookup_and_update_of_a_miss_embed_route_and_read_once_together(self) -> None:
        by, trail = hand(), Trail(ADDRESS)
        look(by, trail=trail)
        stored = store(by, trail=trail)
        assert isinstance(stored, Stored)
        assert stored.is_semantic
        assert by.kinds == ["Get", "Embed", "Route", "Search", "Put"]

    def test_the_router_sees_the_vector_that_the_search_uses(self) -> None:
        by = hand()
        look(by)
        (route,), (search,) = by.of(Route), by.of(Search)
        assert route.vector is VECTOR
        assert search == Search(ADDRESS, VECTOR, "e-1", 5)

    def test_an_update_without_a_lookup_embeds_once(self) -> None:
        by = hand()
        store(by)
        assert by.kinds == ["Get", "Embed", "Route", "Put"]


class TestSemanticTier:
    def test_a_candidate_that_passes_is_served_and_pointed_at(self) -> None:
        by = hand(Get=[NOTHING, Found(entry(), None, 7)], Search=[candidate()],
                  Judge=(Verdict("g", passed=True, p_reusable=0.98),))  # fmt: skip
        result = look(by)
        assert isinstance(result, Hit)
        assert (result.tier, result.hit_id, result.answer.text) == ("l2", "entry", "the answer of entry")
        told = result.explanation
        assert (told.similarity, told.p_reusable, told.threshold, told.threshold_from) == (0.97, 0.98, 0.88, "default")
        assert by.kinds == ["Get", "Embed", "Route", "Search", "Judge", "Get", "Put"]
        assert by.of(Put)[0].record == Alias(ADDRESS, "entry", QUESTION, 0.97, 0.98, "default", NOW)

    def test_the_payload_is_fetched_for_the_one_that_is_served_only(self) -> None:
        by = hand(Get=[NOTHING, Found(entry("b"), None, 7)], Search=[candidate("a"), candidate("b"), candidate("c")],
                  Judge=[(Verdict("g", passed=False, why="2019 ≠ 2017"),), (Verdict("g", passed=True),)])  # fmt: skip
        result = look(by)
        assert isinstance(result, Hit)
        assert result.hit_id == "b"
        assert [step.address.exact for step in by.of(Get)] == ["asked", "b"]
        assert [near.id for near in result.explanation.considered] == ["a", "b"]
        assert str(result.explanation.considered[0].verdicts[0]) == "g: 2019 ≠ 2017"

    def test_no_candidate_is_a_miss_that_says_so(self) -> None:
        result = look(hand())
        assert isinstance(result, Miss)
        assert "nothing is stored" in result.explanation.reason

    def test_a_candidate_under_the_threshold_is_never_shown_to_a_guard(self) -> None:
        by = hand(Search=[candidate(similarity=0.879)])
        result = look(by)
        assert isinstance(result, Miss)
        assert "0.879, under 0.88" in result.explanation.reason
        assert not by.of(Judge)

    def test_a_candidate_at_the_threshold_may_be_served(self) -> None:
        by = hand(Get=[NOTHING, Found(entry(), None, 7)], Search=[candidate(similarity=0.88)])
        assert isinstance(look(by), Hit)

    def test_a_similarity_that_is_no_number_is_never_served(self) -> None:
        by = hand(Get=[NOTHING, Found(entry(), None, 7)], Search=[candidate(similarity=math.nan)])
        assert isinstance(look(by), Miss)
        assert not by.of(Judge)

    def test_one_refusal_among_consents_is_a_miss_that_names_it(self) -> None:
        verdicts = (Verdict("one", passed=True), Verdict("two", passed=False, why="a ≠ b"))
        result = look(hand(Search=[candidate()], Judge=verdicts), under=rules("one", "two", "three"))
        assert isinstance(result, Miss)
        assert result.explanation.reason == "refused 'the question of entry': two: a ≠ b"
        assert result.explanation.similarity == 0.97

    def test_without_a_guard_the_threshold_alone_decides(self) -> None:
        by = hand(Get=[NOTHING, Found(entry(), None, 7)], Search=[candidate()], Judge=())
        assert isinstance(look(by, under=rules()), Hit)

    def test_a_router_that_fails_makes_the_threshold_strict(self) -> None:
        for similarity, kind in ((0.949, Miss), (0.95, Hit)):
            by = hand(Get=[NOTHING, Found(entry(), None, 7)], Search=[candidate(similarity=similarity)], Route=BROKEN)
            result = look(by)
            assert isinstance(result, kind)
            assert result.explanation.threshold == 0.95
            assert result.explanation.threshold_from == "router failed"
            assert result.explanation.failures == ("it is broken",)

    def test_a_search_that_fails_is_a_miss_with_the_reason(self) -> None:
        result = look(hand(Search=[BROKEN]))
        assert isinstance(result, Miss)
        assert result.explanation.reason == "it is broken"
        assert result.explanation.failures == ("it is broken",)

    @pytest.mark.parametrize("second", [NOTHING, BROKEN, Found(entry(), alias(), 7)], ids=["gone", "broken", "alias"])
    def test_an_entry_that_goes_between_search_and_fetch_is_passed_over(self, second) -> None:
        by = hand(Get=[NOTHING, second, Found(entry("b"), None, 7)], Search=[candidate("a"), candidate("b")])
        result = look(by)
        assert isinstance(result, Hit)
        assert result.hit_id == "b"

    def test_a_lone_candidate_that_is_gone_is_a_miss_that_says_so(self) -> None:
        result = look(hand(Search=[candidate()]))
        assert isinstance(result, Miss)
        assert "gone before it could be served" in result.explanation.reason

    @pytest.mark.parametrize("reply", [BROKEN, False], ids=["broken", "refused"])
    def test_an_alias_that_cannot_be_kept_does_not_spoil_the_hit(self, reply) -> None:
        result = look(hand(Get=[NOTHING, Found(entry(), None, 7)], Search=[candidate()], Put=reply))
        assert isinstance(result, Hit)

    def test_the_lowest_of_several_probabilities_is_told(self) -> None:
        verdicts = (Verdict("one", True, p_reusable=0.99), Verdict("two", True), Verdict("three", True, p_reusable=0.9))
        by = hand(Get=[NOTHING, Found(entry(), None, 7)], Search=[candidate()], Judge=verdicts)
        assert look(by, under=rules("one", "two", "three")).explanation.p_reusable == 0.9

    def test_a_megabyte_of_stored_question_is_not_repeated_in_the_reason(self) -> None:
        long = Candidate("entry", "x" * 1_000_000, 0.5)
        assert len(look(hand(Search=[long])).explanation.reason) < 400
