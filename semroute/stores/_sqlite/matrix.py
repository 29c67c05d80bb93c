"""The vectors of one partition in memory, searched by brute force."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import numpy as np

from semroute.entry import Candidate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from semroute.entry import FloatVector

_FIRST_CAPACITY: Final = 4
_TEXT_OVERHEAD_BYTES: Final = 250
# OpenBLAS starts threads for a matrix-vector product of 9,216 elements and more. On a busy machine those threads wait
# for a time slice (8 ms instead of 0.3 ms, measured), so that the product is taken in blocks too small for that.
_BLOCK_ELEMENTS: Final = 9_215
_WHOLE_SCAN_ROWS: Final = 2_048
"""Up to this many vectors every one is multiplied as a whole."""
_HEAD_DIMENSIONS: Final = 64
_HEAD_SIMILARITY: Final = 0.6
_SHORTLIST_ROWS: Final = 256
_CACHE_LINE_BYTES: Final = 64
_HUGE_PAGE_BYTES: Final = 2 * 1024**2
_FEW: Final = 8
"""Up to this many, a pass over the scores for each is quicker than partitioning them."""


class Matrix:
    """The vectors of one partition, with what a candidate needs to know about each.

    One thread at a time may change it (under `lock`), any number may search it meanwhile: new vectors become visible
    when `_count` grows, removed ones only get an expiry in the past.

    What a search costs is reading the vectors from memory: an embedding has just swept the processor's caches. So a
    large matrix is scanned by heads, the first 64 dimensions brought to unit length, and only a shortlist is multiplied
    as a whole. The cosine of heads strays from the true one, s, by about (1 - s²) / √64: a candidate at 0.9 would have
    to stray by 12 times that to fall off the list, one at 0.8 by 4 times. evals/search.md has what was measured.
    """

    def __init__(self, dimensions: int) -> None:
        self.lock = threading.Lock()
        self.writes = -1
        """The store's write counter when this matrix was last brought up to date."""
        self.last_row = 0
        self.last_removal = 0
        self.dimensions = dimensions
        self._count = 0
        self._removed = 0
        self._vectors = _aligned(_FIRST_CAPACITY, dimensions)
        self._heads = _aligned(_FIRST_CAPACITY, min(_HEAD_DIMENSIONS, dimensions))
        self._expiries = np.empty(_FIRST_CAPACITY, np.float64)
        self._ids: list[str] = []
        self._queries: list[str] = []
        self._positions: dict[int, int] = {}
        self._text_bytes = 0

    def __len__(self) -> int:
        return self._count - self._removed

    @property
    def size_bytes(self) -> int:
        return self._vectors.nbytes + self._heads.nbytes + self._expiries.nbytes + self._text_bytes

    @property
    def elements(self) -> int:
        """How many numbers a search multiplies."""
        return self._count * self.dimensions

    @property
    def is_sparse(self) -> bool:
        """Whether most of it is removed entries, so that reading it anew is better."""
        return self._removed > 1024 and self._removed > self._count // 2

    def append(self, row: int, id: str, query: str, expires_at: float, vector: FloatVector) -> None:
        """Add a vector; the caller holds `lock`."""
        at = self._count
        if at == len(self._vectors):
            self._grow()
        self._vectors[at] = vector
        self._heads[at] = _head(vector)
        self._expiries[at] = expires_at
        self._ids.append(id)
        self._queries.append(query)
        self._positions[row] = at
        self._text_bytes += len(query) + _TEXT_OVERHEAD_BYTES
        self.last_row = max(self.last_row, row)
        self._count = at + 1

    def remove(self, row: int) -> None:
        """Never find a row again; the caller holds `lock`. A row that is not here is none of our business."""
        at = self._positions.pop(row, None)
        if at is not None:
            self._expiries[at] = -np.inf
            self._removed += 1

    def search(self, vector: FloatVector, k: int, now: float) -> Sequence[Candidate]:
        """Return the `k` nearest that live at `now`, best first, the older of two equals first."""
        count = self._count
        if not count or k <= 0:
            return []
        dead = self._expiries[:count] <= now
        if count <= _WHOLE_SCAN_ROWS:
            scores = _products(self._vectors, vector, count)
            scores[dead] = -np.inf
            best = _best(scores, min(k, count))
        else:
            best = self._best_of_shortlist(vector, dead, k)
        return [Candidate(self._ids[at], self._queries[at], min(max(score, 0.0), 1.0)) for at, score in best]

    def _best_of_shortlist(self, vector: FloatVector, dead: NDArray[np.bool_], k: int) -> list[tuple[int, float]]:
        rough = _products(self._heads, _head(vector), len(dead))
        rough[dead] = -np.inf
        near = np.flatnonzero(rough >= _HEAD_SIMILARITY)
        if len(near) < k:
            near = np.sort(np.argpartition(rough, -k)[-k:])
        room = max(_SHORTLIST_ROWS, k)
        if len(near) > room:
            near = np.sort(near[np.argpartition(rough[near], -room)[-room:]])
        scores = _products(self._vectors[near], vector, len(near))
        scores[dead[near]] = -np.inf
        return [(int(near[at]), score) for at, score in _best(scores, min(k, len(near)))]

    def _grow(self) -> None:
        capacity = 2 * len(self._vectors)
        vectors = _aligned(capacity, self.dimensions)
        expiries = np.empty(capacity, np.float64)
        heads = _aligned(capacity, self._heads.shape[1])
        vectors[: self._count] = self._vectors
        heads[: self._count] = self._heads
        expiries[: self._count] = self._expiries
        self._vectors, self._heads, self._expiries = vectors, heads, expiries


