"""Which stores may be the shards of one, and on what they must agree."""

from __future__ import annotations

import pytest

from semroute.entry import Answer, Selector
from semroute.errors import ConfigError, StoreError
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.sharded import ShardedStore
from semroute.testing.entries import EMBEDDER, NOW, make_entry, make_vector
from semroute.testing.stores import FailingShard, FailingStore

from .fleets import Cluster, Face, address_of, entry_of, prompt_on


class TestOneFleet:
    def test_new_shards_agree_on_one_key_whoever_opens_them(self, cluster: Cluster) -> None:
        first, second = cluster.client(), cluster.client()
        assert first.open() == second.open()
        assert {server.store.open() for server in cluster.servers.values()} == {first.open()}

    def test_a_store_that_is_in_use_gives_its_key_to_the_shards_that_join_it(self, cluster: Cluster) -> None:
        cluster.servers["s2"].store.put(make_entry("q"))
        key = cluster.servers["s2"].store.open()
        assert cluster.client().open() == key

    def test_shards_of_two_fleets_are_refused_with_what_to_do(self, cluster: Cluster) -> None:
        for name in ("s0", "s2"):
            cluster.servers[name].store.put(make_entry("q"))
        with pytest.raises(ConfigError, match=r"'s0' and 's2' were made with different digest keys.*empty one of them"):
            cluster.client().open()

    async def test_a_shard_of_another_fleet_that_turns_up_later_costs_its_own_part(
        self, cluster: Cluster, face: Face
    ) -> None:
        store = cluster.client()
        await face.put(store, entry_of(prompt_on(store, "s0")))
        cluster.kill("s1")
        cluster.start("s1", empty=True)
        cluster.servers["s1"].store.put(entry_of(prompt_on(store, "s1")))
        for _ in range(2):
            with pytest.raises(StoreError):
                await face.get(store, prompt_on(store, "s1"))
        with pytest.raises(StoreError, match="s1: it was made with another digest key"):
            await face.get(store, prompt_on(store, "s1"))
        assert (await face.get(store, prompt_on(store, "s0"))).entry is not None

    def test_one_embedder_holds_for_all_shards(self, cluster: Cluster) -> None:
        store = cluster.client()
        store.put(entry_of(prompt_on(store, "s0")))
        for another in (store, cluster.client()):
            with pytest.raises(ConfigError, match="invalidate --all"):
                another.put(entry_of(prompt_on(store, "s1"), embedder="another"))
            with pytest.raises(ConfigError, match="dimensions"):
                another.put(entry_of(prompt_on(store, "s2"), vector=make_vector(dimensions=16)))
            with pytest.raises(ConfigError, match=EMBEDDER):
                another.search(address_of("p"), make_vector(), embedder="another", k=1, now=NOW)

    def test_when_one_client_has_emptied_the_fleet_another_may_use_another_embedder(self, cluster: Cluster) -> None:
        store, other = cluster.client(), cluster.client()
        store.put(entry_of(prompt_on(store, "s0")))
        with pytest.raises(ConfigError):
            other.put(entry_of(prompt_on(store, "s1"), embedder="another"))
        store.delete(Selector())
        epoch = other.get(address_of("p"), now=NOW).epoch
        assert other.put(entry_of(prompt_on(store, "s1"), embedder="another", epoch=epoch)) is True

    async def test_an_entry_that_cannot_be_stored_is_no_shards_fault(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        for _ in range(5):
            with pytest.raises(StoreError, match="JSON"):
                await face.put(store, entry_of("p", answer=Answer("x", {"when": float("nan")})))
        assert all(health.failures == 0 for health in store.health())


class TestConstruction:
    def test_it_does_no_input_or_output(self, cluster: Cluster) -> None:
        cluster.client()
        assert all(not connection.calls for connection in cluster.connections.values())

    def test_a_store_that_cannot_take_invalidations_over_is_refused(self) -> None:
        with pytest.raises(ConfigError, match=r"cannot be shard 'b': it has no epochs\(\)"):
            ShardedStore({"a": EmbeddedStore("memory://"), "b": FailingStore(EmbeddedStore("memory://"))})

    def test_one_store_under_two_names_is_refused(self) -> None:
        store = EmbeddedStore("memory://")
        with pytest.raises(ConfigError, match="'a' and 'b' are one and the same store"):
            ShardedStore({"a": store, "b": store})

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"replicas": 0}, "0 replicas"),
            ({"replicas": 3}, "3 replicas need as many shards, and the ring has 2"),
            ({"deadline_s": 0}, "deadline_s=0"),
            ({"deadline_s": float("nan")}, "deadline_s=nan"),
            ({"sub_shards": {"a digest": 0}}, "sub_shards=0"),
        ],
    )
    def test_what_is_out_of_range_is_refused(self, options: dict[str, object], match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            ShardedStore({name: EmbeddedStore("memory://") for name in "ab"}, **options)  # type: ignore[arg-type]  # wrong on purpose

    def test_a_ring_of_other_names_is_refused(self) -> None:
        ring = ShardedStore({name: EmbeddedStore("memory://") for name in "ab"}).ring
        with pytest.raises(ConfigError, match="the ring is made of a, b, the stores are those of a"):
            ShardedStore({"a": EmbeddedStore("memory://")}, ring=ring)

    def test_the_repr_says_what_it_is_made_of(self, cluster: Cluster) -> None:
        store = cluster.client(replicas=2)
        store.open()
        assert repr(store) == "<ShardedStore 3 shards, 2 replicas, epoch 1: s0, s1, s2>"

    def test_a_shard_that_cannot_be_closed_keeps_no_other_open(self) -> None:
        shards = {name: FailingShard(EmbeddedStore("memory://")) for name in "ab"}
        store = ShardedStore(shards)
        store.open()
        shards["a"].failing = frozenset({"close"})
        store.close()
        assert shards["b"].calls["close"] == 1
        shards["a"].failing = frozenset()
        store.close()
