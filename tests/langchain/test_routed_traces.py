"""What handlers see of a routed model: one run for each model that is called, and tokens counted once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_semroute import RoutedModel
from langgraph.graph import START, MessagesState, StateGraph

from semroute import SemanticCache

from .routing import EASY, HARD, TellingRouter, tier_and_model

MakeCache = Callable[..., SemanticCache]
GROUPS = pytest.mark.parametrize("group", [None, "house"])


class Runs(BaseCallbackHandler):
    """Takes down the runs of models: their metadata, and how each ended."""

    def __init__(self) -> None:
        self.begun: list[tuple[UUID, dict[str, Any]]] = []
        self.tokens: list[str] = []
        self.ended: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, metadata: Any, **_: Any) -> None:
        self.begun.append((run_id, metadata))

    def on_llm_new_token(self, token: str, **_: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.ended.append("answered")

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self.ended.append(type(error).__name__)

    def told(self, key: str) -> list[Any]:
        return [metadata.get(key) for _, metadata in self.begun]


@pytest.fixture
def models(streaming_parrot: Any) -> dict[str, Any]:
    return {name: type(streaming_parrot)(model=f"{name}-1") for name in ("small", "large")}


@pytest.fixture
def core(make_cache: MakeCache) -> SemanticCache:
    return make_cache(guards=(), router=TellingRouter())


@GROUPS
async def test_a_call_is_one_run_of_the_model_that_answered(models: Any, core: Any, group: str | None) -> None:
    routed = RoutedModel(models, cache=core, group=group)
    runs = Runs()
    config: Any = {"callbacks": [runs]}
    routed.invoke(EASY, config)
    await routed.ainvoke(HARD, config)
    list(routed.stream(EASY, config))
    assert [chunk async for chunk in routed.astream(HARD, config)]
    routed.batch([EASY, HARD], config)
    assert runs.told("ls_model_name") == ["small-1", "large-1", "small-1", "large-1", "small-1", "large-1"]
    assert runs.told("semroute_model") == ["small", "large"] * 3
    assert runs.told("semroute_tier") == ["miss"] * 2 + ["l1"] * 4
    assert runs.told("semroute_complexity")[:2] == ["low", "high"]
    assert runs.ended == ["answered"] * 6


@GROUPS
def test_tokens_are_counted_once_and_not_for_hits(models: Any, core: Any, group: str | None) -> None:
    routed = RoutedModel(models, cache=core, group=group)
    usage = UsageMetadataCallbackHandler()
    for _ in range(2):
        routed.invoke(EASY, {"callbacks": [usage]})
        list(routed.stream(HARD, {"callbacks": [usage]}))
    assert {name: counts["total_tokens"] for name, counts in usage.usage_metadata.items()} == {
        "small-1": 8,
        "large-1": 8,
    }


def test_a_call_that_failed_is_a_run_of_its_own(models: Any, core: Any) -> None:
    models["small"].before = lambda words: 1 / 0
    runs, run_id = Runs(), uuid4()
    RoutedModel(models, cache=core).invoke(EASY, {"callbacks": [runs], "run_id": run_id})
    assert runs.ended == ["ZeroDivisionError", "answered"]
    assert runs.told("semroute_fallbacks") == [None, 1]
    assert runs.begun[0][0] == run_id != runs.begun[1][0]


def test_in_a_chain_the_run_of_the_model_is_a_child_of_the_chain(models: Any, core: Any) -> None:
    runs = Runs()
    chain = ChatPromptTemplate([("human", "{question}")]) | RoutedModel(models, cache=core, group="house")
    chain.invoke({"question": EASY}, {"callbacks": [runs], "metadata": {"app": "house"}})
    assert runs.told("app") == ["house"]
    assert len(runs.begun) == 1


async def test_events_are_those_of_one_model(models: Any, core: Any) -> None:
    routed = RoutedModel(models, cache=core, group="house")
    for _ in range(2):
        events = [event async for event in routed.astream_events(EASY, version="v2")]
        kinds = [event["event"] for event in events]
        assert (kinds[0], kinds[-1]) == ("on_chat_model_start", "on_chat_model_end")
        assert kinds.count("on_chat_model_start") == 1
        assert "".join(e["data"]["chunk"].text for e in events[1:-1]) == f"You said: {EASY}"


async def test_a_graph_streams_the_tokens_of_one_model(models: Any, core: Any) -> None:
    routed = RoutedModel(models, cache=core, group="house")
    graph = StateGraph(MessagesState)
    graph.add_node("answer", lambda state: {"messages": [routed.invoke(state["messages"])]})
    graph.add_edge(START, "answer")
    for tier in ("miss", "l1"):
        streamed = [m async for m, _ in graph.compile().astream({"messages": [EASY]}, stream_mode="messages")]
        assert "".join(message.text for message in streamed) == f"You said: {EASY}"
        assert len({message.id for message in streamed}) == 1
        marked = [message for message in streamed if "semroute" in message.response_metadata]
        assert [tier_and_model(message) for message in marked] in ([(tier, "small")], [])


def test_nothing_is_added_to_the_configuration_of_the_caller(models: Any, core: Any) -> None:
    config: Any = {"metadata": {"app": "house"}, "tags": ["x"]}
    RoutedModel(models, cache=core).invoke(EASY, config)
    assert config == {"metadata": {"app": "house"}, "tags": ["x"]}
