"""Embedders for tests: a quick deterministic one, and wrappers that fail or dawdle."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from semroute.errors import EmbedderError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from semroute.embedders import Embedder


class HashEmbedder:
    """Unit vectors of hashed words: texts with the same words are near, texts without a common word are far.

    Case and punctuation are ignored, word order too. `seed` makes a second model with an identity of its own.
    """

    def __init__(self, dimensions: int = 64, *, max_words: int = 256, seed: int = 0) -> None:
        self._dimensions = dimensions
        self._max_words = max_words
        self._seed = seed

    def __repr__(self) -> str:
        return f"HashEmbedder({self._dimensions}, max_words={self._max_words}, seed={self._seed})"

    @property
    def identity(self) -> str:
        return f"hash-{self._dimensions}-{self._seed}"

    def fits(self, text: str) -> bool:
        return len(_words(text)) <= self._max_words

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._vector(text)
        return vectors

    def _vector(self, text: str) -> NDArray[np.float32]:
        import numpy as np

        # A text without a word still needs a direction of its own: that of the empty word.
        words = _words(text) or [""]
        total = np.sum([self._direction(word) for word in words], axis=0)
        unit: NDArray[np.float32] = (total / np.linalg.norm(total)).astype(np.float32)
        return unit

    def _direction(self, word: str) -> NDArray[np.float64]:
        import numpy as np

        digest = hashlib.blake2b(f"{self._seed}:{word}".encode(errors="surrogatepass"), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(digest)).standard_normal(self._dimensions)


class FailingEmbedder:
    """Raises EmbedderError in `embed` until `heal()` is called, then does what `embedder` does."""

    def __init__(self, embedder: Embedder | None = None, *, message: str = "the embedder is broken") -> None:
        self._embedder: Embedder = HashEmbedder() if embedder is None else embedder
        self._message = message
        self.is_broken = True
        self.calls = 0

    @property
    def identity(self) -> str:
        return self._embedder.identity

    def fits(self, text: str) -> bool:
        return self._embedder.fits(text)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        if self.is_broken:
            raise EmbedderError(self._message)
        return self._embedder.embed(texts)

    def heal(self) -> None:
        self.is_broken = False


class SlowEmbedder:
    """Waits `delay_s` seconds before each `embed`; `sleep` can be replaced, so that a test need not wait."""

    def __init__(
        self, delay_s: float, embedder: Embedder | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._delay_s = delay_s
        self._embedder: Embedder = HashEmbedder() if embedder is None else embedder
        self._sleep = sleep

    @property
    def identity(self) -> str:
        return self._embedder.identity

    def fits(self, text: str) -> bool:
        return self._embedder.fits(text)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._sleep(self._delay_s)
        return self._embedder.embed(texts)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
