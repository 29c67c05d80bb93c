"""The digests of a store, made with the key that it gives when it is opened, and kept until it is closed."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from semroute.request import Digests

if TYPE_CHECKING:
    from semroute.driver import Driver
    from semroute.request import Request
    from semroute.stores import Store

_LONGEST_S: Final = 5.0


class Keyring:
    """Opens a store when its digests are first asked for: once, however many ask at once."""

    def __init__(self, store: Store, driver: Driver, strip: tuple[str, ...]) -> None:
        self._store = store
        self._driver = driver
        self._strip = strip
        self._keyless = Digests(bytes(32), strip)
        self._turn = threading.Lock()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self.digests: Digests | None = None
        """None before the store was opened, and after it was closed."""

    def words(self, request: Request) -> str:
        """Return the query as it is compared; needs no key."""
        return self._keyless.words(request)

    def open(self) -> Digests:
        """Return the digests for a request that goes on without them; raises StepFailed, as steps do."""
        digests = self.digests
        if digests is not None:
            return digests
        is_ours = self._turn.acquire(timeout=_LONGEST_S)  # a child that was forked meanwhile may find it taken for ever
        try:
            digests = self.digests
            return self._of(self._driver.open()) if digests is None else digests
        finally:
            if is_ours:
                self._turn.release()

    async def aopen(self) -> Digests:
        digests = self.digests
        if digests is not None:
            return digests
        async with self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            digests = self.digests
            return self._of(await self._driver.aopen()) if digests is None else digests

    def require(self) -> Digests:
        """Return the digests for a call that must not fail silently; raises StoreError or ConfigError."""
        return self._of(self._store.open())

    async def arequire(self) -> Digests:
        return self._of(await self._store.aopen())

    def forget(self) -> None:
        self.digests = None

    def _of(self, key: bytes) -> Digests:
        digests = self.digests
        if digests is None:
            digests = self.digests = Digests(key, self._strip)
        return digests
