"""The search by meaning over all shards of a fleet at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from semroute.errors import ConfigError, StoreError
from semroute.stores._fleet.joining import check_list
from semroute.stores._fleet.shard import Deed
from semroute.stores._fleet.up_to_date import ask, check_embedder, open_all
from semroute.stores._nearness import Nearness
from semroute.stores.capabilities import Near, Nearby

if TYPE_CHECKING:
    from semroute.stores._fleet.fleet import Fleet, Steps
    from semroute.stores.capabilities import FloatMatrix


def nearby(
    fleet: Fleet, vectors: FloatMatrix, *, labels: frozenset[str], embedder: str, at_least: float, now: float
) -> Steps[Sequence[Near]]:
    """Ask every shard, and return each entry once however many copies there are; see `Nearby.nearby`."""
    wanted = Nearness(vectors, at_least)  # what is wrong with the question is no fault of the shards
    yield from open_all(fleet)
    yield from check_list(fleet)
    _check_able(fleet)
    yield from check_embedder(fleet, embedder, wanted.dimensions)
    # Without a deadline, as invalidations are: it goes through all that a shard holds of a corpus.
    deed: Deed[Sequence[Near]] = Deed(
        lambda store: _able(store).nearby(vectors, labels=labels, embedder=embedder, at_least=at_least, now=now),
        lambda store: _able(store).anearby(vectors, labels=labels, embedder=embedder, at_least=at_least, now=now),
        has_deadline=False,
    )
    answers = yield from ask(fleet, fleet.names, deed)
    _check_whole(fleet, answers)
    return list({near.id: near for answer in answers.values() for near in answer}.values())


def _check_able(fleet: Fleet) -> None:
    for name in fleet.names:
        _able(fleet.shards[name].store)


def _able(store: object) -> Nearby:
    if not isinstance(store, Nearby):
        raise ConfigError(
            f"{store!r} cannot be searched over all its partitions: use another store, or remove answers by document"
        )
    return store


def _check_whole(fleet: Fleet, answers: Mapping[str, Sequence[Near]]) -> None:
    """Raise StoreError where an entry may lie on shards alone that did not answer: what is near must not be missed."""
    away = [name for name in fleet.names if name not in answers]
    is_patchy = any(fleet.shards[name].is_patchy for name in answers)
    if len(away) >= fleet.placement.replicas or (away and is_patchy):
        raise StoreError(f"entries are missing from this search: {fleet.complaint(away)}")
