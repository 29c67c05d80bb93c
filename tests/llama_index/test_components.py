"""A query engine behind the cache, inside of the framework's own components, which talk to a model over HTTP."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import CondenseQuestionChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.selectors import LLMMultiSelector, LLMSingleSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step
from llama_index.llms.openai import OpenAI
from llama_index_semroute.events import SemrouteLookupEvent
from llama_index_semroute.query_engine import SemanticCacheQueryEngine
from pydantic import BaseModel

from semroute import SemanticCache, scope
from tests.langchain.openai_stub import OpenAIStub, last_user_text

from .handbook import PAGES, QUESTION, SAME_IN_OTHER_WORDS, index_of

TRIP = "How are trains booked?"
BOTH = "Compare how badges are blocked with how trains are booked"
OFFICE = {name: PAGES[name] for name in ("badges", "parking")}
TRIPS = {name: PAGES[name] for name in ("travel", "kitchen")}
THOUGHT = 'Thought: I need a tool.\nAction: office\nAction Input: {"input": "%s"}'
DONE = "Thought: I can answer without using any more tools.\nAnswer: "

Ask = Callable[[BaseQueryEngine, str], Awaitable[Any]]


def script(body: Mapping[str, Any]) -> str | dict[str, Any] | None:
    """Say what each of the framework's prompts asks for; to a question with its context, the pages in it."""
    words, system = last_user_text(body), str(body["messages"][0].get("content"))
    found = " ".join(page for page in PAGES.values() if page in words)
    if words.startswith("Some choices are given below"):
        return selection(body, words)
    if "list of relevant sub-questions" in words:
        questions = [("office", QUESTION), ("trips", TRIP)]
        return json.dumps([{"sub_question": question, "tool_name": tool} for tool, question in questions])
    if words.startswith("Given a conversation"):
        return QUESTION
    if "Action Input" in system:
        return DONE + words.removeprefix("Observation: ") if "Observation" in words else THOUGHT % words
    return None if "response_format" in body else found or None


def selection(body: Mapping[str, Any], words: str) -> str | dict[str, Any]:
    """Choose the office for a badge, trips for a train, and each of them for both."""
    asked = words.split("relevant to the question: ")[1].split("\n")[0].lower()
    chosen = [number for number, topic in ((1, "badge"), (2, "train")) if topic in asked]
    if body.get("tools"):
        return {"index": chosen[0], "reason": "it says so"}
    return json.dumps([{"choice": number, "reason": "it says so"} for number in chosen])


@pytest.fixture
def stub(openai_server: OpenAIStub) -> Iterator[OpenAIStub]:
    """Return the loopback server, which speaks by the script for as long as a test lasts."""
    before, openai_server.says = openai_server.says, script
    openai_server.bodies.clear()
    yield openai_server
    openai_server.says = before


