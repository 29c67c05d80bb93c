"""What a query engine behind the cache answers: the inner engine's own answer, once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    PydanticResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.schema import ImageNode, IndexNode, NodeWithScore, QueryBundle, TextNode
from llama_index_semroute.query_engine import SemanticCacheQueryEngine
from pydantic import BaseModel

from semroute import ConfigError, SemanticCache, scope

from .handbook import PAGES, QUESTION, SAME_IN_OTHER_WORDS, CountedEmbedder, ReadingLLM, index_of


class Face:
    """The sync or the async side of an engine, its streams read to their ends."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async

    async def query(self, engine: BaseQueryEngine, question: Any) -> Any:
        return await engine.aquery(question) if self.is_async else engine.query(question)

    async def pieces(self, response: Any) -> list[str]:
        if isinstance(response, AsyncStreamingResponse):
            return [piece async for piece in response.async_response_gen()]
        return list(response.response_gen)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def side(request: pytest.FixtureRequest) -> Face:
    return Face(is_async=request.param)


@pytest.fixture
def llm() -> ReadingLLM:
    return ReadingLLM()


@pytest.fixture
def embedder() -> CountedEmbedder:
    return CountedEmbedder()


@pytest.fixture
def cache(make_cache, embedder: CountedEmbedder) -> SemanticCache:
    return make_cache(embedder=embedder)


@pytest.fixture
def index(embedder: CountedEmbedder) -> Any:
    index = index_of(embedder=embedder)
    embedder.texts.clear()
    return index


def tier_of(response: Any) -> str:
    return response.metadata["semroute"]["tier"]


class Engine(BaseQueryEngine):
    """Answers what it is told to, and counts how often it is asked."""

    def __init__(self, answer: Any) -> None:
        super().__init__(callback_manager=None)
        self.answer = answer
        self.asked: list[str] = []

    def _get_prompt_modules(self) -> dict[str, Any]:
        return {}

    def _query(self, query_bundle: QueryBundle) -> Any:
        self.asked.append(query_bundle.query_str)
        return self.answer()

    async def _aquery(self, query_bundle: QueryBundle) -> Any:
        return self._query(query_bundle)


