"""What a store may be able to do beside `Store`, each a small Protocol; a fleet asks for most of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from semroute.breaker import State
    from semroute.entry import Address, Entry, Selector

    FloatMatrix: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StoreSize:
    """How much a store holds, expired entries that were not yet swept included."""

    entries: int
    aliases: int
    bytes: int
    """Queries, answers, vectors and what indexes them; the file itself may be larger."""
    partitions: int


@runtime_checkable
class Sizing(Protocol):
    """A store that can say how much it holds."""

    def size(self) -> StoreSize:
        """Count entries, aliases, bytes and partitions; raises StoreError."""
        ...

    async def asize(self) -> StoreSize: ...


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
        and whose epoch is lower go, with their aliases; it is remembered from then on. One that is `under_way` takes
        nothing that is stored. A store whose own epoch is below `complete_since` has missed some that nobody remembers,
        and drops every entry of an epoch below it. Then its epoch is raised to `state.epoch`; it is never lowered.
        Where everything was invalidated and nothing is left, another embedder may move in; a store that then has none
        takes that of `state`, and refuses the vectors of others from then on. Adopting the same state again changes
        nothing.

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


@dataclass(frozen=True, slots=True)
class Near:
    """An entry whose query is near to one of several vectors, or cannot be compared with them."""

    address: Address
    similarity: float
    """The greatest cosine to any of the vectors, clipped to [0, 1]; 1.0 where it cannot be compared."""

    @property
    def id(self) -> str:
        return self.address.exact


@runtime_checkable
class Nearby(Protocol):
    """A store that can be searched by meaning over all its partitions at once: what may a new document change?"""

    def nearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]:
        """Return every live entry that carries all of `labels` and is as similar as `at_least` to one of `vectors`.

        All of them and each once, in no particular order. `vectors` has the shape (n, dimensions), each of unit length.
        What cannot be compared counts as near: an entry without a vector, as those of the exact tier alone have none,
        and one whose vector is damaged. Raises StoreError where entries may be missing from the answer, ConfigError
        where the store holds vectors of another embedder.
        """
        ...

    async def anearby(
        self, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
    ) -> Sequence[Near]: ...


@runtime_checkable
class Notes(Protocol):
    """A store that keeps one short text about itself beside its entries: what a shard knows of its fleet.

    It is no entry: nothing that is invalidated, expires or is evicted touches it.
    """

    def note(self) -> str | None:
        """Return the text, None where none is kept; raises StoreError."""
        ...

    def keep_note(self, text: str, *, instead_of: str | None) -> bool:
        """Keep a text in the place of exactly that one, in one step; returns False where another stands there."""
        ...

    async def anote(self) -> str | None: ...
    async def akeep_note(self, text: str, *, instead_of: str | None) -> bool: ...


@runtime_checkable
class Moving(Protocol):
    """A store out of which an entry can be taken that has been copied elsewhere; to `Store.delete` it, it is none."""

    def drop(self, address: Address, *, created_at: float) -> bool:
        """Remove the entry of `address.exact` if it was created then, with its aliases, and remember nothing of it.

        Returns False where there is none, or a newer one. Raises StoreError.
        """
        ...

    async def adrop(self, address: Address, *, created_at: float) -> bool: ...


class Claim(StrEnum):
    """What came of asking for a lease."""

    OURS = "ours"
    """The caller holds it now, and held it before where it asked with the same token."""
    THEIRS = "theirs"
    """Another holds it: its answer may be on its way."""
    DECLINED = "declined"
    """The last holder ended without an answer that others may have: nobody should wait for another just now."""


@runtime_checkable
class Lease(Protocol):
    """A store that lends each exact key (`Address.exact`) to one holder at a time, told from others by its token.

    A lease says who calls the model, and nothing about what is stored: puts and reads go on as without it. It ends by
    itself `ttl_s` after it was taken or renewed, so that nobody waits long for a holder that has died. Every method
    may raise StoreError.
    """

    def acquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        """Take the lease of a key if it is free. Asking again with the same token renews it."""
        ...

    def renew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        """Have a lease last `ttl_s` from now; returns False, changing nothing, where the token does not hold it."""
        ...

    def release(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        """End a lease; returns False, changing nothing, where the token does not hold it.

        With `declined_s` whoever asks for it is told so for that long: there is no answer to wait for.
        """
        ...

    async def aacquire(self, address: Address, token: str, *, ttl_s: float) -> Claim: ...
    async def arenew(self, address: Address, token: str, *, ttl_s: float) -> bool: ...
    async def arelease(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool: ...


@dataclass(frozen=True, slots=True)
class ShardHealth:
    """How one shard of a sharded store is doing, as this process sees it."""

    name: str
    share: float
    """Part of the ring that belongs to it."""
    state: State
    """Of its breaker."""
    reason: str
    """Its last failure, for a person; empty where there was none."""
    is_current: bool
    """Whether it is known to have every invalidation, without which nothing of it is served."""
    is_patchy: bool
    """Whether it was found to lack entries that its replicas have, so that searches ask those too."""
    calls: int
    failures: int


@runtime_checkable
class Health(Protocol):
    """A store that leaves alone those of its parts that fail, so that nobody has to leave alone the whole of it."""

    def health(self) -> tuple[ShardHealth, ...]:
        """Say how every part is doing, without asking any."""
        ...

    def watch(self, on_change: Callable[[str, State, str], None]) -> None:
        """Tell somebody from now on, as (part, state, reason), when the breaker of a part changes its state."""
        ...
