"""How every shard of a ring is doing, asked one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from semroute.errors import SemrouteError
from semroute.stores.ring import HashRing

if TYPE_CHECKING:
    from semroute.stores.sharded import ShardedStore

_ROUNDS: Final = 5
_NOTHING_IS_LATER: Final = 2**53


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """One shard; None for what its store does not tell, or cannot while it is away."""

    name: str
    place: str
    share: float
    """Part of the ring that belongs to it; 0 where it is not on the list."""
    keys: int | None
    aliases: int | None
    bytes: int | None
    latency_ms: float | None
    """The median of some calls that read next to nothing."""
    breaker: str
    is_on_list: bool
    error: str | None


def read_status(store: ShardedStore, *, clock: Callable[[], float] = time.perf_counter) -> tuple[ShardStatus, ...]:
    """Ask every shard; raises StoreError where none answers, ConfigError where they can be no fleet."""
    away = store.usable()
    # By the whole list, which may have shards that were not given.
    shares = (store.ring if store.members is None else HashRing(store.members.weights)).shares()
    shards = []
    for health in store.health():
        name = health.name
        on_list = name in store.ring
        error = away.get(name, "" if on_list else "it is not on the list of the ring").removeprefix(f"{name}: ")
        size: Any = None
        latency_ms = None
        if name not in away:
            try:
                latency_ms = _latency_ms(store.stores[name], clock)
                size = _size(store.stores[name])
            except SemrouteError as failure:
                error = str(failure)
        shards.append(
            ShardStatus(
                name=name,
                place=store.places[name],
                share=shares.get(name, 0.0),
                keys=None if size is None else size.entries,
                aliases=None if size is None else size.aliases,
                bytes=None if size is None else size.bytes,
                latency_ms=latency_ms,
                breaker=health.state,
                is_on_list=on_list,
                error=error or None,
            )
        )
    return tuple(shards)


def _size(store: object) -> Any:
    from semroute.stores import Sizing

    return store.size() if isinstance(store, Sizing) else None


def _latency_ms(store: object, clock: Callable[[], float]) -> float | None:
    from semroute.stores import Epochs

    if not isinstance(store, Epochs):
        return None
    took: list[float] = []
    for _ in range(_ROUNDS):
        began = clock()
        store.epochs(after=_NOTHING_IS_LATER)
        took.append(clock() - began)
    return sorted(took)[_ROUNDS // 2] * 1_000
