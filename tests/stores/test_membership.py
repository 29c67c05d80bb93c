"""Shards that keep their own names, and the list of their fleet: who joins, who may write, what a change costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from semroute.entry import Entry, Selector
from semroute.errors import ConfigError, StoreError
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.rebalance import rebalance
from semroute.stores.sharded import ShardedStore
from semroute.testing.clock import FakeClock
from semroute.testing.entries import EMBEDDER, NOW, make_alias, make_vector
from semroute.testing.stores import SHARD_OPERATIONS, FailingShard

from .fleets import address_of, entry_of

Open = Callable[..., ShardedStore]
PROMPTS = [f"prompt {number}" for number in range(60)]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shards() -> dict[str, FailingShard]:
    """The stores of the latest client, by the names of their files, to be broken."""
    return {}


@pytest.fixture
def fleet(tmp_path: Path, clock: FakeClock, shards: dict[str, FailingShard]) -> Iterator[Open]:
    """Open one more client of the files that are named."""
    made: list[ShardedStore] = []

    def make(*names: str, dead: str = "", **options: Any) -> ShardedStore:
        shards.clear()
        for name in names:
            store = EmbeddedStore(tmp_path / f"{name}.db", clock=lambda: NOW)
            failing = SHARD_OPERATIONS if name in dead.split() else frozenset()
            shards[name] = FailingShard(store, failing)
        places = [f"file {name}" for name in names]
        made.append(ShardedStore(list(shards.values()), places=places, clock=clock, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


def fill(store: ShardedStore) -> list[Entry]:
    entries = [entry_of(prompt) for prompt in PROMPTS]
    assert all(store.put(entry) for entry in entries)
    return entries


def found(store: ShardedStore) -> set[str]:
    return {prompt for prompt in PROMPTS if store.get(address_of(prompt), now=NOW).entry is not None}


def names_of(store: ShardedStore) -> dict[str, str]:
    """Return the name of each shard by its place."""
    store.open()
    return {place.removeprefix("file "): name for name, place in store.places.items()}


class TestNames:
    def test_shards_of_a_new_fleet_are_named_in_order_and_keep_their_names(self, fleet: Open) -> None:
        assert names_of(fleet("a", "b", "c")) == {"a": "s00", "b": "s01", "c": "s02"}
        assert names_of(fleet("c", "a", "b")) == {"a": "s00", "b": "s01", "c": "s02"}

    def test_the_order_in_which_stores_are_given_changes_nothing(self, fleet: Open) -> None:
        fill(fleet("a", "b", "c"))
        assert found(fleet("b", "c", "a")) == set(PROMPTS)

    def test_a_store_that_was_given_a_name_keeps_it(self, fleet: Open, shards: dict[str, FailingShard]) -> None:
        store = fleet("a", "b")
        shards["b"].shard = "tokyo"  # type: ignore[attr-defined]  # as a Redis store has one
        assert names_of(store) == {"a": "s00", "b": "tokyo"}

    def test_one_file_under_two_names_is_refused_with_what_to_do(self, fleet: Open, tmp_path: Path) -> None:
        names_of(fleet("a", "b"))
        (tmp_path / "again.db").symlink_to(tmp_path / "b.db")
        with pytest.raises(ConfigError, match=r"file b and file again are one and the same shard, s01: give it once"):
            fleet("a", "b", "again").open()

    def test_one_new_file_under_two_names_is_refused_too(self, fleet: Open, tmp_path: Path) -> None:
        EmbeddedStore(tmp_path / "a.db").open()
        (tmp_path / "again.db").symlink_to(tmp_path / "a.db")
        with pytest.raises(ConfigError, match="one and the same shard"):
            fleet("a", "again").open()

    def test_stores_that_cannot_keep_a_name_are_refused(self) -> None:
        class Bare:
            pass

        with pytest.raises(ConfigError, match="give stores by name"):
            ShardedStore([Bare()])  # type: ignore[list-item]  # what is being tested

    def test_a_new_fleet_waits_for_all_of_its_shards(self, fleet: Open, shards: dict[str, FailingShard]) -> None:
        store = fleet("a", "b", dead="b")
        with pytest.raises(StoreError, match=r"a new fleet is founded when all of its shards answer.*file b"):
            store.open()
        shards["b"].failing = frozenset()
        assert names_of(store) == {"a": "s00", "b": "s01"}

    def test_two_clients_that_found_a_fleet_at_once_in_another_order_agree(self, fleet: Open, tmp_path: Path) -> None:
        first, second = EmbeddedStore(tmp_path / "a.db"), EmbeddedStore(tmp_path / "b.db")
        # Each has named the store that it was given first before it saw the other's.
        from semroute.stores._fleet.membership import new_papers, write_papers

        for store in (first, second):
            assert store.keep_note(write_papers(new_papers("s00")), instead_of=None)
        one, other = names_of(fleet("a", "b")), names_of(fleet("b", "a"))
        assert one == other
        assert set(one.values()) == {"s00", "s01"}

    async def test_the_asynchronous_face_finds_the_same_names(self, fleet: Open) -> None:
        store = fleet("a", "b")
        assert await store.aput(entry_of("a prompt"))
        assert names_of(fleet("b", "a")) == {"a": "s00", "b": "s01"}
        await store.aclose()


class TestAway:
    def test_a_client_that_starts_while_a_shard_is_away_serves_the_others(
        self, fleet: Open, shards: dict[str, FailingShard], clock: FakeClock
    ) -> None:
        owned = fleet("a", "b", "c")
        fill(owned)
        store = fleet("a", "b", "c", dead="c")
        store.open()
        hits = {prompt for prompt in PROMPTS if self._hit(store, prompt)}
        assert hits == {prompt for prompt in PROMPTS if owned.ring.owner(address_of(prompt).shard) != "s02"}
        shards["c"].failing = frozenset()
        clock.advance(10)
        assert found(store) == set(PROMPTS)

    def test_two_shards_that_were_taken_for_each_other_change_places_when_they_answer(
        self, fleet: Open, shards: dict[str, FailingShard], clock: FakeClock
    ) -> None:
        fill(fleet("a", "b", "c"))
        store = fleet("c", "b", "a", dead="c b")
        store.open()
        assert store.places["s01"] == "file c"
        for shard in shards.values():
            shard.failing = frozenset()
        for _ in range(3):
            clock.advance(10)
            [self._hit(store, prompt) for prompt in PROMPTS]
        assert found(store) == set(PROMPTS)
        assert store.places["s02"] == "file c"

    def test_a_shard_that_comes_back_empty_gets_its_name_and_list_again(
        self, fleet: Open, tmp_path: Path, shards: dict[str, FailingShard], clock: FakeClock
    ) -> None:
        store = fleet("a", "b", "c")
        fill(store)
        shards["b"].failing = SHARD_OPERATIONS
        [self._hit(store, prompt) for prompt in PROMPTS]
        shards["b"].store = EmbeddedStore(tmp_path / "fresh.db", clock=lambda: NOW)
        shards["b"].failing = frozenset()
        clock.advance(10)
        fill(store)
        assert found(store) == set(PROMPTS)
        assert names_of(fleet("fresh", "a", "c")) == {"a": "s00", "fresh": "s01", "c": "s02"}
        shards["fresh"].store.close()

    def test_an_empty_server_in_the_place_of_a_missing_one_is_told_until_a_rebalance_is_done(
        self, fleet: Open, caplog: pytest.LogCaptureFixture
    ) -> None:
        fill(fleet("a", "b", "c"))
        assert not caplog.text
        store = fleet("a", "b", "d")
        store.open()
        assert names_of(store) == {"a": "s00", "b": "s01", "d": "s02"}
        (told,) = store.replacements
        assert "file d came empty and serves as shard s02" in told
        assert [record.getMessage() for record in caplog.records] == [told]
        later = fleet("d", "a", "b")
        later.open()
        assert list(later.replacements) == [told]
        assert len(caplog.records) == 1
        for _ in rebalance(later, sleep=lambda _: None):
            pass
        assert not later.replacements
        again = fleet("a", "b", "d")
        again.open()
        assert not again.replacements

    def test_servers_that_found_a_fleet_or_are_added_to_it_replace_nobody(
        self, fleet: Open, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = fleet("a", "b")
        store.open()
        grown = fleet("a", "b", "c")
        grown.open()
        grown.adopt_list()
        assert not store.replacements
        assert not grown.replacements
        assert "came empty" not in caplog.text

    @staticmethod
    def _hit(store: ShardedStore, prompt: str) -> bool:
        try:
            return store.get(address_of(prompt), now=NOW).entry is not None
        except StoreError:
            return False


class TestDisagreement:
    def test_a_client_with_a_shard_more_reads_and_refuses_to_write_until_told(
        self, fleet: Open, caplog: pytest.LogCaptureFixture
    ) -> None:
        fill(fleet("a", "b"))
        store = fleet("a", "b", "c")
        assert found(store) == set(PROMPTS)
        for write in (lambda: store.put(entry_of("new")), lambda: store.delete(Selector())):
            with pytest.raises(ConfigError, match=r"has the shards s00, s01, s02.*is s00, s01.*semroute ring adopt"):
                write()
        assert len([line for line in caplog.messages if "semroute ring adopt" in line]) == 1
        store.adopt_list()
        assert store.put(entry_of("new"))

    def test_a_client_with_a_shard_less_serves_what_it_can_reach_and_refuses_to_write(self, fleet: Open) -> None:
        whole = fleet("a", "b", "c")
        fill(whole)
        store = fleet("a", "b")
        mine = {prompt for prompt in PROMPTS if whole.ring.owner(address_of(prompt).shard) != "s02"}
        assert found(store) == mine
        with pytest.raises(ConfigError, match="it writes nothing until"):
            store.put(entry_of("new"))

    def test_a_running_client_learns_of_a_new_list_before_it_writes(self, fleet: Open, clock: FakeClock) -> None:
        old = fleet("a", "b")
        fill(old)
        fleet("a", "b", "c").adopt_list()
        clock.advance(5)
        with pytest.raises(ConfigError, match="s00, s01, s02"):
            old.put(entry_of("new"))
        assert found(old) == set(PROMPTS)

    def test_a_client_that_had_the_new_list_first_goes_on_when_it_is_adopted(
        self, fleet: Open, clock: FakeClock
    ) -> None:
        fill(fleet("a", "b"))
        early = fleet("a", "b", "c")
        with pytest.raises(ConfigError):
            early.put(entry_of("new"))
        fleet("c", "b", "a").adopt_list()
        clock.advance(5)
        assert early.put(entry_of("new"))
        assert found(early) == set(PROMPTS)
        assert early.ring.names == ("s00", "s01", "s02")

    def test_stores_of_two_fleets_are_refused(self, fleet: Open) -> None:
        fill(fleet("a", "b"))
        fill(fleet("x", "y"))
        for names in (("a", "b", "x"), ("x", "y", "a"), ("a", "x")):
            with pytest.raises(ConfigError, match="are shards of two fleets"):
                fleet(*names).open()
        assert found(fleet("x", "y")) == set(PROMPTS)
        assert fleet("x", "y").put(entry_of("new"))

    def test_a_shard_of_another_fleet_that_was_away_at_the_start_is_not_used(
        self, fleet: Open, shards: dict[str, FailingShard], clock: FakeClock
    ) -> None:
        fill(fleet("a", "b"))
        fill(fleet("x", "y"))
        mixed = fleet("a", "x", dead="x")
        mixed.open()
        shards["x"].failing = frozenset()
        clock.advance(10)
        assert "another fleet" in mixed.usable()["s01"]

    def test_a_store_of_another_digest_key_cannot_join(self, fleet: Open, tmp_path: Path) -> None:
        fill(fleet("a", "b"))
        alone = EmbeddedStore(tmp_path / "x.db", clock=lambda: NOW)
        alone.put(entry_of("its own"))
        alone.close()
        with pytest.raises(ConfigError, match="different digest keys"):
            fleet("a", "b", "x").adopt_list()

    def test_a_list_is_adopted_by_all_shards_or_not_at_all(self, fleet: Open, shards: dict[str, FailingShard]) -> None:
        fill(fleet("a", "b"))
        store = fleet("a", "b", "c", dead="b")
        with pytest.raises(StoreError, match=r"a list holds only when every shard has it.*file b"):
            store.adopt_list()
        assert fleet("a", "b").put(entry_of("new"))

    def test_a_mis_listed_client_never_serves_what_was_invalidated_behind_its_back(
        self, fleet: Open, shards: dict[str, FailingShard]
    ) -> None:
        store = fleet("a", "b", "c")
        entries = fill(store)
        shards["a"].failing = SHARD_OPERATIONS
        store.delete(Selector())
        with pytest.raises(StoreError):  # a alone cannot know, and of b and c it sees none
            found(fleet("a", "b", dead="b"))
        assert entries

    def test_weights_are_part_of_the_list(self, fleet: Open) -> None:
        store = fleet("a", "b")
        store.open()
        store.adopt_list({"s01": 3.0})
        shares = fleet("a", "b")
        shares.open()
        assert shares.ring.shares()["s01"] > 0.65
        with pytest.raises(ConfigError, match="there is no shard 's07'"):
            store.adopt_list({"s07": 2.0})

    def test_papers_hold_no_address(self, fleet: Open, shards: dict[str, FailingShard], tmp_path: Path) -> None:
        fill(fleet("a", "b"))
        assert str(tmp_path) not in str(shards["a"].note())
        assert "file" not in str(shards["a"].note())


class TestAfterAChange:
    @pytest.fixture
    def grown(self, fleet: Open) -> ShardedStore:
        """A fleet of two that became one of three, with nothing moved yet."""
        fill(fleet("a", "b"))
        store = fleet("a", "b", "c")
        store.adopt_list()
        return store

    def test_reads_fall_back_to_the_former_owner_and_copy_forward(
        self, grown: ShardedStore, shards: dict[str, FailingShard]
    ) -> None:
        moved = {prompt for prompt in PROMPTS if grown.ring.owner(address_of(prompt).shard) == "s02"}
        assert moved
        assert shards["c"].store.size().entries == 0  # type: ignore[attr-defined]  # an embedded store
        assert found(grown) == set(PROMPTS)
        assert {entry.id for entry in shards["c"].store.scan()} == {address_of(prompt).exact for prompt in moved}
        shards["a"].failing = shards["b"].failing = frozenset({"get"})
        assert all(grown.get(address_of(prompt), now=NOW).entry is not None for prompt in moved)

    async def test_so_do_asynchronous_reads(self, grown: ShardedStore, shards: dict[str, FailingShard]) -> None:
        for prompt in PROMPTS:
            assert (await grown.aget(address_of(prompt), now=NOW)).entry is not None
        assert 0 < shards["c"].store.size().entries < len(PROMPTS)  # type: ignore[attr-defined]  # an embedded store

    def test_searches_find_what_lies_with_the_former_owner(self, grown: ShardedStore) -> None:
        for prompt in PROMPTS:
            near = grown.search(address_of(prompt, "other"), make_vector(), embedder=EMBEDDER, k=5, now=NOW)
            assert [candidate.id for candidate in near] == [address_of(prompt).exact]

    def test_an_alias_that_lies_with_the_former_owner_comes_along(self, fleet: Open) -> None:
        store = fleet("a", "b")
        for entry, prompt in zip(fill(store), PROMPTS, strict=True):
            store.put(make_alias("again", entry, address=address_of(prompt, "again")))
        grown = fleet("a", "b", "c")
        grown.adopt_list()
        for _ in range(2):
            answers = [grown.get(address_of(prompt, "again"), now=NOW) for prompt in PROMPTS]
            assert all(answer.entry is not None and answer.alias is not None for answer in answers)

    def test_a_deletion_wins_over_what_could_be_copied(
        self, grown: ShardedStore, shards: dict[str, FailingShard], clock: FakeClock
    ) -> None:
        # The former owner was away when everything was invalidated, and comes back with what it had.
        shards["a"].failing = SHARD_OPERATIONS
        grown.delete(Selector())
        shards["a"].failing = frozenset()
        clock.advance(10)
        assert found(grown) == set()
        assert shards["c"].store.size().entries == 0  # type: ignore[attr-defined]  # an embedded store

    def test_a_store_that_was_used_alone_shares_what_it_holds(self, fleet: Open, tmp_path: Path) -> None:
        alone = EmbeddedStore(tmp_path / "a.db", clock=lambda: NOW)
        assert all(alone.put(entry_of(prompt)) for prompt in PROMPTS)
        alone.close()
        assert found(fleet("a", "b")) == set(PROMPTS)

    def test_a_client_that_must_not_write_copies_nothing(
        self, fleet: Open, grown: ShardedStore, shards: dict[str, FailingShard]
    ) -> None:
        holder = shards["c"].store
        assert found(fleet("a", "b")) == set(PROMPTS)
        assert holder.size().entries == 0  # type: ignore[attr-defined]  # an embedded store

    def test_two_changes_in_a_row_lose_nothing(self, fleet: Open, grown: ShardedStore) -> None:
        again = fleet("a", "b", "c", "d")
        again.adopt_list()
        assert found(again) == set(PROMPTS)
