"""One cache under many tasks, threads and event loops at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from semroute import Hit, Miss, Queued, SemanticCache, Stored, scope
from semroute.testing.embedders import HashEmbedder

MakeCache = Callable[..., SemanticCache]
TENANTS = [f"tenant {number}" for number in range(6)]
QUESTIONS = [f"What is a ring of {number} stones?" for number in range(10)]


class HeldEmbedder(HashEmbedder):
    """Embeds nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    def embed(self, texts):
        self.may_go_on.wait()
        return super().embed(texts)


@pytest.fixture(params=["memory", "file"])
def cache(request: pytest.FixtureRequest, make_cache: MakeCache, tmp_path: Path) -> SemanticCache:
    return make_cache("memory://" if request.param == "memory" else tmp_path / "answers.db")


async def ask_all(cache: SemanticCache, tenant: str) -> None:
    """Ask and answer every question as one tenant, and check that nobody else's answer comes."""
    with scope(tenant=tenant):
        for question in QUESTIONS:
            if isinstance(await cache.alookup(question), Miss):
                assert isinstance(await cache.aupdate(question, f"{question} for {tenant}"), Stored)
            for words in (question, question.lower().rstrip("?")):
                hit = await cache.alookup(words)
                assert isinstance(hit, Hit)
                assert hit.answer.text == f"{question} for {tenant}"


async def test_tasks_of_many_tenants_get_their_own_answers(cache: SemanticCache) -> None:
    await asyncio.gather(*(ask_all(cache, tenant) for tenant in TENANTS))
    assert cache.size().entries == len(TENANTS) * len(QUESTIONS)
    assert cache.stats().failures == {}


def test_event_loops_on_several_threads_share_one_cache(cache: SemanticCache) -> None:
    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(asyncio.run, ask_all(cache, tenant)) for tenant in TENANTS]
    assert [future.exception() for future in done] == [None] * len(TENANTS)
    assert cache.stats().failures == {}


def test_event_loops_one_after_another_share_one_cache(cache: SemanticCache) -> None:
    for tenant in TENANTS[:2] * 2:
        asyncio.run(ask_all(cache, tenant))
    assert cache.stats().stored == 2 * len(QUESTIONS)


def test_threads_share_one_cache_with_an_event_loop(cache: SemanticCache) -> None:
    def ask_by_the_sync_face(tenant: str) -> list[str]:
        with scope(tenant=tenant):
            for question in QUESTIONS:
                cache.update(question, f"{question} for {tenant}")
            return [cache.lookup(question.lower()).answer.text for question in QUESTIONS]

    with ThreadPoolExecutor(3) as pool:
        loop = pool.submit(asyncio.run, ask_all(cache, "on the loop"))
        threads = [pool.submit(ask_by_the_sync_face, tenant) for tenant in TENANTS]
    loop.result()
    for tenant, thread in zip(TENANTS, threads, strict=True):
        assert thread.result() == [f"{question} for {tenant}" for question in QUESTIONS]
    assert cache.stats().failures == {}


def test_a_cache_that_is_closed_while_others_use_it_raises_nothing(make_cache: MakeCache, tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "answers.db")
    is_over = threading.Event()

    def ask() -> int:
        asked = 0
        while not is_over.is_set():
            cache.lookup(QUESTIONS[asked % len(QUESTIONS)])
            cache.update(QUESTIONS[asked % len(QUESTIONS)], "an answer")
            asked += 1
        return asked

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        for _ in range(20):
            cache.close()
        is_over.set()
    assert all(future.result() >= 0 for future in asking)
    cache.clear()
    assert isinstance(cache.update(QUESTIONS[0], "an answer"), Stored)


async def test_the_event_loop_goes_on_while_a_question_is_embedded(make_cache: MakeCache) -> None:
    embedder = HeldEmbedder()
    cache = make_cache(embedder=embedder, embed_deadline_s=30)
    asking = asyncio.create_task(cache.alookup("What is a ring?"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not asking.done()
    embedder.may_go_on.set()
    assert isinstance(await asking, Miss)


async def test_a_lookup_that_is_cancelled_leaves_the_cache_in_order(make_cache: MakeCache) -> None:
    embedder = HeldEmbedder()
    cache = make_cache(embedder=embedder, embed_deadline_s=30)
    for _ in range(10):
        asking = asyncio.create_task(cache.alookup("What is a ring?"))
        for _ in range(20):
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    embedder.may_go_on.set()
    assert isinstance(await cache.aupdate("What is a ring?", "a ring"), Stored)
    assert (await cache.alookup("what is a ring")).tier == "l2"
    assert cache.stats().failures == {}


async def test_a_full_queue_of_background_writes_does_not_hold_up_the_event_loop(make_cache: MakeCache) -> None:
    embedder = HeldEmbedder()
    cache = make_cache(embedder=embedder, write="background", write_queue=1, embed_deadline_s=30)
    await asyncio.to_thread(cache.key, cache.request("q"))
    updates = [asyncio.create_task(cache.aupdate(question, "an answer")) for question in QUESTIONS[:4]]
    began_s = time.monotonic()
    for _ in range(100):
        await asyncio.sleep(0)
    assert time.monotonic() - began_s < 5
    assert any(not update.done() for update in updates)
    embedder.may_go_on.set()
    results = await asyncio.gather(*updates)
    await asyncio.to_thread(cache.flush)
    assert {type(result) for result in results} == {Queued, Stored}
    assert cache.size().entries == 4


async def test_a_scope_is_read_when_a_call_begins(cache: SemanticCache) -> None:
    with scope(tenant="a"):
        storing = asyncio.create_task(cache.aupdate(QUESTIONS[0], "a's own"))
    with scope(tenant="b"):
        await storing
        assert isinstance(await cache.alookup(QUESTIONS[0]), Miss)
    with scope(tenant="a"):
        assert isinstance(await cache.alookup(QUESTIONS[0]), Hit)
