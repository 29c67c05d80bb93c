"""What goes wrong with shards: dead, slow, back with old contents, back empty, or of another fleet."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from semroute.entry import Address, Answer, Found, Selector
from semroute.errors import ConfigError, StoreError
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.sharded import ShardedStore
from semroute.testing.entries import EMBEDDER, NOW, digest, make_alias, make_entry, make_vector
from semroute.testing.store_suite import queries
from semroute.testing.stores import FailingShard, FailingStore

from .fleets import AsyncFace, Cluster, SyncFace, address_of, entry_of, prompt_on

Face = SyncFace | AsyncFace
PROMPTS = [f"prompt {number}" for number in range(30)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(params=[SyncFace, AsyncFace], ids=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Face:
    """Either face of a store: what a test says of one holds for the other."""
    made: Face = request.param()
    return made


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

        quick, cluster.connections["s1"].aget = cluster.connections["s1"].aget, never  # type: ignore[method-assign]
        task = asyncio.create_task(store.aget(address_of(prompt), now=NOW))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cluster.connections["s1"].aget = quick  # type: ignore[method-assign]
        assert (await store.aget(address_of(prompt), now=NOW)).entry is not None
        assert all(health.failures == 0 for health in store.health())


class TestRepair:
    async def test_a_replica_that_lacks_an_entry_gets_it_when_it_is_read(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        prompt = prompt_on(store, "s1", "s0")
        entry = entry_of(prompt, labels=frozenset({"x"}), similarity=0.8)
        cluster.kill("s1")
        await face.put(store, entry)
        assert cluster.holders(entry) == {"s0"}
        await come_back(cluster, face, store, "s1")
        assert (await face.get(store, prompt)).entry is not None
        assert cluster.holders(entry) == {"s0", "s1"}
        assert store.repaired == 1
        (copy,) = cluster.servers["s1"].store.scan()
        assert copy.labels == entry.labels
        assert copy.vector is not None
        assert await face.delete(store, "x") == 1
        assert cluster.holders(entry) == set()

    async def test_an_alias_is_repaired_without_loss_of_others(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        prompt = prompt_on(store, "s1", "s0")
        entry = entry_of(prompt)
        first, second = (make_alias(query, entry, address=address_of(prompt, query)) for query in ("one", "two"))
        await face.put(store, entry)
        await face.put(store, first)
        cluster.kill("s1")
        await face.put(store, second)
        await come_back(cluster, face, store, "s1")
        assert (await face.get(store, prompt, "two")).alias == second
        for alias in (first, second):
            assert cluster.servers["s1"].store.get(alias.address, now=NOW).alias == alias
        assert store.repaired == 0

    async def test_an_alias_is_repaired_with_the_entry_that_is_missing_too(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        prompt = prompt_on(store, "s1", "s0")
        cluster.kill("s1")
        entry = entry_of(prompt)
        await face.put(store, entry)
        alias = make_alias("alias", entry, address=address_of(prompt, "alias"))
        await face.put(store, alias)
        await come_back(cluster, face, store, "s1")
        assert (await face.get(store, prompt, "alias")).alias == alias
        assert cluster.servers["s1"].store.get(alias.address, now=NOW).alias == alias
        assert store.repaired == 1

    async def test_a_patchy_replica_is_not_searched_alone(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        prompt = prompt_on(store, "s1", "s0")
        cluster.kill("s1")
        for number in range(3):
            await face.put(store, entry_of(prompt, f"q{number}", similarity=0.9 - number / 10))
        await come_back(cluster, face, store, "s1")
        await face.get(store, prompt, "q2")
        assert [health.name for health in store.health() if health.is_patchy] == ["s1"]
        assert queries(await face.search(store, prompt)) == ["q0", "q1", "q2"]
        assert queries(await face.search(store, prompt, k=2)) == ["q0", "q1"]

    async def test_a_shard_that_lost_everything_is_filled_again_by_reads(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        entries = [entry_of(prompt) for prompt in PROMPTS]
        for entry in entries:
            await face.put(store, entry)
        before = [cluster.holders(entry) for entry in entries]
        cluster.kill("s1")
        cluster.start("s1", empty=True)
        for _ in range(2):
            for prompt in PROMPTS:
                assert (await face.get(store, prompt)).entry is not None
        first = [entry for entry in entries if store.ring.owner(entry.address.shard) == "s1"]
        assert all("s1" in cluster.holders(entry) for entry in first)
        assert all(cluster.holders(entry) <= held for entry, held in zip(entries, before, strict=True))
        assert cluster.servers["s1"].store.open() == store.open()

    async def test_a_copy_does_not_undo_an_invalidation(self, cluster: Cluster, face: Face) -> None:
        """One replica still holds what another was told to forget, behind the back of this client."""
        store = cluster.client(replicas=2)
        prompt = prompt_on(store, "s1", "s0")
        entry = entry_of(prompt, labels=frozenset({"x"}))
        await face.put(store, entry)
        state = cluster.servers["s1"].store.epochs()
        cluster.servers["s1"].store.adopt(
            dataclasses.replace(state, invalidations={Selector(frozenset({"x"})): state.epoch + 1}, epoch=state.epoch)
        )
        assert (await face.get(store, prompt)).entry is None
        assert (await face.get(store, prompt)).entry is None
        assert cluster.holders(entry) == set()


class TestOldContents:
    async def test_what_was_invalidated_while_a_shard_was_away_is_never_served(
        self, cluster: Cluster, face: Face
    ) -> None:
        store = cluster.client()
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt, labels=frozenset({"x" if len(prompt) % 2 else "y"})))
        cluster.kill("s1")
        await face.delete(store, "x")
        await come_back(cluster, face, store, "s1")
        for prompt in PROMPTS:
            assert ((await face.get(store, prompt)).entry is None) == bool(len(prompt) % 2)
            assert queries(await face.search(store, prompt)) == ([] if len(prompt) % 2 else ["q"])

    async def test_nor_by_a_client_that_never_saw_it_away(self, cluster: Cluster, face: Face) -> None:
        deleter, reader = cluster.client(replicas=2), cluster.client(replicas=2)
        for prompt in PROMPTS:
            await face.put(reader, entry_of(prompt, labels=frozenset({"x"})))
        cluster.kill("s1")
        await face.delete(deleter, "x")
        cluster.start("s1")
        for prompt in PROMPTS:
            assert (await face.get(reader, prompt)).entry is None

    async def test_nor_by_a_client_that_is_new(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt, labels=frozenset({"x"})))
        cluster.kill("s1")
        await face.delete(store, "x")
        cluster.start("s1")
        newcomer = cluster.client()
        assert [entry async for entry in face.scan(newcomer)] == []
        for prompt in PROMPTS:
            assert (await face.get(newcomer, prompt)).entry is None

    async def test_nor_where_only_one_client_could_not_reach_it(self, cluster: Cluster, face: Face) -> None:
        """The shard lives and serves others: its lower epoch gives it away."""
        reader = cluster.client()
        prompts = {name: prompt_on(reader, name) for name in cluster.servers}
        for prompt in prompts.values():
            await face.put(reader, entry_of(prompt, labels=frozenset({"x"})))
        deleter = cluster.client()
        cluster.connections["s1"].failing = frozenset({"epochs", "adopt"})
        await face.delete(deleter, "x")
        assert (await face.get(reader, prompts["s0"])).entry is None
        assert (await face.get(reader, prompts["s1"])).entry is None

    async def test_a_shard_that_comes_back_while_it_is_invalidated_takes_it_at_once(
        self, cluster: Cluster, face: Face
    ) -> None:
        store, other = cluster.client(), cluster.client()
        prompt = prompt_on(store, "s1")
        await face.put(other, entry_of(prompt, labels=frozenset({"x"})))
        store.open()
        cluster.kill("s1")
        cluster.start("s1")  # the first call of `store` finds its connection broken
        await face.delete(store, "x")
        assert next(iter(cluster.servers["s1"].store.scan()), None) is None

    async def test_an_open_breaker_does_not_keep_an_invalidation_from_a_shard(
        self, cluster: Cluster, face: Face
    ) -> None:
        store = cluster.client()
        prompt = prompt_on(store, "s1")
        await face.put(store, entry_of(prompt, labels=frozenset({"x"})))
        connection = cluster.connections["s1"]
        connection.failing = frozenset({"get"})
        for _ in range(3):
            with pytest.raises(StoreError):
                await face.get(store, prompt)
        connection.failing = frozenset()
        assert await face.delete(store, "x") == 1

    async def test_a_shard_that_was_away_too_long_starts_empty(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        prompt = prompt_on(store, "s1")
        await face.put(store, entry_of(prompt))
        cluster.kill("s1")
        for name in ("s0", "s2"):
            state = cluster.servers[name].store.epochs()
            cluster.servers[name].store.adopt(dataclasses.replace(state, epoch=5_000, complete_since=4_000))
        await come_back(cluster, face, store, "s1")
        assert (await face.get(store, prompt)).entry is None
        await face.put(store, entry_of(prompt, epoch=(await face.get(store, prompt)).epoch))
        assert (await face.get(store, prompt)).entry is not None

    async def test_a_shard_does_not_serve_before_enough_others_were_heard(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        prompts = {name: prompt_on(store, name) for name in cluster.servers}
        for prompt in prompts.values():
            await face.put(store, entry_of(prompt, labels=frozenset({"x"})))
        cluster.kill("s1")
        await face.delete(store, "x")  # s0 and s2 remember it
        cluster.kill("s0")
        cluster.kill("s2")
        cluster.start("s1")
        newcomer = cluster.client()
        with pytest.raises(StoreError, match="s1: "):
            await face.get(newcomer, prompts["s1"])
        await come_back(cluster, face, newcomer, "s2")
        assert (await face.get(newcomer, prompts["s1"])).entry is None

    async def test_an_invalidation_that_too_few_shards_took_is_an_error_and_done_where_it_could_be(
        self, cluster: Cluster, face: Face
    ) -> None:
        store = cluster.client()
        prompts = {name: prompt_on(store, name) for name in cluster.servers}
        for prompt in prompts.values():
            await face.put(store, entry_of(prompt, labels=frozenset({"x"})))
        cluster.kill("s0")
        cluster.kill("s2")
        with pytest.raises(StoreError, match="only 1 of 3 shards took the invalidation, at least 2 must: repeat it"):
            await face.delete(store, "x")
        assert list(cluster.servers["s1"].store.scan()) == []

    async def test_a_put_in_flight_is_refused_by_an_invalidation_on_any_replica(
        self, cluster: Cluster, face: Face
    ) -> None:
        store = cluster.client(replicas=2)
        prompt = prompt_on(store, "s1", "s0")
        epoch = (await face.get(store, prompt)).epoch
        cluster.kill("s1")
        await face.delete(store, "x")
        await come_back(cluster, face, store, "s1")
        cluster.kill("s0")
        assert await face.put(store, entry_of(prompt, labels=frozenset({"x"}), epoch=epoch)) is False

    async def test_epochs_of_all_shards_stay_comparable(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        await face.delete(store, "x")
        cluster.kill("s1")
        await face.delete(store, "y")
        await come_back(cluster, face, store, "s1")
        await face.get(store, prompt_on(store, "s1"))
        epochs = {server.store.epochs().epoch for server in cluster.servers.values()}
        assert len(epochs) == 1


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


class TestScan:
    async def test_every_entry_comes_once_however_many_copies_there_are(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=3)
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt))
        scanned = [entry.id async for entry in face.scan(store)]
        assert len(scanned) == len(set(scanned)) == len(PROMPTS)

    async def test_with_a_replica_of_everything_a_dead_shard_is_not_missed(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(replicas=2)
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt))
        cluster.kill("s1")
        assert len([entry async for entry in face.scan(store)]) == len(PROMPTS)

    async def test_without_one_it_is_an_error_at_the_end(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        for prompt in PROMPTS:
            await face.put(store, entry_of(prompt))
        cluster.kill("s1")
        scanned = []

        async def scan() -> None:
            async for entry in face.scan(store):
                scanned.append(entry)

        with pytest.raises(StoreError, match="entries are missing from this scan: s1: "):
            await scan()
        assert 0 < len(scanned) < len(PROMPTS)

    async def test_a_shard_that_dies_meanwhile_is_counted_too(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client()
        await face.put(store, entry_of("p"))
        cluster.connections["s1"].failing = frozenset({"scan"})
        with pytest.raises(StoreError, match="s1: scan: it is broken"):
            [entry async for entry in face.scan(store)]


class TestSubShards:
    async def test_a_hot_prompt_is_spread_over_different_shards_and_searched_as_one(
        self, cluster: Cluster, face: Face
    ) -> None:
        store = cluster.client(sub_shards={digest("hot"): 3})
        entries = [entry_of("hot", f"q{number}", similarity=0.99 - number / 50) for number in range(30)]
        for entry in entries:
            await face.put(store, entry)
        held = {name: len(list(server.store.scan())) for name, server in cluster.servers.items()}
        assert sum(held.values()) == 30
        assert min(held.values()) >= 4
        assert queries(await face.search(store, "hot", k=6)) == [f"q{number}" for number in range(6)]
        for entry in entries:
            assert (await face.get(store, "hot", entry.query)).entry is not None
            alias = make_alias(f"alias of {entry.query}", entry, address=address_of("hot", f"alias of {entry.query}"))
            assert await face.put(store, alias) is True
            assert (await face.get(store, "hot", alias.query)).alias == alias

    async def test_a_dead_shard_costs_a_hot_prompt_its_part_and_no_error(self, cluster: Cluster, face: Face) -> None:
        store = cluster.client(sub_shards={digest("hot"): 3})
        for number in range(30):
            await face.put(store, entry_of("hot", f"q{number}"))
        lost = len(list(cluster.servers["s1"].store.scan()))
        cluster.kill("s1")
        hits = [(await face.get(store, "hot", f"q{number}")).entry is not None for number in range(30)]
        assert hits.count(False) == lost
        assert len(await face.search(store, "hot", k=100)) == 30 - lost

    async def test_what_was_stored_before_a_prompt_was_spread_is_found(self, cluster: Cluster, face: Face) -> None:
        before = cluster.client()
        for number in range(20):
            await face.put(before, entry_of("hot", f"q{number}"))
        after = cluster.client(sub_shards={digest("hot"): 3})
        assert len(await face.search(after, "hot", k=100)) == 20
        for number in range(20):
            assert (await face.get(after, "hot", f"q{number}")).entry is not None


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
            ShardedStore({name: EmbeddedStore("memory://") for name in "ab"}, **options)  # type: ignore[arg-type]

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


class TestSize:
    async def test_copies_are_counted_once_and_their_bytes_each_time(self, cluster: Cluster) -> None:
        single, double = Cluster(), cluster
        sizes = []
        for some, replicas in ((single, 1), (double, 2)):
            store = some.client(replicas=replicas)
            with pytest.raises(StoreError, match="cannot say how much it holds"):
                store.size()
            store = ShardedStore({name: server.store for name, server in some.servers.items()}, replicas=replicas)
            for prompt in PROMPTS:
                store.put(entry_of(prompt))
            sizes.append(store.size())
            assert await store.asize() == store.size()
        assert sizes[0].entries == sizes[1].entries == sizes[0].partitions == sizes[1].partitions == len(PROMPTS)
        assert sizes[1].bytes == 2 * sizes[0].bytes
        single.close()


async def come_back(cluster: Cluster, face: Face, store: ShardedStore, name: str) -> None:
    """Start a server again, and let the store find out that its old connection is broken, and make a new one."""
    cluster.start(name)
    for _ in range(5):
        for prompt in PROMPTS:
            with suppress(StoreError):
                await face.get(store, prompt, "a question that nobody asked")
        cluster.clock.advance(10)
    assert all(health.is_current for health in store.health() if health.name == name)


LABELS = st.sampled_from(["x", "y", "z"])
NAMES = st.sampled_from(["s0", "s1", "s2"])


class Invalidations(RuleBasedStateMachine):
    """Two clients store, read and invalidate while servers die and return: nothing that was invalidated is served."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        self.stored: dict[tuple[str, str], set[str]] = {}
        self.gone: set[tuple[str, str]] = set()

    @initialize(replicas=st.integers(1, 3))
    def start(self, replicas: int) -> None:
        self.clients = [self.cluster.client(replicas=replicas) for _ in range(2)]

    @rule(client=st.integers(0, 1), prompt=st.sampled_from(PROMPTS[:6]), labels=st.sets(LABELS))
    def put(self, client: int, prompt: str, labels: set[str]) -> None:
        query = f"q{len(self.stored)}"
        store = self.clients[client]
        try:
            epoch = store.get(address_of(prompt, query), now=NOW).epoch
            if store.put(entry_of(prompt, query, labels=frozenset(labels), epoch=epoch)):
                self.stored[prompt, query] = labels
        except StoreError:
            pass

    @rule(client=st.integers(0, 1), labels=st.sets(LABELS, max_size=2))
    def delete(self, client: int, labels: set[str]) -> None:
        try:
            self.clients[client].delete(Selector(frozenset(labels)))
        except StoreError:
            return
        self.gone |= {key for key, carried in self.stored.items() if labels <= carried}

    @rule(name=NAMES)
    def kill(self, name: str) -> None:
        if sum(server.is_up for server in self.cluster.servers.values()) > 1:
            self.cluster.kill(name)

    @rule(name=NAMES)
    def restart(self, name: str) -> None:
        self.cluster.kill(name)
        self.cluster.start(name)

    @rule()
    def restart_without_contents(self) -> None:
        """Only one of them ever: what nobody remembers any more cannot be known."""
        self.cluster.kill("s2")
        self.cluster.start("s2", empty=True)

    @rule(client=st.integers(0, 1))
    def read_everything(self, client: int) -> None:
        store = self.clients[client]
        for prompt, query in self.stored:
            try:
                found = store.get(address_of(prompt, query), now=NOW)
            except StoreError:
                continue
            assert found.entry is None or (prompt, query) not in self.gone

    @rule()
    def a_new_client_comes(self) -> None:
        self.clients = [self.clients[1], self.cluster.client(replicas=self.clients[0].replicas)]

    def teardown(self) -> None:
        self.cluster.close()


TestInvalidations = Invalidations.TestCase
TestInvalidations.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
