"""SemrouteMiddleware: each model call of an agent is routed and cached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_semroute import RoutedModel, SemrouteMiddleware
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

import semroute
from semroute import ConfigError, SemanticCache
from semroute.router.catalog import CatalogModel, ModelCatalog

from .routing import TellingRouter, tier_and_model, told

MakeCache = Callable[..., SemanticCache]
EASY, HARD = "Explain the word 'ring'", "Prove the word 'ring'"


@tool
def look_up(word: str) -> str:
    """Look a word up in the house dictionary."""
    return f"{word}: a word"


class Joke(BaseModel):
    setup: str


@pytest.fixture
def core(make_cache: MakeCache) -> SemanticCache:
    return make_cache(guards=(), router=TellingRouter())


@pytest.fixture
def models(make_openai: Any) -> dict[str, Any]:
    return {"small": make_openai(model="small-1"), "large": make_openai(model="large-1")}


@pytest.fixture
def own(make_openai: Any) -> Any:
    return make_openai(model="the agent's own")


def called(stub: Any) -> list[str]:
    return [body["model"] for body in stub.bodies]


def asked(question: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(question)]}


def answers(state: dict[str, Any]) -> list[tuple[str, str]]:
    return [tier_and_model(message) for message in state["messages"] if isinstance(message, AIMessage)]


@pytest.mark.parametrize("group", [None, "house"])
def test_each_call_in_the_loop_is_routed_and_cached(models: Any, own: Any, core: Any, stub: Any, group: Any) -> None:
    agent = create_agent(own, [look_up], middleware=[SemrouteMiddleware(models, cache=core, group=group)])
    assert answers(agent.invoke(asked(EASY))) == [("miss", "small")] * 2
    assert answers(agent.invoke(asked(HARD))) == [("miss", "large")] * 2
    assert answers(agent.invoke(asked(HARD))) == [("l1", "large")] * 2
    assert called(stub) == ["small-1"] * 2 + ["large-1"] * 2


async def test_the_asynchronous_loop_shares_the_answers(models: Any, own: Any, core: Any, stub: Any) -> None:
    agent = create_agent(own, [look_up], middleware=[SemrouteMiddleware(models, cache=core, group="house")])
    assert answers(await agent.ainvoke(asked(EASY))) == [("miss", "small")] * 2
    assert answers(agent.invoke(asked(EASY))) == [("l1", "small")] * 2
    streamed = [message async for message, _ in agent.astream(asked(EASY), stream_mode="messages")]
    assert "".join(message.text for message in streamed if isinstance(message, AIMessage)) != ""
    assert stub.calls == 2


def test_answers_to_a_tools_result_are_not_shared_by_meaning(models: Any, own: Any, core: Any, stub: Any) -> None:
    agent = create_agent(own, [look_up], middleware=[SemrouteMiddleware(models, cache=core, group="house")])
    agent.invoke(asked("Explain the word 'ring'"))
    again = agent.invoke(asked("the word 'ring' Explain"))
    assert answers(again) == [("miss", "small")] * 2


def test_only_models_that_call_tools_are_offered_tools(models: Any, own: Any, core: Any, stub: Any) -> None:
    catalog = ModelCatalog((CatalogModel("small", 1, tools=False), CatalogModel("large", 2)))
    routing = SemrouteMiddleware(models, cache=core, catalog=catalog)
    create_agent(own, [look_up], middleware=[routing]).invoke(asked(EASY))
    create_agent(own, [], middleware=[routing]).invoke(asked(EASY))
    assert called(stub) == ["large-1", "large-1", "small-1"]


def test_a_floor_of_quality_holds_for_every_call(models: Any, own: Any, core: Any, stub: Any) -> None:
    agent = create_agent(own, [look_up], middleware=[SemrouteMiddleware(models, cache=core, group="house")])
    agent.invoke(asked(EASY))
    with semroute.scope(least_tier=2):
        assert answers(agent.invoke(asked(EASY))) == [("miss", "large")] * 2


@pytest.mark.parametrize("strategy", [ProviderStrategy, ToolStrategy, lambda schema: schema])
def test_a_structured_response_is_served(models: Any, own: Any, core: Any, stub: Any, strategy: Any) -> None:
    routing = SemrouteMiddleware(models, cache=core, group="house")
    agent = create_agent(own, [], middleware=[routing], response_format=strategy(Joke))
    first, second = (agent.invoke(asked(EASY))["structured_response"] for _ in range(2))
    assert isinstance(first, Joke)
    assert second == first
    assert stub.calls == 1


def test_what_other_middleware_changes_is_part_of_what_is_asked(models: Any, own: Any, core: Any, stub: Any) -> None:
    class Addressed(AgentMiddleware):
        user = "Ann"

        def wrap_model_call(self, request: ModelRequest, handler: Any) -> Any:
            return handler(request.override(system_message=SystemMessage(f"You speak with {self.user}.")))

    inner = Addressed()
    agent = create_agent(own, [], middleware=[SemrouteMiddleware(models, cache=core, group="house"), inner])
    assert answers(agent.invoke(asked(EASY))) == [("miss", "small")]
    inner.user = "Bob"
    assert answers(agent.invoke(asked(EASY))) == [("miss", "small")]
    inner.user = "Ann"
    assert answers(agent.invoke(asked(EASY))) == [("l1", "small")]


def test_a_model_may_be_named_by_settings_or_configuration(models: Any, own: Any, core: Any, stub: Any) -> None:
    class Named(AgentMiddleware):
        def wrap_model_call(self, request: ModelRequest, handler: Any) -> Any:
            return handler(request.override(model_settings={"model": "large"}))

    routing = SemrouteMiddleware(models, cache=core)
    for tools in ([], [look_up]):
        create_agent(own, tools, middleware=[routing, Named()]).invoke(asked(EASY))
    create_agent(own, [], middleware=[routing]).invoke(asked("Hi"), {"configurable": {"model": "large"}})
    assert set(called(stub)) == {"large-1"}


async def test_a_model_that_fails_is_followed_by_the_next(make_openai: Any, own: Any, core: Any, parrot: Any) -> None:
    parrot.before = lambda words: 1 / 0
    routing = SemrouteMiddleware({"parrot": parrot, "large": make_openai(model="large-1")}, cache=core)
    agent = create_agent(own, [], middleware=[routing])
    answer = agent.invoke(asked(EASY))["messages"][-1]
    assert told(answer)["fallback_from"] == [{"model": "parrot", "error": "ZeroDivisionError"}]
    assert answers(await agent.ainvoke(asked(HARD))) == [("miss", "large")]
    assert routing.model.failures["parrot"] == 1


def test_two_turns_of_one_conversation_are_two_messages(models: Any, own: Any, core: Any) -> None:
    routing = SemrouteMiddleware(models, cache=core, group="house")
    agent = create_agent(own, [], middleware=[routing], checkpointer=InMemorySaver())
    for thread in ("first", "second"):
        config: Any = {"configurable": {"thread_id": thread}}
        agent.invoke(asked(EASY), config)
        state = agent.invoke(asked("What else?"), config)
        assert [message.type for message in state["messages"]] == ["human", "ai", "human", "ai"]


def test_it_takes_a_routed_model_as_it_is(models: Any, core: Any) -> None:
    routed = RoutedModel(models, cache=core)
    assert SemrouteMiddleware(routed).model is routed
    with pytest.raises(ConfigError, match="group must be given to it"):
        SemrouteMiddleware(routed, group="house")
