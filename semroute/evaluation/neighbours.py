"""The exact nearest earlier neighbours of every request of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from semroute.evaluation.vectors import Track, untracked

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK: Final = 256
_NOBODY: Final = -1


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each request the positions of its nearest earlier ones, best first, with their similarities.

    Both arrays have the shape (requests, k); a position of -1, with similarity 0, is nobody.
    """

    positions: NDArray[np.int32]
    similarities: NDArray[np.float32]

    def of(self, request: int) -> list[tuple[int, float]]:
        """Return (position, similarity) of one request's neighbours, best first."""
        pairs = zip(self.positions[request].tolist(), self.similarities[request].tolist(), strict=True)
        return [(position, similarity) for position, similarity in pairs if position != _NOBODY]


def nearest_earlier(
    vectors: NDArray[np.float32],
    k: int,
    *,
    may_serve: NDArray[np.bool_] | None = None,
    track: Track = untracked,
    what: str = "neighbours",
) -> Neighbours:
    """Find the k nearest earlier rows of each row by blocked matrix products; similarity is the cosine in [0, 1].

    Only rows of `may_serve` are neighbours of others. Of equals, those that came first stand first.
    """
    n = len(vectors)
    servers = np.arange(n) if may_serve is None else np.flatnonzero(may_serve)
    columns = np.ascontiguousarray(vectors[servers])
    positions = np.full((n, k), _NOBODY, np.int32)
    similarities = np.zeros((n, k), np.float32)
    for start in track(range(0, n, _BLOCK), what):
        stop = min(start + _BLOCK, n)
        width = int(np.searchsorted(servers, stop))
        if not width:
            continue
        scores = vectors[start:stop] @ columns[:width].T
        scores[servers[:width][None, :] >= np.arange(start, stop)[:, None]] = -np.inf
        chosen, best = _best(scores, min(k, width))
        found = best > -np.inf
        positions[start:stop, : chosen.shape[1]] = np.where(found, servers[chosen], _NOBODY)
        similarities[start:stop, : chosen.shape[1]] = np.where(found, np.clip(best, 0.0, 1.0), 0.0)
    return Neighbours(positions, similarities)


def _best(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the columns of the k highest scores of each row, best first, with the scores."""
    chosen = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    best = np.take_along_axis(scores, chosen, axis=1)
    order = np.lexsort((chosen, -best), axis=1)
    return np.take_along_axis(chosen, order, axis=1), np.take_along_axis(best, order, axis=1)
