"""The store in a Redis Cluster: logical shards, which the cluster itself spreads over its nodes."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from semroute.errors import ConfigError, MissingExtra, StoreError
from semroute.stores._redis.errors import mapped
from semroute.stores._redis.location import DEFAULT_SHARD, parse_redis_url
from semroute.stores.redis import RedisStore
from semroute.stores.sharded import DEFAULT_DEADLINE_S, ShardedStore

if TYPE_CHECKING:
    from semroute.breaker import State
    from semroute.stores._redis import clients
    from semroute.stores._redis.connections import Link, LoopLinks
    from semroute.stores._redis.index import IndexSpec
    from semroute.stores._redis.location import RedisLocation
    from semroute.stores._redis.nodes import LoopNodes, Nodes

_LOG: Final = logging.getLogger("semroute.stores")

DEFAULT_SHARDS: Final = 64
DEFAULT_NAME: Final = "s"
_MOST_SHARDS: Final = 1024


class RedisClusterStore(ShardedStore):
    """Answers in a Redis Cluster (Stack >= 7.2, or Redis >= 8); see `Store` and `ShardedStore` for the methods.

    All that belongs to one logical shard, its index too, has one hash tag, and so lies on one node: that of its slot.
    The slots of the logical shards are spread evenly, so that each node has its part of them. The cluster looks after
    replicas, fail-over and resharding; this store follows it. An index does not travel with its slot: where one is
    missing on the new owner it is made anew, and counted.

    A node that is lost costs its part, if the cluster has `cluster-require-full-coverage no`.
    """

    def __init__(
        self,
        url: str,
        *,
        shards: int | None = None,
        deadline_s: float | None = DEFAULT_DEADLINE_S,
        failures_to_open: int = 3,
        cooldown_s: float = 5.0,
        on_change: Callable[[str, State, str], None] | None = None,
        **options: Any,
    ) -> None:
        """Take a URL: redis+cluster://HOST:PORT, or rediss+cluster://; nothing is connected yet.

        One node is enough, several (HOST:PORT,HOST:PORT) may be named. `shards` is how many logical shards there are
        (64); all clients must say the same. `?shard=NAME` of the URL begins their names, to keep several caches apart
        in one cluster. All other `options` are those of `RedisStore`, and hold for each logical shard, the connections
        (`pool_size`) for each node. Raises ConfigError, MissingExtra without the extra.
        """
        location = parse_redis_url(url)
        if not location.is_cluster:
            raise ConfigError(f"{location} names no cluster: begin its URL with redis+cluster:// or rediss+cluster://")
        count = DEFAULT_SHARDS if shards is None else shards
        if not 1 <= count <= _MOST_SHARDS:
            raise ConfigError(f"shards={shards!r} is out of range: it must be between 1 and {_MOST_SHARDS}")
        try:
            from semroute.stores._redis.slots import spread_names
        except ModuleNotFoundError as missing:
            raise MissingExtra("the Redis store", "redis") from missing
        self._location = location
        self._name = DEFAULT_NAME if location.shard == DEFAULT_SHARD else location.shard
        self._cluster = _Cluster(location)
        prefix = DEFAULT_NAME if location.shard == DEFAULT_SHARD else f"{location.shard}-"
        self._logical = {
            name: LogicalShard(url, shard=name, cluster=self._cluster, **options)
            for name in spread_names(prefix, count)
        }
        super().__init__(
            self._logical,
            deadline_s=deadline_s,
            failures_to_open=failures_to_open,
            cooldown_s=cooldown_s,
            clock=time.monotonic,
            on_change=on_change,
        )

    def __repr__(self) -> str:
        return f"<RedisClusterStore {self._location}: {len(self._logical)} logical shards, {self._cluster.nodes!r}>"

    @property
    def damaged_rows(self) -> int:
        """How many reads met something that could not be understood, and took it for a miss."""
        return sum(shard.damaged_rows for shard in self._logical.values())

    @property
    def restarts(self) -> int:
        """How often a logical shard was found empty though it had been in use."""
        return sum(shard.restarts for shard in self._logical.values())

    @property
    def recreated_indexes(self) -> int:
        """How often an index was found gone, as it is where a slot has moved, and made anew."""
        return sum(shard.recreated_indexes for shard in self._logical.values())

    def node_of(self, shard: str) -> str | None:
        """Say which node a logical shard lies on, None while that is not known."""
        from semroute.stores._redis.slots import slot_of

        node = self._cluster.nodes.owners.of(slot_of(shard))
        return None if node is None else f"{node.host}:{node.port}"

    def open(self) -> bytes:
        from semroute.stores._redis.slots import routed, slot_of

        steps = routed(self._cluster.nodes.owners, slot_of(self._name), self._agreement())
        self._check_agreement(lambda: self._cluster.nodes.drive(steps))
        return super().open()

    def close(self) -> None:
        super().close()
        self._cluster.close()

    async def aopen(self) -> bytes:
        from semroute.stores._redis.slots import routed, slot_of

        nodes = await self._cluster.loops.current()
        try:
            said = await nodes.drive(routed(nodes.owners, slot_of(self._name), self._agreement()))
        except Exception as error:  # mapped and sorted by `_check_agreement`, as in `open`
            failure = error
            self._check_agreement(lambda: _raise(failure))
        else:
            self._check_agreement(lambda: said)
        return await super().aopen()

    async def aclose(self) -> None:
        await super().aclose()
        await self._cluster.aclose()

    def _agreement(self) -> tuple[str, ...]:
        """Return the command that notes how many logical shards there are, unless it is noted, and says what was."""
        return ("SET", f"semroute:{{{self._name}}}:shards", str(len(self._logical)), "NX", "GET")

    def _check_agreement(self, ask: Callable[[], Any]) -> None:
        """Raise ConfigError where other clients spread this cache over another number of logical shards."""
        try:
            said = ask()
        except Exception as error:  # of redis-py, of the system or ours: all are mapped
            failure = mapped(error, self._location)
            if isinstance(failure, StoreError):  # that node is away: the rest may serve all the same
                _LOG.info("how many logical shards %s has could not be read: %s", self._location, failure)
                return
            raise failure from error
        if said is not None and int(said) != len(self._logical):
            raise ConfigError(
                f"{self._location} keeps {self._name!r} in {int(said)} logical shards, this store was told"
                f" {len(self._logical)}: give shards={int(said)}, or another name (?shard=NAME)"
            )


class _Cluster:
    """The connections to a cluster, which all its logical shards share."""

    def __init__(self, location: RedisLocation) -> None:
        self._location = location
        self._nodes: Nodes | None = None
        self._loops: clients.Loops[LoopNodes] | None = None

    @property
    def nodes(self) -> Nodes:
        if self._nodes is None:
            raise StoreError(f"{self._location} has no connections yet")
        return self._nodes

    @property
    def loops(self) -> clients.Loops[LoopNodes]:
        if self._loops is None:
            raise StoreError(f"{self._location} has no connections yet")
        return self._loops

    def make(self, limits: clients.Limits) -> None:
        """Make the connections, unless a logical shard before has done so."""
        from semroute.stores._redis import clients, nodes
        from semroute.stores._redis.slots import Node, Owners

        if self._nodes is not None:
            return
        owners = Owners([Node(host, port) for host, port in self._location.hosts])

        def at(node: Node) -> RedisLocation:
            return dataclasses.replace(self._location, hosts=((node.host, node.port),))

        self._nodes = nodes.Nodes(owners, lambda node: clients.make_connections(at(node), limits))
        make = functools.partial(nodes.LoopNodes, owners, lambda node: clients.make_loop_connections(at(node), limits))
        self._loops = clients.Loops(make)

    def close(self) -> None:
        self.nodes.close()
        self.loops.close()

    async def aclose(self) -> None:
        self.nodes.close()
        await self.loops.aclose()


class LogicalShard(RedisStore):
    """One shard of a Redis Cluster, which lies on whichever node owns its slot."""

    def __init__(self, url: str, *, shard: str, cluster: _Cluster, **options: Any) -> None:
        self._cluster = cluster
        super().__init__(url, shard=shard, **options)

    def _links(self, limits: clients.Limits) -> tuple[Link, LoopLinks]:
        from semroute.stores._redis.nodes import SlotConnections, SlotLoops
        from semroute.stores._redis.slots import slot_of

        self._cluster.make(limits)
        slot = slot_of(self.shard)
        return SlotConnections(self._cluster.nodes, slot), SlotLoops(self._cluster.loops, slot, limits.timeout_s)

    def _create_index(self, spec: IndexSpec) -> None:
        self._connections.perform(("EXISTS", spec.name))  # redisvl's own client follows no slot that moves
        super()._create_index(spec)

    async def _acreate_index(self, spec: IndexSpec) -> None:
        await (await self._loops.current()).perform(("EXISTS", spec.name))
        await super()._acreate_index(spec)


def _raise(error: Exception) -> None:
    raise error
