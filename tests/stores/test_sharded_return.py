"""What shards that come back bring with them: gaps, old contents, or nothing at all."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from semroute.entry import Selector
from semroute.errors import StoreError
from semroute.testing.entries import NOW, make_alias
from semroute.testing.store_suite import queries

from .fleets import PROMPTS, Cluster, Face, address_of, come_back, entry_of, prompt_on


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
