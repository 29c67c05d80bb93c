"""A plain cosine cache, as the usual semantic caches are by default: the yardstick of a replay."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.cli.stream import Row

THRESHOLD = 0.8
"""The default of GPTCache; also that of langchain-redis, a cosine distance of 0.2, said as a similarity."""


@dataclass(frozen=True, slots=True)
class CosineHit:
    """An answer that the plain cache served: the request it was made for, and whether it was right."""

    position: int
    """Of the request in the stream."""
    served: int
    """Position of the request whose answer was served."""
    similarity: float
    is_wrong: bool


class PlainCosine:
    """Serves the answer of the nearest earlier question at or over a cosine, else keeps the new one.

    Only the last user text is compared, without any look at numbers, names, time, or who asks: tenant, system
    prompt and history keep answers apart only where `is_isolated` is set, and then as far as an application that
    names a space for each tenant and system prompt gets.
    """

    def __init__(self, *, threshold: float = THRESHOLD, is_isolated: bool = False) -> None:
        self._threshold = threshold
        self._is_isolated = is_isolated
        self._kept: dict[Hashable, list[int]] = {}

    def replay(self, rows: Sequence[Row], vectors: NDArray[np.float32]) -> list[CosineHit]:
        """Serve a whole stream; `vectors` holds one unit vector a row."""
        hits = []
        for position, row in enumerate(rows):
            kept = self._kept.setdefault((row.tenant, row.system) if self._is_isolated else None, [])
            similarities = vectors[kept] @ vectors[position]
            best = int(np.argmax(similarities)) if kept else None
            if best is None or similarities[best] < self._threshold:
                kept.append(position)
                continue
            served = kept[best]
            is_wrong = rows[served].label != row.label
            hits.append(CosineHit(position, served, float(similarities[best]), is_wrong))
        return hits
