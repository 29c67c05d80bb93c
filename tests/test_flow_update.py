"""The policy of updates, driven by hand: which answers are stored, for how long, and with what."""

from __future__ import annotations

from datetime import timedelta

import pytest

from semroute.entry import Answer, Found
from semroute.freshness import LIFETIMES
from semroute.request import Request
from semroute.result import NotStored, Stored
from semroute.router.decision import RoutingDecision
from semroute.steps import Embed, Put
from semroute.trail import Trail

from .flow_by_hand import ADDRESS, BROKEN, NOW, QUESTION, VECTOR, hand, look, store


class TestUpdate:
    @pytest.mark.parametrize(
        "answer",
        [
            Answer(""),
            Answer("half of it", finish_reason="length"),
            Answer("no", is_refusal=True),
            Answer("x" * 300_000),
        ],
        ids=["empty", "truncated", "refusal", "too large"],
    )
    def test_an_answer_that_is_not_admitted_touches_nothing(self, answer: Answer) -> None:
        by = hand()
        result = store(by, answer=answer)
        assert isinstance(result, NotStored)
        assert result.reason
        assert by.steps == []

    def test_an_answer_of_tool_calls_is_stored_for_the_exact_tier_without_embedding(self) -> None:
        by = hand()
        result = store(by, answer=Answer("", payload={"calls": []}, has_tool_calls=True, finish_reason="tool_calls"))
        assert isinstance(result, Stored)
        assert not result.is_semantic
        assert not by.of(Embed)

    def test_the_epoch_is_that_of_the_lookup(self) -> None:
        by, trail = hand(Get=[Found(None, None, 7), Found(None, None, 9)]), Trail(ADDRESS)
        look(by, trail=trail)
        store(by, trail=trail)
        assert by.of(Put)[0].record.epoch == 7

    def test_an_update_that_no_lookup_preceded_reads_the_epoch(self) -> None:
        by = hand(Get=Found(None, None, 9))
        store(by)
        assert by.of(Put)[0].record.epoch == 9

    def test_an_update_whose_epoch_cannot_be_read_is_not_stored(self) -> None:
        by = hand(Get=BROKEN)
        assert store(by) == NotStored("it is broken")
        assert not by.of(Put)

    def test_an_entry_that_an_invalidation_covers_is_not_stored(self) -> None:
        result = store(hand(Put=False))
        assert isinstance(result, NotStored)
        assert "invalidated" in result.reason

    def test_a_store_that_fails_is_a_reason_not_to_store(self) -> None:
        assert store(hand(Put=BROKEN)) == NotStored("it is broken")

    def test_an_answer_whose_vector_cannot_be_made_is_stored_for_the_exact_tier(self) -> None:
        result = store(hand(Embed=BROKEN))
        assert isinstance(result, Stored)
        assert not result.is_semantic

    def test_an_entry_carries_what_the_lookup_learnt(self) -> None:
        by, trail = hand(), Trail(ADDRESS)
        look(by, trail=trail)
        store(by, trail=trail)
        put = by.of(Put)[0].record
        assert put.vector is VECTOR
        assert (put.embedder, put.address, put.query) == ("e-1", ADDRESS, QUESTION)
        assert (put.created_at, put.labels) == (NOW, frozenset({"label"}))

    @pytest.mark.parametrize("staleness", ["timeless", "slow", "daily"])
    def test_an_answer_lives_as_long_as_the_router_calls_it_fresh(self, staleness) -> None:
        result = store(hand(Route=RoutingDecision(intent="chat", staleness=staleness)))
        assert isinstance(result, Stored)
        assert result.expires_at == NOW + LIFETIMES[staleness].total_seconds()

    def test_the_rules_can_only_shorten_what_the_router_allows(self) -> None:
        decision = RoutingDecision(intent="chat", staleness="timeless")
        perishable = Request.of("What is the population of France?")
        result = store(hand(Route=decision), perishable)
        assert isinstance(result, Stored)
        assert result.expires_at <= NOW + LIFETIMES["slow"].total_seconds()

    def test_a_request_can_shorten_the_life_of_its_answer_and_not_lengthen_it(self) -> None:
        decision = RoutingDecision(staleness="daily")
        for ttl, life_s in ((timedelta(minutes=5), 300), (timedelta(days=300), 3600)):
            result = store(hand(Route=decision), Request.of(QUESTION, ttl=ttl))
            assert isinstance(result, Stored)
            assert result.expires_at == NOW + life_s

    def test_a_staleness_that_no_rule_knows_is_not_stored(self) -> None:
        assert isinstance(store(hand(Route=RoutingDecision.model_construct(staleness="weekly"))), NotStored)

    def test_a_router_that_fails_leaves_the_life_to_the_rules(self) -> None:
        result = store(hand(Route=BROKEN))
        assert isinstance(result, Stored)
        assert result.expires_at == NOW + LIFETIMES["timeless"].total_seconds()
