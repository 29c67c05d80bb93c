"""How shards are asked, and brought up to date first: what each must know of invalidations, key and embedder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from semroute.errors import ConfigError, StoreError
from semroute.stores._fleet.asking import answers_of, call, done
from semroute.stores._fleet.joining import confirm, join, key_of
from semroute.stores._fleet.shard import Deed, Refused
from semroute.stores.capabilities import EpochState

if TYPE_CHECKING:
    from semroute.entry import Selector
    from semroute.stores._fleet.fleet import Fleet, Steps

T = TypeVar("T")

_EPOCHS: Final[Deed[EpochState]] = Deed(lambda store: store.epochs(), lambda store: store.aepochs())
"""All that a shard remembers."""


def open_all(fleet: Fleet) -> Steps[bytes]:
    """Agree on the digest key with every shard that answers, bring them up to date, and return the key."""
    if fleet.key is not None:
        return fleet.key
    yield from join(fleet)
    losses = _losses(fleet, fleet.names)
    outcomes = yield from call(fleet.names, _EPOCHS, is_forced=True)
    states = done(fleet.names, outcomes)
    if not states:
        raise StoreError(f"no shard answers: {fleet.complaint(fleet.names)}")
    key = key_of(states)
    if not is_enough(fleet, states) and not any(state.is_settled for state in states.values()):
        away = [name for name in fleet.names if name not in states]
        raise StoreError(f"too few shards answer to agree on the digest key of a new fleet: {fleet.complaint(away)}")
    fleet.key = key
    refusals = yield from _level(fleet, states, losses, list(states))
    if refusals:
        fleet.key = None
        raise refusals[0].error
    return key


def ask(fleet: Fleet, names: Sequence[str], deed: Deed[T]) -> Steps[dict[str, T]]:
    """Ask those of some shards that may serve, and return what each answered; raises ConfigError for a refusal."""
    if fleet.key is None:
        yield from open_all(fleet)
    if not all(fleet.shards[name].is_current for name in names):
        yield from catch_up(fleet, names)
    current = [name for name in names if fleet.shards[name].is_current]
    return done(current, (yield from call(current, deed)))


def no_answer(fleet: Fleet, names: Sequence[str]) -> StoreError:
    return StoreError(f"no shard that keeps this answers: {fleet.complaint(list(dict.fromkeys(names)))}")


def catch_up(fleet: Fleet, names: Sequence[str]) -> Steps[None]:
    """Hand to shards that may have missed invalidations all that the others remember.

    They are asked first and the others afterwards, so that an invalidation that found them still away is with the
    others by then.
    """
    behind = [name for name in names if not fleet.shards[name].is_current]
    losses = _losses(fleet, behind)
    back = answers_of(fleet, behind, (yield from call(behind, _EPOCHS)))
    if back and fleet.roster is not None:
        good = yield from confirm(fleet, list(back))
        back = {name: state for name, state in back.items() if name in good}
    if not back:
        return
    others = [name for name in fleet.names if name not in behind]
    states = back | answers_of(fleet, others, (yield from call(others, _EPOCHS)))
    states = {name: state for name, state in states.items() if _is_of(fleet, name, state)}
    yield from _level(fleet, states, losses, [name for name in back if name in states])


def _level(
    fleet: Fleet, states: Mapping[str, EpochState], losses: Mapping[str, int], names: Sequence[str]
) -> Steps[list[Refused]]:
    """Have shards adopt all that is remembered in any of them, if enough were heard; they are current then."""
    if not is_enough(fleet, states):
        return []
    known = merged(fleet, states.values())
    lacking = [name for name in names if states[name].lacks(known)]
    outcomes = yield from call(lacking, _adopting(known), is_forced=True)
    adopted = answers_of(fleet, lacking, outcomes)
    fleet.saw(known.epoch)
    if known.embedder is not None and known.dimensions is not None:
        fleet.embedder = (known.embedder, known.dimensions)
    for name in names:
        if name in adopted or name not in lacking:
            fleet.shards[name].caught_up(losses[name])
    return [outcome for outcome in outcomes if isinstance(outcome, Refused)]


def is_enough(fleet: Fleet, states: Mapping[str, EpochState]) -> bool:
    """Say whether these shards together know of every invalidation.

    A shard without contents is new or lost them, so that it does not count, unless all are new or all are heard.
    """
    settled = sum(state.is_settled for state in states.values())
    is_all = len(states) == len(fleet.names) and not fleet.strangers
    return is_all or (settled if settled else len(states)) >= fleet.quorum


def states_of(fleet: Fleet, *, after: int = 0) -> Steps[dict[str, EpochState]]:
    """Ask every shard, breakers or not, what it remembers of invalidations later than an epoch."""
    deed: Deed[EpochState] = Deed(lambda store: store.epochs(after=after), lambda store: store.aepochs(after=after))
    return answers_of(fleet, fleet.names, (yield from call(fleet.names, deed, is_forced=True)))


def state_of_all(fleet: Fleet) -> Steps[EpochState]:
    """Return all that is remembered in any shard; raises StoreError where too few answer to be sure."""
    yield from open_all(fleet)
    states = yield from states_of(fleet)
    if not is_enough(fleet, states):
        away = [name for name in fleet.names if name not in states]
        raise StoreError(f"too few shards answer to know what was invalidated: {fleet.complaint(away)}")
    return merged(fleet, states.values())


def adopt(fleet: Fleet, names: Sequence[str], state: EpochState) -> Steps[dict[str, int]]:
    """Have shards adopt a state, breakers or not, and return how many entries went in those that did."""
    return answers_of(fleet, names, (yield from call(names, _adopting(state), is_forced=True)))


def merged(fleet: Fleet, states: Iterable[EpochState]) -> EpochState:
    """Return all that is remembered in any of some shards, as the fleet's own state."""
    known = list(states)
    latest = max((state.epoch for state in known), default=0)
    furthest = [state for state in known if state.epoch == latest]
    holder = next((state for state in furthest if state.embedder is not None), None)
    invalidations: dict[Selector, int] = {}
    for state in known:
        for selector, epoch in state.invalidations.items():
            invalidations[selector] = max(epoch, invalidations.get(selector, 0))
    return EpochState(
        digest_key=b"" if fleet.key is None else fleet.key,
        is_settled=True,
        # At least 1: a shard that has adopted it is settled from then on.
        epoch=max(latest, fleet.highest_epoch, 1),
        # The one that has come furthest has heard of everything later than what it has forgotten.
        complete_since=min((state.complete_since for state in furthest), default=0),
        invalidations=invalidations,
        embedder=None if holder is None else holder.embedder,
        dimensions=None if holder is None else holder.dimensions,
    )


