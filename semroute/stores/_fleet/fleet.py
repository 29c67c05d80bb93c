"""The shards of a sharded store together, and how calls to them are performed, in the sync and the async world."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from semroute.errors import StoreError
from semroute.stores._fleet.shard import Call, Outcome
from semroute.stores._worker import Worker

if TYPE_CHECKING:
    from semroute.stores._fleet.joining import Roster
    from semroute.stores._fleet.placement import Placement
    from semroute.stores._fleet.shard import Shard

T = TypeVar("T")

Steps: TypeAlias = Generator[Sequence[Call], Sequence[Outcome], T]
"""Yields calls that may go on at once, and receives what came of each, in their order."""

_MOST_THREADS: Final = 64


class Fleet:
    """What a sharded store knows of its shards. Only `performer` does any I/O."""

    def __init__(
        self,
        slots: Sequence[Shard],
        placement: Placement,
        clock: Callable[[], float],
        roster: Roster | None = None,
    ) -> None:
        self.slots = tuple(slots)
        """All shards that were given, on the ring or not."""
        self.keys = tuple(shard.name for shard in slots)
        """What the shards were called at first, in the order of `slots`: each answers to it ever after."""
        self.shards = {shard.name: shard for shard in slots}
        """The shards by name; former names may be left in it."""
        self.placement = placement
        self.replicas = placement.replicas
        self.clock = clock
        self.roster = roster
        self.strangers = 0
        """How many shards are on the fleet's list and were not given: what they know is never heard."""
        self.key: bytes | None = None
        """The digest key that all shards have; None until the fleet is opened."""
        self.highest_epoch = 0
        """The highest epoch seen on any shard: one that is behind it has missed an invalidation."""
        self.embedder: tuple[str, int] | None = None
        """Whose vectors the shards hold, and of how many dimensions, as far as this process has seen."""
        self.repaired = 0
        """How many copies were put where they were missing."""

    def __repr__(self) -> str:
        return f"{len(self.slots)} shards, {self.placement.replicas} replicas, epoch {self.highest_epoch}"

    @property
    def names(self) -> tuple[str, ...]:
        return self.placement.ring.names

    @property
    def quorum(self) -> int:
        """How many shards must take an invalidation, and how many must be heard before one that returned serves.

        With an odd number of shards any two such groups have one in common, so that no invalidation is overlooked.
        """
        return (len(self.names) + self.strangers + 1) // 2

    def saw(self, epoch: int) -> None:
        """Note an epoch that a shard has reached."""
        self.highest_epoch = max(self.highest_epoch, epoch)

    @property
    def may_write(self) -> bool:
        """Whether this client agrees with its shards on who they are."""
        return self.roster is None or not self.roster.disagreement

    def rename(self, names: Sequence[str]) -> None:
        """Call the shards by the names that they keep, in the order in which they were given."""
        for shard, name in zip(self.slots, names, strict=True):
            shard.rename(name)
            self.shards[name] = shard

    def forget(self) -> None:
        """Take nothing for granted any more: the shards were closed."""
        self.key = None
        self.embedder = None
        for shard in self.slots:
            shard.lose()

    def complaint(self, names: Sequence[str]) -> str:
        """Say for a person why shards cannot be used."""
        unknown = "too few of the others answer to know what was invalidated"
        return "; ".join(f"{name}: {self.shards[name].reason or unknown}" for name in names)


class Performer:
    """Performs the steps of `_sharded_flow`: a batch of calls at a time, those of a batch at once."""

    def __init__(self, shards: Mapping[str, Shard], clock: Callable[[], float]) -> None:
        self._shards = shards
        self._clock = clock
        self._worker = Worker(min(_MOST_THREADS, 4 * len(shards)))

    def drive(self, steps: Steps[T]) -> T:
        """Perform steps one by one, and return what they return."""
        try:
            calls = next(steps)
            while True:
                calls = steps.send(self._perform(calls))
        except StopIteration as end:
            value: T = end.value
            return value

    async def adrive(self, steps: Steps[T]) -> T:
        """Do what `drive` does on the event loop."""
        try:
            calls = next(steps)
            while True:
                calls = steps.send(await self._aperform(calls))
        except StopIteration as end:
            value: T = end.value
            return value

    def close(self) -> None:
        self._worker.close()

    def _perform(self, calls: Sequence[Call]) -> list[Outcome]:
        """Make the first call in this thread and the others in threads of their own."""
        if len(calls) == 1:
            return [self.make(calls[0])]
        first, *others = calls
        waiting = [self._worker.submit(functools.partial(self.make, call)) for call in others]
        return [self.make(first), *(future.result() for future in waiting)]

    async def _aperform(self, calls: Sequence[Call]) -> list[Outcome]:
        if len(calls) == 1:
            return [await self.amake(calls[0])]
        return await asyncio.gather(*map(self.amake, calls))

    def make(self, call: Call) -> Outcome:
        """Make one call, in this thread."""
        shard = self._shards[call.shard]
        refusal = shard.refusal(call)
        if refusal is not None:
            return refusal
        began = self._clock()
        try:
            value: Any = call.deed.act(shard.store)
        except Exception as error:  # a shard is a store of any make: what it raises costs its own part only
            return shard.failed(error)
        return shard.answered(call, value, self._clock() - began)

    async def amake(self, call: Call) -> Outcome:
        """Do what `make` does on the event loop."""
        shard = self._shards[call.shard]
        refusal = shard.refusal(call)
        if refusal is not None:
            return refusal
        deadline_s = shard.deadline_s(call)
        began = self._clock()
        try:
            async with asyncio.timeout(deadline_s) as limit:
                value: Any = await call.deed.aact(shard.store)
        except Exception as error:  # as above
            if limit.expired():
                return shard.failed(StoreError(f"no answer within {deadline_s:g} s"))
            return shard.failed(error)
        return shard.answered(call, value, self._clock() - began)
