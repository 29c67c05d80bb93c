"""Aliases on their way to the store: a hit does not wait for the pointer that makes the next one quicker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from semroute.background import Workers

if TYPE_CHECKING:
    from semroute.entry import Alias
    from semroute.stores import Store


class Aliases:
    """Stores aliases on a thread of its own; whoever asks for one that is on its way waits for it."""

    def __init__(self, store: Store, failed: Callable[[BaseException], None]) -> None:
        self._store = store
        self._failed = failed
        self._worker = Workers(1, "semroute-alias")
        self._on_their_way: dict[str, Future[bool]] = {}
        self._pid = os.getpid()

    def put(self, alias: Alias) -> bool:
        """Store an alias soon; returns True. What fails is told to `failed`."""
        key = alias.address.exact
        try:
            storing = self._worker.pool().submit(self._store.put, alias)
        except RuntimeError:  # the interpreter is ending and starts no threads any more
            return self._store.put(alias)
        self._pending()[key] = storing
        storing.add_done_callback(lambda done: self._done(key, done))
        return True

    def wait(self, key: str) -> None:
        """Wait for the alias of an exact key, if it is on its way."""
        storing = self._on_their_way.get(key)
        if storing is not None and self._pid == os.getpid():
            wait([storing])

    async def await_one(self, key: str) -> None:
        """Do what `wait` does, without ever blocking the event loop."""
        storing = self._on_their_way.get(key)
        if storing is not None and self._pid == os.getpid():
            await asyncio.to_thread(wait, [storing])

    def close(self) -> None:
        """Wait for all that are on their way, and let the thread go; a later alias starts a new one."""
        wait(list(self._pending().values()))
        self._worker.close()

    def _pending(self) -> dict[str, Future[bool]]:
        if self._pid != os.getpid():  # a forked child has none of its parent's threads
            self._on_their_way, self._pid = {}, os.getpid()
        return self._on_their_way

    def _done(self, key: str, storing: Future[bool]) -> None:
        if self._on_their_way.get(key) is storing:
            del self._on_their_way[key]
        error = None if storing.cancelled() else storing.exception()
        if error is not None:
            self._failed(error)
