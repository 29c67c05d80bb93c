"""The Lease capability: stores that say which of several processes answers a question that they all ask at once."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from semroute.entry import Address


class Claim(StrEnum):
    """What came of asking for a lease."""

    OURS = "ours"
    """The caller holds it now, and held it before where it asked with the same token."""
    THEIRS = "theirs"
    """Another holds it: its answer may be on its way."""
    DECLINED = "declined"
    """The last holder ended without an answer that others may have: nobody should wait for another just now."""


@runtime_checkable
class Lease(Protocol):
    """A store that lends each exact key (`Address.exact`) to one holder at a time, told from others by its token.

    A lease says who calls the model, and nothing about what is stored: puts and reads go on as without it. It ends by
    itself `ttl_s` after it was taken or renewed, so that nobody waits long for a holder that has died. Every method
    may raise StoreError.
    """

    def acquire(self, address: Address, token: str, *, ttl_s: float) -> Claim:
        """Take the lease of a key if it is free. Asking again with the same token renews it."""
        ...

    def renew(self, address: Address, token: str, *, ttl_s: float) -> bool:
        """Have a lease last `ttl_s` from now; returns False, changing nothing, where the token does not hold it."""
        ...

    def release(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool:
        """End a lease; returns False, changing nothing, where the token does not hold it.

        With `declined_s` whoever asks for it is told so for that long: there is no answer to wait for.
        """
        ...

    async def aacquire(self, address: Address, token: str, *, ttl_s: float) -> Claim: ...
    async def arenew(self, address: Address, token: str, *, ttl_s: float) -> bool: ...
    async def arelease(self, address: Address, token: str, *, declined_s: float = 0.0) -> bool: ...
