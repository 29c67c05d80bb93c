"""The public suite of stores, run by sharded ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from semroute.stores import Store
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.sharded import ShardedStore
from semroute.testing.entries import NOW, digest, make_alias, make_entry
from semroute.testing.store_suite import NearbySuite, StoreSuite, get, same_entry

from .fleets import SharedFilesSuite


def in_memory(count: int) -> Mapping[str, Store]:
    return {f"s{number}": EmbeddedStore("memory://", clock=lambda: NOW) for number in range(count)}


def in_files(folder: Path, count: int) -> Mapping[str, Store]:
    return {f"s{number}": EmbeddedStore(folder / f"s{number}.db", clock=lambda: NOW) for number in range(count)}


class TestOneShard(StoreSuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = ShardedStore(in_memory(1))
        yield store
        store.close()


class TestOneReplica(StoreSuite, NearbySuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = ShardedStore(in_memory(3))
        yield store
        store.close()


class TestTwoReplicas(StoreSuite, NearbySuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = ShardedStore(in_memory(3), replicas=2)
        yield store
        store.close()


class SpreadStoreSuite(StoreSuite, NearbySuite):
    """What every store must do, where the aliases of a key may lie on several sub-shards: the newest counts."""

    def test_a_second_alias_of_one_key_replaces_the_first(self, store: Store) -> None:
        entries = [make_entry(f"entry {number}") for number in range(8)]
        for number, entry in enumerate(entries):
            store.put(entry)
            store.put(make_alias("paraphrase", entry, policy=f"policy-{number}", created_at=NOW + number))
            found = get(store, "paraphrase")
            assert same_entry(found.entry, entry)
            assert found.alias is not None
            assert found.alias.policy == f"policy-{number}"


class TestSubShards(SpreadStoreSuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = ShardedStore(in_memory(4), sub_shards={digest("shard"): 3})
        yield store
        store.close()


class TestSubShardsWithTwoReplicas(SpreadStoreSuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = ShardedStore(in_memory(3), replicas=2, sub_shards={digest("shard"): 4})
        yield store
        store.close()


class SharedShards(SharedFilesSuite):
    def opened(self, folder: Path, number: int) -> ShardedStore:
        return ShardedStore(in_files(folder, 3), replicas=self.replicas)


class TestFilesWithOneReplica(SharedShards):
    pass


class TestFilesWithTwoReplicas(SharedShards):
    replicas = 2
