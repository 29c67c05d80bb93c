"""Streams of a cached LLM: stored when read to the end, replayed in pieces, bound to their scope."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LogProb,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai import OpenAI
from llama_index_semroute._llm_codec import Told, encode, revive
from llama_index_semroute._llm_replay import Gathered, replay
from llama_index_semroute.cached_llm import cached
from pydantic import PrivateAttr

import semroute
from semroute import Answer, SemanticCache
from semroute.binding import bound
from semroute.calls.values import Unsure
from semroute.result import Explanation
from tests.langchain.openai_stub import OpenAIStub
from tests.llama_index.parts import Parrot, tier, tiers, user

ASKED = "What are cats?"
HIT = Explanation(tier="l1", reason="the same request was answered before")


def deltas(chunks: list[Any]) -> list[str]:
    return [chunk.delta for chunk in chunks]


async def test_a_hit_comes_in_pieces_whose_text_grows(openai: OpenAI, stub: OpenAIStub, cache: SemanticCache) -> None:
    llm = cached(openai, cache, replay_chunk_chars=9)
    fresh = list(llm.stream_chat(user(ASKED)))
    stream, astream = llm.stream_chat(user(ASKED)), await llm.astream_chat(user(ASKED))
    assert inspect.isgenerator(stream)
    assert isinstance(astream, AsyncGenerator)
    hit = list(stream)
    assert deltas(hit) == ["You asked", ": What ar", "e cats? H", "ere is mo", "re."]
    assert [chunk.message.content for chunk in hit][:2] == ["You asked", "You asked: What ar"]
    assert hit[-1].message.content == fresh[-1].message.content == "".join(deltas(fresh))
    assert [chunk.message.content async for chunk in astream] == [chunk.message.content for chunk in hit]
    assert (tiers(fresh), tiers(hit)) == ({"miss"}, {"l1"})
    assert {chunk.message.role for chunk in hit} == {"assistant"}
    assert stub.calls == 1


async def test_a_hit_of_complete_comes_in_pieces_whose_text_grows(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache, replay_chunk_chars=9)
    llm.complete(ASKED)
    stream, astream = llm.stream_complete(ASKED), await llm.astream_complete(ASKED)
    assert inspect.isgenerator(stream)
    assert isinstance(astream, AsyncGenerator)
    hit = list(stream)
    assert deltas(hit) == ["You said:", " What are", " cats?"]
    assert [chunk.text for chunk in hit][:2] == ["You said:", "You said: What are"]
    assert [chunk.text async for chunk in astream] == [chunk.text for chunk in hit]


async def test_a_stream_that_is_not_read_to_its_end_stores_nothing(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    begun = llm.stream_chat(user(ASKED))
    assert next(begun).delta == "You"
    begun.close()
    abegun = await llm.astream_chat(user(ASKED))
    assert (await anext(abegun)).delta == "You"
    await abegun.aclose()
    assert cache.size().entries == 0
    assert len(cache.flights) == 0
    assert tier(llm.chat(user(ASKED))) == "miss"


def test_a_stream_that_nobody_reads_asks_nothing(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    llm.stream_chat(user(ASKED)).close()
    assert parrot.calls == []
    assert len(cache.flights) == 0


async def test_a_stream_that_fails_in_the_middle_stores_nothing(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    llm._between = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(llm.stream_chat(user(ASKED)))
    with pytest.raises(ZeroDivisionError):
        [chunk async for chunk in await llm.astream_complete(ASKED)]
    assert cache.size().entries == 0
    assert len(cache.flights) == 0


def test_those_who_wait_for_a_stream_that_stops_ask_for_themselves(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    leader = llm.stream_chat(user(ASKED))
    next(leader)
    answers: list[ChatResponse] = []
    follower = threading.Thread(target=lambda: answers.append(llm.chat(user(ASKED))))
    follower.start()
    (flight,) = cache.flights._flights.values()
    while not flight._answer._condition._waiters:
        threading.Event().wait(0.001)
    leader.close()
    follower.join(20)
    assert tier(answers[0]) == "miss"
    assert len(parrot.calls) == 2


def test_whoever_reads_a_stream_may_ask_the_same_in_between(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    for number, _ in enumerate(llm.stream_chat(user(ASKED))):
        if number == 1:
            assert llm.chat(user(ASKED)).message.content is not None
    assert len(parrot.calls) == 2


async def test_a_stream_belongs_to_the_scope_that_it_was_asked_in(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    with semroute.scope(tenant="acme"):
        begun, abegun = llm.stream_chat(user(ASKED)), await llm.astream_complete(ASKED)
    list(begun)
    assert len([chunk async for chunk in abegun]) > 1
    assert tier(llm.chat(user(ASKED))) == "miss"
    assert tier(llm.complete(ASKED)) == "miss"
    with semroute.scope(tenant="acme"):
        assert tier(llm.chat(user(ASKED))) == "l1"
        again = llm.stream_chat(user(ASKED))
    with semroute.scope(tenant="other"):
        assert tiers(list(again)) == {"l1"}


def test_what_an_llm_does_for_a_stream_it_does_in_the_scope_of_the_stream(parrot: Parrot, cache: SemanticCache) -> None:
    seen: list[str | None] = []
    llm = cached(parrot, cache)
    llm._before = lambda _: seen.append(bound().scope.tenant)
    with semroute.scope(tenant="acme"):
        begun = llm.stream_chat(user(ASKED))
    for _ in begun:
        assert bound().scope.tenant is None
    assert seen == ["acme"]


async def test_tokens_of_a_template_belong_to_the_scope_that_they_were_asked_in(
    parrot: Parrot, cache: SemanticCache
) -> None:
    llm, template = cached(parrot, cache), PromptTemplate("{question}")
    with semroute.scope(tenant="acme"):
        begun, abegun = llm.stream(template, question=ASKED), await llm.astream(template, question="And dogs?")
    "".join(begun)
    "".join([token async for token in abegun])
    with semroute.scope(tenant="acme"):
        assert tier(llm.chat(user(ASKED))) == "miss", "what was rendered is no bare chat"
        for question in (ASKED, "And dogs?"):
            llm.predict(template, question=question)
    assert len(parrot.calls) == 3
    llm.predict(template, question=ASKED)
    assert len(parrot.calls) == 4


def test_an_inner_stream_runs_in_the_callers_context_between_its_steps(parrot: Parrot, cache: SemanticCache) -> None:
    llm, other = cached(parrot, cache), cached(Parrot(), cache)
    for _ in llm.stream_chat(user(ASKED)):
        assert "semroute" in other.chat(user("And dogs?")).additional_kwargs
        assert "semroute" in llm.chat(user("And dogs?")).additional_kwargs


def test_a_stream_of_tool_calls_is_replayed_with_new_ids(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "double", "parameters": schema}}]
    llm = cached(openai, cache)
    fresh, hit = (list(llm.stream_chat(user("Double 21"), tools=tools)) for _ in range(2))
    assert stub.calls == 1
    (old,), (new,) = (openai.get_tool_calls_from_response(stream[-1]) for stream in (fresh, hit))
    assert (new.tool_name, new.tool_kwargs) == (old.tool_name, old.tool_kwargs) == ("double", {"a": 21})
    assert new.tool_id != old.tool_id
    assert (len(new.tool_id), new.tool_id[:5]) == (len(old.tool_id), "call_")
    assert hit[-1].message.additional_kwargs["tool_calls"][0]["id"] == new.tool_id
    for chunk in hit:  # agents read the tool calls of every chunk
        openai.get_tool_calls_from_response(chunk, error_on_no_tool_call=False)


def test_a_replay_names_no_tool_call_before_it_shows_it() -> None:
    kwargs = {"tool_calls": [{"id": "call_1"}], "note": 1}
    message = ChatMessage(role="assistant", blocks=[TextBlock(text="a b"), CALL], additional_kwargs=kwargs)
    first, *_, last = replay(ChatResponse(message=message), 2)
    assert first.message.additional_kwargs == {"note": 1}
    assert last.message == message


class _Closing(Parrot):
    """Knows whether its stream was closed."""

    _is_closed: list[bool] = PrivateAttr(default_factory=list)

    async def astream_chat(self, messages: Any, **_: Any) -> AsyncGenerator[ChatResponse, None]:
        async def stream() -> AsyncGenerator[ChatResponse, None]:
            try:
                yield said("a", "a")
                yield said("a b", " b")
            finally:
                self._is_closed.append(True)

        return stream()


async def test_a_stream_that_is_let_go_lets_its_provider_go_at_once(cache: SemanticCache) -> None:
    llm = cached(_Closing(), cache)
    begun = await llm.astream_chat(user(ASKED))
    await anext(begun)
    await begun.aclose()
    assert llm._is_closed == [True]


# --- what a stream adds up to --------------------------------------------------------------------------------------


def gathered(*chunks: Any) -> Any:
    total = Gathered()
    for chunk in chunks:
        total.take(chunk)
    return total.whole()


def said(text: str, delta: str | None, *more: Any) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role="assistant", blocks=[TextBlock(text=text), *more]), delta=delta)


CALL = ToolCallBlock(tool_call_id="call_1", tool_name="add", tool_kwargs={"a": 1})


@pytest.mark.parametrize(
    "chunks",
    [
        [said("a", "a"), said("a b", " b")],
        [said("a", "a"), said("a", " b")],  # text that lags behind, as MockLLM's does
        [said("a", "a"), said(" b", " b")],  # text that is the piece alone
        [said("a", None), said("a b", None)],  # no pieces
        [said("a b", "a b"), said("", "")],  # an empty end
    ],
)
def test_the_text_of_a_stream_is_what_its_pieces_say(chunks: list[ChatResponse]) -> None:
    assert gathered(*chunks).message.content == "a b"


def test_what_else_a_message_holds_keeps_its_place() -> None:
    thought = ThinkingBlock(content="hm")
    message = ChatMessage(role="assistant", blocks=[thought, TextBlock(text="a"), CALL])
    whole = gathered(said("a", "a"), ChatResponse(message=message, delta=" b"))
    assert whole.message.blocks == [thought, TextBlock(text="a b"), CALL]


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [said("a", "a"), said("c", "b")],
        [said("a", "a", CALL), said("a b", " b")],
        [said("a", "ab", TextBlock(text="b"))] * 2,
    ],
    ids=["empty", "another text", "a lost tool call", "two texts"],
)
def test_a_stream_that_contradicts_itself_is_no_answer(chunks: list[ChatResponse]) -> None:
    with pytest.raises(Unsure, match="an answer is not stored"):
        gathered(*chunks)


def test_what_consumers_do_to_a_chunk_is_not_stored(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    for chunk in llm.stream_chat(user(ASKED)):
        chunk.message.blocks = []
        chunk.message.additional_kwargs["x"] = "y"
    hit = llm.chat(user(ASKED))
    assert str(hit.message.content).startswith("You said:")
    assert hit.message.additional_kwargs == {}


@given(st.lists(st.sampled_from(["text", "tool", "thought"]), max_size=5), st.integers(1, 9), st.data())
def test_a_replay_adds_up_to_what_was_replayed(kinds: list[str], characters: int, data: st.DataObject) -> None:
    texts = st.text(max_size=30)
    made: dict[str, Callable[[], Any]] = {
        "text": lambda: TextBlock(text=data.draw(texts)),
        "tool": lambda: CALL,
        "thought": lambda: ThinkingBlock(content="hm"),
    }
    reply = ChatResponse(message=ChatMessage(role="assistant", blocks=[made[kind]() for kind in kinds]))
    chunks = list(replay(reply, characters))
    whole = "".join(block.text for block in reply.message.blocks if isinstance(block, TextBlock))
    assert chunks[-1].message == reply.message
    assert "".join(deltas(chunks)) == whole
    assert all(len(chunk.delta) <= characters for chunk in chunks)


# --- what is stored ------------------------------------------------------------------------------------------------


def through(reply: Any) -> Any:
    """Return what comes back of a response, by way of text as a store keeps it."""
    answer = encode(reply, Told.by(reply.raw, reply.additional_kwargs), model="m", latency_s=0.1)
    kept = Answer(answer.text, payload=json.loads(json.dumps(answer.payload)))
    return revive(kept, HIT, "chat" if isinstance(reply, ChatResponse) else "completion")


def test_a_response_comes_back_as_it_was() -> None:
    blocks = [
        ThinkingBlock(content="hm", additional_information={"signature": "xyz"}),
        TextBlock(text="Twice: 42 ü 🙂"),
        ImageBlock(image=b"\x89PNG\r\n\x1a\n", image_mimetype="image/png"),
        ToolCallBlock(tool_name="add", tool_kwargs={"a": [1, None, {"b": True}]}),
    ]
    message = ChatMessage(role="assistant", blocks=blocks, additional_kwargs={"citations": ["a"]})
    logprobs = [[LogProb(token="T", logprob=-0.5, bytes=[84])]]
    back = through(ChatResponse(message=message, logprobs=logprobs, additional_kwargs={"score": 1.5, "usage": {}}))
    assert back.message == message
    assert back.logprobs == logprobs
    assert back.additional_kwargs == {"score": 1.5, "semroute": HIT.as_dict()}
    told = through(CompletionResponse(text="42", additional_kwargs={"prompt_tokens": 3}, delta="2"))
    assert (told.text, told.delta, told.additional_kwargs) == ("42", None, {"semroute": HIT.as_dict()})


@pytest.mark.parametrize(
    "payload",
    [
        *[None, [], {}, {"v": 0, "chat": {}}, {"v": 1, "completion": {"text": "x"}}, {"v": 1, "chat": "x"}],
        *[{"v": 1, "chat": {}}, {"v": 1, "chat": {"message": {"role": "nobody"}}}, {"v": 1, "generations": []}],
    ],
)
def test_what_cannot_be_read_is_no_answer(payload: Any) -> None:
    assert revive(Answer("x", payload=payload), HIT, "chat") is None


def test_an_unreadable_answer_is_a_miss(parrot: Parrot, cache: SemanticCache, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = cached(parrot, cache)
    llm.chat(user(ASKED))
    monkeypatch.setattr("llama_index_semroute._llm_codec.VERSION", 2)
    again = llm.chat(user(ASKED))
    assert tier(again) == "miss"
    assert again.additional_kwargs["semroute"]["why"] == ["what is stored cannot be read"]
    assert tier(llm.chat(user(ASKED))) == "l1", "and is stored anew"


@pytest.mark.parametrize(
    "extra",
    [{"parsed": object()}, {"when": {1: 2}}, {"pair": (1, 2)}, {"reference_audio_id": "audio_1"}],
    ids=["an object", "a key that is no text", "a tuple", "audio that the provider keeps"],
)
def test_what_json_does_not_bring_back_is_not_stored(
    cache: SemanticCache, extra: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    llm = cached(_Telling(), cache)
    llm._extra = extra
    for _ in range(2):
        answer = llm.chat(user(ASKED))
        assert tier(answer) == "miss"
        assert answer.message.additional_kwargs == extra
    assert cache.size().entries == 0
    assert sum("is not stored" in record.message for record in caplog.records) == 1


class _Telling(Parrot):
    """A parrot that says more beside its answer."""

    _extra: dict[str, Any] = PrivateAttr(default_factory=dict)
    _raw: Any = PrivateAttr(default=None)

    def chat(self, messages: Any, **_: Any) -> ChatResponse:
        message = ChatMessage(role="assistant", content="Fine.", additional_kwargs=dict(self._extra))
        return ChatResponse(message=message, raw=self._raw)

    def stream_chat(self, messages: Any, **_: Any) -> Iterator[ChatResponse]:
        yield said("Fi", "Fi")
        yield ChatResponse(message=ChatMessage(role="assistant", content="Fine."), delta="ne.", raw=self._raw)
        yield said("Fine.", "")


@pytest.mark.parametrize("way", ["chat", "stream_chat"])
@pytest.mark.parametrize(
    "raw",
    [
        {"choices": [{"finish_reason": "length"}]},
        {"stop_reason": "max_tokens"},
        {"done_reason": "length"},
        {"choices": [{"message": {"refusal": "I will not."}}]},
        {"choices": [{"delta": {"refusal": "I will not."}}]},
    ],
)
def test_half_an_answer_and_a_refusal_are_not_stored(cache: SemanticCache, way: str, raw: Any) -> None:
    llm = cached(_Telling(), cache)
    llm._raw = raw
    for _ in range(2):
        answer = getattr(llm, way)(user(ASKED))
        assert tiers([answer] if way == "chat" else list(answer)) == {"miss"}
    assert cache.size().entries == 0


@pytest.mark.parametrize("way", ["chat", "stream_chat"])
@pytest.mark.parametrize(
    "raw",
    [
        {"usage": {"prompt_tokens": 3, "completion_tokens": 5}},
        {"usage": {"input_tokens": 3, "output_tokens": 5}},
        {"usage_metadata": {"prompt_token_count": 3, "candidates_token_count": 5}},
    ],
)
def test_hits_say_how_many_tokens_they_saved(cache: SemanticCache, way: str, raw: Any) -> None:
    llm = cached(_Telling(), cache)
    llm._raw = raw
    answer = getattr(llm, way)(user(ASKED))
    if way == "stream_chat":
        assert len(list(answer)) == 3
    assert llm.chat(user(ASKED)).additional_kwargs["semroute"]["saved"]["tokens"] == 8
