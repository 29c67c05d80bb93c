"""Leases of a sharded store: lent by the shard that keeps the key, and by the next replica while that one is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from semroute.errors import StoreError
from semroute.stores import Claim, Lease
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.sharded import ShardedStore
from semroute.testing.clock import FakeClock
from semroute.testing.entries import NOW, make_address
from semroute.testing.leases import FakeLeases, LendingStore
from semroute.testing.store_suite import LeaseSuite

KEY, TTL_S = make_address("q"), 60.0


@pytest.fixture
def shards(clock: FakeClock) -> dict[str, LendingStore]:
    return {
        f"s{number}": LendingStore(EmbeddedStore("memory://", clock=lambda: NOW), FakeLeases(clock))
        for number in range(3)
    }


@pytest.fixture
def make_store(shards: dict[str, LendingStore], clock: FakeClock) -> Iterator[Callable[[], ShardedStore]]:
    made: list[ShardedStore] = []

    def make(replicas: int = 2) -> ShardedStore:
        made.append(ShardedStore(shards, replicas=replicas, clock=clock))
        return made[-1]

    yield make
    for store in made:
        store.close()


def owners(store: ShardedStore) -> tuple[str, ...]:
    return store.ring.replicas(KEY.shard, 2)


class TestShardsThatLend(LeaseSuite):
    @pytest.fixture
    def lender(self, make_store: Callable[[], ShardedStore]) -> Lease:
        return make_store()

    @pytest.fixture
    def let_pass(self, clock: FakeClock) -> Callable[[float], None]:
        return clock.advance


def test_the_owner_alone_is_asked(make_store: Callable[[], ShardedStore], shards: dict[str, LendingStore]) -> None:
    store = make_store()
    assert store.acquire(KEY, "a", ttl_s=TTL_S) is Claim.OURS
    assert {name: shard.leases.asked for name, shard in shards.items() if shard.leases.asked} == {owners(store)[0]: 1}


def test_while_the_owner_is_away_the_next_replica_lends(
    make_store: Callable[[], ShardedStore], shards: dict[str, LendingStore]
) -> None:
    one, other = make_store(), make_store()
    first, second = owners(one)
    shards[first].leases.is_down = True
    assert one.acquire(KEY, "a", ttl_s=TTL_S) is Claim.OURS
    assert other.acquire(KEY, "b", ttl_s=TTL_S) is Claim.THEIRS
    shards[first].leases.is_down = False
    assert one.renew(KEY, "a", ttl_s=TTL_S) is True
    assert one.release(KEY, "a") is True
    assert shards[second].leases.holder(KEY) is None


async def test_where_no_replica_answers_there_is_an_error(
    make_store: Callable[[], ShardedStore], shards: dict[str, LendingStore]
) -> None:
    store = make_store()
    for shard in shards.values():
        shard.leases.is_down = True
    for ask in (store.acquire, store.renew):
        with pytest.raises(StoreError, match="down"):
            ask(KEY, "a", ttl_s=TTL_S)
    with pytest.raises(StoreError, match="down"):
        store.release(KEY, "a")
    with pytest.raises(StoreError, match="down"):
        await store.aacquire(KEY, "a", ttl_s=TTL_S)


async def test_shards_that_lend_nothing_let_everybody_go_on() -> None:
    store = ShardedStore({"s0": EmbeddedStore("memory://", clock=lambda: NOW)})
    assert store.acquire(KEY, "a", ttl_s=TTL_S) is Claim.OURS
    assert await store.aacquire(KEY, "b", ttl_s=TTL_S) is Claim.OURS
    assert store.renew(KEY, "a", ttl_s=TTL_S) is False
    assert await store.arelease(KEY, "b") is False
    store.close()
