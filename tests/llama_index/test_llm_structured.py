"""Tools, structured output, agents and chat engines over a cached LLM, against an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine, SimpleChatEngine
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.prompts import PromptTemplate
from llama_index.core.selectors import PydanticSingleSelector
from llama_index.core.tools import FunctionTool, ToolMetadata
from llama_index.core.types import PydanticProgramMode
from llama_index.llms.openai import OpenAI
from llama_index_semroute.cached_llm import cached
from pydantic import BaseModel, create_model

from semroute import SemanticCache
from tests.langchain.openai_stub import OpenAIStub
from tests.llama_index.parts import tier

MakeOpenAI = Callable[..., OpenAI]
PROMPT = PromptTemplate("Tell a joke about {topic}")


class Joke(BaseModel):
    """A joke."""

    setup: str
    punchline: str


def double(number: int) -> int:
    """Return twice a number."""
    return 2 * number


TOOL = FunctionTool.from_defaults(double)


# --- tools ---------------------------------------------------------------------------------------------------------


async def test_tool_calls_are_served_again_with_new_ids(openai: OpenAI, stub: OpenAIStub, cache: SemanticCache) -> None:
    llm = cached(openai, cache)
    answers = [
        llm.chat_with_tools([TOOL], "Double 21, please"),
        llm.chat_with_tools([TOOL], "Double 21, please"),
        await llm.achat_with_tools([TOOL], "Double 21, please"),
        list(llm.stream_chat_with_tools([TOOL], "Double 21, please"))[-1],
        [chunk async for chunk in await llm.astream_chat_with_tools([TOOL], "Double 21, please")][-1],
    ]
    assert [tier(answer) for answer in answers] == ["miss", *["l1"] * 4]
    calls = [llm.get_tool_calls_from_response(answer) for answer in answers]
    assert [[(call.tool_name, call.tool_kwargs) for call in each] for each in calls] == [
        [("double", {"number": 21})]
    ] * 5
    assert len({each[0].tool_id for each in calls}) == 5
    assert stub.calls == 1


def test_tool_calls_are_not_served_by_meaning(openai: OpenAI, trusting_core: SemanticCache) -> None:
    llm = cached(openai, trusting_core)
    assert tier(llm.chat_with_tools([TOOL], "Double 21 please")) == "miss"
    assert tier(llm.chat_with_tools([TOOL], "double 21, please")) == "miss"


def test_other_tools_are_another_call(openai: OpenAI, cache: SemanticCache) -> None:
    llm = cached(openai, cache)
    llm.chat_with_tools([TOOL], "Double 21")
    other = FunctionTool.from_defaults(double, description="Returns twice a number, as text.")
    assert tier(llm.chat_with_tools([other], "Double 21")) == "miss"
    assert tier(llm.chat_with_tools([TOOL, other], "Double 21")) == "miss"
    assert tier(llm.chat_with_tools([TOOL], "Double 21", tool_required=True)) == "miss"
    assert tier(llm.chat_with_tools([TOOL], "Double 21")) == "l1"


def test_a_conversation_goes_on_from_a_tool_call_out_of_the_cache(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache
) -> None:
    llm = cached(openai, cache)
    for _ in range(2):
        asked = ChatMessage(role="user", content="Double 21")
        called = llm.chat_with_tools([TOOL], chat_history=[asked])
        (call,) = llm.get_tool_calls_from_response(called)
        result = ChatMessage(role="tool", content="42", additional_kwargs={"tool_call_id": call.tool_id})
        last = llm.chat_with_tools([TOOL], chat_history=[asked, called.message, result])
    assert tier(last) == "l1"
    assert stub.calls == 2
    sent = stub.bodies[-1]["messages"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]


def test_a_call_of_a_tool_is_predicted_once(openai: OpenAI, stub: OpenAIStub, cache: SemanticCache) -> None:
    llm = cached(openai, cache)
    assert [llm.predict_and_call([TOOL], "Double 21").response for _ in range(2)] == ["42", "42"]
    assert stub.calls == 1


# --- structured output ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "calls"), [(PydanticProgramMode.DEFAULT, 1), (PydanticProgramMode.FUNCTION, 2)])
async def test_structured_output_is_predicted_once(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache, mode: PydanticProgramMode, calls: int
) -> None:
    openai.pydantic_program_mode = mode
    llm = cached(openai, cache)
    jokes = [
        llm.structured_predict(Joke, PROMPT, topic="'cats'"),
        llm.structured_predict(Joke, PROMPT, topic="'cats'"),
        await llm.astructured_predict(Joke, PROMPT, topic="'cats'"),
        list(llm.stream_structured_predict(Joke, PROMPT, topic="'cats'"))[-1],
        [part async for part in await llm.astream_structured_predict(Joke, PROMPT, topic="'cats'")][-1],
    ]
    assert [joke.model_dump() for joke in jokes] == [{"setup": "cats", "punchline": "cats"}] * 5
    assert stub.calls == calls, "a function program leaves the choice of the tool to the model in streams alone"


@pytest.mark.parametrize("mode", [PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION])
async def test_a_stream_of_structured_output_is_stored_and_replayed(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache, mode: PydanticProgramMode
) -> None:
    openai.pydantic_program_mode = mode
    llm = cached(openai, cache, replay_chunk_chars=8)
    fresh = list(llm.stream_structured_predict(Joke, PROMPT, topic="'cats'"))
    hit = list(llm.stream_structured_predict(Joke, PROMPT, topic="'cats'"))
    ahit = [part async for part in await llm.astream_structured_predict(Joke, PROMPT, topic="'cats'")]
    assert fresh[-1] == hit[-1] == ahit[-1] == Joke(setup="cats", punchline="cats")
    assert stub.calls == 1


async def test_a_structured_llm_over_a_cached_one_is_served(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache
) -> None:
    llm = cached(openai, cache).as_structured_llm(Joke)
    fresh, hit = llm.complete("A joke about 'cats'"), await llm.acomplete("A joke about 'cats'")
    assert fresh.raw == hit.raw == Joke(setup="cats", punchline="cats")
    assert stub.calls == 1


def test_two_schemas_of_one_name_do_not_share(openai: OpenAI, stub: OpenAIStub, cache: SemanticCache) -> None:
    llm = cached(openai, cache)
    one, other = create_model("Fact", text=(str, ...)), create_model("Fact", number=(int, ...))
    assert llm.structured_predict(one, PROMPT, topic="'cats'").model_dump() == {"text": "cats"}
    assert llm.structured_predict(other, PROMPT, topic="'cats'").model_dump() == {"number": 1}
    assert stub.calls == 2


def test_structured_output_is_not_served_by_meaning(
    openai: OpenAI, stub: OpenAIStub, trusting_core: SemanticCache
) -> None:
    llm = cached(openai, trusting_core)
    llm.structured_predict(Joke, PROMPT, topic="cats")
    llm.structured_predict(Joke, PROMPT, topic="cats!")
    llm.structured_predict(Joke, PROMPT, topic="cats")
    assert stub.calls == 2


def test_a_selector_over_a_cached_llm_chooses_the_same_each_time(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache
) -> None:
    selector = PydanticSingleSelector.from_defaults(llm=cached(openai, cache))
    choices = [ToolMetadata(name=name, description=f"Knows {name}.") for name in ("cats", "dogs", "rings")]
    chosen = [selector.select(choices, "1: what are cats?").ind for _ in range(3)]
    assert len(set(chosen)) == 1
    assert stub.calls == 1


# --- agents and chat engines ---------------------------------------------------------------------------------------


# The workflow of the framework looks at each attribute of an agent, and so at the deprecated ones of pydantic.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")
@pytest.mark.parametrize("is_streaming", [True, False])
async def test_an_agent_that_runs_again_asks_nobody(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache, is_streaming: bool
) -> None:
    llm = cached(openai, cache)
    outputs = []
    for _ in range(2):
        agent = FunctionAgent(tools=[TOOL], llm=llm, system_prompt="You double.", streaming=is_streaming)
        outputs.append(await agent.run("Double 21"))
    assert str(outputs[0]) == str(outputs[1])
    assert [call.tool_kwargs for call in outputs[1].tool_calls] == [{"number": 21}]
    assert stub.calls == 2, "one for the tool call, one for the answer"


def chat_engines() -> dict[str, Callable[[Any], Any]]:
    def retriever() -> Any:
        documents = [Document(text="Rings are round.", id_="rings")]
        return VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(8)).as_retriever()

    def memory() -> ChatMemoryBuffer:
        return ChatMemoryBuffer.from_defaults(token_limit=3_000, tokenizer_fn=str.split)

    return {
        "simple": lambda llm: SimpleChatEngine.from_defaults(llm=llm, memory=memory()),
        "context": lambda llm: ContextChatEngine.from_defaults(retriever(), llm=llm, memory=memory()),
        "condense": lambda llm: CondensePlusContextChatEngine.from_defaults(retriever(), llm=llm, memory=memory()),
    }


@pytest.mark.parametrize("name", chat_engines())
async def test_a_chat_that_is_held_again_asks_nobody(
    openai: OpenAI, stub: OpenAIStub, cache: SemanticCache, name: str
) -> None:
    make, llm = chat_engines()[name], cached(openai, cache)
    engine = make(llm)
    told = [str(engine.chat(text)) for text in ("What are rings?", "Are they round?")]
    calls = stub.calls
    again = make(llm)
    assert [str(again.chat(text)) for text in ("What are rings?", "Are they round?")] == told
    third = make(llm)
    streamed = [
        "".join(third.stream_chat("What are rings?").response_gen),
        "".join([token async for token in (await third.astream_chat("Are they round?")).async_response_gen()]),
    ]
    assert streamed == told
    assert stub.calls == calls


def test_what_a_chat_engine_renders_is_not_matched_by_meaning(
    openai: OpenAI, stub: OpenAIStub, trusting_core: SemanticCache
) -> None:
    llm = cached(openai, trusting_core)
    make = chat_engines()["condense"]
    make(llm).chat("What are rings")
    calls = stub.calls
    make(llm).chat("what are rings?")
    assert stub.calls > calls


def test_a_bare_chat_engine_is_served_by_meaning(
    openai: OpenAI, stub: OpenAIStub, trusting_core: SemanticCache
) -> None:
    llm = cached(openai, trusting_core)
    make = chat_engines()["simple"]
    assert str(make(llm).chat("What are rings")) == str(make(llm).chat("what are rings?"))
    assert stub.calls == 1


def test_a_query_engine_over_a_cached_llm_is_compared_in_full(
    openai: OpenAI, stub: OpenAIStub, trusting_core: SemanticCache
) -> None:
    index = VectorStoreIndex.from_documents([Document(text="Rings are round.")], embed_model=MockEmbedding(8))
    llm = cached(openai, trusting_core)
    told = [str(index.as_query_engine(llm=llm).query("What are rings?")) for _ in range(2)]
    streamed = "".join(index.as_query_engine(llm=llm, streaming=True).query("What are rings?").response_gen)
    assert [*told, streamed] == [told[0]] * 3
    assert stub.calls == 1
    index.as_query_engine(llm=llm).query("what are rings")
    assert stub.calls == 2
