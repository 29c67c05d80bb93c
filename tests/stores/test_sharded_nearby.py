"""What shards find together when a document is added, and that nothing is missed silently while some are away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from semroute.entry import Selector
from semroute.errors import ConfigError, StoreError
from semroute.stores import Near
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.sharded import ShardedStore
from semroute.testing.entries import EMBEDDER, NOW, make_vector
from semroute.testing.stores import FailingShard

from .fleets import PROMPTS, AsyncFace, Cluster, Face, come_back, entry_of, prompt_on

CORPUS = frozenset({"corpus"})
ADDED = Selector(CORPUS, under_way=True)


async def nearby(face: Face, store: ShardedStore, *, at_least: float = 0.8) -> Sequence[Near]:
    vectors = make_vector()[np.newaxis]
    if isinstance(face, AsyncFace):
        return await store.anearby(vectors, labels=CORPUS, embedder=EMBEDDER, at_least=at_least, now=NOW)
    return store.nearby(vectors, labels=CORPUS, embedder=EMBEDDER, at_least=at_least, now=NOW)


async def fill(face: Face, store: ShardedStore) -> set[str]:
    for prompt in PROMPTS:
        await face.put(store, entry_of(prompt, labels=CORPUS))
        await face.put(store, entry_of(prompt, "far", labels=CORPUS, similarity=0.1))
    return {entry_of(prompt).id for prompt in PROMPTS}


@pytest.mark.parametrize("replicas", [1, 2, 3])
async def test_all_shards_are_searched_and_every_entry_comes_once(cluster: Cluster, face: Face, replicas: int) -> None:
    store = cluster.client(replicas=replicas)
    wanted = await fill(face, store)
    found = [near.id for near in await nearby(face, store)]
    assert sorted(found) == sorted(wanted)


class TestADeadShard:
    async def test_is_an_error_where_nobody_else_has_what_it_has(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        await fill(face, store)
        cluster.kill("s1")
        for _ in range(5):  # its breaker opens meanwhile
            with pytest.raises(StoreError, match=r"entries are missing from this search: s1: .*refuses connections"):
                await nearby(face, store)
        await come_back(cluster, face, store, "s1")
        assert len(await nearby(face, store)) == len(PROMPTS)

    async def test_is_not_missed_where_its_replicas_answer(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        wanted = await fill(face, store)
        cluster.kill("s1")
        assert {near.id for near in await nearby(face, store)} == wanted
        cluster.kill("s2")
        with pytest.raises(StoreError):
            await nearby(face, store)

    async def test_is_an_error_where_a_replica_was_found_to_lack_entries(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        prompt = prompt_on(store, "s1", "s0")
        cluster.kill("s1")
        await face.put(store, entry_of(prompt, "one", labels=CORPUS))
        await face.put(store, entry_of(prompt, "another", labels=CORPUS))
        await come_back(cluster, face, store, "s1")
        await face.get(store, prompt, "one")
        assert len(await nearby(face, store)) == 2
        cluster.kill("s0")
        with pytest.raises(StoreError, match="entries are missing from this search: s0: "):
            await nearby(face, store)

    async def test_is_brought_up_to_date_before_it_is_searched_again(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        await fill(face, store)
        cluster.kill("s1")
        await face.delete(store, "corpus")
        await come_back(cluster, face, store, "s1")
        assert await nearby(face, store) == []


class TestAQuestionThatIsWrong:
    async def test_costs_no_shard_its_good_name(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        await fill(face, store)
        for _ in range(5):
            with pytest.raises(StoreError, match="vectors must be"):
                store.nearby(make_vector(), labels=CORPUS, embedder=EMBEDDER, at_least=0.8, now=NOW)
            with pytest.raises(ConfigError, match="invalidate --all"):
                store.nearby(make_vector()[np.newaxis], labels=CORPUS, embedder="other", at_least=0.8, now=NOW)
        assert all(health.state == "closed" and not health.failures for health in store.health())

    async def test_a_shard_that_cannot_be_searched_so_is_refused(self, face: Face) -> None:
        class OfAnOlderRelease(FailingShard):
            nearby = None  # type: ignore[assignment]  # it has no such method

        store = ShardedStore({"a": OfAnOlderRelease(EmbeddedStore("memory://")), "b": EmbeddedStore("memory://")})
        with pytest.raises(ConfigError, match="cannot be searched over all its partitions"):
            await nearby(face, store)
        store.close()


class TestAnswersUnderWay:
    """A document is added: what is on its way is refused, wherever it arrives, and what is stored stays."""

    async def test_are_refused_by_all_shards_and_what_is_stored_is_served(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        await fill(face, store)
        assert store.delete(ADDED) == 0
        for prompt in PROMPTS:
            assert (await face.get(store, prompt)).entry is not None
            assert await face.put(store, entry_of(prompt, "late", labels=CORPUS)) is False
            assert (await face.get(store, prompt, "late")).entry is None

    async def test_are_refused_by_a_shard_that_was_away_and_what_it_holds_is_served(
        self, cluster: Cluster, face: Face
    ) -> None:
        store = cluster.client()
        await fill(face, store)
        prompt = prompt_on(store, "s1")
        cluster.kill("s1")
        assert store.delete(ADDED) == 0
        await come_back(cluster, face, store, "s1")
        assert await face.put(store, entry_of(prompt, "late", labels=CORPUS)) is False
        assert all([(await face.get(store, prompt)).entry is not None for prompt in PROMPTS])

    async def test_are_told_from_later_ones_by_another_client(self, cluster: Cluster, face: Face) -> None:
        adding, asking = cluster.client(), cluster.client()
        epoch = (await face.get(asking, "p")).epoch
        adding.delete(ADDED)
        assert await face.put(asking, entry_of("p", labels=CORPUS, epoch=epoch)) is False
        later = (await face.get(asking, "p")).epoch
        assert await face.put(asking, entry_of("p", labels=CORPUS, epoch=later)) is True
        assert (await face.get(adding, "p")).entry is not None

    async def test_a_copy_of_an_older_answer_counts_as_one_and_costs_a_miss(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        prompt = prompt_on(store, "s1", "s0")
        cluster.kill("s1")
        await face.put(store, entry_of(prompt, labels=CORPUS))
        await come_back(cluster, face, store, "s1")
        store.delete(ADDED)
        missed = await face.get(store, prompt)
        assert missed.entry is None
        assert len(await nearby(face, store)) == 1  # the one that the other replica holds can still be removed
        assert await face.put(store, entry_of(prompt, labels=CORPUS, epoch=missed.epoch)) is True
        assert (await face.get(store, prompt)).entry is not None
        assert cluster.holders(entry_of(prompt)) == {"s0", "s1"}