class TestAnswers:
    async def test_a_paraphrase_is_served_before_anything_is_retrieved(
        self, side, index, llm, cache, monkeypatch
    ) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        first = await side.query(engine, QUESTION)
        retrieved = []
        for name in ("_retrieve", "_aretrieve"):
            monkeypatch.setattr(VectorIndexRetriever, name, lambda self, bundle: retrieved.append(bundle))
        again = await side.query(engine, SAME_IN_OTHER_WORDS)
        assert (tier_of(first), tier_of(again)) == ("miss", "l2")
        assert again.response == first.response == f"{PAGES['badges']} (reading-1)"
        assert again.source_nodes == first.source_nodes
        assert [node.score for node in again.source_nodes] == [node.score for node in first.source_nodes]
        assert (llm.calls, retrieved) == (1, [])

    async def test_a_miss_embeds_its_words_once(self, side, index, llm, cache, embedder) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        await side.query(engine, QUESTION)
        assert embedder.texts == [QUESTION]

    async def test_the_vector_of_words_that_were_named_is_not_that_of_the_whole_query(
        self, side, index, llm, cache, embedder
    ) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        with scope(query="a lost badge"):
            await side.query(engine, QUESTION)
        assert embedder.texts == ["a lost badge", QUESTION]

    async def test_hits_are_objects_of_their_own(self, side, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        first = await side.query(engine, QUESTION)
        first.metadata["selector_result"] = object()  # as a router engine does
        second = await side.query(engine, QUESTION)
        second.source_nodes[0].node.metadata["page"] = "spoilt"
        second.metadata["selector_result"] = object()
        third = await side.query(engine, QUESTION)
        assert third.source_nodes[0].node.metadata["page"] == "badges"
        assert "selector_result" not in third.metadata

    async def test_streams_are_replayed_in_pieces(self, side, index, llm, cache) -> None:
        inner = index.as_query_engine(llm=llm, streaming=True)
        engine = SemanticCacheQueryEngine(inner, cache=cache, replay_chunk_chars=10)
        first = await side.query(engine, QUESTION)
        told = await side.pieces(first)
        again = await side.query(engine, SAME_IN_OTHER_WORDS)
        assert type(again) is type(first) is (AsyncStreamingResponse if side.is_async else StreamingResponse)
        replayed = await side.pieces(again)
        assert len(told) > 3
        assert len(replayed) > 3
        assert "".join(told) == "".join(replayed) == f"{PAGES['badges']} (reading-1)"
        assert again.source_nodes == first.source_nodes
        assert (tier_of(first), tier_of(again), llm.calls) == ("miss", "l2", 1)

    def test_a_stream_that_is_made_into_a_string_is_kept_too(self, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm, streaming=True), cache=cache)
        text = str(engine.query(QUESTION))
        assert str(engine.query(QUESTION)) == text == f"{PAGES['badges']} (reading-1)"
        assert llm.calls == 1

    async def test_sync_and_async_share_their_answers(self, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        engine.query(QUESTION)
        assert tier_of(await engine.aquery(QUESTION)) == "l1"

    async def test_equal_queries_under_way_at_once_ask_the_engine_once(self, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        answers = await asyncio.gather(*(engine.aquery(QUESTION) for _ in range(5)))
        assert len({str(answer) for answer in answers}) == 1
        assert llm.calls == 1

    def test_streams_that_nobody_reads_as_yet_keep_nobody_waiting(self, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm, streaming=True), cache=cache)
        with ThreadPoolExecutor(3) as pool:
            responses = list(pool.map(engine.query, [QUESTION] * 3))
        assert {str(response) for response in responses} == {f"{PAGES['badges']} (reading-1)"}
        assert tier_of(engine.query(QUESTION)) == "l1"
        assert len(cache.flights) == 0

    async def test_a_hit_says_what_it_saved_and_why(self, side, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        await side.query(engine, QUESTION)
        told = (await side.query(engine, QUESTION)).metadata["semroute"]
        assert told["model"] == "reading-1"
        assert told["saved"]["seconds"] > 0
        assert told["hit_id"]

    def test_explain_serves_nothing_and_says_what_would_be(self, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        engine.query(QUESTION)
        assert engine.explain(SAME_IN_OTHER_WORDS).explanation.tier == "l2"
        assert (llm.calls, cache.stats().lookups) == (1, 1)

    def test_retrieve_and_synthesize_are_the_inner_engines_own(self, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        nodes = engine.retrieve(QueryBundle(QUESTION))
        assert nodes[0].node.ref_doc_id == "badges"
        assert "badge" in str(engine.synthesize(QueryBundle(QUESTION), nodes))
        assert engine.retriever is engine.inner.retriever

    async def test_the_default_embedder_serves_a_real_paraphrase(self, tmp_path) -> None:
        with_model = SemanticCache(tmp_path / "answers.db")
        llm = ReadingLLM()
        index = index_of(embedder=with_model.embedder)
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm, similarity_top_k=1), cache=with_model)
        first = await engine.aquery("How can I book a train ticket?")
        again = await engine.aquery("How do I book a train ticket?")
        refused = await engine.aquery("How do I book a plane ticket?")
        with_model.close()
        assert (tier_of(first), tier_of(again), tier_of(refused)) == ("miss", "l2", "miss")
        assert again.source_nodes == first.source_nodes
        assert llm.calls == 2


class TestStructuredAnswers:
    class Fee(BaseModel):
        euros: int
        reason: str = ""

    def response(self) -> PydanticResponse:
        nodes = [NodeWithScore(node=TextNode(text=PAGES["badges"], id_="n"), score=0.5)]
        return PydanticResponse(self.Fee(euros=9), source_nodes=nodes, metadata={"n": {"page": "badges"}})

    async def test_they_come_back_as_the_engines_own_class(self, side, cache) -> None:
        inner = Engine(self.response)
        engine = SemanticCacheQueryEngine(inner, cache=cache, fingerprint="fees", output_cls=self.Fee)
        first, again = [await side.query(engine, QUESTION) for _ in range(2)]
        assert again.response == first.response == self.Fee(euros=9)
        assert again.euros == 9
        assert again.source_nodes == first.source_nodes
        assert (tier_of(again), len(inner.asked)) == ("l1", 1)

    async def test_one_of_a_class_that_is_not_known_is_passed_on_and_not_kept(self, side, cache, caplog) -> None:
        inner = Engine(self.response)
        engine = SemanticCacheQueryEngine(inner, cache=cache, fingerprint="fees")
        for _ in range(2):
            assert (await side.query(engine, QUESTION)).response == self.Fee(euros=9)
        assert len(inner.asked) == 2
        assert caplog.text.count("output class is not known") == 1

    async def test_one_that_the_class_of_today_refuses_is_a_miss(self, side, cache) -> None:
        class Fee(BaseModel):
            pounds: int

        inner = Engine(self.response)
        for output_cls in (self.Fee, Fee):
            engine = SemanticCacheQueryEngine(inner, cache=cache, fingerprint="fees", output_cls=output_cls)
            await side.query(engine, QUESTION)
        assert len(inner.asked) == 2


class TestWhatIsNotKept:
    @pytest.mark.parametrize("question", ["", "   \n"])
    async def test_a_blank_query_goes_past_the_cache(self, side, cache, question) -> None:
        inner = Engine(lambda: Response("Ask me something."))
        engine = SemanticCacheQueryEngine(inner, cache=cache, fingerprint="f")
        for _ in range(2):
            assert str(await side.query(engine, question)) == "Ask me something."
        assert (len(inner.asked), cache.stats().lookups) == (2, 0)

    async def test_nothing_that_was_found_is_no_answer_to_keep(self, side, llm, cache, embedder) -> None:
        engine = SemanticCacheQueryEngine(index_of({}, embedder=embedder).as_query_engine(llm=llm), cache=cache)
        for _ in range(2):
            assert str(await side.query(engine, QUESTION)) == "Empty Response"
        assert cache.size().entries == 0

    async def test_an_engine_that_raises_leaves_nothing_and_lets_others_go_on(self, side, cache) -> None:
        def fail() -> Response:
            raise RuntimeError("the engine is broken")

        inner = Engine(fail)
        engine = SemanticCacheQueryEngine(inner, cache=cache, fingerprint="f")
        for _ in range(2):
            with pytest.raises(RuntimeError, match="the engine is broken"):
                await side.query(engine, QUESTION)
        assert (cache.size().entries, len(cache.flights)) == (0, 0)

    @pytest.mark.parametrize("read", [0, 2])
    async def test_a_stream_that_nobody_reads_to_its_end_is_not_kept(self, side, index, llm, cache, read) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm, streaming=True), cache=cache)
        response = await side.query(engine, QUESTION)
        if side.is_async:
            for _ in range(read):
                await anext(response.response_gen)
            await response.response_gen.aclose()
        else:
            for _ in range(read):
                next(response.response_gen)
        del response
        assert (cache.size().entries, len(cache.flights)) == (0, 0)
        assert tier_of(await side.query(engine, QUESTION)) == "miss"

    async def test_a_stream_that_breaks_is_not_kept_and_its_error_is_seen(self, side, cache) -> None:
        def broken() -> Iterator[str]:
            yield "A lost badge "
            raise RuntimeError("the line is cut")

        async def abroken() -> AsyncIterator[str]:
            for piece in broken():
                yield piece

        kind, gen = (AsyncStreamingResponse, abroken) if side.is_async else (StreamingResponse, broken)
        engine = SemanticCacheQueryEngine(Engine(lambda: kind(gen())), cache=cache, fingerprint="f")
        with pytest.raises(RuntimeError, match="the line is cut"):
            await side.pieces(await side.query(engine, QUESTION))
        assert (cache.size().entries, len(cache.flights)) == (0, 0)

    async def test_an_engine_without_an_asynchronous_stream_is_kept_as_well(self, cache) -> None:
        inner = Engine(lambda: StreamingResponse(iter(["Call ", "reception."])))
        engine = SemanticCacheQueryEngine(inner, cache=cache, fingerprint="f")
        assert str(await engine.aquery(QUESTION)) == "Call reception."
        assert str(engine.query(QUESTION)) == "Call reception."
        assert len(inner.asked) == 1


