"""The raw operations that lookups are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semroute.benchmark.raw import RawTable, raw_search
from semroute.benchmark.raw_redis import RawRedis
from semroute.errors import SemrouteError
from semroute.stores.redis import RedisStore
from semroute.testing.entries import make_entry, make_vector
from semroute.testing.redis_stack import redis_stack


@pytest.mark.parametrize("is_file", [True, False])
def test_the_table_gives_back_what_was_put_in(tmp_path: Path, is_file: bool) -> None:
    table = RawTable(tmp_path / "raw.db" if is_file else None)
    table.fill([("a", "first"), ("b", "second")])
    assert (table.get("a"), table.get("b"), table.get("c")) == ("first", "second", None)
    table.close()


def test_the_search_finds_the_largest_products() -> None:
    matrix = np.eye(6, dtype=np.float32)
    vector = np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.7], np.float32)
    assert set(raw_search(matrix, vector, 3).tolist()) == {1, 3, 5}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_on_redis_the_payloads_lie_beside_the_store_and_its_own_index_is_searched(dtype: str) -> None:
    with redis_stack() as (node,):
        store = RedisStore(node.url, dtype=dtype, clock=lambda: 0.0)
        near = make_entry("near", similarity=0.9, created_at=0.0, expires_at=1e9)
        store.put(near)
        store.put(make_entry("far", similarity=0.1, created_at=0.0, expires_at=1e9))
        raw = RawRedis(node.url)
        raw.fill([("a", "first"), ("b", "second")], np.empty((0, 0), np.float32))
        assert (raw.get("a"), raw.get("b"), raw.get("c")) == ("first", "second", None)
        assert near.id in str(raw.search(make_vector(), 1))
        before = store.size()
        raw.close()
        assert RawRedis(node.url).get("a") is None
        assert store.size() == before
        store.close()


def test_a_shard_without_vectors_has_no_index_to_search_in() -> None:
    with redis_stack() as (node,), pytest.raises(SemrouteError, match="no index"):
        RawRedis(node.url).fill([("a", "first")], np.empty((0, 0), np.float32))
