"""SemanticCache from the outside: one behaviour, held by the sync and the async face."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from semroute import (
    Answer,
    Bypass,
    ConfigError,
    Hit,
    Miss,
    NotStored,
    Policy,
    Price,
    Queued,
    Request,
    Scope,
    SemanticCache,
    Stored,
    Usage,
    scope,
)
from semroute.stores.sharded import ShardedStore
from semroute.telemetry import Event, FeedbackEvent, LookupEvent, UpdateEvent
from semroute.testing.clock import FakeClock
from semroute.testing.embedders import HashEmbedder

MakeCache = Callable[..., SemanticCache]
QUESTION = "How do I reset my password?"
SAME_IN_OTHER_WORDS = "how do i reset my password"
"""Another exact key; for the embedder of these tests the very same vector."""
ANSWER = Answer("Click on 'forgot'.", model="m", usage=Usage(100, 50), latency_s=2.0)


class CountingEmbedder(HashEmbedder):
    """Counts the texts that it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts):
        self.texts.extend(texts)
        return super().embed(texts)


class Noting:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on(self, event: Event) -> None:
        self.events.append(event)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class TestLookupAndUpdate:
    async def test_a_question_is_missed_stored_and_served(self, face, cache: SemanticCache) -> None:
        assert isinstance(await face.lookup(cache, QUESTION), Miss)
        stored = await face.update(cache, QUESTION, ANSWER)
        assert isinstance(stored, Stored)
        assert stored.is_semantic
        hit = await face.lookup(cache, QUESTION)
        assert isinstance(hit, Hit)
        assert (hit.tier, hit.answer, hit.hit_id) == ("l1", ANSWER, stored.entry_id)

    async def test_other_words_hit_by_meaning_and_then_by_alias(self, face, cache: SemanticCache) -> None:
        stored = await face.update(cache, QUESTION, ANSWER)
        hits = [await face.lookup(cache, SAME_IN_OTHER_WORDS) for _ in range(3)]
        assert [hit.tier for hit in hits] == ["l2", "l1_alias", "l1_alias"]
        assert {hit.hit_id for hit in hits} == {stored.entry_id}
        assert all(hit.answer == ANSWER for hit in hits)

    async def test_one_embedding_is_made_for_a_miss_and_its_update_and_none_for_an_exact_hit(
        self, face, make_cache: MakeCache
    ) -> None:
        embedder = CountingEmbedder()
        cache = make_cache(embedder=embedder)
        await face.lookup(cache, QUESTION)
        await face.update(cache, QUESTION, ANSWER)
        await face.lookup(cache, QUESTION)
        await face.lookup(cache, SAME_IN_OTHER_WORDS)
        await face.lookup(cache, SAME_IN_OTHER_WORDS)
        assert embedder.texts == [QUESTION, SAME_IN_OTHER_WORDS]

    async def test_a_later_answer_replaces_the_first(self, face, cache: SemanticCache) -> None:
        await face.update(cache, QUESTION, "old")
        await face.update(cache, QUESTION, "new")
        assert (await face.lookup(cache, QUESTION)).answer.text == "new"

    async def test_a_look_alike_is_refused_and_the_miss_names_what_differs(self, face, cache: SemanticCache) -> None:
        await face.update(cache, "Who won the football world cup final in 2014?", "Germany")
        miss = await face.lookup(cache, "Who won the football world cup final in 2018?")
        assert isinstance(miss, Miss)
        told = miss.explanation
        assert told.similarity is not None
        assert not any(near.id == told.hit_id for near in told.considered)
        assert told.hit_id is None

    async def test_a_question_of_the_moment_is_neither_served_nor_stored(self, face, cache: SemanticCache) -> None:
        question = "What's the weather right now in Paris?"
        assert isinstance(await face.lookup(cache, question), Bypass)
        assert isinstance(await face.update(cache, question, "Rain"), NotStored)
        assert cache.size().entries == 0

    async def test_an_application_that_wants_a_fresh_answer_gets_one_and_leaves_the_stored_one(
        self, face, cache: SemanticCache
    ) -> None:
        await face.update(cache, QUESTION, "stored")
        with scope(bypass=True):
            assert isinstance(await face.lookup(cache, QUESTION), Bypass)
            assert isinstance(await face.update(cache, QUESTION, "fresh"), NotStored)
        assert (await face.lookup(cache, QUESTION)).answer.text == "stored"

    async def test_both_faces_name_a_request_alike(self, face, cache: SemanticCache) -> None:
        request = Request.of(QUESTION, system="s")
        assert await face.key(cache, request) == cache.key(request)
        stored = await face.update(cache, request, ANSWER)
        assert stored.entry_id == cache.key(request)

    async def test_what_one_face_stores_the_other_serves(self, cache: SemanticCache) -> None:
        cache.update(QUESTION, "by the sync face")
        await cache.aupdate(f"Please: {QUESTION}", "by the async face")
        assert (await cache.alookup(QUESTION)).answer.text == "by the sync face"
        assert cache.lookup(f"Please: {QUESTION}").answer.text == "by the async face"

    async def test_an_answer_is_served_within_its_own_context_only(self, face, cache: SemanticCache) -> None:
        await face.update(cache, Request.of(QUESTION, system="You are kind.", model="m"), ANSWER)
        others = [
            Request.of(QUESTION, system="You are kind.", model="n"),
            Request.of(QUESTION, system="You are curt.", model="m"),
            Request.of(QUESTION, model="m"),
            Request.of(QUESTION, system="You are kind.", model="m", history=[{"role": "user", "content": "hi"}]),
            Request.of(SAME_IN_OTHER_WORDS, system="You are curt.", model="m"),
        ]
        for request in others:
            assert isinstance(await face.lookup(cache, request), Miss)

    async def test_words_named_in_a_template_are_compared_by_meaning(self, face, cache: SemanticCache) -> None:
        def prompt(words: str) -> str:
            return f"Answer from the manual, shortly.\nQuestion: {words}\nAnswer:"

        with scope(query=QUESTION):
            await face.update(cache, prompt(QUESTION), ANSWER)
        with scope(query=SAME_IN_OTHER_WORDS):
            hit = await face.lookup(cache, prompt(SAME_IN_OTHER_WORDS))
        assert isinstance(hit, Hit)
        assert hit.tier == "l2"
        assert repr(QUESTION) in hit.explanation.reason


