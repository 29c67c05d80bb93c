"""Moving entries after a change of shards: nothing is lost, only the ring's share moves, and a stop costs nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from semroute.entry import Answer, Entry, Selector
from semroute.errors import ConfigError, StoreError
from semroute.stores.embedded import EmbeddedStore
from semroute.stores.rebalance import Progress, rebalance
from semroute.stores.sharded import ShardedStore
from semroute.testing.clock import FakeClock
from semroute.testing.entries import NOW
from semroute.testing.stores import SHARD_OPERATIONS, FailingShard

from .fleets import address_of, entry_of

PROMPTS = [f"prompt {number}" for number in range(120)]


class Files:
    """Files that are shards, and the stores of the latest client by their names."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.shards: dict[str, FailingShard] = {}
        self._folder = folder
        self._clock = clock
        self._made: list[ShardedStore] = []

    def client(self, names: str, **options: Any) -> ShardedStore:
        self.shards = {name: FailingShard(self.file(name)) for name in names}
        self._made.append(ShardedStore(list(self.shards.values()), places=list(names), clock=self._clock, **options))
        return self._made[-1]

    def file(self, name: str) -> EmbeddedStore:
        return EmbeddedStore(self._folder / f"{name}.db", clock=lambda: NOW)

    def count(self, name: str) -> int:
        return sum(1 for _ in self.shards[name].store.scan())

    def close(self) -> None:
        for store in self._made:
            store.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def files(tmp_path: Path, clock: FakeClock) -> Iterator[Files]:
    files = Files(tmp_path, clock)
    yield files
    files.close()


def fill(store: ShardedStore) -> None:
    for prompt in PROMPTS:
        assert store.put(entry_of(prompt))


def found(store: ShardedStore) -> set[str]:
    return {prompt for prompt in PROMPTS if store.get(address_of(prompt), now=NOW).entry is not None}


def run(store: ShardedStore, leaving: Any = (), **options: Any) -> Progress:
    *_, last = rebalance(store, leaving, **{"clock": lambda: NOW, "sleep": lambda seconds: None, **options})
    return last


def owned_by(store: ShardedStore, name: str) -> set[str]:
    return {prompt for prompt in PROMPTS if store.ring.owner(address_of(prompt).shard) == name}


@pytest.fixture
def grown(files: Files) -> ShardedStore:
    """A fleet of three that became one of four, with nothing moved yet."""
    fill(files.client("abc"))
    store = files.client("abcd")
    store.adopt_list()
    return store


def test_only_the_share_of_the_new_shard_moves_and_nothing_is_lost(files: Files, grown: ShardedStore) -> None:
    before = {name: files.count(name) for name in "abcd"}
    progress = run(grown)
    moved = owned_by(grown, "s03")
    assert (progress.moved, progress.copied, progress.failed, progress.is_done) == (len(moved), len(moved), 0, True)
    assert files.count("d") == len(moved) > 0
    assert sum(files.count(name) for name in "abcd") == sum(before.values()) == len(PROMPTS)
    assert found(grown) == set(PROMPTS)


def test_what_was_moved_arrives_whole(files: Files, grown: ShardedStore) -> None:
    wanted = {entry.id: entry for entry in map(entry_of, PROMPTS)}
    run(grown)
    for entry in files.shards["d"].store.scan():
        original = wanted[entry.id]
        assert entry.vector is not None
        assert original.vector is not None
        assert entry.vector.tolist() == original.vector.tolist()
        assert dataclasses.replace(entry, vector=None) == dataclasses.replace(original, vector=None)


def test_afterwards_the_list_has_no_former_one_and_reads_ask_one_shard(
    files: Files, grown: ShardedStore, clock: FakeClock
) -> None:
    assert grown.members is not None
    assert grown.members.former
    run(grown)
    assert not grown.members.former
    again = files.client("abcd")
    again.open()
    for shard in files.shards.values():
        shard.calls.clear()
    again.get(address_of("nobody asked this"), now=NOW)
    assert sum(shard.calls["get"] for shard in files.shards.values()) == 1


