"""Which store a URL or a path names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.stores import Store
    from semroute.stores.sharded import ShardedStore

_REDIS: Final = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_PRIVATE: Final = "memory://"


def open_store(target: str | Path | None, *, max_entries: int, max_bytes: int, clock: Callable[[], float]) -> Store:
    """Return the store that a URL or a path names; nothing is opened yet. None is the default embedded store.

    Raises ConfigError for a scheme that no store of this release speaks, MissingExtra for Redis without its extra.
    """
    if isinstance(target, str) and _scheme_of(target) in _REDIS:
        from semroute.stores._redis.location import parse_redis_url
        from semroute.stores.redis import RedisStore
        from semroute.stores.redis_cluster import RedisClusterStore

        kind = RedisClusterStore if parse_redis_url(target).is_cluster else RedisStore
        return kind(target, max_entries=max_entries, max_bytes=max_bytes, clock=clock)
    from semroute.stores.embedded import EmbeddedStore

    return EmbeddedStore(target, max_entries=max_entries, max_bytes=max_bytes, clock=clock)


def open_ring(
    targets: Sequence[str | Path | Store],
    *,
    replicas: int,
    max_entries: int,
    max_bytes: int,
    clock: Callable[[], float],
) -> ShardedStore:
    """Return the stores that URLs and paths name as shards of one ring, or stores as they are; nothing is opened yet.

    The limits are those of each shard. Raises ConfigError, also for the same URL twice.
    """
    from semroute.stores.sharded import ShardedStore

    places = [place_of(target) if isinstance(target, str | Path) else repr(target) for target in targets]
    for number, place in enumerate(places):
        if place in places[:number] and place != _PRIVATE:
            raise ConfigError(f"{place} is given twice: give each store once")
    stores = [
        open_store(target, max_entries=max_entries, max_bytes=max_bytes, clock=clock)
        if isinstance(target, str | Path)
        else target
        for target in targets
    ]
    return ShardedStore(stores, places=places, replicas=replicas)


def _scheme_of(target: str) -> str:
    """Return what stands before "://"; a path counts as one of SQLite. Raises ConfigError for what no store speaks."""
    scheme = target.split("://", 1)[0] if "://" in target else "sqlite"
    if scheme not in (*_REDIS, "sqlite", "memory"):
        raise ConfigError(f"no store speaks {scheme}://; give redis://HOST:6379, sqlite:///PATH, memory:// or a path")
    return scheme


def place_of(target: str | Path | None) -> str:
    """Say for a person where a store is: the path of a file, or a URL without credentials. Raises ConfigError."""
    if isinstance(target, str) and target.split("://", 1)[0] in _REDIS:
        from semroute.stores._redis.location import DEFAULT_SHARD, parse_redis_url

        server = parse_redis_url(target)
        return str(server) if server.shard == DEFAULT_SHARD else f"{server}?shard={server.shard}"
    path = path_of(target)
    return _PRIVATE if path is None else str(path)


def path_of(target: str | Path | None) -> Path | None:
    """Return the file of an embedded store; None for any other store. Raises ConfigError."""
    if isinstance(target, str) and _scheme_of(target) in _REDIS:
        return None
    from semroute.stores._sqlite.location import parse_location

    return parse_location(target).path
