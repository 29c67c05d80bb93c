"""A chat model of LangChain as the router's model: nothing of its calls is seen, served from a cache, or raised."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import langsmith.utils
import pytest
from langchain_core.caches import BaseCache
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_openai import ChatOpenAI
from langchain_semroute import SemrouteCache, cached
from langchain_semroute.structured import StructuredModel
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import Field

from semroute import Request, SemanticCache
from semroute.errors import ConfigError
from semroute.router.decision import RoutingDecision
from semroute.router.llm import LLMRouter
from semroute.router.schema import decision_schema

from .llm_router_stand_in import CATALOG, GOOD, QUESTION, SAID, Says, StandIn

PATIENT_S = 60.0


class Scribe(BaseChatModel):
    """A chat model that says one thing, word by word where it may, and keeps how it was called."""

    says: str = SAID
    temperature: float | None = 0.7
    seen: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scribe"

    def _look(self, messages: list[BaseMessage]) -> None:
        is_traced = langsmith.utils.tracing_is_enabled()
        self.seen.append({"turns": messages, "temperature": self.temperature, "is_traced": is_traced})

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self._look(messages)
        usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
        message = AIMessage(self.says, usage_metadata=usage, response_metadata={"model_name": "scribe"})
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self._look(messages)
        for word in self.says.split():
            yield ChatGenerationChunk(message=AIMessageChunk(f"{word} "))


class Listener(BaseCallbackHandler):
    """Hears everything that it is told of."""

    raise_error = True

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.heard.append(f"chain {kwargs.get('name')}")

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.heard.append("model")

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        self.heard.append("token")

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.heard.append("model's end")


class NeverAsked(BaseCache):
    """A cache that nobody may ask."""

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        raise AssertionError("the cache was asked")

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        raise AssertionError("the cache was filled")

    def clear(self, **kwargs: Any) -> None:
        """Hold nothing."""


@pytest.fixture
def global_cache() -> Iterator[None]:
    set_llm_cache(NeverAsked())
    yield
    set_llm_cache(None)


def router_of(model: BaseChatModel, **settings: Any) -> LLMRouter:
    deadline_s = settings.pop("deadline_s", PATIENT_S)
    return LLMRouter(StructuredModel(model, **settings), CATALOG, deadline_s=deadline_s)


Decide = Callable[[LLMRouter], Awaitable[RoutingDecision]]


async def on_this_thread(router: LLMRouter) -> RoutingDecision:
    return router.route(Request.of(QUESTION), None)


async def on_the_loop(router: LLMRouter) -> RoutingDecision:
    return await router.aroute(Request.of(QUESTION), None)


each_face = pytest.mark.parametrize("decide", [on_this_thread, on_the_loop], ids=["sync", "async"])


@each_face
async def test_a_model_without_tools_is_asked_for_json_in_plain_words(decide: Decide) -> None:
    model = Scribe()
    assert await decide(router_of(model)) == RoutingDecision(**GOOD, origin="llm")
    assert await decide(router_of(FakeListChatModel(responses=["hm", SAID]))) == RoutingDecision(**GOOD, origin="llm")
    (call,) = model.seen
    assert [turn.type for turn in call["turns"]] == ["system", "human"]


@each_face
async def test_the_model_is_asked_with_temperature_0_and_the_one_given_is_left_as_it_is(decide: Decide) -> None:
    model = Scribe()
    await decide(router_of(model))
    await decide(router_of(model, temperature=None))
    assert [call["temperature"] for call in model.seen] == [0.0, 0.7]
    assert (model.temperature, model.cache, model.callbacks, model.disable_streaming) == (0.7, None, None, False)


class TestCaches:
    @each_face
    async def test_a_global_cache_is_not_asked(self, decide: Decide, global_cache: None) -> None:
        assert (await decide(router_of(Scribe()))).origin == "llm"

    @each_face
    async def test_nor_is_one_of_the_models_own(self, decide: Decide) -> None:
        assert (await decide(router_of(Scribe(cache=NeverAsked())))).origin == "llm"

    @each_face
    async def test_nor_is_one_of_ours(self, decide: Decide, cache: SemanticCache) -> None:
        model = cached(Scribe(), cache)
        for _ in range(2):
            assert (await decide(router_of(model))).origin == "llm"
        assert len(model.seen) == 2
        assert cache.stats().lookups == 0

    @each_face
    async def test_a_cache_whose_router_asks_a_model_does_not_serve_that_model(
        self, decide: Decide, make_cache: Callable[..., SemanticCache]
    ) -> None:
        model = Scribe()
        core = make_cache(router=router_of(model))
        set_llm_cache(SemrouteCache(cache=core))
        try:
            answering = Scribe(says="Somebody else by now.")
            ask = answering.ainvoke if decide is on_the_loop else None
            for question in (QUESTION, f"{QUESTION}?", "Who is the mayor of Graz?"):
                if ask is None:
                    answering.invoke(question)
                else:
                    await ask(question)
        finally:
            set_llm_cache(None)
        core.flush()
        assert len(model.seen) == len({call["turns"][-1].text for call in model.seen}) == 3
        assert core.size().entries == len(answering.seen)


class TestTheUsersRun:
    @each_face
    async def test_the_users_callbacks_hear_nothing_of_it(self, decide: Decide) -> None:
        listener, model = Listener(), Scribe(callbacks=[own := Listener()])
        router = router_of(model)

        async def work(_: str) -> str:
            return (await decide(router)).origin

        with get_usage_metadata_callback() as usage:
            assert await RunnableLambda(work).ainvoke("x", {"callbacks": [listener]}) == "llm"
        assert listener.heard == ["chain work"]
        assert own.heard == []
        assert usage.usage_metadata == {}
        assert len(model.seen) == 1

    def test_nor_where_the_model_is_asked_without_a_router(self) -> None:
        listener, ask = Listener(), StructuredModel(Scribe())
        schema = decision_schema(CATALOG)

        def work(_: str) -> object:
            return ask("the task", "request", schema)

        assert RunnableLambda(work).invoke("x", {"callbacks": [listener]}) == SAID
        assert listener.heard == ["chain work"]

    @each_face
    async def test_handlers_of_the_routers_own_hear_of_it(self, decide: Decide) -> None:
        listener = Listener()
        await decide(router_of(Scribe(), callbacks=[listener]))
        assert listener.heard == ["model", "model's end"]

    @each_face
    async def test_events_of_a_chain_do_not_hold_it(self, decide: Decide) -> None:
        router = router_of(Scribe())

        async def work(_: str) -> str:
            return (await decide(router)).origin

        events = [event async for event in RunnableLambda(work).astream_events("x", version="v2")]
        assert {event["name"] for event in events} == {"work"}

    @each_face
    async def test_its_words_are_not_in_the_stream_of_a_graph(self, decide: Decide) -> None:
        router, answering = router_of(Scribe()), Scribe(says="Somebody else by now.")

        async def answer(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
            assert (await decide(router)).origin == "llm"
            return {"messages": [await answering.ainvoke(state["messages"], config)]}

        graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()
        pieces: AsyncIterator[Any] = graph.astream({"messages": [("user", QUESTION)]}, stream_mode="messages")
        assert "".join([piece.text async for piece, _ in pieces]).strip() == "Somebody else by now."

    @each_face
    async def test_a_tracer_of_the_users_does_not_see_it(self, decide: Decide, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        langsmith.utils.get_env_var.cache_clear()
        try:
            assert langsmith.utils.tracing_is_enabled()
            model = Scribe()
            assert (await decide(router_of(model))).origin == "llm"
        finally:
            monkeypatch.undo()
            langsmith.utils.get_env_var.cache_clear()
        assert [call["is_traced"] for call in model.seen] == [False]


class TestProviders:
    def model(self, url: str, **settings: Any) -> ChatOpenAI:
        return ChatOpenAI(model="gpt-4o-mini", base_url=url, api_key="sk-test", max_retries=0, **settings)

    @each_face
    async def test_a_provider_that_will_have_no_temperature_is_asked_without(self, decide: Decide) -> None:
        told = "Unsupported value: 'temperature' does not support 0 with this model."
        with StandIn(Says(told, status=400, code="unsupported_value"), Says(SAID)) as stand_in:
            router = router_of(self.model(stand_in.url))
            assert (await decide(router)).origin == "llm"
            assert router.route(Request.of("And of Graz?"), None).origin == "llm"
        assert ["temperature" in body for body in stand_in.bodies] == [True, False, False]

    @each_face
    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    @pytest.mark.parametrize("status", [401, 429, 500])
    async def test_an_error_of_the_provider_ends_in_the_fallbacks_decision(
        self, decide: Decide, status: int, method: Any
    ) -> None:
        with StandIn(Says("It is down.", status=status)) as stand_in:
            decision = await decide(router_of(self.model(stand_in.url), method=method))
        assert (decision.origin, decision.confidence) == ("fallback", 0.5)
        assert f"{status}" in decision.reason
        assert len(stand_in.bodies) == 1

    @each_face
    async def test_a_filter_of_the_provider_is_a_refusal_and_no_failure(self, decide: Decide) -> None:
        filtered = Says("The prompt was filtered.", status=400, code="content_filter")
        with StandIn(filtered) as stand_in:
            router = router_of(self.model(stand_in.url))
            decisions = [await decide(router) for _ in range(5)]
        assert len(stand_in.bodies) == 5, "the breaker does not count what is about one text"
        assert all(decision.reason.startswith("the model refuses") for decision in decisions)

    @each_face
    async def test_a_provider_that_hangs_costs_no_more_than_the_deadline(self, decide: Decide) -> None:
        accepted: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            accepting = threading.Thread(target=lambda: accepted.append(server.accept()[0]))
            accepting.start()
            url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
            decision = await asyncio.wait_for(decide(router_of(self.model(url), deadline_s=0.5)), PATIENT_S)
            accepting.join()
            accepted[0].close()
        assert decision.reason == "the router's model did not answer within 0.5 s; decided by rules instead"
        assert (decision.origin, decision.confidence) == ("fallback", 0.5)

    @each_face
    async def test_json_that_stands_in_prose_is_not_read(self, decide: Decide) -> None:
        echo = Says(f"It says:\n```json\n{SAID}\n```\nand so on.", is_prose=True)
        with StandIn(echo) as stand_in:
            for method in ("json_schema", "function_calling", "json_mode"):
                decision = await decide(router_of(self.model(stand_in.url), method=method))
                assert decision.reason == "the model's reply is invalid: it is no JSON object; decided by rules instead"
        assert len(stand_in.bodies) == 6

    @each_face
    async def test_plain_json_mode_will_do_where_a_provider_has_no_more(self, decide: Decide) -> None:
        with StandIn(Says(SAID)) as stand_in:
            assert (await decide(router_of(self.model(stand_in.url), method="json_mode"))).origin == "llm"
        assert [body["response_format"] for body in stand_in.bodies] == [{"type": "json_object"}]


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            AIMessage(SAID),
            AIMessage([{"type": "text", "text": SAID}]),
            AIMessage("", tool_calls=[{"name": "routing_decision", "args": GOOD, "id": "c1"}]),
            AIMessage("I decide.", tool_calls=[{"name": "routing_decision", "args": GOOD, "id": "c1"}]),
        ],
        ids=["text", "blocks", "a tool call", "a tool call with words"],
    )
    def test_a_decision_is_found_in_every_form_of_a_message(self, message: AIMessage) -> None:
        assert router_of(Fixed(message=message)).route(Request.of(QUESTION), None).origin == "llm"

    @pytest.mark.parametrize(
        "message",
        [
            AIMessage("", additional_kwargs={"refusal": "no"}),
            AIMessage([{"type": "refusal", "refusal": "no"}]),
            AIMessage([{"type": "refusal"}]),
            AIMessage(SAID, response_metadata={"finish_reason": "content_filter"}),
            AIMessage(SAID, response_metadata={"finish_reason": "SAFETY"}),
            AIMessage("", response_metadata={"stop_reason": "refusal"}),
        ],
    )
    def test_a_refusal_is_known_in_every_form_of_a_message(self, message: AIMessage) -> None:
        decision = router_of(Fixed(message=message)).route(Request.of(QUESTION), None)
        assert decision.reason.startswith("the model refuses: ")

    @pytest.mark.parametrize(
        "message",
        [
            AIMessage(""),
            AIMessage("", invalid_tool_calls=[{"name": "x", "args": "{", "id": None, "error": None}]),
            AIMessage("", invalid_tool_calls=[{"name": "x", "args": None, "id": None, "error": None}]),
            AIMessage("", tool_calls=[{"name": "routing_decision", "args": {}, "id": "c1"}]),
        ],
    )
    def test_a_message_without_a_decision_ends_in_the_fallbacks(self, message: AIMessage) -> None:
        decision = router_of(Fixed(message=message)).route(Request.of(QUESTION), None)
        assert decision.reason.startswith("the model's reply is invalid: ")


class Fixed(BaseChatModel):
    """A chat model that gives one message."""

    message: AIMessage

    @property
    def _llm_type(self) -> str:
        return "fixed"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.message.model_copy(deep=True))])


class TestParts:
    @pytest.mark.parametrize("model", [None, "openai:gpt-4o", RunnableLambda(str)])
    def test_what_is_no_chat_model_is_refused(self, model: Any) -> None:
        with pytest.raises(ConfigError, match="takes a chat model"):
            StructuredModel(model)

    def test_a_method_that_is_none_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="method must be one of"):
            StructuredModel(Scribe(), method="prose")  # type: ignore[arg-type]  # what is being tested

    def test_its_repr_names_the_model_and_no_secret(self) -> None:
        model = ChatOpenAI(model="gpt-4o-mini", api_key="sk-test")
        assert repr(StructuredModel(model)) == "<StructuredModel ChatOpenAI, method of its own>"
