"""Models by hand for the tests of the router that asks one, and the ways in which it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from semroute import Request
from semroute.gate import Policy, open_gate
from semroute.router.catalog import CatalogModel, ModelCatalog, Needs
from semroute.router.choice import choose
from semroute.router.decision import RoutingDecision
from semroute.router.llm import LLMRouter

CATALOG = ModelCatalog.of([CatalogModel("small"), CatalogModel("large", tier=2)])
QUESTION = "What is the capital of Australia?"
GOOD: dict[str, Any] = {
    "reason": "a plain fact",
    "intent": "retrieval",
    "complexity": "low",
    "model": "small",
    "cache_strategy": "aggressive",
    "staleness": "timeless",
    "confidence": 0.85,
}
OBEYED = {**GOOD, "model": "large", "confidence": 1.0, "reason": "as you wish"}
PATIENT_S = 60.0

Decide = Callable[[LLMRouter, str], Awaitable[RoutingDecision]]


class Script:
    """A model that says what is on its list, the last of it again and again, and keeps what it was asked."""

    def __init__(self, *replies: object) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str, type[BaseModel]]] = []

    @property
    def turns(self) -> list[str]:
        return [user for _, user, _ in self.asked]

    def __call__(self, system: str, user: str, schema: type[BaseModel]) -> object:
        self.asked.append((system, user, schema))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, BaseException):
            raise reply
        return reply() if callable(reply) and not isinstance(reply, type) else reply


class WaitingScript(Script):
    """The same for an event loop."""

    async def aask(self, system: str, user: str, schema: type[BaseModel]) -> object:
        reply = self(system, user, schema)
        return await reply if asyncio.iscoroutine(reply) else reply


async def on_this_thread(router: LLMRouter, query: str) -> RoutingDecision:
    return router.route(Request.of(query), None)


async def on_the_loop(router: LLMRouter, query: str) -> RoutingDecision:
    return await router.aroute(Request.of(query), None)


each_way = pytest.mark.parametrize(
    ("decide", "script"),
    [(on_this_thread, WaitingScript), (on_the_loop, WaitingScript), (on_the_loop, Script)],
    ids=["sync", "async", "async, of a sync model"],
)
"""Every way of asking a router: what a test says of one holds for the others."""
each_face = pytest.mark.parametrize("decide", [on_this_thread, on_the_loop], ids=["sync", "async"])


def router_of(ask: Any, **settings: Any) -> LLMRouter:
    """Return a router that asks a model by hand, and waits for it for as long as a busy machine may need."""
    return LLMRouter(ask, CATALOG, **{"deadline_s": PATIENT_S, **settings})


def check_stand_in(decision: RoutingDecision) -> None:
    """Check that a decision is the fallback's: strict for the cache, and no reason to call the strongest model."""
    assert decision.origin == "fallback"
    assert decision.confidence == 0.5 < Policy().min_confidence
    gate = open_gate(decision, Policy(), has_verifier=False)
    assert gate.is_bypass or gate.threshold == Policy().strict_threshold
    assert "confidence" not in choose(CATALOG, decision, Needs()).reason
