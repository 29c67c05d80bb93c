"""What an embedded store remembers of its invalidations, and files of the version that remembered less."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from semroute.entry import Selector
from semroute.errors import ConfigError
from semroute.stores import EpochState
from semroute.stores._sqlite import epochs
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.entries import HOUR_S, NOW, make_entry
from semroute.testing.store_suite import get

X, Y = Selector(frozenset({"x"})), Selector(frozenset({"y"}))
TO_VERSION_1 = """
DROP TABLE invalidations;
CREATE TABLE invalidations (epoch INTEGER PRIMARY KEY, labels TEXT NOT NULL, at REAL NOT NULL);
INSERT INTO invalidations (epoch, labels, at) VALUES (1, '["x"]', 0);
ALTER TABLE state DROP COLUMN complete_since;
PRAGMA user_version = 1;
"""
TO_VERSION_2 = """
ALTER TABLE invalidations DROP COLUMN under_way;
PRAGMA user_version = 2;
"""


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path / "answers.db", clock=clock)
    yield store
    store.close()


def test_a_file_of_version_1_is_brought_up_to_date_with_all_that_it_holds(tmp_path: Path, store: EmbeddedStore) -> None:
    store.delete(X)
    store.put(make_entry("q", epoch=1))
    key = store.open()
    store.close()
    connection = sqlite3.connect(tmp_path / "answers.db")
    connection.executescript(TO_VERSION_1)
    connection.close()
    assert store.open() == key
    assert get(store, "q").entry is not None
    state = store.epochs()
    assert (state.epoch, state.complete_since, state.invalidations) == (1, 1, {X: 1})
    assert store.put(make_entry("in flight", labels=X.labels, epoch=0)) is False
    assert store.delete(Selector()) == 1


def test_a_file_of_version_2_is_brought_up_to_date_with_all_that_it_remembers(
    tmp_path: Path, store: EmbeddedStore
) -> None:
    store.delete(X)
    store.put(make_entry("q", labels=Y.labels, epoch=1))
    before = store.epochs()
    store.close()
    connection = sqlite3.connect(tmp_path / "answers.db")
    connection.executescript(TO_VERSION_2)
    connection.close()
    assert store.epochs() == before
    assert store.put(make_entry("in flight", labels=X.labels, epoch=0)) is False
    assert store.delete(Selector(Y.labels, under_way=True)) == 0
    assert get(store, "q").entry is not None
    assert store.put(make_entry("in flight", labels=Y.labels, epoch=1)) is False


def test_what_is_forgotten_is_remembered_as_forgotten(store: EmbeddedStore, clock: Clock) -> None:
    store.delete(X)
    clock.now += 31 * 24 * HOUR_S
    for _ in range(300):
        store.delete(Y)
    state = store.epochs()
    assert state.invalidations == {Y: 301}
    assert state.complete_since == 1


def test_a_flood_of_invalidations_is_bounded_when_no_request_can_be_older(
    store: EmbeddedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "MOST_REMEMBERED", 100)
    for number in range(300):
        store.delete(Selector(frozenset({f"entry {number}"})))
    assert len(store.epochs().invalidations) == 300
    clock.now += 2 * HOUR_S
    for _ in range(256):
        store.delete(Y)
    state = store.epochs()
    assert len(state.invalidations) <= 100
    assert min(state.invalidations.values()) > state.complete_since > 200


def test_a_store_with_a_key_of_its_own_takes_no_other(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "own.db", digest_key=b"k" * 32)
    assert store.epochs().is_settled
    with pytest.raises(ConfigError, match="another digest_key than its fleet has"):
        store.adopt(EpochState(b"z" * 32, True, 1))
    assert store.adopt(EpochState(b"k" * 32, True, 7)) == 0
    assert store.epochs().epoch == 7
    store.close()


def test_a_repeated_invalidation_is_remembered_once(store: EmbeddedStore) -> None:
    for _ in range(5):
        store.delete(X)
    store.delete(Selector(X.labels, NOW))
    store.delete(Selector(X.labels, NOW + 5))
    assert store.epochs().invalidations == {X: 5, Selector(X.labels, NOW + 5): 7}
