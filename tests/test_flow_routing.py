"""Route groups and second looks: which answers a request may have, and when a router is asked again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from semroute import flow
from semroute.entry import Answer, Entry, Found
from semroute.gate import Policy
from semroute.request import Request
from semroute.result import Bypass, Hit, Miss, Verdict
from semroute.router.decision import RoutingDecision
from semroute.steps import Embed, Reconsider, Route
from tests.flow_by_hand import ADDRESS, BROKEN, NOTHING, NOW, QUESTION, alias, candidate, entry, hand, look, rules

PASSED = (Verdict("g", passed=True),)
SURE, UNSURE = RoutingDecision(confidence=0.9), RoutingDecision(confidence=0.3)
THEN_THE_ENTRY = [Found(None, None, 7), Found(entry(), None, 7)]
LOOKS_TWICE = rules("g", reconsiders=True, policy=Policy())


def answered_by(tier: int | None) -> Answer:
    return Answer("the answer", model="m", tier=tier)


def at_least(tier: int) -> Request:
    return replace(Request.of(QUESTION), least_tier=tier)


@pytest.mark.parametrize(("tier", "least", "is_served"), [(1, 1, True), (2, 1, True), (1, 2, False), (None, 1, False)])
@pytest.mark.parametrize("tier_of_cache", ["l1", "l1_alias", "l2"])
def test_no_tier_of_the_cache_serves_the_answer_of_a_weaker_model(
    tier: int | None, least: int, is_served: bool, tier_of_cache: str
) -> None:
    kept = entry(answer=answered_by(tier))
    nothing = Found(None, None, 7)
    match tier_of_cache:
        case "l1":
            by = hand(Get=Found(kept, None, 7))
        case "l1_alias":
            by = hand(Get=Found(kept, alias(), 7))
        case _:
            by = hand(Get=[nothing, Found(kept, None, 7)], Search=[candidate()])
    result = look(by, at_least(least))
    assert isinstance(result, Hit) is is_served
    if is_served:
        assert result.tier == tier_of_cache
    elif tier_of_cache == "l2":
        assert "tier" in result.explanation.reason


def test_outside_of_a_route_group_no_tier_is_asked_for() -> None:
    assert isinstance(look(hand(Get=Found(entry(answer=answered_by(None)), None, 7))), Hit)


def test_whoever_waits_for_anothers_answer_takes_none_of_a_weaker_model() -> None:
    asked = at_least(2)
    for tier, is_served in ((1, False), (2, True)):
        by = hand(Get=Found(entry(answer=answered_by(tier)), None, 7))
        hit = by.drive(flow.answered(asked, asked.query, ADDRESS, rules("g"), NOW))
        assert isinstance(hit, Hit) is is_served


class TestSecondLook:
    def test_a_candidate_whose_fate_hangs_on_the_confidence_is_worth_one(self) -> None:
        by = hand(
            Route=UNSURE,
            Reconsider=SURE,
            Search=[candidate(similarity=0.91)],
            Get=list(THEN_THE_ENTRY),
        )
        result = look(by, under=LOOKS_TWICE)
        assert isinstance(result, Hit)
        assert by.of(Reconsider)[0].similarity == 0.91
        assert result.explanation.decision == SURE

    def test_it_is_taken_once_however_many_candidates_there_are(self) -> None:
        by = hand(Route=UNSURE, Reconsider=UNSURE, Search=[candidate("a", 0.92), candidate("b", 0.91)])
        assert isinstance(look(by, under=LOOKS_TWICE), Miss)
        assert by.kinds.count("Reconsider") == 1

    @pytest.mark.parametrize("similarity", [0.97, 0.5])
    def test_a_candidate_that_is_served_anyway_or_never_is_not(self, similarity: float) -> None:
        by = hand(Route=UNSURE, Search=[candidate(similarity=similarity)], Get=list(THEN_THE_ENTRY))
        look(by, under=LOOKS_TWICE)
        assert "Reconsider" not in by.kinds

    def test_a_candidate_that_the_guards_refuse_is_not(self) -> None:
        by = hand(Route=UNSURE, Search=[candidate(similarity=0.91)], Judge=(Verdict("g", passed=False, why="2 ≠ 3"),))
        assert isinstance(look(by, under=LOOKS_TWICE), Miss)
        assert "Reconsider" not in by.kinds

    def test_a_sure_router_and_one_that_cannot_look_twice_are_not_asked_again(self) -> None:
        for decision, under in ((SURE, LOOKS_TWICE), (UNSURE, rules("g"))):
            by = hand(Route=decision, Search=[candidate(similarity=0.91)], Get=list(THEN_THE_ENTRY))
            look(by, under=under)
            assert "Reconsider" not in by.kinds

    def test_one_that_bypasses_wins(self) -> None:
        bypass = RoutingDecision(cache_strategy="bypass")
        by = hand(Route=UNSURE, Reconsider=bypass, Search=[candidate(similarity=0.91)])
        assert isinstance(look(by, under=LOOKS_TWICE), Bypass)

    def test_one_that_fails_leaves_the_first_decision_standing(self) -> None:
        by = hand(Route=UNSURE, Reconsider=BROKEN, Search=[candidate(similarity=0.91)])
        result = look(by, under=LOOKS_TWICE)
        assert isinstance(result, Miss)
        assert result.explanation.decision == UNSURE
        assert str(BROKEN) in result.explanation.failures


class TestRouted:
    ROUTED = replace(Request.of(QUESTION), is_routed=True)

    def test_a_miss_tells_whom_to_ask(self) -> None:
        decision = RoutingDecision(model="large")
        assert look(hand(Route=decision), self.ROUTED).explanation.decision == decision

    def test_what_only_the_exact_tier_looked_at_is_routed_too_with_its_vector(self) -> None:
        by = hand(Route=SURE)
        result = look(by, replace(self.ROUTED, temperature=2.0))
        assert result.explanation.decision == SURE
        assert by.kinds.count("Embed") == by.kinds.count("Route") == 1
        assert by.of(Route)[0].vector is not None

    def test_a_bypass_tells_whom_to_ask(self) -> None:
        result = look(hand(Route=SURE), replace(self.ROUTED, bypass=True))
        assert isinstance(result, Bypass)
        assert result.explanation.decision == SURE

    def test_a_hit_asks_nobody(self) -> None:
        by = hand(Get=Found(entry(), None, 7))
        look(by, self.ROUTED)
        assert by.kinds == ["Get"]

    def test_a_miss_gets_a_second_look_of_a_router_that_takes_one(self) -> None:
        for decision in (UNSURE, SURE):  # of what it is sure the router knows itself: it may be the model's choice
            by = hand(Route=decision, Reconsider=SURE)
            result = look(by, self.ROUTED, LOOKS_TWICE)
            assert result.explanation.decision == SURE
            assert by.of(Reconsider)[0].similarity is None

    def test_where_the_caller_does_not_choose_the_model_a_miss_gets_none(self) -> None:
        by = hand(Route=UNSURE)
        look(by, under=LOOKS_TWICE)
        assert "Reconsider" not in by.kinds

    def test_a_router_that_fails_leaves_no_decision(self) -> None:
        result = look(hand(Route=BROKEN), self.ROUTED)
        assert isinstance(result, Miss)
        assert result.explanation.decision is None

    def test_a_text_without_a_vector_is_routed_without_one(self) -> None:
        by = hand(Embed=None, Route=SURE)
        assert look(by, self.ROUTED).explanation.decision == SURE
        assert by.of(Route)[0].vector is None
        assert len(by.of(Embed)) == 1


class TestAge:
    """An answer that was stored for other words may be older than this question allows."""

    OLD = entry(created_at=NOW - 7_200, expires_at=NOW + 86_400)

    def then(self, found: Entry) -> list[Found]:
        return [NOTHING, Found(found, None, 7)]

    def test_one_that_is_older_than_the_askers_life_is_not_served(self) -> None:
        by = hand(Route=RoutingDecision(staleness="daily"), Search=[candidate()], Get=self.then(self.OLD))
        result = look(by)
        assert isinstance(result, Miss)
        assert "age: older than an answer to this question may be" in result.explanation.reason
        assert "Put" not in by.kinds

    def test_one_that_is_young_enough_now_is_served_without_an_alias_that_would_outlast_it(self) -> None:
        young = entry(created_at=NOW - 600, expires_at=NOW + 86_400)
        by = hand(Route=RoutingDecision(staleness="daily"), Search=[candidate()], Get=self.then(young))
        assert isinstance(look(by), Hit)
        assert "Put" not in by.kinds

    def test_one_that_may_become_as_old_as_it_can_gets_an_alias(self) -> None:
        by = hand(Route=RoutingDecision(staleness="slow"), Search=[candidate()], Get=self.then(self.OLD))
        assert isinstance(look(by), Hit)
        assert "Put" in by.kinds
