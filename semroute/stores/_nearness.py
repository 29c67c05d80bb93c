"""Which entries are near to one of many vectors: compared in blocks, so that memory stays bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from semroute.errors import StoreError
from semroute.stores.capabilities import Near

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from semroute.entry import Address, FloatVector
    from semroute.stores.capabilities import FloatMatrix

PAGE: Final = 200
"""How many entries are read, and compared, at once."""
_BLOCK: Final = 2_048
"""With how many vectors a page is compared at once: the products take 1.6 MB."""
_ROUNDING: Final = 1e-6
_INCOMPARABLE: Final = 1.0


class Nearness:
    """Compares entries with the same vectors, a page after the other; whoever cannot be compared is near."""

    def __init__(self, vectors: FloatMatrix, at_least: float) -> None:
        """Take vectors of shape (n, dimensions); raises StoreError for those that nothing could be compared with."""
        if vectors.ndim != 2 or not vectors.shape[1] or not np.isfinite(vectors).all():
            raise StoreError(f"vectors must be finite and of shape (n, dimensions), these have {vectors.shape}")
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._at_least = at_least - _ROUNDING

    @property
    def dimensions(self) -> int:
        return int(self._vectors.shape[1])

    @property
    def is_vain(self) -> bool:
        """Whether there is nothing to be near to."""
        return not len(self._vectors)

    def among(self, page: Sequence[tuple[Address, FloatVector | None]]) -> list[Near]:
        """Return those of some entries that are near."""
        near: list[Near] = []
        compared: list[tuple[Address, FloatVector]] = []
        for address, vector in page:
            if vector is None or vector.size != self.dimensions or not np.isfinite(vector).all():
                near.append(Near(address, _INCOMPARABLE))
            else:
                compared.append((address, vector))
        if compared:
            greatest = self._greatest(np.stack([vector for _, vector in compared]))
            pairs = zip(compared, greatest.tolist(), strict=True)
            near += [Near(address, similarity) for (address, _), similarity in pairs if similarity >= self._at_least]
        return near

    def _greatest(self, queries: FloatMatrix) -> NDArray[np.float32]:
        """Return the greatest cosine of each query to any of the vectors, clipped to [0, 1]."""
        greatest = np.zeros(len(queries), np.float32)
        for start in range(0, len(self._vectors), _BLOCK):
            products = queries @ self._vectors[start : start + _BLOCK].T
            np.maximum(greatest, products.max(axis=1), out=greatest)
        return np.minimum(greatest, np.float32(1.0))
