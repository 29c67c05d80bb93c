"""The sharded store: any stores on a consistent-hash ring, with replicas, fail-over and repair."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from semroute.breaker import Breaker
from semroute.codec import encode_answer
from semroute.entry import Alias
from semroute.errors import ConfigError, StoreError
from semroute.stores import Epochs, Sizing
from semroute.stores._fleet import flow, hits, joining, lease, nearness, up_to_date
from semroute.stores._fleet.checks import checked_ring, checked_store, unnamed
from semroute.stores._fleet.fleet import Fleet, Performer
from semroute.stores._fleet.placement import Placement
from semroute.stores._fleet.shard import Deed, Shard
from semroute.stores._fleet.walk import Walk
from semroute.stores.capabilities import Notes, StoreSize
from semroute.stores.ring import HashRing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from semroute.breaker import State
    from semroute.entry import Address, Candidate, Entry, FloatVector, Found, Selector
    from semroute.stores import ShardHealth, Store
    from semroute.stores._fleet.membership import Members
    from semroute.stores.capabilities import Claim, FloatMatrix, Near

_LOG: Final = logging.getLogger("semroute.stores")

DEFAULT_DEADLINE_S: Final = 2.0


class ShardedStore:
    """One store made of many: an entry lies where its `Address.shard` falls on the ring; see `Store` for the methods.

    Each entry is kept by `replicas` shards. A read asks one and fails over to the next; one that lacks the entry gets
    a copy. A write goes to all, and counts as done where one took it. A shard that fails or answers too late, several
    times in a row, is left alone for a while by a breaker of its own, and costs its own part only: where no replica
    answers, StoreError is raised.

    What is invalidated while a shard is away is remembered by the others, and handed to it before it serves again. So
    every shard must have the `Epochs` capability; one that has `Copying` too can be copied from.

    The shards are named by the application, or by themselves: a sequence of stores finds its names, weights and list
    in the shards, which must have the `Notes` capability then. Where that list has other shards, reads go on, and what
    writes raises ConfigError until the right stores are given, or `adopt_list` is called.
    """

    def __init__(
        self,
        shards: Mapping[str, Store] | Sequence[Store],
        *,
        places: Sequence[str] | None = None,
        ring: HashRing | None = None,
        replicas: int = 1,
        sub_shards: Mapping[str, int] | None = None,
        deadline_s: float | None = DEFAULT_DEADLINE_S,
        failures_to_open: int = 3,
        cooldown_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[str, State, str], None] | None = None,
    ) -> None:
        """Take stores by the stable names of their shards, or stores that keep their names; nothing is opened yet.

        `places` says of the latter where they are, for a person. `ring` carries weights of named ones, and has the same
        names. `sub_shards` says over how many sub-shards the `Address.shard`
        of a hot prompt is spread. After `deadline_s` an asynchronous call is given up; a synchronous one keeps to the
        deadlines of its store, and counts as a failure where it took longer. `on_change(name, state, reason)` hears of
        breakers. Raises ConfigError.
        """
        if deadline_s is not None and not 0 < deadline_s <= 3600:
            raise ConfigError(f"deadline_s={deadline_s!r} is out of range: give up to 3600 seconds, or None for none")
        roster = None
        if not isinstance(shards, Mapping):
            roster = joining.Roster([repr(store) for store in shards] if places is None else list(places))
            shards = unnamed(shards, ring, roster.places)
        placement = Placement(checked_ring(shards, ring), replicas, {} if sub_shards is None else dict(sub_shards))
        self._told = on_change
        slots = [
            Shard(
                name,
                checked_store(name, store),
                Breaker(name, self._changed, failures_to_open=failures_to_open, cooldown_s=cooldown_s, clock=clock),
                deadline_s,
            )
            for name, store in (shards.items() if roster is not None else sorted(shards.items()))
        ]
        self._fleet = Fleet(slots, placement, clock, roster)
        self._performer = Performer(self._fleet.shards, clock)

    def __repr__(self) -> str:
        return f"<ShardedStore {self._fleet!r}: {', '.join(shard.name for shard in self._fleet.slots)}>"

    @property
    def ring(self) -> HashRing:
        return self._fleet.placement.ring

    @property
    def replicas(self) -> int:
        return self._fleet.placement.replicas

    @property
    def placement(self) -> Placement:
        """Which shards keep what, by the list that holds."""
        return self._fleet.placement

    @property
    def stores(self) -> Mapping[str, Store]:
        """The stores by the names of their shards."""
        return {shard.name: shard.store for shard in self._fleet.slots}

    @property
    def places(self) -> Mapping[str, str]:
        """Where each shard is, for a person, by its name."""
        roster = self._fleet.roster
        told = [repr(shard.store) for shard in self._fleet.slots] if roster is None else roster.places
        return {shard.name: place for shard, place in zip(self._fleet.slots, told, strict=True)}

    @property
    def members(self) -> Members | None:
        """The list of shards that holds, as far as it is known; None where the application names them."""
        return None if self._fleet.roster is None else self._fleet.roster.members

    @property
    def disagreement(self) -> str:
        """Why nothing can be written: the list that the shards keep is another one; empty where all agree."""
        return "" if self._fleet.roster is None else self._fleet.roster.disagreement

    @property
    def replacements(self) -> Sequence[str]:
        """What to know of shards that came empty in the place of others, a sentence each, until a rebalance is done."""
        return joining.replacements(self._fleet)

    def adopt_list(self, weights: Mapping[str, float] | None = None) -> Members:
        """Make these shards the fleet: write their list into all of them; `weights` changes those of some, by name.

        Until the change is settled, what is not found where the new list puts it is looked for where the former one
        did. Raises StoreError unless every shard answers, ConfigError for shards that cannot be one fleet.
        """
        steps = joining.adopt_list(self._fleet, {} if weights is None else weights)
        members = self._performer.drive(steps)
        self.open()
        return members

    def settle_list(self, members: Members) -> Members:
        """Note in all shards that everything lies where this list puts it; see `semroute.stores.rebalance`.

        Raises StoreError where another list holds by now, or a shard does not answer.
        """
        self.open()
        return self._performer.drive(joining.settle_list(self._fleet, members))

    def usable(self) -> dict[str, str]:
        """Bring every shard of the list up to date, and return why those cannot be used that cannot."""
        self.open()
        ready = {name: self._performer.drive(flow.usable(self._fleet, name)) for name in self.ring.names}
        return {name: self._fleet.complaint([name]) for name, is_ready in ready.items() if not is_ready}

    def teach(self, store: Epochs) -> None:
        """Have a store that is no shard adopt all invalidations of the fleet; raises ConfigError for another fleet's.

        A store that is a shard under another name is refused too.
        """
        note = store.note() if isinstance(store, Notes) else None
        self._performer.drive(joining.check_left(self._fleet, note))
        store.adopt(self._performer.drive(up_to_date.state_of_all(self._fleet)))

    def watch(self, on_change: Callable[[str, State, str], None]) -> None:
        """Tell somebody of breakers, with the name of the part in front ("shard s00"), instead of the log."""
        earlier = self._told

        def told(name: str, state: State, reason: str) -> None:
            if earlier is not None:
                earlier(name, state, reason)
            on_change(f"shard {name}", state, reason)

        self._told = told

    @property
    def repaired(self) -> int:
        """How many copies were put into replicas that lacked them, since this object was made."""
        return self._fleet.repaired

    def health(self) -> tuple[ShardHealth, ...]:
        """Say how every shard is doing, without asking any."""
        shares = self.ring.shares()
        return tuple(shard.health(shares.get(shard.name, 0.0)) for shard in self._fleet.slots)

    def open(self) -> bytes:
        return self._performer.drive(up_to_date.open_all(self._fleet))

    def get(self, address: Address, *, now: float) -> Found:
        call = hits.short_way(self._fleet, address, now)
        found = None if call is None else hits.read(self._fleet, call, self._performer.make(call))
        return self._performer.drive(flow.get(self._fleet, address, now)) if found is None else found

    def search(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]:
        return self._performer.drive(flow.search(self._fleet, address, vector, embedder=embedder, k=k, now=now))

    def put(self, record: Entry | Alias) -> bool:
        _check_storable(record)
        return self._performer.drive(flow.put(self._fleet, record))

    def delete(self, selector: Selector) -> int:
        return self._performer.drive(flow.delete(self._fleet, selector))

    def scan(self) -> Iterator[Entry]:
        """Iterate over all entries once, whatever shards they are on.

        Raises StoreError at the end where so many shards failed that entries may be missing.
        """
        walk = Walk(self._fleet)
        self.open()
        for name in self.ring.names:
            shard = self._fleet.shards[name]
            if not self._performer.drive(flow.usable(self._fleet, name)):
                walk.skip(name)
                continue
            try:
                for entry in shard.store.scan():
                    if walk.is_new(entry):
                        yield entry
            except StoreError as error:
                walk.fail(name, error)
        walk.end()

    def close(self) -> None:
        for shard in self._fleet.slots:
            try:
                shard.store.close()
            except StoreError as error:
                _LOG.info("shard %s could not be closed: %s", shard.name, error)
        self._performer.close()
        self._fleet.forget()

    def size(self) -> StoreSize:
        """Add up what the shards that answer hold, each entry counted once; raises StoreError."""
        return _sum(self._performer.drive(flow.ask_all(self._fleet, _SIZE)), self.replicas)

    def nearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]:
        """Return all entries near to one of some vectors, on whatever shard; see `Nearby.nearby`.

        Raises StoreError where a shard does not answer, unless others keep copies of all that it has.
        """
        return self._performer.drive(
            nearness.nearby(self._fleet, vectors, labels=labels, embedder=embedder, at_least=at_least, now=now)
        )

    def acquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        """Take the lease of a key from the shard that keeps it; see `Lease`, and so for the next two."""
        return self._performer.drive(lease.acquire(self._fleet, address, token, ttl_s))

    def renew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        return self._performer.drive(lease.renew(self._fleet, address, token, ttl_s))

    def release(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        return self._performer.drive(lease.release(self._fleet, address, token, declined_s))

    async def aopen(self) -> bytes:
        return await self._performer.adrive(up_to_date.open_all(self._fleet))

    async def aget(self, address: Address, *, now: float) -> Found:
        call = hits.short_way(self._fleet, address, now)
        found = None if call is None else hits.read(self._fleet, call, await self._performer.amake(call))
        return await self._performer.adrive(flow.get(self._fleet, address, now)) if found is None else found

    async def asearch(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]:
        return await self._performer.adrive(flow.search(self._fleet, address, vector, embedder=embedder, k=k, now=now))

    async def aput(self, record: Entry | Alias) -> bool:
        _check_storable(record)
        return await self._performer.adrive(flow.put(self._fleet, record))

    async def adelete(self, selector: Selector) -> int:
        return await self._performer.adrive(flow.delete(self._fleet, selector))

    async def ascan(self) -> AsyncIterator[Entry]:
        walk = Walk(self._fleet)
        await self.aopen()
        for name in self.ring.names:
            shard = self._fleet.shards[name]
            if not await self._performer.adrive(flow.usable(self._fleet, name)):
                walk.skip(name)
                continue
            try:
                async for entry in shard.store.ascan():
                    if walk.is_new(entry):
                        yield entry
            except StoreError as error:
                walk.fail(name, error)
        walk.end()

    async def aclose(self) -> None:
        for shard in self._fleet.slots:
            try:
                await shard.store.aclose()
            except StoreError as error:
                _LOG.info("shard %s could not be closed: %s", shard.name, error)
        await asyncio.to_thread(self._performer.close)
        self._fleet.forget()

    async def asize(self) -> StoreSize:
        return _sum(await self._performer.adrive(flow.ask_all(self._fleet, _SIZE)), self.replicas)

    async def anearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]:
        return await self._performer.adrive(
            nearness.nearby(self._fleet, vectors, labels=labels, embedder=embedder, at_least=at_least, now=now)
        )

    async def aacquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        return await self._performer.adrive(lease.acquire(self._fleet, address, token, ttl_s))

    async def arenew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        return await self._performer.adrive(lease.renew(self._fleet, address, token, ttl_s))

    async def arelease(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        return await self._performer.adrive(lease.release(self._fleet, address, token, declined_s))

    def _changed(self, name: str, state: State, reason: str) -> None:
        if self._told is not None:
            self._told(name, state, reason)
            return
        match state:
            case "open":
                _LOG.warning("shard %s is left alone for a while: %s", name, reason)
            case "closed":
                _LOG.warning("shard %s answers again", name)
            case "half_open":
                _LOG.info("shard %s is tried again", name)


def _check_storable(record: Entry | Alias) -> None:
    """Raise StoreError for an entry that no shard could keep, so that none is blamed for it."""
    if isinstance(record, Alias):
        return
    encode_answer(record.answer)
    if record.vector is not None and not np.isfinite(record.vector).all():
        raise StoreError(f"a vector must be one-dimensional and finite, this one has shape {record.vector.shape}")


def _sizing(store: object) -> Sizing:
    if not isinstance(store, Sizing):
        raise StoreError(f"{store!r} cannot say how much it holds")
    return store


_SIZE: Final[Deed[StoreSize]] = Deed(lambda store: _sizing(store).size(), lambda store: _sizing(store).asize())


def _sum(sizes: Mapping[str, StoreSize], replicas: int) -> StoreSize:
    def copies(count: int) -> int:
        return math.ceil(count / replicas)

    return StoreSize(
        entries=copies(sum(size.entries for size in sizes.values())),
        aliases=copies(sum(size.aliases for size in sizes.values())),
        bytes=sum(size.bytes for size in sizes.values()),
        partitions=copies(sum(size.partitions for size in sizes.values())),
    )
