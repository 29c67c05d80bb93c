"""LangGraph and agents over a cached model."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage
from langchain_core.tools import tool
from langchain_semroute import SemrouteCache, cached
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel

from semroute import SemanticCache

ASKED = "What are cats?"


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def graph_of(model: Any, checkpointer: Any = None) -> Any:
    def answer(state: State) -> dict[str, list[AnyMessage]]:
        return {"messages": [model.invoke([state["messages"][-1]])]}

    graph = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    return graph.compile(checkpointer=checkpointer)


@pytest.mark.parametrize("way", ["cached", "as a cache"])
def test_two_turns_that_hit_one_entry_are_two_turns(parrot: Any, cache: SemanticCache, way: str) -> None:
    plain = parrot.model_copy(update={"cache": SemrouteCache(cache=cache)})
    model = cached(parrot, cache) if way == "cached" else plain
    model.invoke(ASKED)
    graph = graph_of(model, InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    for _ in range(2):
        state = graph.invoke({"messages": [HumanMessage(ASKED)]}, config)
    assert [message.type for message in state["messages"]] == ["human", "ai", "human", "ai"]
    assert len({message.id for message in state["messages"]}) == 4
    assert [m.response_metadata["semroute"]["tier"] for m in state["messages"][1::2]] == ["l1", "l1"]


def test_a_graph_streams_a_hit_in_pieces_as_it_streams_a_miss(streaming_parrot: Any, cache: SemanticCache) -> None:
    graph = graph_of(cached(streaming_parrot, cache, replay_chunk_chars=8))
    for expected in (["You", " said:", " What", " are", " cats?", ""], ["You said", ": What a", "re cats?", ""]):
        streamed = list(graph.stream({"messages": [HumanMessage(ASKED)]}, stream_mode="messages"))
        assert [message.text for message, _ in streamed] == expected
        assert all(isinstance(message, AIMessageChunk) for message, _ in streamed)
        assert len({message.id for message, _ in streamed}) == 1
    assert len(streaming_parrot.calls) == 1


async def test_a_graph_streams_hits_asynchronously_too(streaming_parrot: Any, cache: SemanticCache) -> None:
    model = cached(streaming_parrot, cache, replay_chunk_chars=8)
    await model.ainvoke(ASKED)

    async def answer(state: State) -> dict[str, list[AnyMessage]]:
        return {"messages": [await model.ainvoke([state["messages"][-1]])]}

    graph = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    asked = {"messages": [HumanMessage(ASKED)]}
    streamed = [message.text async for message, _ in graph.compile().astream(asked, stream_mode="messages")]
    assert streamed == ["You said", ": What a", "re cats?", ""]


@tool
def look_up(word: str) -> str:
    """Look a word up in the house dictionary."""
    return f"{word}: a word"


def test_an_agent_with_tools_is_served_from_the_cache(openai: Any, stub: Any, cache: SemanticCache) -> None:
    agent = create_agent(cached(openai, cache), [look_up], system_prompt="Use the dictionary.")
    turns = [agent.invoke({"messages": [HumanMessage("Explain the word 'ring'")]})["messages"] for _ in range(2)]
    assert stub.calls == 2
    for messages in turns:
        assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
        assert messages[2].tool_call_id == messages[1].tool_calls[0]["id"]
        assert messages[2].content == "ring: a word"
    assert turns[0][1].tool_calls[0]["id"] != turns[1][1].tool_calls[0]["id"]
    tiers = [[m.response_metadata["semroute"]["tier"] for m in turn if isinstance(m, AIMessage)] for turn in turns]
    assert tiers == [["miss", "miss"], ["l1", "l1"]]


async def test_an_agent_that_streams_is_served_from_the_cache(openai: Any, stub: Any, cache: SemanticCache) -> None:
    agent = create_agent(cached(openai, cache), [look_up])
    asked = {"messages": [HumanMessage("Explain the word 'ring'")]}
    told = []
    for _ in range(2):
        streamed = [message async for message, _ in agent.astream(asked, stream_mode="messages")]
        told.append("".join(message.text for message in streamed if isinstance(message, AIMessageChunk)))
    assert stub.calls == 2
    assert told[0] == told[1] != ""


class Entry(BaseModel):
    word: str
    meaning: str


@pytest.mark.parametrize("strategy", [ProviderStrategy, ToolStrategy])
def test_an_agents_structured_response_is_served(openai: Any, stub: Any, cache: Any, strategy: Any) -> None:
    agent = create_agent(cached(openai, cache), [], response_format=strategy(Entry))
    asked = {"messages": [HumanMessage("Explain the word 'ring'")]}
    first, second = (agent.invoke(asked)["structured_response"] for _ in range(2))
    assert isinstance(first, Entry)
    assert second == first
    assert stub.calls == 1
