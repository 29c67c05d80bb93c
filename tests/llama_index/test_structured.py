"""An LLM of LlamaIndex as the router's model: nothing of its calls is seen, served from a cache, or raised."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import llama_index.core
import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent
from llama_index.core.llms import CustomLLM, MockLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.span import active_span_id
from llama_index_semroute.cached_llm import cached
from llama_index_semroute.structured import StructuredModel
from pydantic import BaseModel, Field

from semroute import Request, SemanticCache, scope
from semroute.binding import bound
from semroute.errors import ConfigError
from semroute.router.decision import RoutingDecision
from semroute.router.llm import LLMRouter
from semroute.router.schema import decision_schema
from tests.langchain.llm_router_stand_in import CATALOG, GOOD, QUESTION, SAID, Says, StandIn

PATIENT_S = 60.0


class Scribe(CustomLLM):
    """An LLM that says one thing, and keeps how it was called."""

    says: str = SAID
    temperature: float = 0.7
    seen: list[dict[str, Any]] = Field(default_factory=list, exclude=True)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="scribe")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        at: dict[str, Any] = {"temperature": self.temperature, "tenant": bound().scope.tenant, "bypass": bound().bypass}
        at["thread"] = threading.get_ident()
        self.seen.append({"prompt": prompt, **at})
        return CompletionResponse(text=self.says)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        raise AssertionError("nobody asks for a stream")


class Heard(BaseEventHandler):
    """Keeps the tags of the LLM calls that the root dispatcher tells of, and the spans that they were in."""

    tags_of_calls: list[dict[str, Any]] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Heard"

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, LLMChatStartEvent):
            self.tags_of_calls.append(dict(event.tags))


@pytest.fixture
def heard() -> Iterator[Heard]:
    root, handler = get_dispatcher(), Heard()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)


def router_of(llm: Any, **settings: Any) -> LLMRouter:
    deadline_s = settings.pop("deadline_s", PATIENT_S)
    return LLMRouter(StructuredModel(llm, **settings), CATALOG, deadline_s=deadline_s)


def openai(url: str, **settings: Any) -> OpenAI:
    return OpenAI(**{"model": "gpt-4o-mini", "api_base": url, "api_key": "sk-test", "max_retries": 0, **settings})


Decide = Callable[[LLMRouter], Awaitable[RoutingDecision]]


async def on_this_thread(router: LLMRouter) -> RoutingDecision:
    return router.route(Request.of(QUESTION), None)


async def on_the_loop(router: LLMRouter) -> RoutingDecision:
    return await router.aroute(Request.of(QUESTION), None)


each_face = pytest.mark.parametrize("decide", [on_this_thread, on_the_loop], ids=["sync", "async"])
each_method = pytest.mark.parametrize("method", [None, "function_calling", "json_schema", "json_mode"])


class TestOverHttp:
    @each_face
    @each_method
    async def test_a_decision_comes_back_by_every_method(self, decide: Decide, method: Any) -> None:
        with StandIn(Says(SAID)) as stand_in:
            decision = await decide(router_of(openai(stand_in.url), method=method))
        assert decision == RoutingDecision(**GOOD, origin="llm")
        (body,) = stand_in.bodies
        assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
        assert (body["temperature"], body["stream"]) == (0.0, False)
        match method:
            case "json_mode":
                assert body["response_format"] == {"type": "json_object"}
            case "json_schema":
                assert body["response_format"]["json_schema"]["strict"] is True
                assert set(body["response_format"]["json_schema"]["schema"]["properties"]) == GOOD.keys()
            case _:
                (tool,) = body["tools"]
                assert (tool["function"]["name"], tool["function"]["strict"]) == ("routing_decision", True)
                assert set(tool["function"]["parameters"]["required"]) == GOOD.keys()
                assert body["tool_choice"] == "required"

    @each_face
    @each_method
    async def test_a_reply_that_is_none_is_asked_for_once_more(self, decide: Decide, method: Any) -> None:
        wrong = json.dumps({**GOOD, "model": "huge"})
        with StandIn(Says(wrong), Says(SAID)) as stand_in:
            assert (await decide(router_of(openai(stand_in.url), method=method))).origin == "llm"
        assert len(stand_in.bodies) == 2
        assert "model" in stand_in.bodies[1]["messages"][-1]["content"]

    @each_face
    @each_method
    async def test_a_second_reply_that_is_none_ends_in_the_fallbacks_decision(
        self, decide: Decide, method: Any
    ) -> None:
        with StandIn(Says("{")) as stand_in:
            decision = await decide(router_of(openai(stand_in.url), method=method))
        assert (decision.origin, decision.confidence) == ("fallback", 0.5)
        assert decision.reason.startswith("the model's reply is invalid: ")
        assert len(stand_in.bodies) == 2

    @each_face
    async def test_arguments_that_break_off_are_not_mended(self, decide: Decide) -> None:
        with StandIn(Says(SAID[:-1])) as stand_in:
            decision = await decide(router_of(openai(stand_in.url)))
        assert decision.origin == "fallback"
        assert len(stand_in.bodies) == 2

    @each_face
    @each_method
    async def test_a_refusal_is_not_asked_for_again(self, decide: Decide, method: Any) -> None:
        with StandIn(Says("I will not.", is_refusal=True)) as stand_in:
            decision = await decide(router_of(openai(stand_in.url), method=method))
        assert decision.reason.startswith("the model refuses: ")
        assert len(stand_in.bodies) == 1

    @each_face
    async def test_a_filter_of_the_provider_is_a_refusal_and_no_failure(self, decide: Decide) -> None:
        with StandIn(Says("The prompt was filtered.", status=400, code="content_filter")) as stand_in:
            router = router_of(openai(stand_in.url))
            decisions = [await decide(router) for _ in range(5)]
        assert len(stand_in.bodies) == 5, "the breaker does not count what is about one text"
        assert all(decision.reason.startswith("the model refuses") for decision in decisions)

    @each_face
    @pytest.mark.parametrize("status", [401, 429, 500])
    async def test_an_error_of_the_provider_ends_in_the_fallbacks_decision(self, decide: Decide, status: int) -> None:
        with StandIn(Says("It is down.", status=status)) as stand_in:
            decision = await decide(router_of(openai(stand_in.url)))
        assert (decision.origin, decision.confidence) == ("fallback", 0.5)
        assert f"{status}" in decision.reason
        assert len(stand_in.bodies) == 1

    @each_face
    async def test_a_provider_that_will_have_no_temperature_is_asked_without_ours(self, decide: Decide) -> None:
        told = "Unsupported value: 'temperature' does not support 0 with this model."
        with StandIn(Says(told, status=400, code="unsupported_value"), Says(SAID)) as stand_in:
            router = router_of(openai(stand_in.url, temperature=1.0))
            assert (await decide(router)).origin == "llm"
            assert router.route(Request.of("And of Graz?"), None).origin == "llm"
        assert [body["temperature"] for body in stand_in.bodies] == [0.0, 1.0, 1.0]

    @each_face
    async def test_a_provider_that_hangs_costs_no_more_than_the_deadline(self, decide: Decide) -> None:
        accepted: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            accepting = threading.Thread(target=lambda: accepted.append(server.accept()[0]))
            accepting.start()
            url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
            decision = await asyncio.wait_for(decide(router_of(openai(url), deadline_s=0.5)), PATIENT_S)
            accepting.join()
            accepted[0].close()
        assert decision.reason == "the router's model did not answer within 0.5 s; decided by rules instead"

    @each_face
    async def test_json_that_stands_in_prose_is_not_read(self, decide: Decide) -> None:
        echo = Says(f"It says:\n```json\n{SAID}\n```\nand so on.", is_prose=True)
        with StandIn(echo) as stand_in:
            for method in (None, "json_schema", "json_mode"):
                decision = await decide(router_of(openai(stand_in.url), method=method))
                assert decision.reason == "the model's reply is invalid: it is no JSON object; decided by rules instead"


class TestPlainWords:
    @each_face
    async def test_an_llm_without_functions_is_asked_for_json(self, decide: Decide) -> None:
        scribe = Scribe()
        assert await decide(router_of(scribe)) == RoutingDecision(**GOOD, origin="llm")
        assert [call["temperature"] for call in scribe.seen] == [0.0]
        await decide(router_of(scribe, temperature=None))
        assert [call["temperature"] for call in scribe.seen] == [0.0, 0.7]
        assert scribe.temperature == 0.7


class TestTheUsersRun:
    @each_face
    async def test_the_users_callbacks_and_counters_hear_nothing(
        self, decide: Decide, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own, every = (TokenCountingHandler(tokenizer=str.split) for _ in range(2))
        scribe = Scribe(callback_manager=CallbackManager([own]))
        monkeypatch.setattr(llama_index.core, "global_handler", every)
        assert (await decide(router_of(scribe))).origin == "llm"
        assert len(scribe.seen) == 1
        assert (own.llm_token_counts, every.llm_token_counts) == ([], [])

    @each_face
    async def test_handlers_of_the_routers_own_hear_of_it(self, decide: Decide) -> None:
        own = TokenCountingHandler(tokenizer=str.split)
        await decide(router_of(Scribe(), callbacks=[own]))
        assert len(own.llm_token_counts) == 1

    @each_face
    async def test_events_are_marked_as_the_routers(self, decide: Decide, heard: Heard) -> None:
        with StandIn(Says(SAID)) as stand_in:
            await decide(router_of(openai(stand_in.url)))
        assert heard.tags_of_calls == [{"semroute": "router"}]

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    async def test_asked_without_a_router_it_is_outside_of_the_users_context_too(
        self, is_async: bool, heard: Heard
    ) -> None:
        spans: list[str | None] = []

        class Watching(Scribe):
            def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
                spans.append(active_span_id.get())
                return super().complete(prompt, formatted, **kwargs)

        scribe = Watching()
        ask, schema = StructuredModel(scribe), decision_schema(CATALOG)
        token = active_span_id.set("the user's")
        try:
            with scope(tenant="acme"):
                said = await ask.aask("task", "request", schema) if is_async else ask("task", "request", schema)
                assert (bound().scope.tenant, active_span_id.get()) == ("acme", "the user's")
        finally:
            active_span_id.reset(token)
        assert said == SAID
        assert [(call["tenant"], call["bypass"]) for call in scribe.seen] == [(None, True)]
        assert "the user's" not in spans
        assert heard.tags_of_calls == [{"semroute": "router"}]

    @pytest.mark.parametrize("is_cached", [False, True], ids=["plain", "cached"])
    async def test_an_llm_whose_async_side_would_block_the_loop_is_asked_on_a_thread(
        self, is_cached: bool, cache: SemanticCache
    ) -> None:
        scribe = Scribe()
        await StructuredModel(cached(scribe, cache) if is_cached else scribe).aask(
            "task", "request", decision_schema(CATALOG)
        )
        assert [call["thread"] == threading.get_ident() for call in scribe.seen] == [False]

    @each_face
    async def test_no_cache_of_ours_serves_it(self, decide: Decide, cache: SemanticCache) -> None:
        llm = cached(Scribe(), cache)
        for _ in range(2):
            assert (await decide(router_of(llm))).origin == "llm"
        assert len(llm.seen) == 2
        assert cache.stats().lookups == 0


class Caller(Scribe, FunctionCallingLLM):
    """An LLM that answers with one message, as integrations of every age do."""

    message: ChatMessage
    raw: Any = None

    def __init__(self, message: ChatMessage, raw: Any = None) -> None:
        super().__init__(message=message, raw=raw)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True)

    def chat(self, messages: Any, **kwargs: Any) -> ChatResponse:
        return ChatResponse(message=self.message.model_copy(deep=True), raw=self.raw)

    def _prepare_chat_with_tools(self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any) -> Any:
        return {"messages": chat_history}

    def get_tool_calls_from_response(self, response: ChatResponse, *args: Any, **kwargs: Any) -> Any:
        from llama_index.core.llms.llm import ToolSelection

        calls = response.message.additional_kwargs["tool_calls"]
        return [ToolSelection(tool_id="", tool_name="", tool_kwargs=call) for call in calls]


def assistant(text: str | None, *blocks: Any, **kwargs: Any) -> ChatMessage:
    message = ChatMessage(role=MessageRole.ASSISTANT, content=text, additional_kwargs=kwargs)
    message.blocks.extend(blocks)
    return message


CALL = ToolCallBlock(tool_name="routing_decision", tool_kwargs=GOOD)


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            assistant(SAID),
            assistant(None, CALL),
            assistant("I decide.", CALL),
            assistant(None, CALL.model_copy(update={"tool_kwargs": SAID})),
            assistant(None, tool_calls=[GOOD]),
        ],
        ids=["text", "a call", "a call with words", "a call's arguments as text", "a call of an older integration"],
    )
    def test_a_decision_is_found_in_every_form_of_a_message(self, message: ChatMessage) -> None:
        assert router_of(Caller(message)).route(Request.of(QUESTION), None).origin == "llm"

    @pytest.mark.parametrize(
        "raw",
        [
            {"choices": [{"finish_reason": "content_filter"}]},
            {"finish_reason": "SAFETY"},
            {"stop_reason": "refusal"},
            {"choices": [{"message": {"refusal": "no"}}]},
        ],
    )
    def test_a_refusal_is_known_in_every_form_of_a_response(self, raw: Any) -> None:
        decision = router_of(Caller(assistant(SAID), raw)).route(Request.of(QUESTION), None)
        assert decision.reason.startswith("the model refuses: ")

    @pytest.mark.parametrize("message", [assistant(None), assistant(""), assistant(None, tool_calls=[{}])])
    def test_a_message_without_a_decision_ends_in_the_fallbacks(self, message: ChatMessage) -> None:
        decision = router_of(Caller(message)).route(Request.of(QUESTION), None)
        assert decision.reason.startswith("the model's reply is invalid: ")


class _Schema(BaseModel):
    name: str


class TestParts:
    @pytest.mark.parametrize("llm", [None, "gpt-4o", PromptTemplate("x"), MockLLM().as_structured_llm(_Schema)])
    def test_what_is_no_llm_is_refused(self, llm: Any) -> None:
        with pytest.raises(ConfigError, match="takes an LLM"):
            StructuredModel(llm)

    def test_a_method_that_is_none_or_cannot_be_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="method must be one of"):
            StructuredModel(Scribe(), method="prose")  # type: ignore[arg-type]  # what is being tested
        with pytest.raises(ConfigError, match="Scribe can call no functions"):
            StructuredModel(Scribe(), method="function_calling")

    def test_its_repr_names_the_model_and_no_secret(self) -> None:
        llm = OpenAI(model="gpt-4o-mini", api_key="sk-test")
        assert repr(StructuredModel(llm)) == "<StructuredModel OpenAI, method of its own>"
