"""Lookups on an event loop never keep it from its other work."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.outputs import Generation
from langchain_semroute import SemrouteCache, cached

from semroute import SemanticCache
from semroute.embedders.onnx import OnnxEmbedder
from semroute.testing.embedders import HashEmbedder, SlowEmbedder

pytestmark = pytest.mark.alone

LONGEST_STALL_S = 0.005
LLM = "a model"
EMBEDDERS = {"hash": HashEmbedder, "slow": lambda: SlowEmbedder(0.02), "onnx": OnnxEmbedder}
Work = Callable[[list[str]], Awaitable[Any]]


@pytest.fixture
def calm() -> Iterator[None]:
    """Keep collections of garbage and long turns of worker threads out of the measurement."""
    interval_s = sys.getswitchinterval()
    gc.collect()
    gc.disable()
    sys.setswitchinterval(0.000_5)
    yield
    sys.setswitchinterval(interval_s)
    gc.enable()


@pytest.fixture
def made(make_cache: Callable[..., SemanticCache], tmp_path: Any, request: pytest.FixtureRequest) -> SemanticCache:
    embedder = EMBEDDERS[request.param]()
    core = make_cache(f"sqlite:///{tmp_path}/answers.db", embedder=embedder, clock=time.time)
    core.preload()
    return core


async def stall_s(work: Awaitable[Any], clock: Callable[[], float]) -> float:
    """Return the longest time between two turns of a ticker while some work is done."""
    longest, is_done = 0.0, False

    async def tick() -> None:
        nonlocal longest
        last = clock()
        while not is_done:
            await asyncio.sleep(0)
            now = clock()
            longest, last = max(longest, now - last), now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await work
    is_done = True
    await ticker
    return longest


async def least_stall_s(work: Work, clock: Callable[[], float]) -> float:
    """Return the least of several runs, the first that is short enough: other processes take the machine at times."""
    least = float("inf")
    for run in range(25):
        least = min(least, await stall_s(work(prompts(f"{clock.__name__} {run}")), clock))
        if least < LONGEST_STALL_S:
            break
    return least


def prompts(run: str) -> list[str]:
    system = SystemMessage("You keep the dictionary of the house.")
    words = [f"What does word {index} of list {run} mean in the house?" for index in range(50)]
    return [dumps([system, HumanMessage(text)]) for text in words]


async def assert_calm(work: Work, made: SemanticCache) -> None:
    # By the clock of the wall a blocking wait would show, by that of the thread a long computation. Where a model
    # keeps every core busy, the wall's clock says how the system shares them out, and nothing of the loop.
    if not isinstance(made.embedder, OnnxEmbedder):
        assert await least_stall_s(work, time.perf_counter) < LONGEST_STALL_S
    assert await least_stall_s(work, time.thread_time) < LONGEST_STALL_S


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize("made", EMBEDDERS, indirect=True)
async def test_fifty_lookups_that_begin_at_once_never_stall_the_loop(made: SemanticCache) -> None:
    cache = SemrouteCache(cache=made)
    await cache.aupdate(prompts("known")[0], LLM, [Generation(text="a ring")])
    await assert_calm(lambda asked: asyncio.gather(*(cache.alookup(prompt, LLM) for prompt in asked)), made)


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize("made", ["hash", "onnx"], indirect=True)
async def test_fifty_lookups_and_updates_in_a_row_never_stall_the_loop(made: SemanticCache) -> None:
    cache = SemrouteCache(cache=made)

    async def in_a_row(asked: list[str]) -> None:
        for prompt in asked:
            await cache.alookup(prompt, LLM)
            await cache.aupdate(prompt, LLM, [Generation(text="a word")])

    await assert_calm(in_a_row, made)


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize("made", ["hash"], indirect=True)
async def test_fifty_lookups_that_hit_never_stall_the_loop(made: SemanticCache) -> None:
    cache = SemrouteCache(cache=made)
    known = prompts("known")[:1] * 50
    await cache.aupdate(known[0], LLM, [Generation(text="a ring")])
    await assert_calm(lambda _: asyncio.gather(*(cache.alookup(prompt, LLM) for prompt in known)), made)


@pytest.mark.usefixtures("calm")
@pytest.mark.parametrize("made", ["hash"], indirect=True)
async def test_the_measurement_sees_a_wait_that_blocks(made: SemanticCache) -> None:
    async def block(_: list[str]) -> None:
        time.sleep(0.01)  # noqa: ASYNC251  # the mistake that the other tests look for

    assert await least_stall_s(block, time.perf_counter) > LONGEST_STALL_S


async def test_a_cached_model_answers_fifty_askers_at_once(parrot: Any, cache: SemanticCache) -> None:
    model = cached(parrot, cache)
    asked = [f"What does word {index} mean?" for index in range(50)]
    fresh = await asyncio.gather(*(model.ainvoke(words) for words in asked))
    again = await asyncio.gather(*(model.ainvoke(words) for words in asked))
    assert [message.text for message in again] == [message.text for message in fresh]
    assert len(parrot.calls) == 50
