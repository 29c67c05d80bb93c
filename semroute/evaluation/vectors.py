"""Vectors made ahead: each distinct text is embedded once, in batches, before a protocol runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from semroute.errors import EmbedderError
from semroute.request import fold

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from semroute.embedders import Embedder
    from semroute.entry import FloatVector

T = TypeVar("T")

_BATCH: Final = 256


class Track(Protocol):
    """Passes items through and shows how far it is, with a few words on what is done."""

    def __call__(self, items: Sequence[T], what: str) -> Iterable[T]: ...


def untracked(items: Sequence[T], what: str) -> Iterable[T]:
    """Pass items through and show nothing."""
    return items


class AheadEmbedder:
    """An embedder whose vectors are already there; the texts are kept as the cache compares them (folded)."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, FloatVector | None] = {}

    @property
    def identity(self) -> str:
        return self._embedder.identity

    @property
    def dimensions(self) -> int:
        """How long the vectors are; 0 while there is none."""
        return next((len(vector) for vector in self._vectors.values() if vector is not None), 0)

    def prepare(self, texts: Iterable[str], track: Track = untracked) -> None:
        """Embed every text that is not here yet. Raises EmbedderError."""
        wanted = [text for text in dict.fromkeys(fold(text) for text in texts) if text not in self._vectors]
        batches = [wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH)]
        for batch in track(batches, "embedding"):
            fitting = [text for text in batch if self._embedder.fits(text)]
            self._vectors.update(dict.fromkeys(batch))
            self._vectors.update(zip(fitting, self._embedder.embed(fitting), strict=True))

    def fits(self, text: str) -> bool:
        return self._vector(text) is not None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        vectors = [self._vector(text) for text in texts]
        if any(vector is None for vector in vectors):
            raise EmbedderError("a text over the embedder's limit has no vector")
        return np.asarray(vectors, dtype=np.float32)

    def _vector(self, text: str) -> FloatVector | None:
        try:
            return self._vectors[text]
        except KeyError:
            raise EmbedderError(f"no vector was made ahead for {text[:80]!r}") from None
