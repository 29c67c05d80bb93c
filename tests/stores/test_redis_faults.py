"""What a Redis store does when its server is frozen, restarted, full or overrun."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count

import pytest
import redis

from semroute import SemanticCache
from semroute.entry import Answer, Selector
from semroute.errors import ConfigError, StoreError
from semroute.result import Miss
from semroute.stores.redis import RedisStore
from semroute.testing.embedders import HashEmbedder
from semroute.testing.entries import NOW, make_address, make_alias, make_entry
from semroute.testing.redis_stack import RedisNode, redis_stack
from semroute.testing.store_suite import get, queries, search

from .redis_shards import PATIENT, MakeStore, keys_of


def test_a_frozen_server_is_an_error_within_the_deadline_and_serves_again_when_it_wakes(own_node: RedisNode) -> None:
    with closing(RedisStore(own_node.url, clock=lambda: NOW, timeout_s=1.0, connect_timeout_s=5.0)) as store:
        store.put(make_entry("q"))
        own_node.stop()
        with pytest.raises(StoreError, match="deadline"):
            get(store, "q")
        with pytest.raises(StoreError, match="deadline"):
            asyncio.run(store.aget(make_address("q"), now=NOW))
        own_node.resume()
        assert get(store, "q").entry is not None
        assert queries(search(store)) == ["q"]


def test_a_late_answer_is_never_taken_for_that_of_another_question(own_node: RedisNode) -> None:
    with closing(RedisStore(own_node.url, clock=lambda: NOW, timeout_s=1.0, pool_size=1)) as store:
        store.put(make_entry("first"))
        store.put(make_entry("second"))
        own_node.stop()
        with pytest.raises(StoreError, match="deadline"):
            get(store, "first")
        own_node.resume()
        found = get(store, "second").entry
        assert found is not None
        assert found.query == "second"


async def test_a_cancelled_lookup_leaves_no_answer_behind_for_another(own_node: RedisNode) -> None:
    store = RedisStore(own_node.url, pool_size=1, **PATIENT)
    await store.aput(make_entry("first"))
    await store.aput(make_entry("second"))
    own_node.stop()
    lookup = asyncio.create_task(store.aget(make_address("first"), now=NOW))
    for _ in range(3):  # the question is on its way, and no answer comes
        await asyncio.sleep(0)
    lookup.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lookup
    own_node.resume()
    found = (await store.aget(make_address("second"), now=NOW)).entry
    assert found is not None
    assert found.query == "second"
    await store.aclose()


def test_a_server_that_was_restarted_empty_begins_anew_with_the_same_key(
    own_node: RedisNode, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(RedisStore(own_node.url, **PATIENT)) as store:
        key = store.open()
        store.put(make_entry("q"))
        store.delete(Selector(frozenset({"x"})))
        epoch = get(store, "q").epoch
        own_node.restart()
        with caplog.at_level(logging.WARNING, "semroute.stores"):
            assert get(store, "q").entry is None
        assert f"{own_node.url} came back empty" in caplog.text
        assert "the answers that it held are lost" in caplog.text
        assert "s00" not in caplog.text
        assert store.open() == key
        assert get(store, "q").epoch > epoch
        assert store.put(make_entry("q", epoch=epoch)) is True
        assert queries(search(store)) == ["q"]
        assert store.restarts == 1


def test_a_search_right_after_an_empty_restart_finds_nothing_and_all_goes_on(own_node: RedisNode) -> None:
    with closing(RedisStore(own_node.url, **PATIENT)) as store:
        store.put(make_entry("q"))
        own_node.restart()
        assert list(search(store)) == []
        assert store.put(make_entry("new")) is True
        assert queries(search(store)) == ["new"]


def test_an_index_that_was_dropped_is_made_anew_and_counted(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store()
    store.put(make_entry("q"))
    (name,) = [name for name in raw.execute_command("FT._LIST") if name.startswith(keys_of(store).encode())]
    raw.execute_command("FT.DROPINDEX", name)
    search(store)
    assert store.recreated_indexes == 1
    store.put(make_entry("another"))
    assert "another" in queries(search(store))


def test_another_client_that_made_the_shard_anew_with_another_key_is_noticed(own_node: RedisNode) -> None:
    with closing(RedisStore(own_node.url, **PATIENT)) as old, closing(RedisStore(own_node.url, **PATIENT)) as new:
        old.put(make_entry("q"))
        own_node.restart()
        key = new.open()
        with pytest.raises(StoreError, match="another digest key"):
            get(old, "q")
        old.close()
        assert old.open() == key


def test_a_full_server_makes_room_by_the_stores_own_oldest_entries() -> None:
    with (
        redis_stack(1, "--maxmemory", "12mb", "--maxmemory-policy", "noeviction") as (node,),
        closing(RedisStore(node.url, timeout_s=20.0, clock=count(int(NOW)).__next__)) as store,
    ):
        stored = [store.put(make_entry(f"q{number}", answer=Answer("x" * 20_000))) for number in range(600)]
        assert all(stored)
        assert get(store, "q599").entry is not None
        assert get(store, "q0").entry is None
        assert 50 < store.size().entries < 600


def test_a_server_filled_by_others_is_an_error_and_lookups_and_deletions_go_on() -> None:
    with (
        redis_stack() as (node,),
        closing(RedisStore(node.url, **PATIENT)) as store,
        redis.Redis(port=node.port) as client,
    ):
        store.put(make_entry("q", labels=frozenset({"x"})))
        client.config_set("maxmemory", "1mb")
        assert get(store, "q").entry is not None
        assert store.delete(Selector(frozenset({"x"}))) == 1
        with pytest.raises(StoreError, match="maxmemory"):
            store.put(make_entry("p"))
        assert get(store, "p").entry is None


def test_under_a_volatile_policy_entries_go_and_metadata_stay() -> None:
    with (
        redis_stack(1, "--maxmemory", "12mb", "--maxmemory-policy", "volatile-lru") as (node,),
        closing(RedisStore(node.url, **PATIENT)) as store,
    ):
        key = store.open()
        store.delete(Selector(frozenset({"x"})))
        for number in range(1500):
            assert store.put(make_entry(f"q{number}", answer=Answer("x" * 10_000))) is True
        assert store.put(make_entry("late", labels=frozenset({"x"}), epoch=0)) is False
        assert (store.open(), store.restarts) == (key, 0)
        assert store.size().entries < 1500


def test_a_policy_that_may_evict_metadata_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with (
        redis_stack(1, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as (node,),
        closing(RedisStore(node.url, **PATIENT)) as store,
    ):
        with caplog.at_level(logging.WARNING, "semroute.stores"):
            store.open()
        assert "volatile-lru" in caplog.text


def test_nothing_of_before_is_served_when_the_metadata_were_evicted(make_store: MakeStore, raw: redis.Redis) -> None:
    store = make_store()
    entry = make_entry("q")
    store.put(entry)
    store.put(make_alias("alias", entry))
    raw.delete(f"{keys_of(store)}meta")
    assert get(store, "q").entry is None
    assert get(store, "alias").entry is None
    store.put(make_entry("new"))
    assert queries(search(store)) == ["new"]


@pytest.mark.parametrize("clients", [12])
def test_of_many_clients_that_make_the_index_at_once_none_fails(make_store: MakeStore, clients: int) -> None:
    stores = [make_store() for _ in range(clients)]

    def work(number: int) -> bool:
        return stores[number].put(make_entry(f"q{number}", similarity=0.99 - number / 100))

    with ThreadPoolExecutor(clients) as threads:
        assert all(threads.map(work, range(clients)))
    assert queries(search(stores[0], k=clients)) == [f"q{number}" for number in range(clients)]
    assert {store.open() for store in stores} == {stores[0].open()}
    assert sum(store.restarts + store.recreated_indexes for store in stores) == 0


def test_of_two_embedders_that_come_at_once_one_is_refused(make_store: MakeStore) -> None:
    stores = [make_store(), make_store()]

    def work(number: int) -> str:
        try:
            stores[number].put(make_entry(f"q{number}", embedder=f"embedder {number}"))
        except ConfigError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(2) as threads:
        refused = [said for said in threads.map(work, range(2)) if said]
    assert len(refused) == 1
    assert "invalidate --all" in refused[0]


async def test_more_lookups_than_connections_wait_and_then_are_errors_that_say_so(own_node: RedisNode) -> None:
    store = RedisStore(own_node.url, pool_size=2, pool_wait_s=0.1, clock=lambda: NOW, timeout_s=20.0)
    await store.aput(make_entry("q"))
    found = await asyncio.gather(*(store.aget(make_address("q"), now=NOW) for _ in range(64)))
    assert all(one.entry is not None for one in found)
    own_node.stop()
    asked = [asyncio.create_task(store.aget(make_address("q"), now=NOW)) for _ in range(6)]
    first_done = asyncio.as_completed(asked)
    for _ in range(4):
        with pytest.raises(StoreError, match="pool_size"):
            await next(first_done)
    own_node.resume()
    served = await asyncio.gather(*(task for task in asked if not task.done()))
    assert [one.entry is not None for one in served] == [True, True]
    await store.aclose()


def test_a_cache_goes_on_without_its_server(own_node: RedisNode) -> None:
    with SemanticCache(f"{own_node.url}?shard=cache", embedder=HashEmbedder(), embed_deadline_s=60.0) as cache:
        cache.update("What is a ring?", "a ring")
        assert cache.lookup("What is a ring?").tier == "l1"
        own_node.kill()
        found = cache.lookup("What is a ring?")
        assert isinstance(found, Miss)
        assert "cannot be reached" in found.explanation.reason