class TestScopes:
    async def test_nothing_crosses_from_one_tenant_namespace_or_user_to_another(
        self, face, cache: SemanticCache
    ) -> None:
        scopes = [{}, {"tenant": "a"}, {"tenant": "b"}, {"namespace": "a"}, {"user": "a"}, {"tenant": "a", "user": "u"}]
        for number, names in enumerate(scopes):
            with scope(**names):
                for question in (QUESTION, SAME_IN_OTHER_WORDS):
                    assert isinstance(await face.lookup(cache, question), Miss)
                await face.update(cache, QUESTION, f"answer {number}")
        for number, names in enumerate(scopes):
            with scope(**names):
                for question in (QUESTION, SAME_IN_OTHER_WORDS):
                    assert (await face.lookup(cache, question)).answer.text == f"answer {number}"

    async def test_a_request_that_names_its_scope_is_not_moved_by_the_block_it_runs_in(
        self, face, cache: SemanticCache
    ) -> None:
        with scope(tenant="b"):
            await face.update(cache, Request.of(QUESTION, scope=Scope(tenant="a")), ANSWER)
            assert isinstance(await face.lookup(cache, QUESTION), Miss)
        with scope(tenant="a"):
            assert isinstance(await face.lookup(cache, QUESTION), Hit)

    async def test_a_cache_that_requires_a_scope_bypasses_what_names_none(self, face, make_cache: MakeCache) -> None:
        cache = make_cache(require_scope=True)
        assert isinstance(await face.lookup(cache, QUESTION), Bypass)
        assert isinstance(await face.update(cache, QUESTION, ANSWER), NotStored)
        with scope(tenant="acme"):
            assert isinstance(await face.update(cache, QUESTION, ANSWER), Stored)
            assert isinstance(await face.lookup(cache, QUESTION), Hit)

    async def test_a_users_own_state_is_kept_for_that_user_alone(self, face, cache: SemanticCache) -> None:
        question = "Where is my order?"
        assert isinstance(await face.lookup(cache, question), Bypass)
        with scope(tenant="t", user="ann"):
            await face.update(cache, question, "On its way to Ann.")
            assert isinstance(await face.lookup(cache, question), Hit)
        with scope(tenant="t", user="bob"):
            assert isinstance(await face.lookup(cache, question), Miss)


