"""The raw operations under a store in Redis: a plain GET, and a plain FT.SEARCH in the index of the same shard."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from semroute.errors import SemrouteError
from semroute.stores._redis.index import Names
from semroute.stores._redis.location import parse_redis_url

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.entry import FloatVector

_SCHEMES: Final = ("redis://", "rediss://", "redis+sentinel://", "rediss+sentinel://")
_BATCH: Final = 500
_DEADLINE_S: Final = 10.0
_QUERY: Final = "*=>[KNN $k @v $v AS d]"


def is_redis(url: str) -> bool:
    """Say whether a URL names a Redis server."""
    return url.startswith(_SCHEMES)


class RawRedis:
    """What is under one Redis shard: the client of redis-py, as it is, on the same server.

    The search asks the shard's own index for the nearest of all its vectors, without the filter for one partition, and
    has the questions sent back, as the store does.
    """

    is_quiet = True

    def __init__(self, url: str, shard: str | None = None) -> None:
        """Take the URL of a store, and the name of its keys where that is not in the URL. Nothing is connected yet."""
        from semroute.stores._redis import clients

        location = parse_redis_url(url)
        limits = clients.Limits(
            pool_size=2, pool_wait_s=_DEADLINE_S, connect_timeout_s=_DEADLINE_S, timeout_s=_DEADLINE_S
        )
        self._client: Any = clients.make_connections(location, limits).client
        self._names = Names(location.shard if shard is None else shard)
        self._prefix = f"semroute-bench-raw-{os.getpid()}:"
        self._index: str | None = None
        self._stored: list[str] = []

    def fill(self, rows: Sequence[tuple[str, str]], matrix: NDArray[np.float32]) -> None:
        """Store the payloads; the vectors are in the index already."""
        for start in range(0, len(rows), _BATCH):
            batch = {self._prefix + id: payload for id, payload in rows[start : start + _BATCH]}
            self._stored.extend(batch)
            self._client.mset(batch)
        self._index = self._found_index()

    def get(self, id: str) -> str | None:
        found = self._client.get(self._prefix + id)
        return None if found is None else found.decode()

    def search(self, vector: FloatVector, k: int) -> object:
        packed = vector.astype(self._dtype).tobytes()
        found: object = self._client.execute_command(
            *("FT.SEARCH", self._index, _QUERY, "RETURN", 3, "d", "x", "q", "LIMIT", 0, k),
            *("DIALECT", 2, "PARAMS", 4, "k", k, "v", packed),
        )
        return found

    def close(self) -> None:
        """Remove the payloads."""
        for start in range(0, len(self._stored), _BATCH):
            self._client.unlink(*self._stored[start : start + _BATCH])
        self._stored = []
        self._client.connection_pool.disconnect()
        self._client.close()

    def _found_index(self) -> str:
        """Return the name of the shard's index, and note how its vectors are kept."""
        meta = self._client.hmget(self._names.meta, ["life", "algorithm", "dtype", "dimensions"])
        if None in meta:
            raise SemrouteError(f"the shard {self._names.shard!r} has no index to search in")
        life, algorithm, dtype, dimensions = (part.decode() for part in meta)
        self._dtype = np.dtype(dtype)
        return self._names.index(life, algorithm, dtype, int(dimensions))
