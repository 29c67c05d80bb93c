"""What invalidations and reports of wrong hits take out of a cache, and what they leave."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from semroute import Answer, ConfigError, Hit, Miss, NotStored, Request, SemanticCache, Stored, scope
from semroute.documents.nearness import Nearness
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.clock import FakeClock
from semroute.testing.embedders import HashEmbedder
from semroute.testing.stores import FailingStore

from .caching import ANSWER, QUESTION, SAME_IN_OTHER_WORDS, CountingEmbedder


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


class TestDocuments:
    """Answers that were made from documents go with them."""

    def asked(self, cache: SemanticCache, question: str, corpus: str = "handbook") -> Request:
        return replace(cache.request(question, system=corpus), corpora=(corpus,))

    async def fill(self, face, cache: SemanticCache) -> None:
        made_from = {"What is a ring?": ("a", "b"), "What is a shard?": ("b",), "What is an alias?": ()}
        for question, documents in made_from.items():
            answer = Answer(f"{question} Well.", documents=documents)
            assert isinstance(await face.update(cache, self.asked(cache, question), answer), Stored)
        other = self.asked(cache, "What is a ring?", "faq")
        assert isinstance(await face.update(cache, other, Answer("Round.", documents=("a",))), Stored)

    async def left(self, face, cache: SemanticCache) -> int:
        questions = ("What is a ring?", "What is a shard?", "What is an alias?")
        asked = [*(self.asked(cache, question) for question in questions), self.asked(cache, questions[0], "faq")]
        return sum([isinstance(await face.lookup(cache, request), Hit) for request in asked])

    @pytest.mark.parametrize(
        ("named", "gone"),
        [
            ({"doc_ids": ["a"]}, 2),
            ({"doc_ids": ["a"], "corpus": "handbook"}, 1),
            ({"doc_ids": ["a", "b"], "corpus": "handbook"}, 2),
            ({"doc_ids": ["b"], "corpus": "faq"}, 0),
            ({"doc_ids": []}, 0),
            ({"corpus": "handbook"}, 3),
        ],
    )
    async def test_what_was_made_from_a_document_goes_and_nothing_else(self, face, cache, named, gone) -> None:
        await self.fill(face, cache)
        assert cache.invalidate(**named) == gone
        assert await self.left(face, cache) == 4 - gone

    async def test_the_words_that_led_to_it_go_too(self, face, cache: SemanticCache) -> None:
        request = self.asked(cache, QUESTION)
        await face.update(cache, request, Answer("Click.", documents=("manual",)))
        in_other_words = replace(request, query=SAME_IN_OTHER_WORDS)
        assert isinstance(await face.lookup(cache, in_other_words), Hit)
        assert cache.invalidate(doc_ids=["manual"]) == 1
        assert isinstance(await face.lookup(cache, in_other_words), Miss)

    async def test_an_answer_under_way_from_a_changed_document_is_not_stored(self, face, cache: SemanticCache) -> None:
        request = self.asked(cache, QUESTION)
        await face.lookup(cache, request)
        cache.invalidate(doc_ids=["manual"])
        assert isinstance(await face.update(cache, request, Answer("Old.", documents=("manual",))), NotStored)
        await face.lookup(cache, request)
        assert isinstance(await face.update(cache, request, Answer("New.", documents=("manual",))), Stored)

    def test_a_lone_id_is_refused_for_its_letters_would_each_be_one(self, cache: SemanticCache) -> None:
        with pytest.raises(ConfigError, match="doc_ids must be several ids"):
            cache.invalidate(doc_ids="manual")

    async def test_answers_of_a_corpus_without_a_version_perish(self, face, cache: SemanticCache) -> None:
        plain, versioned = self.asked(cache, "What is a ring?"), self.asked(cache, "What is a shard?")
        kept = [await face.update(cache, each, "Well.") for each in (plain, replace(versioned, is_versioned=True))]
        lives = [stored.expires_at - cache._clock() for stored in kept]
        assert lives == [timedelta(days=7).total_seconds(), timedelta(days=30).total_seconds()]


class TestAddedDocuments:
    """Answers whose question a new text is near to go; the others stay."""

    async def fill(self, face, cache: SemanticCache, corpus: str = "handbook") -> None:
        for question in ("Where do visitors park?", "Is there a dishwasher?", "What does a badge cost?"):
            request = replace(cache.request(question, system=corpus), corpora=(corpus,))
            assert isinstance(await face.update(cache, request, "So it is."), Stored)

    def left(self, cache: SemanticCache) -> set[str]:
        return {entry.query for entry in cache.store.scan()}

    async def test_only_near_ones_of_the_corpus_go(self, face, cache: SemanticCache) -> None:
        await self.fill(face, cache)
        await self.fill(face, cache, "another house")
        assert cache.invalidate_near(["Visitors park where they like."], corpus="handbook") == 1
        assert len(list(cache.store.scan())) == 5
        assert cache.invalidate_near([], corpus="handbook") == 0
        assert cache.invalidate_near(["  "], corpus="handbook") == 0
        assert cache.invalidate_near(["Visitors park where they like."], corpus="no such") == 0

    async def test_one_that_still_holds_stays(self, face, cache: SemanticCache) -> None:
        await self.fill(face, cache)
        asked: list[str] = []

        def still_holds(question: str) -> bool:
            asked.append(question)
            return "park" in question

        texts = ["Visitors park where they like.", "What does a dishwasher cost?"]
        nearness = Nearness(at_least=0.4)
        assert (
            cache.invalidate_near(texts, corpus="handbook", nearness=nearness, still_holds=still_holds)
            == len(asked) - 1
        )
        assert "Where do visitors park?" in asked
        assert "Where do visitors park?" in self.left(cache)

    async def test_an_answer_that_was_under_way_is_not_stored(self, face, cache: SemanticCache) -> None:
        request = replace(cache.request("Where do visitors park?", system="handbook"), corpora=("handbook",))
        await face.lookup(cache, request)
        assert cache.invalidate_near(["Something else entirely."], corpus="handbook") == 0
        assert isinstance(await face.update(cache, request, "On deck two."), NotStored)
        await face.lookup(cache, request)
        assert isinstance(await face.update(cache, request, "On deck two."), Stored)

    async def test_a_store_that_cannot_search_so_loses_the_corpus(self, face, make_cache, clock) -> None:
        cache = make_cache(FailingStore(EmbeddedStore("memory://", clock=clock)))
        await self.fill(face, cache)
        await self.fill(face, cache, "another house")
        assert cache.invalidate_near(["Visitors park where they like."], corpus="handbook") == 3
        assert len(self.left(cache)) == 3

    async def test_a_text_that_the_embedder_takes_nothing_of_is_near_to_all(self, face, make_cache) -> None:
        cache = make_cache(embedder=HashEmbedder(max_words=6))
        await self.fill(face, cache)
        cache.embedder.fits = lambda text: "字" not in text
        assert cache.invalidate_near(["字字字"], corpus="handbook") == 3

    async def test_nothing_is_embedded_where_the_corpus_has_no_answers(self, face, make_cache) -> None:
        embedder = CountingEmbedder()
        cache = make_cache(embedder=embedder)
        assert cache.invalidate_near([f"Page {number}." for number in range(50)], corpus="handbook") == 0
        assert len(embedder.texts) == 1