def _is_of(fleet: Fleet, name: str, state: EpochState) -> bool:
    if state.is_settled and state.digest_key != fleet.key:
        fleet.shards[name].broke("it was made with another digest key than the rest of its fleet")
        return False
    return True


def _losses(fleet: Fleet, names: Iterable[str]) -> dict[str, int]:
    return {name: fleet.shards[name].losses for name in names}


def _adopting(state: EpochState) -> Deed[int]:
    return Deed(lambda store: store.adopt(state), lambda store: store.aadopt(state), has_deadline=False)


def check_embedder(fleet: Fleet, embedder: str, dimensions: int) -> Steps[None]:
    """Raise ConfigError where the fleet holds vectors of another embedder, on whatever shard they are."""
    if fleet.embedder == (embedder, dimensions):
        return
    yield from open_all(fleet)
    if fleet.embedder not in (None, (embedder, dimensions)):  # it may have been emptied since
        states = answers_of(fleet, fleet.names, (yield from call(fleet.names, _EPOCHS)))
        known = merged(fleet, states.values())
        holds = known.embedder is not None and known.dimensions is not None
        fleet.embedder = (known.embedder, known.dimensions) if holds else None  # type: ignore[assignment]  # `holds`
    match fleet.embedder:
        case (str(held), _) if held != embedder:
            raise ConfigError(
                f"the shards hold vectors of embedder {held!r}, this cache uses {embedder!r}: "
                "use other stores, or empty these with `semroute invalidate --all`"
            )
        case (_, int(held_dimensions)) if held_dimensions != dimensions:
            raise ConfigError(
                f"the shards hold vectors of {held_dimensions} dimensions, embedder {embedder!r} now makes "
                f"{dimensions}: give the embedder another identity, use other stores, or empty these with "
                "`semroute invalidate --all`"
            )


def settle_embedder(fleet: Fleet, embedder: str, dimensions: int) -> Steps[None]:
    """Tell every shard whose vectors the fleet holds, before the first is stored."""
    states = answers_of(fleet, fleet.names, (yield from call(fleet.names, _EPOCHS)))
    if not is_enough(fleet, states):
        return
    known = replace(merged(fleet, states.values()), embedder=embedder, dimensions=dimensions)
    if answers_of(fleet, list(states), (yield from call(list(states), _adopting(known)))):
        fleet.embedder = (embedder, dimensions)
