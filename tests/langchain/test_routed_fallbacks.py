"""When a model's provider fails, the next model that can do what is asked answers; the metadata says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import FakeListChatModel
from langchain_semroute import RoutedModel
from langgraph.errors import GraphInterrupt
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from semroute import ConfigError, SemanticCache
from semroute.router.outcomes import Outcomes

from .routing import EASY, HARD, TellingRouter, added, tier_and_model, told

MakeCache = Callable[..., SemanticCache]
GROUPS = pytest.mark.parametrize("group", [None, "house"])
DOWN = [{"model": "small", "error": "ConnectionError"}]


class Outage:
    """Fails as often as it is told to, with an error of the given kind."""

    def __init__(self, error: BaseException | None = None, times: int = 1_000) -> None:
        self.error = ConnectionError("refused, and this text must not be told") if error is None else error
        self.times = times

    def __call__(self, *_: object) -> None:
        self.times -= 1
        if self.times >= 0:
            raise self.error


def graph_of(node: Callable[..., Any]) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("answer", node)
    graph.add_edge(START, "answer")
    return graph.compile()


@pytest.fixture
def core(make_cache: MakeCache) -> SemanticCache:
    return make_cache(guards=(), router=TellingRouter())


@pytest.fixture
def models(streaming_parrot: Any) -> dict[str, Any]:
    return {name: type(streaming_parrot)(model=f"{name}-1") for name in ("small", "medium", "large")}


@GROUPS
async def test_the_next_stronger_model_answers(models: Any, core: SemanticCache, group: str | None) -> None:
    models["small"].before = Outage()
    routed = RoutedModel(models, cache=core, group=group)
    answers = [
        routed.invoke("What are cats?"),
        await routed.ainvoke("What are dogs?"),
        added(routed.stream("What are birds?")),
        added([chunk async for chunk in routed.astream("What are fish?")]),
        *routed.batch(["What are ants?"]),
    ]
    assert [tier_and_model(answer) for answer in answers] == [("miss", "medium")] * 5
    assert [told(answer)["fallback_from"] for answer in answers] == [DOWN] * 5
    assert answers[0].response_metadata["model_name"] == "medium-1"
    assert routed.failures == {"small": 5}
    assert len(core.flights) == 0
    assert core.ledger.total().calls == 5


def test_the_answer_of_a_fallback_is_shared_in_a_group(models: Any, core: SemanticCache) -> None:
    models["small"].before = Outage(times=1)
    routed = RoutedModel(models, cache=core, group="house")
    routed.invoke(EASY)
    hit = routed.invoke(EASY)
    assert tier_and_model(hit) == ("l1", "medium")
    assert told(hit)["fallback_from"] == []


def test_what_a_weaker_model_says_for_a_stronger_that_failed_is_not_shared_in_a_group(models: Any, core: Any) -> None:
    models["large"].before = Outage(times=2)
    models["medium"].before = Outage(times=2)
    routed = RoutedModel(models, cache=core, group="house")
    assert tier_and_model(routed.invoke(HARD)) == ("miss", "small")
    assert core.ledger.total().calls == 1
    assert tier_and_model(routed.invoke(HARD)) == ("miss", "small")
    assert tier_and_model(routed.invoke(HARD)) == ("miss", "large")
    assert tier_and_model(routed.invoke(HARD)) == ("l1", "large")


def test_without_a_group_the_answer_of_a_fallback_is_kept_for_its_own_model(models: Any, core: SemanticCache) -> None:
    models["small"].before = Outage(times=2)
    routed = RoutedModel(models, cache=core)
    assert tier_and_model(routed.invoke(EASY)) == ("miss", "medium")
    again = routed.invoke(EASY)
    assert tier_and_model(again) == ("l1", "medium")
    assert told(again)["fallback_from"] == DOWN
    assert tier_and_model(routed.invoke(EASY)) == ("miss", "small")


def test_a_model_that_was_named_has_fallbacks_too(models: Any, core: SemanticCache) -> None:
    models["small"].before = Outage()
    assert tier_and_model(RoutedModel(models, cache=core).invoke(EASY, model="small")) == ("miss", "medium")


@GROUPS
async def test_when_all_fail_the_last_error_is_raised(models: Any, core: SemanticCache, group: str | None) -> None:
    for name, kind in (("small", ConnectionError), ("medium", TimeoutError), ("large", PermissionError)):
        models[name].before = Outage(kind("down"))
    routed = RoutedModel(models, cache=core, group=group)
    with pytest.raises(PermissionError):
        routed.invoke(EASY)
    with pytest.raises(PermissionError):
        await routed.ainvoke("What are dogs?")
    with pytest.raises(PermissionError):
        list(routed.stream("What are birds?"))
    assert routed.failures == {"small": 3, "medium": 3, "large": 3}
    assert core.size().entries == 0
    assert len(core.flights) == 0


@GROUPS
async def test_a_stream_that_has_begun_is_not_begun_again(models: Any, core: SemanticCache, group: str | None) -> None:
    models["small"].between = Outage()
    routed = RoutedModel(models, cache=core, group=group)
    with pytest.raises(ConnectionError):
        list(routed.stream(EASY))
    with pytest.raises(ConnectionError):
        [chunk async for chunk in routed.astream(EASY)]
    assert models["medium"].calls == []
    assert core.size().entries == 0
    assert len(core.flights) == 0


async def test_an_answer_that_listeners_have_heard_a_part_of_is_not_begun_again(models: Any, core: Any) -> None:
    models["small"].between = Outage()
    routed = RoutedModel(models, cache=core, group="house")

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [routed.invoke(state["messages"])]}

    async def aanswer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await routed.ainvoke(state["messages"])]}

    asked: Any = {"messages": [EASY]}
    streamed = graph_of(answer).stream(asked, stream_mode="messages")
    astreamed = graph_of(aanswer).astream(asked, stream_mode="messages")
    assert next(streamed)[0].text == (await anext(astreamed))[0].text == "You"
    with pytest.raises(ConnectionError):
        list(streamed)
    with pytest.raises(ConnectionError):
        await anext(astreamed)
    assert models["medium"].calls == []


@pytest.mark.parametrize(
    "error", [GraphInterrupt(), ConfigError("ours"), KeyboardInterrupt(), asyncio.CancelledError()]
)
def test_what_is_no_providers_failure_goes_on_to_the_caller(models: Any, core: SemanticCache, error: Any) -> None:
    models["small"].before = Outage(error)
    routed = RoutedModel(models, cache=core, group="house")
    with pytest.raises(type(error)):
        routed.invoke(EASY)
    with pytest.raises(type(error)):
        list(routed.stream(EASY))
    assert models["medium"].calls == []
    assert routed.failures == {}
    assert len(core.flights) == 0


async def test_a_call_that_is_cancelled_asks_no_other_model(models: Any, core: SemanticCache) -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    held = asyncio.Event()

    def hold(words: str) -> None:
        loop.call_soon_threadsafe(reached.set)
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(20)

    models["small"].before = hold
    routed = RoutedModel(models, cache=core, group="house")
    call = asyncio.create_task(routed.ainvoke(EASY))
    await reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    held.set()
    assert models["medium"].calls == []
    assert len(core.flights) == 0


class Joke(BaseModel):
    setup: str


def test_an_answer_that_does_not_fit_its_schema_asks_no_other_model(make_openai: Any, stub: Any, core: Any) -> None:
    models = {name: make_openai(model=name) for name in ("small", "large")}
    routed = RoutedModel(models, cache=core).with_structured_output(Joke, method="json_mode")
    with pytest.raises(OutputParserException):
        routed.invoke("REFUSE to be funny")
    assert [body["model"] for body in stub.bodies] == ["small"]


def test_a_providers_own_errors_count_as_failures(make_openai: Any, stub: Any, core: Any) -> None:
    models = {"small": make_openai(model="small"), "large": FakeListChatModel(responses=["Here I am."])}
    answer = RoutedModel(models, cache=core).invoke("STATUS 429")
    assert answer.text == "Here I am."
    (failed,) = told(answer)["fallback_from"]
    assert failed["model"] == "small"
    assert failed["error"].endswith("RateLimitError")


def test_outcomes_are_told_of_a_model_that_failed(models: Any, core: SemanticCache) -> None:
    models["small"].before = Outage()
    outcomes = Outcomes()
    RoutedModel(models, cache=core, outcomes=outcomes).batch([EASY, HARD])
    (offset,) = [(tier, by) for tier, by in outcomes.offsets().items() if by != 0.0]
    assert offset[0] == 1
    assert offset[1] < 0.0


def test_a_failure_is_logged_without_its_text(
    models: Any, core: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    models["small"].before = Outage()
    with caplog.at_level(logging.WARNING, "semroute"):
        RoutedModel(models, cache=core).invoke(EASY)
    assert "model 'small' failed with ConnectionError, 'medium' is asked instead" in caplog.text
    assert "must not be told" not in caplog.text


def test_a_model_that_says_nothing_is_followed_by_the_next(models: Any, core: SemanticCache) -> None:
    class Mute(type(models["small"])):  # type: ignore[misc]  # the class of a fixture
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            yield from ()

    routed = RoutedModel({"small": Mute(), "large": models["large"]}, cache=core, group="house")
    assert tier_and_model(next(iter(routed.stream(EASY)))) == ("miss", "large")
    assert tier_and_model(routed.invoke(HARD)) == ("miss", "large")
