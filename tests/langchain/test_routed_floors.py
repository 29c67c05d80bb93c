"""A scope's floor of quality: no weaker model answers, and no answer of one is served, in whatever tier it lies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_semroute import RoutedModel

import semroute
from semroute import ConfigError, SemanticCache

from .routing import EASY, TellingRouter, tier_and_model, told

MakeCache = Callable[..., SemanticCache]
WORDS, SAME_WORDS = "the capital of France is what", "What is the capital of France?"


@pytest.fixture
def models(parrot: Any) -> dict[str, Any]:
    return {name: type(parrot)(model=f"{name}-1") for name in ("small", "large")}


@pytest.fixture
def grouped(models: dict[str, Any], make_cache: MakeCache) -> RoutedModel:
    return RoutedModel(models, cache=make_cache(guards=(), router=TellingRouter()), group="house")


def test_a_weak_answer_is_not_served_from_the_exact_tier(grouped: RoutedModel) -> None:
    assert tier_and_model(grouped.invoke(EASY)) == ("miss", "small")
    with semroute.scope(least_tier=2):
        assert tier_and_model(grouped.invoke(EASY)) == ("miss", "large")
        assert tier_and_model(grouped.invoke(EASY)) == ("l1", "large")
    assert tier_and_model(grouped.invoke(EASY)) == ("l1", "large")


def test_a_weak_answer_is_not_served_by_an_alias(grouped: RoutedModel) -> None:
    grouped.invoke(WORDS)
    assert tier_and_model(grouped.invoke(SAME_WORDS)) == ("l2", "small")
    assert tier_and_model(grouped.invoke(SAME_WORDS)) == ("l1_alias", "small")
    with semroute.scope(least_tier=2):
        assert tier_and_model(grouped.invoke(SAME_WORDS)) == ("miss", "large")


def test_a_weak_answer_is_not_served_by_meaning(grouped: RoutedModel) -> None:
    grouped.invoke(WORDS)
    with semroute.scope(least_tier=2):
        answer = grouped.invoke(SAME_WORDS)
    assert tier_and_model(answer) == ("miss", "large")
    assert told(answer)["why"] == ["tier: answered by tier 1, under 2"]
    assert tier_and_model(grouped.invoke(SAME_WORDS)) == ("l1", "large")


async def test_a_weak_answer_is_not_streamed(grouped: RoutedModel) -> None:
    grouped.batch([EASY, "What are dogs?"])
    with semroute.scope(least_tier=2):
        begun, abegun = grouped.stream(EASY), grouped.astream("What are dogs?")
    assert tier_and_model(next(begun)) == tier_and_model(await anext(abegun)) == ("miss", "large")
    begun.close()
    await abegun.aclose()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from([WORDS, SAME_WORDS, EASY]), st.integers(1, 3), st.booleans()), min_size=2, max_size=9
    )
)
def test_whatever_came_before_no_answer_is_weaker_than_the_floor(
    parrot: Any, make_cache: MakeCache, asked: list[tuple[str, int, bool]]
) -> None:
    models = {name: type(parrot)(model=f"{name}-1") for name in ("small", "medium", "large")}
    grouped = RoutedModel(models, cache=make_cache(guards=(), router=TellingRouter()), group="house")
    for words, floor, is_streamed in asked:
        with semroute.scope(least_tier=floor):
            answer = next(grouped.stream(words)) if is_streamed else grouped.invoke(words)
        assert grouped.catalog[told(answer)["model"]].tier >= floor
        assert answer.response_metadata["model_name"] == f"{told(answer)['model']}-1"


def test_a_strong_answer_serves_those_who_ask_for_less(grouped: RoutedModel) -> None:
    with semroute.scope(least_tier=2):
        grouped.invoke(EASY)
    assert tier_and_model(grouped.invoke(EASY)) == ("l1", "large")


def test_a_call_under_way_is_not_shared_with_one_of_a_higher_floor(models: Any, make_cache: MakeCache) -> None:
    reached, opened = threading.Event(), threading.Event()

    def hold(words: str) -> None:
        reached.set()
        assert opened.wait(20)

    models["small"].before = hold
    core = make_cache(router=TellingRouter())
    grouped = RoutedModel(models, cache=core, group="house")
    with ThreadPoolExecutor(2) as pool:
        weak = pool.submit(grouped.invoke, EASY)
        assert reached.wait(20)
        with semroute.scope(least_tier=2):
            strong = pool.submit(copy_context().run, grouped.invoke, EASY)
        (flight,) = core.flights._flights.values()
        while not flight._answer._condition._waiters:
            threading.Event().wait(0.001)
        opened.set()
        assert tier_and_model(weak.result(20)) == ("miss", "small")
        assert tier_and_model(strong.result(20)) == ("miss", "large")


def test_without_a_group_a_floor_picks_the_model(models: Any, make_cache: MakeCache) -> None:
    routed = RoutedModel(models, cache=make_cache(router=TellingRouter()))
    routed.invoke(EASY)
    with semroute.scope(least_tier=2):
        assert tier_and_model(routed.invoke(EASY)) == ("miss", "large")
    assert tier_and_model(routed.invoke(EASY)) == ("l1", "small")


def test_a_floor_may_stand_for_every_call(models: Any, make_cache: MakeCache) -> None:
    core = make_cache(router=TellingRouter())
    RoutedModel(models, cache=core, group="house").invoke(EASY)
    picky = RoutedModel(models, cache=core, group="house", least_tier=2)
    assert tier_and_model(picky.invoke(EASY)) == ("miss", "large")
    with semroute.scope(least_tier=1):
        assert tier_and_model(picky.invoke(EASY)) == ("l1", "large")


def test_a_fallback_is_never_weaker_than_the_floor(models: Any, make_cache: MakeCache) -> None:
    models["large"].before = lambda words: 1 / 0
    grouped = RoutedModel(models, cache=make_cache(router=TellingRouter()), group="house")
    with semroute.scope(least_tier=2), pytest.raises(ZeroDivisionError):
        grouped.invoke(EASY)
    assert models["small"].calls == []


def test_a_floor_that_no_model_reaches_is_an_error_before_the_call(grouped: RoutedModel, models: Any) -> None:
    with semroute.scope(least_tier=3), pytest.raises(ConfigError, match="small lacks tier 3; large lacks tier 3"):
        grouped.invoke(EASY)
    with semroute.scope(least_tier=2), pytest.raises(ConfigError, match="'small' was named, and lacks tier 2"):
        grouped.invoke(EASY, model="small")
    assert models["small"].calls == models["large"].calls == []
