"""What a sharded store does, as pure generators of calls to its shards: placement, fail-over, repair, catching up.

Rules of this page:
- A shard serves only while it is current, which is to say: it has taken over all that the others remember of
  invalidations since it was last lost sight of.
- An invalidation goes to every shard, breakers or not, under one epoch that is higher than any that a request could
  have read before. So the epochs of all shards are comparable, and one that lags behind gives itself away.
- A copy carries the epoch of its entry, and the shard that it is put into refuses it where it was invalidated since.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from semroute.entry import Address, Alias, Candidate, Entry, Found, Selector
from semroute.errors import StoreError
from semroute.stores._fleet.asking import call
from semroute.stores._fleet.joining import check_list
from semroute.stores._fleet.shard import Call, Deed, Done, Failed, Refused
from semroute.stores._fleet.up_to_date import (
    adopt,
    ask,
    catch_up,
    check_embedder,
    is_enough,
    merged,
    no_answer,
    open_all,
    settle_embedder,
    states_of,
)
from semroute.stores.capabilities import Copying, EpochState

if TYPE_CHECKING:
    from semroute.entry import FloatVector
    from semroute.stores._fleet.fleet import Fleet, Steps
    from semroute.stores._fleet.placement import Group

T = TypeVar("T")

Asking: TypeAlias = "Callable[[Sequence[str]], Steps[dict[str, T]]]"

_STRIDE: Final = 1_000
"""How far an epoch jumps when a shard cannot be asked for its own: that one may be some invalidations ahead."""


def get(fleet: Fleet, address: Address, now: float) -> Steps[Found]:
    """Ask the replicas of the key one after the other until one has the entry; those that lack it get a copy."""
    if fleet.key is None:
        yield from open_all(fleet)
    own, *others = fleet.placement.groups_for(address)
    found = yield from _get_from(fleet, own, address, now)
    if others and (found is None or found.entry is None or found.alias is not None):
        # An alias lies with its entry, which may be on any sub-shard; there may be one of an older policy on another.
        answers = yield from _one_of_each(others, lambda names: _find(fleet, names, address, now))
        for answer in answers.values():
            found = _newer(found, answer)
    if fleet.placement.former and (found is None or found.entry is None):
        found = (yield from _from_former(fleet, address, now)) or found
    if found is None:
        raise no_answer(fleet, own)
    return found


def search(
    fleet: Fleet, address: Address, vector: FloatVector, *, embedder: str, k: int, now: float
) -> Steps[Sequence[Candidate]]:
    """Ask one replica of every sub-shard, and all of those whose first is patchy; the best of all come first."""
    deed: Deed[Sequence[Candidate]] = Deed(
        lambda store: store.search(address, vector, embedder=embedder, k=k, now=now),
        lambda store: store.asearch(address, vector, embedder=embedder, k=k, now=now),
    )
    yield from check_embedder(fleet, embedder, vector.size)
    groups = fleet.placement.groups(address.shard)
    spares = [group[1:] for group in groups if len(group) > 1 and fleet.shards[group[0]].is_patchy]
    former = fleet.placement.former_groups(address.shard)
    answers = yield from _one_of_each([*groups, *spares, *former], lambda names: ask(fleet, names, deed))
    if not answers:
        raise no_answer(fleet, [name for group in groups for name in group])
    return _best(list(answers.values()), k)


def put(fleet: Fleet, record: Entry | Alias) -> Steps[bool]:
    """Store a record in every replica that answers; an invalidation known to one of them wins over the others."""
    yield from _check_may_write(fleet)
    if isinstance(record, Entry) and record.vector is not None and record.embedder is not None:
        yield from check_embedder(fleet, record.embedder, record.vector.size)
        if fleet.embedder is None:
            yield from settle_embedder(fleet, record.embedder, record.vector.size)
    names = fleet.placement.group_of(record)
    answers = yield from ask(fleet, names, _putting(record))
    if not answers:
        raise no_answer(fleet, names)
    # An entry is refused where it was invalidated; an alias where its entry is not, which another replica may have.
    return any(answers.values()) if isinstance(record, Alias) else all(answers.values())


def delete(fleet: Fleet, selector: Selector) -> Steps[int]:
    """Invalidate in every shard, under one epoch; those that are away learn of it before they serve again.

    Returns how many entries went: exact while replicas agree. Raises StoreError where fewer than half of the shards
    took it, for it might then be lost with them.
    """
    yield from _check_may_write(fleet)
    states = yield from _heard(fleet)
    known = merged(fleet, states.values())
    epoch = known.epoch + (1 if len(states) == len(fleet.names) else _STRIDE)
    taken: dict[str, int] = yield from adopt(fleet, list(states), _with(known, selector, epoch))
    if taken:
        fleet.saw(epoch)
    left = [name for name in fleet.names if name not in taken]
    if left and is_enough(fleet, states):
        # Once more, now that the others have taken it: one that comes back in this moment either takes it from here,
        # or finds it with the others when it catches up. It may lack more than this one.
        everything = merged(fleet, (yield from states_of(fleet)).values())
        taken |= yield from adopt(fleet, left, _with(everything, selector, epoch))
    away = [name for name in fleet.names if name not in taken]
    for name in away:
        fleet.shards[name].lose()
    if selector == Selector():
        fleet.embedder = None
    if len(taken) < fleet.quorum:
        raise StoreError(
            f"only {len(taken)} of {len(fleet.names)} shards took the invalidation, at least {fleet.quorum} must: "
            f"repeat it when they are back ({fleet.complaint(away)})"
        )
    counts = list(taken.values())
    return max(math.ceil(sum(counts) / fleet.placement.replicas), *counts)


def usable(fleet: Fleet, name: str) -> Steps[bool]:
    """Bring one shard up to date, and say whether it may serve."""
    yield from open_all(fleet)
    yield from catch_up(fleet, [name])
    return fleet.shards[name].is_current


def ask_all(fleet: Fleet, deed: Deed[T]) -> Steps[dict[str, T]]:
    """Ask every shard; raises StoreError where none answers."""
    answers: dict[str, T] = yield from ask(fleet, fleet.names, deed)
    if not answers:
        raise no_answer(fleet, fleet.names)
    return answers


def _check_may_write(fleet: Fleet) -> Steps[None]:
    """Raise ConfigError where this client and its shards do not agree on who they are."""
    yield from open_all(fleet)
    yield from check_list(fleet)


# --- reading ---------------------------------------------------------------------------------------------------


def _get_from(fleet: Fleet, group: Group, address: Address, now: float) -> Steps[Found | None]:
    """Return what a group knows of a key; None where none of it answers."""
    nothing: Found | None = None
    lacking: list[str] = []
    for name in group:
        found = yield from _find_one(fleet, name, address, now)
        if found is None:
            continue
        if found.entry is None:
            lacking.append(name)
        elif not lacking or (yield from _repair(fleet, found, address, name, lacking, now)):
            return found
        nothing = _nothing(nothing, found)
    return nothing


def _from_former(fleet: Fleet, address: Address, now: float) -> Steps[Found | None]:
    """Look where a key lay before the list of shards was changed, and copy forward what is found there."""
    for group in fleet.placement.former_groups(address.shard):
        for name in group:
            found = yield from _find_one(fleet, name, address, now)
            if found is None or found.entry is None:
                continue
            owners = [
                owner
                for owner in fleet.placement.group_of(found.entry if found.alias is None else found.alias)
                if fleet.shards[owner].is_current
            ]
            if (yield from _repair(fleet, found, address, name, owners, now)):
                return found
    return None


def _find_one(fleet: Fleet, name: str, address: Address, now: float) -> Steps[Found | None]:
    """Do what `_find` does for one shard, and straight away for one that is current: this is the way of every hit."""
    if fleet.shards[name].is_current:
        (outcome,) = yield (Call(name, _getting(address, now)),)
        match outcome:
            case Done(found) if found.epoch >= fleet.highest_epoch:
                fleet.saw(found.epoch)
                answer: Found = found
                return answer
            case Done():
                fleet.shards[name].lose()
            case Failed():
                return None
            case Refused(error):
                raise error
    return (yield from _find(fleet, [name], address, now)).get(name)


def _find(fleet: Fleet, names: Sequence[str], address: Address, now: float) -> Steps[dict[str, Found]]:
    """Read the exact tier of some shards; what one knew before it had every invalidation is not taken."""
    deed = _getting(address, now)
    answers: dict[str, Found] = yield from ask(fleet, names, deed)
    for found in answers.values():
        fleet.saw(found.epoch)
    behind = [name for name, found in answers.items() if found.epoch < fleet.highest_epoch]
    if behind:
        for name in behind:
            del answers[name]
            fleet.shards[name].lose()
        answers |= yield from ask(fleet, behind, deed)
    return answers


def _newer(one: Found | None, other: Found) -> Found:
    """Return the one of two that leads to an entry: the key's own, or that of the newer alias."""
    if one is None or other.entry is None:
        return other if one is None else one if one.entry is not None else _nothing(one, other)
    if one.entry is None or one.alias is None:
        return other if one.entry is None else one
    is_older = other.alias is not None and one.alias.created_at > other.alias.created_at
    return one if is_older else other