@pytest.fixture(params=["query", "aquery"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask by the sync or the async side of an engine."""

    async def ask(engine: BaseQueryEngine, question: str) -> Any:
        return await finished(getattr(engine, request.param)(question))

    return ask


@pytest.fixture
def office(openai: OpenAI, cache: SemanticCache) -> SemanticCacheQueryEngine:
    inner = index_of(OFFICE).as_query_engine(llm=openai, similarity_top_k=1)
    return SemanticCacheQueryEngine(inner, cache=cache, corpus="office")


@pytest.fixture
def trips(openai: OpenAI, cache: SemanticCache) -> SemanticCacheQueryEngine:
    inner = index_of(TRIPS).as_query_engine(llm=openai, similarity_top_k=1)
    return SemanticCacheQueryEngine(inner, cache=cache, corpus="trips")


@pytest.fixture
def streamed(openai: OpenAI, cache: SemanticCache) -> SemanticCacheQueryEngine:
    inner = index_of(OFFICE).as_query_engine(llm=openai, similarity_top_k=1, streaming=True)
    return SemanticCacheQueryEngine(inner, cache=cache, corpus="office", replay_chunk_chars=10)


@pytest.fixture
def tools(office: SemanticCacheQueryEngine, trips: SemanticCacheQueryEngine) -> list[QueryEngineTool]:
    return [tool(office, "office"), tool(trips, "trips")]


def tool(engine: BaseQueryEngine, name: str) -> QueryEngineTool:
    return QueryEngineTool.from_defaults(engine, name=name, description=f"Knows all about {name}.")


async def finished(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def pieces_of(stream: Any) -> list[str]:
    return [piece async for piece in stream] if isinstance(stream, AsyncIterator) else list(stream)


def tier_of(response: Any) -> str:
    return str(response.metadata["semroute"]["tier"])


def tiers(heard: Any) -> list[str]:
    """Return the tiers of the lookups so far, and forget them."""
    told = [event.tier for event in heard.events if isinstance(event, SemrouteLookupEvent)]
    heard.events.clear()
    return told


class TestRouterQueryEngine:
    @pytest.fixture(params=[LLMSingleSelector, PydanticSingleSelector])
    def router(self, request: pytest.FixtureRequest, openai: OpenAI, tools: list[QueryEngineTool]) -> RouterQueryEngine:
        return RouterQueryEngine(request.param.from_defaults(llm=openai), tools, llm=openai)

    async def test_the_engine_that_it_selects_answers_once(self, ask: Ask, router, office, stub) -> None:
        first = await ask(router, QUESTION)
        again = await ask(router, SAME_IN_OTHER_WORDS)
        assert (tier_of(first), tier_of(again)) == ("miss", "l2")
        assert again.response == first.response == PAGES["badges"]
        assert again.source_nodes == first.source_nodes
        assert again.metadata["selector_result"].ind == first.metadata["selector_result"].ind == 0
        assert stub.calls == 3  # the selector twice, the engine's model once
        other = await ask(router, TRIP)
        assert (other.response, other.metadata["selector_result"].ind) == (PAGES["travel"], 1)

    async def test_what_it_writes_into_the_metadata_is_not_kept(self, ask: Ask, router, office) -> None:
        for _ in range(2):
            await ask(router, QUESTION)
        served = await ask(office, QUESTION)
        assert tier_of(served) == "l1"
        assert "selector_result" not in served.metadata

    async def test_the_router_itself_is_asked_once(self, ask: Ask, router, cache, stub) -> None:
        engine = SemanticCacheQueryEngine(router, cache=cache)
        first = await ask(engine, QUESTION)
        asked = stub.calls
        again = await ask(engine, SAME_IN_OTHER_WORDS)
        assert (tier_of(first), tier_of(again)) == ("miss", "l2")
        assert (again.response, again.source_nodes) == (first.response, first.source_nodes)
        assert stub.calls == asked == 2
        assert cache.invalidate(corpus="office") == 2  # the router's answer, and that of the engine behind it
        assert tier_of(await ask(engine, QUESTION)) == "miss"

    async def test_a_router_over_other_choices_is_another_one(self, ask: Ask, openai, office, trips, cache) -> None:
        seen = []
        for name in ("office", "staff", "office"):
            choices = [tool(office, name), tool(trips, "trips")]
            router = RouterQueryEngine(LLMSingleSelector.from_defaults(llm=openai), choices, llm=openai)
            seen.append(tier_of(await ask(SemanticCacheQueryEngine(router, cache=cache), QUESTION)))
        assert seen == ["miss", "miss", "l1"]

    async def test_of_several_selections_each_is_served(self, ask: Ask, openai, tools, heard, stub) -> None:
        router = RouterQueryEngine(LLMMultiSelector.from_defaults(llm=openai), tools, llm=openai)
        first = await ask(router, BOTH)
        assert (tiers(heard), stub.calls) == (["miss", "miss"], 4)
        again = await ask(router, BOTH)
        assert (tiers(heard), stub.calls) == (["l1", "l1"], 6)
        assert [node.score for node in again.source_nodes] == [node.score for node in first.source_nodes]

    @pytest.mark.parametrize("wraps_router", [False, True])
    async def test_streams_go_through_it(self, ask: Ask, openai, streamed, cache, stub, wraps_router) -> None:
        router = RouterQueryEngine(LLMSingleSelector.from_defaults(llm=openai), [tool(streamed, "office")], llm=openai)
        engine = SemanticCacheQueryEngine(router, cache=cache, replay_chunk_chars=10) if wraps_router else router
        for told in ("miss", "l1"):
            response = await ask(engine, QUESTION)
            pieces = await pieces_of(response.response_gen)
            assert (tier_of(response), "".join(pieces), len(pieces) > 3) == (told, PAGES["badges"], True)
        assert stub.calls == (2 if wraps_router else 3)
        assert len(cache.flights) == 0


class TestSubQuestionQueryEngine:
    @pytest.fixture(params=[False, True], ids=["one by one", "at once"])
    def parted(self, request: pytest.FixtureRequest, openai: OpenAI, tools: list[QueryEngineTool]) -> Any:
        generator = LLMQuestionGenerator.from_defaults(llm=openai)
        return SubQuestionQueryEngine.from_defaults(
            tools, llm=openai, question_gen=generator, verbose=False, use_async=request.param
        )

    async def test_sub_questions_are_served_to_another_question(self, ask: Ask, parted, heard, stub) -> None:
        first = await ask(parted, BOTH)
        assert (tiers(heard), stub.calls) == (["miss", "miss"], 4)
        assert {PAGES["badges"], PAGES["travel"]} <= {node.text for node in first.source_nodes}
        again = await ask(parted, "And the other way round?")
        assert (tiers(heard), stub.calls) == (["l1", "l1"], 6)
        assert str(again) == str(first) == f"{PAGES['badges']} {PAGES['travel']}"

    async def test_sub_questions_belong_to_the_scope_of_the_question(self, ask: Ask, parted, heard) -> None:
        for tenant in ("acme", "umbrella", "acme"):
            with scope(tenant=tenant):
                await ask(parted, BOTH)
        assert tiers(heard) == ["miss", "miss", "miss", "miss", "l1", "l1"]

    async def test_the_engine_itself_is_asked_once_and_goes_with_its_documents(
        self, ask: Ask, parted, cache, stub
    ) -> None:
        engine = SemanticCacheQueryEngine(parted, cache=cache)
        first = await ask(engine, BOTH)
        again = await ask(engine, BOTH)
        assert (tier_of(first), tier_of(again), stub.calls) == ("miss", "l1", 4)
        assert (again.response, again.source_nodes) == (first.response, first.source_nodes)
        assert cache.invalidate(doc_ids=["travel"]) == 2
        assert tier_of(await ask(engine, BOTH)) == "miss"


class TestQueryEngineTool:
    @pytest.mark.parametrize("call", ["call", "acall"])
    @pytest.mark.parametrize("inner", ["office", "streamed"])
    async def test_a_tools_answer_comes_from_the_cache(
        self, request: pytest.FixtureRequest, stub, call: str, inner: str
    ) -> None:
        office = tool(request.getfixturevalue(inner), "office")
        for told in ("miss", "l1"):
            output = await finished(getattr(office, call)(QUESTION))
            assert (output.content, tier_of(output.raw_output)) == (PAGES["badges"], told)
        assert stub.calls == 1


# The framework's own agents read attributes that pydantic and its own workflows have deprecated.
@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")
class TestAgents:
    @pytest.mark.parametrize("streaming", [True, False])
    async def test_the_tool_of_a_function_agent_answers_once(self, openai, tools, stub, streaming) -> None:
        for told, asked in (("miss", 3), ("l1", 5)):
            agent = FunctionAgent(tools=tools, llm=openai, streaming=streaming)
            handler = agent.run(f"Look up '{QUESTION}'", memory=ChatMemoryBuffer.from_defaults())
            events = [event async for event in handler.stream_events()]
            await handler
            (result,) = [event for event in events if isinstance(event, ToolCallResult)]
            assert (result.tool_kwargs, result.tool_output.content) == ({"input": QUESTION}, PAGES["badges"])
            assert (tier_of(result.tool_output.raw_output), stub.calls) == (told, asked)
            assert any(isinstance(event, AgentStream) for event in events) is streaming

    async def test_the_tool_of_a_react_agent_answers_once(self, openai, tools, stub) -> None:
        for told in ("miss", "l1"):
            handler = ReActAgent(tools=tools, llm=openai).run(QUESTION, memory=ChatMemoryBuffer.from_defaults())
            results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
            assert str(await handler) == PAGES["badges"]
            assert [tier_of(result.tool_output.raw_output) for result in results] == [told]
        assert stub.calls == 5

    async def test_agents_of_two_tenants_share_nothing(self, openai, tools, heard) -> None:
        for tenant in ("acme", "umbrella", "acme"):
            with scope(tenant=tenant):
                handler = FunctionAgent(tools=tools, llm=openai).run(
                    f"Look up '{QUESTION}'", memory=ChatMemoryBuffer.from_defaults()
                )
            await handler  # its tools are called after the block
        assert tiers(heard) == ["miss", "miss", "l1"]


class TestCondenseQuestionChatEngine:
    HISTORY = (ChatMessage(role="user", content="I lost my badge."), ChatMessage(role="assistant", content="Oh."))

    def chat_engine(self, engine: BaseQueryEngine, openai: OpenAI) -> CondenseQuestionChatEngine:
        memory = ChatMemoryBuffer.from_defaults(list(self.HISTORY))
        return CondenseQuestionChatEngine.from_defaults(engine, llm=openai, memory=memory)

    @pytest.mark.parametrize("way", ["chat", "achat"])
    @pytest.mark.parametrize("inner", ["office", "streamed"])
    async def test_a_conversation_is_answered_once(
        self, request: pytest.FixtureRequest, openai, stub, way, inner
    ) -> None:
        engine = request.getfixturevalue(inner)
        for told in ("miss", "l1"):
            chat = self.chat_engine(engine, openai)
            answer = await finished(getattr(chat, way)("What now?"))
            assert (str(answer), tier_of(answer.sources[0].raw_output)) == (PAGES["badges"], told)
            assert [turn.content for turn in chat.chat_history[2:]] == ["What now?", PAGES["badges"]]
        assert stub.calls == 3  # the question is condensed twice, and answered once

    def test_a_streamed_conversation_is_answered_once(self, openai, streamed, stub) -> None:
        for told in ("miss", "l1"):
            chat = self.chat_engine(streamed, openai)
            answer = chat.stream_chat("What now?")
            pieces = list(answer.response_gen)
            assert ("".join(pieces).strip(), len(pieces) > 3) == (PAGES["badges"], True)
            assert tier_of(answer.sources[0].raw_output) == told
            assert str(chat.chat_history[-1].content).strip() == PAGES["badges"]
        assert stub.calls == 3

    async def test_a_conversation_that_is_streamed_on_the_loop_is_answered_once(self, openai, streamed, stub) -> None:
        for told in ("miss", "l1"):
            answer = await self.chat_engine(streamed, openai).astream_chat("What now?")
            pieces = [piece async for piece in answer.async_response_gen()]
            assert ("".join(pieces).strip(), len(pieces) > 3) == (PAGES["badges"], True)
            assert tier_of(answer.sources[0].raw_output) == told
        assert stub.calls == 3

    def test_a_conversation_that_is_streamed_belongs_to_its_scope(self, openai, streamed) -> None:
        seen = []
        for tenant in ("acme", "umbrella", "acme"):
            with scope(tenant=tenant):
                answer = self.chat_engine(streamed, openai).stream_chat("What now?")
            list(answer.response_gen)
            seen.append(tier_of(answer.sources[0].raw_output))
        assert seen == ["miss", "miss", "l1"]


class Found(Event):
    response: Any


class Desk(Workflow):
    """Looks a question up in one step, and says it in another."""

    engine: Any = None

    @step
    async def look_up(self, event: StartEvent) -> Found:
        return Found(response=await self.engine.aquery(event.question))

    @step
    async def say(self, event: Found) -> StopEvent:
        again = await self.engine.aquery(QUESTION)
        return StopEvent(result=(tier_of(event.response), tier_of(again), str(again)))


class TestWorkflow:
    def desk(self, engine: BaseQueryEngine) -> Desk:
        desk = Desk()
        desk.engine = engine
        return desk

    async def test_a_scope_holds_in_its_steps_and_tenants_share_nothing(self, office, stub) -> None:
        desk = self.desk(office)
        for tenant, tier in (("acme", "miss"), ("umbrella", "miss"), ("acme", "l1"), ("umbrella", "l1")):
            with scope(tenant=tenant):
                told = await desk.run(question=QUESTION)
            assert told == (tier, "l1", PAGES["badges"])
        assert stub.calls == 2
        assert (await desk.run(question=QUESTION))[0] == "miss"

    async def test_workflows_that_run_at_once_keep_to_the_scope_that_they_were_started_in(self, office, stub) -> None:
        desk, handlers = self.desk(office), []
        for tenant in ("acme", "umbrella", "acme", "umbrella"):
            with scope(tenant=tenant):
                handlers.append(desk.run(question=QUESTION))
        assert {told[2] for told in await asyncio.gather(*handlers)} == {PAGES["badges"]}
        assert stub.calls == 2


class Fee(BaseModel):
    """What something costs."""

    euros: int


class TestStructuredAnswers:
    async def test_an_engine_that_fills_in_a_class_is_asked_once(self, ask: Ask, openai, cache, stub) -> None:
        inner = index_of(OFFICE).as_query_engine(llm=openai, output_cls=Fee, similarity_top_k=1)
        engine = SemanticCacheQueryEngine(inner, cache=cache, corpus="office")
        first, again = [await ask(engine, words) for words in (QUESTION, SAME_IN_OTHER_WORDS)]
        assert type(again.response) is Fee
        assert again.response == first.response
        assert again.source_nodes == first.source_nodes
        assert (tier_of(first), tier_of(again), stub.calls) == ("miss", "l2", 1)

    async def test_what_the_framework_says_for_a_model_that_failed_is_not_kept(
        self, ask: Ask, openai, cache, stub
    ) -> None:
        inner = index_of(OFFICE).as_query_engine(llm=openai, output_cls=Fee, similarity_top_k=1)
        engine = SemanticCacheQueryEngine(inner, cache=cache, corpus="office")
        stub.says = lambda body: "This is no JSON."
        failed = await ask(engine, QUESTION)
        assert (str(failed), len(failed.source_nodes)) == ("Empty Response", 1)
        stub.says = script
        assert type((await ask(engine, QUESTION)).response) is Fee


class TestStreamsAtOnce:
    async def test_equal_ones_that_are_each_read_in_a_task_of_their_own_are_made_once(self, streamed, stub) -> None:
        async def read() -> str:
            return "".join(await pieces_of((await streamed.aquery(QUESTION)).response_gen))

        assert await asyncio.gather(*(read() for _ in range(5))) == [PAGES["badges"]] * 5
        assert stub.calls == 1

    async def test_equal_ones_do_not_wait_for_one_another_where_none_is_read_before_all_are_there(
        self, streamed
    ) -> None:
        async with asyncio.timeout(10):  # a caller waits for another one for 30 seconds at most
            responses = await asyncio.gather(*(streamed.aquery(QUESTION) for _ in range(3)))
        for response in responses:
            assert "".join(await pieces_of(response.response_gen)) == PAGES["badges"]
        assert tier_of(await streamed.aquery(QUESTION)) == "l1"
        assert len(streamed.cache.flights) == 0


class TestScope:
    def test_it_goes_into_threads_with_the_context(self, office, stub) -> None:
        def asked_in(tenant: str, threads: ThreadPoolExecutor) -> Any:
            with scope(tenant=tenant):
                return threads.submit(contextvars.copy_context().run, office.query, QUESTION)

        with ThreadPoolExecutor(4) as threads:
            running = [asked_in(tenant, threads) for tenant in ("acme", "umbrella") * 4]
            assert {str(future.result()) for future in running} == {PAGES["badges"]}
        assert stub.calls == 2
        for tenant in ("acme", "umbrella"):
            with scope(tenant=tenant):
                assert tier_of(office.query(QUESTION)) == "l1"
        assert tier_of(office.query(QUESTION)) == "miss"

    def test_a_thread_without_the_context_is_outside_of_it(self, office) -> None:
        with scope(tenant="acme"), ThreadPoolExecutor(1) as threads:
            office.query(QUESTION)
            assert tier_of(threads.submit(office.query, QUESTION).result()) == "miss"
            assert tier_of(office.query(QUESTION)) == "l1"

    async def test_it_holds_in_tasks_that_end_after_its_block(self, office, stub) -> None:
        tasks = []
        for tenant in ("acme", "umbrella") * 4:
            with scope(tenant=tenant):
                tasks.append(asyncio.create_task(office.aquery(QUESTION)))
        assert {str(answer) for answer in await asyncio.gather(*tasks)} == {PAGES["badges"]}
        assert stub.calls == 2
        assert tier_of(await office.aquery(QUESTION)) == "miss"

    async def test_a_stream_that_is_read_in_another_scope_belongs_to_its_own(self, ask: Ask, streamed, stub) -> None:
        with scope(tenant="acme"):
            response = await ask(streamed, QUESTION)
        with scope(tenant="umbrella"):
            await pieces_of(response.response_gen)
            assert tier_of(await ask(streamed, QUESTION)) == "miss"
        with scope(tenant="acme"):
            assert tier_of(await ask(streamed, QUESTION)) == "l1"
