"""The digests of a store, made with the key that it gives when it is opened, and kept until it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semroute.request import Digests

if TYPE_CHECKING:
    from semroute.driver import Driver
    from semroute.stores import Store


class Keyring:
    """Opens a store when its digests are first asked for."""

    def __init__(self, store: Store, driver: Driver, strip: tuple[str, ...]) -> None:
        self._store = store
        self._driver = driver
        self._strip = strip
        self.digests: Digests | None = None
        """None before the store was opened, and after it was closed."""

    def open(self) -> Digests:
        """Return the digests for a request that goes on without them; raises StepFailed, as steps do."""
        digests = self.digests
        return self._of(self._driver.open()) if digests is None else digests

    async def aopen(self) -> Digests:
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
