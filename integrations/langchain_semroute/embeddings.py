"""Any LangChain `Embeddings` as an embedder of the cache."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from semroute.errors import ConfigError, EmbedderError

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from numpy.typing import NDArray

MAX_CHARACTERS = 500
"""About 120 tokens: the shortest limit among the models in common use is 128."""

_MODEL_ATTRIBUTES = ("model", "model_name", "model_id", "deployment", "repo_id")
_VARIANT_ATTRIBUTES = ("dimensions", "revision")


class LangChainEmbedder:
    """Wraps LangChain `Embeddings`; rows are brought to length 1.

    `identity` names the model, because vectors of two models must never meet: without it, it is derived from the
    class and its model attribute, and a class that has none is refused. `max_characters` is the longest text that the
    model surely embeds whole: LangChain knows no limit, and many models cut silently. Raise it for
    a model with a long one.
    """

    def __init__(
        self, embeddings: Embeddings, *, identity: str | None = None, max_characters: int = MAX_CHARACTERS
    ) -> None:
        if max_characters < 1:
            raise ConfigError(f"max_characters={max_characters} is out of range: give 1 or more")
        self._embeddings = embeddings
        self._identity = _derive_identity(embeddings) if identity is None else identity
        self._max_characters = max_characters
        self._dimensions: int | None = None

    def __repr__(self) -> str:
        return f"<LangChainEmbedder {self._identity}>"

    @property
    def identity(self) -> str:
        return self._identity

    def fits(self, text: str) -> bool:
        return len(text) <= self._max_characters

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not texts:
            return np.empty((0, self._width()), dtype=np.float32)
        # Query vectors on both sides: questions are compared with questions.
        rows = self._embeddings_of([text.encode(errors="replace").decode() for text in texts])
        if rows.ndim != 2 or len(rows) != len(texts):
            raise EmbedderError(f"{self._identity} gave an array of shape {rows.shape} for {len(texts)} texts")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(rows).all() or not lengths.all():
            raise EmbedderError(f"{self._identity} gave a vector that is zero or not finite")
        self._dimensions = rows.shape[1]
        unit: NDArray[np.float32] = (rows / lengths).astype(np.float32)
        return unit

    def _embeddings_of(self, texts: Sequence[str]) -> NDArray[np.float64]:
        try:
            return np.array([self._embeddings.embed_query(text) for text in texts], dtype=np.float64)
        # Every provider raises errors of its own, and none may escape the seam.
        except Exception as error:
            raise EmbedderError(f"{self._identity} failed: {type(error).__name__}: {error}") from error

    def _width(self) -> int:
        if self._dimensions is None:
            self.embed(["width"])
        return 0 if self._dimensions is None else self._dimensions


def _derive_identity(embeddings: Embeddings) -> str:
    kind = type(embeddings)
    names = [_text_attribute(embeddings, name) for name in _MODEL_ATTRIBUTES]
    model = next((name for name in names if name is not None), None)
    if model is None:
        raise ConfigError(
            f"{kind.__name__} does not say which model it uses: give LangChainEmbedder an identity=…, a name that "
            "changes whenever the model does"
        )
    parts = [f"{kind.__module__}.{kind.__qualname__}", model]
    parts += [f"{name}={getattr(embeddings, name, None)}" for name in _VARIANT_ATTRIBUTES]
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
    return f"langchain-{re.sub(r'[^A-Za-z0-9.-]', '_', model)}-{digest}"


def _text_attribute(embeddings: Embeddings, name: str) -> str | None:
    value = getattr(embeddings, name, None)
    return value if isinstance(value, str) and value else None
