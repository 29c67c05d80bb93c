"""The Health capability: stores of several parts, each with a breaker of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from semroute.breaker import State


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
