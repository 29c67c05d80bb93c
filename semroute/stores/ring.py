"""The consistent-hash ring: which shard a key belongs to, and what moves when shards come and go."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from semroute.errors import ConfigError

VIRTUAL_NODES: Final = 256
"""Points of a shard of weight 1. A share then strays from the mean by about 1/sqrt(256), 6 %.

With 150 points one shard in 20,000 gets more than 1.35 times the mean, which is one fleet of 64 shards in 300; with
256 it is one shard in 5,000,000.
"""

_RING: Final = 1 << 64
_POINT_BYTES: Final = 8
_POINTS_A_DIGEST: Final = 8
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LEAST_WEIGHT, _MOST_WEIGHT = 0.01, 100.0
_MOST_VIRTUAL_NODES: Final = 10_000


class HashRing:
    """Shards on a circle of 64-bit numbers; a key belongs to the first point at or after its own hash.

    A ring never changes: `with_shard` and `without_shard` return another one. It depends on names and weights alone,
    neither on their order nor on the process, and a shard's points on its own name alone: a shard that comes takes
    keys and moves no others, one that goes gives up its own (Karger et al., 1997).
    """

    __slots__ = ("_hashes", "_names", "_owners", "_virtual_nodes", "_weights")

    def __init__(self, shards: Iterable[str] | Mapping[str, float], *, virtual_nodes: int = VIRTUAL_NODES) -> None:
        """Take names, or names with weights: a shard of weight 2 gets twice the share of one of weight 1.

        Raises ConfigError for no shard, a name twice, and names, weights or `virtual_nodes` out of range.
        """
        self._virtual_nodes = _checked_virtual_nodes(virtual_nodes)
        self._weights: Mapping[str, float] = MappingProxyType(dict(sorted(_checked_weights(shards).items())))
        self._names = tuple(self._weights)
        # Of two points in one place the first name's wins, whatever order they were given in.
        points = sorted(
            (point, number)
            for number, (name, weight) in enumerate(self._weights.items())
            for point in _points(name, max(1, round(weight * virtual_nodes)))
        )
        self._hashes = [point for point, _ in points]
        self._owners = [number for _, number in points]

    def __repr__(self) -> str:
        told = ", ".join(
            name if weight == 1 else f"{name} (weight {weight:g})" for name, weight in self._weights.items()
        )
        return f"<HashRing of {len(self)}: {told}>"

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._weights

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HashRing):
            return NotImplemented
        return self._weights == other._weights and self._virtual_nodes == other._virtual_nodes

    def __hash__(self) -> int:
        return hash((self._virtual_nodes, *self._weights.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the shards, sorted."""
        return self._names

    @property
    def weights(self) -> Mapping[str, float]:
        return self._weights

    def with_shard(self, name: str, weight: float = 1.0) -> HashRing:
        """Return the ring with one shard more; raises ConfigError for a name that is there already."""
        if name in self._weights:
            raise ConfigError(f"shard {name!r} is on the ring already: take it off first, or give another name")
        return HashRing({**self._weights, name: weight}, virtual_nodes=self._virtual_nodes)

    def without_shard(self, name: str) -> HashRing:
        """Return the ring with one shard less; raises ConfigError for a name that is not there, and for the last."""
        if name not in self._weights:
            raise ConfigError(f"there is no shard {name!r} on the ring, only {', '.join(self._names)}")
        rest = {other: weight for other, weight in self._weights.items() if other != name}
        return HashRing(rest, virtual_nodes=self._virtual_nodes)

    def owner(self, key: str) -> str:
        """Return the shard that a key belongs to."""
        return self._names[self._owners[bisect_left(self._hashes, _hash(key)) % len(self._hashes)]]

    def replicas(self, key: str, r: int) -> tuple[str, ...]:
        """Return the `r` different shards that keep a key, its owner first; raises ConfigError for too large an `r`.

        A shard that comes or goes changes at most one of them, and leaves the order of the others.
        """
        if not 1 <= r <= len(self._names):
            raise ConfigError(f"{r!r} replicas need as many shards, and the ring has {len(self._names)}")
        if r == 1:
            return (self.owner(key),)
        start = bisect_left(self._hashes, _hash(key))
        found: list[int] = []
        for step in range(len(self._owners)):
            number = self._owners[(start + step) % len(self._owners)]
            if number not in found:
                found.append(number)
                if len(found) == r:
                    break
        return tuple(self._names[number] for number in found)

    def shares(self) -> dict[str, float]:
        """Return the part of the ring that belongs to each shard, exactly; together they are 1."""
        arcs = dict.fromkeys(self._names, 0)
        for (before, _), (point, number) in pairwise(self._laps()):
            arcs[self._names[number]] += point - before
        return {name: arc / _RING for name, arc in arcs.items()}

    def balance(self) -> float:
        """Return the largest share beside the one that its weight calls for: 1 is perfect."""
        total = math.fsum(self._weights.values())
        return max(share * total / self._weights[name] for name, share in self.shares().items())

    def moves_to(self, other: HashRing) -> dict[tuple[str, str], float]:
        """Return the part of the ring that goes from one shard to another, by (from, to), if `other` takes over."""
        arcs: dict[tuple[str, str], int] = {}
        cuts = sorted({*self._hashes, *other._hashes})
        for before, point in pairwise([cuts[-1] - _RING, *cuts]):
            pair = self._name_at(point), other._name_at(point)
            if pair[0] != pair[1]:
                arcs[pair] = arcs.get(pair, 0) + point - before
        return {pair: arc / _RING for pair, arc in sorted(arcs.items())}

    def _name_at(self, place: int) -> str:
        return self._names[self._owners[bisect_left(self._hashes, place) % len(self._hashes)]]

    def _laps(self) -> list[tuple[int, int]]:
        """Return all points, led by the last one as it stood a lap before."""
        points = list(zip(self._hashes, self._owners, strict=True))
        return [(self._hashes[-1] - _RING, self._owners[-1]), *points]


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(_bytes(key), digest_size=_POINT_BYTES, person=b"semroute key").digest(), "big")


