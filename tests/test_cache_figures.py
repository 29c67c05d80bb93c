"""What a cache tells of itself: explanations, statistics and events."""

from __future__ import annotations

import pytest

from semroute import Answer, Price, SemanticCache, Stored, Usage, scope
from semroute.telemetry import CallEvent, Event, FeedbackEvent, LookupEvent, UpdateEvent

from .caching import ANSWER, QUESTION, SAME_IN_OTHER_WORDS, CountingEmbedder, MakeCache


class Noting:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on(self, event: Event) -> None:
        self.events.append(event)


class TestExplain:
    def test_it_serves_stores_and_counts_nothing_not_even_an_alias(self, cache: SemanticCache) -> None:
        cache.update(QUESTION, ANSWER)
        before = cache.size(), cache.stats()
        trace = cache.explain(SAME_IN_OTHER_WORDS)
        assert trace.explanation.tier == "l2"
        assert (cache.size(), cache.stats()) == before
        assert cache.lookup(SAME_IN_OTHER_WORDS).tier == "l2"

    def test_it_walks_through_every_step(self, cache: SemanticCache) -> None:
        cache.update(QUESTION, ANSWER)
        names = [step.name for step in cache.explain(SAME_IN_OTHER_WORDS).steps]
        assert names[:5] == ["cacheability", "get", "embed", "route", "search"]
        assert names[5:-2] == ["judge"]
        assert names[-2:] == ["get", "put"]
        assert all(step.ms >= 0 and step.outcome for step in cache.explain(QUESTION).steps)

    def test_an_explained_miss_leaves_no_trail_for_an_update(self, make_cache: MakeCache) -> None:
        embedder = CountingEmbedder()
        cache = make_cache(embedder=embedder)
        assert cache.explain(QUESTION).explanation.tier == "miss"
        cache.clear()
        assert isinstance(cache.update(QUESTION, ANSWER), Stored)

    def test_it_takes_the_scope_it_is_called_in(self, cache: SemanticCache) -> None:
        cache.update(QUESTION, ANSWER)
        with scope(tenant="acme"):
            assert cache.explain(QUESTION).explanation.tier == "miss"


class TestFigures:
    async def test_lookups_are_counted_by_tier_and_updates_by_outcome(self, face, cache: SemanticCache) -> None:
        await face.lookup(cache, QUESTION)
        await face.update(cache, QUESTION, ANSWER)
        await face.lookup(cache, QUESTION)
        await face.lookup(cache, SAME_IN_OTHER_WORDS)
        await face.lookup(cache, SAME_IN_OTHER_WORDS)
        await face.lookup(cache, "What's the weather right now in Paris?")
        await face.update(cache, "What is a ring?", "")
        stats = cache.stats()
        assert (stats.lookups, stats.hits, stats.hit_rate) == (5, 3, 0.6)
        assert stats.tiers == {"miss": 1, "l1": 1, "l2": 1, "l1_alias": 1, "bypass": 1}
        assert stats.stored == 1
        assert sum(stats.not_stored.values()) == 1
        assert stats.failures == {}

    async def test_hits_add_up_what_they_saved(self, face, make_cache: MakeCache) -> None:
        cache = make_cache(prices={"m": Price(input_usd_per_mtok=1.0, output_usd_per_mtok=4.0)})
        await face.update(cache, QUESTION, ANSWER)
        hit = await face.lookup(cache, QUESTION)
        await face.lookup(cache, SAME_IN_OTHER_WORDS)
        assert hit.explanation.saved.usd == pytest.approx(0.0003)
        stats = cache.stats()
        assert (stats.saved_tokens, stats.saved_s) == (300, 4.0)
        assert stats.saved_usd == pytest.approx(0.0006)

    async def test_a_cost_that_the_answer_tells_is_not_overwritten_by_a_price(self, face, make_cache) -> None:
        cache = make_cache(prices={"m": Price(1.0, 1.0)})
        await face.update(cache, QUESTION, Answer("a", model="m", usage=Usage(10, 10), usd=0.0))
        assert (await face.lookup(cache, QUESTION)).explanation.saved.usd == 0.0

    async def test_a_saving_that_nobody_told_is_unknown_and_not_zero(self, face, cache: SemanticCache) -> None:
        await face.update(cache, QUESTION, "plain text")
        saved = (await face.lookup(cache, QUESTION)).explanation.saved
        assert (saved.tokens, saved.usd, saved.seconds) == (None, None, None)

    async def test_listeners_hear_of_every_lookup_update_and_report(self, face, make_cache: MakeCache) -> None:
        listener = Noting()
        cache = make_cache(listeners=[listener])
        result = await face.lookup(cache, QUESTION)
        stored = await face.update(cache, QUESTION, ANSWER)
        cache.feedback(stored.entry_id, correct=False)
        looked, called, updated, reported = listener.events
        assert isinstance(looked, LookupEvent)
        assert looked.result is result
        assert looked.seconds >= 0
        assert isinstance(called, CallEvent)
        assert called.answer == ANSWER
        assert updated == UpdateEvent(stored)
        assert reported == FeedbackEvent(stored.entry_id, correct=False, removed=1)