def test_a_rebalance_that_was_stopped_half_way_is_taken_up_again(files: Files, grown: ShardedStore) -> None:
    steps = rebalance(grown, clock=lambda: NOW, sleep=lambda seconds: None)
    for progress in steps:
        if progress.moved:
            break
    steps.close()
    assert found(grown) == set(PROMPTS)
    resumed = files.client("abcd")
    assert found(resumed) == set(PROMPTS)
    last = run(resumed)
    assert last.is_done
    assert files.count("d") == len(owned_by(resumed, "s03"))
    assert sum(files.count(name) for name in "abcd") == len(PROMPTS)


@pytest.mark.parametrize("operation", ["put", "read", "drop"])
def test_a_rebalance_that_dies_between_any_two_steps_loses_nothing(
    files: Files, grown: ShardedStore, operation: str
) -> None:
    class Killed(BaseException):
        pass

    target = files.shards["a" if operation == "drop" else "d"]
    kept = getattr(target, operation)

    def die(*given: Any, **named: Any) -> Any:
        kept(*given, **named)
        raise Killed

    setattr(target, operation, die)
    with pytest.raises(Killed):
        run(grown)
    delattr(target, operation)
    resumed = files.client("abcd")
    assert found(resumed) == set(PROMPTS)
    assert run(resumed).is_done
    assert sum(files.count(name) for name in "abcd") == len(PROMPTS)


def test_a_copy_that_cannot_be_verified_leaves_the_original_where_it_is(files: Files, grown: ShardedStore) -> None:
    files.shards["d"].put = lambda record: True  # type: ignore[method-assign]  # it says so, and stores nothing
    progress = run(grown)
    assert progress.failed == len(owned_by(grown, "s03"))
    assert (progress.moved, progress.is_done) == (0, False)
    assert "does not hold the copy that it took" in progress.reason
    assert sum(files.count(name) for name in "abc") == len(PROMPTS)


def test_what_could_not_be_moved_is_counted_and_moved_the_next_time(files: Files, grown: ShardedStore) -> None:
    files.shards["d"].failing = frozenset({"put"})
    assert run(grown).failed == len(owned_by(grown, "s03"))
    assert grown.members is not None
    assert grown.members.former
    files.shards["d"].failing = frozenset()
    assert run(grown).is_done


def test_nothing_begins_while_a_shard_is_away(files: Files, grown: ShardedStore) -> None:
    files.shards["b"].failing = SHARD_OPERATIONS
    grown.close()
    with pytest.raises(StoreError, match="unless every shard can be used: s01"):
        run(grown)


def test_a_client_with_another_list_moves_nothing(files: Files, grown: ShardedStore) -> None:
    with pytest.raises(ConfigError, match="semroute ring adopt"):
        run(files.client("abc"))


def test_a_list_that_changes_meanwhile_is_not_called_settled(files: Files, grown: ShardedStore) -> None:
    steps = rebalance(grown, clock=lambda: NOW, sleep=lambda seconds: None)
    next(steps)
    other = Files(files._folder, FakeClock())
    other.client("abcde").adopt_list()
    with pytest.raises((StoreError, ConfigError)):
        list(steps)
    last = other.client("abcde")
    assert found(last) == set(PROMPTS)
    other.close()


def test_what_an_added_document_may_have_changed_on_its_way_is_not_moved_and_costs_a_miss(
    files: Files, grown: ShardedStore
) -> None:
    moving = owned_by(grown, "s03")
    assert grown.delete(Selector(under_way=True)) == 0
    progress = run(grown)
    assert (progress.moved, progress.failed, progress.is_done) == (0, 0, True)
    assert progress.invalidated >= len(moving)
    assert found(grown) == set(PROMPTS) - moving
    assert grown.put(entry_of(min(moving), epoch=grown.get(address_of(min(moving)), now=NOW).epoch)) is True


def test_what_was_invalidated_is_not_brought_back(files: Files, grown: ShardedStore) -> None:
    moved = owned_by(grown, "s03")
    gone = sorted(moved)[0]
    entry = entry_of(gone, labels=frozenset({"wrong"}))
    former = next(name for name in "abc" if address_of(gone).exact in {one.id for one in files.shards[name].scan()})
    files.shards[former].put(entry)
    files.shards[former].failing = SHARD_OPERATIONS
    grown.delete(Selector(frozenset({"wrong"})))
    files.shards[former].failing = frozenset()
    last = files.client("abcd")
    assert run(last).is_done
    assert found(last) == set(PROMPTS) - {gone}


