"""How much a store keeps, whether in a file of its own or in a shard of Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from semroute.entry import Answer, Selector
from semroute.errors import StoreError
from semroute.stores import Sizing, StoreSize
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.redis import RedisStore
from semroute.testing.entries import NOW, make_alias, make_entry
from semroute.testing.store_suite import get

from .limits import TickingClock, kept

LimitedStore: TypeAlias = EmbeddedStore | RedisStore
Make: TypeAlias = Callable[..., LimitedStore]


@pytest.fixture(params=["make_embedded", "make_store"], ids=["embedded", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    made: Any = request.getfixturevalue(request.param)
    return made


def test_expired_entries_go_before_any_that_live(make: Make) -> None:
    store = make(max_entries=3, clock=TickingClock())
    store.put(make_entry("oldest"))
    store.put(make_entry("expired", expires_at=NOW + 2))
    store.put(make_entry("young"))
    store.put(make_entry("newest"))
    assert kept(store) == ["newest", "oldest", "young"]


def test_an_entry_larger_than_the_store_is_refused_and_pushes_nothing_out(make: Make) -> None:
    store = make(max_bytes=20_000)
    store.put(make_entry("small"))
    with pytest.raises(StoreError, match="max_bytes=20000"):
        store.put(make_entry("large", answer=Answer("x" * 30_000)))
    assert kept(store) == ["small"]


def test_aliases_are_limited_like_entries_and_the_oldest_go_first(make: Make) -> None:
    store = make(max_entries=5)
    entry = make_entry("q")
    store.put(entry)
    for number in range(20):
        store.put(make_alias(f"alias {number}", entry))
    assert store.size().aliases == 5
    assert get(store, "alias 19").entry is not None
    assert get(store, "alias 0").entry is None


async def test_size_counts_what_is_there(make: Make) -> None:
    store = make()
    assert isinstance(store, Sizing)
    assert store.size() == StoreSize(0, 0, 0, 0)
    entries = [make_entry(f"q{number}", partition=f"p{number % 2}", labels=frozenset({"x"})) for number in range(5)]
    for entry in entries:
        store.put(entry)
        store.put(entry)
    store.put(make_alias("alias", entries[0]))
    size = store.size()
    assert (size.entries, size.aliases, size.partitions) == (5, 1, 2)
    assert await store.asize() == size
    store.delete(Selector(frozenset({"x"})))
    assert store.size() == StoreSize(0, 0, 0, 0)