def _nothing(one: Found | None, other: Found) -> Found:
    """Return a miss with the lower epoch of two: an answer made now must be older than what either forgets."""
    return Found(None, None, other.epoch if one is None else min(one.epoch, other.epoch))


def _repair(
    fleet: Fleet, found: Found, address: Address, source: str, lacking: Sequence[str], now: float
) -> Steps[bool]:
    """Copy what one replica has to those that lack it; returns False where one of them knows it as invalidated."""
    store = fleet.shards[source].store
    if found.entry is None or not isinstance(store, Copying) or not fleet.may_write:
        return True
    alias = found.alias
    if alias is not None:  # it may be all that is missing, and to put its entry again would drop the others
        outcomes = yield from call(lacking, _putting(alias))
        lacking = [name for name, outcome in zip(lacking, outcomes, strict=True) if outcome == Done(False)]
        if not lacking:
            return True
    entry = yield from _read(Address(address.shard, address.partition, found.entry.id), source, now)
    if entry is None:
        return True
    outcomes = yield from call(lacking, _putting(entry))
    copied = [name for name, outcome in zip(lacking, outcomes, strict=True) if outcome == Done(True)]
    if any(outcome == Done(False) for outcome in outcomes):
        fleet.shards[source].lose()
        return False
    for name in copied:
        fleet.shards[name].is_patchy = True
        fleet.repaired += 1
    if alias is not None and copied:
        yield from call(copied, _putting(alias))
    return True


