"""Connections to the nodes of a Redis Cluster, shared by all its logical shards; each goes to the owner of its slot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from semroute.stores._redis.slots import Node, Owners, routed

if TYPE_CHECKING:
    import asyncio

    import redis
    import redis.asyncio

    from semroute.stores._redis.clients import Loops
    from semroute.stores._redis.connections import Connections, LoopConnections
    from semroute.stores._redis.slots import Routing
    from semroute.stores._redis.state import Parts

T = TypeVar("T")


class Nodes:
    """One pool of connections for each node, for all threads."""

    def __init__(self, owners: Owners, make: Callable[[Node], Connections]) -> None:
        self.owners = owners
        self._make = make
        self._lock = threading.Lock()
        self._pools: dict[Node, Connections] = {}

    def __repr__(self) -> str:
        return f"<Nodes {self.owners!r}>"

    def pool(self, node: Node) -> Connections:
        pool = self._pools.get(node)
        if pool is None:
            with self._lock:
                pool = self._pools.setdefault(node, self._make(node))
        return pool

    def drive(self, routing: Routing[T]) -> T:
        """Carry out orders one by one."""
        try:
            order = next(routing)
            while True:
                try:
                    reply = self.pool(order.node).perform(order.command, is_asking=order.is_asking)
                except Exception as error:  # the route says which of them leads elsewhere, and raises all others
                    order = routing.throw(error)
                else:
                    order = routing.send(reply)
        except StopIteration as done:
            value: T = done.value
            return value

    def close(self) -> None:
        """Close the connections that lie idle."""
        for pool in list(self._pools.values()):
            pool.close()


class LoopNodes:
    """The same for one event loop."""

    def __init__(self, owners: Owners, make: Callable[[Node], LoopConnections]) -> None:
        self.owners = owners
        self._make = make
        self._pools: dict[Node, LoopConnections] = {}

    def pool(self, node: Node) -> LoopConnections:
        pool = self._pools.get(node)
        if pool is None:
            pool = self._pools[node] = self._make(node)
        return pool

    async def drive(self, routing: Routing[T]) -> T:
        """Carry out orders one by one."""
        try:
            order = next(routing)
            while True:
                try:
                    reply = await self.pool(order.node).perform(order.command, is_asking=order.is_asking)
                except Exception as error:  # as above
                    order = routing.throw(error)
                else:
                    order = routing.send(reply)
        except StopIteration as done:
            value: T = done.value
            return value

    async def aclose(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()


class SlotConnections:
    """What a logical shard takes for its `Connections`."""

    def __init__(self, nodes: Nodes, slot: int) -> None:
        self._nodes = nodes
        self._slot = slot

    def perform(self, command: Parts) -> Any:
        return self._nodes.drive(routed(self._nodes.owners, self._slot, command))

    @property
    def client(self) -> redis.Redis:
        """A client of the node that owned the slot at the last command."""
        return self._pool.client

    @property
    def is_creating(self) -> threading.Lock:
        return self._pool.is_creating

    def close(self) -> None:
        """The connections are those of all logical shards, and closed with the cluster."""

    @property
    def _pool(self) -> Connections:
        return self._nodes.pool(_known(self._nodes.owners, self._slot))


class LoopSlotConnections:
    """What a logical shard takes for its `LoopConnections`."""

    def __init__(self, nodes: LoopNodes, slot: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._nodes = nodes
        self._slot = slot

    async def perform(self, command: Parts) -> Any:
        return await self._nodes.drive(routed(self._nodes.owners, self._slot, command))

    @property
    def client(self) -> redis.asyncio.Redis:
        """A client of the node that owned the slot at the last command."""
        return self._pool.client

    @property
    def is_creating(self) -> asyncio.Lock:
        return self._pool.is_creating

    @property
    def _pool(self) -> LoopConnections:
        return self._nodes.pool(_known(self._nodes.owners, self._slot))


class SlotLoops:
    """What a logical shard takes for its `Loops`."""

    def __init__(self, loops: Loops[LoopNodes], slot: int, timeout_s: float) -> None:
        self._loops = loops
        self._slot = slot
        self._timeout_s = timeout_s

    async def current(self) -> LoopSlotConnections:
        return LoopSlotConnections(await self._loops.current(), self._slot, self._timeout_s)

    async def aclose(self) -> None:
        """The connections are those of all logical shards, and closed with the cluster."""

    def close(self) -> None:
        """The connections are those of all logical shards, and closed with the cluster."""


def _known(owners: Owners, slot: int) -> Node:
    node = owners.of(slot)
    if node is None:
        raise ConnectionError(f"nobody is known to serve slot {slot}")
    return node
