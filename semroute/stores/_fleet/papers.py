"""How the papers of shards are read and written, many clients at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError
from semroute.stores._fleet.asking import answers_of, call, done
from semroute.stores._fleet.membership import Members, Papers, new_papers, read_papers, write_papers
from semroute.stores._fleet.shard import Deed
from semroute.stores.capabilities import Notes

if TYPE_CHECKING:
    from semroute.stores._fleet.fleet import Fleet, Steps

_LOG: Final = logging.getLogger("semroute.stores")

UNNAMED: Final = "unnamed-"
"""How shards are called that have not been asked yet, with their place among the stores that were given.

They answer to it ever after, whatever they are renamed to.
"""


@dataclass(frozen=True, slots=True)
class Read:
    """The papers of one shard, and the text that they were read from."""

    text: str | None
    papers: Papers | None


def read_all(fleet: Fleet, names: Sequence[str], *, is_forced: bool) -> Steps[dict[str, Read]]:
    """Read the papers of some shards, those that answer; raises ConfigError for papers of another release."""
    texts = done(names, (yield from call(names, _NOTE, is_forced=is_forced)))
    return {name: Read(text, read_papers(text)) for name, text in texts.items()}


def newest(read: Iterable[Read]) -> Members | None:
    """Return the list that holds, of those that were read; None where there is none."""
    lists = [found.papers.members for found in read if found.papers is not None and found.papers.members is not None]
    return max(lists, key=lambda members: members.rank, default=None)


def spread(fleet: Fleet, members: Members, read: Mapping[str, Read]) -> Steps[bool]:
    """Give a list to those shards that lack it; returns False where another client was quicker."""
    return (
        yield from keep(
            fleet,
            {
                name: (found.text, _with(found, own, members, is_replacement=found.text is None))
                for name, found in read.items()
                if _lacks(found.papers, own := fleet.shards[name].name, members)
            },
        )
    )


def keep_everywhere(fleet: Fleet, read: Mapping[str, Read], members: Members) -> Steps[None]:
    """Write a list into all shards; where another client is quicker, the higher list holds in the end."""
    papers: dict[str, tuple[str | None, Papers]] = {}
    for name, found in read.items():
        own = fleet.shards[name].name
        if found.papers is not None and own.startswith(UNNAMED):  # a fleet that is being founded
            own = found.papers.name
        papers[name] = found.text, _with(found, own, members, is_replacement=False)
    yield from keep(fleet, papers)


def keep(fleet: Fleet, papers: Mapping[str, tuple[str | None, Papers]]) -> Steps[bool]:
    """Write papers, each in the place of the text that was read, unless another client has done so meanwhile.

    Returns False where one has.
    """
    was_first = True
    for name, (before, after) in papers.items():
        outcomes = yield from call([name], _keeping(write_papers(after), before), is_forced=True)
        is_kept = answers_of(fleet, [name], outcomes).get(name)
        was_first = was_first and is_kept is not False
        if is_kept and fleet.roster is not None and after.members is not None:
            fleet.roster.known[after.uid] = after.name
            if after.is_replacement and before is None:
                fleet.roster.replacements.add(after.name)
                place = fleet.roster.places[fleet.slots.index(fleet.shards[name])]
                _LOG.warning("%s", replacement_told(after.name, place))
    return was_first


def clear_replacements(fleet: Fleet) -> Steps[None]:
    """Note in the shards that came empty that everything lies where it belongs by now."""
    if fleet.roster is None or not fleet.roster.replacements:
        return
    read = yield from read_all(fleet, fleet.keys, is_forced=True)
    cleared = {
        key: (found.text, replace(found.papers, is_replacement=False))
        for key, found in read.items()
        if found.papers is not None and found.papers.is_replacement
    }
    if (yield from keep(fleet, cleared)):
        fleet.roster.replacements.clear()


def replacement_told(name: str, place: str) -> str:
    """Say what it means that a shard came empty in the place of another one, and what to do."""
    return (
        f"{place} came empty and serves as shard {name} in the place of the one that had this name: what that one held "
        "is lost to the ring, but for copies in other shards, which `semroute ring rebalance` brings back. Where the "
        f"former {name} is still there, give that one instead, or fetch its answers with --from URL"
    )


def notes_of(store: object) -> Notes:
    """Return a store that can keep its papers; raises ConfigError for another one."""
    if not isinstance(store, Notes):
        raise ConfigError(f"{store!r} cannot keep its own name: give stores by name, as a mapping")
    return store


def _with(found: Read, name: str, members: Members, *, is_replacement: bool) -> Papers:
    if found.papers is None:
        return new_papers(name, members, is_replacement=is_replacement)
    return replace(found.papers, name=name, members=members)


def _lacks(papers: Papers | None, name: str, members: Members) -> bool:
    """Say whether papers are to be written anew; those of another fleet are never touched."""
    if papers is None:
        return True
    if papers.members is not None and papers.members.fleet != members.fleet:
        return False
    return papers.name != name or papers.members is None or papers.members.rank < members.rank


_NOTE: Final[Deed[str | None]] = Deed(lambda store: notes_of(store).note(), lambda store: notes_of(store).anote())


def _keeping(text: str, before: str | None) -> Deed[bool]:
    return Deed(
        lambda store: notes_of(store).keep_note(text, instead_of=before),
        lambda store: notes_of(store).akeep_note(text, instead_of=before),
    )
