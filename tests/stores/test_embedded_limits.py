"""How much an embedded store keeps: on disk, in memory, and of its own records."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from semroute.entry import Answer, Selector
from semroute.errors import StoreError
from semroute.stores.capabilities import Sizing, StoreSize
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.entries import HOUR_S, NOW, make_alias, make_entry
from semroute.testing.store_suite import get, queries, search


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[..., EmbeddedStore]]:
    made: list[EmbeddedStore] = []

    def make(**options: Any) -> EmbeddedStore:
        made.append(EmbeddedStore(tmp_path / "answers.db", clock=Clock(), **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


def kept(store: EmbeddedStore) -> list[str]:
    return sorted(entry.query for entry in store.scan())


def test_the_oldest_entries_go_when_there_are_too_many(make_store: Callable[..., EmbeddedStore]) -> None:
    store = make_store(max_entries=3)
    for number in range(5):
        store.put(make_entry(f"q{number}"))
    assert kept(store) == ["q2", "q3", "q4"]
    assert sorted(queries(search(store))) == ["q2", "q3", "q4"]


def test_an_entry_that_was_used_stays_longer_than_one_that_was_not(make_store: Callable[..., EmbeddedStore]) -> None:
    store = make_store(max_entries=3)
    for number in range(3):
        store.put(make_entry(f"q{number}"))
    get(store, "q0", now=NOW + 100)
    store.put(make_entry("q3"))
    assert kept(store) == ["q0", "q2", "q3"]


def test_a_hit_through_an_alias_counts_as_use_of_the_entry(make_store: Callable[..., EmbeddedStore]) -> None:
    store = make_store(max_entries=2)
    old = make_entry("old")
    store.put(old)
    store.put(make_entry("newer"))
    store.put(make_alias("alias", old))
    get(store, "alias", now=NOW + 100)
    store.put(make_entry("newest"))
    assert kept(store) == ["newest", "old"]


def test_use_is_remembered_across_closing(make_store: Callable[..., EmbeddedStore]) -> None:
    store = make_store(max_entries=2)
    store.put(make_entry("used"))
    store.put(make_entry("unused"))
    get(store, "used", now=NOW + 100)
    store.close()
    make_store(max_entries=2).put(make_entry("new"))
    assert kept(store) == ["new", "used"]


def test_use_is_written_after_a_thousand_hits_even_if_nothing_is_put(make_store: Callable[..., EmbeddedStore]) -> None:
    reader, writer = make_store(max_entries=2), make_store(max_entries=2)
    writer.put(make_entry("used"))
    writer.put(make_entry("unused"))
    for _ in range(1000):
        get(reader, "used", now=NOW + 100)
    reader._worker.close()  # waits for the write
    writer.put(make_entry("new"))
    assert kept(writer) == ["new", "used"]


def test_expired_entries_go_before_any_that_live(make_store: Callable[..., EmbeddedStore]) -> None:
    store = make_store(max_entries=3)
    store.put(make_entry("oldest"))
    store.put(make_entry("expired", expires_at=NOW + 2))
    store.put(make_entry("young"))
    store.put(make_entry("newest"))
    assert kept(store) == ["newest", "oldest", "young"]


def test_bytes_are_limited_too(make_store: Callable[..., EmbeddedStore]) -> None:
    store = make_store(max_bytes=20_000)
    for number in range(30):
        store.put(make_entry(f"q{number}", answer=Answer("x" * 1500)))
        assert store.size().bytes <= 20_000
    assert len(kept(store)) >= 8
    assert "q29" in kept(store)


def test_an_entry_larger_than_the_store_is_refused_and_pushes_nothing_out(
    make_store: Callable[..., EmbeddedStore],
) -> None:
    store = make_store(max_bytes=20_000)
    store.put(make_entry("small"))
    with pytest.raises(StoreError, match="max_bytes=20000"):
        store.put(make_entry("large", answer=Answer("x" * 30_000)))
    assert kept(store) == ["small"]


def test_aliases_are_limited_like_entries_and_the_oldest_go_first(make_store: Callable[..., EmbeddedStore]) -> None:
    store = make_store(max_entries=5)
    entry = make_entry("q")
    store.put(entry)
    for number in range(20):
        store.put(make_alias(f"alias {number}", entry))
    assert store.size().aliases == 5
    assert get(store, "alias 19").entry is not None
    assert get(store, "alias 0").entry is None


def test_size_counts_what_is_there(make_store: Callable[..., EmbeddedStore]) -> None:
    store = make_store()
    assert isinstance(store, Sizing)
    assert store.size() == StoreSize(0, 0, 0, 0)
    entries = [make_entry(f"q{number}", partition=f"p{number % 2}", labels=frozenset({"x"})) for number in range(5)]
    for entry in entries:
        store.put(entry)
        store.put(entry)
    store.put(make_alias("alias", entries[0]))
    size = store.size()
    assert (size.entries, size.aliases, size.partitions) == (5, 1, 2)
    assert 5 * 400 < size.bytes < 5 * 800
    store.delete(Selector(frozenset({"x"})))
    assert store.size() == StoreSize(0, 0, 0, 0)


def test_nothing_of_a_removed_entry_is_left_in_any_table(
    make_store: Callable[..., EmbeddedStore], tmp_path: Path
) -> None:
    store = make_store()
    for number in range(3):
        entry = make_entry(f"q{number}", labels=frozenset({"x", f"l{number}"}))
        store.put(entry)
        store.put(entry)
        store.put(make_alias(f"alias {number}", entry))
    store.delete(Selector(frozenset({"l0"})))
    store.close()
    connection = sqlite3.connect(tmp_path / "answers.db")
    left = {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("entries", "bodies", "aliases", "labels")
    }
    connection.close()
    assert left == {"entries": 2, "bodies": 2, "aliases": 2, "labels": 4}


async def test_size_has_an_asynchronous_twin(make_store: Callable[..., EmbeddedStore]) -> None:
    store = make_store()
    await store.aput(make_entry("q"))
    assert await store.asize() == store.size()


def test_matrices_of_many_partitions_are_bounded_and_come_back_when_needed(
    make_store: Callable[..., EmbeddedStore],
) -> None:
    store = make_store(max_matrix_bytes=5_000)
    for number in range(50):
        store.put(make_entry(f"q{number}", partition=f"p{number}"))
        assert queries(search(store, partition=f"p{number}")) == [f"q{number}"]
        assert store._vectors._matrices.size_bytes <= 5_000
    assert 1 < len(store._vectors._matrices) < 50
    assert all(queries(search(store, partition=f"p{number}")) == [f"q{number}"] for number in range(50))


def test_old_invalidations_are_forgotten_after_thirty_days(tmp_path: Path) -> None:
    clock = Clock()
    store = EmbeddedStore(tmp_path / "answers.db", clock=clock)
    store.delete(Selector(frozenset({"x"})))
    for _ in range(100):
        store.delete(Selector(frozenset({"y"})))
    assert store.put(make_entry("q", labels=frozenset({"x"}), epoch=0)) is False
    clock.now += 29 * 24 * HOUR_S
    for _ in range(256):
        store.delete(Selector(frozenset({"z"})))
    assert store.put(make_entry("q", labels=frozenset({"x"}), epoch=0)) is False
    clock.now += 2 * 24 * HOUR_S
    for _ in range(256):
        store.delete(Selector(frozenset({"z"})))
    assert store.put(make_entry("q", labels=frozenset({"x"}), epoch=0)) is True
    store.close()