class TestTime:
    async def test_an_answer_is_served_until_its_ttl_is_over(self, face, cache, clock: FakeClock) -> None:
        with scope(ttl=timedelta(minutes=5)):
            stored = await face.update(cache, QUESTION, ANSWER)
        assert stored.expires_at == clock() + 300
        await face.lookup(cache, SAME_IN_OTHER_WORDS)
        clock.advance(299.9)
        assert isinstance(await face.lookup(cache, QUESTION), Hit)
        clock.advance(0.1)
        for question in (QUESTION, SAME_IN_OTHER_WORDS, f"{SAME_IN_OTHER_WORDS}!"):
            assert isinstance(await face.lookup(cache, question), Miss)

    async def test_a_hit_tells_its_age(self, face, cache, clock: FakeClock) -> None:
        await face.update(cache, QUESTION, ANSWER)
        clock.advance(timedelta(minutes=2))
        assert (await face.lookup(cache, QUESTION)).explanation.age_s == 120.0

    async def test_a_clock_that_goes_backwards_hurts_nothing(self, face, cache, clock: FakeClock) -> None:
        await face.update(cache, QUESTION, ANSWER)
        clock.advance(timedelta(days=-2))
        hit = await face.lookup(cache, QUESTION)
        assert isinstance(hit, Hit)
        assert hit.explanation.age_s == 0.0
        assert isinstance(await face.lookup(cache, SAME_IN_OTHER_WORDS), Hit)
        assert isinstance(await face.update(cache, QUESTION, "newer"), Stored)
        assert (await face.lookup(cache, QUESTION)).answer.text == "newer"


