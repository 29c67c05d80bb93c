"""Making the connections of a store: for all threads of a process, and for each event loop."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from semroute.stores._redis.connections import Connections, LoopConnections
from semroute.stores._redis.location import RedisLocation

_FOR_REDISVL: Final = 8
"""Connections beside those of the store, on which redisvl makes indexes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections a client may hold, and how long it waits for what."""

    pool_size: int
    pool_wait_s: float
    connect_timeout_s: float
    timeout_s: float


def make_connections(location: RedisLocation, limits: Limits) -> Connections:
    """Return the connections of this process; nothing is connected yet."""
    settings = _settings(location, limits)
    settings["retry"] = Retry(NoBackoff(), 0)
    pool: Any
    if location.service is None:
        kind = redis.SSLConnection if location.is_tls else redis.Connection
        host, port = location.hosts[0]
        pool = redis.ConnectionPool(connection_class=kind, host=host, port=port, **settings)
    else:
        sentinels: Any = redis.sentinel.Sentinel
        followed: Any = redis.sentinel.SentinelConnectionPool
        watching = sentinels(location.hosts, sentinel_kwargs=_sentinel_settings(location, limits))
        pool = followed(location.service, watching, ssl=location.is_tls, **settings)
    return Connections(redis.Redis.from_pool(pool), size=limits.pool_size, wait_s=limits.pool_wait_s)


def make_loop_connections(location: RedisLocation, limits: Limits) -> LoopConnections:
    """Return connections for the running event loop, and for no other; nothing is connected yet."""
    settings = _settings(location, limits)
    settings["retry"] = AsyncRetry(NoBackoff(), 0)
    settings["socket_timeout"] = None  # kept by LoopConnections
    pool: Any
    if location.service is None:
        kind = redis.asyncio.SSLConnection if location.is_tls else redis.asyncio.Connection
        host, port = location.hosts[0]
        pool = redis.asyncio.ConnectionPool(connection_class=kind, host=host, port=port, **settings)
    else:
        sentinels: Any = redis.asyncio.sentinel.Sentinel
        followed: Any = redis.asyncio.sentinel.SentinelConnectionPool
        watching = sentinels(location.hosts, sentinel_kwargs=_sentinel_settings(location, limits))
        pool = followed(location.service, watching, ssl=location.is_tls, **settings)
    return LoopConnections(
        redis.asyncio.Redis.from_pool(pool),
        size=limits.pool_size,
        wait_s=limits.pool_wait_s,
        timeout_s=limits.timeout_s,
    )


def _settings(location: RedisLocation, limits: Limits) -> dict[str, Any]:
    return {
        "username": location.username,
        "password": location.password,
        "protocol": 3,
        "socket_timeout": limits.timeout_s,
        "socket_connect_timeout": limits.connect_timeout_s,
        "socket_keepalive": True,
        "max_connections": limits.pool_size + _FOR_REDISVL,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        **(dict(location.tls) if location.is_tls else {}),
    }


def _sentinel_settings(location: RedisLocation, limits: Limits) -> dict[str, Any]:
    return {
        "username": location.sentinel_username,
        "password": location.sentinel_password,
        "socket_timeout": limits.timeout_s,
        "socket_connect_timeout": limits.connect_timeout_s,
        **({"ssl": True, **dict(location.tls)} if location.is_tls else {}),
    }


class _Closable(Protocol):
    async def aclose(self) -> None: ...


C = TypeVar("C", bound=_Closable)


@dataclass(slots=True)
class _Held(Generic[C]):
    """The connections of one event loop. Their guard closes them, when the loop shuts down at the latest."""

    loop: asyncio.AbstractEventLoop
    connections: C
    guard: AsyncGenerator[None]
    thread: int


class Loops(Generic[C]):
    """Connections for each event loop that asks: one cannot leave the loop that it was made in.

    A loop that ends (`asyncio.run` does it with care) first closes what asynchronous generators hold, which is how the
    connections of a loop are closed even where nobody has called `aclose`.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._make = make
        self._held: dict[asyncio.AbstractEventLoop, _Held[C]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def __copy__(self) -> Loops[C]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Loops[C]:
        return copy.copy(self)

    async def current(self) -> C:
        """Return the connections of the running loop."""
        loop = asyncio.get_running_loop()
        held = self._held.get(loop)
        if held is None:
            connections = self._make()
            held = _Held(loop, connections, self._guard(loop, connections), threading.get_ident())
            await anext(held.guard)  # begins it, so that the loop knows it
            with self._lock:
                for other in [one for one in self._held if one.is_closed()]:
                    del self._held[other]
                self._held[loop] = held
        return held.connections

    async def aclose(self) -> None:
        """Close those of the running loop and wait for it; those of other loops are closed in their own time."""
        with self._lock:
            own = self._held.pop(asyncio.get_running_loop(), None)
        if own is not None:
            await own.guard.aclose()
        self.close()

    def close(self) -> None:
        """Close all, each in its own loop: a running one at its next turn, a resting one of this thread now."""
        with self._lock:
            held, self._held = self._held, {}
        for one in held.values():
            if one.loop.is_running():
                one.loop.call_soon_threadsafe(_close_soon, one)
            elif not one.loop.is_closed() and one.thread == threading.get_ident() and not _is_in_a_loop():
                one.loop.run_until_complete(one.guard.aclose())

    async def _guard(self, loop: asyncio.AbstractEventLoop, connections: C) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            with self._lock:
                held = self._held.get(loop)
                if held is not None and held.connections is connections:
                    del self._held[loop]
            await connections.aclose()


def _close_soon(held: _Held[Any]) -> None:
    task = held.loop.create_task(held.guard.aclose())
    task.add_done_callback(lambda done: done.cancelled() or done.exception())


def _is_in_a_loop() -> bool:
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False