def _read(address: Address, source: str, now: float) -> Steps[Entry | None]:
    deed: Deed[Entry | None] = Deed(
        lambda store: _copying(store).read(address, now=now),
        lambda store: _copying(store).aread(address, now=now),
    )
    (outcome,) = yield from call([source], deed)
    entry: Entry | None = outcome.value if isinstance(outcome, Done) else None
    return entry


def _copying(store: object) -> Copying:
    if not isinstance(store, Copying):
        raise StoreError(f"{store!r} cannot be copied from")
    return store


def _one_of_each(groups: Iterable[Group], asking: Asking[T]) -> Steps[dict[str, T]]:
    """Ask the first shard of every group, then the next one of each group whose first did not answer, and so on."""
    answers: dict[str, T] = {}
    tried: set[str] = set()
    waiting = list(groups)
    while waiting:
        names = [name for name in dict.fromkeys(group[0] for group in waiting) if name not in tried]
        if names:
            tried.update(names)
            answers |= yield from asking(names)
        waiting = [group[1:] for group in waiting if group[0] not in answers and len(group) > 1]
    return answers


def _best(answers: Sequence[Sequence[Candidate]], k: int) -> Sequence[Candidate]:
    """Merge what several shards found: each entry once, best first, equals always in the same order."""
    if len(answers) == 1:
        return answers[0]
    by_id: dict[str, Candidate] = {}
    for candidate in (candidate for answer in answers for candidate in answer):
        known = by_id.get(candidate.id)
        if known is None or candidate.similarity > known.similarity:
            by_id[candidate.id] = candidate
    return sorted(by_id.values(), key=lambda candidate: (-candidate.similarity, candidate.id))[:k]


def _getting(address: Address, now: float) -> Deed[Found]:
    return Deed(lambda store: store.get(address, now=now), lambda store: store.aget(address, now=now))


def _putting(record: Entry | Alias) -> Deed[bool]:
    return Deed(lambda store: store.put(record), lambda store: store.aput(record))


def _heard(fleet: Fleet) -> Steps[dict[str, EpochState]]:
    """Ask every shard what it remembers, for an invalidation: of most of them only what is new to this process."""
    states = yield from states_of(fleet, after=fleet.highest_epoch)
    if any(state.epoch < fleet.highest_epoch for state in states.values()):  # one of them lacks more than the latest
        states = yield from states_of(fleet)
    if not states:
        raise StoreError(f"nothing was invalidated, no shard answers: {fleet.complaint(fleet.names)}")
    if is_enough(fleet, states):
        return states
    # The call is going to fail, and what is invalidated is gone from these all the same. A shard that is new, or lost
    # all that it knew, is left out, for it must not pass for one that remembers.
    return {name: state for name, state in states.items() if state.is_settled}


def _with(known: EpochState, selector: Selector, epoch: int) -> EpochState:
    """Return a state that remembers one invalidation more."""
    state = replace(known, epoch=max(epoch, known.epoch), invalidations={**known.invalidations, selector: epoch})
    return replace(state, embedder=None, dimensions=None) if selector == Selector() else state
