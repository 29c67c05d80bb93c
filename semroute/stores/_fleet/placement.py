"""Where an entry of a sharded store lies: its replicas, and the sub-shards of a prompt too hot for one shard."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from semroute.errors import ConfigError
from semroute.stores.ring import HashRing

if TYPE_CHECKING:
    from semroute.entry import Address, Alias, Entry

Group: TypeAlias = tuple[str, ...]
"""The shards that keep copies of the same entries, the one that is asked first in front."""

_MOST_SUB_SHARDS: Final = 64


@dataclass(frozen=True, slots=True)
class Placement:
    """Which shards keep what. All clients of a fleet must agree on it, or they miss each other's entries."""

    ring: HashRing
    replicas: int = 1
    sub_shards: Mapping[str, int] = field(default_factory=dict)
    """Over how many sub-shards an `Address.shard` is spread, by the digest of the entry; 1 where it is not named."""
    former: tuple[HashRing, ...] = ()
    """The rings before this one, the latest first, as long as entries may still lie where those put them."""

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= len(self.ring):
            raise ConfigError(
                f"{self.replicas!r} replicas need as many shards, and the ring has {len(self.ring)}: "
                "add shards, or keep fewer copies"
            )
        for shard, count in self.sub_shards.items():
            if not 1 <= count <= _MOST_SUB_SHARDS:
                raise ConfigError(f"sub_shards={count!r} of {shard!r} is out of range: give 1 to {_MOST_SUB_SHARDS}")

    def groups(self, shard: str) -> tuple[Group, ...]:
        """Return the replicas of every sub-shard of an `Address.shard`.

        The first sub-shard lies where all of the prompt lay before it was spread, so that what is there is found. The
        others are led by shards that lead none yet, as long as there are any.
        """
        count = self.sub_shards.get(shard, 1)
        if count == 1:
            return (self.ring.replicas(shard, self.replicas),)
        groups: list[Group] = []
        leaders: set[str] = set()
        for number in range(count):
            order = self.ring.replicas(shard if number == 0 else f"{shard}/{number}", len(self.ring))
            if len(leaders) == len(self.ring):
                leaders = set()
            leader = next(name for name in order if name not in leaders)
            leaders.add(leader)
            groups.append((leader, *(name for name in order if name != leader))[: self.replicas])
        return tuple(groups)

    def groups_for(self, address: Address) -> tuple[Group, ...]:
        """Return all groups of the address's prompt, first the one that keeps an entry with its exact key."""
        groups = self.groups(address.shard)
        if len(groups) == 1:
            return groups
        own = self._number(address.exact, len(groups))
        return (groups[own], *groups[:own], *groups[own + 1 :])

    def group_of(self, record: Entry | Alias) -> Group:
        """Return the shards that keep an entry; an alias lies with the entry that it points to."""
        groups = self.groups(record.address.shard)
        if len(groups) == 1:
            return groups[0]
        return groups[self._number(getattr(record, "entry_id", record.address.exact), len(groups))]

    def former_groups(self, shard: str) -> tuple[Group, ...]:
        """Return where an `Address.shard` lay before, without the shards that it lies on now."""
        if not self.former:
            return ()
        seen = {name for group in self.groups(shard) for name in group}
        found: list[Group] = []
        for ring in self.former:
            for group in Placement(ring, min(self.replicas, len(ring)), self.sub_shards).groups(shard):
                rest = tuple(name for name in group if name in self.ring and name not in seen)
                seen.update(rest)
                if rest:
                    found.append(rest)
        return tuple(found)

    @staticmethod
    def _number(entry_id: str, count: int) -> int:
        return zlib.crc32(entry_id.encode("utf-8", "surrogatepass")) % count
