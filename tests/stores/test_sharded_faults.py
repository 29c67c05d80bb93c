"""What dead and slow shards cost, and what they do not."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from semroute.entry import Address, Found
from semroute.errors import StoreError
from semroute.testing.entries import EMBEDDER, NOW, digest, make_vector
from semroute.testing.store_suite import queries

from .fleets import PROMPTS, Cluster, Face, address_of, come_back, entry_of, prompt_on


class TestADeadShard:
    async def test_costs_its_own_part_only(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt))
        cluster.kill("s1")
        for prompt in PROMPTS:
            if store.ring.owner(digest(prompt)) == "s1":
                for asking in (face.get(store, prompt), face.search(store, prompt), face.put(store, entry_of(prompt))):
                    with pytest.raises(StoreError, match=r"s1: .*refuses connections"):
                        await asking
            else:
                assert (await face.get(store, prompt)).entry is not None
                assert queries(await face.search(store, prompt)) == ["q"]
                assert await face.put(store, entry_of(prompt, "another")) is True

    async def test_costs_nothing_where_a_replica_answers(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt))
        cluster.kill("s1")
        for prompt in PROMPTS:
            assert (await face.get(store, prompt)).entry is not None
            assert queries(await face.search(store, prompt)) == ["q"]
            assert await face.put(store, entry_of(prompt, "another")) is True
            assert (await face.get(store, prompt, "another")).entry is not None

    async def test_is_left_alone_after_some_failures_and_tried_again_later(self, cluster: Cluster, face: Face) -> None:
        changes: list[tuple[str, str]] = []
        store = cluster.client(replicas=2, on_change=lambda name, state, why: changes.append((name, state)))
        prompt = prompt_on(store, "s1", "s0")
        await face.put(store, entry_of(prompt))
        cluster.kill("s1")
        for _ in range(20):
            assert (await face.get(store, prompt)).entry is not None
        assert changes == [("s1", "open")]
        assert sum(cluster.connections["s1"].calls.values()) < 10
        cluster.start("s1")
        for _ in range(3):
            assert (await face.get(store, prompt)).entry is not None
        assert changes == [("s1", "open"), ("s1", "half_open"), ("s1", "open")]  # its old connection was broken
        cluster.clock.advance(10)
        assert (await face.get(store, prompt)).entry is not None
        assert changes[3:] == [("s1", "half_open"), ("s1", "closed")]

    async def test_is_told_by_its_health(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        await face.put(store, entry_of(prompt_on(store, "s1")))
        assert all(health.is_current and health.state == "closed" for health in store.health())
        assert sum(health.share for health in store.health()) == pytest.approx(1)
        cluster.kill("s1")
        for _ in range(3):
            with pytest.raises(StoreError):
                await face.get(store, prompt_on(store, "s1"))
        health = {health.name: health for health in store.health()}
        assert (health["s1"].state, health["s1"].is_current) == ("open", False)
        assert "refuses connections" in health["s1"].reason
        assert health["s1"].failures == 3
        assert (health["s0"].state, health["s0"].failures, health["s0"].reason) == ("closed", 0, "")

    async def test_does_not_keep_a_new_client_from_the_others(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        await face.put(store, entry_of(prompt_on(store, "s0")))
        cluster.kill("s2")
        newcomer = cluster.client()
        assert newcomer.open() == store.open()
        assert (await face.get(newcomer, prompt_on(store, "s0"))).entry is not None

    async def test_all_dead_is_a_store_error_that_names_them(self, cluster: Cluster, face: Face) -> None:
        for name in cluster.servers:
            cluster.kill(name)
        store = cluster.client()
        with pytest.raises(StoreError, match=r"no shard answers: s0: .*; s1: .*; s2: "):
            await face.get(store, "prompt")
        with pytest.raises(StoreError, match="no shard answers"):
            await face.delete(store, "x")

    async def test_a_new_fleet_needs_half_of_its_shards_to_agree_on_a_key(self, cluster: Cluster, face: Face) -> None:
        cluster.kill("s0")
        cluster.kill("s1")
        store = cluster.client()
        with pytest.raises(StoreError, match=r"too few shards answer .* new fleet: s0: .*; s1: "):
            await face.get(store, "prompt")
        assert not cluster.servers["s2"].store.epochs().is_settled
        await come_back(cluster, face, store, "s1")
        assert await face.put(store, entry_of(prompt_on(store, "s1"))) is True

    def test_may_die_under_several_threads(self, cluster: Cluster) -> None:
        store = cluster.client(replicas=2)
        for prompt in PROMPTS:
            store.put(entry_of(prompt))

        def work(worker: int) -> int:
            hits = 0
            for number, prompt in enumerate(PROMPTS):
                if worker == 0 and number == 10:
                    cluster.kill("s1")
                hits += store.get(address_of(prompt), now=NOW).entry is not None
                hits += store.put(entry_of(prompt, f"q{worker}"))
                hits += len(store.search(address_of(prompt), make_vector(), embedder=EMBEDDER, k=1, now=NOW))
            return hits

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(work, range(4))) == [3 * len(PROMPTS)] * 4


class TestASlowShard:
    def test_an_answer_that_came_late_is_taken_and_counts_as_a_failure(self, cluster: Cluster) -> None:
        store = cluster.client(deadline_s=0.5)
        prompt = prompt_on(store, "s1")
        store.put(entry_of(prompt))
        cluster.connections["s1"].takes_s = 0.6
        for _ in range(3):
            assert store.get(address_of(prompt), now=NOW).entry is not None
        with pytest.raises(StoreError, match=r"s1: answered after 0\.6 s, later than 0\.5 s"):
            store.get(address_of(prompt), now=NOW)
        assert {health.name: health.state for health in store.health()} == {
            "s0": "closed",
            "s1": "open",
            "s2": "closed",
        }

    def test_one_late_answer_among_quick_ones_is_forgiven(self, cluster: Cluster) -> None:
        store = cluster.client(deadline_s=0.5)
        prompt = prompt_on(store, "s1")
        store.put(entry_of(prompt))
        for takes_s in (0.6, 0.1, 0.6, 0.1, 0.6, 0.1, 0.6):
            cluster.connections["s1"].takes_s = takes_s
            assert store.get(address_of(prompt), now=NOW).entry is not None
        assert all(health.state == "closed" for health in store.health())

    async def test_one_that_never_answers_is_given_up_on_the_event_loop(self, cluster: Cluster) -> None:
        store = cluster.client(replicas=2, deadline_s=0.05, failures_to_open=1)
        prompt = prompt_on(store, "s1", "s0")
        await store.aput(entry_of(prompt))

        async def never(address: Address, *, now: float) -> Found:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        cluster.connections["s1"].aget = never  # type: ignore[method-assign]  # hangs like a stopped process
        assert (await store.aget(address_of(prompt), now=NOW)).entry is not None
        health = {health.name: health for health in store.health()}
        assert health["s1"].state == "open"
        assert "no answer within 0.05 s" in health["s1"].reason

    async def test_a_cancelled_lookup_is_no_failure(self, cluster: Cluster) -> None:
        store = cluster.client()
        prompt = prompt_on(store, "s1")
        await store.aput(entry_of(prompt))

        async def never(address: Address, *, now: float) -> Found:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        quick, cluster.connections["s1"].aget = cluster.connections["s1"].aget, never  # type: ignore[method-assign]  # it hangs
        task = asyncio.create_task(store.aget(address_of(prompt), now=NOW))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cluster.connections["s1"].aget = quick  # type: ignore[method-assign]  # as it was
        assert (await store.aget(address_of(prompt), now=NOW)).entry is not None
        assert all(health.failures == 0 for health in store.health())