class TestInvalidation:
    async def fill(self, face, cache: SemanticCache) -> None:
        for tenant in ("a", "b"):
            for namespace in ("docs", "shop"):
                with scope(tenant=tenant, namespace=namespace, user=f"{tenant}-{namespace}", tags=[f"from {tenant}"]):
                    await face.update(cache, QUESTION, f"{tenant} {namespace}")

    async def left(self, face, cache: SemanticCache) -> set[str]:
        found = set()
        for tenant in ("a", "b"):
            for namespace in ("docs", "shop"):
                with scope(tenant=tenant, namespace=namespace, user=f"{tenant}-{namespace}"):
                    results = [await face.lookup(cache, words) for words in (QUESTION, SAME_IN_OTHER_WORDS)]
                    found |= {result.answer.text for result in results if isinstance(result, Hit)}
        return found

    @pytest.mark.parametrize(
        ("named", "left"),
        [
            ({"tenant": "a"}, {"b docs", "b shop"}),
            ({"namespace": "docs"}, {"a shop", "b shop"}),
            ({"tenant": "a", "namespace": "docs"}, {"a shop", "b docs", "b shop"}),
            ({"user": "b-shop"}, {"a docs", "a shop", "b docs"}),
            ({"tag": "from b"}, {"a docs", "a shop"}),
            ({"tenant": "a", "tag": "from b"}, {"a docs", "a shop", "b docs", "b shop"}),
            ({"tenant": "nobody"}, {"a docs", "a shop", "b docs", "b shop"}),
            ({"older_than": timedelta(days=1)}, {"a docs", "a shop", "b docs", "b shop"}),
        ],
    )
    async def test_what_is_named_goes_and_nothing_else(self, face, cache: SemanticCache, named, left) -> None:
        await self.fill(face, cache)
        assert cache.invalidate(**named) == 4 - len(left)
        assert await self.left(face, cache) == left

    async def test_what_is_older_than_a_time_goes(self, face, cache: SemanticCache, clock: FakeClock) -> None:
        await face.update(cache, "What is a ring?", "old")
        clock.advance(timedelta(hours=2))
        await face.update(cache, "What is a shard?", "new")
        assert cache.invalidate(older_than=timedelta(hours=1)) == 1
        assert isinstance(await face.lookup(cache, "What is a ring?"), Miss)
        assert isinstance(await face.lookup(cache, "What is a shard?"), Hit)

    async def test_one_entry_goes_with_its_aliases(self, face, cache: SemanticCache) -> None:
        stored = await face.update(cache, QUESTION, ANSWER)
        await face.lookup(cache, SAME_IN_OTHER_WORDS)
        assert cache.invalidate(entry=stored.entry_id) == 1
        assert isinstance(await face.lookup(cache, QUESTION), Miss)
        assert isinstance(await face.lookup(cache, SAME_IN_OTHER_WORDS), Miss)

    async def test_clearing_removes_everything(self, face, cache: SemanticCache) -> None:
        await self.fill(face, cache)
        assert cache.clear() == 4
        assert await self.left(face, cache) == set()
        assert cache.size().entries == 0

    @pytest.mark.parametrize("how", ["tenant", "tag", "clear", "entry", "feedback"])
    async def test_an_answer_under_way_during_an_invalidation_is_not_stored(self, face, cache, how: str) -> None:
        with scope(tenant="a", tags=["t"]):
            request = cache.request(QUESTION)
        await face.lookup(cache, request)
        self.invalidate(cache, how, request)
        assert isinstance(await face.update(cache, request, "made before"), NotStored)
        assert isinstance(await face.lookup(cache, request), Miss)
        assert isinstance(await face.update(cache, request, "made after"), Stored)

    @pytest.mark.parametrize("how", ["tenant", "tag", "clear", "entry", "feedback"])
    async def test_no_one_of_several_answers_under_way_during_an_invalidation_is_stored(self, face, cache, how) -> None:
        with scope(tenant="a", tags=["t"]):
            request = cache.request(QUESTION)
        await face.lookup(cache, request)
        await face.lookup(cache, request)
        self.invalidate(cache, how, request)
        assert isinstance(await face.update(cache, request, "made before"), NotStored)
        assert isinstance(await face.update(cache, request, "made before too"), NotStored)

    def invalidate(self, cache: SemanticCache, how: str, request: Request) -> None:
        match how:
            case "tenant":
                cache.invalidate(tenant="a")
            case "tag":
                cache.invalidate(tag="t")
            case "clear":
                cache.clear()
            case "entry":
                cache.invalidate(entry=cache.key(request))
            case "feedback":
                cache.feedback(cache.key(request), correct=False)

    async def test_an_invalidation_of_others_does_not_touch_an_answer_under_way(self, face, cache) -> None:
        with scope(tenant="a"):
            await face.lookup(cache, QUESTION)
            cache.invalidate(tenant="b")
            assert isinstance(await face.update(cache, QUESTION, ANSWER), Stored)

    def test_nothing_named_is_an_error_and_removes_nothing(self, cache: SemanticCache) -> None:
        cache.update(QUESTION, ANSWER)
        with pytest.raises(ConfigError, match="name what to invalidate"):
            cache.invalidate()
        assert isinstance(cache.lookup(QUESTION), Hit)

    def test_a_negative_age_is_an_error_and_removes_nothing(self, cache: SemanticCache) -> None:
        cache.update(QUESTION, ANSWER)
        with pytest.raises(ConfigError, match="older_than must be a timedelta of at least 0 s"):
            cache.invalidate(older_than=timedelta(seconds=-1))
        assert isinstance(cache.lookup(QUESTION), Hit)


