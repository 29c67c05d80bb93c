"""What is known of one entry: labels of requests that came near it, bounded, and plain JSON at rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from semroute.errors import StoreError

if TYPE_CHECKING:
    from semroute.entry import JSON

VERSION: Final = 1
MAX_OBSERVATIONS: Final = 64
"""The newest are kept: a record stays under 3 KiB, and an entry whose neighbourhood changes can change its mind."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One request that was answered by the model, and so told whether the entry's answer had been right for it."""

    similarity: float
    """Cosine of request and entry, in [0, 1]."""
    is_right: bool
    p_prior: float | None = None
    """The verifier's P(reusable) for the pair; None where none stood by."""


@dataclass(frozen=True, slots=True)
class Observations:
    """The observations of one entry, or of several that were found to have the same answer; oldest first."""

    items: tuple[Observation, ...] = ()

    def with_one(self, observation: Observation) -> Self:
        """Return the record with one more; beyond MAX_OBSERVATIONS the oldest goes."""
        return type(self)((*self.items, observation)[-MAX_OBSERVATIONS:])

    def as_json(self) -> dict[str, JSON]:
        """Return the record as plain JSON, with its version."""
        rows: list[JSON] = [[one.similarity, int(one.is_right), one.p_prior] for one in self.items]
        return {"version": VERSION, "observations": rows}

    @classmethod
    def from_json(cls, stored: JSON) -> Self:
        """Read what `as_json` wrote. Raises StoreError for anything else, which a caller may count as no record."""
        if not isinstance(stored, Mapping) or stored.get("version") != VERSION:
            raise StoreError(f"no observations of version {VERSION}: {str(stored)[:80]!r}; drop the record")
        rows = stored.get("observations")
        if not isinstance(rows, list) or len(rows) > MAX_OBSERVATIONS:
            raise StoreError(f"observations must be a list of at most {MAX_OBSERVATIONS}, not {str(rows)[:80]!r}")
        return cls(tuple(_observation(row) for row in rows))


def _observation(row: JSON) -> Observation:
    match row:
        case [float() | int() as similarity, 0 | 1 as is_right, None | float() | int() as p_prior]:
            if 0.0 <= similarity <= 1.0 and (p_prior is None or 0.0 <= p_prior <= 1.0):
                p = None if p_prior is None else float(p_prior)
                return Observation(float(similarity), bool(is_right), p)
    raise StoreError(f"an observation must be [similarity, 0 or 1, P or null] with fractions, not {str(row)[:80]!r}")
