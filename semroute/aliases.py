"""Aliases on their way to the store: a hit does not wait for the pointer that makes the next one quicker."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from semroute.background import Writer

if TYPE_CHECKING:
    from semroute.entry import Alias
    from semroute.stores import Store

_LIMIT: Final = 1_024
_PAUSE_S: Final = 0.02
"""Aliases are written a moment later, some together: at once they would get in the way of whoever was just served."""


class Aliases:
    """Stores aliases on a thread of its own; whoever asks for one that is on its way waits for it."""

    def __init__(self, store: Store, failed: Callable[[Exception], None]) -> None:
        self._store = store
        self._failed = failed
        self._writer = Writer(_LIMIT, pause_s=_PAUSE_S)
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._stored = threading.Condition()
        self._on_their_way: dict[str, int] = {}

    def put(self, alias: Alias) -> bool:
        """Store an alias soon; returns True. What fails is told to `failed`."""
        if self._pid != os.getpid():  # a forked child has none of its parent's threads
            self._start_afresh()
        key = alias.address.exact
        with self._stored:
            self._on_their_way[key] = self._on_their_way.get(key, 0) + 1
        self._writer.submit(lambda: self._store_one(alias))
        return True

    def wait(self, key: str) -> None:
        """Wait for the alias of an exact key, if it is on its way."""
        if key in self._on_their_way and self._pid == os.getpid():
            self._writer.hurry()
            with self._stored:
                self._stored.wait_for(lambda: key not in self._on_their_way)

    async def await_one(self, key: str) -> None:
        """Do what `wait` does, without ever blocking the event loop."""
        if key in self._on_their_way and self._pid == os.getpid():
            await asyncio.to_thread(self.wait, key)

    def close(self) -> None:
        """Wait for all that are on their way, and let the thread go; a later alias starts a new one."""
        self._writer.close()

    def _store_one(self, alias: Alias) -> None:
        try:
            self._store.put(alias)
        except Exception as error:  # a store may be the user's code, and an alias costs nobody a hit
            self._failed(error)
        finally:
            self._arrived(alias.address.exact)

    def _arrived(self, key: str) -> None:
        with self._stored:
            left = self._on_their_way[key] - 1
            if left:
                self._on_their_way[key] = left
            else:
                del self._on_their_way[key]
                self._stored.notify_all()
