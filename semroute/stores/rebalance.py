"""Moving what lies where an earlier list of shards put it: copied, verified, and only then taken away."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from semroute.errors import ConfigError, SemrouteError, StoreError
from semroute.stores import Copying, Epochs, Moving, Sizing, Store
from semroute.stores._fleet.joining import CHECK_EVERY_S

if TYPE_CHECKING:
    from semroute.entry import Entry
    from semroute.stores.sharded import ShardedStore

BATCH: Final = 100
GRACE_S: Final = CHECK_EVERY_S
"""A client may write by the former list for so long; a change is not called done before that has gone by."""
_MOST_PASSES: Final = 8


class _Source(Store, Copying, Moving, Protocol):
    """What a store must be to be moved from and to."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebalance has come."""

    entries: int = 0
    """How many there were to look at when it began."""
    looked_at: int = 0
    """In the pass that goes on."""
    moved: int = 0
    """Entries that left a shard which is not theirs, each after all of its own shards had it."""
    copied: int = 0
    """Copies that were put where one was missing."""
    invalidated: int = 0
    """Entries that were not copied because they are invalidated."""
    failed: int = 0
    """Entries that stay where they are, because a shard failed."""
    reason: str = ""
    """The last failure."""
    passes: int = 0
    is_done: bool = False
    """Whether everything lies where it belongs, and the list says so."""


def rebalance(
    store: ShardedStore,
    leaving: Sequence[Store] = (),
    *,
    per_second: float | None = None,
    clock: Callable[[], float] = time.time,
    ticks: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Progress]:
    """Move every entry to the shards that the list gives it to, and yield how far that is after every batch.

    `leaving` are stores that are no longer on the list, to be emptied too. At most `per_second` entries are moved in a
    second. It may be ended at any moment and begun again: an entry leaves a shard only after all of its own have it.
    What is invalidated is not copied; of two answers to one question the later one stays. Aliases are not moved, the
    next hit by meaning makes them anew. Passes are repeated until one finds nothing, the last of them after `GRACE_S`.

    Raises ConfigError where the list of the shards is another one, StoreError where a shard cannot be used.
    """
    _check_ready(store)
    sources = {**{name: _source(name, shard) for name, shard in store.stores.items()}, **_leaving(store, leaving)}
    members = store.members
    if members is None:
        raise ConfigError("the shards of this store were named by the application: its list cannot be settled")
    began, has_waited = ticks(), False
    move = _Move(store, sources, clock, _Pace(per_second, ticks, sleep))
    progress = Progress(entries=sum(source.size().entries for source in sources.values() if isinstance(source, Sizing)))
    while not progress.is_done and progress.passes < _MOST_PASSES:
        before = progress
        progress = dataclasses.replace(progress, looked_at=0, passes=progress.passes + 1)
        for name in sources:
            for step in move.shard(name, progress):
                progress = step
                yield step
        if progress.failed > before.failed:
            return
        if (progress.moved, progress.copied) == (before.moved, before.copied):
            rest_s = GRACE_S - (ticks() - began) if members.former and not has_waited else 0.0
            if rest_s > 0:
                sleep(rest_s)
                has_waited = True
                continue
            store.settle_list(members)
            progress = dataclasses.replace(progress, is_done=True)
    yield progress


class _Move:
    """Moves what lies on one shard after the other."""

    def __init__(
        self, store: ShardedStore, sources: dict[str, _Source], clock: Callable[[], float], pace: _Pace
    ) -> None:
        self._placement = store.placement
        self._sources = sources
        self._clock = clock
        self._pace = pace

    def shard(self, name: str, progress: Progress) -> Iterator[Progress]:
        """Go through the entries of a shard, and yield after every batch and at the end."""
        try:
            for entry in self._sources[name].scan():
                progress = self._entry(name, entry, progress)
                if progress.looked_at % BATCH == 0:
                    yield progress
        except StoreError as error:  # of the scan itself
            progress = dataclasses.replace(progress, failed=progress.failed + 1, reason=f"{name}: {error}")
        yield progress

    def _entry(self, name: str, entry: Entry, progress: Progress) -> Progress:
        progress = dataclasses.replace(progress, looked_at=progress.looked_at + 1)
        group = self._placement.group_of(entry)
        leaves = name not in group
        lacking = group if leaves else self._may_lack(entry, group, name)
        if not lacking:
            return progress
        copied = 0
        try:
            for target in lacking:
                if self._is_there(target, entry):
                    continue
                if entry.expires_at <= self._clock():
                    return progress
                self._pace.wait()
                if not self._sources[target].put(entry):
                    return dataclasses.replace(progress, invalidated=progress.invalidated + 1)
                copied += 1
                if not self._is_there(target, entry) and entry.expires_at > self._clock():
                    raise StoreError(f"{target} does not hold the copy that it took: is it full?")
            if leaves:
                self._sources[name].drop(entry.address, created_at=entry.created_at)
        except SemrouteError as error:
            return dataclasses.replace(progress, failed=progress.failed + 1, reason=f"{name}: {error}")
        return dataclasses.replace(progress, copied=progress.copied + copied, moved=progress.moved + leaves)

    def _may_lack(self, entry: Entry, group: Sequence[str], name: str) -> list[str]:
        """Return the replicas that an earlier list did not give the entry to."""
        if not self._placement.former:
            return []
        return [other for other in group if other != name]

    def _is_there(self, target: str, entry: Entry) -> bool:
        """Say whether a shard holds this answer, whole, or a later one to the same question."""
        there = self._sources[target].read(entry.address, now=self._clock())
        if there is None:
            return False
        if there.created_at != entry.created_at:
            return there.created_at > entry.created_at
        is_same = (there.query, there.answer, there.labels) == (entry.query, entry.answer, entry.labels)
        return is_same and (there.vector is None) == (entry.vector is None)


class _Pace:
    """Lets so many pass in a second, and no more."""

    def __init__(self, per_second: float | None, ticks: Callable[[], float], sleep: Callable[[float], None]) -> None:
        if per_second is not None and not 0 < per_second <= 1e9:
            raise ConfigError(f"a rate of {per_second!r} entries a second is out of range: give more than 0, or None")
        self._gap_s = 0.0 if per_second is None else 1 / per_second
        self._ticks = ticks
        self._sleep = sleep
        self._next = ticks()

    def wait(self) -> None:
        if not self._gap_s:
            return
        now = self._ticks()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._gap_s


def _check_ready(store: ShardedStore) -> None:
    away = store.usable()
    if store.disagreement:
        raise ConfigError(store.disagreement)
    if away:
        raise StoreError(f"nothing is moved unless every shard can be used: {'; '.join(away.values())}")


def _leaving(store: ShardedStore, stores: Sequence[Store]) -> dict[str, _Source]:
    """Return the stores that are to be emptied, once they know every invalidation of the fleet."""
    found: dict[str, _Source] = {}
    for number, leaving in enumerate(stores):
        name = f"leaving-{number}"
        source = _source(name, leaving)
        if not isinstance(leaving, Epochs):
            raise ConfigError(f"{leaving!r} cannot be emptied: it does not remember what was invalidated")
        leaving.open()
        store.teach(leaving)
        found[name] = source
    return found


def _source(name: str, store: object) -> _Source:
    if not (isinstance(store, Copying) and isinstance(store, Moving) and isinstance(store, Store)):
        raise ConfigError(f"{store!r} cannot be rebalanced: its entries cannot be read whole and taken away")
    source: _Source = store
    return source
