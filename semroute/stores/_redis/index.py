"""The search index of a Redis shard: its names, its schema, the search command and what comes back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from semroute.entry import Candidate
from semroute.errors import ConfigError, StoreError
from semroute.stores._redis.rows import decode_text

if TYPE_CHECKING:
    from collections.abc import Iterator

Algorithm: TypeAlias = Literal["flat", "hnsw"]
FLAT: Final = "flat"
HNSW: Final = "hnsw"

# M and ef_construction are Redis' own advice for some 100,000 vectors; more of either costs inserts more than it finds.
# With 64 places in its list of the nearest, a search found all five that comparing with every vector finds; with the
# server's own 10 it found 96 of 100, in two thirds of the time (30,000 clustered vectors of 384 dimensions).
_GRAPH: Final = {"m": 16, "ef_construction": 200, "ef_runtime": 64}
_QUERY: Final = "(@p:{$p})=>[KNN $k @v $v AS d]"
_LIVE_QUERY: Final = "(@p:{$p} @x:[($now inf])=>[KNN $k @v $v AS d]"
_RETURNED: Final = ("d", "x", "q")
_RETURNED_WITH_VECTOR: Final = (*_RETURNED, "v")


@dataclass(frozen=True, slots=True)
class Names:
    """The keys of one shard. All have its hash tag, so that a cluster keeps them, and the index, on one node."""

    shard: str

    @property
    def prefix(self) -> str:
        return f"semroute:{{{self.shard}}}:"

    @property
    def meta(self) -> str:
        return f"{self.prefix}meta"

    @property
    def used(self) -> str:
        return f"{self.prefix}used"

    def index(self, life: str, algorithm: str, dtype: str, dimensions: int) -> str:
        """Name the index of one life of the shard: what is left of an earlier life never meets this one's."""
        return f"{self.prefix}i:{life}:{algorithm}:{dtype}:{dimensions}"


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """An index that is to be created unless it is there."""

    name: str
    prefix: str
    algorithm: str
    dimensions: int
    dtype: str

    def schema(self) -> dict[str, Any]:
        """Return the schema as redisvl reads it; texts and answers are not indexed."""
        vector = {
            "algorithm": self.algorithm,
            "dims": self.dimensions,
            "datatype": self.dtype,
            "distance_metric": "cosine",
            **(_GRAPH if self.algorithm == HNSW else {}),
        }
        return {
            "index": {"name": self.name, "prefix": self.prefix, "storage_type": "hash"},
            "fields": [
                {"name": "p", "type": "tag", "attrs": {"case_sensitive": True}},
                {"name": "x", "type": "numeric"},
                {"name": "v", "type": "vector", "attrs": vector},
            ],
        }

    def check(self, info: dict[Any, Any]) -> None:
        """Raise ConfigError when an index of this name is there and is another one."""
        vector = next((one for one in _attributes(info) if one.get("attribute") == "v"), {})
        found = (
            str(vector.get("algorithm", self.algorithm)).lower(),
            str(vector.get("data_type", self.dtype)).lower(),
            int(vector.get("dim", self.dimensions)),
        )
        if not vector or found != (self.algorithm, self.dtype, self.dimensions):
            raise ConfigError(
                f"the index {self.name} is not as this release makes it ({found} instead of"
                f" {(self.algorithm, self.dtype, self.dimensions)}): drop it with FT.DROPINDEX, it will be made anew"
            )


def is_complete(info: dict[Any, Any]) -> bool:
    """Say whether an index has taken in all that was there before it."""
    plain = _texts(info)
    return not int(plain.get("indexing", 0)) and float(plain.get("percent_indexed", 1)) >= 1.0


def document_count(info: dict[Any, Any]) -> int:
    """Return how many entries an index finds."""
    return int(_texts(info).get("num_docs", 0))


def search_command(
    name: str, partition: str, vector: bytes, k: int, *, live_at: float | None = None, with_vectors: bool = False
) -> tuple[bytes | str | int | float, ...]:
    """Return the command for the k nearest of a partition; with `live_at` only those that have not expired then.

    What has expired is gone by itself as a rule, so that the filter for it, which costs time, is for second thoughts.
    """
    returned = _RETURNED_WITH_VECTOR if with_vectors else _RETURNED
    named: tuple[bytes | str | int | float, ...] = ("p", partition, "k", k, "v", vector)
    if live_at is not None:
        named = (*named, "now", live_at)
    query = _QUERY if live_at is None else _LIVE_QUERY
    return (
        *("FT.SEARCH", name, query, "RETURN", len(returned), *returned, "LIMIT", 0, k),
        *("DIALECT", 2, "PARAMS", len(named), *named),
    )


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What a search returned: live candidates, best first, and how many places went to what is not live."""

    candidates: list[Candidate]
    dead: int
    damaged: int


def read_neighbours(reply: dict[bytes, Any], prefix: str, now: float) -> Neighbours:
    """Read the reply to `search_command`; raises StoreError when it is no such reply."""
    found: list[Candidate] = []
    dead = damaged = 0
    start = len(prefix) + len("e:")
    for result in reply[b"results"]:
        fields = result[b"extra_attributes"]
        try:
            distance, expires_at = float(fields[b"d"]), float(fields[b"x"])
            if expires_at <= now:
                dead += 1
                continue
            similarity = 1.0 - distance
            if math.isnan(similarity):
                raise ValueError("its distance is no number")
            candidate = Candidate(
                result[b"id"][start:].decode(), decode_text(fields[b"q"]), min(max(similarity, 0.0), 1.0)
            )
        except KeyError:
            dead += 1  # it went while the search was under way
        except (ValueError, TypeError, AttributeError):
            dead += 1
            damaged += 1
        else:
            found.append(candidate)
    found.sort(key=_best_first)
    return Neighbours(found, dead, damaged)


def _best_first(candidate: Candidate) -> tuple[float, str]:
    return (-candidate.similarity, candidate.id)


def _attributes(info: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    attributes = _texts(info).get("attributes")
    if not isinstance(attributes, list):
        raise StoreError("the server describes its index in a way that this release does not know")
    for one in attributes:
        if isinstance(one, list):
            one = dict(zip(one[::2], one[1::2], strict=False))
        yield {name: _text(value) for name, value in _texts(one).items()}


def _texts(fields: dict[Any, Any]) -> dict[str, Any]:
    return {str(_text(name)): value for name, value in fields.items()}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
