"""The Sizing capability: stores that can say how much they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


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
