"""The Epochs capability: stores that remember what was invalidated, and take it over from one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from semroute.entry import Address, Entry, Selector


@dataclass(frozen=True, slots=True)
class EpochState:
    """What a store remembers of its invalidations."""

    digest_key: bytes
    """What `Store.open` returns: one key for all shards of a fleet."""
    is_settled: bool
    """Whether entries or invalidations were made with the key, so that it can no longer be exchanged."""
    epoch: int
    complete_since: int = 0
    """Every invalidation after this epoch is among `invalidations`; older ones may be forgotten."""
    invalidations: Mapping[Selector, int] = field(default_factory=dict)
    """The highest epoch at which each selector was invalidated. It covers the selected entries of lower epochs."""
    embedder: str | None = None
    """Whose vectors the store holds, or would hold; None where none were stored since everything was invalidated."""
    dimensions: int | None = None

    def lacks(self, other: EpochState) -> bool:
        """Say whether the other remembers anything that this one has to take over."""
        return (
            self.epoch < other.epoch
            or self.digest_key != other.digest_key
            or (self.embedder is None and other.embedder is not None)
            or any(epoch > self.invalidations.get(selector, -1) for selector, epoch in other.invalidations.items())
        )


@runtime_checkable
class Epochs(Protocol):
    """A store that can be one of several: what is invalidated in one of them can be handed to the others.

    `Store.delete` raises the epoch and remembers the selector, those with `created_before` too. A put is refused where
    an invalidation later than `entry.epoch` covers the entry, and an epoch that the store has not reached counts as
    the one that it has. `Found.epoch` is never lower than an invalidation that was adopted.
    """

    def epochs(self, *, after: int = 0) -> EpochState:
        """Return what the store remembers, in one consistent view; raises StoreError.

        Of its invalidations those later than `after` alone; `complete_since` is then at least `after`, where the
        store has come so far.
        """
        ...

    def adopt(self, state: EpochState) -> int:
        """Take over what another store remembers, in one step for all readers; returns how many entries went.

        For every invalidation that is new here, or known at a lower epoch only, the entries that its selector covers
        and whose epoch is lower go, with their aliases; it is remembered from then on. A store whose own epoch is
        below `complete_since` has missed some that nobody remembers, and drops every entry of an epoch below it.
        Then its epoch is raised to `state.epoch`; it is never lowered. Where everything was invalidated and nothing is
        left, another embedder may move in; a store that then has none takes that of `state`, and refuses the vectors
        of others from then on. Adopting the same state again changes nothing.

        An unsettled store exchanges its digest key for that of `state`; a settled one with another key raises
        ConfigError and changes nothing.
        """
        ...

    async def aepochs(self, *, after: int = 0) -> EpochState: ...
    async def aadopt(self, state: EpochState) -> int: ...


@runtime_checkable
class Copying(Protocol):
    """A store that can give an entry with all that belongs to it, to be put into another store."""

    def read(self, address: Address, *, now: float) -> Entry | None:
        """Return the live entry whose own key is `address.exact`, with vector, labels and epoch; raises StoreError."""
        ...

    async def aread(self, address: Address, *, now: float) -> Entry | None: ...
