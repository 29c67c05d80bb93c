"""Changing the index of a shard that has grown, from comparing with every vector to a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from semroute.stores._redis import scripts
from semroute.stores._redis.errors import NoIndex
from semroute.stores._redis.index import FLAT, HNSW, document_count, is_complete
from semroute.stores._redis.state import call

if TYPE_CHECKING:
    from semroute.stores._redis.life import Life
    from semroute.stores._redis.state import State, Steps

_LOOK_EVERY: Final = 64
"""While an index is being built, every so many puts look whether it is complete."""


def grow_index(life: Life, state: State, entries: int, number: int) -> Steps[None]:
    """Change from comparing with every vector to a graph once there are many, without a moment without index."""
    if state.algorithm != FLAT or entries <= life.hnsw_from:
        return
    if state.building is None:
        yield from call(scripts.BUILD, life.names.meta, state.life, FLAT, HNSW, "begin")
        begun = yield from life.refresh()
        yield life.spec(begun, HNSW)
    elif number % _LOOK_EVERY == 0:
        yield from _finish_building(life, state)


def _finish_building(life: Life, state: State) -> Steps[None]:
    spec = life.spec(state, HNSW)
    try:
        info = yield ("FT.INFO", spec.name)
    except NoIndex:
        yield spec
        return
    if not is_complete(info):
        # Under many puts the server's own pass may not end; it has served its end when nothing is missing.
        present = yield ("FT.INFO", life.spec(state).name)
        if document_count(info) < document_count(present):
            return
    if (yield from call(scripts.BUILD, life.names.meta, state.life, FLAT, HNSW, "end")):
        yield from life.refresh()
        yield from life.drop(life.spec(state))
