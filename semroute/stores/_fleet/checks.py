"""What a fleet is made of, checked before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from semroute.errors import ConfigError
from semroute.stores._fleet.papers import UNNAMED
from semroute.stores.capabilities import Epochs, Notes
from semroute.stores.ring import HashRing

if TYPE_CHECKING:
    from semroute.stores import Store
    from semroute.stores._fleet.shard import ShardStore


def checked_ring(shards: Mapping[str, Store], ring: HashRing | None) -> HashRing:
    made = HashRing(list(shards)) if ring is None else ring
    if set(made.names) != set(shards):
        raise ConfigError(f"the ring is made of {', '.join(made.names)}, the stores are those of {', '.join(shards)}")
    names: dict[int, str] = {}
    for name, store in shards.items():
        twin = names.setdefault(id(store), name)
        if twin != name:
            raise ConfigError(f"shards {twin!r} and {name!r} are one and the same store: give each its own")
    return made


def unnamed(stores: Sequence[Store], ring: HashRing | None, places: Sequence[str]) -> dict[str, Store]:
    """Give stores names for the time until they are asked for their own."""
    if ring is not None:
        raise ConfigError("give a ring with stores by name only: shards that name themselves keep their weights too")
    if not stores or len(places) != len(stores):
        raise ConfigError(f"{len(stores)} stores at {len(places)} places: give at least one, and a place for each")
    for store in stores:
        if not isinstance(store, Notes):
            raise ConfigError(f"{store!r} cannot keep its own name: give stores by name, as a mapping")
    return {f"{UNNAMED}{number}": store for number, store in enumerate(stores)}


def checked_store(name: str, store: Store) -> ShardStore:
    if not isinstance(store, Epochs):
        raise ConfigError(
            f"{store!r} cannot be shard {name!r}: it has no epochs() and adopt(), so that it could "
            "not take over invalidations after it was away"
        )
    shard: ShardStore = store
    return shard
