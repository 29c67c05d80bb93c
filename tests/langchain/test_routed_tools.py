"""Routed models with tools, schemas and images: only a model that can do what is asked is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langchain_semroute import RoutedModel
from pydantic import BaseModel

from semroute import ConfigError, SemanticCache
from semroute.router.catalog import CatalogModel, ModelCatalog

from .routing import EASY, HARD, TellingRouter, added, tier_and_model, told

MakeCache = Callable[..., SemanticCache]
GROUPS = pytest.mark.parametrize("group", [None, "house"])
RING = "Explain the word 'ring'"
FORGET = {"type": "function", "function": {"name": "forget", "parameters": {"type": "object", "properties": {}}}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


class Joke(BaseModel):
    setup: str
    punchline: str


@tool
def look_up(word: str) -> str:
    """Look a word up in the house dictionary."""
    return f"{word}: a word"


@pytest.fixture
def core(make_cache: MakeCache) -> SemanticCache:
    return make_cache(guards=(), router=TellingRouter())


@pytest.fixture
def models(make_openai: Any) -> dict[str, Any]:
    return {"small": make_openai(model="small-1"), "large": make_openai(model="large-1")}


def called(stub: Any) -> list[str]:
    return [body["model"] for body in stub.bodies]


@GROUPS
async def test_tools_are_bound_to_the_model_that_is_called(models: Any, core: Any, stub: Any, group: Any) -> None:
    routed = RoutedModel(models, cache=core, group=group).bind_tools([look_up])
    easy, hard = routed.invoke(RING), routed.invoke("Prove the word 'ring'")
    hits = [
        routed.invoke(RING),
        await routed.ainvoke(RING),
        added(routed.stream(RING)),
        added([chunk async for chunk in routed.astream(RING)]),
    ]
    assert called(stub) == ["small-1", "large-1"]
    assert [body["tools"][0]["function"]["name"] for body in stub.bodies] == ["look_up"] * 2
    assert [tier_and_model(answer)[1] for answer in (easy, hard)] == ["small", "large"]
    assert [tier_and_model(hit) for hit in hits] == [("l1", "small")] * 4
    assert [hit.tool_calls[0]["args"] for hit in hits] == [{"word": "ring"}] * 4
    assert len({hit.tool_calls[0]["id"] for hit in (easy, *hits)}) == 5


@GROUPS
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_structured_output_is_that_of_the_model_that_is_called(
    models: Any, core: Any, stub: Any, group: Any, method: str
) -> None:
    routed = RoutedModel(models, cache=core, group=group).with_structured_output(Joke, method=method)
    first = routed.invoke("Prove a joke")
    assert isinstance(first, Joke)
    assert routed.invoke("Prove a joke") == await routed.ainvoke("Prove a joke") == first
    assert list(routed.stream("Prove a joke"))[-1] == first
    assert called(stub) == ["large-1"]


def test_the_raw_answer_of_structured_output_tells_the_decision(models: Any, core: Any) -> None:
    routed = RoutedModel(models, cache=core).with_structured_output(Joke, include_raw=True)
    answer = routed.invoke(HARD)
    assert isinstance(answer["parsed"], Joke)
    assert told(answer["raw"])["decision"]["complexity"] == "high"


def test_tools_and_schemas_are_part_of_what_is_asked(models: Any, core: Any, stub: Any) -> None:
    class Other(TypedDict):
        word: str

    grouped = RoutedModel(models, cache=core, group="house")
    for asked in (
        grouped,
        grouped.bind_tools([look_up]),
        grouped.bind_tools([FORGET]),
        grouped.bind_tools([look_up], tool_choice="required"),
        grouped.with_structured_output(Joke),
        grouped.with_structured_output(Other),
    ):
        before = stub.calls
        asked.invoke(RING)
        asked.invoke(RING)
        assert stub.calls == before + 1
    assert tier_and_model(grouped.bind_tools([look_up]).invoke(RING))[0] == "l1"
    assert tier_and_model(grouped.bind_tools([], tool_choice=None).invoke("What are dogs?"))[0] == "miss"


def test_what_is_bound_first_stays_bound(models: Any, core: Any, stub: Any) -> None:
    routed = RoutedModel(models, cache=core).bind(stop=["!"]).with_config(tags=["x"]).bind_tools([look_up])
    routed.invoke(RING)
    routed.bind_tools([look_up], model="large").invoke(RING)
    assert [(body["model"], body["stop"]) for body in stub.bodies] == [("small-1", ["!"]), ("large-1", ["!"])]


@pytest.mark.parametrize(
    ("able", "asked"),
    [
        ({"tools": False}, lambda routed: routed.bind_tools([look_up]).invoke(RING)),
        ({"tools": False}, lambda routed: routed.bind(tools=[FORGET]).invoke(RING)),
        ({"structured_output": False}, lambda routed: routed.with_structured_output(Joke).invoke(RING)),
        ({"vision": False}, lambda routed: routed.invoke([HumanMessage([{"type": "text", "text": RING}, IMAGE])])),
        ({"context_tokens": 10}, lambda routed: routed.invoke("What are cats? " * 50)),
        ({"context_tokens": 20}, lambda routed: routed.bind_tools([look_up]).invoke(RING)),
    ],
    ids=["tools", "tools as an argument", "schema", "image", "length", "length of the tools"],
)
def test_only_a_model_that_can_do_what_is_asked_is_called(
    models: Any, core: Any, stub: Any, able: dict[str, Any], asked: Callable[[RoutedModel], Any]
) -> None:
    weak = CatalogModel("small", 1, **{"vision": True, **able})
    catalog = ModelCatalog((weak, CatalogModel("large", 2, vision=True)))
    asked(RoutedModel(models, cache=core, catalog=catalog, group="house"))
    assert called(stub) == ["large-1"]
    with pytest.raises(ConfigError, match="no model of the catalogue can do what this request needs: small lacks"):
        asked(RoutedModel({"small": models["small"]}, cache=core, catalog=ModelCatalog((weak,)), group="house"))
    with pytest.raises(ConfigError, match="'small' was named, and lacks"):
        asked(RoutedModel(models, cache=core, catalog=catalog).bind(model="small"))
    assert called(stub) == ["large-1"]


def test_what_nothing_is_known_of_is_tried(models: Any, core: Any, stub: Any) -> None:
    RoutedModel(models, cache=core).invoke([HumanMessage([{"type": "text", "text": EASY}, IMAGE])])
    assert called(stub) == ["small-1"]


def test_the_profile_of_a_model_tells_what_it_can_do(make_openai: Any, core: Any, stub: Any) -> None:
    small = make_openai(model="small-1", profile={"image_inputs": False, "max_input_tokens": 1_000})
    routed = RoutedModel({"small": small, "large": make_openai(model="large-1")}, cache=core)
    assert routed.catalog["small"].context_tokens == 1_000
    routed.invoke([HumanMessage([{"type": "text", "text": EASY}, IMAGE])])
    assert called(stub) == ["large-1"]


def test_a_model_without_tools_says_so(parrot: Any, core: Any) -> None:
    with pytest.raises(NotImplementedError):
        RoutedModel({"parrot": parrot}, cache=core).bind_tools([look_up]).invoke(EASY)


@GROUPS
def test_an_agent_takes_it_for_a_model(models: Any, core: Any, stub: Any, group: str | None) -> None:
    agent = create_agent(RoutedModel(models, cache=core, group=group), [look_up], system_prompt="Use it.", name="Ann")
    turns = [agent.invoke({"messages": [HumanMessage("Prove the word 'ring'")]})["messages"] for _ in range(2)]
    assert called(stub) == ["large-1", "large-1"]
    for messages in turns:
        assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
        assert messages[2].tool_call_id == messages[1].tool_calls[0]["id"]
        assert messages[3].name == "Ann"
    answers = [[tier_and_model(message) for message in turn if isinstance(message, AIMessage)] for turn in turns]
    assert answers == [[("miss", "large")] * 2, [("l1", "large")] * 2]


async def test_an_agent_streams_what_it_answers(models: Any, core: Any, stub: Any) -> None:
    agent = create_agent(RoutedModel(models, cache=core, group="house"), [look_up])
    texts = []
    for _ in range(2):
        streamed = [m async for m, _ in agent.astream({"messages": [HumanMessage(RING)]}, stream_mode="messages")]
        texts.append("".join(message.text for message in streamed if isinstance(message, AIMessageChunk)))
    assert texts[0] == texts[1] != ""
    assert stub.calls == 2


@pytest.mark.parametrize("strategy", [ProviderStrategy, ToolStrategy, lambda schema: schema])
def test_an_agents_structured_response_is_served(models: Any, core: Any, stub: Any, strategy: Any) -> None:
    agent = create_agent(RoutedModel(models, cache=core, group="house"), [], response_format=strategy(Joke))
    first, second = (agent.invoke({"messages": [HumanMessage(RING)]})["structured_response"] for _ in range(2))
    assert isinstance(first, Joke)
    assert second == first
    assert stub.calls == 1


def test_the_configuration_of_an_agents_run_names_the_model(models: Any, core: Any, stub: Any) -> None:
    agent = create_agent(RoutedModel(models, cache=core), [look_up])
    agent.invoke({"messages": [HumanMessage(RING)]}, {"configurable": {"model": "large"}})
    assert called(stub) == ["large-1", "large-1"]
