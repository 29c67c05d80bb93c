"""How a Redis shard invalidates, and takes over what other stores have invalidated; generators like the operations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from semroute.entry import Selector
from semroute.errors import ConfigError
from semroute.stores._redis import epoch_scripts as scripts
from semroute.stores._redis.rows import decode_text, encode_json, encode_text
from semroute.stores._redis.state import call, new_life
from semroute.stores.capabilities import EpochState

if TYPE_CHECKING:
    from semroute.stores._redis.life import Life
    from semroute.stores._redis.state import Steps

_EVERYTHING: Final = Selector()


def delete(life: Life, selector: Selector, *, now: float) -> Steps[int]:
    """Invalidate a selection at once for all readers, then remove it page by page; returns how many entries went."""
    text = _encode(selector)
    epoch, *old = yield from life.run(scripts.INVALIDATE, int(now * 1000), text, new_life())
    life.last_epoch = max(life.last_epoch, int(epoch))
    if selector == _EVERYTHING:
        life.forget()
        yield from life.drop_indexes(*old)
    if selector.under_way:
        return 0
    return (yield from _remove(life, selector, int(epoch)))


def epochs(life: Life, after: int) -> Steps[EpochState]:
    """Return what the shard remembers of its invalidations after an epoch; a key that was given counts as settled."""
    state = yield from life.refresh(takes_any_key=True)
    key, epoch, complete_since, number, log = yield from call(scripts.EPOCHS, life.names.meta, after)
    remembered = {_decode(text): int(at) for text, at in zip(log[::2], log[1::2], strict=True)}
    is_settled = int(number) > 0 or int(epoch) > 0 or life.has_given_key
    since = max(int(complete_since), min(after, int(epoch)))
    return EpochState(bytes(key), is_settled, int(epoch), since, remembered, state.embedder, state.dimensions)


def adopt(life: Life, state: EpochState, *, now: float) -> Steps[int]:
    """Take over what another store remembers; see `Epochs.adopt`."""
    pairs = list(state.invalidations.items())
    arguments = [part for selector, epoch in pairs for part in (_encode(selector), epoch)]
    life.check_fleet_key(state.digest_key)
    yield from life.refresh(takes_any_key=True)
    fleet = (state.digest_key, state.epoch, state.complete_since)
    changes = yield from life.run(scripts.ADOPT, int(now * 1000), *fleet, new_life(), *arguments)
    if changes == scripts.SETTLED:
        raise ConfigError(
            f"shard {life.names.shard} at {life.place} was made with another digest key than the fleet that it is to"
            " join: empty its server, name another shard (?shard=NAME), or give all stores one digest_key"
        )
    life.adopt_key(state.digest_key)
    gone = 0
    for number in changes:
        # The first of them may be that everything below an epoch has to go.
        selector, epoch = (_EVERYTHING, state.complete_since) if number == 0 else pairs[number - 1]
        gone += yield from _remove(life, selector, epoch)
        if selector == _EVERYTHING:
            yield from _vacate(life)
    own = yield from life.refresh()
    life.last_epoch = max(life.last_epoch, own.epoch)
    if own.embedder is None and state.embedder is not None and state.dimensions is not None:
        yield from life.claim(state.embedder, state.dimensions)
    return gone


def _vacate(life: Life) -> Steps[None]:
    old = yield from life.run(scripts.VACATE, new_life())
    if old:
        life.forget()
        yield from life.drop_indexes(*old)


def _remove(life: Life, selector: Selector, epoch: int) -> Steps[int]:
    label, cursor, gone = min(selector.labels, default=""), "0", 0
    text = _encode(selector)
    while True:
        page = yield from call(scripts.DELETE_PAGE, life.names.meta, epoch, text, label, cursor)
        cursor, gone = page[0].decode(), gone + int(page[1])
        if cursor == "0":
            return gone


def _encode(selector: Selector) -> bytes:
    before = None if selector.created_before is None else float(selector.created_before)
    fields = {"labels": sorted(selector.labels), "before": before}
    return encode_text(encode_json({**fields, "under_way": True} if selector.under_way else fields))


def _decode(text: bytes) -> Selector:
    fields = json.loads(decode_text(text))
    return Selector(frozenset(fields["labels"]), fields["before"], fields.get("under_way", False))
