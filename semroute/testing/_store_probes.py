"""How the conformance suite of stores asks its questions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from semroute.testing.entries import EMBEDDER, NOW, make_address, make_vector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from semroute.entry import Candidate, Entry, FloatVector, Found
    from semroute.stores import Store


class EmptyStore:
    """Asks for the store that a suite tests."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        raise NotImplementedError("override the `store` fixture with an empty store")


def same_entry(one: Entry | None, other: Entry | None) -> bool:
    """Compare entries field by field but for vector and labels, which `get` leaves out."""
    if one is None or other is None:
        return one is other
    return _served(one) == _served(other)


def _served(entry: Entry) -> Entry:
    return dataclasses.replace(entry, vector=None, embedder=None, labels=frozenset())


def same_whole_entry(one: Entry, other: Entry) -> bool:
    """Compare entries field by field, vectors to the precision that a store may keep."""
    if one.vector is None or other.vector is None:
        alike = one.vector is other.vector
    else:
        alike = bool(np.allclose(one.vector, other.vector, atol=1e-6))
    return alike and dataclasses.replace(one, vector=None) == dataclasses.replace(other, vector=None)


def get(store: Store, query: str, *, partition: str = "partition", now: float = NOW) -> Found:
    return store.get(make_address(query, partition=partition), now=now)


def search(
    store: Store,
    vector: FloatVector | None = None,
    *,
    partition: str = "partition",
    embedder: str = EMBEDDER,
    k: int = 5,
    now: float = NOW,
) -> Sequence[Candidate]:
    wanted = make_vector() if vector is None else vector
    return store.search(make_address("asked", partition=partition), wanted, embedder=embedder, k=k, now=now)


def queries(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.query for candidate in candidates]
