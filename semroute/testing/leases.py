"""Leases for tests: lent in this process's memory, by a clock that goes only where it is sent."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semroute.errors import StoreError
from semroute.stores import Claim
from semroute.testing.stores import FailingShard

if TYPE_CHECKING:
    from semroute.entry import Address
    from semroute.stores import Store


@dataclass(slots=True)
class _Lent:
    token: str | None
    """None where it was declined."""
    until: float


class FakeLeases:
    """Lends keys to whoever asks first, in both faces; see `Lease`.

    While `is_down` every method raises StoreError. `asked` counts the calls of all methods.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.is_down = False
        self.asked = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._lent: dict[str, _Lent] = {}

    def __repr__(self) -> str:
        return f"<FakeLeases of {len(self._lent)} keys>"

    def holder(self, address: Address) -> str | None:
        """Return the token that holds the lease of a key, None where none does."""
        lent = self._live(address)
        return None if lent is None else lent.token

    def acquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        with self._lock:
            self._ask()
            lent = self._live(address)
            if lent is None or lent.token == token:
                self._lent[address.exact] = _Lent(token, self._clock() + ttl_s)
                return Claim.OURS
            return Claim.DECLINED if lent.token is None else Claim.THEIRS

    def renew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        with self._lock:
            self._ask()
            if self.holder(address) != token:
                return False
            self._lent[address.exact] = _Lent(token, self._clock() + ttl_s)
            return True

    def release(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        with self._lock:
            self._ask()
            if self.holder(address) != token:
                return False
            self._lent[address.exact] = _Lent(None, self._clock() + declined_s if declined_s > 0 else -math.inf)
            return True

    async def aacquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        return self.acquire(address, token, ttl_s=ttl_s)

    async def arenew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        return self.renew(address, token, ttl_s=ttl_s)

    async def arelease(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        return self.release(address, token, declined_s=declined_s)

    def _ask(self) -> None:
        self.asked += 1
        if self.is_down:
            raise StoreError("it lends nothing: it is down")

    def _live(self, address: Address) -> _Lent | None:
        lent = self._lent.get(address.exact)
        return None if lent is None or lent.until <= self._clock() else lent


class LendingStore(FailingShard):
    """Does what `store` does, and lends keys out of `leases`, as a store does that several processes share."""

    def __init__(self, store: Store, leases: FakeLeases) -> None:
        super().__init__(store)
        self.leases = leases

    def acquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        return self.leases.acquire(address, token, ttl_s=ttl_s)

    def renew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        return self.leases.renew(address, token, ttl_s=ttl_s)

    def release(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        return self.leases.release(address, token, declined_s=declined_s)

    async def aacquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        return await self.leases.aacquire(address, token, ttl_s=ttl_s)

    async def arenew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        return await self.leases.arenew(address, token, ttl_s=ttl_s)

    async def arelease(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        return await self.leases.arelease(address, token, declined_s=declined_s)
