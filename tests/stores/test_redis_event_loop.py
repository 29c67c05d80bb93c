"""A Redis store and event loops: one set of connections each, closed with it, and never a stall."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import redis

from semroute.stores.redis import RedisStore
from semroute.testing.entries import NOW, make_address, make_entry
from semroute.testing.redis_stack import RedisNode
from semroute.testing.store_suite import get

MakeStore = Callable[..., RedisStore]
InChild = Callable[[Callable[[], None]], None]


def clients_of(node: RedisNode) -> int:
    with redis.Redis(port=node.port) as client:
        return len(client.client_list()) - 1


async def ask(store: RedisStore, times: int = 1) -> bool:
    found = await asyncio.gather(*(store.aget(make_address("q"), now=NOW) for _ in range(times)))
    return all(one.entry is not None for one in found)


def test_a_store_outlives_the_loops_that_use_it_and_leaves_no_connection_of_theirs(
    make_store: MakeStore, redis_node: RedisNode
) -> None:
    store = make_store()
    store.put(make_entry("q"))
    before = clients_of(redis_node)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            assert asyncio.run(ask(store, 5))
            gc.collect()
    assert clients_of(redis_node) == before


def test_loops_in_threads_do_not_share_connections(make_store: MakeStore) -> None:
    store = make_store()
    store.put(make_entry("q"))
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda _: asyncio.run(ask(store, 10)), range(4)))


async def test_closing_in_a_loop_closes_its_connections_and_the_next_use_opens_new_ones(
    make_store: MakeStore, redis_node: RedisNode
) -> None:
    store = make_store()
    before = clients_of(redis_node)
    await store.aput(make_entry("q"))
    await store.aclose()
    assert clients_of(redis_node) == before
    assert await ask(store)
    store.close()


def test_closing_from_outside_closes_the_connections_of_a_loop_that_runs_elsewhere(make_store: MakeStore) -> None:
    store = make_store()
    store.put(make_entry("q"))

    async def work() -> bool:
        first = await ask(store)
        await asyncio.to_thread(store.close)
        return first and await ask(store)

    assert asyncio.run(work())


async def test_64_lookups_at_once_never_hold_the_loop_up(make_store: MakeStore) -> None:
    store = make_store()
    await store.aput(make_entry("q"))
    await ask(store, 64)
    longest_s = 0.0

    async def watch() -> None:
        nonlocal longest_s
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - began)

    watcher = asyncio.create_task(watch())
    for _ in range(5):
        assert await ask(store, 64)
    watcher.cancel()
    assert longest_s < 0.05


def test_a_forked_child_opens_connections_of_its_own(make_store: MakeStore, in_child: InChild) -> None:
    store = make_store()
    store.put(make_entry("q"))

    def work() -> None:
        assert all(get(store, "q").entry is not None for _ in range(20))
        assert asyncio.run(ask(store))

    in_child(work)
    assert get(store, "q").entry is not None
