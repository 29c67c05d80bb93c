"""The cascade behind a real cache: counted, on which requests the second router is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from semroute import Request, SemanticCache
from semroute.entry import Candidate
from semroute.result import Bypass, Hit, Miss, Verdict
from semroute.router.budget import Budget
from semroute.router.cascade import CascadeRouter
from semroute.router.decision import RoutingDecision
from semroute.router.rules import RuleRouter
from semroute.testing.clock import FakeClock
from tests.caching import MakeCache
from tests.conftest import AsyncFace, SyncFace

Face = SyncFace | AsyncFace

CLEAR, NEAR, FAR = 0.97, 0.91, 0.5
"""Similarities over the strict threshold, between the loose and the strict one, and under both."""


class PlacedEmbedder:
    """Places a text on a circle by the number that it ends in, its similarity with a text that ends in 1."""

    identity = "placed"

    def fits(self, text: str) -> bool:
        return True

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        angles = [math.acos(float(text.rpartition(" ")[2])) for text in texts]
        return np.array([[math.cos(angle), math.sin(angle)] for angle in angles], np.float32)


@dataclass
class Counting:
    """A router that always decides the same, and counts how often it is asked."""

    decision: RoutingDecision
    name: str = "counting"
    asked: list[str] = field(default_factory=list)

    def route(self, request: Request, vector: object) -> RoutingDecision:
        self.asked.append(request.query)
        return self.decision


class Waiting(Counting):
    """The same, which may also be awaited."""

    async def aroute(self, request: Request, vector: object) -> RoutingDecision:
        return self.route(request, vector)


@dataclass(frozen=True)
class Estimates:
    """A verifier that reads its probability out of the stored question: "what 0.9 is 0.97"."""

    name: str = "verifier"
    embedder: str | None = None
    digest: str = "d"

    def check(self, query: str, candidate: Candidate) -> Verdict:
        return Verdict(self.name, passed=True, p_reusable=float(candidate.query.split()[1]))


def cascade(confidence: float = 0.3, *, share: float = 1.0, **second: object) -> CascadeRouter:
    first = Counting(RoutingDecision(confidence=confidence, origin="learned"))
    answer = RoutingDecision(**{"model": "large", "confidence": 0.9, "origin": "llm", **second})
    return CascadeRouter(first, Waiting(answer), budget=Budget(share, tokens_per_hour=None))


def asked_of(router: CascadeRouter) -> int:
    """Return how often the second router was asked."""
    assert isinstance(router.second, Counting)
    return len(router.second.asked)


def asking(similarity: float, *, is_routed: bool, words: str = "who runs it") -> Request:
    return replace(Request.of(f"{words} {similarity}"), is_routed=is_routed)


@pytest.fixture
def make(make_cache: MakeCache) -> MakeCache:
    return lambda router, **parts: make_cache(embedder=PlacedEmbedder(), router=router, guards=(), **parts)


@pytest.mark.parametrize("is_routed", [True, False], ids=["routed", "unrouted"])
class TestCounted:
    async def test_a_repeat_asks_neither_router(self, make: MakeCache, face: Face, is_routed: bool) -> None:
        router = cascade()
        cache = make(router)
        await face.update(cache, asking(1, is_routed=is_routed), "the owner")
        routed = router.counts().routed
        for _ in range(5):
            assert (await face.lookup(cache, asking(1, is_routed=is_routed))).tier == "l1"
        assert (router.counts().routed, asked_of(router)) == (routed, 0)

    async def test_a_clear_hit_asks_the_first_router_alone(self, make: MakeCache, face: Face, is_routed: bool) -> None:
        router = cascade()
        cache = make(router)
        await face.update(cache, asking(1, is_routed=is_routed), "the owner")
        assert (await face.lookup(cache, asking(CLEAR, is_routed=is_routed))).tier == "l2"
        assert (await face.lookup(cache, asking(CLEAR, is_routed=is_routed))).tier == "l1_alias"
        assert asked_of(router) == 0

    async def test_a_near_hit_asks_the_second_router_once_and_is_served_where_that_is_sure(
        self, make: MakeCache, face: Face, is_routed: bool
    ) -> None:
        router = cascade()
        cache = make(router)
        await face.update(cache, asking(1, is_routed=is_routed), "the owner")
        result = await face.lookup(cache, asking(NEAR, is_routed=is_routed))
        assert isinstance(result, Hit)
        assert result.explanation.decision is not None
        assert result.explanation.decision.origin == "cascade"
        assert asked_of(router) == 1

    async def test_a_near_hit_that_the_second_router_doubts_too_is_a_miss_after_one_look(
        self, make: MakeCache, face: Face, is_routed: bool
    ) -> None:
        router = cascade(confidence=0.3, **{"model": "large"})
        router.second.decision = RoutingDecision(confidence=0.4, origin="llm")  # type: ignore[attr-defined]  # ours
        cache = make(router)
        await face.update(cache, asking(1, is_routed=is_routed), "the owner")
        assert isinstance(await face.lookup(cache, asking(NEAR, is_routed=is_routed)), Miss)
        assert asked_of(router) == 1

    async def test_a_second_router_that_bypasses_keeps_a_near_hit_from_being_served(
        self, make: MakeCache, face: Face, is_routed: bool
    ) -> None:
        router = cascade(cache_strategy="bypass")
        cache = make(router)
        await face.update(cache, asking(1, is_routed=is_routed), "the owner")
        assert isinstance(await face.lookup(cache, asking(NEAR, is_routed=is_routed)), Bypass)
        assert asked_of(router) == 1

    @pytest.mark.parametrize("stored", [True, False], ids=["far neighbour", "empty"])
    async def test_a_miss_asks_the_second_router_only_where_a_model_is_chosen(
        self, make: MakeCache, face: Face, is_routed: bool, stored: bool
    ) -> None:
        router = cascade()
        cache = make(router)
        if stored:
            await face.update(cache, asking(1, is_routed=is_routed), "the owner")
        result = await face.lookup(cache, asking(FAR, is_routed=is_routed))
        assert isinstance(result, Miss)
        assert asked_of(router) == is_routed
        assert result.explanation.decision is not None
        assert result.explanation.decision.model == ("large" if is_routed else None)

    async def test_the_update_after_a_miss_asks_nobody_again(
        self, make: MakeCache, face: Face, is_routed: bool
    ) -> None:
        router = cascade()
        cache = make(router)
        await face.lookup(cache, asking(FAR, is_routed=is_routed))
        before = (router.counts().routed, asked_of(router))
        await face.update(cache, asking(FAR, is_routed=is_routed), "the owner")
        assert (router.counts().routed, asked_of(router)) == before == (1, is_routed)

    @pytest.mark.parametrize("similarity", [CLEAR, NEAR, FAR])
    async def test_a_first_router_that_is_sure_is_asked_alone(
        self, make: MakeCache, face: Face, is_routed: bool, similarity: float
    ) -> None:
        router = cascade(confidence=0.9)
        cache = make(router)
        await face.update(cache, asking(1, is_routed=is_routed), "the owner")
        await face.lookup(cache, asking(similarity, is_routed=is_routed))
        assert asked_of(router) == 0

    async def test_the_budget_bounds_what_a_stream_of_doubts_may_ask(
        self, make: MakeCache, face: Face, is_routed: bool
    ) -> None:
        router = cascade(share=0.1)
        cache = make(router)
        await face.update(cache, asking(1, is_routed=is_routed), "the owner")
        for number in range(99):
            words = f"who runs number {number} of them"
            await face.lookup(cache, asking(NEAR, is_routed=is_routed, words=words))
        assert (router.counts().routed, asked_of(router)) == (100, 10)
        assert router.counts().over_budget == 89


SIMILARITIES = st.sampled_from([0.5, 0.7, 0.74, 0.77, 0.87, 0.89, 0.92, 0.94, 0.96, 0.98, 1.0])
STORED = st.lists(st.tuples(SIMILARITIES, SIMILARITIES), min_size=1, max_size=4, unique_by=lambda pair: pair[0])


def test_a_clear_hit_behind_a_doubtful_candidate_is_served_without_the_second_router(make: MakeCache) -> None:
    router = cascade()
    cache = make(router, verifier=Estimates())
    for near, p in ((0.98, 0.9), (0.96, 0.98)):
        cache.update(f"what {p} is {near}", f"the answer at {near}")
    result = cache.lookup("what could it be 1.0")
    assert isinstance(result, Hit)
    assert (result.answer.text, asked_of(router)) == ("the answer at 0.96", 0)


@pytest.mark.parametrize("verifier", [None, Estimates()], ids=["similarity alone", "verifier"])
@settings(max_examples=60)
@given(stored=STORED, similarity=SIMILARITIES, confidence=st.sampled_from([0.3, 0.9]), is_routed=st.booleans())
def test_whatever_hits_without_the_second_router_never_asks_it(
    verifier: object, stored: list[tuple[float, float]], similarity: float, confidence: float, is_routed: bool
) -> None:
    asked = replace(Request.of(f"what 0.5 could be {similarity}"), is_routed=is_routed)
    router = cascade(confidence)
    parts = {"embedder": PlacedEmbedder(), "clock": FakeClock(), "guards": (), "verifier": verifier}
    with SemanticCache("memory://", router=RuleRouter(), **parts) as filling:  # type: ignore[arg-type]  # stand-ins
        for near, p in stored:
            filling.update(f"what {p} is {near}", f"the answer at {near}")
        alone = SemanticCache(filling.store, router=router.first, **parts).explain(asked).explanation  # type: ignore[arg-type]  # as above
        result = SemanticCache(filling.store, router=router, **parts).lookup(asked)  # type: ignore[arg-type]  # as above
    event(f"alone: {alone.tier}, together: {result.tier}, asked: {asked_of(router)}")
    if alone.tier == "l2":
        assert asked_of(router) == 0
        assert isinstance(result, Hit)
        assert result.hit_id == alone.hit_id
    assert asked_of(router) <= 1
