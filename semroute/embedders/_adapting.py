"""What the embeddings of every framework need in order to be an embedder of the cache."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from semroute.errors import ConfigError, EmbedderError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CHARACTERS = 500
"""About 120 tokens: the shortest limit among the models in common use is 128."""

_NEAR_1 = 1e-3


class AdaptedEmbedder:
    """Embeds by a function of a framework, one text a call; rows are brought to length 1.

    It is the query side of the framework's embeddings, for both questions: questions are compared with questions.
    """

    def __init__(self, embed_query: Callable[[str], Sequence[float]], identity: str, max_characters: int) -> None:
        if max_characters < 1:
            raise ConfigError(f"max_characters={max_characters} is out of range: give 1 or more")
        self._embed_query = embed_query
        self._identity = identity
        self._max_characters = max_characters
        self._dimensions: int | None = None
        self._is_unit: bool | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._identity}>"

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def is_unit(self) -> bool | None:
        """Whether all of the model's own rows had length 1, so that a unit vector is its own; None before the first."""
        return self._is_unit

    def fits(self, text: str) -> bool:
        return len(text) <= self._max_characters

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        if not texts:
            return np.empty((0, self._width()), dtype=np.float32)
        rows = self._rows([text.encode(errors="replace").decode() for text in texts])
        if rows.ndim != 2 or len(rows) != len(texts):
            raise EmbedderError(f"{self._identity} gave an array of shape {rows.shape} for {len(texts)} texts")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(rows).all() or not lengths.all():
            raise EmbedderError(f"{self._identity} gave a vector that is zero or not finite")
        self._dimensions = rows.shape[1]
        self._is_unit = self._is_unit is not False and bool((abs(lengths - 1) <= _NEAR_1).all())
        unit: NDArray[np.float32] = (rows / lengths).astype(np.float32)
        return unit

    def _rows(self, texts: Sequence[str]) -> NDArray[np.float64]:
        import numpy as np

        try:
            return np.array([self._embed_query(text) for text in texts], dtype=np.float64)
        # Every provider raises errors of its own, and none may escape the seam.
        except Exception as error:
            raise EmbedderError(f"{self._identity} failed: {type(error).__name__}: {error}") from error

    def _width(self) -> int:
        if self._dimensions is None:
            self.embed(["width"])
        return 0 if self._dimensions is None else self._dimensions


def derived_identity(
    framework: str, embeddings: object, models: Sequence[str], variants: Sequence[str], adapter: str
) -> str:
    """Name embeddings by their class, their model and what varies it; raises ConfigError where they name no model.

    `models` are the attributes that may name the model, the surest first; `variants` those that decide with it what
    the vectors are. `adapter` is told to be given an identity where there is none.
    """
    kind = type(embeddings)
    names = [_text_attribute(embeddings, name) for name in models]
    model = next((name for name in names if name is not None), None)
    if model is None:
        raise ConfigError(
            f"{kind.__name__} does not say which model it uses: give {adapter} an identity=…, a name that "
            "changes whenever the model does"
        )
    parts = [f"{kind.__module__}.{kind.__qualname__}", model]
    parts += [f"{name}={getattr(embeddings, name, None)}" for name in variants]
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
    return f"{framework}-{re.sub(r'[^A-Za-z0-9.-]', '_', model)}-{digest}"


def _text_attribute(embeddings: object, name: str) -> str | None:
    value = getattr(embeddings, name, None)
    return value if isinstance(value, str) and value else None
