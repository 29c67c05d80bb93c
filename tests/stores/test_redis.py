"""The Redis store against a real server: conformance, limits, index, settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from semroute.stores import Lease, Store
from semroute.stores.redis import RedisStore
from semroute.testing.store_suite import EpochsSuite, LeaseSuite, NearbySuite, SharedStoreSuite, StoreSuite

MakeStore = Callable[..., RedisStore]


class TestInRedis(StoreSuite, SharedStoreSuite, EpochsSuite, LeaseSuite, NearbySuite):
    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store()

    @pytest.fixture
    def another_store(self, make_store: MakeStore) -> Callable[[], Store]:
        return make_store

    @pytest.fixture
    def make_shard(self, make_store: MakeStore, new_shard: Callable[[], str]) -> Callable[[], RedisStore]:
        return lambda: make_store(shard=new_shard())

    @pytest.fixture
    def lender(self, make_store: MakeStore) -> Lease:
        return make_store()


class TestWithAGraph(StoreSuite):
    """The index is a graph (HNSW) from the first vector on."""

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store(hnsw_from=0)


class TestAtHalfPrecision(StoreSuite, NearbySuite):
    """Vectors are kept as FLOAT16."""

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        return make_store(dtype="float16")
