"""What tells one cached LLM from another: its class, its settings, its tools, and no secret."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CompletionResponse,
    LLMMetadata,
)
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI
from llama_index_semroute._llm_identity import is_secret, of_llm
from llama_index_semroute.cached_llm import cached
from pydantic import Field, PrivateAttr, SecretStr, create_model

from semroute import SemanticCache
from semroute.calls.values import Unsure
from semroute.testing.embedders import HashEmbedder
from tests.langchain.openai_stub import OpenAIStub
from tests.llama_index.parts import Parrot, tier, user

ASKED = "What is the capital of France?"
IN_OTHER_WORDS = "what is the capital of france"
"""For the embedder of these tests the very same vector."""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


class Kept(Parrot):
    """A parrot with settings of every kind."""

    api_key: str = "sk-very-secret"
    access_token: SecretStr = SecretStr("ghp-very-secret")
    base_url: str = "https://me:very-secret@host/v1?key=very-secret&region=eu"
    default_headers: dict[str, str] = Field(default={"Authorization": "Bearer very-secret"})
    settings: dict[str, Any] = Field(default={"nested": {"x-api-key": "very-secret", "seed": 1}})
    max_tokens: int = 100
    eos_token: str = "</s>"
    client: Any = object()
    timeout: float = 60.0


class Opaque(Parrot):
    """A parrot with a setting that nobody can read."""

    pipeline: Any = object()


def test_an_identity_holds_what_may_change_an_answer_and_no_secret() -> None:
    identity = of_llm(Kept())
    told = json.dumps(identity.form)
    assert "very-secret" not in told
    assert "https://host/v1?region=eu" in told
    fields = identity.form[0]["fields"]
    assert fields["max_tokens"] == 100
    assert fields["eos_token"] == "</s>"
    assert fields["settings"] == {"nested": {"seed": 1}}
    assert fields.keys().isdisjoint({"client", "timeout", "callback_manager", "rate_limiter"})
    assert (identity.model, identity.temperature) == ("parrot-1", 0.0)


def test_an_identity_is_the_same_for_the_cached_llm_and_for_the_bare_one(parrot: Parrot, cache: SemanticCache) -> None:
    assert of_llm(cached(parrot, cache)) == of_llm(parrot)
    assert of_llm(cached(parrot, cache, identity="mine")) == of_llm(parrot, "mine")


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0.5), ("model", "parrot-2"), ("extra", {"seed": 1}), ("system_prompt", "Be brief.")],
)
def test_another_setting_is_another_llm(cache: SemanticCache, name: str, value: object) -> None:
    cached(Parrot(), cache).chat(user(ASKED))
    assert tier(cached(Parrot(**{name: value}), cache).chat(user(ASKED))) == "miss"
    assert tier(cached(Parrot(), cache).chat(user(ASKED))) == "l1"


def test_another_class_is_another_llm(cache: SemanticCache) -> None:
    cached(Parrot(), cache).chat(user(ASKED))
    assert tier(cached(Kept(), cache).chat(user(ASKED))) == "miss"


@pytest.mark.parametrize("name", ["api_key", "access_token", "timeout", "default_headers"])
def test_keys_and_patience_do_not_part_answers(cache: SemanticCache, name: str) -> None:
    cached(Kept(), cache).chat(user(ASKED))
    others = {"api_key": "sk-other", "access_token": SecretStr("other"), "timeout": 5.0}
    others["default_headers"] = {"Authorization": "Bearer other"}
    assert tier(cached(Kept(**{name: others[name]}), cache).chat(user(ASKED))) == "l1"


@pytest.mark.parametrize(
    "arguments",
    [
        {"temperature": 1.5},
        {"model": "parrot-2"},
        {"stop": ["\n"]},
        {"tools": [{"name": "add"}]},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_another_argument_is_another_call(parrot: Parrot, cache: SemanticCache, arguments: dict[str, Any]) -> None:
    llm = cached(parrot, cache)
    llm.chat(user(ASKED))
    assert tier(llm.chat(user(ASKED), **arguments)) == "miss"
    assert tier(llm.chat(user(ASKED), **arguments)) == "l1"
    assert tier(llm.chat(user(ASKED), timeout=3, tools=None, extra_headers={"Authorization": "x"})) == "l1"


def test_a_header_that_names_a_tenant_parts_answers(cache: SemanticCache) -> None:
    tiers = []
    for tenant in ("acme", "umbrella", "acme"):
        llm = cached(Kept(default_headers={"Authorization": "Bearer x", "x-tenant": tenant}), cache)
        tiers.append(tier(llm.chat(user(ASKED))))
    assert tiers == ["miss", "miss", "l1"]


def test_two_schemas_of_one_name_are_two(parrot: Parrot, cache: SemanticCache) -> None:
    one, other = create_model("Answer", text=(str, ...)), create_model("Answer", number=(int, ...))
    llm = cached(parrot, cache)
    llm.chat(user(ASKED), response_format=one)
    assert tier(llm.chat(user(ASKED), response_format=other)) == "miss"
    assert tier(llm.chat(user(ASKED), response_format=create_model("Answer", text=(str, ...)))) == "l1"


@pytest.mark.parametrize("name", ["key", "password", "auth", "headers", "token", "timeout", "client"])
def test_a_parameter_of_a_tool_counts_whatever_its_name(parrot: Parrot, cache: SemanticCache, name: str) -> None:
    def tool(*names: str) -> dict[str, Any]:
        properties = {name: {"type": "string"} for name in names}
        return {"type": "function", "function": {"name": "f", "parameters": {"properties": properties}}}

    llm = cached(parrot, cache)
    llm.chat(user(ASKED), tools=[tool("a")])
    assert tier(llm.chat(user(ASKED), tools=[tool("a", name)])) == "miss"
    schema = {"json_schema": {"schema": {"properties": {name: {"type": "string"}}, "required": [name]}}}
    llm.chat(user(ASKED), response_format={"json_schema": {"schema": {"properties": {}, "required": [name]}}})
    assert tier(llm.chat(user(ASKED), response_format=schema)) == "miss"


def test_tools_count_by_what_they_tell_the_model(cache: SemanticCache) -> None:
    def tool(description: str) -> FunctionTool:
        return FunctionTool.from_defaults(fn=lambda a: a, name="echo", description=description)

    llm = cached(MockFunctionCallingLLM(), cache)
    assert tier(llm.chat(user(ASKED), tools=[tool("Says it again.")])) == "miss"
    assert tier(llm.chat(user(ASKED), tools=[tool("Says it again.")])) == "l1"
    assert tier(llm.chat(user(ASKED), tools=[tool("Forgets it.")])) == "miss"


def test_a_high_temperature_is_not_matched_by_meaning(trusting_core: SemanticCache) -> None:
    for settings in ({"temperature": 1.9}, {"extra": {}, "additional_kwargs": {"temperature": 1.9}}):
        llm = cached(_Free(**settings), trusting_core)
        assert tier(llm.chat(user(ASKED))) == "miss"
        assert tier(llm.chat(user(IN_OTHER_WORDS))) == "miss"
        assert tier(llm.chat(user(ASKED))) == "l1"
    llm = cached(Parrot(), trusting_core)
    llm.chat(user(ASKED), temperature=1.9)
    assert tier(llm.chat(user(IN_OTHER_WORDS), temperature=1.9)) == "miss"


class _Free(Parrot):
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)


def test_an_llm_that_cannot_be_read_is_not_cached_and_that_is_said_once(
    cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    llm = cached(Opaque(), cache)
    with caplog.at_level(logging.WARNING, "semroute"):
        for _ in range(3):
            assert "semroute" not in llm.chat(user(ASKED)).additional_kwargs
            assert len(list(llm.stream_chat(user(ASKED)))) > 1
    assert cache.stats().lookups == 0
    (record,) = caplog.records
    assert "'pipeline' of Opaque" in record.getMessage()
    assert "identity=" in record.getMessage()


def test_an_llm_that_cannot_be_read_may_be_named(cache: SemanticCache) -> None:
    cached(Opaque(), cache, identity="opaque, 7b").chat(user(ASKED))
    assert tier(cached(Opaque(), cache, identity="opaque, 7b").chat(user(ASKED))) == "l1"
    assert tier(cached(Opaque(), cache, identity="opaque, 70b").chat(user(ASKED))) == "miss"


def test_a_class_or_a_function_without_a_name_of_its_own_is_in_doubt(parrot: Parrot) -> None:
    class Local(Parrot):
        pass

    with pytest.raises(Unsure, match="made by a function"):
        of_llm(Local())
    parrot.messages_to_prompt = lambda messages: str(messages)
    with pytest.raises(Unsure, match="'messages_to_prompt' of Parrot is a function without a name"):
        of_llm(parrot)


class Wrapping(CustomLLM):
    """An LLM round an object of another library, as LangChainLLM is."""

    _inner: Any = PrivateAttr(default=None)
    _model: str = PrivateAttr(default="one")

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self._model)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="Fine.")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        yield CompletionResponse(text="Fine.", delta="Fine.")


def test_an_llm_that_keeps_its_settings_to_itself_is_told_apart_by_its_model_or_in_doubt() -> None:
    one, other = Wrapping(), Wrapping()
    other._model = "another"
    assert of_llm(one) == of_llm(Wrapping())
    assert of_llm(one).form != of_llm(other).form
    assert (of_llm(one).model, of_llm(other).model) == ("one", "another")
    one._inner = object()
    with pytest.raises(Unsure, match="keeps what it is in '_inner'"):
        of_llm(one)


def test_a_component_of_ours_says_itself_what_it_is() -> None:
    class Own(Kept):
        def _semroute_form(self) -> Any:
            return {"models": [Parrot()], "api_key": "sk-very-secret"}

    Own.__qualname__ = "Own"
    assert of_llm(Own()).form["own"].keys() == {"models"}


def test_a_model_that_lets_its_provider_remember_is_not_cached(cache: SemanticCache) -> None:
    class Remembering(Parrot):
        track_previous_responses: bool = True

    llm = cached(Remembering(), cache, identity="remembering")
    assert "semroute" not in llm.chat(user(ASKED)).additional_kwargs


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[("api_key", True), ("apiKey", True), ("x-api-key", True), ("default_headers", True), ("hf_token", True)],
        *[("aws_secret_access_key", True), ("Authorization", True), ("password", True)],
        *[("model", False), ("eos_token", False), ("keyword", False), ("tokenizer_name", False), ("author", False)],
    ],
)
def test_what_is_secret_is_known_by_its_name(name: str, expected: bool) -> None:
    assert is_secret(name) is expected


def test_no_secret_is_in_the_store_the_log_or_an_explanation(
    stub: OpenAIStub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "sk-very-secret-0123456789"
    path = tmp_path / "answers.db"
    cache = SemanticCache(path, embedder=HashEmbedder())
    llm = OpenAI(
        model="gpt-4o-mini",
        api_base=stub.url,
        api_key=secret,
        default_headers={"X-Key": secret},
        reuse_client=False,
        max_retries=0,
    )
    with caplog.at_level(logging.DEBUG, "semroute"):
        answers = [cached(llm, cache).chat(user(ASKED), extra_headers={"Authorization": secret}) for _ in range(2)]
    cache.close()
    assert [tier(answer) for answer in answers] == ["miss", "l1"]
    assert stub.headers[0]["authorization"] == secret
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"You asked" in held
    assert secret.encode() not in held
    assert secret not in caplog.text
    assert secret not in json.dumps([answer.additional_kwargs for answer in answers])