class TestSourceNodes:
    def served(self, cache: SemanticCache, node: Any) -> tuple[Any, int]:
        answer = Response("Call reception.", source_nodes=[NodeWithScore(node=node, score=0.25)])
        inner = Engine(lambda: answer)
        engine = SemanticCacheQueryEngine(inner, cache=cache, fingerprint="f")
        engine.query(QUESTION)
        return engine.query(QUESTION).source_nodes[0], len(inner.asked)

    def test_images_relationships_and_metadata_come_back(self, cache) -> None:
        parent = TextNode(text="The page", id_="page")
        for node in (
            ImageNode(image="aGVsbG8=", text="a badge", id_="i"),
            TextNode(
                text="x" * 50_000,
                id_="t",
                metadata={"rows": [1, 2.5, None], "deep": {"a": "ä"}},
                relationships={"1": parent.as_related_node_info()},
            ),
        ):
            cache.clear()
            served, asked = self.served(cache, node)
            assert (served.node, served.score, asked) == (node, 0.25, 1)
        assert served.node.ref_doc_id == "page"

    def test_a_vector_is_the_indexs_and_not_kept(self, cache) -> None:
        served, asked = self.served(cache, TextNode(text="x", id_="t", embedding=[0.5, 0.5]))
        assert (served.node.embedding, asked) == (None, 1)

    @pytest.mark.parametrize(
        "node",
        [
            IndexNode(text="x", index_id="i", obj=Engine(lambda: Response("behind it"))),
            TextNode(text="x", metadata={"when": object()}),
        ],
        ids=["an object behind it", "metadata that is no JSON"],
    )
    def test_nodes_that_would_not_come_back_are_not_kept_and_said_so_once(self, cache, node, caplog) -> None:
        for _ in range(2):
            _, asked = self.served(cache, node)
        assert (asked, cache.size().entries) == (2, 0)
        assert "an answer is not cached: a source node" in caplog.text

    def test_an_answer_larger_than_the_limit_is_not_kept(self, make_cache) -> None:
        served, asked = self.served(make_cache(), TextNode(text="x" * 300_000))
        assert (len(served.node.text), asked) == (300_000, 2)


