"""cached(llm): the same LLM, with its eight calls out of the cache."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.types import PydanticProgramMode
from llama_index.llms.openai import OpenAI
from llama_index_semroute.cached_llm import cached
from pydantic import BaseModel

import semroute
from semroute import ConfigError, SemanticCache
from tests.langchain.openai_stub import OpenAIStub
from tests.llama_index.parts import Parrot, last, tier, tiers, user

ASKED = "What are cats?"
MakeOpenAI = Callable[..., OpenAI]


class Joke(BaseModel):
    setup: str


async def chatted(llm: LLM, text: str = ASKED) -> list[Any]:
    """Ask by each of the four ways to chat, one after the other; of a stream the last chunk counts."""
    stream = list(llm.stream_chat(user(text)))
    astream = [chunk async for chunk in await llm.astream_chat(user(text))]
    return [llm.chat(user(text)), await llm.achat(user(text)), stream[-1], astream[-1]]


async def completed(llm: LLM, text: str = ASKED) -> list[Any]:
    """Ask by each of the four ways to complete."""
    stream = list(llm.stream_complete(text))
    astream = [chunk async for chunk in await llm.astream_complete(text)]
    return [llm.complete(text), await llm.acomplete(text), stream[-1], astream[-1]]


def test_it_is_still_an_llm_of_its_class(openai: OpenAI, cache: SemanticCache) -> None:
    llm = cached(openai, cache)
    assert isinstance(llm, OpenAI)
    assert isinstance(llm, FunctionCallingLLM)
    assert llm.to_dict() == openai.to_dict()
    assert llm.to_payload() == openai.to_payload()
    assert llm.metadata == openai.metadata
    assert type(openai) is OpenAI
    assert type(cached(openai, cache)) is type(llm)
    assert type(cached(llm, cache)) is type(llm)


@pytest.mark.parametrize("first", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_every_way_to_chat_shares_the_answers_whichever_came_first(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache, first: str
) -> None:
    llm = cached(openai, cache)
    answer = await last(getattr(llm, first)(user(ASKED)))
    assert tier(answer) == "miss"
    hits = await chatted(llm)
    assert [tier(hit) for hit in hits] == ["l1"] * 4
    assert {hit.message.content for hit in hits} == {answer.message.content}
    assert {hit.message.role for hit in hits} == {answer.message.role}
    assert stub.calls == 1


@pytest.mark.parametrize("first", ["complete", "acomplete", "stream_complete", "astream_complete"])
async def test_every_way_to_complete_shares_the_answers_whichever_came_first(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache, first: str
) -> None:
    llm = cached(openai, cache)
    answer = await last(getattr(llm, first)(ASKED))
    assert tier(answer) == "miss"
    hits = await completed(llm)
    assert [tier(hit) for hit in hits] == ["l1"] * 4
    assert {hit.text for hit in hits} == {answer.text}
    assert stub.calls == 1


async def test_an_llm_whose_calls_fall_back_on_one_another_is_looked_up_once(
    parrot: Parrot, cache: SemanticCache
) -> None:
    llm = cached(parrot, cache)
    await chatted(llm)
    assert len(parrot.calls) == 1
    assert cache.stats().lookups == 4
    assert cache.size().entries == 1


def test_chat_and_complete_do_not_share_their_answers(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    llm.chat(user(ASKED))
    assert tier(llm.complete(ASKED)) == "miss"
    assert tier(llm.complete(ASKED, formatted=True)) == "miss"
    assert tier(llm.complete(ASKED, True)) == "l1"


def test_a_prompt_may_be_named(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    assert tier(llm.complete(prompt=ASKED)) == "miss"
    assert tier(llm.complete(prompt=ASKED)) == "l1"
    assert tier(llm.chat(messages=user(ASKED))) == "miss"
    assert tier(llm.chat(messages=user(ASKED))) == "l1"


def test_hits_are_fresh_objects_that_hold_nothing_of_the_provider(openai: OpenAI, cache: SemanticCache) -> None:
    llm = cached(openai, cache)
    fresh, hit, other = (llm.chat(user(ASKED)) for _ in range(3))
    assert fresh.raw.usage.total_tokens == fresh.additional_kwargs["total_tokens"]
    assert hit.raw is None
    assert hit.additional_kwargs.keys() == {"semroute"}
    assert hit.additional_kwargs["semroute"]["saved"]["tokens"] == fresh.raw.usage.total_tokens
    assert "semroute" not in hit.message.additional_kwargs
    hit.message.blocks.clear()
    hit.additional_kwargs.clear()
    assert other.message.content == fresh.message.content
    assert tier(llm.chat(user(ASKED))) == "l1"


def test_the_mark_of_an_answer_is_not_sent_back(openai: OpenAI, stub: OpenAIStub, cache: SemanticCache) -> None:
    llm = cached(openai, cache)
    for _ in range(2):
        answer = llm.chat(user(ASKED))
    llm.chat([*user(ASKED), answer.message, *user("And dogs?")])
    assert stub.bodies[-1]["messages"][1] == {"role": "assistant", "content": answer.message.content}


def test_a_paraphrase_is_served_by_meaning(parrot: Parrot, trusting_core: SemanticCache) -> None:
    llm = cached(parrot, trusting_core)
    first = llm.chat(user("what is the capital of France"))
    second = llm.chat(user("What is the capital of France?"))
    assert (tier(first), tier(second)) == ("miss", "l2")
    assert second.message.content == first.message.content
    assert tier(llm.complete("what is the capital of France")) == "miss"
    assert tier(llm.complete("What is the capital of France?")) == "l2"


def test_scopes_do_not_share(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    with semroute.scope(tenant="acme"):
        llm.chat(user(ASKED))
        assert tier(llm.chat(user(ASKED))) == "l1"
    with semroute.scope(tenant="other"):
        assert tier(llm.chat(user(ASKED))) == "miss"
    assert tier(llm.chat(user(ASKED))) == "miss"


def test_a_bypass_is_neither_read_nor_stored(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    with semroute.scope(bypass=True):
        assert tier(llm.chat(user(ASKED))) == "bypass"
        assert tiers(list(llm.stream_chat(user(ASKED)))) == {"bypass"}
    assert cache.size().entries == 0


def test_tags_remove_what_was_stored_under_them(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    with semroute.scope(tags=["handbook"]):
        llm.chat(user(ASKED))
    assert cache.invalidate(tag="handbook") == 1
    assert tier(llm.chat(user(ASKED))) == "miss"


def test_settings_take_a_cached_llm(parrot: Parrot, cache: SemanticCache, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_llm", "_callback_manager"):
        monkeypatch.setattr(Settings, name, None)
    llm = cached(parrot, cache)
    manager = CallbackManager([])
    Settings.callback_manager = manager
    Settings.llm = llm
    assert Settings.llm is llm
    assert llm.callback_manager is manager
    llm.pydantic_program_mode = PydanticProgramMode.LLM
    assert tier(Settings.llm.chat(user(ASKED))) == "miss"
    assert tier(Settings.llm.chat(user(ASKED))) == "l1"


def test_copies_share_the_cache(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    llm.chat(user(ASKED))
    for other in (copy.copy(llm), copy.deepcopy(llm), llm.model_copy(), llm.model_copy(deep=True)):
        assert tier(other.chat(user(ASKED))) == "l1"


def test_a_copy_with_another_model_does_not_share_the_answers(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    llm.chat(user(ASKED))
    assert tier(llm.model_copy(update={"model": "parrot-2"}).chat(user(ASKED))) == "miss"
    assert tier(llm.chat(user(ASKED))) == "l1"


def test_a_change_of_an_attribute_is_seen_at_the_next_call(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    llm.chat(user(ASKED))
    llm.extra["seed"] = 7
    assert tier(llm.chat(user(ASKED))) == "miss"
    llm.model = "parrot-2"
    assert tier(llm.chat(user(ASKED))) == "miss"
    del llm.extra["seed"]
    llm.model = "parrot-1"
    assert tier(llm.chat(user(ASKED))) == "l1"


def test_a_pickled_llm_finds_the_cache_that_it_was_named(openai: OpenAI, stub: OpenAIStub, tmp_path: Path) -> None:
    llm = cached(openai, tmp_path / "answers.db", replay_chunk_chars=5)
    llm.chat(user(ASKED))
    again = pickle.loads(pickle.dumps(llm))
    assert type(again) is type(llm)
    assert [chunk.delta for chunk in again.stream_chat(user(ASKED))][:2] == ["You a", "sked:"]
    assert stub.calls == 1
    for each in (llm, again):
        each.__dict__["_semroute"].cache.close()


def test_a_pickled_llm_whose_cache_has_no_name_comes_back_without_it(
    openai: OpenAI, cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    again = pickle.loads(pickle.dumps(cached(openai, cache)))
    assert type(again) is OpenAI
    assert "semroute" not in again.chat(user(ASKED)).additional_kwargs
    assert "came back without its cache" in caplog.text


def test_an_llm_made_anew_of_the_same_class_is_not_cached(parrot: Parrot, cache: SemanticCache) -> None:
    other = type(cached(parrot, cache))(model="parrot-2")
    assert "semroute" not in other.chat(user(ASKED)).additional_kwargs
    assert len(list(other.stream_chat(user(ASKED)))) > 1
    assert cache.size().entries == 0


def test_what_is_no_llm_is_refused(openai: OpenAI, parrot: Parrot, cache: SemanticCache) -> None:
    with pytest.raises(ConfigError, match="takes a LlamaIndex LLM, not str"):
        cached("gpt-4o-mini", cache)  # type: ignore[type-var]  # the mistake under test
    with pytest.raises(ConfigError, match="as_structured_llm"):
        cached(openai.as_structured_llm(Joke), cache)
    with pytest.raises(ConfigError, match="replay_chunk_chars must be a whole number of at least 1, not 0"):
        cached(parrot, cache, replay_chunk_chars=0)
    with pytest.raises(ConfigError, match="identity must be a name"):
        cached(parrot, cache, identity=" ")
    with pytest.raises(ConfigError, match="cache must be"):
        cached(parrot, 7)  # type: ignore[arg-type]  # the mistake under test


def test_the_mock_llms_of_the_framework_can_be_cached(cache: SemanticCache) -> None:
    for mock in (MockLLM(max_tokens=3), MockFunctionCallingLLM()):
        llm = cached(mock, cache)
        fresh, hit = llm.complete("one two three"), llm.complete("one two three")
        assert (tier(fresh), tier(hit)) == ("miss", "l1")
        assert hit.text == fresh.text
        streams = [list(llm.stream_chat(user("one two three"))) for _ in range(2)]
        assert [tiers(stream) for stream in streams] == [{"miss"}, {"l1"}]
        assert "".join(chunk.delta for chunk in streams[0]) == "".join(chunk.delta for chunk in streams[1])


# --- events and counters ------------------------------------------------------------------------------------------


def test_a_miss_is_one_call_to_the_handlers_and_a_hit_is_none(openai: OpenAI, cache: SemanticCache, heard: Any) -> None:
    llm = cached(openai, cache)
    llm.chat(user(ASKED))
    assert sorted(heard.names()) == ["LLMChatEndEvent", "LLMChatStartEvent", "SemrouteLookupEvent"]
    assert heard.events[0].subject == "llm"
    assert heard.events[0].tier == "miss"
    heard.events.clear()
    llm.chat(user(ASKED))
    list(llm.stream_chat(user(ASKED)))
    assert heard.names() == ["SemrouteLookupEvent"] * 2
    assert {event.tier for event in heard.events} == {"l1"}


async def test_a_miss_is_one_span_and_a_hit_is_none(openai: OpenAI, cache: SemanticCache) -> None:
    handler, root = SimpleSpanHandler(), get_dispatcher()
    root.add_span_handler(handler)
    try:
        llm = cached(openai, cache)
        for _ in range(2):
            llm.chat(user(ASKED))
            await llm.achat(user(ASKED))
            list(llm.stream_complete(ASKED))
    finally:
        root.span_handlers.remove(handler)
    spans = [span.id_.partition("-")[0] for span in handler.completed_spans]
    assert spans == ["OpenAI.chat", "OpenAI.stream_complete"]
    assert handler.open_spans == {}


async def test_tokens_are_counted_once(openai: OpenAI, cache: SemanticCache) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    openai.callback_manager = CallbackManager([counter])
    llm = cached(openai, cache)
    fresh = llm.chat(user(ASKED))
    assert counter.total_llm_token_count == fresh.raw.usage.total_tokens
    await chatted(llm)
    assert counter.total_llm_token_count == fresh.raw.usage.total_tokens


def test_a_hit_does_not_look_to_a_counter_like_a_call(openai: OpenAI, cache: SemanticCache) -> None:
    from llama_index.core.callbacks.token_counting import get_tokens_from_response

    llm = cached(openai, cache)
    fresh, hit = llm.chat(user(ASKED)), llm.chat(user(ASKED))
    assert get_tokens_from_response(fresh)[0] > 0
    assert get_tokens_from_response(hit) == (0, 0)


# --- at once, and when things fail --------------------------------------------------------------------------------


async def test_equal_calls_at_once_are_one_call(openai: OpenAI, stub: OpenAIStub, cache: SemanticCache) -> None:
    llm = cached(openai, cache)
    answers = await asyncio.gather(*(llm.achat(user(ASKED)) for _ in range(5)))
    assert stub.calls == 1
    assert sorted(tier(answer) for answer in answers) == ["l1"] * 4 + ["miss"]
    assert len({id(answer.message) for answer in answers}) == 5


async def test_equal_streams_at_once_are_one_call(openai: OpenAI, stub: OpenAIStub, cache: SemanticCache) -> None:
    async def read() -> list[ChatResponse]:
        return [chunk async for chunk in await llm.astream_chat(user(ASKED))]

    llm = cached(openai, cache)
    streams = await asyncio.gather(*(read() for _ in range(5)))
    assert stub.calls == 1
    assert len({stream[-1].message.content for stream in streams}) == 1


def test_a_provider_that_fails_stores_nothing_and_lets_others_go(parrot: Parrot, cache: SemanticCache) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("the provider is down")

    llm = cached(parrot, cache)
    llm._before = fail
    with pytest.raises(RuntimeError, match="the provider is down"):
        llm.chat(user(ASKED))
    assert len(cache.flights) == 0
    llm._before = None
    assert tier(llm.chat(user(ASKED))) == "miss"


async def test_a_store_that_cannot_be_opened_breaks_no_call(
    openai: OpenAI, make_cache: Callable[..., SemanticCache], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    llm = cached(openai, make_cache(tmp_path / "file" / "answers.db"))
    for _ in range(2):
        answers = [*await chatted(llm), *await completed(llm)]
        assert {tier(answer) for answer in answers} == {"miss"}


@pytest.mark.parametrize("deed", ["lookup", "update", "key"])
async def test_a_broken_core_breaks_no_call_and_is_told_of_once(
    parrot: Parrot,
    cache: SemanticCache,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    deed: str,
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("out of order")

    async def abroken(*_: object, **__: object) -> Any:
        raise RuntimeError("out of order")

    monkeypatch.setattr(cache, deed, broken)
    monkeypatch.setattr(cache, f"a{deed}", abroken)
    llm = cached(parrot, cache)
    for text in (ASKED, "What are dogs?"):
        answers = [*await chatted(llm, text), *await completed(llm, text)]
        assert all(text in str(answer) for answer in answers)
    told = [record for record in caplog.records if record.name == "semroute.llama_index"]
    assert [record.levelno for record in told if record.levelno >= logging.WARNING] == [logging.WARNING]


def test_an_answer_of_a_shape_that_nobody_foresaw_reaches_the_caller(
    parrot: Parrot, cache: SemanticCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Parrot, "chat", lambda self, messages, **_: "just text")
    monkeypatch.setattr(Parrot, "stream_chat", lambda self, messages, **_: iter(["just", "text"]))
    llm = cached(parrot, cache)
    assert llm.chat(user(ASKED)) == "just text"
    assert list(llm.stream_chat(user(ASKED))) == ["just", "text"]
    assert cache.size().entries == 0


def test_conversations_are_not_changed(parrot: Parrot, cache: SemanticCache) -> None:
    messages = [ChatMessage(role="system", content="Be brief."), *user(ASKED)]
    before = [message.model_copy(deep=True) for message in messages]
    llm = cached(parrot, cache)
    llm.chat(messages)
    llm.chat(messages)
    assert messages == before
