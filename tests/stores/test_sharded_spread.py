"""What several shards answer together: scans, sizes, and the searches of a prompt that is spread over them."""

from __future__ import annotations

import pytest

from semroute.errors import StoreError
from semroute.stores.sharded import ShardedStore
from semroute.testing.entries import digest, make_alias
from semroute.testing.store_suite import queries

from .fleets import PROMPTS, Cluster, Face, address_of, entry_of


class TestScan:
    async def test_every_entry_comes_once_however_many_copies_there_are(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=3)
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt))
        scanned = [entry.id async for entry in face.scan(store)]
        assert len(scanned) == len(set(scanned)) == len(PROMPTS)

    async def test_with_a_replica_of_everything_a_dead_shard_is_not_missed(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt))
        cluster.kill("s1")
        assert len([entry async for entry in face.scan(store)]) == len(PROMPTS)

    async def test_without_one_it_is_an_error_at_the_end(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt))
        cluster.kill("s1")
        scanned = []

        async def scan() -> None:
            async for entry in face.scan(store):
                scanned.append(entry)

        with pytest.raises(StoreError, match="entries are missing from this scan: s1: "):
            await scan()
        assert 0 < len(scanned) < len(PROMPTS)

    async def test_a_shard_that_dies_meanwhile_is_counted_too(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        await face.put(store, entry_of("p"))
        cluster.connections["s1"].failing = frozenset({"scan"})
        with pytest.raises(StoreError, match="s1: scan: it is broken"):
            [entry async for entry in face.scan(store)]


class TestSubShards:
    async def test_a_hot_prompt_is_spread_over_different_shards_and_searched_as_one(
        self, cluster: Cluster, face: Face
    ) -> None:
        store = cluster.client(sub_shards={digest("hot"): 3})
        entries = [entry_of("hot", f"q{number}", similarity=0.99 - number / 50) for number in range(30)]
        for entry in entries:
            await face.put(store, entry)
        held = {name: len(list(server.store.scan())) for name, server in cluster.servers.items()}
        assert sum(held.values()) == 30
        assert min(held.values()) >= 4
        assert queries(await face.search(store, "hot", k=6)) == [f"q{number}" for number in range(6)]
        for entry in entries:
            assert (await face.get(store, "hot", entry.query)).entry is not None
            alias = make_alias(f"alias of {entry.query}", entry, address=address_of("hot", f"alias of {entry.query}"))
            assert await face.put(store, alias) is True
            assert (await face.get(store, "hot", alias.query)).alias == alias

    async def test_a_dead_shard_costs_a_hot_prompt_its_part_and_no_error(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(sub_shards={digest("hot"): 3})
        for number in range(30):
            await face.put(store, entry_of("hot", f"q{number}"))
        lost = len(list(cluster.servers["s1"].store.scan()))
        cluster.kill("s1")
        hits = [(await face.get(store, "hot", f"q{number}")).entry is not None for number in range(30)]
        assert hits.count(False) == lost
        assert len(await face.search(store, "hot", k=100)) == 30 - lost

    async def test_what_was_stored_before_a_prompt_was_spread_is_found(self, cluster: Cluster, face: Face) -> None:
        before = cluster.client()
        for number in range(20):
            await face.put(before, entry_of("hot", f"q{number}"))
        after = cluster.client(sub_shards={digest("hot"): 3})
        assert len(await face.search(after, "hot", k=100)) == 20
        for number in range(20):
            assert (await face.get(after, "hot", f"q{number}")).entry is not None


class TestSize:
    async def test_copies_are_counted_once_and_their_bytes_each_time(self, cluster: Cluster) -> None:
        single, double = Cluster(), cluster
        sizes = []
        for some, replicas in ((single, 1), (double, 2)):
            store = some.client(replicas=replicas)
            with pytest.raises(StoreError, match="cannot say how much it holds"):
                store.size()
            store = ShardedStore({name: server.store for name, server in some.servers.items()}, replicas=replicas)
            for prompt in PROMPTS:
                store.put(entry_of(prompt))
            sizes.append(store.size())
            assert await store.asize() == store.size()
        assert sizes[0].entries == sizes[1].entries == sizes[0].partitions == sizes[1].partitions == len(PROMPTS)
        assert sizes[1].bytes == 2 * sizes[0].bytes
        single.close()