class TestScope:
    def test_tenants_share_nothing(self, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        tiers = []
        for tenant in ("acme", "umbrella", "acme"):
            with scope(tenant=tenant):
                tiers.append(tier_of(engine.query(QUESTION)))
        assert tiers == ["miss", "miss", "l1"]

    async def test_a_stream_that_is_read_after_its_block_belongs_to_it(self, side, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm, streaming=True), cache=cache)
        with scope(tenant="acme"):
            response = await side.query(engine, QUESTION)
        await side.pieces(response)
        assert tier_of(await side.query(engine, QUESTION)) == "miss"
        with scope(tenant="acme"):
            assert tier_of(await side.query(engine, QUESTION)) == "l1"

    def test_the_application_can_ask_for_a_fresh_answer(self, index, llm, cache) -> None:
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        engine.query(QUESTION)
        with scope(bypass=True):
            assert tier_of(engine.query(QUESTION)) == "bypass"
        assert llm.calls == 2


class TestFaults:
    async def test_a_store_that_is_down_leaves_the_engine_at_work_and_is_said_once(
        self, side, index, llm, make_cache, tmp_path, caplog
    ) -> None:
        (tmp_path / "a file").touch()
        cache = make_cache(f"sqlite:///{tmp_path}/a file/answers.db")
        engine = SemanticCacheQueryEngine(index.as_query_engine(llm=llm), cache=cache)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert str(await side.query(engine, QUESTION)) == f"{PAGES['badges']} (reading-1)"
        assert llm.calls == 3
        assert sum("store" in record.message for record in caplog.records) == 1

    def test_what_is_no_engine_no_cache_and_no_length_is_refused(self, index, llm, cache) -> None:
        inner = index.as_query_engine(llm=llm)
        for made in (
            lambda: SemanticCacheQueryEngine(index, cache=cache),
            lambda: SemanticCacheQueryEngine(inner, cache=object()),
            lambda: SemanticCacheQueryEngine(inner, cache=cache, corpus=" "),
            lambda: SemanticCacheQueryEngine(inner, cache=cache, replay_chunk_chars=0),
        ):
            with pytest.raises(ConfigError):
                made()
