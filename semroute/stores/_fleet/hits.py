"""The short way of nearly every hit of a sharded store: one shard keeps the key, and it may serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semroute.stores._fleet.shard import Call, Deed, Done, Failed, Outcome, Refused
from semroute.stores._fleet.up_to_date import no_answer

if TYPE_CHECKING:
    from semroute.entry import Address, Found
    from semroute.stores._fleet.fleet import Fleet


def short_way(fleet: Fleet, address: Address, now: float) -> Call | None:
    """Return the one call that `_sharded_flow.get` would come down to; None where more has to be looked at.

    Nothing is decided here that is not decided there: this is the same read without the steps in between, which
    take as long as the server does.
    """
    placement = fleet.placement
    if fleet.key is None or placement.replicas > 1 or placement.former or address.shard in placement.sub_shards:
        return None
    name = placement.ring.owner(address.shard)
    shard = fleet.shards.get(name)
    if shard is None or not shard.is_current:
        return None
    deed: Deed[Found] = Deed(lambda store: store.get(address, now=now), lambda store: store.aget(address, now=now))
    return Call(name, deed)


def read(fleet: Fleet, call: Call, outcome: Outcome) -> Found | None:
    """Return what a shard has found; None where it may have missed an invalidation and has to be asked again."""
    match outcome:
        case Done(found) if found.epoch >= fleet.highest_epoch:
            fleet.saw(found.epoch)
            served: Found = found
            return served
        case Done():
            fleet.shards[call.shard].lose()
            return None
        case Failed():
            raise no_answer(fleet, [call.shard])
        case Refused(error):
            raise error
