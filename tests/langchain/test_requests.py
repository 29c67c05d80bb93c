"""Which calls are one and the same: every trap of LangChain's `prompt` and `llm_string`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_semroute import SemrouteCache, cached
from pydantic import BaseModel

from semroute import SemanticCache

RunPython = Callable[..., str]
LLM = "a model"
ANSWER = [ChatGeneration(message=AIMessage("forty-two"))]
CALL = {"name": "search", "args": {"words": "cats", "limit": 3}, "id": "call_1"}


def prompt(*messages: BaseMessage) -> str:
    return dumps(list(messages))


def is_shared(cache: SemrouteCache, first: str, second: str, llm: str = LLM, other_llm: str | None = None) -> bool:
    """Say whether the answer to one prompt is served for another."""
    cache.update(first, llm, ANSWER)
    assert cache.lookup(first, llm) is not None
    return cache.lookup(second, llm if other_llm is None else other_llm) is not None


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


def openai_string(call: str = "[('stop', None)]", **fields: object) -> str:
    described = {"id": ["langchain", "ChatOpenAI"], "kwargs": fields, "lc": 1, "type": "constructor"}
    return f"{json.dumps(described, sort_keys=True)}---{call}"


KEY = {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]}


@pytest.mark.parametrize(
    "idle",
    [
        {"name": "answerer"},
        {"streaming": True},
        {"stream_usage": True},
        {"metadata": {"a": 1}},
        {"tags": ["t"]},
        {"verbose": True},
        {"max_retries": 5},
        {"openai_api_key": KEY},
        {"request_timeout": 9.5},
    ],
    ids=lambda idle: next(iter(idle)),
)
def test_what_does_not_change_an_answer_does_not_part_two_models(lc_cache: SemrouteCache, idle: dict[str, Any]) -> None:
    first, second = openai_string(model_name="m"), openai_string(model_name="m", **idle)
    assert is_shared(lc_cache, "What are cats?", "What are cats?", first, second)


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("[('stop', None)]", {"model_name": "another"}),
        ("[('stop', None)]", {"model_name": "m", "temperature": 0.7}),
        ("[('stop', None)]", {"model_name": "m", "openai_api_base": "http://elsewhere/v1"}),
        ("[('stop', ['x'])]", {"model_name": "m"}),
        ("[('stop', None), ('tools', [{'name': 'a'}])]", {"model_name": "m"}),
        ("[('model', 'bound'), ('stop', None)]", {"model_name": "m"}),
    ],
    ids=["model", "temperature", "endpoint", "stop", "tools", "bound model"],
)
def test_what_changes_an_answer_parts_two_models(lc_cache: SemrouteCache, call: str, fields: dict[str, Any]) -> None:
    other = openai_string(call, **fields)
    assert not is_shared(lc_cache, "What are cats?", "What are cats?", openai_string(model_name="m"), other)


def test_a_high_temperature_is_read_and_keeps_a_call_out_of_the_semantic_tier(trusting_core: SemanticCache) -> None:
    lc_cache = SemrouteCache(cache=trusting_core)
    hot = openai_string(model_name="m", temperature=1.7)
    assert is_shared(lc_cache, "what are cats?", "what are cats?", hot)
    assert lc_cache.lookup("What are cats?", hot) is None
    mild = openai_string(model_name="m", temperature=0.2)
    assert is_shared(lc_cache, "what are cats?", "What are cats?", mild)


def test_a_schema_named_by_its_class_is_not_cached_unless_that_is_trusted(
    lc_cache: SemrouteCache, caplog: pytest.LogCaptureFixture
) -> None:
    llm = openai_string("[('response_format', <class '__main__.Answer'>), ('stop', None)]")
    with caplog.at_level(logging.WARNING, "semroute"):
        for _ in range(3):
            lc_cache.update("What are cats?", llm, ANSWER)
            assert lc_cache.lookup("What are cats?", llm) is None
    assert len([record for record in caplog.records if "not cached" in record.message]) == 1
    trusting = SemrouteCache(cache=lc_cache.core, trust_llm_string=True)
    assert is_shared(trusting, "What are cats?", "What are cats?", llm)


TYPE_ONLY = {
    "alone": "[('_type', 'wrapper'), ('stop', None)]",
    "with tools": "[('_type', 'wrapper'), ('stop', None), ('tools', [{'name': 'a'}])]",
}


@pytest.mark.parametrize("llm", TYPE_ONLY.values(), ids=TYPE_ONLY)
def test_a_model_that_says_only_its_type_is_taken_at_its_word_with_one_warning(
    lc_cache: SemrouteCache, llm: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "semroute"):
        assert is_shared(lc_cache, "What are cats?", "What are cats?", llm)
        assert lc_cache.lookup("What are cats?", llm.replace("wrapper", "another")) is None
    warnings = [record.message for record in caplog.records if "_identifying_params" in record.message]
    assert len([warning for warning in warnings if "'wrapper'" in warning]) == 1


@pytest.mark.parametrize(
    "call",
    ["[('f', <function f at 0x7f1c>), ('stop', None)]", "[('o', <Thing object at 0x7f1c>), ('stop', None)]"],
)
def test_an_address_in_memory_is_never_a_key(lc_cache: SemrouteCache, call: str) -> None:
    trusting = SemrouteCache(cache=lc_cache.core, trust_llm_string=True)
    for cache in (lc_cache, trusting):
        cache.update("What are cats?", openai_string(call), ANSWER)
        assert cache.lookup("What are cats?", openai_string(call)) is None


SAME_EVERYWHERE = """
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langchain_semroute import SemrouteCache, cached
from langchain_semroute._call import open_call
from semroute import SemanticCache
from semroute.request import Digests
model = cached(ChatOpenAI(model="m", api_key="k", logit_bias={1: 2, 3: 4}), SemrouteCache("memory://"))
arguments = {"modes": {"text", "audio", "video"}, "tools": [{"type": "function", "function": {"name": "a"}}]}
messages = [SystemMessage("Be brief."), HumanMessage([{"type": "image", "base64": "AAAA"}, "What is it?"])]
print(Digests(b"k" * 32).address(open_call(model, messages, ["x"], arguments)._request).exact)
stop = str(sorted({**arguments, "stop": ["x"]}.items()))
asked = model.cache.asker.of_strings("words", '{"id": ["m"], "kwargs": {}}---' + stop, model.cache._identities)
print(Digests(b"k" * 32).address(asked).exact)
"""


def test_keys_are_the_same_in_processes_that_hash_differently(run_python: RunPython) -> None:
    assert run_python(SAME_EVERYWHERE, PYTHONHASHSEED="1") == run_python(SAME_EVERYWHERE, PYTHONHASHSEED="2")


def schemas() -> Sequence[type[BaseModel]]:
    def short() -> type[BaseModel]:
        class Answer(BaseModel):
            text: str

        return Answer

    def long() -> type[BaseModel]:
        class Answer(BaseModel):
            text: str
            sources: list[str]

        return Answer

    return short(), long()


def test_two_schemas_of_one_name_do_not_collide_in_a_cached_model(make_openai: Any, stub: Any, cache: Any) -> None:
    model = cached(make_openai(), cache)
    short, long = schemas()
    assert short.__name__ == long.__name__
    asked = "Tell me of 'cats'"
    first = model.with_structured_output(short).invoke(asked)
    assert type(first) is short
    second = model.with_structured_output(long).invoke(asked)
    assert type(second) is long
    assert stub.calls == 2
    assert model.with_structured_output(short).invoke(asked) == first
    assert model.with_structured_output(long).invoke(asked) == second
    assert stub.calls == 2


def test_a_copied_model_with_another_name_is_another_model(make_openai: Any, stub: Any, cache: Any) -> None:
    small = cached(make_openai(model="small"), cache)
    assert small.invoke("What are cats?").response_metadata["model_name"] == "small"
    big = small.model_copy(update={"model_name": "BIG"})
    assert big.invoke("What are cats?").response_metadata["model_name"] == "BIG"
    small.model_name = "tiny"
    assert small.invoke("What are cats?").response_metadata["model_name"] == "tiny"
    assert stub.calls == 3


def test_a_cached_model_and_a_plain_one_with_the_cache_share_answers(make_openai: Any, stub: Any, cache: Any) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    cached(make_openai(), cache).bind(tools=tools, tool_choice="none").invoke("What are cats?")
    plain = make_openai(cache=SemrouteCache(cache=cache))
    hit = plain.bind(tools=tools, tool_choice="none").invoke("What are cats?")
    assert hit.response_metadata["semroute"]["tier"] == "l1"
    assert stub.calls == 1


def test_a_model_that_cannot_say_what_it_is_keeps_its_answers_to_itself_unless_it_is_named(
    cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    def silent() -> GenericFakeChatModel:
        return GenericFakeChatModel(messages=iter([AIMessage("one"), AIMessage("two")]))

    first, second = cached(silent(), cache), cached(silent(), cache)
    with caplog.at_level(logging.WARNING, "semroute"):
        assert [first.invoke("What are cats?").text for _ in range(2)] == ["one", "one"]
    assert "identity=" in caplog.text
    assert [second.invoke("What are cats?").text, second.invoke("What are dogs?").text] == ["one", "two"]
    named = [cached(silent(), cache, identity="fake 1") for _ in range(2)]
    assert named[0].invoke("What are owls?").text == "one"
    assert named[1].invoke("What are owls?").text == "one"
    assert named[1].invoke("What are bats?").text == "one"


class Counting(BaseChatModel):
    """Counts its calls in a field, and says nothing of which model it is, as models written for a test often do."""

    prefix: str = "answer"
    calls: int = 0
    seen: list[str] = []  # noqa: RUF012  # pydantic copies it for every model

    @property
    def _llm_type(self) -> str:
        return "counting"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.calls += 1
        self.seen.append(messages[-1].text)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"{self.prefix} {self.calls}"))])


def test_a_model_that_counts_its_calls_in_a_field_is_served_all_the_same(cache: SemanticCache) -> None:
    model = cached(Counting(), cache)
    assert [model.invoke("What are cats?").text for _ in range(3)] == ["answer 1"] * 3
    assert cached(Counting(), cache).invoke("What are cats?").text == "answer 1"


def test_a_field_that_is_changed_from_outside_makes_another_model(cache: SemanticCache) -> None:
    model = cached(Counting(), cache)
    assert model.invoke("What are cats?").text == "answer 1"
    assert model.model_copy(update={"prefix": "reply"}).invoke("What are cats?").text == "reply 2"
    model.prefix = "word"
    assert model.invoke("What are cats?").text == "word 2"


class Wrapper(BaseChatModel):
    """Hands calls on to another model and does not say which, as such wrappers are often written."""

    inner: Any = None

    @property
    def _llm_type(self) -> str:
        return "wrapper"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.inner.invoke(messages))])


def test_wrappers_of_two_models_are_two_models(cache: SemanticCache, make_openai: Any) -> None:
    first, second = (cached(Wrapper(inner=make_openai(model=name)), cache) for name in ("a", "b"))
    first.invoke("What are cats?")
    assert second.invoke("What are cats?").response_metadata["semroute"]["tier"] == "miss"
    assert first.invoke("What are cats?").response_metadata["semroute"]["tier"] == "l1"