class TestFeedback:
    async def test_a_wrong_hit_loses_its_entry_with_all_aliases_and_is_counted(self, face, cache) -> None:
        await face.update(cache, QUESTION, "wrong")
        hit = await face.lookup(cache, SAME_IN_OTHER_WORDS)
        assert cache.feedback(hit.hit_id, correct=False) == 1
        for question in (QUESTION, SAME_IN_OTHER_WORDS):
            assert isinstance(await face.lookup(cache, question), Miss)
        assert cache.stats().wrong_reports == 1
        assert isinstance(await face.update(cache, QUESTION, "right"), Stored)

    async def test_a_right_hit_stays(self, face, cache: SemanticCache) -> None:
        await face.update(cache, QUESTION, ANSWER)
        hit = await face.lookup(cache, QUESTION)
        assert cache.feedback(hit.hit_id, correct=True) == 0
        assert isinstance(await face.lookup(cache, QUESTION), Hit)
        assert cache.stats().wrong_reports == 0

    def test_a_hit_that_nobody_knows_removes_nothing(self, cache: SemanticCache) -> None:
        cache.update(QUESTION, ANSWER)
        assert cache.feedback("no such hit", correct=False) == 0
        assert isinstance(cache.lookup(QUESTION), Hit)


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
        looked, updated, reported = listener.events
        assert isinstance(looked, LookupEvent)
        assert looked.result is result
        assert looked.seconds >= 0
        assert updated == UpdateEvent(stored)
        assert reported == FeedbackEvent(stored.entry_id, correct=False, removed=1)


class TestLife:
    async def test_nothing_is_opened_before_the_first_call(self, face, make_cache: MakeCache, tmp_path: Path) -> None:
        cache = make_cache(tmp_path / "folder" / "answers.db")
        assert names_in(tmp_path) == []
        await face.lookup(cache, QUESTION)
        assert "answers.db" in names_in(tmp_path / "folder")

    async def test_answers_survive_closing_and_the_cache_opens_again(self, face, make_cache, tmp_path: Path) -> None:
        cache = make_cache(tmp_path / "answers.db")
        await face.update(cache, QUESTION, ANSWER)
        await face.close(cache)
        await face.close(cache)
        assert (await face.lookup(cache, SAME_IN_OTHER_WORDS)).tier == "l2"
        assert (await face.lookup(make_cache(tmp_path / "answers.db"), QUESTION)).answer == ANSWER

    def test_a_cache_is_a_context_manager(self, tmp_path: Path) -> None:
        with SemanticCache(tmp_path / "answers.db", embedder=HashEmbedder()) as cache:
            cache.update(QUESTION, ANSWER)
        assert names_in(tmp_path) == ["answers.db"]

    async def test_a_cache_is_an_async_context_manager(self, tmp_path: Path) -> None:
        async with SemanticCache(tmp_path / "answers.db", embedder=HashEmbedder()) as cache:
            await cache.aupdate(QUESTION, ANSWER)
        assert names_in(tmp_path) == ["answers.db"]

    def test_a_copy_of_what_holds_a_cache_shares_it(self, cache: SemanticCache) -> None:
        holder = {"cache": cache}
        assert copy.copy(cache) is cache
        assert copy.deepcopy(holder)["cache"] is cache

    def test_preloading_loads_the_model_and_stores_nothing(self, make_cache: MakeCache) -> None:
        embedder = CountingEmbedder()
        cache = make_cache(embedder=embedder)
        cache.preload()
        assert len(embedder.texts) == 1
        assert (cache.size().entries, cache.stats().lookups) == (0, 0)

    def test_its_repr_tells_store_embedder_and_policy(self, cache: SemanticCache) -> None:
        for part in ("memory://", "HashEmbedder", "default"):
            assert part in repr(cache)


