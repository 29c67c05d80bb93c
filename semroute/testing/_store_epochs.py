"""The conformance suite of stores: what is remembered of invalidations, and taken over from one store by another."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from semroute.entry import Selector
from semroute.errors import ConfigError
from semroute.stores import Copying, Epochs, EpochState
from semroute.testing._store_probes import get, queries, same_whole_entry, search
from semroute.testing.entries import EMBEDDER, NOW, make_address, make_alias, make_entry, make_vector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from semroute.stores._fleet.shard import ShardStore

X, Y = frozenset({"x"}), frozenset({"y"})


class EpochsSuite:
    """The capabilities Epochs and Copying, which make a store fit to be a shard."""

    @pytest.fixture
    def make_shard(self) -> Iterator[Callable[[], ShardStore]]:
        raise NotImplementedError("override `make_shard` with a factory of empty stores that share nothing")

    @pytest.fixture
    def shard(self, make_shard: Callable[[], ShardStore]) -> ShardStore:
        return make_shard()

    @pytest.fixture
    def former(self, make_shard: Callable[[], ShardStore], shard: ShardStore) -> ShardStore:
        """Return a shard of the same fleet, to have taken over from."""
        former = make_shard()
        former.adopt(fleet_state(shard))
        return former

    def test_it_has_the_capabilities(self, shard: ShardStore) -> None:
        assert isinstance(shard, Epochs)
        assert isinstance(shard, Copying)

    def test_a_new_store_is_not_settled_and_remembers_nothing(self, shard: ShardStore) -> None:
        state = shard.epochs()
        assert (state.is_settled, state.epoch, state.complete_since, state.invalidations) == (False, 0, 0, {})
        assert state.digest_key == shard.open()

    def test_an_entry_or_an_invalidation_settles_the_key(self, make_shard: Callable[[], ShardStore]) -> None:
        one, other = make_shard(), make_shard()
        one.put(make_entry("q"))
        other.delete(Selector(X))
        assert one.epochs().is_settled
        assert other.epochs().is_settled

    def test_every_invalidation_is_remembered_at_its_highest_epoch(self, shard: ShardStore) -> None:
        for selector in (Selector(X), Selector(Y), Selector(X), Selector(Y, NOW), Selector()):
            shard.delete(selector)
        state = shard.epochs()
        assert state.epoch == 5
        assert state.invalidations[Selector(Y)] == 2
        assert state.invalidations[Selector(X)] == 3
        assert state.invalidations[Selector(Y, NOW)] == 4
        assert state.invalidations[Selector()] == 5

    def test_only_what_is_later_can_be_asked_for(self, shard: ShardStore) -> None:
        for selector in (Selector(X), Selector(Y), Selector(X | Y)):
            shard.delete(selector)
        state = shard.epochs(after=1)
        assert (state.epoch, state.complete_since) == (3, 1)
        assert state.invalidations == {Selector(Y): 2, Selector(X | Y): 3}
        assert shard.epochs(after=3).invalidations == {}
        assert shard.epochs(after=70).complete_since == 3

    def test_what_is_adopted_goes_and_is_counted_and_the_rest_stays(self, shard: ShardStore) -> None:
        for query, labels in (("a", X), ("b", X | Y), ("c", Y), ("d", frozenset())):
            shard.put(make_entry(query, labels=labels))
        assert shard.adopt(fleet_state(shard, {Selector(X): 3})) == 2
        assert sorted(entry.query for entry in shard.scan()) == ["c", "d"]
        assert sorted(queries(search(shard))) == ["c", "d"]
        assert get(shard, "a").entry is None

    def test_adopting_all_labels_age_and_everything(self, make_shard: Callable[[], ShardStore]) -> None:
        for selector, left in (
            (Selector(X | Y), ["old x", "x"]),
            (Selector(created_before=NOW - 50), ["x", "xy"]),
            (Selector(X, NOW - 50), ["x", "xy"]),
            (Selector(Y, NOW - 50), ["old x", "x", "xy"]),
            (Selector(), []),
        ):
            shard = make_shard()
            shard.put(make_entry("old x", labels=X, created_at=NOW - 100))
            shard.put(make_entry("x", labels=X))
            shard.put(make_entry("xy", labels=X | Y))
            assert shard.adopt(fleet_state(shard, {selector: 7})) == 3 - len(left), selector
            assert sorted(entry.query for entry in shard.scan()) == left, selector

    def test_aliases_go_with_what_is_adopted(self, shard: ShardStore) -> None:
        entry = make_entry("q", labels=X)
        shard.put(entry)
        shard.put(make_alias("alias", entry))
        shard.adopt(fleet_state(shard, {Selector(X): 1}))
        assert get(shard, "alias").entry is None

    def test_what_was_stored_after_the_invalidation_stays(self, shard: ShardStore) -> None:
        shard.adopt(fleet_state(shard, {Selector(Y): 5}))
        shard.put(make_entry("q", labels=X, epoch=get(shard, "q").epoch))
        assert shard.adopt(fleet_state(shard, {Selector(X): 5})) == 0
        assert get(shard, "q").entry is not None
        assert shard.adopt(fleet_state(shard, {Selector(X): 6})) == 1

    def test_the_epoch_is_raised_and_known_to_the_next_get_and_never_lowered(self, shard: ShardStore) -> None:
        shard.adopt(fleet_state(shard, {Selector(X): 41}))
        assert get(shard, "q").epoch == shard.epochs().epoch == 41
        shard.adopt(fleet_state(shard, {Selector(Y): 7}))
        assert get(shard, "q").epoch == 41
        shard.delete(Selector(Y))
        assert get(shard, "q").epoch > 41

    def test_puts_in_flight_are_refused_by_what_was_adopted(self, shard: ShardStore) -> None:
        epoch = get(shard, "q").epoch
        shard.adopt(fleet_state(shard, {Selector(X): 9, Selector(created_before=NOW - 50): 10}))
        assert shard.put(make_entry("q", labels=X | Y, epoch=epoch)) is False
        assert shard.put(make_entry("old", created_at=NOW - 100, epoch=epoch)) is False
        assert shard.put(make_entry("young", epoch=epoch)) is True
        assert shard.put(make_entry("q", labels=X | Y, epoch=get(shard, "q").epoch)) is True

    def test_an_invalidation_of_what_is_under_way_is_remembered_beside_the_others(self, shard: ShardStore) -> None:
        under_way = Selector(X, under_way=True)
        for selector in (under_way, Selector(X), under_way, Selector(X | Y, under_way=True), Selector(X)):
            shard.delete(selector)
        remembered = {Selector(X): 5, under_way: 3, Selector(X | Y, under_way=True): 4}
        assert shard.epochs().invalidations == remembered
        assert shard.epochs(after=3).invalidations == {Selector(X): 5, Selector(X | Y, under_way=True): 4}

    def test_what_is_stored_outlives_an_adopted_one_of_what_is_under_way(self, shard: ShardStore) -> None:
        shard.put(make_entry("q", labels=X))
        epoch = get(shard, "q").epoch
        state = fleet_state(shard, {Selector(X, under_way=True): 9, Selector(under_way=True): 8})
        assert shard.adopt(state) == 0
        assert get(shard, "q").entry is not None
        assert queries(search(shard)) == ["q"]
        assert shard.epochs().embedder == EMBEDDER
        assert get(shard, "q").epoch == 9
        assert shard.put(make_entry("late", labels=X, epoch=epoch)) is False
        assert shard.put(make_entry("late", labels=Y, epoch=epoch)) is False
        assert shard.put(make_entry("later", labels=Y, epoch=8)) is True
        assert not shard.epochs().lacks(state)

    def test_adopting_both_kinds_twice_is_adopting_them_once(self, shard: ShardStore) -> None:
        for kinds in ((False, True), (True, False)):
            state = fleet_state(shard, {Selector(X, under_way=kind): 3 + place for place, kind in enumerate(kinds)})
            shard.adopt(state)
            after = shard.epochs()
            assert not after.lacks(state)
            assert shard.adopt(state) == 0
            assert shard.epochs() == after

    def test_an_epoch_from_elsewhere_does_not_outlive_an_invalidation(self, shard: ShardStore) -> None:
        shard.put(make_entry("q", labels=X, epoch=1_000_000))
        assert shard.adopt(fleet_state(shard, {Selector(X): 3})) == 1

    def test_adopting_twice_is_adopting_once(self, shard: ShardStore) -> None:
        state = fleet_state(shard, {Selector(X): 3, Selector(): 2})
        shard.adopt(state)
        after = shard.epochs()
        assert shard.adopt(state) == 0
        assert shard.epochs() == after
        assert not after.lacks(state)

    def test_a_store_that_missed_what_nobody_remembers_drops_all_that_is_older(self, shard: ShardStore) -> None:
        shard.put(make_entry("old"))
        shard.adopt(fleet_state(shard, epoch=4))
        shard.put(make_entry("older than the memory", epoch=4))
        state = dataclasses.replace(fleet_state(shard, {Selector(X): 20}), complete_since=10)
        assert shard.adopt(state) == 2
        assert list(shard.scan()) == []
        assert shard.epochs().complete_since == 10

    def test_a_store_that_heard_of_all_keeps_what_it_has(self, shard: ShardStore) -> None:
        shard.adopt(fleet_state(shard, epoch=12))
        shard.put(make_entry("q"))
        assert shard.adopt(dataclasses.replace(fleet_state(shard, {Selector(X): 20}), complete_since=10)) == 0
        assert get(shard, "q").entry is not None

    def test_after_everything_is_adopted_another_embedder_may_move_in(self, shard: ShardStore) -> None:
        shard.put(make_entry("q"))
        shard.adopt(fleet_state(shard, {Selector(): 3}))
        longer = make_vector(dimensions=16)
        assert shard.put(make_entry("p", vector=longer, embedder="another", epoch=3)) is True
        assert queries(search(shard, longer, embedder="another")) == ["p"]

    def test_a_store_without_an_embedder_takes_that_of_its_fleet_and_refuses_others(self, shard: ShardStore) -> None:
        state = dataclasses.replace(fleet_state(shard, epoch=1), embedder="the fleet's", dimensions=16)
        shard.adopt(state)
        assert (shard.epochs().embedder, shard.epochs().dimensions) == ("the fleet's", 16)
        with pytest.raises(ConfigError, match="invalidate --all"):
            shard.put(make_entry("q"))
        longer = make_vector(dimensions=16)
        assert list(search(shard, longer, embedder="the fleet's")) == []
        assert shard.put(make_entry("q", vector=longer, embedder="the fleet's")) is True
        assert queries(search(shard, longer, embedder="the fleet's")) == ["q"]

    def test_a_store_with_an_embedder_keeps_it(self, shard: ShardStore) -> None:
        shard.put(make_entry("q"))
        shard.adopt(dataclasses.replace(fleet_state(shard, epoch=1), embedder="another", dimensions=16))
        assert shard.epochs().embedder == EMBEDDER
        assert queries(search(shard)) == ["q"]

    def test_an_unsettled_store_takes_the_key_of_its_fleet_over(self, make_shard: Callable[[], ShardStore]) -> None:
        shard, other = make_shard(), make_shard()
        assert shard.open() != other.open()
        other.adopt(fleet_state(shard, epoch=1))
        assert other.open() == shard.open() == other.epochs().digest_key
        assert other.epochs().is_settled
        other.close()
        assert other.open() == shard.open()

    def test_a_settled_store_refuses_another_key_and_changes_nothing(
        self, make_shard: Callable[[], ShardStore]
    ) -> None:
        shard, other = make_shard(), make_shard()
        other.put(make_entry("q", labels=X))
        before = other.epochs()
        with pytest.raises(ConfigError, match="digest key"):
            other.adopt(fleet_state(shard, {Selector(X): 3}))
        assert other.epochs() == before
        assert get(other, "q").entry is not None

    def test_what_one_remembers_another_can_take_over(self, shard: ShardStore, former: ShardStore) -> None:
        shard.put(make_entry("q", labels=X))
        former.delete(Selector(X))
        former.delete(Selector(Y, NOW))
        assert shard.epochs().lacks(former.epochs())
        assert shard.adopt(former.epochs()) == 1
        assert not shard.epochs().lacks(former.epochs())

    def test_an_entry_can_be_read_with_all_that_belongs_to_it(self, shard: ShardStore) -> None:
        assert isinstance(shard, Copying)
        entry = make_entry("q", labels=X | Y, similarity=0.7)
        shard.put(entry)
        shard.put(make_entry("exact only", vector=None))
        shard.put(make_alias("alias", entry))
        whole = shard.read(make_address("q"), now=NOW)
        assert whole is not None
        assert same_whole_entry(whole, entry)
        exact_only = shard.read(make_address("exact only"), now=NOW)
        assert exact_only is not None
        assert (exact_only.vector, exact_only.embedder) == (None, None)
        assert shard.read(make_address("alias"), now=NOW) is None
        assert shard.read(make_address("never stored"), now=NOW) is None
        assert shard.read(make_address("q"), now=entry.expires_at) is None

    async def test_the_asynchronous_face_agrees(self, shard: ShardStore) -> None:
        assert isinstance(shard, Copying)
        await shard.aput(make_entry("q", labels=X, embedder=EMBEDDER))
        assert await shard.aread(make_address("q"), now=NOW) is not None
        assert await shard.aadopt(fleet_state(shard, {Selector(X): 3})) == 1
        assert await shard.aepochs() == shard.epochs()
        assert await shard.aread(make_address("q"), now=NOW) is None


def fleet_state(
    shard: ShardStore, invalidations: dict[Selector, int] | None = None, *, epoch: int | None = None
) -> EpochState:
    """Return a state of the shard's own fleet, with some invalidations and, where it is not given, their epoch."""
    known = {} if invalidations is None else invalidations
    reached = max(known.values(), default=1) if epoch is None else epoch
    return EpochState(shard.open(), True, reached, 0, known)