def test_the_later_of_two_answers_stays(files: Files, grown: ShardedStore) -> None:
    prompt = sorted(owned_by(grown, "s03"))[0]
    later: Entry = entry_of(prompt, answer=Answer("the later answer"), created_at=NOW + 1)
    assert grown.put(later)
    assert run(grown).is_done
    answer = grown.get(address_of(prompt), now=NOW).entry
    assert answer is not None
    assert answer.answer.text == "the later answer"
    assert sum(files.count(name) for name in "abcd") == len(PROMPTS)


def test_a_shard_that_leaves_is_emptied_into_the_others(files: Files) -> None:
    fill(files.client("abc"))
    store = files.client("ab")
    store.adopt_list()
    leaving = files.file("c")
    assert run(store, [leaving]).is_done
    assert found(store) == set(PROMPTS)
    assert list(leaving.scan()) == []
    leaving.close()


def test_a_shard_that_leaves_and_slept_through_an_invalidation_brings_nothing_back(files: Files) -> None:
    whole = files.client("abc")
    fill(whole)
    files.shards["c"].failing = SHARD_OPERATIONS
    whole.delete(Selector())
    store = files.client("ab")
    store.adopt_list()
    leaving = files.file("c")
    run(store, [leaving])
    assert found(store) == set()
    leaving.close()


def test_a_shard_cannot_be_emptied_into_itself(files: Files) -> None:
    fill(files.client("ab"))
    store = files.client("ab")
    with pytest.raises(ConfigError, match="that is to be emptied is shard s01"):
        run(store, [files.file("b")])


@pytest.mark.parametrize("replicas", [2, 3])
def test_with_replicas_every_entry_ends_on_all_of_its_shards_and_no_other(files: Files, replicas: int) -> None:
    fill(files.client("abc", replicas=replicas))
    store = files.client("abcd", replicas=replicas)
    store.adopt_list()
    assert run(store).is_done
    shards = dict(zip(("s00", "s01", "s02", "s03"), "abcd", strict=True))
    for prompt in PROMPTS:
        holders = {
            name
            for name, file in shards.items()
            if files.shards[file].store.get(address_of(prompt), now=NOW).entry is not None
        }
        assert holders == set(store.ring.replicas(address_of(prompt).shard, replicas))


def test_a_rate_is_kept(grown: ShardedStore) -> None:
    slept: list[float] = []
    ticks = FakeClock(0.0)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        ticks.advance(seconds)

    progress = run(grown, per_second=2, ticks=ticks, sleep=sleep)
    assert sum(slept) == pytest.approx((progress.copied - 1) / 2)


def test_a_client_that_writes_by_the_former_list_for_a_moment_loses_nothing(files: Files) -> None:
    late = files.client("abc")
    fill(late)
    grown = files.client("abcd")
    grown.adopt_list()

    def write_late(seconds: float) -> None:
        assert seconds == pytest.approx(5, abs=4)
        assert all(late.put(entry_of(f"late {number}")) for number in range(20))

    assert run(grown, sleep=write_late).is_done
    assert all(grown.get(address_of(f"late {number}"), now=NOW).entry is not None for number in range(20))


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_cannot_be_is_refused(grown: ShardedStore, rate: float) -> None:
    with pytest.raises(ConfigError, match="entries a second is out of range"):
        run(grown, per_second=rate)


def test_expired_entries_are_left_behind(files: Files) -> None:
    store = files.client("abc")
    for prompt in PROMPTS:
        store.put(entry_of(prompt, expires_at=NOW + 10))
    grown = files.client("abcd")
    grown.adopt_list()
    last = run(grown, clock=lambda: NOW + 20)
    assert (last.failed, last.is_done) == (0, True)
    assert files.count("d") == 0


def test_entries_are_moved_while_others_come(files: Files, grown: ShardedStore) -> None:
    late: list[str] = []
    for number, _ in enumerate(rebalance(grown, clock=lambda: NOW, sleep=lambda seconds: None)):
        late.append(f"late {number}")
        assert grown.put(entry_of(late[-1]))
    assert found(grown) == set(PROMPTS)
    assert all(grown.get(address_of(prompt), now=NOW).entry is not None for prompt in late)


def test_shards_that_the_application_named_have_no_list_to_settle() -> None:
    store = ShardedStore({name: EmbeddedStore("memory://", clock=lambda: NOW) for name in ("x", "y")})
    with pytest.raises(ConfigError, match="named by the application"):
        run(store)
    store.close()
