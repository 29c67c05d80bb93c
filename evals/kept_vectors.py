"""An embedder that keeps its vectors in a file, so that long evaluations embed each text once."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from semroute.embedders import Embedder
    from semroute.evaluation.vectors import Track

_BATCH = 256


class KeptEmbedder:
    """Embeds each text once; `path` is an .npz file of vectors, by digests of their texts and the embedder."""

    def __init__(self, embedder: Embedder, path: Path | None) -> None:
        self._embedder = embedder
        self._path = path
        self._vectors: dict[bytes, NDArray[np.float32]] = {}
        if path is not None and path.exists():
            with np.load(path, allow_pickle=False) as kept:
                self._vectors = dict(zip((bytes(key) for key in kept["keys"]), kept["vectors"], strict=True))

    @property
    def identity(self) -> str:
        return self._embedder.identity

    def prepare(self, texts: Sequence[str], track: Track) -> None:
        """Embed what is not known yet, and write the file."""
        n_before = len(self._vectors)
        new = [text for text in dict.fromkeys(texts) if self._key(text) not in self._vectors]
        for batch in track([new[start : start + _BATCH] for start in range(0, len(new), _BATCH)], "embedding"):
            self.embed([text for text in batch if self._embedder.fits(text)])
        if self._path is not None and len(self._vectors) > n_before:
            keys = np.array([np.frombuffer(key, np.uint8) for key in self._vectors])
            fresh = self._path.with_suffix(".new.npz")
            np.savez(fresh, keys=keys, vectors=np.array(list(self._vectors.values())))
            fresh.replace(self._path)

    def fits(self, text: str) -> bool:
        return self._key(text) in self._vectors or self._embedder.fits(text)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if self._key(text) not in self._vectors]
        if new:
            self._vectors.update(zip(map(self._key, new), self._embedder.embed(new), strict=True))
        return np.array([self._vectors[self._key(text)] for text in texts], np.float32)

    def _key(self, text: str) -> bytes:
        return blake2b(f"{self.identity} {text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
