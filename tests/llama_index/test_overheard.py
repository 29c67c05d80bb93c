"""What the models inside an engine tell of their answers: what they cost, and that they are not whole."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index_semroute import SemanticCacheQueryEngine, SemrouteSelector, cached

import semroute
from semroute import SemanticCache

from .handbook import QUESTION, ReadingLLM, index_of


@pytest.fixture
def cache(make_cache: Any) -> SemanticCache:
    return make_cache(prices={"gpt-4o-mini": semroute.Price(1.0, 2.0)})


@pytest.fixture(params=[False, True], ids=["plain", "streaming"])
def streaming(request: pytest.FixtureRequest) -> bool:
    return request.param


def text_of(response: Any) -> str:
    return str(response)  # reads a stream to its end


class TestTokens:
    def test_a_hit_says_how_many_tokens_and_dollars_it_saved(self, openai, stub, cache, streaming) -> None:
        if streaming:
            openai.additional_kwargs = {"stream_options": {"include_usage": True}}
        engine = SemanticCacheQueryEngine(index_of().as_query_engine(llm=openai, streaming=streaming), cache=cache)
        text_of(engine.query(QUESTION))
        saved = engine.query(QUESTION).metadata["semroute"]["saved"]
        assert stub.calls == 1
        assert saved["tokens"] > 50
        assert saved["usd"] == pytest.approx(cache.ledger.total().spent_usd)
        assert cache.ledger.total().estimated_usd == 0.0

    async def test_calls_of_several_models_are_counted_together(self, openai, stub, cache) -> None:
        inner = index_of().as_query_engine(llm=openai, response_mode="refine", similarity_top_k=2)
        single = index_of().as_query_engine(llm=openai, response_mode="refine", similarity_top_k=1)
        tokens = []
        for corpus, engine in (("two", inner), ("one", single)):
            wrapped = SemanticCacheQueryEngine(engine, cache=cache, corpus=corpus)
            await wrapped.aquery(QUESTION)
            tokens.append((await wrapped.aquery(QUESTION)).metadata["semroute"]["saved"]["tokens"])
        assert stub.calls == 3
        assert tokens[0] > 1.8 * tokens[1]

    def test_a_model_that_tells_nothing_saves_no_known_number(self, cache) -> None:
        engine = SemanticCacheQueryEngine(index_of().as_query_engine(llm=ReadingLLM()), cache=cache)
        engine.query(QUESTION)
        assert engine.query(QUESTION).metadata["semroute"]["saved"]["tokens"] is None

    def test_an_engine_round_another_hears_what_that_one_hears(self, openai, cache) -> None:
        inner = SemanticCacheQueryEngine(index_of().as_query_engine(llm=openai), cache=cache, corpus="inner")
        tool = QueryEngineTool.from_defaults(inner, name="handbook", description="What the handbook says.")
        router = RouterQueryEngine(SemrouteSelector(cache=cache), [tool], llm=openai)
        outer = SemanticCacheQueryEngine(router, cache=cache, corpus="outer")
        outer.query(QUESTION)
        saved = [engine.query(QUESTION).metadata["semroute"]["saved"]["tokens"] for engine in (inner, outer)]
        assert saved[0] == saved[1] > 50

    def test_what_a_cached_model_had_in_store_costs_nothing_again(self, openai, stub, cache) -> None:
        llm = cached(openai, cache)
        for corpus in ("a", "b"):
            engine = SemanticCacheQueryEngine(index_of().as_query_engine(llm=llm), cache=cache, corpus=corpus)
            engine.query(QUESTION)
        assert stub.calls == 1
        costs = cache.ledger.by_model()["gpt-4o-mini"]
        assert (costs.calls, costs.estimated_usd) == (1, 0.0)


@pytest.mark.parametrize("word", ["TRUNCATE", "FILTER", "REFUSE"])
def test_an_answer_that_was_cut_short_or_refused_is_not_kept(openai, stub, cache, streaming, word) -> None:
    engine = SemanticCacheQueryEngine(index_of().as_query_engine(llm=openai, streaming=streaming), cache=cache)
    for _ in range(2):
        text_of(engine.query(f"{QUESTION} {word}"))
    assert stub.calls == 2
    assert cache.size().entries == 0


def test_one_of_several_that_was_cut_short_is_enough(openai, stub, cache) -> None:
    llm = openai
    tool = QueryEngineTool.from_defaults(
        index_of().as_query_engine(llm=llm), name="handbook", description="What the handbook says."
    )
    router = RouterQueryEngine(LLMSingleSelector.from_defaults(llm=ReadingLLM()), [tool], llm=llm)
    engine = SemanticCacheQueryEngine(router, cache=cache, corpus="handbook")
    router._selector = SemrouteSelector(cache=cache)
    engine.query(f"{QUESTION} TRUNCATE")
    assert engine.query(f"{QUESTION} TRUNCATE").metadata["semroute"]["tier"] == "miss"
