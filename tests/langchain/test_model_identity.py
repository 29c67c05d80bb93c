"""Which models are one and the same: every trap of LangChain's `llm_string`, and of models that say too little."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_semroute import SemrouteCache, cached
from pydantic import BaseModel

from semroute import SemanticCache

from .sharing import ANSWER, is_shared

RunPython = Callable[..., str]


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
