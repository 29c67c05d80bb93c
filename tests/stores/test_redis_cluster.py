"""The store in a real Redis Cluster of three nodes: conformance, what a moved slot and a lost node cost, settings."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest
import redis

from semroute.entry import Entry, Selector
from semroute.errors import ConfigError, StoreError
from semroute.stores import Lease, Store
from semroute.stores._redis.slots import slot_of, spread_names
from semroute.stores.redis import RedisStore
from semroute.stores.redis_cluster import LogicalShard, RedisClusterStore
from semroute.stores.urls import open_store
from semroute.testing.entries import EMBEDDER, NOW, make_address, make_entry, make_vector
from semroute.testing.redis_stack import RedisNode, redis_cluster
from semroute.testing.store_suite import EpochsSuite, LeaseSuite, NearbySuite, SharedStoreSuite, StoreSuite

MakeStore = Callable[..., RedisClusterStore]
PATIENT: dict[str, Any] = {
    "clock": lambda: NOW, "timeout_s": 20.0, "connect_timeout_s": 20.0, "pool_wait_s": 20.0, "deadline_s": 60.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[RedisNode]]:
    """A cluster that the tests of this file share, each under names of its own; none may stop it or change it."""
    with redis_cluster(3) as nodes:
        yield nodes


@pytest.fixture
def own_nodes() -> Iterator[list[RedisNode]]:
    """A cluster of this test's own, to be treated badly."""
    with redis_cluster(3) as nodes:
        yield nodes


def url_of(nodes: list[RedisNode], name: str) -> str:
    return f"redis+cluster://127.0.0.1:{nodes[0].port}?shard={name}"


@pytest.fixture
def make_store(nodes: list[RedisNode], new_shard: Callable[[], str]) -> Iterator[MakeStore]:
    made: list[RedisClusterStore] = []
    name = new_shard()

    def make(**options: Any) -> RedisClusterStore:
        made.append(RedisClusterStore(url_of(nodes, name), **{"shards": 6, **PATIENT, **options}))
        return made[-1]

    yield make
    for store in made:
        store.close()


class TestInACluster(StoreSuite, SharedStoreSuite, LeaseSuite, NearbySuite):
    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    @pytest.fixture
    def another_store(self, make_store: MakeStore) -> MakeStore:
        return make_store

    @pytest.fixture
    def lender(self, make_store: MakeStore) -> Lease:
        return make_store()


class TestALogicalShard(EpochsSuite, LeaseSuite):
    @pytest.fixture
    def make_shard(self, nodes: list[RedisNode], new_shard: Callable[[], str]) -> Iterator[Callable[[], LogicalShard]]:
        made: list[RedisClusterStore] = []

        def make() -> LogicalShard:
            made.append(RedisClusterStore(url_of(nodes, new_shard()), shards=1, **PATIENT))
            (shard,) = made[-1].stores.values()
            assert isinstance(shard, LogicalShard)
            return shard

        yield make
        for store in made:
            store.close()

    @pytest.fixture
    def lender(self, make_shard: Callable[[], LogicalShard]) -> Lease:
        return make_shard()


def entry_of(prompt: str, query: str = "q", **fields: Any) -> Entry:
    return make_entry(query, address=make_address(query, partition=prompt, shard=prompt), **fields)


def finds(store: Store, prompt: str) -> bool:
    """Whether the semantic tier finds the one entry of a prompt."""
    address = make_address("asked", partition=prompt, shard=prompt)
    return bool(store.search(address, make_vector(), embedder=EMBEDDER, k=5, now=NOW))


PROMPTS = [f"prompt {number}" for number in range(60)]


def filled(store: RedisClusterStore) -> None:
    for prompt in PROMPTS:
        assert store.put(entry_of(prompt)) is True


def client_of(node: RedisNode) -> redis.Redis:
    return redis.Redis(port=node.port)


