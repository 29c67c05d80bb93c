"""Leases of a sharded store: the shard that keeps a key lends it, or its next replica where that one is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from semroute.errors import StoreError
from semroute.stores._fleet.asking import call
from semroute.stores._fleet.shard import Deed, Done
from semroute.stores._fleet.up_to_date import no_answer
from semroute.stores.capabilities import Claim, Lease

if TYPE_CHECKING:
    from semroute.entry import Address
    from semroute.stores._fleet.fleet import Fleet, Steps

T = TypeVar("T")


def acquire(fleet: Fleet, address: Address, token: str, ttl_s: float) -> Steps[Claim]:
    """Ask the owner; a shard whose store lends nothing lets everybody go on by themselves.

    Clients that disagree for a moment about who is away may both be told that a lease is theirs: that costs a call of
    the model, and no right answer.
    """
    deed: Deed[Claim] = Deed(
        lambda store: store.acquire(address, token, ttl_s=ttl_s) if isinstance(store, Lease) else Claim.OURS,
        lambda store: store.aacquire(address, token, ttl_s=ttl_s) if isinstance(store, Lease) else _ours(),
    )
    group = fleet.placement.groups_for(address)[0]
    for name in group:
        (outcome,) = yield from call([name], deed)
        if isinstance(outcome, Done):
            claim: Claim = outcome.value
            return claim
    raise no_answer(fleet, group)


def renew(fleet: Fleet, address: Address, token: str, ttl_s: float) -> Steps[bool]:
    """Renew with whichever replica has lent it."""
    deed = Deed(
        lambda store: _lending(store).renew(address, token, ttl_s=ttl_s),
        lambda store: _lending(store).arenew(address, token, ttl_s=ttl_s),
    )
    return (yield from _any(fleet, address, deed))


def release(fleet: Fleet, address: Address, token: str, declined_s: float) -> Steps[bool]:
    """End it with whichever replica has lent it."""
    deed = Deed(
        lambda store: _lending(store).release(address, token, declined_s=declined_s),
        lambda store: _lending(store).arelease(address, token, declined_s=declined_s),
    )
    return (yield from _any(fleet, address, deed))


def _any(fleet: Fleet, address: Address, deed: Deed[bool]) -> Steps[bool]:
    group = [name for name in fleet.placement.groups_for(address)[0] if isinstance(fleet.shards[name].store, Lease)]
    answered = not group
    for name in group:
        (outcome,) = yield from call([name], deed)
        if outcome == Done(True):
            return True
        answered |= isinstance(outcome, Done)
    if not answered:
        raise no_answer(fleet, group)
    return False


def _lending(store: object) -> Lease:
    if not isinstance(store, Lease):
        raise StoreError(f"{store!r} lends no keys")
    return store


async def _ours() -> Claim:
    return Claim.OURS