def _points(name: str, count: int) -> list[int]:
    """Return the first `count` points of a shard: a heavier shard keeps the points of a lighter one of its name."""
    found: list[int] = []
    for number in range(-(-count // _POINTS_A_DIGEST)):
        digest = blake2b(f"{number}\0{name}".encode(), person=b"semroute ring").digest()
        found += [int.from_bytes(digest[at : at + _POINT_BYTES], "big") for at in range(0, len(digest), _POINT_BYTES)]
    return found[:count]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _checked_weights(shards: Iterable[str] | Mapping[str, float]) -> dict[str, float]:
    if isinstance(shards, str):
        raise ConfigError(f"give the names of shards as a list, such as [{shards!r}], not as one string")
    pairs = list(shards.items()) if isinstance(shards, Mapping) else [(name, 1.0) for name in shards]
    if not pairs:
        raise ConfigError("a ring needs at least one shard: name one")
    weights: dict[str, float] = {}
    for name, weight in pairs:
        if check_name(name) in weights:
            raise ConfigError(f"two shards are called {name!r}: give each a name of its own")
        weights[name] = _checked_weight(name, weight)
    return weights


def check_name(name: object) -> str:
    """Return the name of a shard, or raise ConfigError for one that cannot stand in a key of every store."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name!r} cannot name a shard: give 1 to 64 letters, digits, dots, hyphens and underscores, "
            "the first a letter or digit, such as 's03'"
        )
    return name


def _checked_weight(name: str, weight: object) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not _LEAST_WEIGHT <= weight <= _MOST_WEIGHT:
        raise ConfigError(
            f"shard {name!r} has weight {weight!r}: give a number from {_LEAST_WEIGHT:g} to {_MOST_WEIGHT:g}, "
            "1 for the usual share; to give a shard nothing, take it off the ring"
        )
    return float(weight)


def _checked_virtual_nodes(count: object) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST_VIRTUAL_NODES:
        raise ConfigError(
            f"virtual_nodes={count!r} is out of range: give 1 to {_MOST_VIRTUAL_NODES}, the same in every client"
        )
    return count
