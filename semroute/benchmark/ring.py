"""What consistent-hash rings are worth: how evenly they share keys out, and what moves when a shard comes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from semroute.errors import MissingExtra
from semroute.stores.ring import VIRTUAL_NODES, HashRing

if TYPE_CHECKING:
    from types import ModuleType

Owner: TypeAlias = Callable[[str], str]
"""Returns the shard of a key."""

_OTHERS_VIRTUAL_NODES: Final = 160
"""What `uhashring` makes of a shard when it is not told; its ketama ring has 40 times 4."""


@dataclass(frozen=True, slots=True)
class RingFigures:
    """How one ring did with the same shards and keys as the others."""

    name: str
    virtual_nodes: int
    shares: Mapping[str, float]
    """Part of the keys on each shard."""
    taken: Mapping[str, float]
    """Part of all keys that each shard gave to the one that came."""
    moved_elsewhere: float
    """Part of all keys that moved between shards which were there before: 0 for a consistent ring."""
    lookup_us: float

    @property
    def balance(self) -> float:
        """The largest share beside the mean: 1 is perfect."""
        return max(self.shares.values()) * len(self.shares)

    @property
    def moved(self) -> float:
        """Part of all keys that went to another shard when one came."""
        return sum(self.taken.values()) + self.moved_elsewhere


def compare(shards: int, keys: int) -> list[RingFigures]:
    """Measure our ring and those of `uhashring` with the same names and keys; raises MissingExtra without it."""
    others = _uhashring()
    names = [f"s{number:02}" for number in range(shards + 1)]
    asked = [f"key {number}" for number in range(keys)]
    makers: list[tuple[str, int, Callable[[Sequence[str]], Owner]]] = [
        ("semroute", VIRTUAL_NODES, lambda some: HashRing(some).owner),
        ("uhashring", _OTHERS_VIRTUAL_NODES, lambda some: _owner_of(others, some)),
        ("uhashring ketama", _OTHERS_VIRTUAL_NODES, lambda some: _owner_of(others, some, hash_fn="ketama")),
    ]
    return [measure(name, count, make, names, asked) for name, count, make in makers]


def measure(
    name: str, virtual_nodes: int, make: Callable[[Sequence[str]], Owner], names: Sequence[str], keys: Sequence[str]
) -> RingFigures:
    """Share keys out over all names but the last, then over all of them, and say what moved."""
    *old, new = names
    owner = make(old)
    began = time.perf_counter()
    before = [owner(key) for key in keys]
    lookup_us = (time.perf_counter() - began) / len(keys) * 1e6
    after = list(map(make(names), keys))
    counts = Counter(before)
    moves = Counter(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])
    return RingFigures(
        name=name,
        virtual_nodes=virtual_nodes,
        shares={shard: counts[shard] / len(keys) for shard in old},
        taken={shard: moves[shard, new] / len(keys) for shard in old},
        moved_elsewhere=sum(count for (_, to), count in moves.items() if to != new) / len(keys),
        lookup_us=lookup_us,
    )


def _owner_of(module: ModuleType, names: Sequence[str], **options: str) -> Owner:
    # It hands back whatever was put on the ring, which is a name here.
    ring: Any = module.HashRing(nodes=list(names), **options)
    owner: Owner = ring.get_node
    return owner


def _uhashring() -> ModuleType:
    try:
        import uhashring
    except ImportError as error:
        raise MissingExtra("comparing rings with uhashring", "evals") from error
    module: ModuleType = uhashring
    return module