class MatrixCache:
    """The matrices in memory, least recently searched dropped first, so that a million tenants do not fill it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._generation = 0
        self._matrices: OrderedDict[str, Matrix] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._total_bytes = 0

    def __len__(self) -> int:
        return len(self._matrices)

    @property
    def size_bytes(self) -> int:
        return self._total_bytes

    def get(self, partition: str, generation: int) -> Matrix | None:
        """Return the matrix of a partition, if it is here and belongs to this opening of the database."""
        with self._lock:
            if generation != self._generation:
                self._generation = generation
                self._forget_all()
            matrix = self._matrices.get(partition)
            if matrix is not None:
                self._matrices.move_to_end(partition)
            return matrix

    def keep(self, partition: str, matrix: Matrix, generation: int) -> None:
        """Keep a new or grown matrix, and drop others while they are too large together; this one always stays."""
        with self._lock:
            if generation != self._generation:
                return
            self._matrices[partition] = matrix
            self._matrices.move_to_end(partition)
            self._total_bytes += matrix.size_bytes - self._sizes.get(partition, 0)
            self._sizes[partition] = matrix.size_bytes
            while self._total_bytes > self._max_bytes and len(self._matrices) > 1:
                dropped, _ = self._matrices.popitem(last=False)
                self._total_bytes -= self._sizes.pop(dropped)

    def clear(self) -> None:
        with self._lock:
            self._forget_all()

    def _forget_all(self) -> None:
        self._matrices.clear()
        self._sizes.clear()
        self._total_bytes = 0


def _aligned(rows: int, dimensions: int) -> NDArray[np.float32]:
    """Return room for vectors that starts at a cache line, or at a huge page if large: products are a tenth quicker."""
    size_bytes = rows * dimensions * 4
    alignment = _CACHE_LINE_BYTES if size_bytes < 2 * _HUGE_PAGE_BYTES else _HUGE_PAGE_BYTES
    room = np.empty(size_bytes + alignment, np.uint8)
    start = -room.ctypes.data % alignment
    return room[start : start + size_bytes].view(np.float32).reshape(rows, dimensions)


def _head(vector: FloatVector) -> FloatVector:
    """Return the first dimensions of a vector at unit length, or as they are where they are all zero."""
    head = vector[:_HEAD_DIMENSIONS]
    length = float(np.sqrt(head @ head))
    return head / np.float32(length) if length > 0.0 else head


def _products(vectors: NDArray[np.float32], vector: FloatVector, count: int) -> NDArray[np.float32]:
    dimensions = vectors.shape[1]
    block = max(1, _BLOCK_ELEMENTS // dimensions // 4 * 4)
    whole = count // block * block
    blocks = vectors[:whole].reshape(-1, block, dimensions)
    products = np.empty(count, np.float32)
    np.matmul(blocks, vector, out=products[:whole].reshape(-1, block))
    np.matmul(vectors[whole:count], vector, out=products[whole:])
    return products


def _best(scores: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """Return up to k positions with their scores, best first, the lower position first among equals.

    A score of minus infinity is none. The scores are used up.
    """
    best: list[tuple[int, float]] = []
    if k <= _FEW:
        for _ in range(k):
            at = int(scores.argmax())
            best.append((at, float(scores[at])))
            scores[at] = -np.inf
    else:
        edge = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > edge)
        chosen = np.concatenate([above, np.flatnonzero(scores == edge)[: k - len(above)]])
        best = [(int(at), float(scores[at])) for at in chosen[np.lexsort((chosen, -scores[chosen]))]]
    return [(at, score) for at, score in best if score != -np.inf]
