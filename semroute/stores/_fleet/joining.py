"""How a client joins its fleet: who each shard is, whether all agree on the list, and what a new list changes.

Rules of this page:
- A shard keeps its name and the list of its fleet (`Papers`). A client finds them out when it opens, and looks again
  from time to time before it writes; of several lists the one of the highest epoch holds.
- A client whose own shards are others than those of the list goes on reading where it can, and refuses to write.
- Nothing but `adopt_list` changes who is on a list. No address is ever learnt from a shard.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError, StoreError
from semroute.stores._fleet.asking import call, done
from semroute.stores._fleet.membership import Members, Papers, first_members, free_names, new_papers, read_papers
from semroute.stores._fleet.papers import (
    Read,
    clear_replacements,
    keep,
    keep_everywhere,
    newest,
    read_all,
    replacement_told,
    spread,
)
from semroute.stores._fleet.placement import Placement
from semroute.stores._fleet.shard import Deed
from semroute.stores.capabilities import EpochState
from semroute.stores.ring import HashRing

if TYPE_CHECKING:
    from semroute.stores._fleet.fleet import Fleet, Steps

_LOG: Final = logging.getLogger("semroute.stores")

CHECK_EVERY_S: Final = 5.0
"""How long a client may write by a list before it looks whether another one holds."""
_ATTEMPTS: Final = 8


@dataclass(slots=True)
class Roster:
    """What a client knows of the list of its fleet. Without one, the application has named the shards itself."""

    places: Sequence[str]
    """Where each shard is, for a person: without credentials, in the order in which they were given."""
    members: Members | None = None
    disagreement: str = ""
    """Why this client must not write; empty where its shards are those of the list."""
    checked_at: float = -math.inf
    known: dict[str, str] = field(default_factory=dict)
    """The names of the shards whose papers were seen, by their uid."""
    replacements: set[str] = field(default_factory=set)
    """The names of the shards that came empty in the place of those that had the names."""


def join(fleet: Fleet) -> Steps[None]:
    """Find out who the shards are and what list holds; found a fleet where there is none.

    Raises StoreError where too few answer, ConfigError for one shard that was given twice.
    """
    if fleet.roster is None:
        return
    for _ in range(_ATTEMPTS):
        if (yield from _try_to_join(fleet, fleet.roster)):
            return
    raise StoreError("other clients name these shards at this moment, each in its own way: try again")


def confirm(fleet: Fleet, names: Sequence[str]) -> Steps[list[str]]:
    """Return which of some shards that came back are those that they are taken for; an empty one gets papers anew."""
    roster = fleet.roster
    if roster is None or roster.members is None:
        return list(names)
    read = yield from read_all(fleet, names, is_forced=True)
    if (yield from _heard(fleet, roster, read)):
        return []
    good = [name for name, found in read.items() if _is_who_it_was(fleet, roster, name, found.papers)]
    yield from _spread(fleet, roster, {name: read[name] for name in good})
    return good


def check_list(fleet: Fleet) -> Steps[None]:
    """Look once in a while which list holds; raises ConfigError where this client has other shards."""
    roster = fleet.roster
    if roster is None:
        return
    if fleet.clock() - roster.checked_at >= CHECK_EVERY_S:
        roster.checked_at = fleet.clock()
        names = fleet.keys if roster.disagreement else fleet.names
        read = yield from read_all(fleet, names, is_forced=False)
        if not (yield from _heard(fleet, roster, read)):
            yield from _spread(fleet, roster, read)
    if roster.disagreement:
        raise ConfigError(roster.disagreement)


def adopt_list(fleet: Fleet, weights: Mapping[str, float]) -> Steps[Members]:
    """Make the shards of this client the fleet, with these weights, and write the list into all of them.

    Raises StoreError unless every shard answers, ConfigError for a shard that belongs to another fleet.
    """
    roster = named_by_shards(fleet)
    yield from join(fleet)
    names = [shard.name for shard in fleet.slots]
    unknown = sorted(set(weights) - set(names))
    if unknown:
        raise ConfigError(f"there is no shard {unknown[0]!r}, only {', '.join(sorted(names))}")
    read = yield from read_all(fleet, fleet.keys, is_forced=True)
    _check_all_answer(fleet, roster, read, "a list holds only when every shard has it")
    states = yield from _epochs_of(fleet, fleet.keys)
    key_of({fleet.shards[key].name: state for key, state in states.items()})
    present = _present(roster)
    wanted = HashRing({name: weights.get(name, present.weights.get(name, 1.0)) for name in names}).weights
    if dict(wanted) != dict(present.weights):
        yield from keep_everywhere(fleet, read, present.followed_by(wanted))
        yield from join(fleet)
    if roster.disagreement:
        raise ConfigError(f"another client has changed the list at the same moment: {roster.disagreement}")
    return _present(roster)


def settle_list(fleet: Fleet, members: Members) -> Steps[Members]:
    """Write into all shards that everything lies where this list puts it; raises StoreError if another holds by now."""
    roster = named_by_shards(fleet)
    roster.checked_at = -math.inf
    yield from check_list(fleet)
    present = _present(roster)
    if present != members:
        raise StoreError(f"the list of shards was changed meanwhile (epoch {present.epoch}): begin again")
    if present.former:
        read = yield from read_all(fleet, fleet.keys, is_forced=True)
        _check_all_answer(fleet, roster, read, "a change ends only when every shard knows of it")
        yield from keep_everywhere(fleet, read, present.settled())
        roster.checked_at = -math.inf
        yield from check_list(fleet)
    yield from clear_replacements(fleet)
    return _present(roster)


def replacements(fleet: Fleet) -> list[str]:
    """Say of each shard that came empty in the place of another one what that means, and what to do."""
    if fleet.roster is None:
        return []
    places = zip(fleet.slots, fleet.roster.places, strict=True)
    return [replacement_told(shard.name, place) for shard, place in places if shard.name in fleet.roster.replacements]


def check_left(fleet: Fleet, note: str | None) -> Steps[None]:
    """Raise ConfigError where a store that is to be emptied, by its note, is one of the shards."""
    roster = named_by_shards(fleet)
    papers = read_papers(note)
    read = yield from read_all(fleet, fleet.names, is_forced=True)
    own = [found.papers for found in read.values() if found.papers is not None]
    twin = next((one for one in own if papers is not None and one.uid == papers.uid), None)
    if twin is not None:
        raise ConfigError(f"the store that is to be emptied is shard {twin.name} of {', '.join(roster.places)}")


def named_by_shards(fleet: Fleet) -> Roster:
    """Return the roster; raises ConfigError for a fleet whose shards the application has named."""
    if fleet.roster is None:
        raise ConfigError("the shards of this store were named by the application, which keeps their list itself")
    return fleet.roster


def key_of(states: Mapping[str, EpochState]) -> bytes:
    """Return the digest key of a fleet: the one that is settled, or, in a new fleet, the least."""
    settled = {name: state.digest_key for name, state in states.items() if state.is_settled}
    if len(set(settled.values())) > 1:
        first, *others = settled
        other = next(name for name in others if settled[name] != settled[first])
        raise ConfigError(
            f"shards {first!r} and {other!r} were made with different digest keys and cannot be one fleet: "
            "empty one of them by removing its contents, or give all of them one digest_key from the start"
        )
    return min(settled.values() or (state.digest_key for state in states.values()))


# --- finding out -----------------------------------------------------------------------------------------------


def _try_to_join(fleet: Fleet, roster: Roster) -> Steps[bool]:
    """Return False where another client was quicker, and all is to be read again."""
    # By the keys, which stay: the names may be changed meanwhile, by another thread.
    read = yield from read_all(fleet, fleet.keys, is_forced=True)
    if not read:
        raise StoreError(f"no shard answers: {_away(fleet, roster, read)}")
    _check_twins(fleet, roster, read)
    members = newest(read.values())
    if members is None:
        return (yield from _found(fleet, roster, read))
    fleet.rename(_names(fleet, roster, read, members))
    roster.checked_at = fleet.clock()
    for key, found in read.items():
        if found.papers is not None:
            roster.known[found.papers.uid] = fleet.shards[key].name
            if found.papers.is_replacement:
                roster.replacements.add(fleet.shards[key].name)
    _apply(fleet, roster, members)
    # Where another client was quicker, a shard that had no name when it was read has another one by now.
    return (yield from _spread(fleet, roster, read))


def _found(fleet: Fleet, roster: Roster, read: Mapping[str, Read]) -> Steps[bool]:
    """Name the shards of a new fleet, and write its first list; returns False, for another look, at every step."""
    _check_all_answer(fleet, roster, read, "a new fleet is founded when all of its shards answer")
    names = dict(zip(fleet.keys, _names(fleet, roster, read, None), strict=True))
    unnamed = {
        key: (found.text, new_papers(names[key]) if found.papers is None else replace(found.papers, name=names[key]))
        for key, found in read.items()
        if found.papers is None or found.papers.name != names[key]
    }
    if unnamed:
        yield from keep(fleet, unnamed)
        return False
    states = yield from _epochs_of(fleet, fleet.keys)
    key_of({names[key]: state for key, state in states.items()})
    # One that was used alone before shares what it holds with the others.
    filled = [names[key] for key, state in states.items() if state.is_settled]
    former: tuple[Mapping[str, float], ...] = ({filled[0]: 1.0},) if len(filled) == 1 < len(names) else ()
    papers = [found.papers for found in read.values() if found.papers is not None]
    yield from keep_everywhere(fleet, read, first_members(papers, former))
    return False


def _names(fleet: Fleet, roster: Roster, read: Mapping[str, Read], members: Members | None) -> list[str]:
    """Return a name for every shard: its own, else one that is missing from the list, else a free one.

    A shard that does not answer gets a name until it does. Of two that claim one name the one with the newer list has
    it, else the one with the lower uid.
    """
    listed = {} if members is None else members.weights
    claims: dict[str, int] = {}
    papers = [(number, found.papers) for number, key in enumerate(fleet.keys) if (found := read.get(key)) is not None]
    for number, own in sorted(papers, key=lambda pair: _seniority(pair[1]), reverse=True):
        if own is not None:
            claims.setdefault(own.name, number)
    for number, (key, shard) in enumerate(zip(fleet.keys, fleet.slots, strict=True)):
        if key not in read and shard.name in roster.known.values():
            claims.setdefault(shard.name, number)
    names = {number: name for name, number in claims.items()}
    left = [number for number in range(len(fleet.slots)) if number not in names]
    missing = sorted(set(listed) - set(claims))
    names |= dict(zip(left, missing, strict=False))
    taken = {*listed, *names.values()}
    for number in left[len(missing) :]:
        wished = fleet.slots[number].wished_name
        names[number] = next(iter(free_names(taken))) if wished is None or wished in taken else wished
        taken.add(names[number])
    return [names[number] for number in range(len(fleet.slots))]


def _seniority(papers: Papers | None) -> tuple[int, str, list[int]]:
    if papers is None:
        return -2, "", []
    epoch, text = (-1, "") if papers.members is None else papers.members.rank
    return epoch, text, [-ord(letter) for letter in papers.uid]


def _check_twins(fleet: Fleet, roster: Roster, read: Mapping[str, Read]) -> None:
    """Raise ConfigError where two of the given stores are one and the same, or of two fleets."""
    seen: dict[str, str] = {}
    fleets: dict[str, str] = {}
    for key, place in zip(fleet.keys, roster.places, strict=True):
        found = read.get(key)
        if found is None or found.papers is None:
            continue
        twin = seen.setdefault(found.papers.uid, place)
        if twin is not place:
            raise ConfigError(
                f"{twin} and {place} are one and the same shard, {found.papers.name}: give it once, under either "
                "name; where one is a copy of the other, empty the copy by removing its contents"
            )
        if found.papers.members is not None:
            fleets.setdefault(found.papers.members.fleet, place)
    if len(fleets) > 1:
        one, other, *_ = fleets.values()
        raise ConfigError(
            f"{one} and {other} are shards of two fleets: give the stores of one, or empty those that are to join "
            "by removing their contents"
        )


def _check_all_answer(fleet: Fleet, roster: Roster, read: Collection[str], why: str) -> None:
    if len(read) < len(fleet.keys):
        raise StoreError(f"{why}, and there is no answer from {_away(fleet, roster, read)}")


def _away(fleet: Fleet, roster: Roster, read: Collection[str]) -> str:
    """Name the places of the shards that did not answer, with what is wrong with each."""
    return "; ".join(
        f"{place} ({shard.reason})"
        for key, shard, place in zip(fleet.keys, fleet.slots, roster.places, strict=True)
        if key not in read
    )


def _heard(fleet: Fleet, roster: Roster, read: Mapping[str, Read]) -> Steps[bool]:
    """Take over a list that is newer than ours; returns True where the fleet was joined anew."""
    latest = newest(read.values())
    present = _present(roster)
    if latest is None or latest.fleet != present.fleet or latest.rank <= present.rank:
        return False
    if set(latest.weights) != set(present.weights) or roster.disagreement:
        yield from join(fleet)
        return True
    _apply(fleet, roster, latest)
    return False


def _is_who_it_was(fleet: Fleet, roster: Roster, name: str, papers: Papers | None) -> bool:
    """Say whether a shard is the one that it is taken for; two that were taken for one another change places."""
    if papers is None:
        return True
    if papers.members is not None and papers.members.fleet != _present(roster).fleet:
        fleet.shards[name].broke("it is a shard of another fleet: give the stores of one")
        return False
    if papers.name == name and roster.known.get(papers.uid, name) == name:
        roster.known[papers.uid] = name
        return True
    shard, other = fleet.shards[name], fleet.shards.get(papers.name)
    if other is not None and other is not shard and papers.name not in roster.known.values():
        other.rename(name)
        shard.rename(papers.name)
        fleet.shards[name], fleet.shards[papers.name] = other, shard
        roster.known[papers.uid] = papers.name
    else:
        shard.broke(f"it is shard {papers.name} and was taken for {name}: is one server given twice?")
    return False


def _present(roster: Roster) -> Members:
    if roster.members is None:
        raise StoreError("the fleet was not opened yet")
    return roster.members


def _apply(fleet: Fleet, roster: Roster, members: Members) -> None:
    """Place entries by a list from now on; of shards that are not on it, or that we do not have, nothing is used."""
    own = {shard.name for shard in fleet.slots}
    usable = {name: weight for name, weight in members.weights.items() if name in own}
    if not usable:
        raise ConfigError(
            f"none of these shards ({', '.join(sorted(own))}) is on the list of their fleet "
            f"({', '.join(sorted(members.weights))}): give the stores of one fleet"
        )
    former = tuple(HashRing(weights) for weights in members.former)
    ring = HashRing(usable)
    fleet.placement = Placement(ring, min(fleet.replicas, len(ring)), fleet.placement.sub_shards, former)
    fleet.strangers = len(members.weights) - len(usable)
    roster.members = members
    disagreement = "" if own == set(members.weights) else _disagreement(own, members)
    if disagreement and disagreement != roster.disagreement:
        _LOG.warning("%s", disagreement)
    roster.disagreement = disagreement


def _disagreement(own: Collection[str], members: Members) -> str:
    return (
        f"this client has the shards {', '.join(sorted(own))}, the list that they keep (epoch {members.epoch}) is "
        f"{', '.join(sorted(members.weights))}: it writes nothing until it is given those, or until "
        "`semroute ring adopt` makes its own the list"
    )


def _spread(fleet: Fleet, roster: Roster, read: Mapping[str, Read]) -> Steps[bool]:
    """Give the list that holds to shards that lack it; a client that must not write changes nothing.

    Returns False where another client was quicker.
    """
    return bool(roster.disagreement) or (yield from spread(fleet, _present(roster), read))


def _epochs_of(fleet: Fleet, names: Sequence[str]) -> Steps[dict[str, EpochState]]:
    states = done(names, (yield from call(names, _EPOCHS, is_forced=True)))
    away = [name for name in names if name not in states]
    if away:
        raise StoreError(f"a shard has stopped to answer: {fleet.complaint(away)}")
    return states


_EPOCHS: Final[Deed[EpochState]] = Deed(lambda store: store.epochs(), lambda store: store.aepochs())
