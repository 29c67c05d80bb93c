"""Builders of addresses, vectors, entries and aliases with sensible values for whatever a test does not care about."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from semroute.entry import Address, Alias, Answer, Entry

if TYPE_CHECKING:
    from semroute.entry import FloatVector

NOW: Final = 1_750_000_000.0
"""A moment of a fixed clock, in seconds since the Unix epoch."""
HOUR_S: Final = 3600.0
EMBEDDER: Final = "embedder-of-the-tests"
DIMENSIONS: Final = 8


def digest(text: str) -> str:
    """Return a hexadecimal string as the cache's own digests look; equal for equal texts."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def make_address(query: str, *, partition: str = "partition", shard: str = "shard") -> Address:
    """Return the address of a query in a partition, both given as plain words."""
    return Address(digest(shard), digest(partition), digest(f"{partition}\0{query}"))


def make_vector(similarity: float = 1.0, *, axis: int = 1, dimensions: int = DIMENSIONS) -> FloatVector:
    """Return a unit vector whose cosine with `make_vector()` is `similarity`, leaning towards `axis`."""
    vector = np.zeros(dimensions, np.float32)
    vector[0] = similarity
    vector[axis] += math.sqrt(max(0.0, 1.0 - similarity * similarity))
    return vector


def make_entry(
    query: str = "How do I reset my password?", *, partition: str = "partition", similarity: float = 1.0, **fields: Any
) -> Entry:
    """Return an entry for a query; `fields` replace those of `Entry`, and `vector=None` makes it exact only."""
    values: dict[str, Any] = {
        "address": make_address(query, partition=partition),
        "query": query,
        "answer": Answer(f"the answer to {query}"),
        "created_at": NOW,
        "expires_at": NOW + HOUR_S,
        "vector": make_vector(similarity),
        **fields,
    }
    values.setdefault("embedder", None if values["vector"] is None else EMBEDDER)
    return Entry(**values)


def make_alias(query: str, entry: Entry, *, partition: str = "partition", **fields: Any) -> Alias:
    """Return an alias from a query to an entry; `fields` replace those of `Alias`."""
    values: dict[str, Any] = {
        "address": make_address(query, partition=partition),
        "entry_id": entry.id,
        "query": query,
        "similarity": 0.93,
        "p_reusable": 0.99,
        "policy": "policy-1",
        "created_at": NOW,
        **fields,
    }
    return Alias(**values)
