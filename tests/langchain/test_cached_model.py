"""cached(model): the same model, with its calls, streams, tools and schemas out of the cache."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField
from langchain_openai import ChatOpenAI
from langchain_semroute import SemrouteCache, cached
from pydantic import BaseModel

import semroute
from semroute import ConfigError, SemanticCache

ASKED = "What are cats?"


class Joke(BaseModel):
    setup: str
    punchline: str


def tier(message: BaseMessage) -> str:
    return str(message.response_metadata["semroute"]["tier"])


def added(chunks: Sequence[AIMessageChunk]) -> AIMessageChunk:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk  # type: ignore[assignment]  # chunks of one kind add up to that kind
    return total


def test_it_is_still_a_model_of_its_class(openai: ChatOpenAI, cache: SemanticCache) -> None:
    model = cached(openai, cache)
    assert isinstance(model, ChatOpenAI)
    assert dumpd(model) == dumpd(openai)
    assert model._get_ls_params() == openai._get_ls_params()
    assert openai.cache is None
    assert type(cached(openai, cache)) is type(model)
    assert type(cached(model, cache)) is type(model)


@pytest.mark.parametrize("way", ["a core cache", "a LangChain cache", "a url", "a path"])
def test_a_cache_can_be_named_in_every_way(parrot: Any, cache: SemanticCache, tmp_path: Any, way: str) -> None:
    given = {"a core cache": cache, "a LangChain cache": SemrouteCache(cache=cache), "a url": "memory://"}
    model = cached(parrot, given.get(way, tmp_path / "answers.db"))
    assert isinstance(model.cache, SemrouteCache)


def test_what_is_no_chat_model_is_refused(parrot: Any, cache: SemanticCache) -> None:
    with pytest.raises(ConfigError, match="Binding: cache the model first"):
        cached(parrot.bind(stop=["x"]), cache)
    with pytest.raises(ConfigError, match="replay_chunk_chars must be a whole number of at least 1, not 0"):
        cached(parrot, cache, replay_chunk_chars=0)
    with pytest.raises(ConfigError, match="cache must be"):
        cached(parrot, 7)  # type: ignore[arg-type]  # the mistake under test


async def test_every_way_of_calling_shares_the_answers(streaming_parrot: Any, cache: SemanticCache) -> None:
    model = cached(streaming_parrot, cache)
    fresh = model.invoke(ASKED)
    assert tier(fresh) == "miss"
    hits = [
        model.invoke(ASKED),
        *model.batch([ASKED, ASKED]),
        await model.ainvoke(ASKED),
        *await model.abatch([ASKED]),
        added(list(model.stream(ASKED))),
        added([chunk async for chunk in model.astream(ASKED)]),
        model.generate([[HumanMessage(ASKED)]]).generations[0][0].message,
    ]
    assert [tier(hit) for hit in hits] == ["l1"] * len(hits)
    assert {hit.text for hit in hits} == {fresh.text}
    assert len(streaming_parrot.calls) == 1


def test_a_paraphrase_is_served_by_meaning(parrot: Any, trusting_core: SemanticCache) -> None:
    model = cached(parrot, trusting_core)
    first = model.invoke("what is the capital of France")
    second = model.invoke("What is the capital of France?")
    assert (tier(first), tier(second)) == ("miss", "l2")
    assert second.text == first.text


def test_a_stream_fills_the_cache_and_comes_out_of_it_in_pieces(streaming_parrot: Any, cache: SemanticCache) -> None:
    model = cached(streaming_parrot, cache, replay_chunk_chars=6)
    fresh, hit = list(model.stream(ASKED)), list(model.stream(ASKED))
    assert len(streaming_parrot.calls) == 1
    assert [chunk.text for chunk in hit] == ["You sa", "id: Wh", "at are", " cats?", ""]
    assert [chunk.chunk_position for chunk in hit] == [None] * 4 + ["last"]
    assert len({chunk.id for chunk in hit}) == 1
    assert added(hit).text == added(fresh).text
    assert (tier(added(fresh)), tier(added(hit))) == ("miss", "l1")
    assert added(hit).response_metadata["model_name"] == "parrot-1"
    assert added(hit).usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


async def test_a_stream_that_is_not_read_to_its_end_stores_nothing(streaming_parrot: Any, cache: SemanticCache) -> None:
    model = cached(streaming_parrot, cache)
    begun = model.stream(ASKED)
    assert next(begun).text == "You"
    begun.close()
    abegun = model.astream(ASKED)
    assert (await anext(abegun)).text == "You"
    await abegun.aclose()
    assert cache.size().entries == 0
    assert len(cache.flights) == 0
    assert tier(model.invoke(ASKED)) == "miss"


def test_a_stream_that_fails_stores_nothing(streaming_parrot: Any, cache: SemanticCache) -> None:
    streaming_parrot.between = lambda: 1 / 0
    model = cached(streaming_parrot, cache)
    with pytest.raises(ZeroDivisionError):
        list(model.stream(ASKED))
    assert cache.size().entries == 0
    assert len(cache.flights) == 0


async def test_a_stream_belongs_to_the_scope_that_it_was_asked_in(streaming_parrot: Any, cache: SemanticCache) -> None:
    model = cached(streaming_parrot, cache)
    with semroute.scope(tenant="acme"):
        begun = model.stream(ASKED)
    list(begun)
    assert tier(model.invoke(ASKED)) == "miss"
    with semroute.scope(tenant="acme"):
        assert tier(model.invoke(ASKED)) == "l1"
        again, aagain = model.stream(ASKED), model.astream(ASKED)
    with semroute.scope(tenant="other"):
        assert tier(added(list(again))) == "l1"
        assert tier(added([chunk async for chunk in aagain])) == "l1"


async def test_a_scope_that_a_consumer_binds_between_two_steps_stays_its_own(
    streaming_parrot: Any, cache: SemanticCache
) -> None:
    model = cached(streaming_parrot, cache)
    with semroute.scope(tenant="acme"):
        begun, abegun = model.stream(ASKED), model.astream("What are dogs?")
    with semroute.scope(tenant="other"):
        next(begun)
        await anext(abegun)
        assert semroute.binding.bound().scope.tenant == "other"
    assert semroute.binding.bound().scope.is_empty
    begun.close()
    await abegun.aclose()


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_event_streams_belong_to_the_scope_that_they_were_asked_in(
    streaming_parrot: Any, cache: SemanticCache
) -> None:
    model = cached(streaming_parrot, cache)
    with semroute.scope(tenant="acme"):
        events = model.stream_events(ASKED, version="v3")
        aevents = await model.astream_events("What are dogs?", version="v3")
        older = model.astream_events("What are birds?", version="v2")
    assert events.output.text == f"You said: {ASKED}"
    assert (await aevents).text == "You said: What are dogs?"
    assert [event async for event in older][-1]["event"] == "on_chat_model_end"
    with semroute.scope(tenant="acme"):
        asked = (ASKED, "What are dogs?", "What are birds?")
        assert [tier(model.invoke(words)) for words in asked] == ["l1"] * 3
        assert model.stream_events(ASKED, version="v3").output.text == f"You said: {ASKED}"
    assert len(streaming_parrot.calls) == 3


def test_tools_are_served_with_new_ids(openai: ChatOpenAI, stub: Any, cache: SemanticCache) -> None:
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "look", "parameters": parameters}}]
    model = cached(openai, cache).bind_tools(tools)
    first, second = model.invoke("Look up 'cats'"), model.invoke("Look up 'cats'")
    third = added(list(model.stream("Look up 'cats'")))
    assert stub.calls == 1
    assert [m.tool_calls[0]["args"] for m in (first, second, third)] == [{"q": "cats"}] * 3
    assert len({m.tool_calls[0]["id"] for m in (first, second, third)}) == 3


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_is_served_by_every_method(openai: Any, stub: Any, cache: Any, method: str) -> None:
    model = cached(openai, cache).with_structured_output(Joke, method=method)
    first = model.invoke("Tell a joke")
    assert isinstance(first, Joke)
    assert model.invoke("Tell a joke") == first
    assert list(model.stream("Tell a joke"))[-1] == first
    assert stub.calls == 1


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_structured_output_that_was_streamed_is_served(openai: Any, stub: Any, cache: Any) -> None:
    model = cached(openai, cache).with_structured_output(Joke)
    fresh = list(model.stream("Tell a joke"))[-1]
    assert model.invoke("Tell a joke") == fresh
    assert stub.calls == 1


def test_usage_is_counted_once(parrot: Any, cache: SemanticCache) -> None:
    model = cached(parrot, cache)
    counter = UsageMetadataCallbackHandler()
    for _ in range(3):
        model.invoke(ASKED, config={"callbacks": [counter]})
    assert counter.usage_metadata["parrot-1"]["total_tokens"] == 8


class Counting(BaseRateLimiter):
    def __init__(self) -> None:
        self.acquired = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.acquired += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


async def test_a_rate_limit_is_spent_on_misses_only(parrot: Any, cache: SemanticCache) -> None:
    parrot.rate_limiter = Counting()
    model = cached(parrot, cache)
    for _ in range(3):
        model.invoke(ASKED)
        await model.ainvoke(ASKED)
    assert parrot.rate_limiter.acquired == 1


def test_the_words_can_be_found_by_a_function(parrot: Any, trusting_core: SemanticCache) -> None:
    prompt = ChatPromptTemplate.from_template("Answer as the handbook says.\nQuestion: {words}\nBe brief.")

    def words(messages: Sequence[BaseMessage]) -> str:
        return str(messages[-1].text).split("Question: ")[1].split("\n")[0]

    chain = prompt | cached(parrot, trusting_core, query=words)
    first, second = (chain.invoke({"words": text}) for text in ("where is the office key", "Where is the office key?"))
    assert (tier(first), tier(second)) == ("miss", "l2")


def test_a_function_that_fails_to_find_the_words_leaves_the_model_alone(parrot: Any, cache: SemanticCache) -> None:
    model = cached(parrot, cache, query=lambda messages: str(1 / 0))
    assert [model.invoke(ASKED).text for _ in range(2)] == [f"You said: {ASKED}"] * 2
    assert cache.size() is None or cache.size().entries == 0


def test_a_fresh_answer_can_be_asked_for(parrot: Any, cache: SemanticCache) -> None:
    model = cached(parrot, cache)
    model.invoke(ASKED)
    with semroute.scope(bypass=True):
        assert tier(model.invoke(ASKED)) == "bypass"
    assert model.model_copy(update={"cache": False}).invoke(ASKED).response_metadata.get("semroute") is None
    assert len(parrot.calls) == 3


def test_a_model_that_cannot_stream_falls_back_to_a_whole_answer(parrot: Any, cache: SemanticCache) -> None:
    model = cached(parrot, cache)
    assert [chunk.text for chunk in model.stream(ASKED)] == [f"You said: {ASKED}"]
    assert tier(added(list(model.stream(ASKED)))) == "l1"


def test_a_call_that_cannot_be_told_apart_goes_past_the_cache(
    streaming_parrot: Any, cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    model = cached(streaming_parrot, cache).bind(hook=lambda: None)
    with caplog.at_level(logging.WARNING, "semroute"):
        for _ in range(2):
            assert model.invoke(ASKED).text == f"You said: {ASKED}"
            assert added(list(model.stream(ASKED))).text == f"You said: {ASKED}"
    assert len(streaming_parrot.calls) == 4
    assert len([record for record in caplog.records if "not cached" in record.message]) == 1


def test_fields_that_are_configured_at_run_time_count(openai: ChatOpenAI, stub: Any, cache: SemanticCache) -> None:
    model = cached(openai, cache).configurable_fields(model_name=ConfigurableField(id="model"))
    model.invoke(ASKED)
    other = model.with_config(configurable={"model": "gpt-4o"})
    assert tier(other.invoke(ASKED)) == "miss"
    assert tier(other.invoke(ASKED)) == "l1"
    assert stub.calls == 2


async def test_what_a_v1_model_stores_is_served_in_v1_form(make_openai: Any, stub: Any, cache: SemanticCache) -> None:
    model = cached(make_openai(output_version="v1"), cache)
    fresh = added(list(model.stream(ASKED)))
    hits = [model.invoke(ASKED), added(list(model.stream(ASKED))), added([c async for c in model.astream(ASKED)])]
    assert stub.calls == 1
    for message in (fresh, *hits):
        assert [block["type"] for block in message.content] == ["text"]
        assert message.text == "You asked: What are cats? Here is more."


def test_a_hit_of_an_answer_that_a_text_model_left_is_a_miss(parrot: Any, cache: SemanticCache) -> None:
    model = cached(parrot, cache)
    model.invoke(ASKED)
    entry = next(iter(cache.store.scan()))
    assert entry.answer.payload["generations"][0]["message"]["content"] == f"You said: {ASKED}"
    assert isinstance(model.invoke(ASKED), AIMessage)
