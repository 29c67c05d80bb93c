"""Making the search index of a shard, through redisvl; imported when the first index is made."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from redisvl.exceptions import RedisSearchError
from redisvl.index import AsyncSearchIndex, SearchIndex
from redisvl.schema import IndexSchema

if TYPE_CHECKING:
    from semroute.stores._redis.connections import Link, LoopLink
    from semroute.stores._redis.index import IndexSpec

_DEADLINES: Final = 4
"""Making an index takes some commands, each of which has the deadline of a command."""
_IS_THERE: Final = re.compile(r"index already exists|index exists", re.IGNORECASE)


def create_index(connections: Link, spec: IndexSpec) -> None:
    """Create an index unless it is there; of many clients that try at once, one does it and none fails."""
    try:
        with connections.is_creating:
            SearchIndex(IndexSchema.from_dict(spec.schema()), redis_client=connections.client).create()
    except RedisSearchError as error:
        if not _IS_THERE.search(str(error)):
            raise


async def acreate_index(connections: LoopLink, spec: IndexSpec) -> None:
    """Do what `create_index` does, in the running event loop."""
    try:
        async with connections.is_creating, asyncio.timeout(_DEADLINES * connections.timeout_s):
            await AsyncSearchIndex(IndexSchema.from_dict(spec.schema()), redis_client=connections.client).create()
    except RedisSearchError as error:
        if not _IS_THERE.search(str(error)):
            raise
