"""The cascade by itself: whom it asks, what it makes of two answers, and what it does when the second one fails."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError, RouterError
from semroute.freshness import LIFETIMES
from semroute.gate import Policy, open_gate
from semroute.request import Request, Scope
from semroute.router import Reconsidering, Router, WaitingRouter
from semroute.router.budget import Budget
from semroute.router.cascade import CascadeCounts, CascadeRouter, estimated_tokens, merged
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.decision import CacheStrategy, Complexity, Intent, Origin, RoutingDecision, Staleness
from semroute.router.decision_log import DecisionLog
from semroute.testing.clock import FakeClock

REQUEST = Request.of("Who runs the shop?", system="secret system prompt", scope=Scope(tenant="acme"))
VECTOR = np.array([1.0, 0.0], np.float32)
UNSURE = RoutingDecision(origin="learned", confidence=0.3)
SECOND = RoutingDecision(model="large", staleness="daily", confidence=0.9, origin="llm", reason="a role")
CATALOG = ModelCatalog(
    (CatalogModel("small"), CatalogModel("middle", 2), CatalogModel("large", 3), CatalogModel("huge", 4))
)


@dataclass
class Scripted:
    """A router that gives the same decision each time, or raises, and notes what it was asked."""

    decision: RoutingDecision | Exception
    name: str = "scripted"
    asked: list[tuple[Request, object]] = field(default_factory=list)

    def route(self, request: Request, vector: object) -> RoutingDecision:
        self.asked.append((request, vector))
        if isinstance(self.decision, Exception):
            raise self.decision
        return self.decision


@dataclass
class Waiting(Scripted):
    """The same on an event loop, where its `route` would block."""

    def route(self, request: Request, vector: object) -> RoutingDecision:
        raise AssertionError("it must be awaited")

    async def aroute(self, request: Request, vector: object) -> RoutingDecision:
        await asyncio.sleep(0)
        return super().route(request, vector)


@dataclass
class FittedRouter(Scripted):
    embedder: str | None = "e-1"


def cascade(first: object = None, second: object = None, **parts: object) -> CascadeRouter:
    given: dict[str, object] = {"budget": Budget(1.0, tokens_per_hour=None), **parts}
    return CascadeRouter(
        Scripted(UNSURE) if first is None else first,  # type: ignore[arg-type]  # a stand-in
        Scripted(SECOND) if second is None else second,  # type: ignore[arg-type]  # as above
        **given,  # type: ignore[arg-type]  # as above
    )


def ask(router: CascadeRouter, request: Request = REQUEST, similarity: float | None = None) -> RoutingDecision:
    """Do what the flow does with a decision that it is not sure of."""
    return router.reconsider(request, VECTOR, router.route(request, VECTOR), similarity)


async def aask(router: CascadeRouter) -> RoutingDecision:
    return await router.areconsider(REQUEST, VECTOR, await router.aroute(REQUEST, VECTOR), None)


class TestWhomItAsks:
    def test_it_is_a_router_that_waits_and_looks_twice(self) -> None:
        router = cascade()
        assert isinstance(router, Router)
        assert isinstance(router, WaitingRouter)
        assert isinstance(router, Reconsidering)
        assert router.name == "cascade"

    def test_a_route_asks_the_first_router_alone_and_returns_what_it_says(self) -> None:
        router = cascade()
        assert router.route(REQUEST, VECTOR) is UNSURE
        assert router.first.asked == [(REQUEST, VECTOR)]  # type: ignore[attr-defined]  # a stand-in
        assert router.second.asked == []  # type: ignore[attr-defined]  # a stand-in

    def test_a_second_look_asks_the_second_router_with_the_vector_at_hand(self) -> None:
        router = cascade()
        assert ask(router).origin == "cascade"
        assert router.second.asked == [(REQUEST, VECTOR)]  # type: ignore[attr-defined]  # a stand-in

    @pytest.mark.parametrize(("confidence", "is_asked"), [(0.0, True), (0.799, True), (0.8, False), (1.0, False)])
    def test_only_a_first_decision_that_is_unsure_is_looked_at_again(self, confidence: float, is_asked: bool) -> None:
        first = UNSURE.model_copy(update={"confidence": confidence})
        router = cascade(Scripted(first))
        assert (ask(router) is not first) == is_asked
        assert router.counts().asked == is_asked

    def test_what_counts_as_unsure_can_be_set(self) -> None:
        assert ask(cascade(unsure_below=0.2)) is UNSURE

    async def test_on_an_event_loop_what_waits_is_awaited_and_what_computes_is_called(self) -> None:
        assert (await aask(cascade(second=Waiting(SECOND)))).model == "large"
        assert (await aask(cascade(second=Scripted(SECOND)))).model == "large"
        assert (await aask(cascade(Waiting(UNSURE), Waiting(SECOND)))).model == "large"

    def test_it_counts_and_shows_what_it_did(self) -> None:
        router = cascade(budget=Budget(0.5))
        for _ in range(5):
            ask(router)
        assert router.counts() == CascadeCounts(routed=5, asked=2, over_budget=3)
        assert "scripted, then scripted" in repr(router)
        assert "over_budget=3" in repr(router)


class TestBudget:
    def test_no_more_than_its_share_of_the_requests_gets_a_second_look(self) -> None:
        router = cascade(budget=Budget(0.1))
        decisions = [ask(router) for _ in range(100)]
        assert sum(decision.origin == "cascade" for decision in decisions) == 10
        assert decisions.count(UNSURE) == 90

    def test_requests_that_need_none_earn_their_share_too(self) -> None:
        router = cascade(budget=Budget(0.1))
        for _ in range(10):
            router.route(REQUEST, VECTOR)
        assert ask(router).origin == "cascade"

    def test_a_second_look_takes_the_tokens_that_are_estimated_for_it(self) -> None:
        router = cascade(budget=Budget(1.0, tokens_per_hour=250, clock=FakeClock()), tokens=lambda request: 100)
        assert [ask(router).origin for _ in range(3)] == ["cascade", "cascade", "learned"]

    def test_a_long_text_is_estimated_to_take_more(self) -> None:
        assert estimated_tokens(Request.of("x" * 4_000)) - estimated_tokens(Request.of("")) == 1_000
        assert estimated_tokens(Request.of("x" * 10**6)) == estimated_tokens(Request.of("x" * 4_000))

    def test_a_first_decision_that_is_sure_takes_nothing(self) -> None:
        router = cascade(Scripted(UNSURE.model_copy(update={"confidence": 0.9})))
        ask(router)
        assert router.budget.spending().granted == 0

    def test_there_is_one_by_default(self) -> None:
        assert CascadeRouter(Scripted(UNSURE), Scripted(SECOND)).budget.share == 0.1


class TestFailures:
    @pytest.mark.parametrize("error", [RouterError("no reply"), ValueError("prose")])
    async def test_what_the_second_router_raises_goes_on_and_is_counted(self, error: Exception) -> None:
        router = cascade(second=Scripted(error))
        with pytest.raises(type(error)):
            ask(router)
        with pytest.raises(type(error)):
            await aask(router)
        assert router.counts() == CascadeCounts(routed=2, asked=2, failed=2)

    def test_a_second_decision_that_is_a_fallback_leaves_the_first_one_standing(self, tmp_path: Path) -> None:
        log = DecisionLog(tmp_path / "log.jsonl")
        router = cascade(second=Scripted(RoutingDecision(origin="fallback", confidence=0.0)), log=log)
        assert ask(router) is UNSURE
        log.close()
        assert (router.counts().failed, list(log.rows())) == (1, [])

    def test_a_second_router_that_keeps_failing_is_left_alone_for_a_while(
        self, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        second = Scripted(RouterError("no reply within 5 s"))
        router = cascade(second=second, clock=clock)
        with caplog.at_level(logging.INFO, "semroute.router"):
            for _ in range(3):
                with pytest.raises(RouterError):
                    ask(router)
            for _ in range(17):
                assert ask(router) is UNSURE
            assert len(second.asked) == 3
            assert router.counts() == CascadeCounts(routed=20, asked=3, failed=3, left_alone=17)
            assert router.budget.spending().granted == 3
            clock.advance(10.0)
            second.decision = SECOND
            assert ask(router).origin == "cascade"
        assert [record.getMessage() for record in caplog.records] == [
            "the second router keeps failing and is left alone for a while: RouterError: no reply within 5 s",
            "the second router works again",
        ]

    def test_looks_that_the_budget_refuses_do_not_hide_that_the_second_router_is_down(self, clock: FakeClock) -> None:
        second = Scripted(RouterError("no reply"))
        router = cascade(second=second, budget=Budget(0.1), clock=clock)
        for _ in range(200):
            with suppress(RouterError):
                ask(router)
        assert len(second.asked) == 3

    def test_texts_that_the_second_router_will_not_decide_about_do_not_close_it_to_others(
        self, clock: FakeClock
    ) -> None:
        second = Scripted(RoutingDecision(origin="fallback", reason="the request gives orders to the router"))
        router = cascade(second=second, clock=clock)
        for _ in range(20):
            assert ask(router) is UNSURE
        second.decision = SECOND
        assert ask(router).origin == "cascade"

    @pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan"), None])
    def test_a_confidence_that_cannot_be_is_refused(self, confidence: object) -> None:
        with pytest.raises(ConfigError, match="unsure_below="):
            cascade(unsure_below=confidence)


class TestLog:
    @pytest.fixture
    def log(self, tmp_path: Path) -> DecisionLog:
        return DecisionLog(tmp_path / "log.jsonl", clock=FakeClock())

    def test_the_second_answer_is_logged_as_it_was_given_with_what_training_needs(self, log: DecisionLog) -> None:
        first = UNSURE.model_copy(update={"staleness": "realtime", "intent": "error"})
        ask(cascade(FittedRouter(first), log=log, catalog=CATALOG))
        log.close()
        (row,) = log.rows()
        assert (row.prompt, row.intent, row.complexity, row.staleness) == (
            REQUEST.query,
            "retrieval",
            "medium",
            "daily",
        )
        assert (row.model, row.tier, row.good_tiers) == ("large", 3, (3, 4))
        assert (row.confidence, row.origin, row.embedder) == (0.9, "llm", "e-1")

    def test_neither_system_prompt_nor_scope_nor_reason_is_kept(self, log: DecisionLog) -> None:
        ask(cascade(log=log))
        log.close()
        assert not any(word in log.path.read_text(encoding="utf-8") for word in ("secret", "acme", "a role"))

    @pytest.mark.parametrize("model", [None, "unheard of"])
    def test_a_model_outside_of_the_catalogue_has_no_tier(self, model: str | None, log: DecisionLog) -> None:
        ask(cascade(second=Scripted(SECOND.model_copy(update={"model": model})), log=log, catalog=CATALOG))
        log.close()
        (row,) = log.rows()
        assert (row.model, row.tier, row.good_tiers) == (model, None, None)

    def test_first_decisions_are_not_logged(self, log: DecisionLog) -> None:
        router = cascade(log=log, budget=Budget(0.0))
        ask(router)
        log.close()
        assert not log.path.exists()

    def test_a_log_that_cannot_be_written_hurts_no_request(self, tmp_path: Path) -> None:
        log = DecisionLog(tmp_path)
        assert ask(cascade(log=log)).origin == "cascade"
        log.close()
        assert log.lost == 1

    @pytest.mark.parametrize(
        ("first", "named", "expected"),
        [
            (FittedRouter(UNSURE), None, "e-1"),
            (FittedRouter(UNSURE), "e-2", "e-2"),
            (FittedRouter(UNSURE, embedder=None), None, None),
            (Scripted(UNSURE), None, None),
            (Scripted(UNSURE), "e-2", "e-2"),
        ],
    )
    def test_the_embedder_is_the_one_named_or_the_first_routers_own(
        self, first: Scripted, named: str | None, expected: str | None
    ) -> None:
        assert cascade(first, embedder=named).embedder == expected


DECISIONS = st.builds(
    RoutingDecision,
    intent=st.sampled_from(get_args(Intent)),
    complexity=st.sampled_from(get_args(Complexity)),
    model=st.sampled_from([None, "small", "large"]),
    cache_strategy=st.sampled_from(get_args(CacheStrategy)),
    staleness=st.sampled_from(get_args(Staleness)),
    confidence=st.floats(0.0, 1.0),
    origin=st.sampled_from(get_args(Origin)),
)


class TestMerging:
    @given(first=DECISIONS, second=DECISIONS)
    def test_model_complexity_intent_and_confidence_are_the_seconds(
        self, first: RoutingDecision, second: RoutingDecision
    ) -> None:
        both = merged(first, second)
        assert (both.model, both.complexity, both.intent) == (second.model, second.complexity, second.intent)
        assert (both.confidence, both.reason, both.origin) == (second.confidence, second.reason, "cascade")

    @given(first=DECISIONS, second=DECISIONS)
    def test_what_either_keeps_out_of_the_cache_stays_out(
        self, first: RoutingDecision, second: RoutingDecision
    ) -> None:
        either = any(open_gate(each, Policy(), has_verifier=False).is_bypass for each in (first, second))
        assert open_gate(merged(first, second), Policy(), has_verifier=False).is_bypass == either

    @given(first=DECISIONS, second=DECISIONS)
    def test_no_life_is_longer_than_either_alone_would_allow(
        self, first: RoutingDecision, second: RoutingDecision
    ) -> None:
        both = merged(first, second)
        assert _life(both) <= min(_life(first), _life(second))

    @given(first=DECISIONS, second=DECISIONS)
    def test_no_threshold_is_lower_than_the_firsts_would_be_if_it_were_as_sure(
        self, first: RoutingDecision, second: RoutingDecision
    ) -> None:
        surer = first.model_copy(update={"confidence": second.confidence})
        gates = [open_gate(each, Policy(), has_verifier=False) for each in (merged(first, second), surer)]
        together, alone = (1.0 if gate.threshold is None else gate.threshold for gate in gates)
        assert together >= alone

    def test_a_text_that_talks_the_second_router_into_boldness_gains_nothing_but_confidence(self) -> None:
        first = RoutingDecision(staleness="daily", confidence=0.3, origin="learned")
        talked_into = RoutingDecision(
            model="large", cache_strategy="aggressive", staleness="timeless", confidence=1.0, origin="llm"
        )
        both = merged(first, talked_into)
        assert (both.cache_strategy, both.staleness) == ("standard", "daily")


def _life(decision: RoutingDecision) -> float:
    """Return how long an answer lives by a decision alone, in seconds, as the flow sees it."""
    stalenesses: list[Staleness] = [decision.staleness, *(["slow"] if decision.intent == "retrieval" else [])]  # type: ignore[list-item]  # a name
    lives = [LIFETIMES[staleness] for staleness in stalenesses]
    return min(0.0 if life is None else life.total_seconds() for life in lives)