def test_the_slots_of_logical_shards_are_spread_evenly_and_stay_the_same() -> None:
    names = spread_names("s", 64)
    assert names == spread_names("s", 64)
    assert [slot_of(name) // 256 for name in names] == list(range(64))
    assert names[:2] == ["s00.31", "s01.18"]


def test_sixty_four_shards_lie_on_all_nodes_and_each_entry_is_found_again(make_store: MakeStore) -> None:
    store = make_store(shards=64)
    filled(store)
    places = [store.node_of(name) for name in store.stores]
    assert all(20 <= places.count(place) <= 23 for place in set(places))
    assert len(set(places)) == 3
    assert all(finds(store, prompt) for prompt in PROMPTS)
    assert store.size().entries == len(PROMPTS)
    assert sorted(entry.query for entry in store.scan()) == ["q"] * len(PROMPTS)
    assert store.delete(Selector()) == len(PROMPTS)
    assert store.size().entries == 0


def test_everything_of_a_logical_shard_has_its_hash_tag(make_store: MakeStore, nodes: list[RedisNode]) -> None:
    store = make_store()
    filled(store)
    tags = {f"{{{name}}}" for name in store.stores}
    prefix = next(iter(store.stores)).rpartition("-")[0]
    for node in nodes:
        with client_of(node) as raw:
            keys = [key.decode() for key in raw.scan_iter(match=f"semroute:*{prefix}-*", count=1000)]
            indexes = [name.decode() for name in raw.execute_command("FT._LIST") if prefix.encode() in name]
        assert keys
        assert indexes
        assert {name.split(":")[1] for name in keys + indexes} <= tags


def eventually(holds: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait until something holds; a store that is away for the moment does not yet."""
    ends_at = time.monotonic() + within_s
    while True:
        with suppress(StoreError):
            if holds():
                return
        assert time.monotonic() < ends_at
        threading.Event().wait(0.02)


def has_passed_on(node: RedisNode) -> bool:
    """Say whether the replica of a node has all that the node has."""
    with client_of(node) as raw:
        told = raw.info("replication")
    return told["role"] != "master" or told.get("slave0", {}).get("offset") == told["master_repl_offset"]


def moved(source: RedisNode, target: RedisNode, slot: int, *, only: str | None = None) -> None:
    """Move a slot from one node to another as redis-cli does; or only the keys that hold `only`, and nobody is told."""
    with client_of(source) as old, client_of(target) as new:
        ids = {node: raw.execute_command("CLUSTER MYID").decode() for node, raw in ((source, old), (target, new))}
        new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
        old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
        while keys := old.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            going = [key for key in keys if only is None or only in key]
            old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *going)
            if only is not None:
                return
        for raw in (new, old):
            raw.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[target])


def owner(nodes: list[RedisNode], store: RedisClusterStore, shard: str) -> RedisNode:
    return next(node for node in nodes if store.node_of(shard) == f"127.0.0.1:{node.port}")


def prompt_of(store: RedisClusterStore, shard: str) -> str:
    from semroute.testing.entries import digest

    return next(prompt for prompt in PROMPTS if store.ring.replicas(digest(prompt), 1) == (shard,))


@pytest.mark.parametrize("face", ["sync", "async"])
def test_after_its_slot_has_moved_a_shard_is_whole_and_its_index_is_made_anew(
    own_nodes: list[RedisNode], face: str
) -> None:
    with closing(RedisClusterStore(url_of(own_nodes, "x"), shards=6, **PATIENT)) as store:
        filled(store)
        shard = next(iter(store.stores))
        prompt, source = prompt_of(store, shard), owner(own_nodes, store, shard)
        target = next(node for node in own_nodes if node is not source)
        moved(source, target, slot_of(shard))
        address = make_address("asked", partition=prompt, shard=prompt)

        def is_found() -> bool:  # soon: the server takes in behind our back what is there already
            if face == "sync":
                return bool(store.search(address, make_vector(), embedder=EMBEDDER, k=5, now=NOW))
            return bool(asyncio.run(store.asearch(address, make_vector(), embedder=EMBEDDER, k=5, now=NOW)))

        eventually(is_found)
        assert store.recreated_indexes == 1
        assert owner(own_nodes, store, shard) is target
        for other in PROMPTS:
            assert finds(store, other)
            assert store.get(entry_of(other).address, now=NOW).entry is not None
        assert store.put(entry_of(prompt, "new", similarity=0.5)) is True
        assert all(health.failures == 0 for health in store.health())


@pytest.mark.parametrize("gone_ahead", [":meta", ":e:"])
def test_while_a_slot_is_on_its_way_its_shard_misses_and_an_invalidation_is_not_lost(
    own_nodes: list[RedisNode], gone_ahead: str
) -> None:
    with closing(RedisClusterStore(url_of(own_nodes, "x"), shards=6, **PATIENT)) as store:
        filled(store)
        shard = next(iter(store.stores))
        prompt, source = prompt_of(store, shard), owner(own_nodes, store, shard)
        target = next(node for node in own_nodes if node is not source)
        moved(source, target, slot_of(shard), only=gone_ahead)
        others = [other for other in PROMPTS if store.ring.replicas(entry_of(other).address.shard, 1) != (shard,)]
        assert all(store.get(entry_of(other).address, now=NOW).entry is not None for other in others)
        assert store.get(entry_of(prompt).address, now=NOW).entry is None
        store.delete(Selector())
        moved(source, target, slot_of(shard))
    with closing(RedisClusterStore(url_of(own_nodes, "x"), shards=6, **PATIENT)) as store:
        for other in PROMPTS:
            # A search may still name what was on its way; nothing of it can be fetched, and so served, any more.
            assert store.get(entry_of(other).address, now=NOW).entry is None


def test_a_lost_node_costs_its_slots_only_until_it_is_back(own_nodes: list[RedisNode]) -> None:
    impatient = {**PATIENT, "timeout_s": 2.0, "connect_timeout_s": 2.0, "cooldown_s": 0.0}
    with closing(RedisClusterStore(url_of(own_nodes, "x"), shards=12, **impatient)) as store:
        filled(store)
        lost = own_nodes[0]  # the one that the URL names
        on_it = {name for name in store.stores if owner(own_nodes, store, name) is lost}
        lost.kill()
        for _ in range(4):
            for prompt in PROMPTS:
                entry = entry_of(prompt)
                if store.ring.replicas(entry.address.shard, 1)[0] in on_it:
                    with pytest.raises(StoreError):
                        store.get(entry.address, now=NOW)
                else:
                    assert store.get(entry.address, now=NOW).entry is not None
                    assert finds(store, prompt)
        lost.restart()
        eventually(lambda: all(store.put(entry_of(prompt)) for prompt in PROMPTS))
        assert all(finds(store, prompt) for prompt in PROMPTS)
        assert store.restarts == len(on_it)


def test_when_a_master_is_lost_its_replica_takes_over_with_all_it_held() -> None:
    with redis_cluster(3, replicas=1) as nodes:
        impatient = {**PATIENT, "timeout_s": 2.0, "connect_timeout_s": 2.0, "cooldown_s": 0.0}
        with closing(RedisClusterStore(url_of(nodes, "x"), shards=6, **impatient)) as store:
            filled(store)
            eventually(lambda: all(map(has_passed_on, nodes)))
            lost = owner(nodes, store, next(iter(store.stores)))
            lost.kill()
            eventually(
                lambda: all(store.get(entry_of(prompt).address, now=NOW).entry is not None for prompt in PROMPTS)
            )
            eventually(lambda: all(finds(store, prompt) for prompt in PROMPTS))
            assert store.restarts == 0


async def test_the_asynchronous_face_reaches_every_node(make_store: MakeStore) -> None:
    store = make_store(shards=12)
    await store.aopen()
    for prompt in PROMPTS:
        assert await store.aput(entry_of(prompt)) is True
    found = await asyncio.gather(*(store.aget(entry_of(prompt).address, now=NOW) for prompt in PROMPTS))
    assert all(one.entry is not None for one in found)
    assert (await store.asize()).entries == len(PROMPTS)
    await store.aclose()


def test_a_new_store_may_be_opened_by_many_threads_and_clients_at_once(make_store: MakeStore) -> None:
    stores = [make_store(shards=24) for _ in range(3)]
    with ThreadPoolExecutor(9) as pool:
        assert len(set(pool.map(lambda store: store.open(), stores * 3))) == 1


def test_clients_that_disagree_about_the_number_of_shards_are_refused(make_store: MakeStore) -> None:
    make_store(shards=6).open()
    with pytest.raises(ConfigError, match="give shards=6"):
        make_store(shards=7).open()
    with pytest.raises(ConfigError, match="give shards=6"):
        asyncio.run(make_store(shards=7).aopen())


def test_a_plain_server_is_no_cluster_and_a_node_of_a_cluster_no_plain_server(
    nodes: list[RedisNode], redis_node: RedisNode
) -> None:
    with (
        closing(RedisClusterStore(f"redis+cluster://127.0.0.1:{redis_node.port}", **PATIENT)) as store,
        pytest.raises(ConfigError, match="is no Redis Cluster"),
    ):
        store.open()
    shard = next(name for name in spread_names("plain", 3) if slot_of(name) > 2 * 16384 // 3)
    with (
        closing(RedisStore(nodes[0].url, shard=shard, timeout_s=20.0)) as plain,
        pytest.raises(ConfigError, match=r"redis\+cluster://"),
    ):
        plain.open()


def test_a_cluster_that_nobody_answers_for_says_so(free_port: Callable[[], int]) -> None:
    with (
        closing(RedisClusterStore(f"redis+cluster://127.0.0.1:{free_port()}", shards=3)) as store,
        pytest.raises(StoreError, match="cannot be reached"),
    ):
        store.open()


@pytest.mark.parametrize("url", ["redis+cluster://h", "redis://h?cluster=true", "rediss+cluster://a:1,b:2?shard=x"])
def test_the_url_of_a_cluster_opens_it(url: str) -> None:
    store = open_store(url, max_entries=10, max_bytes=1000, clock=lambda: 0.0)
    assert isinstance(store, RedisClusterStore)
    assert len(store.stores) == 64
    store.close()


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("redis://h", {}, "names no cluster"),
        ("redis+cluster://h", {"shards": 0}, "shards=0"),
        ("redis+cluster://h/1", {}, "database '1'"),
        ("redis://h?cluster=perhaps", {}, "true or false"),
        ("redis+sentinel://h/m?cluster=true", {}, "sentinels"),
        ("redis+cluster://h", {"dtype": "float64"}, "dtype"),
    ],
)
def test_a_slip_is_named(url: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        RedisClusterStore(url, **options)


def test_one_shard_of_a_cluster_is_no_store() -> None:
    with pytest.raises(ConfigError, match="RedisClusterStore"):
        RedisStore("redis+cluster://h")
