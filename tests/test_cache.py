"""SemanticCache from the outside: one behaviour, held by the sync and the async face."""

from __future__ import annotations

from datetime import timedelta

import pytest

from semroute import Bypass, ConfigError, Hit, Miss, NotStored, Policy, Request, Scope, SemanticCache, Stored, scope
from semroute.stores.sharded import ShardedStore
from semroute.testing.clock import FakeClock

from .caching import ANSWER, QUESTION, SAME_IN_OTHER_WORDS, CountingEmbedder, MakeCache


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
