"""The router that asks a model: its decisions, and what becomes of replies that are none."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from semroute import Request, SemanticCache
from semroute.binding import bound, scope
from semroute.errors import ConfigError
from semroute.result import Hit
from semroute.router import Router, WaitingRouter
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.decision import RoutingDecision
from semroute.router.llm import LLMRouter, Refused
from semroute.testing.clock import FakeClock

from .llm_by_hand import (
    CATALOG,
    GOOD,
    QUESTION,
    Decide,
    Script,
    WaitingScript,
    check_stand_in,
    each_way,
    on_the_loop,
    on_this_thread,
    router_of,
)

if TYPE_CHECKING:
    from semroute.entry import FloatVector


class TestDecisions:
    def test_it_is_a_router_and_one_that_waits(
        self,
    ) -> None:
        router = router_of(Script(GOOD))
        assert isinstance(router, Router)
        assert isinstance(router, WaitingRouter)
        assert router.name == "llm"
        assert repr(router) == "<LLMRouter of 2 models, 0 decisions remembered>"

    @each_way
    async def test_what_the_model_fills_in_is_the_decision(self, decide: Decide, script: type[Script]) -> None:
        for reply in (GOOD, json.dumps(GOOD)):
            assert await decide(router_of(script(reply)), QUESTION) == RoutingDecision(**GOOD, origin="llm")

    @each_way
    async def test_the_model_sees_task_catalogue_request_and_schema(self, decide: Decide, script: type[Script]) -> None:
        ask = script(GOOD)
        await decide(router_of(ask), f"  {QUESTION}\n")
        ((system, user, schema),) = ask.asked
        assert '- "large": tier 2' in system
        assert user == f'request: "{QUESTION}"'
        assert schema.model_json_schema()["properties"]["model"]["enum"] == ["small", "large"]

    @each_way
    async def test_what_a_model_says_of_its_confidence_is_held_under_a_cap(
        self, decide: Decide, script: type[Script]
    ) -> None:
        assert (await decide(router_of(script({**GOOD, "confidence": 1})), QUESTION)).confidence == 0.9
        capped = router_of(script({**GOOD, "confidence": 1}), most_confidence=0.7)
        assert (await decide(capped, QUESTION)).confidence == 0.7

    @each_way
    async def test_the_same_text_is_asked_about_once(self, decide: Decide, script: type[Script]) -> None:
        ask = script(GOOD)
        router = router_of(ask)
        assert await decide(router, QUESTION) == await decide(router, f"{QUESTION} ")
        assert len(ask.asked) == 1
        await decide(router, "Another?")
        assert len(ask.asked) == 2

    @each_way
    async def test_no_memory_at_all_can_be_asked_for(self, decide: Decide, script: type[Script]) -> None:
        ask = script(GOOD)
        router = router_of(ask, remember=0)
        await decide(router, QUESTION)
        await decide(router, QUESTION)
        assert len(ask.asked) == 2

    @each_way
    async def test_a_long_text_is_cut_before_it_is_shown(self, decide: Decide, script: type[Script]) -> None:
        ask = script(GOOD)
        await decide(router_of(ask), "why? " * 100_000)
        assert len(ask.turns[0]) < 5_000

    @each_way
    async def test_where_there_is_no_text_nobody_is_asked(self, decide: Decide, script: type[Script]) -> None:
        ask = script(GOOD)
        check_stand_in(await decide(router_of(ask), " \n"))
        assert ask.asked == []


INVALID = {
    "prose": "I would say that the large model should answer this.",
    "nothing": "",
    "none": None,
    "a number": 7,
    "half an object": json.dumps(GOOD)[:40],
    "an object inside of prose": f"Sure! {json.dumps(GOOD)}",
    "confidence 7": {**GOOD, "confidence": 7},
    "confidence NaN": {**GOOD, "confidence": float("nan")},
    "confidence NaN in text": json.dumps({**GOOD, "confidence": float("nan")}),
    "confidence under 0": {**GOOD, "confidence": -0.01},
    "another model": {**GOOD, "model": "gpt-9"},
    "another field": {**GOOD, "min_similarity": 0.0},
    "a field missing": {"model": "large"},
    "another strategy": {**GOOD, "cache_strategy": "always"},
    "deep nesting": "[" * 15_000,
}


class TestInvalidReplies:
    @pytest.mark.parametrize("reply", INVALID.values(), ids=INVALID)
    @each_way
    async def test_a_reply_that_stays_invalid_ends_in_the_fallbacks_decision(
        self, decide: Decide, script: type[Script], reply: object
    ) -> None:
        ask = script(reply)
        decision = await decide(router_of(ask), QUESTION)
        check_stand_in(decision)
        assert decision.reason.startswith("the model's reply is invalid: ")
        assert decision.reason.endswith("; decided by rules instead")
        assert len(ask.asked) == 2, "there is one attempt to repair it"

    @each_way
    async def test_a_reply_can_be_repaired_once_by_saying_what_is_wrong(
        self, decide: Decide, script: type[Script]
    ) -> None:
        ask = script({**GOOD, "confidence": 7, "model": "DROP TABLE"}, GOOD)
        assert (await decide(router_of(ask), QUESTION)).origin == "llm"
        first, second = ask.turns
        assert second.startswith(first)
        assert "it must be a number from 0 to 1" in second
        assert "'small' or 'large'" in second
        assert "DROP TABLE" not in second

    @each_way
    async def test_a_refusal_is_not_asked_again(self, decide: Decide, script: type[Script]) -> None:
        ask = script(Refused("not about that"))
        decision = await decide(router_of(ask), QUESTION)
        check_stand_in(decision)
        assert decision.reason == "the model refuses: not about that; decided by rules instead"
        assert len(ask.asked) == 1

    @each_way
    async def test_what_failed_is_asked_anew_the_next_time(self, decide: Decide, script: type[Script]) -> None:
        router = router_of(script("hm", "hm", GOOD))
        assert [(await decide(router, QUESTION)).origin for _ in range(2)] == ["fallback", "llm"]

    @each_way
    async def test_a_model_that_talks_nonsense_for_long_is_left_alone_for_a_while_and_that_is_logged_once(
        self,
        decide: Decide,
        script: type[Script],
        clock: FakeClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        ask = script("hm")
        router = router_of(ask, clock=clock)
        with caplog.at_level(logging.INFO, logger="semroute.router"):
            decisions = [await decide(router, QUESTION) for _ in range(15)]
            assert len(ask.asked) == 2 * 10
            assert "talks nonsense" in decisions[-1].reason
            ask.replies = [GOOD]
            clock.advance(3_600)
            assert (await decide(router, QUESTION)).origin == "llm"
        assert [record.getMessage() for record in caplog.records] == [
            "the router's model answers, but with nothing of use, and is left alone for a while: "
            "the model's reply is invalid: it is no JSON object",
            "the router's model makes sense again",
        ]

    @each_way
    async def test_refusals_are_about_a_text_and_say_nothing_of_the_model(
        self, decide: Decide, script: type[Script]
    ) -> None:
        ask = script(Refused("no"))
        router = router_of(ask)
        for _ in range(20):
            check_stand_in(await decide(router, QUESTION))
        assert len(ask.asked) == 20


@each_way
async def test_the_model_is_asked_outside_of_every_context_of_the_caller(decide: Decide, script: type[Script]) -> None:
    trace: ContextVar[str] = ContextVar("trace", default="none")
    seen: list[tuple[str, str | None, bool]] = []

    def look() -> object:
        seen.append((trace.get(), bound().scope.tenant, bound().bypass))
        trace.set("the model's")
        return GOOD

    trace.set("the user's")
    router = router_of(script(look), remember=0, threads=1)
    with scope(tenant="acme"):
        assert [(await decide(router, QUESTION)).origin for _ in range(2)] == ["llm", "llm"]
        assert bound().scope.tenant == "acme"
    assert seen == [("none", None, True)] * 2, "nor does one call see what another has left on its thread"
    assert trace.get() == "the user's"


def test_a_cache_decides_by_it_and_says_so(make_cache: Callable[..., SemanticCache]) -> None:
    ask = Script(GOOD)
    cache = make_cache(router=router_of(ask))
    cache.update(QUESTION, "Canberra.")
    hit = cache.lookup(QUESTION)
    assert isinstance(hit, Hit)
    miss = cache.lookup("What is the capital of Austria?")
    assert miss.explanation.decision is not None
    assert miss.explanation.decision.origin == "llm"
    assert len(ask.asked) == 2, "the exact tier is looked into before anybody is asked"


class Fixed:
    """A router with one opinion."""

    name = "fixed"

    def __init__(self, decision: RoutingDecision) -> None:
        self.decision = decision

    def route(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        return self.decision


class FixedThatWaits(Fixed):
    async def aroute(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        return self.decision.model_copy(update={"intent": "chat"})


class TestTheFallback:
    @each_way
    async def test_another_router_can_stand_in(self, decide: Decide, script: type[Script]) -> None:
        fixed = Fixed(RoutingDecision(model="large", confidence=0.3, origin="learned", reason="guessed"))
        decision = await decide(router_of(script("hm"), fallback=fixed), QUESTION)
        assert (decision.model, decision.confidence, decision.origin) == ("large", 0.3, "fallback")
        assert decision.reason.endswith("decided by fixed instead")

    async def test_one_that_waits_is_awaited(
        self,
    ) -> None:
        router = router_of(WaitingScript("hm"), fallback=FixedThatWaits(RoutingDecision()))
        assert (await on_the_loop(router, QUESTION)).intent == "chat"
        assert (await on_this_thread(router, QUESTION)).intent == "retrieval"

    @each_way
    async def test_a_bypass_of_the_fallbacks_stays_one(self, decide: Decide, script: type[Script]) -> None:
        decision = await decide(router_of(script("hm")), "What is the weather right now?")
        assert decision.cache_strategy == "bypass"
        check_stand_in(decision)


class TestParts:
    @pytest.mark.parametrize(
        ("parts", "told"),
        [
            ({"ask": None}, "ask must be a function"),
            ({"ask": "gpt-4o"}, "ask must be a function"),
            ({"ask": WaitingScript.aask}, "ask must be a function"),
            ({"catalog": ["small", "large"]}, "catalog must be a ModelCatalog"),
            ({"catalog": None}, "catalog must be a ModelCatalog"),
            ({"fallback": RoutingDecision()}, "fallback must be a router"),
            ({"most_confidence": float("nan")}, "most_confidence must be a number"),
            ({"most_confidence": 1.01}, "most_confidence must be a number"),
            ({"most_confidence": True}, "most_confidence must be a number"),
            ({"deadline_s": 0.0}, "out of range"),
            ({"deadline_s": float("nan")}, "out of range"),
            ({"threads": 0}, "out of range"),
            ({"remember": -1}, "out of range"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_parts_that_cannot_be_are_refused(self, parts: dict[str, Any], told: str) -> None:
        with pytest.raises(ConfigError, match=told):
            LLMRouter(**{"ask": Script(GOOD), "catalog": CATALOG, **parts})

    def test_a_catalogue_that_is_empty_or_names_a_model_twice_cannot_even_be_made(self) -> None:
        with pytest.raises(ConfigError, match="empty"):
            LLMRouter(Script(GOOD), ModelCatalog.of([]))
        with pytest.raises(ConfigError, match="more than once"):
            LLMRouter(Script(GOOD), ModelCatalog.of([CatalogModel("a"), CatalogModel("a", tier=2)]))
