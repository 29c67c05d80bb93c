"""Stores: where entries live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from semroute.stores._fleet.membership import Members
from semroute.stores.capabilities import (
    Claim,
    Copying,
    Epochs,
    EpochState,
    Health,
    Lease,
    Moving,
    Near,
    Nearby,
    Notes,
    ShardHealth,
    Sizing,
    StoreSize,
)

if TYPE_CHECKING:
    from semroute.entry import Address, Alias, Candidate, Entry, FloatVector, Found, Selector

__all__ = [
    "Claim",
    "Copying",
    "EpochState",
    "Epochs",
    "Health",
    "Lease",
    "Members",
    "Moving",
    "Near",
    "Nearby",
    "Notes",
    "ShardHealth",
    "Sizing",
    "Store",
    "StoreSize",
]


@runtime_checkable
class Store(Protocol):
    """Keeps entries and finds them again, by exact key and by nearness within one partition.

    Construction does no I/O. Every method may raise StoreError; `search` and `put` raise ConfigError when the
    store holds vectors of another embedder. Each method has an `a…` twin that never blocks the event loop.
    """

    def open(self) -> bytes:
        """Open the store if it is not open, and return the key that its digests are made with (32 bytes)."""
        ...

    def get(self, address: Address, *, now: float) -> Found:
        """Look up `address.exact`: the entry itself, or the one that an alias points to; never one expired at `now`.

        The entry comes without its vector and labels: this is the path of every hit, and no hit needs them.
        """
        ...

    def search(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]:
        """Return the `k` nearest live entries of `address.partition`, best first."""
        ...

    def put(self, record: Entry | Alias) -> bool:
        """Store an entry (replacing one of the same id) or an alias; it is durable when this returns.

        Returns False, storing nothing, when an invalidation since `entry.epoch` covers the entry, or when the
        alias points to an entry that is gone.
        """
        ...

    def delete(self, selector: Selector) -> int:
        """Remove the selected entries with their aliases, raise the epoch of the selection, return how many went.

        A put whose request began before this call is refused from now on where the selector covers the entry. With
        `under_way` nothing is removed, and that is all it does; a copy of an older entry counts as such a put.
        """
        ...

    def scan(self) -> Iterator[Entry]:
        """Iterate over all entries, expired ones left out, in no particular order, vectors included."""
        ...

    def close(self) -> None:
        """Write what is pending and let go of files and sockets; closing twice is allowed, and so is reopening."""
        ...

    async def aopen(self) -> bytes: ...
    async def aget(self, address: Address, *, now: float) -> Found: ...
    async def asearch(
        self, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
    ) -> Sequence[Candidate]: ...
    async def aput(self, record: Entry | Alias) -> bool: ...
    async def adelete(self, selector: Selector) -> int: ...
    def ascan(self) -> AsyncIterator[Entry]: ...
    async def aclose(self) -> None: ...
