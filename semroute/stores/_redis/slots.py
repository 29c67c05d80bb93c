"""Which node of a Redis Cluster serves which slot, and where a command goes; no I/O.

A command is sent to the node that is known to own its slot. The cluster itself corrects what is known: MOVED says who
owns a slot now, ASK who has a key of it while it is on its way, and where a node cannot be reached another is asked
who has taken over its slots. These addresses come from the cluster that the URL names, and from nowhere else.
"""

from __future__ import annotations

import time
from binascii import crc_hqx
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from redis.exceptions import AskError, MovedError, RedisError
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as NotInTime

if TYPE_CHECKING:
    from semroute.stores._redis.state import Parts

T = TypeVar("T")

SLOTS: Final = 16384
_MOST_HOPS: Final = 5
_REFRESH_EVERY_S: Final = 1.0
_ASKED_FOR_SLOTS: Final = 3


@dataclass(frozen=True, slots=True)
class Node:
    """Where a node listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Order:
    """A command for one node; `is_asking` where the node has only been promised the slot so far."""

    node: Node
    command: Parts
    is_asking: bool = False


Routing: TypeAlias = Generator[Order, Any, T]
"""Yields orders and is sent their replies; what fails is thrown into it."""


def slot_of(shard: str) -> int:
    """Return the slot of all keys with a shard's hash tag."""
    return crc_hqx(shard.encode(), 0) % SLOTS


def spread_names(prefix: str, count: int) -> list[str]:
    """Name logical shards so that their slots are spread evenly over all there are; the same names every time."""
    names = []
    for number in range(count):
        low, high = SLOTS * number // count, SLOTS * (number + 1) // count
        tries = (f"{prefix}{number:02d}.{attempt}" for attempt in range(1_000_000))
        names.append(next(name for name in tries if low <= slot_of(name) < high))
    return names


class Owners:
    """What is known of the owners of slots. Threads may read it while another one corrects it."""

    def __init__(self, seeds: Sequence[Node], clock: Callable[[], float] = time.monotonic) -> None:
        self._seeds = tuple(seeds)
        self._clock = clock
        self._ranges: tuple[tuple[int, int, Node], ...] = ()
        self._moved: dict[int, Node] = {}
        self._looked_at_s: float | None = None

    def __repr__(self) -> str:
        return f"<Owners: {len(self.nodes)} nodes, {len(self._moved)} slots have moved since>"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes that are known to own slots."""
        return tuple(dict.fromkeys([*(node for _, _, node in self._ranges), *self._moved.values()]))

    def of(self, slot: int) -> Node | None:
        """Return the owner of a slot, None where it is not known."""
        moved = self._moved.get(slot)
        if moved is not None:
            return moved
        return next((node for low, high, node in self._ranges if low <= slot <= high), None)

    def moved(self, slot: int, node: Node) -> None:
        self._moved[slot] = node

    def replace(self, ranges: Sequence[tuple[int, int, Node]]) -> None:
        """Take what a node says of all slots for the truth."""
        self._ranges, self._moved = tuple(ranges), {}

    def look(self, slot: int, *, not_at: Node | None = None) -> Routing[Node | None]:
        """Ask some nodes who owns what, not too often, and return the owner of a slot.

        Raises what the last of them raised, where none answers.
        """
        now_s = self._clock()
        if not_at is not None and self._looked_at_s is not None and now_s - self._looked_at_s < _REFRESH_EVERY_S:
            return self.of(slot)
        self._looked_at_s = now_s
        asked = [node for node in dict.fromkeys((*self.nodes, *self._seeds)) if node != not_at]
        failure: Exception | None = None
        for node in asked[:_ASKED_FOR_SLOTS]:
            try:
                reply = yield Order(node, ("CLUSTER", "SLOTS"))
            except (NotConnected, NotInTime, OSError) as error:
                failure = error
            else:
                self.replace(read_slots(reply, node))
                return self.of(slot)
        if failure is not None and not_at is None:
            raise failure
        return self.of(slot)


def routed(owners: Owners, slot: int, command: Parts) -> Routing[Any]:
    """Send a command to the owner of its slot, wherever that is by now."""
    node = owners.of(slot)
    if node is None:
        node = yield from owners.look(slot)
    is_asking, is_lost = False, False
    for _ in range(_MOST_HOPS):
        if node is None:
            break
        try:
            return (yield Order(node, command, is_asking))
        except MovedError as moved:
            node, is_asking = Node(moved.host or node.host, moved.port), False
            owners.moved(slot, node)
        except AskError as asking:
            node, is_asking = Node(asking.host or node.host, asking.port), True
        except (NotConnected, NotInTime, OSError) as error:
            heir = None if is_lost else (yield from owners.look(slot, not_at=node))
            # What has missed its deadline is not tried again; who took over is known for the next command.
            if heir is None or heir == node or isinstance(error, NotInTime | TimeoutError):
                raise
            node, is_asking, is_lost = heir, False, True
    raise RedisError(f"no node of the cluster serves slot {slot}")


def read_slots(reply: Sequence[Any], asked: Node) -> list[tuple[int, int, Node]]:
    """Read the reply to CLUSTER SLOTS: which ranges of slots belong to which masters."""
    ranges = []
    for low, high, master, *_ in reply:
        host = master[0].decode() if isinstance(master[0], bytes) else master[0]
        # A node that does not know its own host means: the one that you have reached me by.
        ranges.append((int(low), int(high), Node(asked.host if host in (None, "", "?") else host, int(master[1]))))
    return ranges
