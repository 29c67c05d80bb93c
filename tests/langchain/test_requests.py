"""Which prompts are one and the same: every trap of the messages that LangChain serialises."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_semroute import SemrouteCache

from semroute import SemanticCache

from .sharing import ANSWER, LLM, is_shared

CALL = {"name": "search", "args": {"words": "cats", "limit": 3}, "id": "call_1"}


def prompt(*messages: BaseMessage) -> str:
    return dumps(list(messages))


REPLAYED = AIMessage(
    "Cats sleep a lot.",
    id="lc_run--1",
    response_metadata={"id": "chatcmpl-1", "token_usage": {"total_tokens": 8}, "logprobs": None},
    usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
    additional_kwargs={"refusal": None},
)


def test_a_rebuilt_ai_turn_is_the_same_turn(lc_cache: SemrouteCache) -> None:
    asked, again = HumanMessage("What do cats do?"), HumanMessage("And dogs?")
    rebuilt = AIMessage([{"type": "text", "text": "Cats sleep a lot.", "annotations": [], "id": "msg_1"}])
    assert is_shared(lc_cache, prompt(asked, REPLAYED, again), prompt(asked, rebuilt, again))


def test_another_ai_turn_is_another_conversation(lc_cache: SemrouteCache) -> None:
    asked, again = HumanMessage("What do cats do?"), HumanMessage("And dogs?")
    assert not is_shared(lc_cache, prompt(asked, REPLAYED, again), prompt(asked, AIMessage("Cats purr."), again))


def test_a_system_prompt_is_never_compared_by_meaning(lc_cache: SemrouteCache) -> None:
    question = HumanMessage("How do I reset it?")
    first, second = (SystemMessage(f"You help tenant {name} of the house.") for name in "AB")
    assert not is_shared(lc_cache, prompt(first, question), prompt(second, question))


def history(call_id: str, *, of_provider: bool = False, **changed: Any) -> str:
    arguments = {**CALL["args"], **changed}  # type: ignore[dict-item]  # a dict, as written above
    function = {"name": "search", "arguments": json.dumps(arguments)}
    asks = (
        AIMessage("", additional_kwargs={"tool_calls": [{"id": call_id, "type": "function", "function": function}]})
        if of_provider
        else AIMessage("", tool_calls=[{"name": "search", "args": arguments, "id": call_id}])
    )
    return prompt(HumanMessage("Find cats"), asks, ToolMessage("3 cats", tool_call_id=call_id), HumanMessage("And?"))


def test_ids_of_tool_calls_do_not_count_but_their_arguments_do(lc_cache: SemrouteCache) -> None:
    assert is_shared(lc_cache, history("call_1"), history("call_2"))
    assert not is_shared(lc_cache, history("call_1"), history("call_1", words="dogs"))


def test_tool_calls_count_wherever_a_provider_leaves_them(lc_cache: SemrouteCache) -> None:
    assert is_shared(lc_cache, history("call_1"), history("call_3", of_provider=True))


def results(first: str, second: str) -> str:
    calls = [{**CALL, "id": "a"}, {**CALL, "id": "b"}]
    turns = [ToolMessage("one", tool_call_id=first), ToolMessage("two", tool_call_id=second)]
    return prompt(HumanMessage("Find"), AIMessage("", tool_calls=calls), *turns, HumanMessage("And?"))


def test_a_result_belongs_to_the_call_that_it_answers(lc_cache: SemrouteCache) -> None:
    assert not is_shared(lc_cache, results("a", "b"), results("b", "a"))


def test_a_failed_tool_is_not_one_that_succeeded(lc_cache: SemrouteCache) -> None:
    def said(status: str) -> str:
        turn = ToolMessage("none", tool_call_id="call_1", status=status)
        return prompt(HumanMessage("Find"), AIMessage("", tool_calls=[CALL]), turn, HumanMessage("And?"))

    assert not is_shared(lc_cache, said("success"), said("error"))


def picture(data: str, **extra: str) -> str:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}, **extra}
    return prompt(HumanMessage([{"type": "text", "text": "What is on it?"}, image]))


def test_images_count_by_their_content(lc_cache: SemrouteCache) -> None:
    assert is_shared(lc_cache, picture("A" * 5_000), picture("A" * 5_000, id="block_7"))
    assert not is_shared(lc_cache, picture("A" * 5_000), picture("A" * 4_999 + "B"))


def test_the_place_of_an_image_among_the_texts_counts(lc_cache: SemrouteCache) -> None:
    image = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    above, below = ([{"type": "text", "text": "Caption it"}, image][::step] for step in (1, -1))
    assert not is_shared(lc_cache, prompt(HumanMessage(above)), prompt(HumanMessage(below)))


def test_an_image_never_reaches_the_store(make_cache: Callable[..., SemanticCache], tmp_path: Any) -> None:
    cache = SemrouteCache(cache=make_cache(f"sqlite:///{tmp_path}/answers.db"))
    cache.update(picture("Q2F0cw" * 100), LLM, ANSWER)
    cache.core.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"forty-two" in kept
    assert b"Q2F0cwQ2F0cw" not in kept


def test_what_langchain_cannot_serialise_beside_the_content_does_not_count(lc_cache: SemrouteCache) -> None:
    def turn() -> AIMessage:
        return AIMessage("Hello.", additional_kwargs={"session": object()})

    asked, again = HumanMessage("Hi"), HumanMessage("What are cats?")
    assert is_shared(lc_cache, prompt(asked, turn(), again), prompt(asked, turn(), again))


def test_content_that_langchain_cannot_serialise_is_not_cached(lc_cache: SemrouteCache) -> None:
    lost = prompt(HumanMessage([{"type": "media", "data": object()}, {"type": "text", "text": "What is it?"}]))
    assert "not_implemented" in lost
    lc_cache.update(lost, LLM, ANSWER)
    assert lc_cache.lookup(lost, LLM) is None
    assert lc_cache.core.size().entries == 0


def test_objects_that_look_like_langchains_own_are_data(lc_cache: SemrouteCache) -> None:
    def file(name: str) -> str:
        return prompt(HumanMessage([{"type": "file", "file": {"lc": 1, "name": name}}, "Sum it up"]))

    assert "__lc_escaped__" in file("a")
    assert is_shared(lc_cache, file("a"), file("a"))
    assert not is_shared(lc_cache, file("a"), file("b"))


@pytest.mark.parametrize(
    "text",
    ["plain words", "[", "[1, 2]", "[]", '{"a": 1}', '[{"lc": 2}]', "[" * 5_000, "\ud800", "مرحبا 👋", "x" * 100_000],
    ids=["words", "bracket", "numbers", "empty list", "object", "another lc", "deep", "surrogate", "rtl", "long"],
)
def test_a_prompt_that_is_no_message_list_is_one_turn(lc_cache: SemrouteCache, text: str) -> None:
    lc_cache.update(text, LLM, ANSWER)
    found = lc_cache.lookup(text, LLM)
    assert text == "\ud800" or [g.text for g in found or []] == (["forty-two"] if text.strip() else [])


@pytest.mark.parametrize("damaged", ['[{"lc": 1, "type": "constructor"}]', '[{"lc": 1, "type": "not_implemented"}]'])
def test_a_message_without_its_content_is_not_cached(lc_cache: SemrouteCache, damaged: str) -> None:
    lc_cache.update(damaged, LLM, ANSWER)
    assert lc_cache.lookup(damaged, LLM) is None
