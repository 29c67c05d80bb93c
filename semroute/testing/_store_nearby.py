"""The conformance suite of stores: the search by meaning over all partitions at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from semroute.entry import Address, Selector
from semroute.errors import ConfigError, StoreError
from semroute.stores import Nearby
from semroute.testing._store_probes import EmptyStore
from semroute.testing.entries import DIMENSIONS, EMBEDDER, NOW, digest, make_alias, make_entry, make_vector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semroute.entry import Entry
    from semroute.stores import Near, Store
    from semroute.stores.capabilities import FloatMatrix

CORPUS, TENANT = frozenset({"corpus"}), frozenset({"tenant"})


class NearbySuite(EmptyStore):
    """The capability Nearby: which answers may a new document change?"""

    def test_it_can_be_searched_over_all_partitions(self, store: Store) -> None:
        assert isinstance(store, Nearby)

    def test_an_empty_store_has_nothing_near(self, store: Store) -> None:
        assert nearby(store) == []

    def test_what_is_at_least_so_similar_is_found_and_nothing_else(self, store: Store) -> None:
        for similarity in (1.0, 0.95, 0.9, 0.85, 0.0):
            store.put(in_corpus(f"at {similarity}", similarity=similarity))
        found = {near.id: near.similarity for near in nearby(store, at_least=0.899)}
        expected = {in_corpus(f"at {similarity}").id: similarity for similarity in (1.0, 0.95, 0.9)}
        assert found == pytest.approx(expected, abs=1e-3)

    def test_all_partitions_and_prompts_are_searched(self, store: Store) -> None:
        entries = [in_corpus(f"q{number}", address=address_in(number)) for number in range(12)]
        for entry in entries:
            store.put(entry)
        assert {near.address for near in nearby(store)} == {entry.address for entry in entries}

    def test_all_are_found_and_each_once_however_many_there_are(self, store: Store) -> None:
        entries = [in_corpus(f"q{number}", address=address_in(number)) for number in range(450)]
        for entry in entries:
            store.put(entry)
        for number in range(50):
            store.put(in_corpus(f"far {number}", similarity=0.1))
        found = [near.id for near in nearby(store, at_least=0.8)]
        assert len(found) == 450
        assert set(found) == {entry.id for entry in entries}

    def test_one_of_very_many_vectors_is_enough(self, store: Store) -> None:
        others = np.tile(make_vector(0.0, axis=3), (5000, 1))
        for axis in (1, 2):
            store.put(in_corpus(f"leans to {axis}", vector=make_vector(0.0, axis=axis)))
        for place in (0, 2047, 2048, 4999):
            vectors = others.copy()
            vectors[place] = make_vector(0.0, axis=2)
            assert ids(nearby(store, vectors, at_least=0.9)) == {in_corpus("leans to 2").id}, place
        assert ids(nearby(store, others, at_least=0.9)) == set()

    def test_the_similarity_is_the_greatest_to_any_of_them(self, store: Store) -> None:
        store.put(in_corpus("q"))
        vectors = np.stack([make_vector(similarity) for similarity in (0.3, 0.8, 0.5)])
        (near,) = nearby(store, vectors, at_least=0.1)
        assert near.similarity == pytest.approx(0.8, abs=1e-3)

    def test_the_similarity_stays_between_zero_and_one(self, store: Store) -> None:
        store.put(in_corpus("same", vector=make_vector() * np.float32(1.0001)))
        store.put(in_corpus("opposite", vector=-make_vector()))
        assert sorted(near.similarity for near in nearby(store, at_least=0.0)) == [0.0, 1.0]

    def test_only_what_carries_all_the_labels_is_found(self, store: Store) -> None:
        store.put(in_corpus("both", labels=CORPUS | TENANT | {"more"}))
        store.put(in_corpus("corpus"))
        store.put(in_corpus("tenant", labels=TENANT))
        store.put(in_corpus("none", labels=frozenset()))
        for labels, queries in (
            (CORPUS | TENANT, {"both"}),
            (CORPUS, {"both", "corpus"}),
            (frozenset({"unknown"}), set()),
            (CORPUS | {"unknown"}, set()),
            (frozenset(), {"both", "corpus", "tenant", "none"}),
        ):
            assert ids(nearby(store, labels=labels)) == {in_corpus(query).id for query in queries}, labels

    def test_what_only_the_exact_tier_serves_counts_as_near(self, store: Store) -> None:
        exact_only = in_corpus("exact only", vector=None)
        store.put(exact_only)
        assert [(near.address, near.similarity) for near in nearby(store)] == [(exact_only.address, 1.0)]
        store.put(in_corpus("far", similarity=0.1))
        assert ids(nearby(store)) == {exact_only.id}

    def test_expired_and_invalidated_entries_are_not_found(self, store: Store) -> None:
        store.put(in_corpus("expired", expires_at=NOW + 10))
        store.put(in_corpus("removed", labels=CORPUS | {"x"}))
        store.put(in_corpus("left"))
        store.delete(Selector(frozenset({"x"})))
        assert ids(nearby(store, now=NOW + 10)) == {in_corpus("left").id}

    def test_aliases_are_not_found_for_they_go_with_their_entries(self, store: Store) -> None:
        entry = in_corpus("q")
        store.put(entry)
        store.put(make_alias("alias", entry))
        assert ids(nearby(store)) == {entry.id}

    def test_a_replaced_entry_is_found_as_it_is_now(self, store: Store) -> None:
        store.put(in_corpus("q", similarity=0.1))
        store.put(in_corpus("q"))
        store.put(in_corpus("p"))
        store.put(in_corpus("p", similarity=0.1))
        assert ids(nearby(store)) == {in_corpus("q").id}

    def test_vectors_of_another_embedder_are_refused(self, store: Store) -> None:
        store.put(in_corpus("q"))
        with pytest.raises(ConfigError, match="invalidate --all"):
            nearby(store, embedder="another")
        with pytest.raises(ConfigError, match="dimensions"):
            nearby(store, np.ones((1, DIMENSIONS + 1), np.float32))

    def test_without_vectors_nothing_is_near(self, store: Store) -> None:
        store.put(in_corpus("q"))
        store.put(in_corpus("exact only", vector=None))
        assert nearby(store, np.empty((0, DIMENSIONS), np.float32)) == []

    @pytest.mark.parametrize(
        "vectors", [make_vector(), np.full((2, DIMENSIONS), np.nan, np.float32), np.empty((1, 0), np.float32)]
    )
    def test_vectors_that_cannot_be_compared_are_refused(self, store: Store, vectors: FloatMatrix) -> None:
        with pytest.raises(StoreError, match="vectors must be"):
            nearby(store, vectors)

    async def test_the_asynchronous_face_agrees_with_its_twin(self, store: Store) -> None:
        assert isinstance(store, Nearby)
        for number in range(250):
            await store.aput(in_corpus(f"q{number}", address=address_in(number), similarity=number / 250))
        vectors = make_vector()[np.newaxis]
        found = await store.anearby(vectors, labels=CORPUS, embedder=EMBEDDER, at_least=0.5, now=NOW)
        assert ids(found) == ids(nearby(store, at_least=0.5))
        assert len(found) == 125
        with pytest.raises(ConfigError, match="invalidate --all"):
            await store.anearby(vectors, labels=CORPUS, embedder="another", at_least=0.5, now=NOW)


def in_corpus(query: str, **fields: Any) -> Entry:
    """Return an entry that carries the label of the corpus, unless others are given."""
    return make_entry(query, **{"labels": CORPUS, **fields})


def address_in(number: int) -> Address:
    """Return an address in one of several partitions, under one of several system prompts."""
    return Address(digest(f"shard {number % 5}"), digest(f"partition {number % 7}"), digest(f"exact {number}"))


def ids(found: Sequence[Near]) -> set[str]:
    return {near.id for near in found}


def nearby(
    store: Store,
    vectors: FloatMatrix | None = None,
    *,
    labels: frozenset[str] = CORPUS,
    embedder: str = EMBEDDER,
    at_least: float = 0.8,
    now: float = NOW,
) -> list[Near]:
    assert isinstance(store, Nearby)
    wanted = make_vector()[np.newaxis] if vectors is None else vectors
    return list(store.nearby(wanted, labels=labels, embedder=embedder, at_least=at_least, now=now))