class TestSettings:
    async def test_a_threshold_given_by_hand_is_what_a_hit_needs(self, face, make_cache: MakeCache) -> None:
        strict, loose = make_cache(threshold=1.0, guards=[]), make_cache(threshold=0.2, guards=[])
        for cache, kind in ((strict, Miss), (loose, Hit)):
            await face.update(cache, "one two three four", "a")
            result = await face.lookup(cache, "one two three five")
            assert isinstance(result, kind)
            assert result.explanation.threshold == cache.settings.threshold

    def test_a_policy_and_a_threshold_contradict_each_other(self) -> None:
        with pytest.raises(ConfigError, match="either a policy or a threshold"):
            SemanticCache("memory://", policy=Policy(), threshold=0.9)

    def test_settings_and_named_settings_contradict_each_other(self, cache: SemanticCache) -> None:
        with pytest.raises(ConfigError, match="either settings or"):
            SemanticCache("memory://", settings=cache.settings, threshold=0.9)

    def test_several_stores_are_the_shards_of_one(self) -> None:
        with SemanticCache("memory://", "memory://") as cache:
            assert isinstance(cache.store, ShardedStore)
            assert len(cache.store.stores) == 2

    async def test_named_volatile_tokens_do_not_tell_requests_apart(self, face, make_cache: MakeCache) -> None:
        cache = make_cache(strip=("uuid",))
        first, second = (f"Why did job {half * 8}-0000-0000-0000-000000000000 fail?" for half in "ab")
        await face.update(cache, first, "Out of memory.")
        assert (await face.lookup(cache, second)).tier == "l1"

    async def test_hot_sampling_shares_answers_of_the_very_same_request_only(self, face, make_cache) -> None:
        cache = make_cache(max_temperature=0.5)
        await face.update(cache, Request.of(QUESTION, params={"temperature": 0.9}), ANSWER)
        same, other = (Request.of(text, params={"temperature": 0.9}) for text in (QUESTION, SAME_IN_OTHER_WORDS))
        assert isinstance(await face.lookup(cache, same), Hit)
        assert isinstance(await face.lookup(cache, other), Miss)


class TestBackgroundWrites:
    async def test_an_update_is_queued_and_stored_behind_the_callers_back(self, face, make_cache: MakeCache) -> None:
        cache = make_cache(write="background")
        await face.lookup(cache, QUESTION)
        assert await face.update(cache, QUESTION, ANSWER) == Queued()
        cache.flush()
        assert isinstance(await face.lookup(cache, QUESTION), Hit)
        assert cache.stats().stored == 1

    async def test_closing_stores_what_is_queued(self, face, make_cache: MakeCache, tmp_path: Path) -> None:
        cache = make_cache(tmp_path / "answers.db", write="background")
        for number in range(20):
            await face.update(cache, f"What is a ring of {number} stones?", f"answer {number}")
        await face.close(cache)
        assert make_cache(tmp_path / "answers.db").size().entries == 20

    async def test_an_answer_under_way_during_an_invalidation_is_not_stored_in_the_background_either(
        self, face, make_cache: MakeCache
    ) -> None:
        cache = make_cache(write="background")
        await face.lookup(cache, QUESTION)
        cache.clear()
        await face.update(cache, QUESTION, ANSWER)
        cache.flush()
        assert cache.size().entries == 0

    def test_what_is_queued_at_the_end_of_the_program_is_stored_with_its_vector(self, run_python, make_cache, tmp_path):
        script = """
import sys
from semroute import SemanticCache
from semroute.testing.embedders import HashEmbedder
cache = SemanticCache(sys.argv[1], embedder=HashEmbedder(), write="background")
for number in range(50):
    cache.update(f"What is a ring of {number} stones?", "a ring")
"""
        run_python(script, str(tmp_path / "answers.db"))
        cache = make_cache(tmp_path / "answers.db")
        assert cache.size().entries == 50
        entries = list(cache.store.scan())
        assert len(entries) == 50
        assert all(entry.vector is not None for entry in entries)
