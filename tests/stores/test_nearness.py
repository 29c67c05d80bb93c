"""The search over all partitions: its edges, what damage does to it, and what it must not read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import redis

from semroute.entry import Address
from semroute.errors import StoreError
from semroute.stores import Store
from semroute.stores._nearness import Nearness
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.redis import RedisStore
from semroute.testing.entries import EMBEDDER, NOW, make_address, make_entry, make_vector
from semroute.testing.store_suite import get

from .redis_shards import MakeStore, keys_of

if TYPE_CHECKING:
    from semroute.entry import FloatVector
    from semroute.stores.capabilities import FloatMatrix

LABELS = frozenset({"x"})
ASKED = make_vector()[np.newaxis]


def similarities(store: EmbeddedStore | RedisStore, vectors: FloatMatrix = ASKED) -> dict[str, float]:
    """Return what is near, by its address, with its similarity."""
    found = store.nearby(vectors, labels=LABELS, embedder=EMBEDDER, at_least=0.9, now=NOW)
    return {near.id: near.similarity for near in found}


def fill(store: Store) -> None:
    store.put(make_entry("q", labels=LABELS, similarity=0.1))
    store.put(make_entry("near", labels=LABELS))


def address(query: str) -> str:
    return make_address(query).exact


class TestComparing:
    def test_what_is_exactly_so_similar_is_near(self) -> None:
        wanted = Nearness(ASKED, 0.9)
        page: list[tuple[Address, FloatVector | None]] = [
            (make_address(f"{similarity}"), make_vector(similarity)) for similarity in (0.9, 0.8999, 0.5)
        ]
        assert [near.address for near in wanted.among(page)] == [make_address("0.9")]

    @pytest.mark.parametrize("vector", [None, make_vector(0.1, dimensions=9), np.full(8, np.nan, np.float32)])
    def test_what_cannot_be_compared_is_near(self, vector: FloatVector | None) -> None:
        (near,) = Nearness(ASKED, 0.9).among([(make_address("q"), vector)])
        assert (near.address, near.id, near.similarity) == (make_address("q"), address("q"), 1.0)

    def test_vectors_of_double_precision_will_do(self) -> None:
        assert Nearness(ASKED.astype(np.float64), 0.9).among([(make_address("q"), make_vector())])

    def test_a_single_vector_is_refused_with_the_shape_it_must_have(self) -> None:
        with pytest.raises(StoreError, match=r"shape \(n, dimensions\)"):
            Nearness(make_vector(), 0.9)


class TestInAFile:
    @pytest.mark.parametrize("damage", ["x'0102'", "'text'", "zeroblob(32) || x'00'", "x'" + "ff" * 32 + "'"])
    def test_a_damaged_vector_counts_as_near_for_its_answer_is_still_served(self, tmp_path: Path, damage: str) -> None:
        store = EmbeddedStore(tmp_path / "answers.db", clock=lambda: NOW)
        fill(store)
        store.close()
        connection = sqlite3.connect(tmp_path / "answers.db")
        connection.execute(f"UPDATE bodies SET vector = {damage} WHERE row = 1")
        connection.commit()
        connection.close()
        assert get(store, "q").entry is not None
        assert similarities(store) == {address("q"): 1.0, address("near"): 1.0}
        store.close()

    def test_a_damaged_answer_keeps_nothing_from_being_found(self, tmp_path: Path) -> None:
        store = EmbeddedStore(tmp_path / "answers.db", clock=lambda: NOW)
        fill(store)
        store.close()
        connection = sqlite3.connect(tmp_path / "answers.db")
        connection.execute("UPDATE bodies SET answer = x'ff', query = x'ff'")
        connection.commit()
        connection.close()
        assert set(similarities(store)) == {address("near")}
        store.close()


class TestInRedis:
    def test_a_damaged_vector_counts_as_near_for_its_answer_is_still_served(
        self, make_store: MakeStore, raw: redis.Redis
    ) -> None:
        store = make_store()
        fill(store)
        raw.hset(f"{keys_of(store)}e:{address('q')}", "v", b"\x01\x02")
        assert get(store, "q").entry is not None
        assert similarities(store) == {address("q"): 1.0, address("near"): 1.0}

    @pytest.mark.parametrize(("field", "value"), [("d", "not json"), ("d", "[]\n"), ("x", "soon"), ("g", "hand made")])
    def test_what_no_read_would_serve_is_not_found(
        self, make_store: MakeStore, raw: redis.Redis, field: str, value: str
    ) -> None:
        store = make_store()
        fill(store)
        raw.hset(f"{keys_of(store)}e:{address('near')}", field, value)
        assert get(store, "near").entry is None
        assert similarities(store) == {}

    def test_what_redis_has_let_go_by_itself_is_not_found(self, make_store: MakeStore, raw: redis.Redis) -> None:
        store = make_store()
        fill(store)
        raw.delete(f"{keys_of(store)}e:{address('near')}")
        assert similarities(store) == {}

    def test_the_rarest_of_the_labels_is_gone_through(self, make_store: MakeStore, raw: redis.Redis) -> None:
        store = make_store()
        for number in range(1000):
            store.put(make_entry(f"of the tenant {number}", labels=frozenset({"a tenant"})))
        store.put(make_entry("q", labels=frozenset({"a tenant", "x"})))
        store.open()
        before = int(raw.info("commandstats")["cmdstat_evalsha"]["calls"])
        labels = frozenset({"a tenant", "x"})
        (near,) = store.nearby(ASKED, labels=labels, embedder=EMBEDDER, at_least=0.9, now=NOW)
        assert near.id == address("q")
        assert int(raw.info("commandstats")["cmdstat_evalsha"]["calls"]) - before <= 2
