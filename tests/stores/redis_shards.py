"""What the tests of shards in Redis share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from semroute.stores.redis import RedisStore
from semroute.testing.entries import NOW

MakeStore = Callable[..., RedisStore]
PATIENT: dict[str, Any] = {"clock": lambda: NOW, "timeout_s": 20.0, "connect_timeout_s": 20.0}


def keys_of(store: RedisStore) -> str:
    return f"semroute:{{{store.shard}}}:"
