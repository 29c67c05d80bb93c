"""Commands over pooled connections of redis-py: one pool for all threads of a process, one for each event loop.

redis-py's own client spends half of a round trip on what no store needs (checking each connection before use, metrics,
callbacks), so that its connections are used without it. What it is good at, it still does: the protocol (RESP3,
parsed by hiredis), TLS, signing in, deadlines, following a Sentinel, and serving redisvl.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Protocol

import redis

from semroute.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from semroute.stores._redis.state import Parts


class Link(Protocol):
    """What the synchronous face of a store talks through."""

    @property
    def client(self) -> redis.Redis: ...
    @property
    def is_creating(self) -> threading.Lock: ...
    def perform(self, command: Parts) -> Any: ...
    def close(self) -> None: ...


class LoopLink(Protocol):
    """What the asynchronous face of a store talks through, in one event loop."""

    timeout_s: float

    @property
    def client(self) -> redis.asyncio.Redis: ...
    @property
    def is_creating(self) -> asyncio.Lock: ...
    async def perform(self, command: Parts) -> Any: ...


class LoopLinks(Protocol):
    """What gives each event loop its link."""

    async def current(self) -> LoopLink: ...
    async def aclose(self) -> None: ...
    def close(self) -> None: ...


def _packer() -> Callable[[Parts], bytes] | None:
    """Return what turns a command into bytes in a third of the time, where it is installed."""
    try:
        from hiredis import pack_command
    except ImportError:
        return None
    return pack_command  # type: ignore[return-value]  # its stub knows commands of one part only


_PACK: Final = _packer()
_AT_FIRST: Final = 8
_GROW_AFTER_S: Final = 0.005


def packed_of(connection: Any, command: Parts) -> list[bytes]:
    """Return a command as it goes over the wire; raises redis.DataError for what cannot go."""
    if _PACK is None:
        packed: list[bytes] = connection.pack_command(*command)
        return packed
    try:
        return [_PACK(command)]
    except TypeError as error:
        raise redis.DataError(str(error)) from error


class Connections:
    """At most `size` connections for all threads; who finds none free waits for one, up to `wait_s` seconds.

    A connection that was lost while it lay idle is made anew, once; what has missed its deadline is not tried again.
    In a forked child all connections are new ones.
    """

    def __init__(self, client: redis.Redis, *, size: int, wait_s: float) -> None:
        self.client = client
        self._pool: Any = client.connection_pool
        self._size = size
        self._wait_s = wait_s
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self.is_creating = threading.Lock()
        """Held while redisvl makes an index, which takes connections of its own."""
        self._idle: deque[Any] = deque()
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._size):
            self._permits.put(None)

    def perform(self, command: Parts, *, is_asking: bool = False) -> Any:
        """Send a command and return its reply; raises redis.RedisError, OSError or StoreError.

        With `is_asking` a node of a cluster is told that it was promised the command's slot.
        """
        if self._pid != os.getpid():
            self._start_afresh()
        permits, idle = self._permits, self._idle
        try:
            permits.get(timeout=self._wait_s)
        except Empty:
            raise all_in_use(self._size, self._wait_s) from None
        try:
            try:
                connection = idle.pop()
            except IndexError:
                connection = self._pool.get_connection()
            try:
                packed = packed_of(connection, command)
                try:
                    if is_asking:
                        connection.send_packed_command(connection.pack_command("ASKING"), check_health=False)
                        connection.read_response()
                    connection.send_packed_command(packed, check_health=False)
                    reply = connection.read_response()
                except redis.ConnectionError:
                    self._give_up(connection)
                    connection = None  # in case that there is no other
                    connection = self._pool.get_connection()
                    connection.send_packed_command(packed, check_health=False)
                    reply = connection.read_response()
            except redis.ResponseError:
                idle.append(connection)
                raise
            except BaseException:  # an interrupt too: nobody else must read the reply that may still come
                self._give_up(connection)
                raise
            idle.append(connection)
            return reply
        finally:
            permits.put(None)

    def _give_up(self, connection: Any) -> None:
        """Drop a connection whose state is not known; redis-py makes it anew, following a Sentinel where it has to."""
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)

    def close(self) -> None:
        """Close the connections that lie idle; one that is in use is closed by the next call."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            connection.disconnect()
            self._pool.release(connection)
        self.client.close()


class LoopConnections:
    """The same for one event loop, with few connections at first, and more when callers would have to wait.

    Making a connection costs the loop several times what a command does, so many tasks that begin at once are served
    sooner over a few.

    The deadline of a command is kept here and not by redis-py, which starts a task for every command to do so; before
    Python 3.12 that may also swallow a cancellation.
    """

    def __init__(self, client: redis.asyncio.Redis, *, size: int, wait_s: float, timeout_s: float) -> None:
        self.client = client
        self.is_creating = asyncio.Lock()
        self.timeout_s = timeout_s
        self._pool: Any = client.connection_pool
        watching = getattr(self._pool, "sentinel_manager", None)
        self._sentinels: list[Any] = [] if watching is None else watching.sentinels
        self._size = size
        self._wait_s = wait_s
        self._allowed = min(size, _AT_FIRST)
        self._permits = asyncio.Semaphore(self._allowed)
        self._idle: list[Any] = []

    async def perform(self, command: Parts, *, is_asking: bool = False) -> Any:
        """Send a command and return its reply; raises redis.RedisError, OSError or StoreError."""
        if self._permits.locked():
            await self._wait_for_permit()
        else:
            await self._permits.acquire()
        try:
            try:
                async with asyncio.timeout(self.timeout_s):
                    return await self._exchange(command, is_asking)
            except TimeoutError:
                raise redis.TimeoutError(f"none in {self.timeout_s} s") from None
        finally:
            self._permits.release()

    async def _exchange(self, command: Parts, is_asking: bool) -> Any:
        connection = self._idle.pop() if self._idle else await self._pool.get_connection()
        try:
            packed = packed_of(connection, command)
            try:
                if is_asking:
                    await connection.send_packed_command(connection.pack_command("ASKING"), check_health=False)
                    await connection.read_response()
                await connection.send_packed_command(packed, check_health=False)
                reply = await connection.read_response()
            except redis.ConnectionError:
                await self._give_up(connection)
                connection = None  # in case that there is no other
                connection = await self._pool.get_connection()
                await connection.send_packed_command(packed, check_health=False)
                reply = await connection.read_response()
        except redis.ResponseError:
            self._idle.append(connection)
            raise
        except BaseException:  # a cancellation too: nobody else must read the reply that may still come
            await self._give_up(connection)
            raise
        self._idle.append(connection)
        return reply

    async def _give_up(self, connection: Any) -> None:
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def _wait_for_permit(self) -> None:
        """Wait until a connection is free, or for so long that one more is worth making."""
        may_grow = self._allowed < self._size
        try:
            async with asyncio.timeout(_GROW_AFTER_S if may_grow else self._wait_s):
                await self._permits.acquire()
        except TimeoutError:
            if not may_grow:
                raise all_in_use(self._size, self._wait_s) from None
            if self._allowed < self._size:
                self._allowed += 1  # this caller has the new permit, and gives it back like any other
            else:
                await self._wait_for_permit()

    async def aclose(self) -> None:
        """Close all connections."""
        while self._idle:
            connection = self._idle.pop()
            await connection.disconnect()
            await self._pool.release(connection)
        await self.client.aclose()
        for sentinel in self._sentinels:
            await sentinel.aclose()


def all_in_use(size: int, wait_s: float) -> StoreError:
    return StoreError(f"all {size} connections were in use for {wait_s} s: raise pool_size or pool_wait_s")
